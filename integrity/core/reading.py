"""A whole manifest as a stream: lines in, checked files out (spec v1, section 3.4).

The stream is checked as it passes, in memory that does not grow with it; only when it has ended is
it known whether the header told the truth, so nothing may be believed before :func:`check_manifest`
has returned.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from integrity.core.manifest import (
    HEADER_LIMIT,
    LINE_LIMIT,
    FileEntry,
    Header,
    decode_file,
    decode_header,
)
from integrity.core.pieces import PIECE_SIZE
from integrity.core.sorting import Scratch
from integrity.core.tree import TreeBuilder
from integrity.core.unixfs import FANOUT, Emit, Node, drop, file_node, leaves_of_root
from integrity.errors import FormatError, LimitExceeded, NonCanonical, TotalsMismatch

MANIFEST_LIMIT = FANOUT * PIECE_SIZE
"""Bytes of a manifest: one file root over 1,024 leaves, so a single block vouches for all of it."""


def split_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Cut a stream into lines, each with its LF; the first may have HEADER_LIMIT bytes, the others
    LINE_LIMIT, all together MANIFEST_LIMIT. Raises LimitExceeded as soon as one is passed.
    """
    held: list[bytes] = []
    held_size = total = 0
    limit = HEADER_LIMIT
    for chunk in chunks:
        total += len(chunk)
        if total > MANIFEST_LIMIT:
            raise LimitExceeded(f"a manifest of more than {MANIFEST_LIMIT} bytes")
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            if held_size + len(line) >= limit:
                raise LimitExceeded(f"a line of more than {limit} bytes")
            yield b"".join((*held, line, b"\n"))
            held, held_size = [], 0
            limit = LINE_LIMIT
        if rest:
            held.append(rest)
            held_size += len(rest)
            if held_size >= limit:
                raise LimitExceeded(f"a line of more than {limit} bytes")
    if held:
        yield b"".join(held)


def iter_files(chunks: Iterable[bytes]) -> Iterator[FileEntry]:
    """The files of a manifest that :func:`check_manifest` has accepted, once more."""
    lines = split_lines(chunks)
    next(lines, None)
    return map(decode_file, lines)


def read_header(chunks: Iterable[bytes]) -> Header:
    """The header alone; what it says of the rest is not checked."""
    line = next(split_lines(chunks), None)
    if line is None:
        raise FormatError("an empty manifest")
    return decode_header(line)


def check_manifest(chunks: Iterable[bytes], scratch: Scratch, emit: Emit = drop) -> Header:
    """Read a whole manifest and check everything it says against itself.

    ``emit`` is given every directory and file node of the release. Returns the header. Raises
    FormatError and its kinds: NonCanonical, UnsafePath, NameCollision, HashUnsupported,
    LimitExceeded, TotalsMismatch.
    """
    lines = split_lines(chunks)
    first = next(lines, None)
    if first is None:
        raise FormatError("an empty manifest")
    header = decode_header(first)
    tree = TreeBuilder(scratch, emit)
    files = size = 0
    for number, line in enumerate(lines, 2):
        if files == header.files:
            raise TotalsMismatch(f"the header declares {header.files} files, but more follow")
        try:
            entry = decode_file(line)
            tree.add(entry.path, file_node(entry.size, entry.digests, emit))
        except FormatError as error:
            error.evidence.setdefault("line", number)
            raise
        files += 1
        size += entry.size
        if size > header.size:
            raise TotalsMismatch(f"the files have more than the {header.size} bytes declared")
    _compare(header, files, size, tree.finish())
    return header


def _compare(header: Header, files: int, size: int, root: Node) -> None:
    for what, declared, actual in (
        ("files", header.files, files),
        ("size", header.size, size),
        ("content", str(header.content), str(root.cid)),
    ):
        if declared != actual:
            raise TotalsMismatch(
                f"the header's {what} is {declared}, but its lines give {actual}",
                evidence={"declared": declared, "actual": actual},
            )


def manifest_leaves(root: bytes) -> tuple[int, bytes] | None:
    """What the block of a recorded digest is (spec v1, 3.5): None when it is the manifest itself,
    else the manifest's size in bytes and the digests of its pieces. Raises FormatError.
    """
    if len(root) > PIECE_SIZE:
        raise LimitExceeded(f"a manifest's root block of more than {PIECE_SIZE} bytes")
    if root[:1] == b"{":
        return None
    if root[:1] != b"\x12":
        raise FormatError("the recorded digest is of something that is no manifest")
    return leaves_of_root(root)


class ManifestDigest:
    """The digest a registry records: SHA-256 of the manifest's UnixFS root block.

    For a manifest of at most 1 MiB that is the SHA-256 of the manifest itself.
    """

    def __init__(self, emit: Emit = drop) -> None:
        self._emit = emit
        self._piece = bytearray()
        self._digests = bytearray()
        self._size = 0

    def update(self, data: bytes) -> None:
        """Take more of the manifest, in any portions; LimitExceeded past MANIFEST_LIMIT."""
        self._size += len(data)
        if self._size > MANIFEST_LIMIT:
            raise LimitExceeded(f"a manifest of more than {MANIFEST_LIMIT} bytes")
        self._piece += data
        while len(self._piece) > PIECE_SIZE:
            self._leaf(bytes(self._piece[:PIECE_SIZE]))
            del self._piece[:PIECE_SIZE]

    def _leaf(self, leaf: bytes) -> None:
        digest = hashlib.sha256(leaf).digest()
        self._digests += digest
        self._emit(digest, leaf)

    def finish(self) -> bytes:
        """The 32 bytes; nothing may be added afterwards.

        NonCanonical when the bytes are a manifest's root block: they have the digest of a manifest
        that is too long for one block, and are none.
        """
        if not self._digests and self._piece[:1] == b"\x12":
            raise NonCanonical("the root block of a manifest in the manifest's place")
        self._leaf(bytes(self._piece))
        return file_node(self._size, bytes(self._digests), self._emit).cid.digest
