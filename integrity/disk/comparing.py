"""A folder held against a manifest, in one pass over both in the same order."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from integrity.core.manifest import FileEntry
from integrity.core.pieces import piece_count, piece_digest
from integrity.disk.hashing import Hashed, Hasher, Job
from integrity.disk.system import Signature, signature
from integrity.disk.walk import Found, Walker
from integrity.errors import IntegrityError


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not as the manifest says. ``piece`` is None for the file as a whole.

    ``certain`` is False when it could not be looked at, so nothing is known.
    """

    path: str
    piece: int | None
    expected: str | int | None
    actual: str | int | None
    reason: str
    certain: bool = True


@dataclass(slots=True)
class Checked:
    """One file of the manifest, looked at. ``signature`` is its stat from before it was read, so that
    whatever changed since then shows; None when it was not read.
    """

    entry: FileEntry
    problems: list[Problem] = field(default_factory=list)
    signature: Signature | None = None


class Comparison:
    """Iterate over it for a :class:`Checked` of every entry; ``extra`` is complete afterwards.

    So is ``surplus``: the same, and folders without any file, by the names the system has for them.
    """

    def __init__(self, folder: Path, entries: Iterable[FileEntry]) -> None:
        self.extra: list[str] = []
        self.surplus: list[str] = []
        self.hashed_bytes = 0
        self._entries = entries
        self._odd: dict[str, IntegrityError] = {}
        self._unread: set[str] = set()
        self._walker = Walker(folder, on_odd=self._on_odd)

    def _on_odd(self, path: str, error: IntegrityError) -> None:
        self._odd[path] = error

    def __iter__(self) -> Iterator[Checked]:
        with Hasher[Checked](whole=False) as hasher:
            for hashed in hasher.run(self._jobs()):
                self.hashed_bytes = hasher.hashed_bytes
                checked = hashed.item
                _compare(checked, hashed)
                yield checked
        self.surplus += sorted(self._odd.keys() - self._unread)
        self.extra = sorted(map(_shown, self.surplus))
        self.surplus += self._walker.empty

    def _jobs(self) -> Iterator[Job[Checked]]:
        """Merge both orders. Files that need no hashing become jobs of nothing."""
        found = iter(self._walker)
        current = next(found, None)
        for entry in self._entries:
            key = entry.path.encode()
            while current is not None and current.path.encode() < key:
                self.surplus.append(current.path)
                current = next(found, None)
            if current is None or current.path != entry.path:
                yield self._absent(entry)
                continue
            yield self._present(entry, current)
            current = next(found, None)
        while current is not None:
            self.surplus.append(current.path)
            current = next(found, None)

    def _absent(self, entry: FileEntry) -> Job[Checked]:
        """Missing, or something that is no file, or below a folder that cannot be read."""
        odd = self._odd_above(entry.path)
        if odd is None:
            problem = Problem(entry.path, None, None, None, "missing")
        else:
            certain = not isinstance(odd.__cause__, OSError)
            problem = Problem(entry.path, None, None, None, odd.message, certain)
        return _nothing(Checked(entry, [problem]))

    def _odd_above(self, path: str) -> IntegrityError | None:
        """What was found odd at this path, which is then no extra, or at a folder above it."""
        if not self._odd:
            return None
        found = self._odd.pop(path, None)
        while found is None and "/" in path:
            path = path.rpartition("/")[0]
            found = self._odd.get(path)
            if found is not None and isinstance(found.__cause__, OSError):
                self._unread.add(path)  # a folder of the release, if it only could be read
        return found

    def _present(self, entry: FileEntry, found: Found) -> Job[Checked]:
        checked = Checked(entry)
        if found.info.st_size != entry.size:
            checked.problems.append(_wrong_size(entry, found.info.st_size))
        if os.name == "posix" and found.executable != entry.executable:
            checked.problems.append(
                Problem(
                    entry.path, None, _mode(entry.executable), _mode(found.executable), "executable"
                )
            )
        if found.info.st_size != entry.size:
            return _nothing(checked)
        try:
            job = Job(checked, found.open(), entry.size)
        except OSError as error:
            checked.problems.append(_unreadable(entry.path, error))
            return _nothing(checked)
        checked.signature = signature(found.info)
        return job


def _shown(path: str) -> str:
    """A path with what does not decode escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _nothing(checked: Checked) -> Job[Checked]:
    return Job(checked, None, 0)


def _mode(executable: bool) -> str:
    return "executable" if executable else "not executable"


def _unreadable(path: str, error: OSError) -> Problem:
    return Problem(path, None, None, None, f"unreadable: {error.strerror or error}", certain=False)


def _wrong_size(entry: FileEntry, actual: int) -> Problem:
    return Problem(entry.path, None, entry.size, actual, "size")


def _compare(checked: Checked, hashed: Hashed[Checked]) -> None:
    entry = checked.entry
    if hashed.error is not None:
        checked.signature = None
        checked.problems.append(_unreadable(entry.path, hashed.error))
        return
    if hashed.after is None:
        return
    if hashed.after[0] != entry.size:  # it grew or shrank since the folder was listed
        checked.problems.append(_wrong_size(entry, hashed.after[0]))
    if hashed.digests == entry.digests:
        return
    for index in range(piece_count(entry.size)):
        expected = piece_digest(entry.digests, index)
        actual = piece_digest(hashed.digests, index)
        if expected != actual:
            checked.problems.append(
                Problem(entry.path, index, expected.hex(), actual.hex(), "digest")
            )
