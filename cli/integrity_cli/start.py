"""Where the program starts: Ctrl-C is no crash, not even while the program is read in."""

from __future__ import annotations

import sys


def main() -> None:
    """:func:`integrity_cli.main.main`, with the time before it covered."""
    try:
        from integrity_cli.main import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()
