"""A log's topics and data as an event, or refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from integrity.core.events import (
    ENDORSED,
    LATEST_CHANGED,
    RELEASED,
    REVOKED,
    TEXT_LIMIT,
    TOPICS,
    WITHDRAWN,
    Endorsed,
    LatestChanged,
    Place,
    Released,
    Revoked,
    decode_event,
)
from integrity.core.names import checksum_address
from integrity.core.registry import package_key
from integrity.errors import FormatError

PLACE = Place(7, b"\x01" * 32, 3, b"\x02" * 32)
ADDRESSES = st.binary(min_size=20, max_size=20)
DIGESTS = st.binary(min_size=32, max_size=32)
PACKAGES = st.from_regex(r"\A[a-z0-9][a-z0-9._-]{0,63}\Z")
VERSIONS = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9.+~_-]{0,63}\Z")
SEQUENCES = st.integers(1, 2**48 - 1)


def topics(kind: bytes, publisher: bytes, package: str, *more: bytes) -> list[bytes]:
    key = package_key(checksum_address(publisher), package)
    return [kind, bytes(12) + publisher, key, *more]


@given(ADDRESSES, PACKAGES, VERSIONS, DIGESTS, SEQUENCES, ADDRESSES, st.booleans(), DIGESTS)
def test_releases_are_what_the_abi_says(
    publisher: bytes, package: str, version: str, manifest: bytes, sequence: int, by: bytes, latest: bool,
    content: bytes,
) -> None:  # fmt: skip
    types = ["string", "string", "bytes32", "uint256", "address", "bool"]
    data = encode(types, [package, version, manifest, sequence, by, latest])
    found = decode_event(topics(RELEASED, publisher, package, content), data, PLACE)
    assert found == Released(PLACE, publisher, package, version, sequence, manifest, by, latest)


@given(ADDRESSES, PACKAGES, VERSIONS, SEQUENCES, st.integers(0, 255), st.text())
def test_revocations_and_changes_are_what_the_abi_says(
    publisher: bytes, package: str, version: str, sequence: int, reason: int, text: str
) -> None:
    types = ["string", "string", "uint256", "uint8", "string"]
    data = encode(types, [package, version, sequence, reason, text])
    found = decode_event(topics(REVOKED, publisher, package), data, PLACE)
    assert found == Revoked(PLACE, publisher, package, version, sequence, reason, text)
    data = encode(types[:3], [package, version, sequence])
    changed = decode_event(topics(LATEST_CHANGED, publisher, package), data, PLACE)
    assert changed == LatestChanged(PLACE, publisher, package, version, sequence)


def test_a_text_that_is_no_text_or_endless_is_kept_as_far_as_it_goes() -> None:
    types = ["string", "string", "uint256", "uint8", "bytes"]  # bytes are encoded as a string is
    data = encode(types, ["tool", "1", 1, 2, b"\xff\x1b" + b"x" * 50_000])
    found = decode_event(topics(REVOKED, b"\x01" * 20, "tool"), data, PLACE)
    assert isinstance(found, Revoked)
    assert found.text.startswith("\ufffd\x1bxxx")
    assert len(found.text) == TEXT_LIMIT


@given(ADDRESSES, DIGESTS, st.integers(1, 3))
def test_endorsements_are_what_the_abi_says(endorser: bytes, manifest: bytes, kind: int) -> None:
    who = bytes(12) + endorser
    found = decode_event([ENDORSED, who, manifest], encode(["uint8"], [kind]), PLACE)
    assert found == Endorsed(PLACE, endorser, manifest, kind)
    assert decode_event([WITHDRAWN, who, manifest], b"", PLACE) == found._replace(kind=0)


GOOD_TOPICS = topics(RELEASED, b"\x01" * 20, "tool", b"\x03" * 32)
GOOD = encode(
    ["string", "string", "bytes32", "uint256", "address", "bool"],
    ["tool", "1.0", b"\x04" * 32, 1, "0x" + "11" * 20, True],
)
WORD = 32


def put(at: int, value: int) -> Callable[[bytes], bytes]:
    return lambda data: data[: at * WORD] + value.to_bytes(WORD, "big") + data[(at + 1) * WORD :]


BAD: dict[str, Callable[[bytes], bytes]] = {
    "no data": lambda _: b"",
    "cut short": lambda data: data[:-1],
    "a word too few": lambda data: data[:-WORD],
    "a word too many": lambda data: data + bytes(WORD),
    "an offset elsewhere": put(0, 7 * WORD),
    "an offset far away": put(1, 2**255),
    "two strings in one place": put(1, 6 * WORD),
    "an endless string": put(6, 2**256 - 1),
    "a longer string": put(6, 5),
    "dirt after a string": lambda data: data[: 8 * WORD - 1] + b"\x01" + data[8 * WORD :],
    "no version": put(8, 0),
    "the sequence 0": put(3, 0),
    "a sequence of more than 48 bits": put(3, 2**48),
    "no address": put(4, 2**160),
    "neither true nor false": put(5, 2),
    "another package": lambda data: data.replace(b"tool", b"toot"),
    "a name that is none": lambda data: data.replace(b"tool", b"To\x00l"),
    "a version that is none": lambda data: data.replace(b"1.0", b"1 0"),
}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD.keys())
def test_what_the_registry_does_not_write_is_refused(change: Callable[[bytes], bytes]) -> None:
    assert decode_event(GOOD_TOPICS, GOOD, PLACE)
    with pytest.raises(FormatError):
        decode_event(GOOD_TOPICS, change(GOOD), PLACE)


@pytest.mark.parametrize(
    "wrong",
    [
        [], GOOD_TOPICS[:3], [*GOOD_TOPICS, b"\x00" * 32], [b"\x09" * 32, *GOOD_TOPICS[1:]],
        [GOOD_TOPICS[0], b"\x01" * 32, *GOOD_TOPICS[2:]], [GOOD_TOPICS[0], b"", *GOOD_TOPICS[2:]],
    ],
)  # fmt: skip
def test_topics_that_the_registry_does_not_write_are_refused(wrong: list[bytes]) -> None:
    with pytest.raises(FormatError):
        decode_event(wrong, GOOD, PLACE)


@given(st.sampled_from(TOPICS), st.lists(DIGESTS, max_size=4), st.binary(max_size=500))
def test_any_other_bytes_are_refused_and_nothing_else(
    kind: bytes, more: list[bytes], data: bytes
) -> None:
    try:
        decode_event([kind, *more], data, PLACE)
    except FormatError:
        return
    assert kind in {ENDORSED, WITHDRAWN}, "what bytes by chance can be"
