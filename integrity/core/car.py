"""CAR files (ipld.io/specs/transport/car): version 1 written and read, version 2 read.

Read as a stream, section by section, with a limit on everything that declares its own length. The
blocks are checked against their CIDs by whoever reads them, as only they know whom to blame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from integrity.core.anycid import AnyCid, decode_any_cid, read_cid
from integrity.core.cbor import links_of_cbor
from integrity.core.dagpb import BLOCK_LIMIT, varint
from integrity.errors import FormatError, LimitExceeded, NonCanonical

HEADER_LIMIT = 1 << 20
"""Bytes of a header: 25,000 roots, far more than anybody has."""

SECTION_LIMIT = BLOCK_LIMIT + 200
"""Bytes of a section: the largest block that IPFS nodes exchange, and its CID."""

_PRAGMA = bytes.fromhex("0aa16776657273696f6e02")
_V2_HEADER = 40
_VARINT_LIMIT = 9
_PORTION = 512 << 10
_PARTS = 512

Read = Callable[[int], bytes]
"""Gives up to that many bytes, none at the end, as a file's ``read`` does."""


class Section(NamedTuple):
    """One block of a CAR, as it says; whether the block is that CID's is not checked yet.

    ``offset`` is where the block begins, in bytes from the start of what was read.
    """

    cid: AnyCid
    block: bytes
    offset: int


def car_header(roots: Iterable[bytes]) -> bytes:
    """The header of a CARv1 with these binary CIDs as roots, its length before it."""
    listed = list(roots)
    links = (b"\xd8\x2a" + _cbor_head(2, len(root) + 1) + b"\0" + root for root in listed)
    body = b"".join((b"\xa2\x65roots", _cbor_head(4, len(listed)), *links, b"\x67version\x01"))
    return varint(len(body)) + body


def car_section(cid: bytes, size: int) -> bytes:
    """What stands before a block of ``size`` bytes: the section's length, and the binary CID."""
    return varint(len(cid) + size) + cid


def car_portions(
    roots: Iterable[AnyCid], blocks: Iterable[tuple[AnyCid, bytes]], at_least: int = _PORTION
) -> Iterator[bytes]:
    """A whole CARv1 in portions of that many bytes and a block more, or of fewer when these are very
    many blocks; blocks inside CIDs are left out.

    Whatever ``blocks`` raises is raised after what came before it was given out.
    """
    return map(b"".join, car_parts(roots, blocks, at_least))


def car_parts(
    roots: Iterable[AnyCid], blocks: Iterable[tuple[AnyCid, bytes]], at_least: int = _PORTION
) -> Iterator[list[bytes]]:
    """The same, with each portion still in its parts: what stands before a block, and the block."""
    parts = [car_header(bytes(root) for root in roots)]
    size = 0
    try:
        for cid, block in blocks:
            if cid.inlined is not None:
                continue
            parts += (car_section(bytes(cid), len(block)), block)
            size += len(block)
            if size >= at_least or len(parts) >= _PARTS:
                yield parts
                parts, size = [], 0
    except Exception:
        yield parts
        raise
    yield parts


def _cbor_head(major: int, value: int) -> bytes:
    if value < 24:
        return bytes((major << 5 | value,))
    size, code = (1, 24) if value < 1 << 8 else (2, 25) if value < 1 << 16 else (4, 26)
    return bytes((major << 5 | code,)) + value.to_bytes(size, "big")


class CarReader:
    """The header is read when it is made, into ``roots``; then iterate over its sections, once.

    Raises FormatError for what is no CAR or is cut off, NonCanonical, LimitExceeded, HashUnsupported.
    """

    def __init__(self, read: Read) -> None:
        self._source = read
        self._left: int | None = None
        self._ahead = b""
        self.offset = 0
        first = self._take(len(_PRAGMA), "the header", at_least=0)
        if not first:
            raise FormatError("an empty file is no CAR")
        self._ahead = first
        if first == _PRAGMA:
            self._ahead = b""
            self._enter_v2()
        self.roots = self._read_header()

    def __iter__(self) -> Iterator[Section]:
        while (length := self._varint()) is not None:
            if length > SECTION_LIMIT:
                raise LimitExceeded(
                    f"a CAR section of {length} bytes; the limit is {SECTION_LIMIT}"
                )
            if length == 0:
                raise FormatError("a CAR section of no bytes")
            body = self._exactly(length, "a section")
            cid, at = read_cid(body)
            if len(body) - at > BLOCK_LIMIT:
                raise LimitExceeded(
                    f"a block of {len(body) - at} bytes; the limit is {BLOCK_LIMIT}"
                )
            yield Section(cid, body[at:], self.offset - len(body) + at)
        if self._left:
            raise FormatError(
                f"the CAR ends after {self.offset} bytes, {self._left} before it says"
            )

    # --- the header ----------------------------------------------------------------------------

    def _enter_v2(self) -> None:
        header = self._exactly(_V2_HEADER, "the header of a CARv2")
        offset = int.from_bytes(header[16:24], "little")
        size = int.from_bytes(header[24:32], "little")
        before = len(_PRAGMA) + _V2_HEADER
        if not before <= offset <= before + HEADER_LIMIT:
            raise FormatError(f"a CARv2 whose data begins at {offset}")
        self._exactly(offset - before, "the padding of a CARv2")
        self._left = size

    def _read_header(self) -> list[AnyCid]:
        length = self._varint()
        if not length:
            raise FormatError("not a CAR: it begins with an empty header")
        if length > HEADER_LIMIT:
            raise LimitExceeded(f"a CAR header of {length} bytes; the limit is {HEADER_LIMIT}")
        raw = self._exactly(length, "the header")
        try:
            roots = [decode_any_cid(link) for link in links_of_cbor(raw)]
        except FormatError as error:
            raise FormatError(f"not a CAR: its header is none ({error.message})") from error
        if car_header(bytes(root) for root in roots) != varint(length) + raw:
            raise NonCanonical(
                "not a CAR: its header is not that of version 1, written canonically"
            )
        return roots

    # --- bytes ---------------------------------------------------------------------------------

    def _take(self, count: int, what: str, *, at_least: int) -> bytes:
        """Up to ``count`` bytes; FormatError when there are fewer than ``at_least``."""
        if self._left is not None:
            count = min(count, self._left)
        data = self._source(count) if count else b""
        if len(data) < count:
            parts = bytearray(data)
            while len(parts) < count and (more := self._source(count - len(parts))):
                parts += more
            data = bytes(parts)
        if len(data) < at_least:
            raise FormatError(f"the CAR ends in {what}, after {self.offset + len(data)} bytes")
        if self._left is not None:
            self._left -= len(data)
        self.offset += len(data)
        return data

    def _exactly(self, count: int, what: str) -> bytes:
        ahead, self._ahead = self._ahead[:count], self._ahead[count:]
        return ahead + self._take(count - len(ahead), what, at_least=count - len(ahead))

    def _varint(self) -> int | None:
        """The next varint, None at the end. Minimal, of nine bytes at most (multiformats)."""
        value = shift = 0
        while True:
            if self._ahead:
                byte, self._ahead = self._ahead[:1], self._ahead[1:]
            else:
                byte = self._take(1, "a length", at_least=1 if shift else 0)
            if not byte:
                return None
            value |= (byte[0] & 0x7F) << shift
            if byte[0] < 0x80:
                if byte[0] == 0 and shift:
                    raise NonCanonical("a varint that is longer than it needs to be")
                return value
            shift += 7
            if shift >= 7 * _VARINT_LIMIT:
                raise LimitExceeded("a varint of more than nine bytes")
