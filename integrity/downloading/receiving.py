"""The receiving end of a download: which pieces are there, which are wanted, where they go."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from integrity.core.manifest import FileEntry
from integrity.core.pieces import PIECE_SIZE, piece_count, piece_digest, piece_length
from integrity.disk.comparing import Checked, Comparison
from integrity.disk.openfiles import OpenFiles
from integrity.disk.remembered import Stats
from integrity.disk.safetree import SafeTree, write_refused
from integrity.disk.system import (
    Signature,
    clone,
    keeps_execute_bits,
    read_at,
    regular_signature,
    write_at,
)
from integrity.errors import DiskError, UnsafePath
from integrity.fetch.plan import Lack
from integrity.ports import FileHolder, Piece, Progress, Report
from integrity.verifier.content import step7_piece

Entries = Callable[[], Iterator[FileEntry]]


class Receiver:
    """Fills a tree with files of a manifest; use as a context manager.

    ``entries`` gives the files from the start as often as it is called. What is in the tree already
    counts only as far as it is hashed and matches: there is no other record of what was fetched, so
    none can be wrong, lost or of another file. ``scratch`` is a folder of ours on the same file system.
    ``mended`` counts what was put right besides pieces: a file's length, or whether it is executable.
    """

    def __init__(self, tree: SafeTree, entries: Entries, scratch: Path) -> None:
        self._tree = tree
        self._entries = entries
        self._files = OpenFiles(tree)
        self._lock = threading.Lock()
        self._have = bytearray()
        self._odd: set[str] = set()
        self.bytes = self.bits = self.mended = 0
        self._scratch = scratch
        self.before: Stats | None = None

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    # --- what is there -------------------------------------------------------------------------

    def clone_from(self, holders: Sequence[FileHolder]) -> None:
        """Let large files that are not there yet share the bytes of files of that name, where the file
        system can: what of them is right is for :meth:`scan` to say. Raises DiskError or UnsafePath.
        """
        able = list(holders)
        for entry in self._entries():
            if not able:
                return
            if entry.size > PIECE_SIZE:
                able = [holder for holder in able if self._clone(holder, entry)]

    def _clone(self, holder: FileHolder, entry: FileEntry) -> bool:
        """Clone this file, if it is not there and the holder has it -> whether the holder can be asked
        for others.
        """
        if self._tree.stat(entry.path) is not None:
            return True
        try:
            source = holder.open_file(entry.path)
        except (OSError, UnsafePath):
            return True
        try:
            target = self._tree.open_write(entry.path, 0)
            try:
                able = clone(source, target)
            except OSError as error:
                raise write_refused(entry.path, error, entry.path) from error
            finally:
                os.close(target)
        finally:
            os.close(source)
        if not able:
            self._tree.remove(entry.path)
        return able

    def scan(self, report: Report | None, *, clear: bool = True) -> list[str]:
        """Hash what is in the tree; ``bytes`` then says how much is right. What does not belong there
        is cleared away, or, without ``clear``, left alone -> the paths of files that are too many. If all
        is right, ``before`` are the files' stats from before they were read.
        """
        if not any(self._tree.root.iterdir()):
            return []
        first = 0
        comparison = Comparison(self._tree.root, self._entries())
        self.before = Stats()
        for checked in comparison:
            if checked.problems or checked.signature is None:
                self.before = None
            elif self.before is not None:
                self.before.add(checked.signature)
            for index in self._right_pieces(checked):
                self._note(first + index, piece_length(checked.entry.size, index))
            first += piece_count(checked.entry.size)
            if report:
                report(Progress("resuming", comparison.hashed_bytes))
        if clear:
            for path in comparison.surplus:
                self._tree.remove(path)
        return comparison.extra

    def _note(self, number: int, length: int) -> None:
        with self._lock:
            missing = number // 8 + 1 - len(self._have)
            if missing > 0:
                self._have.extend(bytes(missing))
            self._have[number // 8] |= 1 << number % 8
            self.bytes += length

    def _has(self, number: int) -> bool:
        at = number // 8
        return at < len(self._have) and bool(self._have[at] >> number % 8 & 1)

    def _right_pieces(self, checked: Checked) -> Iterator[int]:
        """The pieces that have their digests; none of a file that could not be hashed."""
        wrong = {problem.piece for problem in checked.problems}
        if checked.signature is not None:
            yield from (i for i in range(piece_count(checked.entry.size)) if i not in wrong)
        elif any(problem.reason == "size" for problem in checked.problems):
            yield from self._salvaged(checked.entry)

    def _salvaged(self, entry: FileEntry) -> Iterator[int]:
        """The same of a file that has not its size: a crash can cut a file short whose pieces had all
        arrived.
        """
        self._odd.add(entry.path)
        try:
            fd = self._tree.open_read(entry.path)
        except OSError as error:
            raise DiskError(f"cannot read {entry.path!r}: {error.strerror or error}") from error
        try:
            buffer = memoryview(bytearray(PIECE_SIZE))
            for index in range(piece_count(entry.size)):
                piece = buffer[: piece_length(entry.size, index)]
                got = read_at(fd, piece, index * PIECE_SIZE)
                if step7_piece(piece[:got], piece_digest(entry.digests, index)) is None:
                    yield index
        except OSError as error:
            raise DiskError(f"cannot read {entry.path!r}: {error.strerror or error}") from error
        finally:
            os.close(fd)

    # --- what is wanted ------------------------------------------------------------------------

    def lacks(self) -> Iterator[Lack]:
        """Every file, and which of its pieces are missing, in the manifest's order."""
        first = 0
        for entry in self._entries():
            count = piece_count(entry.size)
            missing = [index for index in range(count) if not self._has(first + index)]
            if missing and entry.size == 0:
                self._tree.write_file(entry.path, memoryview(b""))
                self._note(first, 0)
                self.mended += 1
                missing = []
            elif not missing and entry.path in self._odd:
                os.close(self._tree.open_write(entry.path, entry.size))
                self._odd.discard(entry.path)
                self.mended += 1
            yield Lack(entry, first, missing)
            first += count

    def keep(self, piece: Piece, data: memoryview) -> None:
        """Put a piece that verified into its place. Raises DiskError or UnsafePath."""
        if piece.size <= PIECE_SIZE:
            self._tree.write_file(piece.path, data)
        else:
            try:
                with self._files.writing(piece.path, piece.size) as fd:
                    write_at(fd, data, piece.offset)
            except OSError as error:
                raise write_refused(piece.path, error, piece.path) from error
        self._odd.discard(piece.path)  # it has its size now
        self._note(piece.number, len(data))

    # --- whether it is whole -------------------------------------------------------------------

    def complete(self) -> Stats:
        """Step 8: every file of the manifest stands there, a regular file of its size, executable or not
        -> their stats. Raises UnsafePath when somebody put something else in a file's place, DiskError
        when an execute bit cannot be set that the file system could keep; ``bits`` counts the others.
        """
        stats = Stats()
        self._tree.look_anew()
        for entry in self._entries():
            info = self._tree.stat(entry.path)
            signature = regular_signature(info)
            if info is None or signature is None or signature[0] != entry.size:
                raise UnsafePath(
                    f"{entry.path!r} was changed by somebody else while it was downloaded",
                    next="Run the same command again; what is still right is kept.",
                    evidence={"path": entry.path},
                )
            if not _is_as_told(info, entry):
                signature = self._set_executable(entry) or signature
            stats.add(signature)
        return stats

    def _set_executable(self, entry: FileEntry) -> Signature | None:
        why = "it stays as it was"
        try:
            self._tree.set_executable(entry.path, executable=entry.executable)
        except OSError as error:
            why = error.strerror or str(error)
        info = self._tree.stat(entry.path)
        if info is not None and not _is_as_told(info, entry):
            if not self.bits and keeps_execute_bits(self._scratch):
                what = "executable" if entry.executable else "not executable"
                raise DiskError(
                    f"cannot make {entry.path!r} {what}, as the release has it: {why}",
                    next="Find out whose file it is, and run the same command again.",
                    evidence={"path": entry.path},
                )
            self.bits += 1
        else:
            self.mended += 1
        return regular_signature(info)


def _is_as_told(info: os.stat_result, entry: FileEntry) -> bool:
    return os.name != "posix" or bool(info.st_mode & stat.S_IXUSR) == entry.executable
