"""A disk that fails: every call that changes it is counted, and at one of them the process is killed,
or the call fails. What was written and not synced can be lost with the kill, as with the power.

:func:`install` takes the place of the system's calls in this process, which is a child made for it.
Only what lies below one folder counts. A sync makes durable what POSIX says and no more: ``fsync`` of a
file its bytes and that it is there, of a folder its names, ``syncfs`` all. A ``syncfs`` that failed has
written nothing and will not try again: what it was for is gone once it is dropped from memory.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from integrity.disk import replacing, system


class Loss(Enum):
    """What a kill takes with it of what was not synced."""

    NOTHING = "nothing"
    DATA = "data"  # names survive, bytes do not: a rename that overtook its file
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Plan:
    """At call ``at`` (from 1): killed before or ``after`` it, or it fails with ``error``."""

    at: int = 0
    after: bool = False
    error: int = 0
    loss: Loss = Loss.NOTHING
    sends: bool = False
    """Whether what is sent to others counts as well."""


@dataclass(slots=True)
class _Change:
    """How to undo something; ``path`` is the file or the folder whose sync makes it durable."""

    path: str
    is_data: bool
    undo: Callable[[], object]


@dataclass(slots=True)
class Disk:
    root: str
    plan: Plan
    count: int = 0
    calls: list[str] = field(default_factory=list)
    changes: list[_Change] = field(default_factory=list)
    forgotten: list[_Change] = field(default_factory=list)
    """What a sync failed to write: in memory alone, where it counts as written."""

    lock: Any = field(default_factory=threading.RLock)

    def step(self, name: str, path: str, do: Callable[[], Any]) -> Any:
        """One call."""
        with self.lock:
            self.count += 1
            self.calls.append(f"{name} {os.path.relpath(path, self.root)}")
            hit = self.count == self.plan.at
            if hit and self.plan.error:
                raise OSError(self.plan.error, os.strerror(self.plan.error), path)
            if hit and not self.plan.after:
                self.kill()
            try:
                return do()
            finally:
                if hit:
                    self.kill()

    def kill(self) -> None:
        if self.plan.loss is not Loss.NOTHING:
            for change in reversed(self.changes):
                if change.is_data or self.plan.loss is Loss.ALL:
                    change.undo()
        os.kill(os.getpid(), signal.SIGKILL)

    def note(self, path: str, *, is_data: bool, undo: Callable[[], object]) -> None:
        if self.plan.loss is not Loss.NOTHING:
            self.changes.append(_Change(path, is_data, undo))

    def synced(self, path: str) -> None:
        """A file's or a folder's own."""
        self.changes = [
            change
            for change in self.changes
            if change.path != path
            and not (change.is_data and os.path.realpath(change.path) == path)
        ]

    def has(self, path: str) -> bool:
        return path == self.root or path.startswith(self.root + "/")


class _True:
    """The system's own calls."""

    open, pwrite, ftruncate = os.open, os.pwrite, os.ftruncate
    fsync, rename, replace, mkdir = os.fsync, os.rename, os.replace, os.mkdir
    unlink, rmdir, link, fchmod = os.unlink, os.rmdir, os.link, os.fchmod
    syncfs, exchange = system.sync_file_system, system.exchange
    fadvise = os.posix_fadvise
    send, sendall = socket.socket.send, socket.socket.sendall


def _where(path: Any, dir_fd: int | None = None) -> str:
    text = os.fsdecode(path)
    if dir_fd is not None:
        text = os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), text)
    return os.path.abspath(text)


def _of(fd: int) -> str:
    return os.readlink(f"/proc/self/fd/{fd}")


def install(root: str, plan: Plan) -> Disk:
    """From here on every change below ``root`` goes through the disk that is returned."""
    disk = Disk(os.path.realpath(root), plan)
    _install_files(disk)
    _install_names(disk)
    _install_syncs(disk)
    _install_memory(disk)
    if plan.sends:
        _install_sends(disk)
    return disk


def _install_files(disk: Disk) -> None:
    def open_(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        where = _where(path, dir_fd)
        if not flags & os.O_CREAT or not disk.has(where) or os.path.lexists(where):
            return _True.open(path, flags, mode, dir_fd=dir_fd)

        def do() -> int:
            fd = _True.open(path, flags, mode, dir_fd=dir_fd)
            disk.note(where, is_data=False, undo=_removal(where))
            return fd

        return int(disk.step("create", where, do))

    def pwrite(fd: int, data: Any, offset: int) -> int:
        where = _of(fd)
        if not disk.has(where):
            return _True.pwrite(fd, data, offset)

        def do() -> int:
            old = _read(where, len(data), offset)
            written = _True.pwrite(fd, data, offset)
            disk.note(where, is_data=True, undo=_write_back(where, old, len(data), offset))
            return written

        return int(disk.step("pwrite", where, do))

    def ftruncate(fd: int, size: int) -> None:
        where = _of(fd)
        if disk.has(where):
            disk.step("ftruncate", where, lambda: _True.ftruncate(fd, size))
        else:
            _True.ftruncate(fd, size)

    os.open, os.pwrite, os.ftruncate = open_, pwrite, ftruncate


def _install_names(disk: Disk) -> None:
    def mkdir(path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        where = _where(path, dir_fd)

        def do() -> None:
            _True.mkdir(path, mode, dir_fd=dir_fd)
            disk.note(where, is_data=False, undo=_removal(where))

        if disk.has(where):
            disk.step("mkdir", where, do)
        else:
            _True.mkdir(path, mode, dir_fd=dir_fd)

    os.mkdir = mkdir
    os.rename = _moving(disk, "rename", _True.rename)
    os.replace = _moving(disk, "replace", _True.replace)
    os.link = _moving(disk, "link", _True.link)
    os.unlink = _removing(disk, "unlink", _True.unlink)
    os.rmdir = _removing(disk, "rmdir", _True.rmdir)


def _moving(disk: Disk, name: str, true: Callable[..., None]) -> Callable[..., None]:
    def move(source: Any, target: Any, **more: Any) -> None:
        one, other = _where(source), _where(target)
        if not disk.has(other):
            true(source, target, **more)
            return

        def do() -> None:
            kept = None
            if os.path.isfile(other):
                kept = other + ".kept-by-the-test"
                _True.link(other, kept)
            true(source, target, **more)
            folder = os.path.dirname(other)
            disk.note(folder, is_data=False, undo=lambda: _unmove(one, other, kept))

        disk.step(name, other, do)

    return move


def _removing(disk: Disk, name: str, true: Callable[..., None]) -> Callable[..., None]:
    def remove(path: Any, *, dir_fd: int | None = None) -> None:
        where = _where(path, dir_fd)
        if disk.has(where):
            disk.step(name, where, lambda: true(path, dir_fd=dir_fd))
        else:
            true(path, dir_fd=dir_fd)

    return remove


def _install_syncs(disk: Disk) -> None:
    def fsync(fd: Any) -> None:
        where = _of(fd if isinstance(fd, int) else fd.fileno())

        def do() -> None:
            _True.fsync(fd)
            disk.synced(where)

        if disk.has(where):
            disk.step("fsync", where, do)
        else:
            _True.fsync(fd)

    def syncfs(path: str) -> None:
        def do() -> None:
            _True.syncfs(path)
            disk.changes.clear()

        try:
            disk.step("syncfs", path, do)
        except OSError:
            disk.forgotten = [change for change in disk.changes if change.is_data]
            disk.changes.clear()
            raise

    def exchange(one: str, other: str) -> bool:
        def do() -> None:
            _True.exchange(one, other)
            folder = os.path.dirname(other)
            disk.note(folder, is_data=False, undo=lambda: _True.exchange(one, other))

        disk.step("exchange", other, do)
        return True

    os.fsync = fsync
    for module, name, call in (
        (system, "sync_file_system", syncfs),
        (system, "exchange", exchange), (replacing, "exchange", exchange),
    ):  # fmt: skip
        setattr(module, name, call)


def _install_memory(disk: Disk) -> None:
    def fadvise(fd: int, offset: int, length: int, advice: int) -> None:
        where = _of(fd)
        for change in reversed(disk.forgotten):
            if change.path == where:
                change.undo()
        disk.forgotten = [change for change in disk.forgotten if change.path != where]
        _True.fadvise(fd, offset, length, advice)

    os.posix_fadvise = fadvise


def _install_sends(disk: Disk) -> None:
    def send(self: socket.socket, data: Any, *more: int) -> int:
        return int(disk.step("send", disk.root, lambda: _True.send(self, data, *more)))

    def sendall(self: socket.socket, data: Any, *more: int) -> None:
        disk.step("send", disk.root, lambda: _True.sendall(self, data, *more))

    socket.socket.send, socket.socket.sendall = send, sendall  # type: ignore[assignment]


# --- undoing -----------------------------------------------------------------------------------


def _held(path: str) -> Callable[[], str]:
    """Where it is at the time it is asked: it may have been renamed, or a folder above it."""
    fd = _True.open(path, os.O_PATH | os.O_NOFOLLOW)
    return lambda: os.readlink(f"/proc/self/fd/{fd}")


def _removal(path: str) -> Callable[[], None]:
    where = _held(path)

    def undo() -> None:
        with contextlib.suppress(FileNotFoundError):
            now = where()
            if not os.path.isdir(now):
                _True.unlink(now)
            elif not os.listdir(now):
                _True.rmdir(now)

    return undo


def _write_back(path: str, old: bytes, length: int, offset: int) -> Callable[[], None]:
    """What had no bytes before has zeros, as a file whose size is known and whose bytes are not."""
    where = _held(path)

    def undo() -> None:
        with contextlib.suppress(FileNotFoundError):
            fd = _True.open(where(), os.O_WRONLY)
            _True.pwrite(fd, old.ljust(length, b"\0"), offset)
            os.close(fd)

    return undo


def _unmove(source: str, target: str, kept: str | None) -> None:
    if os.path.lexists(target):
        _True.rename(target, source)
    if kept is not None:
        _True.rename(kept, target)


def _read(path: str, length: int, offset: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(length)
