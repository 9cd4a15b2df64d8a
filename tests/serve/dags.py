"""DAGs of all kinds for the tests of the gateway, written out plainly, and CAR answers read back."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import TypeAlias, Union

from integrity.core.anycid import DAG_CBOR, DAG_JSON, IDENTITY, AnyCid, cid_of
from integrity.core.anycid import any_cid as widened
from integrity.core.car import CarReader
from integrity.core.cid import DAG_PB, RAW, Cid
from integrity.core.dagpb import parse_node, varint
from integrity.core.unixfs import name_hash, sharded_directory_node
from integrity.errors import FormatError
from integrity.home import Home
from integrity.store.database import Store
from integrity.store.importing import import_car

from .helpers import Reply

Cbor: TypeAlias = Union[AnyCid, str, int, "list[Cbor]", "dict[str, Cbor]", None]

DIRECTORY = b"\x08\x01"


class Dag:
    """Blocks that are made one after another, children before their parents.

    ``blocks`` are the blocks, ``below`` are the links of each in their order.
    """

    def __init__(self) -> None:
        self.blocks: dict[AnyCid, bytes] = {}
        self.below: dict[AnyCid, list[AnyCid]] = {}
        self.sizes: dict[AnyCid, int] = {}

    def add(
        self, codec: int, block: bytes, links: Iterable[AnyCid] = (), version: int = 1
    ) -> AnyCid:
        """Any block."""
        cid = cid_of(codec, block)._replace(version=version)
        self.blocks[cid] = block
        self.below[cid] = list(links)
        return cid

    def raw(self, data: bytes) -> AnyCid:
        cid = self.add(RAW, data)
        self.sizes[cid] = len(data)
        return cid

    def node(
        self, links: Iterable[tuple[AnyCid, str]], data: bytes | None, version: int = 1
    ) -> AnyCid:
        """A dag-pb node of (CID, name) links."""
        listed = list(links)
        return self.add(DAG_PB, node(listed, data), (cid for cid, _ in listed), version)

    def file(self, *children: AnyCid, data: bytes = b"", version: int = 1) -> AnyCid:
        """A UnixFS file over parts that were made before, its own bytes before theirs."""
        sizes = [self.sizes[child] for child in children]
        size = len(data) + sum(sizes)
        message = b"\x08\x02" + (field(2, data) if data else b"") + b"\x18" + varint(size)
        message += b"".join(b"\x20" + varint(part) for part in sizes)
        cid = self.node(((child, "") for child in children), message, version)
        self.sizes[cid] = size
        return cid

    def folder(self, entries: Mapping[str, AnyCid], version: int = 1) -> AnyCid:
        """A plain directory."""
        ordered = sorted(entries.items(), key=lambda item: item[0].encode())
        return self.node(((cid, name) for name, cid in ordered), DIRECTORY, version)

    def sharded(self, entries: Mapping[str, AnyCid]) -> AnyCid:
        """A sharded directory (HAMT)."""
        items = sorted((name_hash(n.encode()), n.encode(), bytes(c), 1) for n, c in entries.items())

        def emit(_: bytes, block: bytes) -> None:
            links = [cid for cid, _ in _links(block)]
            self.add(DAG_PB, block, links)

        return widened(sharded_directory_node(iter(items), emit).cid)

    def cbor(self, value: Cbor) -> AnyCid:
        links: list[AnyCid] = []
        return self.add(DAG_CBOR, _cbor(value, links), links)

    def json(self, text: str, *links: AnyCid) -> AnyCid:
        return self.add(DAG_JSON, text.encode(), links)

    def car(self, root: AnyCid, without: Iterable[AnyCid] = ()) -> bytes:
        """A CARv1 of all blocks but some."""
        link = b"\0" + bytes(root)
        head = b"\xa2\x65roots\x81\xd8\x2a" + _cbor_head(2, len(link)) + link + b"\x67version\x01"
        gone = set(without)
        sections = (bytes(cid) + block for cid, block in self.blocks.items() if cid not in gone)
        return b"".join(varint(len(part)) + part for part in (head, *sections))

    def put_in(self, home: Home, without: Iterable[AnyCid] = ()) -> None:
        """Import all blocks but some into a home's store; the last one made is the root."""
        with Store(home.store) as store:
            import_car(store, io.BytesIO(self.car(next(reversed(self.blocks)), without)).read)

    def walk(self, root: AnyCid, *, dups: bool = False) -> list[AnyCid]:
        """All blocks below a root, depth first, as the specification orders them."""
        found: list[AnyCid] = []

        def visit(cid: AnyCid) -> None:
            if dups or cid not in found:
                found.append(cid)
                for child in self.below[cid]:
                    visit(child)

        visit(root)
        return found

    def way(self, shard: AnyCid, name: str) -> list[AnyCid]:
        """The shards from a sharded directory's root to the entry of a name, and the entry."""
        for cid, label in _links(self.blocks[shard]):
            if label[2:] == name.encode():
                return [shard, cid]
            if len(label) == 2 and (found := self.way(cid, name)):
                return [shard, *found]
        return []


def _links(block: bytes) -> list[tuple[AnyCid, bytes]]:
    links, _ = parse_node(block)
    return [(widened(Cid(k.cid[1], k.cid[4:])), k.name or b"") for k in links]


def field(number: int, data: bytes) -> bytes:
    """A protobuf field of bytes."""
    return bytes((number << 3 | 2,)) + varint(len(data)) + data


def node(links: Iterable[tuple[AnyCid, str]], data: bytes | None) -> bytes:
    """The block of a dag-pb node."""
    parts = [field(2, field(1, bytes(c)) + field(2, n.encode()) + b"\x18\x01") for c, n in links]
    return b"".join(parts) + (b"" if data is None else field(1, data))


def identity(codec: int, block: bytes) -> AnyCid:
    """A CID that holds its block."""
    return AnyCid(1, codec, bytes((IDENTITY, len(block))) + block)


def _cbor_head(major: int, value: int) -> bytes:
    if value < 24:
        return bytes((major << 5 | value,))
    assert value < 256
    return bytes((major << 5 | 24, value))


def _cbor(value: Cbor, links: list[AnyCid]) -> bytes:
    if value is None:
        return b"\xf6"
    if isinstance(value, AnyCid):
        links.append(value)
        return b"\xd8\x2a" + _cbor_head(2, len(bytes(value)) + 1) + b"\0" + bytes(value)
    if isinstance(value, int):
        return _cbor_head(0, value)
    if isinstance(value, str):
        return _cbor_head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return _cbor_head(4, len(value)) + b"".join(_cbor(item, links) for item in value)
    ordered = sorted(value.items(), key=lambda item: (len(item[0]), item[0]))
    return _cbor_head(5, len(value)) + b"".join(
        _cbor(k, links) + _cbor(v, links) for k, v in ordered
    )


# --- answers -----------------------------------------------------------------------------------


def dechunked(body: bytes) -> tuple[bytes, bool]:
    """The bytes of a chunked body, and whether its last chunk came (RFC 9112, section 7.1)."""
    data = bytearray()
    while body:
        line, _, rest = body.partition(b"\r\n")
        size = int(line, 16) if line else 0
        if size == 0:
            return bytes(data), line == b"0" and rest == b"\r\n"
        data += rest[:size]
        body = rest[size + 2 :]
    return bytes(data), False


def car_of(reply: Reply, root: AnyCid) -> list[AnyCid]:
    """The CIDs of a CAR that came whole, each block checked."""
    assert reply.status == 200, reply
    assert reply.headers["transfer-encoding"] == "chunked"
    data, whole = dechunked(reply.body)
    assert whole
    cids, complete = sections(data, root)
    assert complete
    return cids


def cut_car_of(reply: Reply, root: AnyCid) -> list[AnyCid]:
    """The CIDs of the blocks that came of a CAR which no client can take for the whole."""
    assert reply.status == 200, reply
    assert reply.headers["transfer-encoding"] == "chunked"
    data, whole = dechunked(reply.body)
    assert not whole
    return sections(data, root)[0]


def sections(data: bytes, root: AnyCid) -> tuple[list[AnyCid], bool]:
    """The CIDs of a CAR's whole sections, each block checked, and whether nothing was cut off."""
    cids = []
    try:
        car = CarReader(io.BytesIO(data).read)
        assert car.roots == [root]
        for section in car:
            assert section.cid.is_of(section.block)
            assert section.cid.inlined is None
            cids.append(section.cid)
    except FormatError as error:
        assert "ends in" in error.message  # noqa: PT017 - all else is a broken CAR
        return cids, False
    return cids, True
