"""Paths and the folders above them, as the store's queries need them."""

from __future__ import annotations

from collections.abc import Iterator

AT_OR_BELOW = "path = ? OR (path >= ? AND path < ?)"
"""A file is that path or below it; see :func:`at_or_below`."""


def at_or_below(folder: bytes) -> tuple[bytes, bytes, bytes]:
    """The values of :data:`AT_OR_BELOW`."""
    return folder, folder + b"/", folder + b"0"  # "0" is the byte after "/"


def above(path: bytes) -> Iterator[bytes]:
    """A path, and every folder it is in."""
    at = len(path)
    while at > 0:
        yield path[:at]
        at = path.rfind(b"/", 0, at)
