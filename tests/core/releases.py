"""Strategies and small helpers for the tests of the core: paths, entries, manifests, a scratch."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence

from hypothesis import strategies as st

from integrity.core.manifest import FileEntry, Header, encode_file, encode_header
from integrity.core.paths import check_path
from integrity.core.pieces import PIECE_SIZE, piece_count
from integrity.core.tree import TreeBuilder
from integrity.core.unixfs import file_node
from integrity.errors import FormatError

PUBLISHER = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


class MemoryScratch:
    """The scratch port over a byte array."""

    def __init__(self) -> None:
        self.held = bytearray()

    def append(self, data: bytes) -> int:
        offset = len(self.held)
        self.held += data
        return offset

    def read(self, offset: int, size: int) -> bytes:
        return bytes(self.held[offset : offset + size])


def is_safe(path: str) -> bool:
    try:
        check_path(path)
    except FormatError:
        return False
    return True


_SIGNS = " !\"#$%&'()+,-.;<=>?@[]^_`{|}~"
_PART = st.one_of(
    st.text("abAB09" + _SIGNS, min_size=1, max_size=12),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=12),
).map(lambda part: unicodedata.normalize("NFC", part))

safe_paths = st.lists(_PART, min_size=1, max_size=4).map("/".join).filter(is_safe)
"""Paths that a release may have, of all kinds of characters."""


@st.composite
def entries(draw: st.DrawFn) -> FileEntry:
    """A file of any size up to a few pieces; its digests are of nothing in particular."""
    path = draw(safe_paths)
    sizes = (0, 1, PIECE_SIZE - 1, PIECE_SIZE, PIECE_SIZE + 1, 3 * PIECE_SIZE)
    size = draw(st.sampled_from(sizes) | st.integers(0, 9 * PIECE_SIZE))
    count = piece_count(size)
    digests = draw(st.binary(min_size=32 * count, max_size=32 * count))
    if size == 0:
        digests = hashlib.sha256().digest()
    also = draw(st.fixed_dictionaries({}, optional=_also(several=count > 1)))
    return FileEntry(path, size, digests, draw(st.booleans()), also)


def _also(*, several: bool) -> dict[str, st.SearchStrategy[str]]:
    hexadecimal = "0123456789abcdef"
    spellings = {
        "ed2k": st.text(hexadecimal, min_size=32, max_size=32),
        "sha1": st.text(hexadecimal, min_size=40, max_size=40),
        "tth": st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", min_size=39, max_size=39),
    }
    if several:
        spellings["sha256"] = st.text(hexadecimal, min_size=64, max_size=64)
    return spellings


def simple(path: str, content: bytes = b"x") -> FileEntry:
    """A small file."""
    return FileEntry(path, len(content), hashlib.sha256(content).digest())


def header_of(files: Sequence[FileEntry], package: str = "tool", version: str = "1.2.0") -> Header:
    """The header that is true of these files."""
    tree = TreeBuilder(MemoryScratch())
    for file in files:
        tree.add(file.path, file_node(file.size, file.digests))
    size = sum(file.size for file in files)
    return Header(PUBLISHER, package, version, tree.finish().cid, len(files), size)


def manifest_of(files: Iterable[FileEntry], package: str = "tool", version: str = "1.2.0") -> bytes:
    """A whole manifest that is true to itself."""
    ordered = sorted(files, key=lambda file: file.path.encode())
    lines = [encode_header(header_of(ordered, package, version)), *map(encode_file, ordered)]
    return b"".join(lines)
