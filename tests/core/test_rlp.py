"""Ethereum's RLP: what others write is read, and nothing has two spellings."""

from __future__ import annotations

import contextlib

import pytest
import rlp as peer
from hypothesis import given
from hypothesis import strategies as st

from integrity.core import rlp
from integrity.errors import FormatError, LimitExceeded, NonCanonical

items = st.recursive(
    st.binary(max_size=80) | st.sampled_from([b"", b"\0", b"\x7f", b"\x80", bytes(55), bytes(56)]),
    lambda inner: st.lists(inner, max_size=6),
    max_leaves=30,
)


@given(items)
def test_it_writes_and_reads_as_its_peer(item: rlp.Item) -> None:
    data = peer.encode(item)
    assert rlp.encode(item) == data
    assert rlp.decode(data) == item


@given(st.binary(max_size=300))
def test_what_it_reads_it_would_write_so(data: bytes) -> None:
    try:
        item = rlp.decode(data)
    except FormatError:
        with pytest.raises(Exception):  # noqa: B017 - the peer's own kinds
            peer.decode(data, strict=True)
        return
    assert rlp.encode(item) == data


@given(items, st.data())
def test_a_changed_byte_is_another_item_or_none(item: rlp.Item, data: st.DataObject) -> None:
    good = rlp.encode(item)
    at = data.draw(st.integers(0, len(good) - 1))
    bad = good[:at] + bytes((good[at] ^ data.draw(st.integers(1, 255)),)) + good[at + 1 :]
    with contextlib.suppress(FormatError):
        assert rlp.decode(bad) != item


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ("", FormatError),
        ("8100", NonCanonical),
        ("817f", NonCanonical),
        ("b800", NonCanonical),
        ("b837" + "00" * 55, NonCanonical),
        ("b90038" + "00" * 56, NonCanonical),
        ("f800", NonCanonical),
        ("c1", FormatError),
        ("c281", FormatError),
        ("c283616263", FormatError),
        ("0000", FormatError),
        ("8261", FormatError),
        ("b9", FormatError),
        ("bfffffffffffffffff00", FormatError),
        ("ffffffffffffffffff00", FormatError),
    ],
)
def test_what_is_spelt_otherwise_is_refused(data: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        rlp.decode(bytes.fromhex(data))


def test_sixteen_levels_are_the_most() -> None:
    item: rlp.Item = []
    for _ in range(rlp.DEPTH_LIMIT - 1):
        item = [item]
    assert rlp.decode(peer.encode(item)) == item
    with pytest.raises(LimitExceeded):
        rlp.decode(peer.encode([item]))


@given(st.integers(0, 2**256 - 1))
def test_numbers_have_no_leading_zeros(number: int) -> None:
    data = rlp.encode_integer(number)
    assert rlp.as_integer(data) == number
    assert peer.encode(number) == rlp.encode(data)
    with pytest.raises(NonCanonical):
        rlp.as_integer(b"\0" + data)


def test_a_number_may_be_too_large_for_its_place() -> None:
    with pytest.raises(FormatError):
        rlp.as_integer(b"\1" + bytes(8), 8)
    with pytest.raises(FormatError):
        rlp.as_integer([])
    with pytest.raises(FormatError):
        rlp.decode_list(b"\x80")
    with pytest.raises(FormatError):
        rlp.decode_bytes(b"\xc0")
