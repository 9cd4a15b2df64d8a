"""Walking a folder in the order of a manifest, without ever leaving it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from integrity.core.paths import check_part
from integrity.disk import system
from integrity.errors import IntegrityError, PathRefused

OnOdd = Callable[[str, IntegrityError], None]
"""Told of an entry that a release cannot hold, and why; its path is as os.fsdecode gives it."""


_Entry = tuple[bytes, str, os.stat_result]
"""Sort key (a folder sorts as its name and a slash), name, stat."""


@dataclass(slots=True)
class Found:
    """A regular file: ``path`` is inside the release; `open` works until the next one is asked for."""

    path: str
    info: os.stat_result
    open: Callable[[], int]

    @property
    def executable(self) -> bool:
        """The owner's x bit."""
        return bool(self.info.st_mode & stat.S_IXUSR) and os.name == "posix"


@dataclass(slots=True)
class _Level:
    """An open folder on the way down; ``any`` says that a file was found in it or below."""

    fd: int | None
    where: bytes
    prefix: str
    identity: tuple[int, int]
    entries: Iterator[_Entry]
    any: bool = False

    def close(self) -> None:
        if self.fd is not None:
            os.close(self.fd)


class Walker:
    """Goes through the files of ``root`` sorted by the UTF-8 bytes of their paths.

    Refuses, with PathRefused or UnsafePath and the path's name, whatever a release cannot hold; with
    ``on_odd`` it reports that there, by path, and goes on without it. Folders without any file
    below them are named in ``empty`` and left out.
    """

    def __init__(
        self, root: Path, *, follow_symlinks: bool = False, on_odd: OnOdd | None = None
    ) -> None:
        self.root = root
        self.follow = follow_symlinks
        self._on_odd = on_odd
        self.empty: list[str] = []

    def __iter__(self) -> Iterator[Found]:
        try:
            info = os.stat(self.root)
        except OSError as error:
            raise _refused(str(self.root), error) from error
        if stat.S_ISREG(info.st_mode):
            yield from self._single(info)
        elif stat.S_ISDIR(info.st_mode):
            yield from self._folders(info)
        else:
            raise PathRefused(f"{str(self.root)!r} is neither a folder nor a regular file")

    def _single(self, info: os.stat_result) -> Iterator[Found]:
        name = _decode(os.fsencode(self.root.name), "")
        check_part(name, name)
        yield Found(name, info, lambda: system.open_read(os.fspath(self.root), follow=True))

    def _folders(self, root: os.stat_result) -> Iterator[Found]:
        """Everything below the root, without recursion: paths may be two thousand folders deep."""
        stack: list[_Level] = []
        identity = (root.st_dev, root.st_ino)
        self._enter(os.fsencode(self.root), "", identity, stack)
        try:
            while stack:
                level = stack[-1]
                entry = next(level.entries, None)
                if entry is None:
                    self._leave(stack)
                    continue
                key, name, info = entry
                raw = key.removesuffix(b"/")
                place = raw if level.fd is not None else os.path.join(level.where, raw)
                if key.endswith(b"/"):
                    identity = (info.st_dev, info.st_ino)
                    self._enter(place, level.prefix + name + "/", identity, stack)
                else:
                    level.any = True
                    yield Found(level.prefix + name, info, self._opener(place, level.fd))
        finally:
            for level in stack:
                level.close()

    def _enter(
        self, place: bytes, prefix: str, identity: tuple[int, int], stack: list[_Level]
    ) -> None:
        """Open one folder; ``place`` is its name inside the one above, or its path."""
        fd: int | None = None
        try:
            if any(identity == level.identity for level in stack):
                raise PathRefused(f"the folder {prefix[:-1]!r} contains itself through a link")
            if system.HAS_DIR_FD:
                above = stack[-1].fd if stack else None
                fd = system.open_directory(place, dir_fd=above, follow=self.follow or not stack)
            entries = self._entries(fd if fd is not None else place, prefix)
        except (OSError, IntegrityError) as error:
            if fd is not None:
                os.close(fd)
            if isinstance(error, OSError):
                error = _refused(prefix[:-1] or str(self.root), error)
            if self._on_odd is None or not stack:
                raise error from error.__cause__
            self._on_odd(prefix[:-1], error)
            return
        stack.append(_Level(fd, place, prefix, identity, iter(entries)))

    def _leave(self, stack: list[_Level]) -> None:
        level = stack.pop()
        level.close()
        if level.any and stack:
            stack[-1].any = True
        elif not level.any and stack:
            self.empty.append(level.prefix[:-1])

    def _opener(self, place: bytes, fd: int | None) -> Callable[[], int]:
        return lambda: system.open_read(place, dir_fd=fd, follow=self.follow)

    def _entries(self, place: int | bytes, prefix: str) -> list[_Entry]:
        """A folder's entries in the manifest's order."""
        entries: list[_Entry] = []
        with os.scandir(place) as scan:
            for found in scan:
                try:
                    entries.append(self._entry(found, prefix))
                except IntegrityError as error:
                    if self._on_odd is None:
                        raise
                    self._on_odd(prefix + os.fsdecode(found.name), error)
        entries.sort(key=lambda entry: entry[0])
        return entries

    def _entry(self, found: os.DirEntry[str] | os.DirEntry[bytes], prefix: str) -> _Entry:
        raw = os.fsencode(found.name)
        name = _decode(raw, prefix)
        path = prefix + name
        check_part(name, path)
        if found.is_symlink() and not self.follow:
            raise PathRefused(
                f"{path!r} is a symbolic link",
                next="Publish with --follow-symlinks to take what it points at.",
            )
        try:
            info = found.stat(follow_symlinks=self.follow)
        except OSError as error:
            raise _refused(path, error) from error
        if stat.S_ISDIR(info.st_mode):
            raw += b"/"
        elif not stat.S_ISREG(info.st_mode):
            raise PathRefused(
                f"{path!r} is a special file (a socket, pipe or device)",
                next="Remove it from the folder, then publish again.",
            )
        return raw, name, info


def _decode(raw: bytes, prefix: str) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PathRefused(
            f"the name {raw!r} in {repr(prefix) if prefix else 'the folder'} is not UTF-8",
            next="Rename it, then publish again.",
        ) from error


def _refused(path: str, error: OSError) -> PathRefused:
    refusal = PathRefused(
        f"cannot read {path!r}: {error.strerror or error}",
        next="Mend the path or its permissions, then run the same command again.",
        evidence={"path": path},
    )
    refusal.__cause__ = error
    return refusal
