"""The receiving end of a download: which pieces are there, which are wanted, where they go."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from integrity.core.manifest import FileEntry
from integrity.core.pieces import PIECE_SIZE, piece_count, piece_digest, piece_length
from integrity.disk.comparing import Checked, Comparison
from integrity.disk.safetree import SafeTree, set_executable, write_refused
from integrity.disk.system import Signature, read_at, regular_signature, write_at
from integrity.errors import DiskError, UnsafePath
from integrity.fetch.engine import Want
from integrity.ports import Progress, Report
from integrity.verifier.content import step7_piece

Entries = Callable[[], Iterator[FileEntry]]


@dataclass(slots=True)
class _OpenFile:
    """A file that pieces are being written to; closed with the last of them."""

    fd: int
    left: int


class Receiver:
    """Fills a tree with the files of a manifest; use as a context manager.

    ``entries`` gives the manifest's files from the start as often as it is called. What is in the
    tree already counts only as far as it is hashed and matches: there is no other record of what
    was fetched, so none can be wrong, lost or of another file.
    """

    def __init__(self, tree: SafeTree, entries: Entries) -> None:
        self._tree = tree
        self._entries = entries
        self._have: bytearray | None = None
        self._lock = threading.Lock()
        self._open: set[int] = set()

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *_: object) -> None:
        for fd in self._open:
            os.close(fd)
        self._open.clear()

    # --- what is there -------------------------------------------------------------------------

    def scan(self, report: Report | None) -> int:
        """Hash what is in the tree and clear away what does not belong -> bytes that are right."""
        if not any(self._tree.root.iterdir()):
            return 0
        have = bytearray()
        bit = present = 0
        comparison = Comparison(self._tree.root, self._entries())
        for checked in comparison:
            count = piece_count(checked.entry.size)
            have.extend(bytes((bit + count + 7) // 8 - len(have)))
            for index in self._right_pieces(checked):
                have[(bit + index) // 8] |= 1 << (bit + index) % 8
                present += piece_length(checked.entry.size, index)
            bit += count
            if report:
                report(Progress("resuming", comparison.hashed_bytes))
        for path in comparison.surplus:
            self._tree.remove(path)
        self._have = have
        return present

    def _right_pieces(self, checked: Checked) -> Iterator[int]:
        """The pieces that have their digests; none of a file that could not be hashed."""
        wrong = {problem.piece for problem in checked.problems}
        if checked.signature is not None:
            yield from (i for i in range(piece_count(checked.entry.size)) if i not in wrong)
        elif any(problem.reason == "size" for problem in checked.problems):
            yield from self._salvaged(checked.entry)

    def _salvaged(self, entry: FileEntry) -> Iterator[int]:
        """The same of a file that has not its size, which it gets here: a crash can cut a file short
        whose pieces had all arrived.
        """
        fd = self._tree.open_write(entry.path, entry.size, executable=entry.executable)
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

    def wants(self) -> Iterator[Want]:
        """Every piece that is missing, in the manifest's order."""
        bit = 0
        for entry in self._entries():
            count = piece_count(entry.size)
            missing = [i for i in range(count) if not self._has(bit + i)]
            bit += count
            if missing:
                yield from self._wants_of(entry, missing)

    def _has(self, bit: int) -> bool:
        return self._have is not None and bool(self._have[bit // 8] >> bit % 8 & 1)

    def _wants_of(self, entry: FileEntry, missing: list[int]) -> Iterator[Want]:
        fd = self._tree.open_write(entry.path, entry.size, executable=entry.executable)
        if entry.size == 0:
            os.close(fd)
            return
        with self._lock:
            self._open.add(fd)
        file = _OpenFile(fd, len(missing))
        for index in missing:
            yield Want(
                entry.path,
                index,
                piece_digest(entry.digests, index),
                piece_length(entry.size, index),
                self._keeper(file, entry.path, index * PIECE_SIZE),
            )

    def _keeper(self, file: _OpenFile, path: str, offset: int) -> Callable[[memoryview], None]:
        def keep(data: memoryview) -> None:
            try:
                write_at(file.fd, data, offset)
                with self._lock:
                    file.left -= 1
                    if file.left == 0:
                        self._open.discard(file.fd)
                        os.close(file.fd)
            except OSError as error:
                raise write_refused(path, error, path) from error

        return keep

    # --- whether it is whole -------------------------------------------------------------------

    def complete(self) -> list[Signature]:
        """Step 8: every file of the manifest stands there, a regular file of its size -> their
        stats. Raises UnsafePath when somebody put something else in a file's place.
        """
        signatures = []
        for entry in self._entries():
            signature = regular_signature(self._tree.stat(entry.path))
            if signature is None or signature[0] != entry.size:
                raise UnsafePath(
                    f"{entry.path!r} was changed by somebody else while it was downloaded",
                    next="Run the same command again; what is still right is kept.",
                    evidence={"path": entry.path},
                )
            signatures.append(self._with_mode(entry, signature))
        return signatures

    def _with_mode(self, entry: FileEntry, signature: Signature) -> Signature:
        """Files that were there before may have another x bit."""
        if self._have is None:
            return signature
        with contextlib.suppress(OSError):
            fd = self._tree.open_read(entry.path)
            try:
                set_executable(fd, executable=entry.executable)
            finally:
                os.close(fd)
        return regular_signature(self._tree.stat(entry.path)) or signature
