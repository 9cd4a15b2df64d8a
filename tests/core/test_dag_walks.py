"""Walks through any DAG, held against plain recursion: links, paths, scopes, spans, limits."""

from __future__ import annotations

import hashlib
import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import assume
from hypothesis import strategies as st

from integrity.core import dag, unixfs
from integrity.core import tree as tree_module
from integrity.core.anycid import DAG_CBOR, DAG_JSON, AnyCid, any_cid, cid_of, decode_any_cid
from integrity.core.cid import DAG_PB, RAW
from integrity.core.dag import (
    BlockMissing,
    NoSuchPath,
    Scope,
    Span,
    Visited,
    Walk,
    file_size,
    is_outside,
    links_of,
    resolve,
)
from integrity.core.dagpb import LooseLink, parse_node
from integrity.core.pieces import PIECE_SIZE
from integrity.core.tree import TreeBuilder
from integrity.core.unixfs import file_node
from integrity.core.unixfs_data import UnixFs, parse_unixfs
from integrity.errors import FormatError, HashUnsupported, LimitExceeded, NonCanonical

from . import plain_unixfs as plain
from .releases import MemoryScratch
from .test_cbor_links import Link, encode, followed, nested
from .unhurried import example, given, settings

RAW_DATA, FOLDER, FILE, METADATA, SYMLINK, SHARD = range(6)
UNKNOWN = 0x78  # a codec that nobody here reads
LOADS = 20_000


class Blocks:
    """Blocks as a walk loads them; remembers which were, and gives up when it is asked for ever."""

    def __init__(self) -> None:
        self.held: dict[bytes, bytes] = {}
        self.loaded: list[AnyCid] = []

    def put(self, codec: int, block: bytes, *, version: int = 1, inline: bool = False) -> AnyCid:
        if inline and len(block) <= 128:
            return AnyCid(1, codec, b"\0" + plain.leb128(len(block)) + block)
        cid = cid_of(codec, block)._replace(version=version)
        self.held[cid.key] = block
        return cid

    def node(self, links: Iterable[PbLink], data: bytes | None = None, **how: Any) -> AnyCid:
        return self.put(DAG_PB, pb(links, data), **how)

    def load(self, cid: AnyCid) -> bytes:
        self.loaded.append(cid)
        assert len(self.loaded) <= LOADS, "loads without an end"
        block = self.held.get(cid.key) if cid.inlined is None else cid.inlined
        if block is None:
            raise BlockMissing(cid)
        return block


# --- foreign blocks, as plainly as they can be written -------------------------------------------


class PbLink(NamedTuple):
    """A dag-pb link; its name and its size may be missing."""

    cid: AnyCid
    name: bytes | None = None
    tsize: int | None = None


def pb(links: Iterable[PbLink], data: bytes | None = None, *, data_first: bool = False) -> bytes:
    written = b"".join(plain.field(0x12, pb_link(link)) for link in links)
    last = b"" if data is None else plain.field(0x0A, data)
    return last + written if data_first else written + last


def pb_link(link: PbLink) -> bytes:
    name = b"" if link.name is None else plain.field(0x12, link.name)
    tsize = b"" if link.tsize is None else b"\x18" + plain.leb128(link.tsize)
    return plain.field(0x0A, bytes(link.cid)) + name + tsize


def fs(
    kind: int,
    data: bytes | None = None,
    sizes: Sequence[int] = (),
    size: int | None = None,
    *,
    packed: bool = False,
) -> bytes:
    """A UnixFS message."""
    numbers = [plain.leb128(each) for each in sizes]
    return b"".join((
        bytes((8, kind)),
        b"" if data is None else plain.field(0x12, data),
        b"" if size is None else b"\x18" + plain.leb128(size),
        plain.field(0x22, b"".join(numbers)) if packed else b"".join(b"\x20" + n for n in numbers),
    ))  # fmt: skip


def as_cbor(value: Any) -> bytes:
    """DAG-CBOR of a value whose links are AnyCids."""
    return encode(mapped(value, lambda cid: Link(bytes(cid))))


def as_json(value: Any) -> bytes:
    return json.dumps(mapped(value, lambda cid: {"/": str(cid)})).encode()


def mapped(value: Any, written: Callable[[AnyCid], Any]) -> Any:
    if isinstance(value, AnyCid):
        return written(value)
    if isinstance(value, dict):
        return {key: mapped(inner, written) for key, inner in value.items()}
    return [mapped(each, written) for each in value] if isinstance(value, list) else value


# --- dag-pb nodes and UnixFS messages of anybody's -----------------------------------------------

any_cids = st.builds(cid_of, st.sampled_from([RAW, DAG_PB]), st.binary(max_size=4))
pb_links = st.builds(
    PbLink, any_cids, st.none() | st.binary(max_size=20), st.none() | st.integers(0, 2**63 - 1)
)


@given(st.lists(pb_links, max_size=5), st.none() | st.binary(max_size=20), st.booleans())
def test_a_node_of_anybodys_is_read(
    links: list[PbLink], data: bytes | None, data_first: bool
) -> None:
    found, inside = parse_node(pb(links, data, data_first=data_first))
    assert found == [LooseLink(bytes(k.cid), k.name, k.tsize) for k in links]
    assert inside == data


_CID = cid_of(RAW, b"")
_LINK = plain.field(0x12, pb_link(PbLink(_CID)))
_OTHER = plain.field(0x0A, bytes(cid_of(RAW, b"x")))


def test_the_parts_of_a_node_may_stand_in_any_order() -> None:
    hashed, rest = plain.field(0x0A, bytes(_CID)), plain.field(0x12, b"n") + b"\x18\x05"
    turned = plain.field(0x12, rest + hashed)
    both = [LooseLink(bytes(_CID), b"n", 5), LooseLink(bytes(_CID), None, None)]
    assert parse_node(turned + plain.field(0x0A, b"data") + _LINK) == (both, b"data")


REFUSED = {
    "data twice": b"\x0a\x01x\x0a\x01x",
    "empty data twice": b"\x0a\x00\x0a\x00",
    "data twice around a link": b"\x0a\x01x" + _LINK + b"\x0a\x01x",
    "a third field": _LINK + b"\x1a\x00",
    "data that is a number": b"\x08\x01",
    "a link that is a number": b"\x10\x01",
    "a link without a hash": b"\x12\x02\x12\x00",
    "an empty link": b"\x12\x00",
    "a hash that is a number": b"\x12\x02\x08\x01",
    "a name that is a number": plain.field(0x12, pb_link(PbLink(_CID)) + b"\x10\x01"),
    "a size that is bytes": plain.field(0x12, pb_link(PbLink(_CID)) + b"\x1a\x01x"),
    "a link of two hashes": plain.field(0x12, pb_link(PbLink(_CID)) + _OTHER),
    "a link of two names": plain.field(0x12, pb_link(PbLink(_CID, b"a")) + b"\x12\x01b"),
    "a link of two sizes": plain.field(0x12, pb_link(PbLink(_CID, b"a", 1)) + b"\x18\x02"),
}


@pytest.mark.parametrize("block", REFUSED.values(), ids=REFUSED)
def test_fields_of_another_kind_or_given_twice_are_refused(block: bytes) -> None:
    with pytest.raises(NonCanonical):
        parse_node(block)


@given(
    st.integers(0, 5), st.binary(max_size=9), st.lists(st.integers(0, 2**63 - 1), max_size=9),
    st.none() | st.integers(0, 2**63 - 1), st.booleans(),
)  # fmt: skip
def test_a_message_of_anybodys_is_read(
    kind: int, data: bytes, sizes: list[int], size: int | None, packed: bool
) -> None:
    expected = UnixFs(kind, data, size, sizes, 256)
    message = fs(kind, data, sizes, size, packed=packed)
    mode_and_time = b"\x38\xed\x03" + plain.field(0x42, b"\x08\x01\x15" + bytes(4))
    for written in (message, message + mode_and_time, mode_and_time + message + b"\x5a\x01x"):
        assert parse_unixfs(written) == expected
    assert expected.is_file == (kind in {RAW_DATA, FILE})


@pytest.mark.parametrize("fanout", [8, 16, 32, 64, 128, 256, 512, 1024])
def test_a_shard_has_a_fanout_of_8_to_1024(fanout: int) -> None:
    assert parse_unixfs(fs(SHARD) + b"\x28\x22\x30" + plain.leb128(fanout)).fanout == fanout


@pytest.mark.parametrize(
    "message",
    [
        b"", b"\x12\x01x", b"\x08\x06", b"\x08\xff\x01", b"junk", b"\x08", b"\x08\x02\x22\x01\x80",
        *(b"\x08\x05\x28\x22\x30" + plain.leb128(n) for n in (0, 1, 4, 9, 255, 257, 2048, 2**62)),
        b"\x08\x05\x28\x12\x30\x80\x02", b"\x08\x05\x28\x23\x30\x80\x02",
    ],
)  # fmt: skip
def test_what_is_no_unixfs_is_refused(message: bytes) -> None:
    assert parse_unixfs(b"\x08\x05\x28\x22\x30\x80\x02").kind == SHARD
    with pytest.raises(FormatError):
        parse_unixfs(message)


# --- links ---------------------------------------------------------------------------------------


def test_links_are_found_by_the_codec() -> None:
    blocks = Blocks()
    leaf, old = blocks.put(RAW, b"leaf"), blocks.node([], fs(FILE, b"x"), version=0)
    inline = blocks.put(RAW, b"inline", inline=True)
    value = {"a": [leaf, {"b": old}], "b": 1, "cc": inline, "dd": {"/": {"bytes": "AA"}}}
    value["eee"] = {"/": "with another key it is no link", "a": 1}
    links = [leaf, old, inline]
    for codec, block in (
        (DAG_PB, pb([PbLink(cid) for cid in links])),
        (DAG_CBOR, as_cbor(value)),
        (DAG_JSON, as_json(value)),
    ):
        assert links_of(cid_of(codec, block), block) == links
        assert links_of(cid_of(RAW, block), block) == []
        assert links_of(cid_of(UNKNOWN, block), block) == []
        assert links_of(blocks.put(codec, block, inline=True), block) == links


NO_BLOCKS = {
    "a node that is cut off": (DAG_PB, b"\x12\x10abc"),
    "a node of fixed numbers": (DAG_PB, b"\x0d" + bytes(4)),
    "a node with no CID": (DAG_PB, b"\x12\x05\x0a\x03abc"),
    "a map that is cut off": (DAG_CBOR, b"\xa1"),
    "a CBOR link that is no CID": (DAG_CBOR, b"\xd8\x2a\x43\x00ab"),
    "a CBOR link of nothing": (DAG_CBOR, b"\xd8\x2a\x41\x00"),
    "no JSON": (DAG_JSON, b"{"),
    "nothing": (DAG_JSON, b""),
    "JSON that is no text": (DAG_JSON, b'"\xff"'),
    "a JSON number of many digits": (DAG_JSON, b"1" * 5000),
    "a JSON link that is no CID": (DAG_JSON, b'{"/": "abc"}'),
    "an empty JSON link": (DAG_JSON, b'{"/": ""}'),
    "a JSON link that is no text": (DAG_JSON, b'[1, {"/": "\\ud800"}]'),
    "1,025 levels of lists": (DAG_JSON, b"[" * 1025 + b"]" * 1025),
    "100,000 levels of lists": (DAG_JSON, b"[" * 100_000),
    "1,025 levels of maps": (DAG_JSON, b'{"a":' * 1025 + b"1" + b"}" * 1025),
}


@pytest.mark.parametrize(("codec", "block"), NO_BLOCKS.values(), ids=NO_BLOCKS)
def test_a_block_that_its_codec_cannot_read_is_refused(codec: int, block: bytes) -> None:
    blocks = Blocks()
    cid = blocks.put(codec, block)
    with pytest.raises(FormatError):
        links_of(cid, block)
    with pytest.raises(FormatError):
        list(Walk(blocks.load, dups=False).run([], cid, Scope.ALL, None))
    with pytest.raises((FormatError, NoSuchPath)):
        resolve(blocks.load, cid, ["a"], [])


@pytest.mark.parametrize("codec", [DAG_PB, DAG_CBOR, DAG_JSON])
def test_threat_21_a_link_of_sha1_is_refused(codec: int) -> None:
    weak = AnyCid(1, 0x78, b"\x11\x14" + bytes(20))
    written = {DAG_PB: pb([PbLink(weak)]), DAG_CBOR: as_cbor([weak]), DAG_JSON: as_json([weak])}
    with pytest.raises(HashUnsupported):
        links_of(cid_of(codec, written[codec]), written[codec])


@pytest.mark.parametrize("one", [(b"[", b"]"), (b'{"a":', b"}")])
def test_json_of_more_than_1_024_levels_is_not_even_parsed(one: tuple[bytes, bytes]) -> None:
    for levels in (1025, 100_000):
        block = one[0] * levels + b"1" + one[1] * levels
        with pytest.raises(LimitExceeded):
            links_of(cid_of(DAG_JSON, block), block)
    block = one[0] * 500 + as_json(_CID) + one[1] * 500
    assert links_of(cid_of(DAG_JSON, block), block) == [_CID]


def test_the_depth_of_json_is_measured_in_every_encoding_it_is_read_in() -> None:
    """A process ends in C when JSON is nested deeper than its stack, if some library has raised the
    limit of recursion, as the one below eth_account does; DAG-JSON is UTF-8.
    """
    script = (
        "import sys; sys.setrecursionlimit(100_000)\n"
        "from integrity.core.anycid import DAG_JSON, cid_of\n"
        "from integrity.core.dag import links_of\n"
        "from integrity.errors import FormatError\n"
        "text = '[\"\\u2200\",' + '[' * 90_000 + ']' * 90_001\n"
        "for encoding in ('utf-8', 'utf-16-le', 'utf-16-be', 'utf-32-le', 'utf-16', 'utf-8-sig'):\n"
        "    block = text.encode(encoding)\n"
        "    try:\n"
        "        links_of(cid_of(DAG_JSON, block), block)\n"
        "    except FormatError:\n"
        "        print(encoding)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert (done.returncode, len(done.stdout.split())) == (0, 6)


@given(st.sampled_from([DAG_PB, DAG_CBOR, DAG_JSON]), st.binary(max_size=60), st.integers(0, 2))
@example(DAG_PB, b"\x0a\x04\x08\x02\x20\x01", 1)
@example(DAG_JSON, b"[]", 0)
def test_arbitrary_blocks_raise_nothing_but_what_is_said(
    codec: int, block: bytes, wrapped: int
) -> None:
    blocks = Blocks()
    cid = blocks.put(codec, block)
    if wrapped:  # as what a node holds
        cid = blocks.node([PbLink(_CID)] * (wrapped - 1), block)
        block = blocks.held[cid.key]
    runs: list[Callable[[], object]] = [
        lambda: links_of(cid, block),
        lambda: file_size(block),
        lambda: is_outside(Span(-5, 9), cid.codec, block),
        lambda: resolve(blocks.load, cid, ["0", "a"], []),
        *(
            lambda scope=scope, span=span: list(
                Walk(blocks.load, dups=False).run([], cid, scope, span)
            )
            for scope, span in itertools.product(Scope, (None, Span(0, None), Span(-3, 5)))
        ),
    ]
    for run in runs:
        try:
            run()
        except (FormatError, BlockMissing, NoSuchPath):
            continue


# --- the reference: plain recursion --------------------------------------------------------------

Below = Mapping[AnyCid, Sequence[AnyCid]]


def depth_first(below: Below, cid: AnyCid) -> Iterator[AnyCid]:
    yield cid
    for child in below.get(cid, ()):
        yield from depth_first(below, child)


def once(cids: Iterable[AnyCid]) -> list[AnyCid]:
    return list(dict.fromkeys(cids))


def walk(
    blocks: Blocks, cid: AnyCid, scope: Scope, span: Span | None = None, *, dups: bool = False,
    passed: Sequence[Visited] = (),
) -> list[AnyCid]:  # fmt: skip
    found = []
    for visited, block in Walk(blocks.load, dups=dups).run(list(passed), cid, scope, span):
        assert block == (blocks.held[visited.key] if visited.inlined is None else visited.inlined)
        found.append(visited)
    return found


# --- scopes --------------------------------------------------------------------------------------


@st.composite
def dags(draw: st.DrawFn) -> tuple[Blocks, dict[AnyCid, list[AnyCid]], AnyCid]:
    """A few blocks of all codecs that link to each other; the last one is the root."""
    blocks = Blocks()
    below: dict[AnyCid, list[AnyCid]] = {}
    made: list[AnyCid] = []
    for number in range(draw(st.integers(1, 8))):
        links = draw(st.lists(st.sampled_from(made), max_size=3)) if made else []
        kind = draw(st.sampled_from(["pb", "old pb", "inline pb", "cbor", "json", "raw", "inline"]))
        salt = draw(st.sampled_from([0, number]))
        cid = _made(draw, blocks, kind, links, salt)
        below[cid] = [] if kind in {"raw", "inline"} else links
        made.append(cid)
    return blocks, below, made[-1]


def _made(draw: st.DrawFn, blocks: Blocks, kind: str, links: list[AnyCid], salt: int) -> AnyCid:
    if kind in {"raw", "inline"}:
        codec = draw(st.sampled_from([RAW, UNKNOWN]))
        return blocks.put(codec, b"leaf%d" % salt, inline=kind == "inline")
    if kind == "cbor":
        return blocks.put(DAG_CBOR, as_cbor({"salt": salt, "links": links}))
    if kind == "json":
        return blocks.put(DAG_JSON, as_json([{"salt": salt}, {"links": links}]))
    data = draw(st.sampled_from([None, fs(FOLDER), fs(FILE, b"%d" % salt), b"junk"]))
    names = [PbLink(cid, b"%d" % at) for at, cid in enumerate(links)]
    block = pb(names, data, data_first=draw(st.booleans()))
    return blocks.put(
        DAG_PB, block, version=0 if kind == "old pb" else 1, inline=kind == "inline pb"
    )


@given(dags())
def test_all_is_every_block_depth_first(
    made: tuple[Blocks, dict[AnyCid, list[AnyCid]], AnyCid],
) -> None:
    blocks, below, root = made
    expected = list(depth_first(below, root))
    assert walk(blocks, root, Scope.ALL, dups=True) == expected
    assert walk(blocks, root, Scope.ALL) == once(expected)
    assert walk(blocks, root, Scope.BLOCK) == [root]
    assert blocks.loaded == expected + once(expected) + [root]


@given(dags(), st.booleans(), st.data())
def test_a_missing_block_breaks_a_walk_off_where_it_stands(
    made: tuple[Blocks, dict[AnyCid, list[AnyCid]], AnyCid], dups: bool, data: st.DataObject
) -> None:
    blocks, below, root = made
    expected = list(depth_first(below, root))
    expected = expected if dups else once(expected)
    assume(any(cid.inlined is None for cid in expected))
    gone = data.draw(st.sampled_from([cid for cid in expected if cid.inlined is None]))
    del blocks.held[gone.key]
    found: list[Visited] = []
    with pytest.raises(BlockMissing) as caught:
        found.extend(Walk(blocks.load, dups=dups).run([], root, Scope.ALL, None))
    before = list(itertools.takewhile(lambda cid: cid.key != gone.key, expected))
    assert [cid for cid, _ in found] == before
    assert str(expected[len(before)]) in str(caught.value)


@given(dags(), st.sampled_from(Scope), st.booleans())
def test_the_blocks_of_a_path_come_first(
    made: tuple[Blocks, dict[AnyCid, list[AnyCid]], AnyCid], scope: Scope, dups: bool
) -> None:
    blocks, _, end = made
    inner = blocks.node([PbLink(end, b"end")], fs(FOLDER))
    top = blocks.node([PbLink(inner, b"in")], fs(FOLDER))
    passed: list[Visited] = []
    assert resolve(blocks.load, top, ["in", "end"], passed) == end
    assert passed == [(cid, blocks.held[cid.key]) for cid in (top, inner)]
    below = walk(blocks, end, scope, dups=dups)
    blocks.loaded.clear()
    assert walk(blocks, end, scope, dups=dups, passed=passed) == [top, inner, *below]
    assert top not in blocks.loaded  # they are there already


def test_entities_that_are_one_block() -> None:
    blocks = Blocks()
    leaf = blocks.put(RAW, b"leaf")
    links = [PbLink(leaf, b"a", 4)]
    shard = blocks.node([PbLink(leaf, b"0A" + b"a")], fs(SHARD) + b"\x28\x22\x30\x80\x02")
    for cid in (
        leaf,
        blocks.put(RAW, b"inline", inline=True),
        blocks.node(links, fs(FOLDER)),
        blocks.node(links, fs(METADATA)),
        blocks.node(links, fs(SYMLINK, b"../a")),
        blocks.node(links),
        blocks.node(links, b""),
        blocks.node(links, b"junk"),
        blocks.node(links, b"\x08\x07"),
        blocks.put(DAG_PB, b"no node"),
        blocks.put(DAG_CBOR, as_cbor([leaf])),
        blocks.put(DAG_JSON, as_json([leaf])),
        blocks.put(UNKNOWN, b"anything"),
        blocks.node([], fs(FILE, b"all of it")),
        blocks.node([], fs(RAW_DATA, b"all of it")),
        blocks.node([], fs(FILE)),
        shard,
    ):
        for span in (None, Span(0, None), Span(0, 0), Span(-3, None), Span(10**9, 0)):
            blocks.loaded.clear()
            assert walk(blocks, cid, Scope.ENTITY, span) == [cid] == blocks.loaded


# --- files and spans -----------------------------------------------------------------------------


class Part(NamedTuple):
    """A node of a file: the bytes it holds itself, and the parts below it, which follow them."""

    cid: AnyCid
    own: int
    below: tuple[Part, ...] = ()

    @property
    def size(self) -> int:
        return self.own + sum(part.size for part in self.below)


def all_parts(part: Part) -> Iterator[AnyCid]:
    yield part.cid
    for inner in part.below:
        yield from all_parts(inner)


def holding(part: Part, wanted: range, start: int = 0) -> Iterator[AnyCid]:
    """Every block below which a wanted byte stands, or in which it stands itself."""
    if not set(wanted) & set(range(start, start + part.size)):
        return
    yield part.cid
    at = start + part.own
    for inner in part.below:
        yield from holding(inner, wanted, at)
        at += inner.size


def bytes_of(span: Span, size: int) -> range:
    first = span.first if span.first >= 0 else max(0, size + span.first)
    last = size - 1 if span.last is None else span.last
    return range(first, min(size, (last if last >= 0 else size + last) + 1))


@st.composite
def parts(draw: st.DrawFn, blocks: Blocks, depth: int = 3) -> Part:
    """Any file: balanced or not, with bytes in its inner nodes, its leaves of all kinds."""
    data = draw(st.binary(max_size=3))
    form = draw(st.sampled_from(["raw", "inline raw", "file", "raw data", "inline file"]))
    inline = form.startswith("inline")
    if depth == 0 or draw(st.integers(0, 2)) == 0:
        if form in {"raw", "inline raw"}:
            return Part(blocks.put(RAW, data, inline=inline), len(data))
        kind = RAW_DATA if form == "raw data" else FILE
        size = draw(st.sampled_from([None, len(data)]))
        return Part(blocks.node([], fs(kind, data, (), size), inline=inline), len(data))
    below = tuple(draw(parts(blocks, depth - 1)) for _ in range(draw(st.integers(1, 4))))
    own = draw(st.sampled_from([None, b"", data]))
    part = Part(_CID, len(own or b""), below)
    message = fs(
        draw(st.sampled_from([FILE, FILE, RAW_DATA])), own, [inner.size for inner in below],
        draw(st.sampled_from([None, part.size])), packed=draw(st.booleans()),
    )  # fmt: skip
    name = draw(st.sampled_from([None, b""]))
    block = pb(
        [PbLink(inner.cid, name) for inner in below], message, data_first=draw(st.booleans())
    )
    version = draw(st.sampled_from([0, 1]))
    return part._replace(cid=blocks.put(DAG_PB, block, version=version, inline=inline))


@st.composite
def files(draw: st.DrawFn) -> tuple[Blocks, Part]:
    blocks = Blocks()
    return blocks, draw(parts(blocks))


offsets = st.integers(-60, 60) | st.sampled_from([0, 1, -1, 10**9, -(10**9), 2**63])
spans = st.builds(Span, offsets, st.none() | offsets)


@given(files(), spans, st.booleans())
@settings(max_examples=300)
def test_entity_bytes_are_the_blocks_that_hold_them(
    made: tuple[Blocks, Part], span: Span, dups: bool
) -> None:
    blocks, file = made
    expected = list(holding(file, bytes_of(span, file.size))) or [file.cid]
    expected = expected if dups else once(expected)
    # Blocks that hold none of the bytes are not even there.
    needed = {cid.key for cid in expected}
    blocks.held = {key: block for key, block in blocks.held.items() if key in needed}
    assert walk(blocks, file.cid, Scope.ENTITY, span, dups=dups) == expected
    block = blocks.load(file.cid)
    if file.cid.codec == DAG_PB:
        assert file_size(block) == file.size
    first = span.first if span.first >= 0 else max(0, file.size + span.first)
    ends_before = span.last is not None and span.last < -file.size
    outside = file.size > 0 and (first >= file.size or ends_before)
    assert is_outside(span, file.cid.codec, block) == outside


@given(files(), st.booleans())
def test_a_file_without_a_span_is_all_its_blocks(made: tuple[Blocks, Part], dups: bool) -> None:
    blocks, file = made
    expected = list(all_parts(file))
    expected = expected if dups else once(expected)
    assert walk(blocks, file.cid, Scope.ENTITY, dups=dups) == expected
    assert walk(blocks, file.cid, Scope.ALL, dups=dups) == expected


@given(files(), spans, st.booleans(), st.data())
def test_a_block_missing_inside_a_span_breaks_it_off(
    made: tuple[Blocks, Part], span: Span, dups: bool, data: st.DataObject
) -> None:
    blocks, file = made
    expected = list(holding(file, bytes_of(span, file.size))) or [file.cid]
    expected = expected if dups else once(expected)
    assume(any(cid.inlined is None for cid in expected))
    gone = data.draw(st.sampled_from([cid for cid in expected if cid.inlined is None]))
    del blocks.held[gone.key]
    found: list[Visited] = []
    with pytest.raises(BlockMissing):
        found.extend(Walk(blocks.load, dups=dups).run([], file.cid, Scope.ENTITY, span))
    before = list(itertools.takewhile(lambda cid: cid.key != gone.key, expected))
    assert [cid for cid, _ in found] == before


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_a_part_without_bytes_holds_none_of_them(at: int, levels: int) -> None:
    blocks = Blocks()
    below = [Part(blocks.put(RAW, bytes((n,)) * 5), 5) for n in range(2)]
    below.insert(at, Part(blocks.put(RAW, b""), 0))
    for _ in range(levels):
        links, sizes = [PbLink(part.cid) for part in below], [part.size for part in below]
        file = Part(blocks.node(links, fs(FILE, None, sizes, 10)), 0, tuple(below))
        below = [file]
    for span in (Span(0, None), Span(0, 4), Span(5, 9), Span(3, 6), Span(4, 4), Span(5, 5)):
        assert walk(blocks, file.cid, Scope.ENTITY, span) == list(holding(file, bytes_of(span, 10)))
    assert walk(blocks, file.cid, Scope.ENTITY) == list(all_parts(file))


@pytest.mark.parametrize("dups", [False, True])
def test_a_part_that_comes_again_is_once_cut_and_once_whole(dups: bool) -> None:
    """What was left out of it the first time is not left out the second."""
    blocks = Blocks()

    def over(*below: Part) -> Part:
        sizes = [part.size for part in below]
        message = fs(FILE, b"own", sizes)
        return Part(blocks.node([PbLink(p.cid) for p in below], message), 3, below)

    one, two = (Part(blocks.put(RAW, bytes((n,)) * 2), 2) for n in range(2))
    pair = over(one, two)
    file = over(pair, over(two, pair, pair), one, pair)
    for first, last in itertools.combinations_with_replacement(range(file.size), 2):
        expected = list(holding(file, range(first, last + 1)))
        found = walk(blocks, file.cid, Scope.ENTITY, Span(first, last), dups=dups)
        assert found == (expected if dups else once(expected))
        blocks.loaded.clear()


@pytest.mark.parametrize("sizes", [[], [5], [5, 5, 5]])
def test_a_file_that_does_not_say_what_is_below_has_no_spans(sizes: list[int]) -> None:
    """Wherever its node stands in the file, and whether all of it is asked for or a part."""
    blocks = Blocks()
    links = [PbLink(blocks.put(RAW, b"12345"), b"", 5), PbLink(blocks.put(RAW, b"67890"), b"", 5)]
    root = blocks.node(links, fs(FILE, None, sizes, 10))
    for above in ([root], [blocks.node([PbLink(root)], fs(FILE, None, [10], 10)), root]):
        assert walk(blocks, above[0], Scope.ENTITY) == [*above, *(link.cid for link in links)]
        for span in (Span(0, None), Span(3, 7), Span(0, 0)):
            found: list[Visited] = []
            with pytest.raises(FormatError):
                found.extend(Walk(blocks.load, dups=False).run([], above[0], Scope.ENTITY, span))
            assert [cid for cid, _ in found] == above


def test_sizes_that_lie_cost_nothing() -> None:
    blocks = Blocks()
    leaf = blocks.put(RAW, b"x")
    deep = blocks.node([PbLink(leaf)] * 3, fs(FILE, None, [2**62] * 3))
    root = blocks.node([PbLink(deep)] * 3, fs(FILE, None, [2**62] * 3, 7))
    for span in (Span(0, None), Span(2**61, 2**63), Span(-1, None), Span(-(2**63), -(2**62))):
        assert set(walk(blocks, root, Scope.ENTITY, span)) <= {root, deep, leaf}
    assert file_size(blocks.held[root.key]) == 7
    assert is_outside(Span(7, None), DAG_PB, blocks.held[root.key])


@pytest.mark.parametrize("data", [fs(FOLDER), fs(SYMLINK, b"x"), b"junk", b"", None])
def test_what_is_no_file_has_no_size(data: bytes | None) -> None:
    with pytest.raises(FormatError):
        file_size(pb([], data))
    with pytest.raises(FormatError):
        is_outside(Span(0, None), DAG_PB, pb([], data))
    with pytest.raises(FormatError):
        is_outside(Span(0, None), DAG_CBOR, b"\xa0")


def test_no_span_is_outside_of_an_empty_file() -> None:
    empty = pb([], fs(FILE, None, (), 0))
    assert file_size(empty) == 0
    assert not any(is_outside(Span(*span), DAG_PB, empty) for span in ((0, None), (5, 9), (-3, -1)))


# --- the files and folders of releases -----------------------------------------------------------


@given(st.integers(2, 60), st.integers(1, PIECE_SIZE), st.integers(2, 5), st.booleans(), st.data())
def test_spans_of_a_file_of_ours(
    count: int, last: int, fanout: int, dups: bool, data: st.DataObject
) -> None:
    """The leaves are loaded, but nothing looks at their bytes: so one byte each is enough."""
    blocks = Blocks()
    size = (count - 1) * PIECE_SIZE + last
    leaves = [blocks.put(RAW, bytes((n % 7,))) for n in range(count)]
    emitted: dict[bytes, bytes] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unixfs, "FANOUT", fanout)
        digests = b"".join(leaf.key for leaf in leaves)
        node = file_node(size, digests, emitted.__setitem__)
    blocks.held |= emitted
    at = st.integers(-size - 9, size + 9)
    near = st.integers(-count, count).map(lambda n: n * PIECE_SIZE) | at
    span = Span(data.draw(near), data.draw(st.none() | near))
    wanted = bytes_of(span, size)

    def expected(cid: AnyCid, first: int, length: int) -> Iterator[AnyCid]:
        """By the extents of the leaves: a child is a full tree of its height, but for the last."""
        if not range(max(first, wanted.start), min(first + length, wanted.stop)):
            return
        yield cid
        if cid.codec == DAG_PB:
            full = PIECE_SIZE * fanout ** (height(emitted, cid) - 1)
            for number, child in enumerate(links_in(emitted[cid.key])):
                start = number * full
                yield from expected(child, first + start, min(full, length - start))

    root = any_cid(node.cid)
    found = list(expected(root, 0, size)) or [root]
    assert walk(blocks, root, Scope.ENTITY, span, dups=dups) == (found if dups else once(found))


def height(emitted: Mapping[bytes, bytes], cid: AnyCid) -> int:
    return 1 + height(emitted, links_in(emitted[cid.key])[0]) if cid.codec == DAG_PB else 0


def links_in(block: bytes) -> list[AnyCid]:
    """The links of a block of ours: each has a CID of 36 bytes, six or more bytes into the block."""
    found, at = [], 0
    while at < len(block) and block[at] == 0x12:
        length, start = block[at + 1] & 0x7F, at + 2
        if block[at + 1] & 0x80:
            length, start = length | block[at + 2] << 7, at + 3
        assert block[start : start + 2] == b"\x0a\x24"
        found.append(decode_any_cid(block[start + 2 : start + 38]))
        at = start + length
    return found


leaf_names = st.sampled_from("xyz").flatmap(
    lambda letter: st.integers(0, 40).map(lambda n: f"{letter}{n}")
)
ours = st.sets(
    st.tuples(st.lists(st.sampled_from("de"), max_size=3), leaf_names).map(
        lambda path: (*path[0], path[1])
    ),
    min_size=1,
    max_size=40,
)


@given(ours, st.sampled_from([60, 300, 1000, 262_144]))
def test_every_path_of_a_release_is_found_and_no_other(
    paths: set[tuple[str, ...]], threshold: int
) -> None:
    blocks, emitted = Blocks(), dict[bytes, bytes]()
    leaves = {
        path: file_node(1, hashlib.sha256("/".join(path).encode()).digest()) for path in paths
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree_module, "SHARD_THRESHOLD", threshold)
        patch.setattr(plain, "THRESHOLD", threshold)
        builder = TreeBuilder(MemoryScratch(), emitted.__setitem__)
        for path in sorted("/".join(path) for path in paths):
            builder.add(path, leaves[tuple(path.split("/"))])
        root = any_cid(builder.finish().cid)
        roots = {names[:length] for names in paths for length in range(len(names))}
        folders = {names: plain_folder(leaves, names) for names in roots}
    assert bytes(root) == folders[()]
    blocks.held = dict(emitted)
    expected = folders | {path: bytes(leaf.cid) for path, leaf in leaves.items()}
    for names, cid in expected.items():
        passed: list[Visited] = []
        blocks.loaded.clear()
        assert bytes(resolve(blocks.load, root, names, passed)) == cid
        assert [each for each, _ in passed] == blocks.loaded
        chain = [bytes(each) for each, _ in passed] + [cid]
        assert all(child in block for (_, block), child in zip(passed, chain[1:], strict=True))
        for wrong in ([*names, "none"], [*names, ""], [*names[:-1], "X0"], [*names[:-1], "00"]):
            with pytest.raises((NoSuchPath, BlockMissing)):  # the files themselves are not here
                resolve(blocks.load, root, wrong, [])
    below = {cid_of(DAG_PB, block): links_in(block) for block in emitted.values()}
    blocks.held |= {leaf.cid.digest: b"1" for leaf in leaves.values()}
    everything = list(depth_first(below, root))
    assert walk(blocks, root, Scope.ALL, dups=True) == everything
    assert {cid.key for cid in walk(blocks, root, Scope.ALL)} == set(blocks.held)
    assert len(walk(blocks, root, Scope.ALL)) == len(blocks.held)


def plain_folder(leaves: Mapping[tuple[str, ...], unixfs.Node], names: tuple[str, ...]) -> bytes:
    inside = [
        ("/".join(path[len(names) :]).encode(), plain.Root(bytes(leaf.cid), leaf.tsize))
        for path, leaf in leaves.items()
        if path[: len(names)] == names
    ]
    return plain.tree(inside).cid


# --- sharded folders of anybody's ----------------------------------------------------------------


class Sharded(NamedTuple):
    """A node of a sharded folder, and those below it by their index."""

    cid: AnyCid
    below: dict[int, Sharded]


def bits_of(name: bytes, width: int, depth: int) -> int | None:
    """The bits of a name's hash that place it ``depth`` levels down; None when none are left."""
    bits = f"{int.from_bytes(plain.murmur3(name), 'big'):064b}"[depth * width : (depth + 1) * width]
    return int(bits, 2) if len(bits) == width else None


def sharded(
    blocks: Blocks, entries: Mapping[bytes, AnyCid], fanout: int, depth: int = 0
) -> Sharded:
    width = fanout.bit_length() - 1
    digits = len(f"{fanout - 1:X}")
    children: dict[int, dict[bytes, AnyCid]] = {}
    for name, cid in entries.items():
        index = bits_of(name, width, depth)
        assert index is not None
        children.setdefault(index, {})[name] = cid
    links, below, bitfield = [], {}, 0
    for index, inner in sorted(children.items()):
        label = f"{index:0{digits}X}".encode()
        bitfield |= 1 << index
        if len(inner) == 1:
            ((name, cid),) = inner.items()
            links.append(PbLink(cid, label + name, 1))
        else:
            below[index] = sharded(blocks, inner, fanout, depth + 1)
            links.append(PbLink(below[index].cid, label, 1))
    message = fs(SHARD, bitfield.to_bytes(fanout // 8, "big").lstrip(b"\0")) + b"\x28\x22\x30"
    return Sharded(blocks.node(links, message + plain.leb128(fanout)), below)


def way_to(shard: Sharded, name: bytes, fanout: int) -> list[AnyCid]:
    way, depth = [shard.cid], 0
    while (index := bits_of(name, fanout.bit_length() - 1, depth)) in shard.below:
        assert index is not None
        shard, depth = shard.below[index], depth + 1
        way.append(shard.cid)
    return way


def all_shards(shard: Sharded) -> Iterator[AnyCid]:
    yield shard.cid
    for inner in shard.below.values():
        yield from all_shards(inner)


@given(
    st.sets(st.text("abcé01", min_size=1, max_size=5), min_size=1, max_size=60),
    st.sampled_from([8, 16, 32, 64, 128, 256, 512, 1024]),
)
def test_a_sharded_folder_of_any_fanout(names: set[str], fanout: int) -> None:
    blocks = Blocks()
    entries = {name.encode(): blocks.put(RAW, name.encode()) for name in names}
    shard = sharded(blocks, entries, fanout)
    for name in (*names, "none", "A", "00", "0", "a" * 300):
        passed: list[Visited] = []
        blocks.loaded.clear()
        if name in names:
            assert resolve(blocks.load, shard.cid, [name], passed) == entries[name.encode()]
        else:
            with pytest.raises(NoSuchPath):
                resolve(blocks.load, shard.cid, [name], passed)
        assert [cid for cid, _ in passed] == way_to(shard, name.encode(), fanout) == blocks.loaded
    shards = list(all_shards(shard))
    assert walk(blocks, shard.cid, Scope.ENTITY) == shards
    assert walk(blocks, shard.cid, Scope.ENTITY, Span(0, 5)) == shards
    assert set(walk(blocks, shard.cid, Scope.ALL)) == {*shards, *entries.values()}


@pytest.mark.parametrize("fanout", [8, 16, 256, 1024])
def test_a_way_longer_than_the_hash_of_a_name_leads_nowhere(fanout: int) -> None:
    blocks = Blocks()
    width = fanout.bit_length() - 1
    levels = 64 // width
    leaf = blocks.put(RAW, b"leaf")
    for depth, found in ((levels - 1, True), (levels, False), (levels + 3, False)):
        message = fs(SHARD) + b"\x28\x22\x30" + plain.leb128(fanout)
        digits = len(f"{fanout - 1:X}")
        at = leaf
        for level in range(depth, -1, -1):
            label = f"{bits_of(b'name', width, level) or 0:0{digits}X}".encode()
            at = blocks.node([PbLink(at, label + (b"name" if at == leaf else b""))], message)
        if found:
            assert resolve(blocks.load, at, ["name"], []) == leaf
        else:
            with pytest.raises(NoSuchPath):
                resolve(blocks.load, at, ["name"], [])


# --- other paths ---------------------------------------------------------------------------------


def test_a_path_through_folders_of_anybodys() -> None:
    blocks = Blocks()
    leaf, other = blocks.put(RAW, b"leaf"), blocks.put(RAW, b"other")
    names = [PbLink(other), PbLink(leaf, b"a"), PbLink(other, b"a"), PbLink(other, b"b", 5)]
    for folder in (
        blocks.node(names, fs(FOLDER)),
        blocks.put(DAG_PB, pb(names, fs(FOLDER), data_first=True), version=0),
        blocks.node(names),  # older than UnixFS
        blocks.node(names, b""),
        blocks.node(names[1:3], fs(FOLDER), inline=True),
    ):
        assert resolve(blocks.load, folder, ["a"], []) == leaf  # of two, the first
        assert resolve(blocks.load, folder, [], []) == folder
        for wrong in (["c"], ["a", "b"], [""], ["A"], ["a/b"]):
            with pytest.raises(NoSuchPath):
                resolve(blocks.load, folder, wrong, [])


@pytest.mark.parametrize(
    "data", [fs(FILE, b"x"), fs(RAW_DATA, b"x"), fs(SYMLINK, b"a"), fs(METADATA)]
)
def test_a_path_ends_at_what_is_no_folder(data: bytes) -> None:
    blocks = Blocks()
    leaf = blocks.put(RAW, b"leaf")
    end = blocks.node([PbLink(leaf, b"a")], data)
    folder = blocks.node([PbLink(end, b"end"), PbLink(leaf, b"leaf")], fs(FOLDER))
    passed: list[Visited] = []
    assert resolve(blocks.load, folder, ["end"], passed) == end
    assert [cid for cid, _ in passed] == [folder]
    for wrong in (["end", "a"], ["leaf", "a"]):
        passed = []
        with pytest.raises(NoSuchPath):
            resolve(blocks.load, folder, wrong, passed)
    unknown = blocks.put(UNKNOWN, b"unknown")
    with pytest.raises(NoSuchPath):
        resolve(blocks.load, unknown, ["a"], [])
    assert resolve(blocks.load, unknown, [], []) == unknown


def test_a_missing_block_on_the_way_is_named() -> None:
    blocks = Blocks()
    inner = blocks.node([PbLink(blocks.put(RAW, b"leaf"), b"a")], fs(FOLDER))
    outer = blocks.node([PbLink(inner, b"in")], fs(FOLDER))
    del blocks.held[inner.key]
    passed: list[Visited] = []
    assert resolve(blocks.load, outer, ["in"], []) == inner
    with pytest.raises(BlockMissing) as caught:
        resolve(blocks.load, outer, ["in", "a"], passed)
    assert str(inner) in str(caught.value)
    assert [cid for cid, _ in passed] == [outer]


_LEAF = cid_of(RAW, b"leaf")
_IN_FOLDER = cid_of(DAG_PB, pb([PbLink(_LEAF, b"x")], fs(FOLDER)))
json_values = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(max_size=5)
    | st.sampled_from([_LEAF, _IN_FOLDER])
)


def without_slashes(value: Any) -> Any:
    """Keys that are a slash mean something else in DAG-JSON."""
    if isinstance(value, dict):
        return {key.replace("/", "|"): without_slashes(inner) for key, inner in value.items()}
    return [without_slashes(each) for each in value] if type(value) is list else value


def end_of(value: Any, root: AnyCid, names: list[str]) -> tuple[AnyCid, list[AnyCid]] | None:
    """Where a path through a document leads, and the blocks on the way; None if it leads nowhere."""
    found = followed(mapped(value, lambda cid: Link(bytes(cid))), names) if names else (None, 0)
    if isinstance(found, str):
        return None
    raw, taken = found
    if raw is None:  # it ends inside the document
        return root, []
    if taken == len(names):
        return decode_any_cid(raw), [root]
    is_in_folder = (decode_any_cid(raw), names[taken:]) == (_IN_FOLDER, ["x"])
    return (_LEAF, [root, _IN_FOLDER]) if is_in_folder else None


@given(nested(json_values).map(without_slashes), st.sampled_from([DAG_CBOR, DAG_JSON]), st.data())
def test_a_path_through_a_document(value: Any, codec: int, data: st.DataObject) -> None:
    blocks = Blocks()
    assert blocks.put(RAW, b"leaf") == _LEAF
    assert blocks.node([PbLink(_LEAF, b"x")], fs(FOLDER)) == _IN_FOLDER
    root = blocks.put(codec, as_cbor(value) if codec == DAG_CBOR else as_json(value))
    noise = data.draw(st.sampled_from(["x", "0", "", "-1", "y"]))
    for way in ways(value):
        for names in (way, [*way, noise], [*way, "x", noise]):
            passed: list[Visited] = []
            blocks.loaded.clear()
            if expected := end_of(value, root, names):
                assert resolve(blocks.load, root, names, passed) == expected[0]
                assert [cid for cid, _ in passed] == expected[1]
                assert passed == [(cid, blocks.held[cid.key]) for cid in expected[1]]
            else:
                with pytest.raises(NoSuchPath):
                    resolve(blocks.load, root, names, passed)


def ways(value: Any) -> list[list[str]]:
    """The names to everything inside a document."""
    found: list[list[str]] = [[]]
    if isinstance(value, dict):
        found += [[key, *rest] for key, inner in value.items() for rest in ways(inner)]
    elif type(value) is list:
        found += [[str(at), *rest] for at, inner in enumerate(value) for rest in ways(inner)]
    return found


@pytest.mark.parametrize("codec", [DAG_CBOR, DAG_JSON])
@pytest.mark.parametrize(
    "name", ["1" * 5000, "\u0661", "\uff11", "\u0967", "+1", "1_0", " 1", "-1"]
)
def test_an_index_of_a_document_is_a_short_number_in_ascii(codec: int, name: str) -> None:
    blocks = Blocks()
    value = [0, _LEAF, 2]
    root = blocks.put(codec, as_cbor(value) if codec == DAG_CBOR else as_json(value))
    assert resolve(blocks.load, root, ["1"], []) == _LEAF
    with pytest.raises(NoSuchPath):
        resolve(blocks.load, root, [name], [])


# --- bombs ---------------------------------------------------------------------------------------

LEVELS = 40


def doubled(blocks: Blocks, form: str) -> list[AnyCid]:
    """A chain of nodes of which each links twice to the next: 2^40 ways to the last; the first one
    first.
    """
    message = fs(SHARD) + b"\x28\x22\x30\x80\x02"
    made = [blocks.node([], message) if form == "shards" else blocks.put(RAW, b"x")]
    for level in range(LEVELS):
        below = made[-1]
        links = [PbLink(below, name) for name in (b"00", b"01")]
        block = {
            "nodes": pb(links, None),
            "files": pb(links, fs(FILE, None, [2**level] * 2)),
            "shards": pb(links, message),
            "cbor": as_cbor([below, below]),
            "json": as_json([below, below]),
        }[form]
        codec = {"cbor": DAG_CBOR, "json": DAG_JSON}.get(form, DAG_PB)
        made.append(blocks.put(codec, block))
    return made[::-1]


@pytest.mark.parametrize("form", ["nodes", "files", "shards", "cbor", "json"])
def test_a_dag_of_endless_repetitions_is_walked_once(form: str) -> None:
    blocks = Blocks()
    chain = doubled(blocks, form)
    assert walk(blocks, chain[0], Scope.ALL) == chain
    assert blocks.loaded == chain
    # With duplicates it comes as it is asked for, and nothing is held for it.
    found = itertools.islice(Walk(blocks.load, dups=True).run([], chain[0], Scope.ALL, None), 500)
    assert {cid for cid, _ in found} <= set(chain)
    assert len(blocks.loaded) <= len(chain) + 501


@pytest.mark.parametrize("form", ["files", "shards"])
def test_an_entity_of_endless_repetitions_is_walked_once(form: str) -> None:
    blocks = Blocks()
    chain = doubled(blocks, form)
    assert walk(blocks, chain[0], Scope.ENTITY) == chain


@pytest.mark.parametrize(
    "span",
    [Span(0, None), Span(1, -2), Span(12_345, -54_321), Span(2**39 - 9, None), Span(5, 2**39)],
)
def test_a_span_of_endless_repetitions_is_walked_once(span: Span) -> None:
    """Nothing comes out of the walk meanwhile, so that nobody could stop it."""
    blocks = Blocks()
    chain = doubled(blocks, "files")
    assert walk(blocks, chain[0], Scope.ENTITY, span) == chain


@pytest.mark.parametrize("span", [Span(2**39 + 5, 2**39 + 5), Span(-1, None), Span(0, 0)])
def test_a_byte_of_endless_repetitions_is_one_way_down(span: Span) -> None:
    blocks = Blocks()
    chain = doubled(blocks, "files")
    for dups in (False, True):
        blocks.loaded.clear()
        assert walk(blocks, chain[0], Scope.ENTITY, span, dups=dups) == blocks.loaded == chain


def wide(blocks: Blocks, count: int) -> dict[Scope, AnyCid]:
    """Folders, files and shards with that many links below their one child."""
    leaves = [blocks.put(RAW, bytes((n,))) for n in range(count)]
    names = [PbLink(leaf, b"%02X" % n) for n, leaf in enumerate(leaves)]
    message = fs(SHARD) + b"\x28\x22\x30\x80\x02"
    shards = [
        PbLink(blocks.node([], message + b"\x38" + bytes((n,))), b"%02X" % n) for n in range(count)
    ]
    return {
        Scope.ALL: blocks.node([PbLink(blocks.node(names))]),
        Scope.ENTITY: blocks.node([PbLink(blocks.node(shards, message), b"00")], message),
        Scope.BLOCK: blocks.node(
            [PbLink(blocks.node(names, fs(FILE, None, [1] * count)))], fs(FILE, None, [count])
        ),
    }


def test_so_many_links_may_wait_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dag, "WAITING_LIMIT", 9)
    for count in (9, 10):
        blocks = Blocks()
        made = wide(blocks, count)
        for root, scope, span in (
            (made[Scope.ALL], Scope.ALL, None),
            (made[Scope.ENTITY], Scope.ENTITY, None),
            (made[Scope.BLOCK], Scope.ENTITY, None),
            (made[Scope.BLOCK], Scope.ENTITY, Span(0, None)),
        ):
            if count == 9:
                assert len(walk(blocks, root, scope, span)) == 2 + count
                continue
            with pytest.raises(LimitExceeded):
                walk(blocks, root, scope, span)


def test_so_many_blocks_are_remembered_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dag, "SEEN_LIMIT", 12)
    for count in (10, 11):
        blocks = Blocks()
        made = wide(blocks, count)
        for root, scope, span in (
            (made[Scope.ALL], Scope.ALL, None),
            (made[Scope.ENTITY], Scope.ENTITY, None),
            (made[Scope.BLOCK], Scope.ENTITY, Span(0, None)),
        ):
            assert len(walk(blocks, root, scope, span, dups=True)) == 2 + count
            if count == 10:
                assert len(walk(blocks, root, scope, span)) == 2 + count
                continue
            with pytest.raises(LimitExceeded):
                walk(blocks, root, scope, span)


DEEP = 20_000 - 1


@pytest.mark.parametrize("form", ["nodes", "cbor", "json"])
def test_a_chain_of_20_000_blocks_is_no_recursion(form: str) -> None:
    blocks = Blocks()
    chain = [blocks.put(RAW, b"end")]
    for _ in range(DEEP):
        if form == "nodes":
            chain.append(blocks.node([PbLink(chain[-1], b"n")], fs(FOLDER)))
        elif form == "cbor":
            chain.append(blocks.put(DAG_CBOR, as_cbor({"n": chain[-1]})))
        else:
            chain.append(blocks.put(DAG_JSON, as_json({"n": chain[-1]})))
    chain.reverse()
    assert walk(blocks, chain[0], Scope.ALL) == chain
    blocks.loaded.clear()
    passed: list[Visited] = []
    assert resolve(blocks.load, chain[0], ["n"] * DEEP, passed) == chain[-1]
    assert [cid for cid, _ in passed] == chain[:-1]


def test_a_file_of_20_000_levels_is_no_recursion() -> None:
    blocks = Blocks()
    chain = [blocks.put(RAW, b"x")]
    for _ in range(DEEP):
        chain.append(blocks.node([PbLink(chain[-1])], fs(FILE, None, [1])))
    chain.reverse()
    for span in (None, Span(0, None), Span(-1, 0)):
        blocks.loaded.clear()
        assert walk(blocks, chain[0], Scope.ENTITY, span) == chain
