"""What the tests of the disk share: bytes, trees, open descriptors, and a process without rights."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path

from integrity.core.manifest import FileEntry
from integrity.core.pieces import PIECE_SIZE

MIB = 1 << 20
NOBODY = 65534


def pattern(size: int, start: int = 0) -> bytes:
    """``size`` bytes of a 251-byte pattern, so that no two pieces of a file are alike."""
    cycle = bytes((start + i) % 251 for i in range(251))
    return (cycle * (size // 251 + 1))[:size]


def write_tree(root: Path, files: Mapping[str, bytes]) -> None:
    """The files, by their paths below ``root``; a path that ends in a slash is an empty folder."""
    for path, data in files.items():
        place = root / path
        if path.endswith("/"):
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)


def entry_of(path: str, data: bytes, *, executable: bool = False) -> FileEntry:
    """What a manifest says of a file with these bytes."""
    pieces = [data[at : at + PIECE_SIZE] for at in range(0, len(data), PIECE_SIZE)] or [b""]
    return FileEntry(
        path, len(data), b"".join(hashlib.sha256(p).digest() for p in pieces), executable
    )


def open_descriptors() -> set[str]:
    """What this process has open, by number and target. Threads that another test left waiting may
    close theirs at any time, so what matters is that nothing is added.
    """
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            found.add(f"{number} {os.readlink(f'/proc/self/fd/{number}')}")
        except OSError:  # the descriptor of the listing itself
            continue
    return found


def without_rights(work: Callable[[], str]) -> str:
    """What ``work`` returns in a process that may not read what its mode forbids.

    Root may read everything, so root's rights are given up; anybody else has none to give up.
    """
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, work))
    process.start()
    theirs.close()
    try:
        worked, answer = ours.recv()
    finally:
        process.join()
    assert worked, answer
    return str(answer)


def _work(pipe: Connection, work: Callable[[], str]) -> None:
    try:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        pipe.send((True, work()))
    except BaseException:  # noqa: BLE001 - shown by the test that waits
        pipe.send((False, traceback.format_exc()))
