"""The links of DAG-CBOR blocks, held against libipld and a reference that recurses."""

from __future__ import annotations

import itertools
import struct
import tracemalloc
from typing import Any, NamedTuple

import libipld
import pytest
from hypothesis import strategies as st

from integrity.core.cbor import follow_cbor, links_of_cbor
from integrity.errors import FormatError, NonCanonical

from .unhurried import example, given


class Link(NamedTuple):
    """A link to be; what stands in it is nobody's business here."""

    cid: bytes


# --- DAG-CBOR as plainly as it can be written ---------------------------------------------------


def head(major: int, value: int) -> bytes:
    if value < 24:
        return bytes((major << 5 | value,))
    code = next(code for code in range(24, 28) if value < 1 << (8 << (code - 24)))
    return bytes((major << 5 | code,)) + value.to_bytes(1 << (code - 24), "big")


def encode(value: Any) -> bytes:
    """The canonical form: keys by length first, numbers as short as they can be."""
    match value:
        case None | bool():
            return {False: b"\xf4", True: b"\xf5", None: b"\xf6"}[value]
        case int():
            return head(0, value) if value >= 0 else head(1, -1 - value)
        case float():
            return b"\xfb" + struct.pack(">d", value)
        case Link():
            return b"\xd8\x2a" + head(2, len(value.cid) + 1) + b"\0" + value.cid
        case bytes():
            return head(2, len(value)) + value
        case str():
            return head(3, len(value.encode())) + value.encode()
        case list():
            return head(4, len(value)) + b"".join(map(encode, value))
    pairs = [encode(key) + encode(value[key]) for key in sorted_keys(value)]
    return head(5, len(value)) + b"".join(pairs)


def sorted_keys(value: dict[str, Any]) -> list[str]:
    return sorted(value, key=lambda key: (len(key.encode()), key.encode()))


def links_in(value: Any) -> list[bytes]:
    if isinstance(value, Link):
        return [value.cid]
    if isinstance(value, dict):
        value = [value[key] for key in sorted_keys(value)]
    return [cid for each in value for cid in links_in(each)] if isinstance(value, list) else []


def follow(value: Any, names: list[str], taken: int = 0) -> tuple[bytes | None, int]:
    if isinstance(value, Link):
        return value.cid, taken
    if not names:
        return None, taken
    name, *rest = names
    if isinstance(value, dict):
        return follow(value[name], rest, taken + 1)
    digits = name.isascii() and name.isdigit() and len(name) < 10  # leading zeros are digits, too
    if isinstance(value, list) and digits and int(name) < len(value):
        return follow(value[int(name)], rest, taken + 1)
    raise KeyError(name)


plain_values = (
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False).map(lambda x: x + 0.0)
    | st.text(max_size=30)
    | st.binary(max_size=30)
)
links = st.builds(Link, st.binary(max_size=40))
keys = st.text("ab012/é", max_size=3) | st.text(max_size=30)


def nested(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        values,
        lambda inner: st.lists(inner, max_size=30) | st.dictionaries(keys, inner, max_size=4),
        max_leaves=12,
    )


# --- links -------------------------------------------------------------------------------------


@given(nested(plain_values))
def test_a_block_of_libipld_without_links_has_none(value: Any) -> None:
    block = libipld.encode_dag_cbor(value)
    assert encode(value) == block  # so that the encoder above can be believed
    assert links_of_cbor(block) == []


@given(nested(plain_values | links))
def test_every_link_is_found_in_the_order_in_which_it_stands(value: Any) -> None:
    assert links_of_cbor(encode(value)) == links_in(value)


@given(nested(plain_values | links), st.binary(min_size=1, max_size=3), st.data())
def test_a_block_that_is_cut_off_or_goes_on_is_refused(
    value: Any, after: bytes, data: st.DataObject
) -> None:
    block = encode(value)
    with pytest.raises(FormatError):
        links_of_cbor(block[: data.draw(st.integers(0, len(block) - 1))])
    with pytest.raises(FormatError):
        links_of_cbor(block + after)


def test_a_block_that_is_cut_off_anywhere_is_refused() -> None:
    value = {"a": [1, -300, 70_000, 2**40, 1.5, None], "bb": [Link(b"cid"), b"bytes", {"": "é"}]}
    block = encode(value)
    assert links_of_cbor(block) == [b"cid"]
    for end in range(len(block)):
        with pytest.raises(FormatError):
            links_of_cbor(block[:end])


LONGER_THAN_NEEDED = [
    f"{major << 5 | 24 + size:02x}{'00' * ((1 << size) - len(value) // 2)}{value}"
    for major in range(7)
    for size, value in enumerate(("17", "ff", "ffff", "ffffffff"))
]


@pytest.mark.parametrize("start", LONGER_THAN_NEEDED)
def test_a_number_is_written_in_its_shortest_form(start: str) -> None:
    raw = bytes.fromhex(start)
    for block in (raw, raw + bytes(2**16), b"\x81" + raw):
        with pytest.raises(NonCanonical):
            links_of_cbor(block)
    shortest = head(raw[0] >> 5, int.from_bytes(raw[1:], "big") + 1)
    assert len(shortest) == len(raw)  # one more needs that many bytes
    if raw[0] >> 5 < 2:
        assert links_of_cbor(shortest) == []


REFUSED = {
    "nothing": "",
    "bytes of no stated length": "5f41004100ff",
    "a text of no stated length": "7f6161ff",
    "a list of no stated length": "9f01ff",
    "a map of no stated length": "bf616101ff",
    "numbers of no stated length": "1f",
    "negative numbers of no stated length": "3f",
    "a tag of no stated length": "df01",
    "a stop": "ff",
    "a reserved length 28": "1c",
    "a reserved length 29": "5d00",
    "a reserved length 30": "9e00",
    "a date": "c06131",
    "a time": "c101",
    "a big number": "c24101",
    "the tag 24": "d8184101",
    "the tag 41": "d829420061",
    "the tag 43": "d82b420061",
    "the tag of CBOR itself": "d9d9f7" + "a0",
    "the tag 42 + 256": "d9012a420061",
    "undefined": "f7",
    "a simple value": "e0",
    "a simple value of one byte": "f820",
    "false in two bytes": "f814",
    "a half float": "f93c00",
    "a single float": "fa3fc00000",
    "a link in a text": "d82a620061",
    "a link that is a number": "d82a00",
    "a link that is a list": "d82a8100",
    "a link in a link": "d82ad82a420061",
    "a link that is null": "d82af6",
    "a link without its multibase prefix": "d82a420155",
    "a link with another prefix": "d82a420755",
    "a link of no bytes": "d82a40",
    "a link of no bytes, before a zero": "82d82a4000",
    "a link of nothing": "d82a",
    "a link of nothing in a list": "82d82a4200",
}


@pytest.mark.parametrize("block", REFUSED.values(), ids=REFUSED)
def test_what_dag_cbor_has_not_got_is_refused(block: str) -> None:
    assert links_of_cbor(bytes.fromhex("82d82a42006100")) == [b"a"]
    for raw in (bytes.fromhex(block), b"\x82\x00" + bytes.fromhex(block)):
        with pytest.raises(FormatError):
            links_of_cbor(raw)


DEEP = {
    "lists": b"\x81" * 100_000,
    "maps": b"\xa1\x61\x30" * 100_000,
    "lists and maps": b"\xa1\x61\x30\x81" * 50_000,
}


@pytest.mark.parametrize("start", DEEP.values(), ids=DEEP)
def test_100_000_levels_are_neither_recursion_nor_refusal(start: bytes) -> None:
    block = start + encode(Link(b"deep"))
    assert links_of_cbor(block) == [b"deep"]
    assert links_of_cbor(start + b"\x00") == []
    assert follow_cbor(block, ["0"] * 100_000) == (b"deep", 100_000)
    with pytest.raises(FormatError):
        links_of_cbor(start)
    # The sibling behind all that can only be found by passing over it.
    assert follow_cbor(b"\x82" + start + b"\x00" + encode(Link(b"next")), ["1"]) == (b"next", 1)


def test_levels_cost_no_memory() -> None:
    block = b"\x81" * 20_000 + encode(Link(b"deep"))
    tracemalloc.start()
    try:
        assert links_of_cbor(block) == [b"deep"]
        assert tracemalloc.get_traced_memory()[1] < 1 << 13
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("major", [2, 3, 4, 5])
@pytest.mark.parametrize("size", [2**63 - 1, 2**64 - 1, 2**62, 2**32, 2**31 - 1, 100_000])
@pytest.mark.parametrize("before", [b"", b"\x81", b"\x9a\xff\xff\xff\xff" * 50, b"\xd8\x2a"])
def test_threat_29_a_declared_length_costs_nothing(major: int, size: int, before: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(FormatError):
            links_of_cbor(before + head(major, size) + b"\x00" * 50)
        assert tracemalloc.get_traced_memory()[1] < 1 << 16
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=60))
@example(b"\xd8\x2a\x41\x00")
def test_arbitrary_bytes_raise_nothing_but_malformed(block: bytes) -> None:
    try:
        found = links_of_cbor(block)
    except FormatError:
        return
    for cid in found:
        assert encode(Link(cid)) in block


@given(nested(plain_values | links), st.data())
def test_a_changed_block_raises_nothing_but_malformed(value: Any, data: st.DataObject) -> None:
    block = bytearray(encode(value))
    block[data.draw(st.integers(0, len(block) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = links_of_cbor(bytes(block))
    except FormatError:
        return
    for cid in found:
        assert encode(Link(cid)) in block


# --- paths -------------------------------------------------------------------------------------


def paths_of(value: Any) -> list[list[str]]:
    """Every path that leads somewhere, through links too, where a name too many follows."""
    found: list[list[str]] = [[]]
    if isinstance(value, dict):
        found += [[key, *rest] for key, inner in value.items() for rest in paths_of(inner)]
    elif isinstance(value, list):
        found += [[str(at), *rest] for at, inner in enumerate(value) for rest in paths_of(inner)]
    elif isinstance(value, Link):
        found += [["behind", "the link"]]
    return found


def followed(value: Any, names: list[str]) -> tuple[bytes | None, int] | str:
    """Where a path leads; the name that leads nowhere, if one does."""
    try:
        return follow(value, names)
    except KeyError as error:
        return str(error.args[0])


def assert_followed_alike(value: Any, names: list[str]) -> None:
    expected = followed(value, names)
    if isinstance(expected, tuple):
        assert follow_cbor(encode(value), names) == expected
        return
    with pytest.raises(KeyError) as caught:
        follow_cbor(encode(value), names)
    assert caught.value.args == (expected,)


@given(nested(plain_values | links))
def test_every_path_leads_where_it_should(value: Any) -> None:
    for names in paths_of(value):
        assert follow_cbor(encode(value), names) == follow(value, names)


@given(nested(plain_values | links), st.data())
def test_other_paths_lead_nowhere(value: Any, data: st.DataObject) -> None:
    names = data.draw(st.sampled_from(paths_of(value)))
    noise = data.draw(keys | st.sampled_from(["", "-1", "1", "00", "30", "1.0", " 1", "1_0", "+1"]))
    at = data.draw(st.integers(0, len(names)))
    assert_followed_alike(value, [*names[:at], noise, *names[at:]])
    assert_followed_alike(value, [*names[:at], noise, *names[at + 1 :]])


def test_of_two_equal_keys_the_first_is_followed() -> None:
    block = b"\xa2" + 2 * (encode("a") + encode(Link(b"1"))).replace(b"1", b"%c")
    assert follow_cbor(block % (b"1", b"2"), ["a"]) == (b"1", 1)


def test_an_index_of_thousands_of_digits_leads_nowhere() -> None:
    """More than Python turns into a number."""
    with pytest.raises(KeyError):
        follow_cbor(encode([1, Link(b"x")]), ["1" * 5000])


@pytest.mark.parametrize("name", ["\u0661", "\uff11", "\u0967"])
def test_an_index_is_of_ascii_digits(name: str) -> None:
    """Other digits are other names: nobody else's gateway would follow them."""
    assert name.isdecimal()
    assert follow_cbor(encode([1, Link(b"x")]), ["1"]) == (b"x", 1)
    with pytest.raises(KeyError):
        follow_cbor(encode([1, Link(b"x")]), [name])


FOREIGN_KEYS = {
    "a number": head(0, 1000),
    "a small number": head(0, 5),
    "a negative number": head(1, 7),
    "bytes": encode(b"a"),
    "a list": encode([5, [6, "a"], 7]),
    "a map": encode({"a": 1}),
    "a link": encode(Link(b"key")),
    "null": encode(None),
    "a float": encode(1.5),
}


@pytest.mark.parametrize("key", FOREIGN_KEYS.values(), ids=FOREIGN_KEYS)
def test_a_key_that_is_no_text_is_refused_or_passed_over(key: bytes) -> None:
    decoy = encode("..") + encode("a") + encode(Link(b"decoy"))
    for value, rest in itertools.product([decoy, b"x" * 2000], [Link(b"true"), [Link(b"true")]]):
        block = b"\xa2" + key + encode(value) + encode("a") + encode(rest)
        try:
            links_of_cbor(block)
        except FormatError:
            continue
        for names in (["a"], ["a", "0"]):
            assert follow_cbor(block, names) == follow({"a": rest}, names)
        with pytest.raises(KeyError):
            follow_cbor(block, ["b"])
