"""CIDs and dag-pb blocks: one spelling each, and nothing but malformed for anything else."""

from __future__ import annotations

import hashlib
import tracemalloc

import pytest
from hypothesis import strategies as st

from integrity.core.cid import DAG_PB, RAW, Cid, decode_cid, parse_cid, parse_digest, raw_cid
from integrity.core.dagpb import (
    BLOCK_LIMIT,
    Link,
    LooseLink,
    decode_node,
    encode_link,
    encode_node,
    fields,
    parse_node,
    read_varint,
    varint,
)
from integrity.core.pieces import PIECE_SIZE
from integrity.core.unixfs import file_node, leaves_of_root
from integrity.errors import FormatError, HashUnsupported, LimitExceeded, NonCanonical

from . import plain_unixfs as plain
from .unhurried import example, given

digests = st.binary(min_size=32, max_size=32)
cids = st.builds(Cid, st.sampled_from([RAW, DAG_PB]), digests)
node_links = st.builds(Link, cids, st.binary(max_size=300), st.integers(0, 2**63 - 1))


# --- CIDs ----------------------------------------------------------------------------------------


@given(cids)
def test_a_cid_is_read_back_from_text_and_bytes(cid: Cid) -> None:
    assert parse_cid(str(cid)) == cid
    assert decode_cid(bytes(cid)) == cid
    assert str(cid) == str(plain.Root(bytes(cid), 0))
    assert len(str(cid)) == 59


@given(cids, st.integers(0, 58), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567AZ019=+ "))
def test_a_cid_with_one_letter_changed_is_another_or_none(cid: Cid, at: int, letter: str) -> None:
    text = str(cid)[:at] + letter + str(cid)[at + 1 :]
    try:
        other = parse_cid(text)
    except FormatError:
        return
    assert (other == cid) == (text == str(cid))


@given(st.text(max_size=80) | st.from_regex(r"b[a-z2-7]{0,210}", fullmatch=True))
def test_arbitrary_texts_are_no_cids(text: str) -> None:
    with pytest.raises(FormatError):
        parse_cid(text)


@given(st.binary(max_size=50))
@example(b"\x01\x70\x12\x20")
def test_arbitrary_bytes_are_no_cids(raw: bytes) -> None:
    try:
        cid = decode_cid(raw)
    except FormatError:
        return
    assert bytes(cid) == raw


@pytest.mark.parametrize(
    "text", ["", "0" * 63, "0" * 65, "A" * 64, "0" * 63 + "g", "0x" + "0" * 62]
)
def test_a_digest_has_64_lower_case_hex_digits(text: str) -> None:
    with pytest.raises(HashUnsupported):
        parse_digest(text)
    assert parse_digest("0" * 62 + "ff") == bytes(31) + b"\xff"


def test_a_piece_is_a_raw_leaf() -> None:
    digest = hashlib.sha256(b"piece").digest()
    assert raw_cid(digest) == Cid(RAW, digest)


# --- varints -------------------------------------------------------------------------------------


@given(st.integers(0, 2**63 - 1), st.binary(max_size=3))
def test_a_varint_is_read_back(value: int, after: bytes) -> None:
    assert varint(value) == plain.leb128(value)
    assert read_varint(varint(value) + after, 0) == (value, len(varint(value)))


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", FormatError),
        (b"\x80", FormatError),
        (b"\x80\x00", NonCanonical),
        (b"\xff\x80\x00", NonCanonical),
        (b"\xff" * 9 + b"\x01", LimitExceeded),
        (b"\x80" * 1000, LimitExceeded),
    ],
)
def test_a_varint_is_short_and_minimal(data: bytes, error: type[FormatError]) -> None:
    with pytest.raises(FormatError) as caught:
        read_varint(data, 0)
    assert type(caught.value) is error


# --- nodes ---------------------------------------------------------------------------------------


@given(st.lists(node_links, max_size=4), st.binary(max_size=60))
def test_a_node_is_read_back_as_it_was_written(links: list[Link], data: bytes) -> None:
    block = encode_node([encode_link(bytes(k.cid), k.name, k.tsize) for k in links], data)
    assert decode_node(block) == (links, data)
    entries = [plain.Entry(k.name, plain.Root(bytes(k.cid), k.tsize)) for k in links]
    assert block == plain.pb_node(entries, data)


@given(st.lists(node_links, max_size=3), st.binary(max_size=20), st.data())
def test_a_changed_node_is_another_or_none(
    links: list[Link], inner: bytes, data: st.DataObject
) -> None:
    block = encode_node([encode_link(bytes(k.cid), k.name, k.tsize) for k in links], inner)
    at = data.draw(st.integers(0, len(block) - 1))
    changed = bytearray(block)
    changed[at] ^= data.draw(st.integers(1, 255))
    try:
        read = decode_node(bytes(changed))
    except FormatError:
        return
    assert read != (links, inner)


@given(st.binary(max_size=200))
@example(b"")
@example(b"\x12\x00\x0a\x00")
@example(b"\x0a\x00\x0a\x00")
@example(b"\x0b\x00")
def test_arbitrary_blocks_raise_nothing_but_malformed(block: bytes) -> None:
    for decode in (decode_node, leaves_of_root):
        try:
            decode(block)
        except FormatError:
            continue
        assert plain.field(0x0A, decode_node(block)[1]) in block


changed_links = st.builds(
    lambda link, at, new: link[: at % len(link)] + new + link[at % len(link) + len(new) :],
    st.builds(
        lambda name, size: plain.field(0x0A, bytes(raw_cid(bytes(32)))) + plain.field(0x12, name)
        + b"\x18" + plain.leb128(size),
        st.binary(max_size=3) | st.binary(min_size=126, max_size=130),
        st.sampled_from([0, 1, 127, 128, 2**63 - 1]),
    ),
    st.integers(0, 300),
    st.binary(max_size=2),
)  # fmt: skip


@given(changed_links, st.integers(0, 3))
def test_the_usual_form_of_a_link_is_read_as_any_other(link: bytes, cut: int) -> None:
    body = link[: len(link) - cut]

    def read(body: bytes) -> LooseLink | None:
        try:
            ((link,), _) = parse_node(plain.field(0x12, body))
        except FormatError:
            return None
        return link

    if (found := read(body)) is not None:
        fields_of = dict(fields(body))
        assert found == (fields_of[1], fields_of.get(2), fields_of.get(3))
        assert len(fields_of) == len(list(fields(body)))


_HASH, _NAME, _SIZE = plain.field(0x0A, bytes(raw_cid(bytes(32)))), b"\x12\x01n", b"\x18\x05"
_LINK = plain.field(0x12, _HASH + _NAME + _SIZE)
_DATA = b"\x0a\x02\x08\x01"

NOT_CANONICAL = {
    "data before the links": _DATA + _LINK,
    "data twice": _LINK + _DATA + _DATA,
    "no data": _LINK,
    "nothing": b"",
    "an unknown field": _LINK + _DATA + b"\x1a\x00",
    "a link without a name": plain.field(0x12, _HASH + _SIZE) + _DATA,
    "a link without a size": plain.field(0x12, _HASH + _NAME) + _DATA,
    "a link without a hash": plain.field(0x12, _NAME + _SIZE) + _DATA,
    "a link with a field twice": plain.field(0x12, _HASH + _NAME + _SIZE + _SIZE) + _DATA,
    "a link with an unknown field": plain.field(0x12, _HASH + _NAME + _SIZE + b"\x20\x00") + _DATA,
    "a link in another order": plain.field(0x12, _NAME + _HASH + _SIZE) + _DATA,
    "a length that is not minimal": b"\x12\xab\x00" + _LINK[2:] + _DATA,
    "data as a number": _LINK + b"\x08\x01",
}


@pytest.mark.parametrize("block", NOT_CANONICAL.values(), ids=NOT_CANONICAL)
def test_a_node_has_one_form(block: bytes) -> None:
    assert decode_node(_LINK + _DATA) == ([Link(raw_cid(bytes(32)), b"n", 5)], b"\x08\x01")
    with pytest.raises(NonCanonical):
        decode_node(block)


def test_a_block_has_its_limit() -> None:
    data = bytes(BLOCK_LIMIT - 4)
    assert decode_node(encode_node([], data)) == ([], data)
    with pytest.raises(LimitExceeded):
        decode_node(encode_node([], data + b"x"))


@pytest.mark.parametrize(
    "block",
    [
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x12\xff\xff\xff\xff\x7f" + b"x" * 50,
        b"\x12\x09\x0a\xff\xff\xff\xff\xff\xff\xff\x7f",
    ],
)
def test_threat_15_size_bomb_a_declared_length_allocates_nothing(block: bytes) -> None:
    assert len(block) < 100
    tracemalloc.start()
    try:
        with pytest.raises(FormatError):
            leaves_of_root(block)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


# --- the root of a large manifest ----------------------------------------------------------------


def root_block(size: int, leaves: bytes) -> bytes:
    blocks: list[bytes] = []
    file_node(size, leaves, lambda _, block: blocks.append(block))
    return blocks[-1]


@given(st.integers(PIECE_SIZE + 1, 8 * PIECE_SIZE), st.binary(min_size=32, max_size=32))
def test_a_root_gives_back_its_leaves(size: int, seed: bytes) -> None:
    count = -(-size // PIECE_SIZE)
    leaves = b"".join(hashlib.sha256(seed + bytes((n,))).digest() for n in range(count))
    assert leaves_of_root(root_block(size, leaves)) == (size, leaves)


def test_a_root_has_2_to_1024_leaves() -> None:
    most = 1024 * PIECE_SIZE
    assert leaves_of_root(root_block(most, bytes(32) * 1024))[0] == most
    with pytest.raises(NonCanonical):
        leaves_of_root(root_block(most + 1, bytes(32) * 1025))
    one = plain.pb_node([plain.Entry(b"", plain.Root(bytes(raw_cid(bytes(32))), 9))],
                        b"\x08\x02\x18\x09\x20\x09")  # fmt: skip
    with pytest.raises(NonCanonical):
        leaves_of_root(one)
    with pytest.raises(NonCanonical):
        leaves_of_root(plain.pb_node([], b"\x08\x02\x18\x00"))


def leaf(tsize: int) -> plain.Entry:
    return plain.Entry(b"", plain.Root(bytes(raw_cid(bytes(32))), tsize))


def file_data(*sizes: int, kind: int = 2, total: int | None = None) -> bytes:
    total = sum(sizes) if total is None else total
    block_sizes = b"".join(b"\x20" + plain.leb128(size) for size in sizes)
    return bytes((8, kind, 0x18)) + plain.leb128(total) + block_sizes


LYING_ROOTS = {
    "the first leaf not full": ([leaf(5), leaf(PIECE_SIZE)], file_data(5, PIECE_SIZE)),
    "the last leaf empty": ([leaf(PIECE_SIZE), leaf(0)], file_data(PIECE_SIZE, 0)),
    "the last leaf too large": (
        [leaf(PIECE_SIZE), leaf(PIECE_SIZE + 1)],
        file_data(PIECE_SIZE, PIECE_SIZE + 1),
    ),
    "a gigantic leaf": ([leaf(PIECE_SIZE), leaf(2**62)], file_data(PIECE_SIZE, 2**62)),
    "a size that lies": ([leaf(PIECE_SIZE), leaf(7)], file_data(PIECE_SIZE, 7, total=7)),
    "block sizes that lie": (
        [leaf(PIECE_SIZE), leaf(7)],
        file_data(PIECE_SIZE, 8, total=PIECE_SIZE + 7),
    ),
    "a block size too few": (
        [leaf(PIECE_SIZE), leaf(7)],
        file_data(PIECE_SIZE, total=PIECE_SIZE + 7),
    ),
    "a directory": ([leaf(PIECE_SIZE), leaf(7)], b"\x08\x01"),
    "another type": ([leaf(PIECE_SIZE), leaf(7)], file_data(PIECE_SIZE, 7, kind=0)),
    "names": ([plain.Entry(b"a", leaf(PIECE_SIZE).root), leaf(7)], file_data(PIECE_SIZE, 7)),
}


@pytest.mark.parametrize(("entries", "data"), LYING_ROOTS.values(), ids=LYING_ROOTS)
def test_threat_18_a_root_that_lies_is_refused(entries: list[plain.Entry], data: bytes) -> None:
    honest = plain.pb_node([leaf(PIECE_SIZE), leaf(7)], file_data(PIECE_SIZE, 7))
    assert leaves_of_root(honest) == (PIECE_SIZE + 7, bytes(64))
    with pytest.raises(NonCanonical):
        leaves_of_root(plain.pb_node(entries, data))
