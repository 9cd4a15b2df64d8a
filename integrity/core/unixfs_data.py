"""The UnixFS message inside a dag-pb node, as any IPFS tool may have written it (specs.ipfs.tech/unixfs)."""

from __future__ import annotations

from typing import NamedTuple

from integrity.core.dagpb import fields, read_varint
from integrity.errors import FormatError

RAW_DATA, DIRECTORY, FILE, METADATA, SYMLINK, SHARD = range(6)

MURMUR3 = 0x22
"""The multihash code of murmur3-x64-64, the one function that places names in shards."""

_FANOUT_LIMIT = 1024
_NO_FANOUT = 256


class UnixFs(NamedTuple):
    """``blocksizes`` are the bytes of the file below each link, in their order; ``data`` are bytes of
    the file that stand in the node itself, before those of its links.
    """

    kind: int
    data: bytes
    size: int | None
    blocksizes: list[int]
    fanout: int

    @property
    def is_file(self) -> bool:
        return self.kind in {RAW_DATA, FILE}


def parse_unixfs(message: bytes) -> UnixFs:
    """Read a node's data. Raises FormatError, also for a shard of no usable fanout."""
    numbers: dict[int, int] = {}
    data = b""
    blocksizes: list[int] = []
    for field, value in fields(message):
        if field == 4:
            blocksizes += [value] if isinstance(value, int) else _packed(value)
        elif isinstance(value, int):
            numbers[field] = value
        elif field == 2:
            data = value
    kind = numbers.get(1)
    if kind is None or kind > SHARD:
        raise FormatError("a dag-pb node that holds no UnixFS data")
    fanout, hashed_by = numbers.get(6, _NO_FANOUT), numbers.get(5, MURMUR3)
    if kind == SHARD and (not 8 <= fanout <= _FANOUT_LIMIT or fanout & (fanout - 1)):
        raise FormatError(f"a sharded directory of the fanout {fanout}")
    if kind == SHARD and hashed_by != MURMUR3:
        raise FormatError(f"a sharded directory of the hash function 0x{hashed_by:x}")
    return UnixFs(kind, data, numbers.get(3), blocksizes, fanout)


def _packed(data: bytes) -> list[int]:
    values, at = [], 0
    while at < len(data):
        value, at = read_varint(data, at)
        values.append(value)
    return values
