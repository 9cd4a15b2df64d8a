"""Walking any DAG: the links of a block, a path through directories, and which blocks an answer has.

For what gateways are asked (specs.ipfs.tech/http-gateways/trustless-gateway: paths, ``dag-scope``,
``entity-bytes``), depth first. Blocks come from a function, which checks them.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from integrity.core.anycid import DAG_CBOR, DAG_JSON, AnyCid, decode_any_cid, parse_any_cid
from integrity.core.cbor import follow_cbor, links_of_cbor, list_index
from integrity.core.cid import DAG_PB, RAW
from integrity.core.dagpb import LooseLink, parse_node
from integrity.core.nesting import is_nested_deeper
from integrity.core.unixfs import name_hash
from integrity.core.unixfs_data import DIRECTORY, SHARD, UnixFs, parse_unixfs
from integrity.errors import FormatError, LimitExceeded

WAITING_LIMIT = 1 << 20
"""Links that may wait to be followed: one node has 50,000 at most, and none of ours a hundredth."""

SEEN_LIMIT = 1 << 21
"""Blocks of one answer without duplicates; each must be remembered, in 100 bytes."""

_NESTING_LIMIT = 1024
_HASH_BITS = 64

Load = Callable[[AnyCid], bytes]
"""Gives the block of a CID, checked. Raises BlockMissing when it is not to be had."""

Expect = Callable[[AnyCid, Sequence[AnyCid]], None]
"""Is told which block is asked for next, and which will be later: the last one first. So whoever has
the blocks may look several up together.
"""

Visited = tuple[AnyCid, bytes]


class BlockMissing(Exception):
    """A block of the DAG is not to be had. For the caller of a walk."""

    def __init__(self, cid: AnyCid) -> None:
        super().__init__(f"{cid} is not here")


def checked_load(read: Callable[[AnyCid], bytes | None]) -> Load:
    """A :data:`Load` of blocks inside CIDs, and of those that ``read`` gives, which are checked."""

    def load(cid: AnyCid) -> bytes:
        inlined = cid.inlined
        block = read(cid) if inlined is None else inlined
        if block is None:
            raise BlockMissing(cid)
        return block

    return load


class NoSuchPath(Exception):
    """The path leads nowhere. For the caller of :func:`resolve`."""


class Scope(enum.Enum):
    """How much of the DAG at the end of a path an answer has."""

    BLOCK = "block"
    ENTITY = "entity"
    ALL = "all"


class Span(NamedTuple):
    """Bytes of a file, both ends included; negative ones count from its end, None is its end."""

    first: int
    last: int | None


def links_of(cid: AnyCid, block: bytes) -> list[AnyCid]:
    """Where a block leads, by its codec; nowhere for raw blocks and codecs unknown here. FormatError."""
    if cid.codec == DAG_PB:
        return [decode_any_cid(link.cid) for link in parse_node(block)[0]]
    if cid.codec == DAG_CBOR:
        return [decode_any_cid(link) for link in links_of_cbor(block)]
    if cid.codec == DAG_JSON:
        return _links_of_json(block)
    return []


def _links_of_json(block: bytes) -> list[AnyCid]:
    links = []
    waiting = [_read_json(block)]
    while waiting:
        value = waiting.pop()
        if (link := _json_link(value)) is not None:
            links.append(link)
        elif isinstance(value, dict):
            waiting.extend(reversed(value.values()))
        elif isinstance(value, list):
            waiting.extend(reversed(value))
    return links


def _read_json(block: bytes) -> Any:
    if is_nested_deeper(block, _NESTING_LIMIT):
        raise LimitExceeded(f"a DAG-JSON block nested more than {_NESTING_LIMIT} levels deep")
    try:
        # As UTF-8 alone: what is measured above must be what is read here.
        return json.loads(block.decode())
    except (ValueError, RecursionError) as error:
        raise FormatError("a DAG-JSON block that is no JSON in UTF-8") from error


def _json_link(value: Any) -> AnyCid | None:
    """An object of the one key ``/`` with a text is a link (ipld.io/specs/codecs/dag-json)."""
    if isinstance(value, dict) and len(value) == 1 and isinstance(value.get("/"), str):
        return parse_any_cid(value["/"])
    return None


# --- paths -------------------------------------------------------------------------------------


def resolve(load: Load, root: AnyCid, names: Sequence[str], passed: list[Visited]) -> AnyCid:
    """Follow a path through directories, and the maps and lists of DAG-CBOR and DAG-JSON -> what it
    leads to, not loaded yet. A path that ends inside a block leads to that block.

    The blocks that show the way are added to ``passed``. Raises NoSuchPath, BlockMissing, FormatError.
    """
    at = root
    left = list(names)
    while left:
        if at.codec == DAG_PB:
            at = _enter(load, at, left.pop(0).encode(), passed)
            continue
        block = load(at)
        link, taken = _follow(at, block, left)
        if link is None:
            return at
        passed.append((at, block))
        at, left = link, left[taken:]
    return at


def _follow(at: AnyCid, block: bytes, names: list[str]) -> tuple[AnyCid | None, int]:
    links_of(at, block)  # refuses what is not well-formed
    try:
        if at.codec == DAG_CBOR:
            raw, taken = follow_cbor(block, names)
            return (None if raw is None else decode_any_cid(raw)), taken
        if at.codec == DAG_JSON:
            return _follow_json(_read_json(block), names)
    except KeyError as error:
        raise NoSuchPath(f"{at} has no {error.args[0]!r} there") from error
    raise NoSuchPath(f"{at} is no directory")


def _follow_json(value: Any, names: list[str]) -> tuple[AnyCid | None, int]:
    for taken, name in enumerate(names):
        if (link := _json_link(value)) is not None:
            return link, taken
        if isinstance(value, dict):
            value = value[name]
        elif isinstance(value, list) and (at := list_index(name)) is not None and at < len(value):
            value = value[at]
        else:
            raise KeyError(name)
    return _json_link(value), len(names)


def _enter(load: Load, at: AnyCid, name: bytes, passed: list[Visited]) -> AnyCid:
    """What a plain or sharded directory has under a name."""
    hashed = int.from_bytes(name_hash(name), "big")
    left = _HASH_BITS
    while True:
        block = load(at)
        passed.append((at, block))
        if at.codec != DAG_PB:
            raise NoSuchPath(f"{at} is no directory")
        links, data = parse_node(block)
        if not data:  # older than UnixFS: links with names
            return _named(links, name)
        node = parse_unixfs(data)
        if node.kind == DIRECTORY:
            return _named(links, name)
        bits = node.fanout.bit_length() - 1
        if node.kind != SHARD or left < bits:
            raise NoSuchPath(f"{at} is no directory")
        left -= bits
        prefix = _shard_prefix(node.fanout, hashed >> left & (node.fanout - 1))
        deeper = [link for link in links if link.name == prefix]
        if not deeper:
            return _named(links, prefix + name)
        at = decode_any_cid(deeper[0].cid)


def _named(links: list[LooseLink], name: bytes) -> AnyCid:
    for link in links:
        if link.name == name:
            return decode_any_cid(link.cid)
    raise NoSuchPath(f"there is no {name.decode('utf-8', 'replace')!r}")


def _shard_prefix(fanout: int, index: int) -> bytes:
    return b"%0*X" % (len(f"{fanout - 1:X}"), index)


def _unixfs(block: bytes) -> tuple[list[LooseLink], UnixFs]:
    links, data = parse_node(block)
    return links, parse_unixfs(data or b"")


# --- walks -------------------------------------------------------------------------------------


class Walk:
    """The blocks of one answer: those of the path, then those of the scope; iterate over it once.

    With ``dups`` a block comes as often as it is met, else once. Raises BlockMissing, FormatError or
    LimitExceeded in the middle.
    """

    def __init__(self, load: Load, *, dups: bool, expect: Expect | None = None) -> None:
        self._load = load
        self._expect = expect
        self._seen: set[bytes] | None = None if dups else set()

    def run(
        self, passed: list[Visited], cid: AnyCid, scope: Scope, span: Span | None
    ) -> Iterator[Visited]:
        """``passed`` and ``cid`` are what :func:`resolve` found."""
        for visited in passed:
            if self._is_new(visited[0]):
                yield visited
        if scope is Scope.BLOCK:
            if self._is_new(cid):
                yield cid, self._load(cid)
        elif scope is Scope.ALL:
            yield from self._all([cid])
        else:
            yield from self._entity(cid, span)

    def _is_new(self, cid: AnyCid) -> bool:
        if self._seen is None:
            return True
        if (raw := bytes(cid)) in self._seen:
            return False
        if len(self._seen) >= SEEN_LIMIT:
            raise LimitExceeded(f"more than {SEEN_LIMIT} blocks in one answer without duplicates")
        self._seen.add(raw)
        return True

    def _all(self, waiting: list[AnyCid]) -> Iterator[Visited]:
        while waiting:
            cid = waiting.pop()
            if not self._is_new(cid):
                continue
            if self._expect is not None and cid.codec == RAW:
                self._expect(cid, waiting)
            block = self._load(cid)
            yield cid, block
            if cid.codec != RAW:
                waiting.extend(reversed(links_of(cid, block)))
                _limit(waiting)

    def _entity(self, cid: AnyCid, span: Span | None) -> Iterator[Visited]:
        """A file with all its blocks, or those of a span; a directory with those that list it."""
        block = self._load(cid)
        if self._is_new(cid):
            yield cid, block
        if cid.codec != DAG_PB:
            return
        try:
            links, node = _unixfs(block)
        except FormatError:
            return  # not UnixFS: the entity is its block
        if node.kind == SHARD:
            yield from self._shards(links, node.fanout)
        elif node.is_file and span is None:
            yield from self._all([decode_any_cid(link.cid) for link in reversed(links)])
        elif node.is_file:
            assert span is not None
            first, end = _absolute(span, file_size(block))
            if first < end:
                yield from self._stretch(links, node, first, end)

    def _shards(self, links: list[LooseLink], fanout: int) -> Iterator[Visited]:
        width = len(_shard_prefix(fanout, 0))
        waiting = _deeper(links, width)
        while waiting:
            cid = waiting.pop()
            if not self._is_new(cid):
                continue
            block = self._load(cid)
            yield cid, block
            waiting.extend(_deeper(parse_node(block)[0], width))
            _limit(waiting)

    def _stretch(
        self, links: list[LooseLink], node: UnixFs, first: int, end: int
    ) -> Iterator[Visited]:
        """The blocks below a file's node that hold its bytes ``[first, end)``."""
        waiting = _holding(links, node, 0, first, end)
        whole: set[bytes] = set()
        while waiting:
            part = waiting.pop()
            if part.is_whole and self._seen is not None:
                if bytes(part.cid) in whole:
                    continue
                whole.add(bytes(part.cid))
            block = self._load(part.cid)
            if self._is_new(part.cid):
                yield part.cid, block
            if part.cid.codec == DAG_PB:
                span = (0, None) if part.is_whole else (first, end)
                waiting.extend(_holding(*_unixfs(block), part.start, *span))
                _limit(waiting)


class _Part(NamedTuple):
    """What is below one link of a file: where it begins, and whether all of it is asked for."""

    start: int
    cid: AnyCid
    is_whole: bool


def _holding(links: list[LooseLink], node: UnixFs, start: int, first: int, end: int) -> list[_Part]:
    """The parts of a node that begins at byte ``start`` of its file which hold bytes of
    ``[first, end)``, the last one first.
    """
    if len(node.blocksizes) != len(links):
        raise FormatError("a file node that does not say how many bytes are below each link")
    at = start + len(node.data)
    found = []
    for link, size in zip(links, node.blocksizes, strict=True):
        if size and at + size > first and (end is None or at < end):
            whole = first <= at and (end is None or at + size <= end)
            found.append(_Part(at, decode_any_cid(link.cid), whole))
        at += size
    found.reverse()
    return found


def _deeper(links: list[LooseLink], width: int) -> list[AnyCid]:
    return [decode_any_cid(link.cid) for link in reversed(links) if len(link.name or b"") == width]


def _limit(waiting: Sequence[object]) -> None:
    if len(waiting) > WAITING_LIMIT:
        raise LimitExceeded(f"a DAG of which {WAITING_LIMIT} links wait to be followed")


def file_size(block: bytes) -> int:
    """Bytes of the file whose dag-pb root this is; FormatError when it is no UnixFS file."""
    links, node = _unixfs(block)
    if not node.is_file:
        raise FormatError("a UnixFS node that is no file")
    if node.size is not None and links:
        return node.size
    return len(node.data) + sum(node.blocksizes)


def is_outside(span: Span, codec: int, block: bytes) -> bool:
    """Whether no byte of the span is one of the file whose root this block is; FormatError when it
    is none.
    """
    if codec not in {RAW, DAG_PB}:
        raise FormatError("a block that is no file")
    size = len(block) if codec == RAW else file_size(block)
    first, end = _absolute(span, size)
    return size > 0 and (first >= size or end <= 0)


def _absolute(span: Span, size: int) -> tuple[int, int]:
    """A span as ``[first, end)`` within a file of ``size`` bytes; empty when it lies outside."""
    first = span.first if span.first >= 0 else max(0, size + span.first)
    last = size - 1 if span.last is None else span.last if span.last >= 0 else size + span.last
    return first, min(last + 1, size)
