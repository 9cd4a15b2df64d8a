"""What operating systems tell of a connection, each with a portable way beside it."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

if sys.platform == "linux":
    import array
    import fcntl
    import termios

    def unsent(connection: Any) -> int:
        """Bytes that the system holds for the other side to take; 0 when it cannot tell."""
        held = array.array("i", [0])
        with contextlib.suppress(OSError, ValueError):
            fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, held)
        return held[0]

else:

    def unsent(connection: Any) -> int:  # noqa: ARG001 - the same on every system
        """Bytes that the system holds for the other side to take; 0 when it cannot tell."""
        return 0
