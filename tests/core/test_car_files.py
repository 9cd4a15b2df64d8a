"""CAR files: what is written is read back, and nothing that a file declares about itself is believed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import libipld
import pytest
from hypothesis import strategies as st

from integrity.core.anycid import AnyCid, cid_of, decode_any_cid
from integrity.core.car import (
    HEADER_LIMIT,
    SECTION_LIMIT,
    CarReader,
    Section,
    car_header,
    car_portions,
    car_section,
)
from integrity.core.cid import DAG_PB, RAW
from integrity.core.dagpb import BLOCK_LIMIT
from integrity.errors import FormatError, HashUnsupported, LimitExceeded, NonCanonical

from . import plain_unixfs as plain
from .unhurried import example, given

PRAGMA = b"\x0a\xa1\x67version\x02"
ROOTLESS = b"\x11\xa2\x65roots\x80\x67version\x01"

Block = tuple[AnyCid, bytes]


class Asked:
    """A file that remembers how much it was asked for, and gives a few bytes at a time if told to."""

    def __init__(self, data: bytes, portions: Sequence[int] = ()) -> None:
        self._data = data
        self._portions = itertools.cycle(portions) if portions else None
        self.at = 0
        self.most = 0

    def read(self, count: int) -> bytes:
        assert count > 0
        self.most = max(self.most, count)
        if self._portions is not None:
            count = min(count, next(self._portions))
        given_out = self._data[self.at : self.at + count]
        self.at += len(given_out)
        return given_out


def foreign(code: int, size: int) -> AnyCid:
    return decode_any_cid(b"\x01\x55" + plain.leb128(code) + plain.leb128(size) + bytes(size))


blocks = st.binary(max_size=40)
contents = st.one_of(
    st.builds(
        lambda codec, block: (cid_of(codec, block), block),
        st.sampled_from([RAW, DAG_PB, 0x71, 0x0129, 2**40]), blocks,
    ),
    st.builds(
        lambda block: (AnyCid(0, DAG_PB, cid_of(DAG_PB, block).multihash), block), blocks
    ),
    st.builds(lambda block: (AnyCid(1, RAW, bytes((0, len(block))) + block), block), blocks),
    # Whose block it is, is not looked at here.
    st.tuples(st.sampled_from([foreign(0x13, 64), foreign(0xB220, 32), foreign(0x15, 48)]), blocks),
)  # fmt: skip
roots_of = st.lists(contents.map(lambda content: content[0]), max_size=30)


def sections(held: Sequence[Block]) -> bytes:
    return b"".join(car_section(bytes(cid), len(block)) + block for cid, block in held)


def car_of(roots: Sequence[AnyCid], held: Sequence[Block]) -> bytes:
    return car_header(bytes(root) for root in roots) + sections(held)


def version_2(
    data: bytes, padding: bytes = b"", behind: bytes = b"", size: int | None = None
) -> bytes:
    offset = 51 + len(padding)
    numbers = (offset, len(data) if size is None else size, offset + len(data) if behind else 0)
    header = bytes(16) + b"".join(number.to_bytes(8, "little") for number in numbers)
    return PRAGMA + header + padding + data + behind


def read_all(data: bytes) -> tuple[list[AnyCid], list[Section]]:
    car = CarReader(Asked(data).read)
    return car.roots, list(car)


def blocks_in(found: Sequence[Section]) -> list[Block]:
    return [(section.cid, section.block) for section in found]


def assert_offsets_point_at_blocks(data: bytes, found: Sequence[Section]) -> None:
    for section in found:
        assert data[section.offset : section.offset + len(section.block)] == section.block
    ends = [section.offset + len(section.block) for section in found]
    assert all(one < other.offset for one, other in zip(ends, found[1:], strict=False))


# --- what is written is read back ----------------------------------------------------------------


@given(roots_of, st.lists(contents), st.lists(st.integers(1, 50), max_size=5))
def test_a_car_is_read_back_however_it_comes_in(
    roots: list[AnyCid], held: list[Block], portions: list[int]
) -> None:
    data = car_of(roots, held)
    car = CarReader(Asked(data, portions).read)
    assert car.roots == roots
    found = list(car)
    assert blocks_in(found) == held
    assert_offsets_point_at_blocks(data, found)
    assert car.offset == len(data)


@given(st.sets(st.integers(0, 2**64 - 1), min_size=1), st.data())
def test_libipld_reads_what_is_written(numbers: set[int], data: st.DataObject) -> None:
    values = [{"number": number} for number in numbers]
    encoded = [libipld.encode_dag_cbor(value) for value in values]
    cids = [cid_of(0x71, block) for block in encoded]
    roots = data.draw(st.lists(st.sampled_from(cids), min_size=1, max_size=300))
    header, found = libipld.decode_car(car_of(roots, list(zip(cids, encoded, strict=True))))
    assert header == {"roots": [bytes(root) for root in roots], "version": 1}
    assert found == dict(zip(map(bytes, cids), values, strict=True))


@given(roots_of, st.lists(contents), blocks, blocks, st.lists(st.integers(1, 50), max_size=5))
def test_the_data_of_a_car_of_version_2_is_read_and_no_more(
    roots: list[AnyCid], held: list[Block], padding: bytes, index: bytes, portions: list[int]
) -> None:
    data = version_2(car_of(roots, held), padding, index)
    source = Asked(data, portions)
    car = CarReader(source.read)
    found = list(car)
    assert (car.roots, blocks_in(found)) == (roots, held)
    assert_offsets_point_at_blocks(data, found)
    assert source.at == len(data) - len(index)


@given(roots_of, st.lists(contents), st.integers(1, 100))
def test_portions_are_a_whole_car_without_what_its_cids_hold(
    roots: list[AnyCid], held: list[Block], at_least: int
) -> None:
    portions = list(car_portions(roots, held, at_least))
    found = CarReader(Asked(b"".join(portions)).read)
    assert found.roots == roots
    assert blocks_in(list(found)) == [each for each in held if each[0].inlined is None]
    assert all(len(portion) >= at_least for portion in portions[:-1])


def test_a_portion_has_no_more_blocks_than_it_needs() -> None:
    held = [(cid_of(RAW, bytes((n,)) * 100), bytes((n,)) * 100) for n in range(7)]
    expected = [car_of([], held[:3]), sections(held[3:6]), sections(held[6:])]
    assert list(car_portions([], held, 250)) == expected
    assert list(car_portions([], held, 300)) == expected


def test_what_breaks_a_car_off_comes_after_what_was_there() -> None:
    def broken() -> Iterator[Block]:
        yield from SMALL
        raise KeyError("the next block")

    portions = car_portions([SMALL[0][0]], broken())
    assert next(portions) == HEADER + sections(SMALL)
    with pytest.raises(KeyError):
        next(portions)


@pytest.mark.parametrize("count", [0, 1, 22, 23, 24, 255, 256, 25_574])
def test_a_header_has_up_to_a_mebibyte_of_roots(count: int) -> None:
    root = cid_of(RAW, b"x")
    assert read_all(car_header([bytes(root)] * count)) == ([root] * count, [])


def test_threat_29_one_root_more_than_fits_is_refused() -> None:
    link = b"\xd8\x2a\x58\x25\0" + bytes(cid_of(RAW, b"x"))
    body = b"\xa2\x65roots\x99\x63\xe7" + link * 25_575 + b"\x67version\x01"
    assert len(body) - len(link) <= HEADER_LIMIT < len(body)
    source = Asked(plain.leb128(len(body)) + body)
    with pytest.raises(LimitExceeded):
        CarReader(source.read)
    assert source.at < 32


def test_a_car_without_roots_is_one() -> None:
    assert read_all(ROOTLESS) == ([], [])
    assert car_header([]) == ROOTLESS


# --- what is cut off -------------------------------------------------------------------------------

SMALL: list[Block] = [
    (cid_of(RAW, b"abc"), b"abc"),
    (AnyCid(0, DAG_PB, cid_of(DAG_PB, b"").multihash), b""),
    (cid_of(0x71, bytes(150)), bytes(150)),
]
HEADER = car_header([bytes(SMALL[0][0])])
BOUNDARIES = [len(HEADER) + len(sections(SMALL[:count])) for count in range(len(SMALL) + 1)]


def test_a_car_cut_off_anywhere_is_refused_but_between_its_sections() -> None:
    data = HEADER + sections(SMALL)
    for end in range(len(data)):
        if end in BOUNDARIES:  # nothing in a CARv1 says how many there are
            assert blocks_in(read_all(data[:end])[1]) == SMALL[: BOUNDARIES.index(end)]
        else:
            with pytest.raises(FormatError):
                read_all(data[:end])
    assert blocks_in(read_all(data)[1]) == SMALL


@pytest.mark.parametrize("padding", [b"", b"\0", bytes(30)], ids=len)
def test_a_car_of_version_2_cut_off_anywhere_is_refused(padding: bytes) -> None:
    """Its header says how long the data is, so that a cut between two sections shows as well."""
    data = version_2(HEADER + sections(SMALL), padding)
    assert blocks_in(read_all(data)[1]) == SMALL
    accepted = []
    for end in range(len(data)):
        try:
            read_all(data[:end])
        except FormatError:
            continue
        accepted.append(end)
    assert accepted == []


def test_the_data_of_a_car_of_version_2_ends_where_its_header_says() -> None:
    data = HEADER + sections(SMALL)
    for size in range(len(data)):
        shorter = version_2(data[:size], behind=data[size:])
        if size in BOUNDARIES:
            assert blocks_in(read_all(shorter)[1]) == SMALL[: BOUNDARIES.index(size)]
        else:
            with pytest.raises(FormatError):
                read_all(shorter)


# --- what is too large -----------------------------------------------------------------------------

FF = b"\xff"
BOMBS = {
    "a header": plain.leb128(HEADER_LIMIT + 1),
    "a header of exbibytes": plain.leb128(2**62),
    "a header's varint": FF * 9 + b"\x01",
    "a header's endless varint": b"\x80" * 1000,
    "a section": HEADER + plain.leb128(SECTION_LIMIT + 1),
    "a section of exbibytes": HEADER + plain.leb128(2**62),
    "a section's varint": HEADER + FF * 9 + b"\x01",
    "a section's varint of ten bytes": HEADER + b"\x80" * 9 + b"\x00",
    "a section's endless varint": HEADER + b"\x80" * 1000,
    "a later section": HEADER + sections(SMALL) + plain.leb128(SECTION_LIMIT + 1),
    "a header in version 2": version_2(plain.leb128(HEADER_LIMIT + 1)),
    "a section in version 2": version_2(HEADER + plain.leb128(2**62), size=2**63),
}


@pytest.mark.parametrize("start", BOMBS.values(), ids=BOMBS)
def test_threat_29_car_bomb_is_refused_before_it_is_read(start: bytes) -> None:
    source = Asked(start + bytes(100_000))
    with pytest.raises(LimitExceeded):
        list(CarReader(source.read))
    assert source.at <= len(start) + 16
    assert source.most <= 256


def test_threat_29_a_section_that_never_comes_is_asked_for_within_the_limit() -> None:
    source = Asked(HEADER + plain.leb128(SECTION_LIMIT) + b"\x01\x55")
    with pytest.raises(FormatError):
        list(CarReader(source.read))
    assert source.most <= SECTION_LIMIT


@pytest.mark.parametrize("offset", [0, 11, 50, 52 + HEADER_LIMIT, 2**31, 2**63, 2**64 - 1])
def test_threat_29_the_data_of_a_car_of_version_2_begins_near_its_header(offset: int) -> None:
    numbers = (offset, 100, 0)
    header = bytes(16) + b"".join(number.to_bytes(8, "little") for number in numbers)
    source = Asked(PRAGMA + header + ROOTLESS + bytes(100_000))
    with pytest.raises(FormatError):
        CarReader(source.read)
    assert source.at == 51


def test_a_block_has_2_mebibytes_at_most() -> None:
    for cid in (cid_of(RAW, b"x"), AnyCid(1, RAW, b"\x00\x80\x01" + bytes(128))):
        largest = HEADER + sections([(cid, bytes(BLOCK_LIMIT))])
        assert blocks_in(read_all(largest)[1]) == [(cid, bytes(BLOCK_LIMIT))]
        with pytest.raises(LimitExceeded):
            read_all(HEADER + sections([(cid, bytes(BLOCK_LIMIT + 1))]))


# --- what is no CAR --------------------------------------------------------------------------------


def headed(body: bytes) -> bytes:
    return plain.leb128(len(body)) + body


_LINK = b"\xd8\x2a\x58\x25\x00" + bytes(SMALL[0][0])
_VERSION = b"\x67version\x01"
_ROOTS = b"\x65roots\x81" + _LINK

NO_HEADERS = {
    "an empty file": b"",
    "an empty header": b"\x00",
    "a text": b"#!/bin/sh\nexit 0\n",
    "zeros": bytes(100),
    "no map": headed(b"\x82" + _ROOTS + _VERSION),
    "an empty map": headed(b"\xa0"),
    "no roots": headed(b"\xa1" + _VERSION),
    "no version": headed(b"\xa1" + _ROOTS),
    "version 0": headed(b"\xa2" + _ROOTS + b"\x67version\x00"),
    "version 2 inside": headed(b"\xa2" + _ROOTS + b"\x67version\x02"),
    "version 3 inside": headed(b"\xa2" + _ROOTS + b"\x67version\x03"),
    "version 3": headed(b"\xa1\x67version\x03"),
    "version 2 and roots": headed(b"\xa2\x65roots\x80\x67version\x02"),
    "version as a text": headed(b"\xa2" + _ROOTS + b"\x67version\x611"),
    "version as a float": headed(b"\xa2" + _ROOTS + b"\x67version\xfb\x3f\xf0" + bytes(6)),
    "version twice": headed(b"\xa3" + _ROOTS + _VERSION + _VERSION),
    "version first": headed(b"\xa2" + _VERSION + _ROOTS),
    "another key": headed(b"\xa3" + _ROOTS + _VERSION + b"\x68comments\x80"),
    "roots in another case": headed(b"\xa2\x65Roots\x81" + _LINK + _VERSION),
    "roots that are null": headed(b"\xa2\x65roots\xf6" + _VERSION),
    "a root that is no list": headed(b"\xa2\x65roots" + _LINK + _VERSION),
    "a root that is bytes": headed(b"\xa2\x65roots\x81\x41\x00" + _VERSION),
    "a root in a list of its own": headed(b"\xa2\x65roots\x81\x81" + _LINK + _VERSION),
    "roots of no stated length": headed(b"\xa2\x65roots\x9f" + _LINK + b"\xff" + _VERSION),
    "a longer number of roots": headed(b"\xa2\x65roots\x98\x01" + _LINK + _VERSION),
    "a longer version": headed(b"\xa2" + _ROOTS + b"\x67version\x18\x01"),
    "something behind": headed(b"\xa2" + _ROOTS + _VERSION + b"\x00"),
    "a root of SHA-1": headed(
        b"\xa2\x65roots\x81\xd8\x2a\x58\x19\x00\x01\x55\x11\x14" + bytes(20) + _VERSION
    ),
    "a root that is cut off": headed(b"\xa2\x65roots\x81\xd8\x2a\x44\x00\x01\x55\x12" + _VERSION),
    "a root of nothing": headed(b"\xa2\x65roots\x81\xd8\x2a\x41\x00" + _VERSION),
    "a longer length": b"\x91\x00" + ROOTLESS[1:],
    "a length too short": b"\x10" + ROOTLESS[1:],
    "a length too long": b"\x12" + ROOTLESS[1:],
}


@pytest.mark.parametrize("data", NO_HEADERS.values(), ids=NO_HEADERS)
def test_a_header_has_one_form(data: bytes) -> None:
    assert read_all(headed(b"\xa2" + _ROOTS + _VERSION)) == ([SMALL[0][0]], [])
    for whole in (data, data + sections(SMALL), version_2(data), version_2(data + sections(SMALL))):
        with pytest.raises(FormatError):
            read_all(whole)


BAD_SECTIONS = {
    "of no bytes": (b"\x00", FormatError),
    "of a longer length": (b"\xa7\x00" + sections(SMALL)[1:], NonCanonical),
    "of a CID that is cut off": (b"\x04" + bytes(SMALL[0][0])[:4], FormatError),
    "shorter than its CID": (b"\x23" + bytes(SMALL[0][0]) + b"abc", FormatError),
    "of no CID": (b"\x04abcd", FormatError),
    "of SHA-1": (b"\x19\x01\x55\x11\x14" + bytes(20) + b"x", HashUnsupported),
    "of a shortened digest": (b"\x19\x01\x55\x12\x14" + bytes(20) + b"x", HashUnsupported),
    "of a CID that inlines much": (b"\x80\x02\x01\x55\x00\x81\x01" + bytes(251), HashUnsupported),
}


@pytest.mark.parametrize(("section", "error"), BAD_SECTIONS.values(), ids=BAD_SECTIONS)
def test_a_bad_section_is_refused_after_the_good_ones(
    section: bytes, error: type[FormatError]
) -> None:
    good = HEADER + sections(SMALL)
    for data in (good + section, good + section + sections(SMALL), version_2(good + section)):
        car = iter(CarReader(Asked(data).read))
        assert blocks_in(list(itertools.islice(car, len(SMALL)))) == SMALL
        with pytest.raises(FormatError) as caught:
            next(car)
        assert type(caught.value) is error


@given(
    st.binary(max_size=100)
    | st.builds(bytes.__add__, st.sampled_from([HEADER, ROOTLESS, PRAGMA]), st.binary(max_size=99))
    | st.builds(version_2, st.binary(max_size=99), blocks, blocks)
)
@example(PRAGMA * 2)
@example(version_2(PRAGMA))
@example(version_2(version_2(ROOTLESS)))
def test_arbitrary_bytes_raise_nothing_but_malformed(data: bytes) -> None:
    try:
        roots, found = read_all(data)
    except FormatError:
        return
    assert data.startswith(PRAGMA) or car_of(roots, blocks_in(found)) == data


@given(roots_of, st.lists(contents, max_size=4), st.data())
def test_a_changed_car_is_another_or_none(
    roots: list[AnyCid], held: list[Block], data: st.DataObject
) -> None:
    changed = bytearray(car_of(roots, held))
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        other_roots, found = read_all(bytes(changed))
    except FormatError:
        return
    assert car_of(other_roots, blocks_in(found)) == changed
    assert_offsets_point_at_blocks(bytes(changed), found)
