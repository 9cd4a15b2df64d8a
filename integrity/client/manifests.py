"""Step 6 around the I/O it needs: a manifest brought to disk, checked, and read again."""

from __future__ import annotations

import contextlib
import math
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from io import RawIOBase
from pathlib import Path
from types import TracebackType

from integrity.client.session import Session
from integrity.core.manifest import HEADER_LIMIT, FileEntry, Header
from integrity.core.pieces import piece_length, split_digests
from integrity.core.reading import (
    MANIFEST_LIMIT,
    ManifestDigest,
    check_manifest,
    iter_files,
    manifest_leaves,
    read_header,
)
from integrity.disk.files import read_chunks
from integrity.disk.sidecars import sidecar_path
from integrity.disk.spooling import NodeSpool
from integrity.disk.system import write_at
from integrity.disk.temporary import TemporaryFolder, TemporaryScratch
from integrity.errors import (
    DiskError,
    FormatError,
    IntegrityError,
    LimitExceeded,
    ManifestInvalid,
    SourceError,
    UsageError,
)
from integrity.fetch.engine import Fetcher
from integrity.fetch.pool import Batch
from integrity.fetch.tallies import SourceTally, failure
from integrity.ports import MANIFEST, ManifestHolder, Piece
from integrity.verifier.content import manifest_digest, step6_manifest

_WHAT = "the manifest"
_PORTION = 1 << 20
_HELD = 8 << 20
"""Bytes of a manifest up to which its files are held in memory, as they are gone through more than once."""

_PATIENCE = (30.0, 600.0, math.inf)
"""Seconds that one source may take for all of a manifest while there are others to be asked."""


def _from_its_header(portions: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes, once their first line is a manifest's. Raises FormatError."""
    first = bytearray()
    for portion in portions:
        first += portion
        if b"\n" in portion or len(first) > HEADER_LIMIT:
            break
    if first:
        read_header([bytes(first)])
        yield bytes(first)
    yield from portions


def digest_beside(folder: Path) -> bytes | None:
    """The digest of the manifest beside a folder; None when there is none that can be read."""
    sidecar = sidecar_path(folder)
    try:
        return manifest_digest(lambda: read_chunks(sidecar))
    except (OSError, IntegrityError):
        return None


class _Slow(Exception):
    """Others are to be asked first."""


class ManifestFile:
    """A manifest in a temporary file; use as a context manager."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._folder = TemporaryFolder(session.home.scratch_folder())
        self._held: list[FileEntry] | None = None

    def __enter__(self) -> ManifestFile:
        self._folder.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._folder.__exit__(kind, error, tb)

    @property
    def path(self) -> Path:
        return self._folder.path / "manifest"

    # --- bringing it ---------------------------------------------------------------------------

    def copy(self, source: Path) -> None:
        """Take the bytes of a regular file, whatever they are. Raises UsageError when it cannot be
        read, LimitExceeded when it has more than a manifest may have.
        """
        try:
            info = source.stat()
            if not stat.S_ISREG(info.st_mode):
                raise UsageError(f"{str(source)!r} is not a file")
            if info.st_size > MANIFEST_LIMIT:
                raise LimitExceeded(
                    f"{str(source)!r} has more than the {MANIFEST_LIMIT} bytes of a manifest"
                )
            given = source.open("rb", buffering=0)
        except OSError as error:
            raise _cannot_read(source, error) from error
        with given, _no_room(), self.path.open("wb") as kept:
            for portion in _read(given, source):
                kept.write(portion)

    def fetch(self, fetcher: Fetcher, digest: bytes) -> None:
        """Fetch it by its digest: block by block, each checked, or from beside the files.

        Raises SourcesLied or SourcesUnavailable, or ManifestInvalid when the recorded root block is
        no manifest's.
        """
        root = self._fetch_root(fetcher, digest)
        if root is None:
            if not self._take_files(fetcher.tallies, digest):
                raise failure(fetcher.tallies, _WHAT)
            return
        try:
            leaves = manifest_leaves(root)
        except FormatError as error:
            raise ManifestInvalid(error.message, evidence={"digest": digest.hex()}) from error
        with _no_room():
            if leaves is None:
                self.path.write_bytes(root)
            else:
                self._fetch_leaves(fetcher, *leaves)

    def _take_files(self, tallies: Sequence[SourceTally], digest: bytes) -> bool:
        """Whether a source has the manifest as a file of its own. Nothing of it can be checked before it
        is whole: whoever takes long is asked again after the others, with more patience.
        """
        left = [t for t in tallies if t.lie is None and isinstance(t.source, ManifestHolder)]
        for patience in _PATIENCE:
            seconds = math.inf if len(left) == 1 else patience
            slow = []
            for tally in left:
                try:
                    if self._take_file(tally, digest, time.monotonic() + seconds):
                        return True
                except _Slow:
                    slow.append(tally)
            left = slow
        return False

    def _take_file(self, tally: SourceTally, digest: bytes, deadline: float) -> bool:
        """The same of one; raises _Slow past the deadline (time.monotonic)."""
        source = tally.source
        assert isinstance(source, ManifestHolder)
        size = 0
        try:
            with _no_room(), self.path.open("wb") as file:
                for portion in _from_its_header(iter(source.manifest())):
                    size += len(portion)
                    if size > MANIFEST_LIMIT:
                        raise LimitExceeded(f"more than {MANIFEST_LIMIT} bytes")
                    if time.monotonic() > deadline:
                        raise _Slow
                    file.write(portion)
            if size and manifest_digest(self.chunks) == digest:
                return True
            what = "has another manifest" if size else "has no manifest beside it"
        except SourceError as error:
            what = error.message.removeprefix(f"{source.name}: ")
        except FormatError:
            what = "has something beside it that is no manifest"
        tally.note(f"{source.name}: {what}")
        return False

    def take(self, node: Callable[[bytes], bytes | None], digest: bytes) -> bool:
        """Take it out of a store, whose ``node`` gives blocks by their digest -> whether it is there.

        The blocks are not checked here; whatever was taken is checked as a whole afterwards.
        """
        root = node(digest)
        if root is None:
            return False
        try:
            leaves = manifest_leaves(root)
            digests = [digest] if leaves is None else split_digests(leaves[1])
            with _no_room(), self.path.open("wb") as file:
                for leaf in digests:
                    block = node(leaf)
                    if block is None:
                        return False
                    file.write(block)
        except FormatError:
            return False
        return True

    def _fetch_root(self, fetcher: Fetcher, digest: bytes) -> bytes | None:
        """The block of which only the digest is known; at most one piece long."""
        kept = _Kept()
        piece = Piece(0, MANIFEST, 0, digest, None, 0)
        fetcher.run(lambda: [] if kept.found else [Batch([piece])], kept)
        return kept.found[0] if kept.found else None

    def _fetch_leaves(self, fetcher: Fetcher, size: int, digests: bytes) -> None:
        pieces = [
            Piece(at, MANIFEST, at, digest, piece_length(size, at), size)
            for at, digest in enumerate(split_digests(digests))
        ]
        with self.path.open("wb", buffering=0) as file:
            leaves = _Leaves(file.fileno())

            def missing() -> list[Batch]:
                left = [piece for piece in pieces if piece.number not in leaves.done]
                return [Batch(left)] if left else []

            fetcher.run(missing, leaves)
        if fetcher.missing is not None:
            raise failure(fetcher.tallies, _WHAT)

    # --- checking and reading ------------------------------------------------------------------

    def check(self, digest: bytes, names: tuple[str, str, str] | None) -> Header:
        """Step 6 against a digest; see :func:`integrity.verifier.content.step6_manifest`."""
        self._held = None
        with TemporaryScratch(self._folder.path) as scratch:
            return step6_manifest(self.chunks, digest, scratch, names)

    def nodes(self) -> NodeSpool:
        """Every node of the release and of the manifest, once it was checked."""
        spool = NodeSpool(self._folder.path / "nodes")
        with _no_room(), spool.writing() as emit, TemporaryScratch(self._folder.path) as scratch:
            check_manifest(self.chunks(), scratch, emit)
            digest = ManifestDigest(emit)
            for chunk in self.chunks():
                digest.update(chunk)
            digest.finish()
        return spool

    def check_alone(self) -> Header:
        """The manifest against itself, with no record to hold it against."""
        self._held = None
        with TemporaryScratch(self._folder.path) as scratch:
            return check_manifest(self.chunks(), scratch)

    def header(self) -> Header:
        """The header, before anything is checked."""
        return read_header(self.chunks())

    def chunks(self) -> Iterator[bytes]:
        return read_chunks(self.path)

    def entries(self) -> Iterator[FileEntry]:
        """The files, once it was checked."""
        if self._held is None and self.path.stat().st_size <= _HELD:
            self._held = list(iter_files(self.chunks()))
        return iter_files(self.chunks()) if self._held is None else iter(self._held)


class _Kept:
    """Keeps blocks in memory."""

    def __init__(self) -> None:
        self.found: list[bytes] = []

    def keep(self, _: Piece, data: memoryview) -> None:
        self.found.append(bytes(data))


class _Leaves:
    """Keeps blocks in a file."""

    def __init__(self, fd: int) -> None:
        self.done: set[int] = set()
        self._fd = fd

    def keep(self, piece: Piece, data: memoryview) -> None:
        with _no_room():
            write_at(self._fd, data, piece.offset)
        self.done.add(piece.number)


def _read(file: RawIOBase, source: Path) -> Iterator[bytes]:
    """What is left of a file that the user named. Raises UsageError."""
    while True:
        try:
            portion = file.read(_PORTION)
        except OSError as error:
            raise _cannot_read(source, error) from error
        if not portion:
            return
        yield portion


def _cannot_read(source: Path, error: OSError) -> UsageError:
    return UsageError(f"cannot read {str(source)!r}: {error.strerror or error}")


@contextlib.contextmanager
def _no_room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DiskError(f"no room for the manifest: {error.strerror or error}") from error
