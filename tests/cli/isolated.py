"""Machines without a network, to run a command on: what to put before it.

Run as a program it is one of them: ``python isolated.py SCRIPT ARGUMENT…`` runs a script of Python's to which
every address is refused. It is there for systems where nobody may make a network namespace.
"""

from __future__ import annotations

import os
import runpy
import subprocess
import sys

_NAMESPACES = (("unshare", "--net"), ("unshare", "--user", "--map-root-user", "--net"))
_REFUSED = ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.get")


def without_network() -> dict[str, tuple[str, ...]]:
    """The ways that there are here, by their names; at least one. A namespace of its own has not even a
    loopback that is up.
    """
    ways: dict[str, tuple[str, ...]] = {"refusals": (sys.executable, os.path.abspath(__file__))}
    for words in _NAMESPACES:
        try:
            subprocess.run([*words, "true"], check=True, capture_output=True, timeout=60)
        except (OSError, subprocess.SubprocessError):
            continue
        return {"namespace": words} | ways
    return ways


def _refuse(event: str, _: object) -> None:
    if event.startswith(_REFUSED):
        raise OSError("there is no network here")


if __name__ == "__main__":
    sys.addaudithook(_refuse)
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
