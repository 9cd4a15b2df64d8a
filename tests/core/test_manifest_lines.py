"""One line of a manifest: what is written is read back, and nothing else is read."""

from __future__ import annotations

import base64
import json

import pytest
import rfc8785
from hypothesis import strategies as st

from integrity.core.cid import DAG_PB, Cid
from integrity.core.jsonlines import INTEGER_LIMIT
from integrity.core.manifest import (
    HEADER_LIMIT,
    LINE_LIMIT,
    META_LIMIT,
    FileEntry,
    Header,
    decode_file,
    decode_header,
    encode_file,
    encode_header,
)
from integrity.core.pieces import PIECE_SIZE
from integrity.errors import FormatError, LimitExceeded

from .releases import PUBLISHER, entries, header_of, simple
from .unhurried import example, given

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats()
    | st.text(st.characters(codec=None), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(entries())
def test_a_files_line_is_the_canonical_json_of_its_values(entry: FileEntry) -> None:
    value: dict[str, object] = {"path": entry.path, "size": entry.size}
    if entry.size > PIECE_SIZE:
        value["pieces"] = base64.urlsafe_b64encode(entry.digests).decode().rstrip("=")
    else:
        value["sha256"] = entry.digests.hex()
    if entry.executable:
        value["executable"] = True
    if entry.also:
        value["also"] = dict(entry.also)
    assert encode_file(entry) == rfc8785.dumps(value) + b"\n"  # type: ignore[arg-type]


@given(entries())
def test_a_files_line_is_read_back_as_it_was_written(entry: FileEntry) -> None:
    assert decode_file(encode_file(entry)) == entry


@given(st.binary(max_size=200))
@example(b"")
@example(b"\n")
@example(b"{}\n")
@example(b"\xef\xbb\xbf{}\n")
@example(b'{"path":"a","path":"a"}\n')
def test_arbitrary_bytes_raise_nothing_but_malformed(line: bytes) -> None:
    for decode in (decode_file, decode_header):
        with pytest.raises(FormatError):
            decode(line)


FILE_KEYS = ("also", "executable", "path", "pieces", "sha256", "size", "other")
HEADER_KEYS = (
    "also",
    "content",
    "files",
    "format",
    "meta",
    "package",
    "publisher",
    "size",
    "version",
)


@given(st.dictionaries(st.sampled_from(FILE_KEYS), json_values))
@example({"path": "a", "size": True, "sha256": "0" * 64})
@example({"path": "a", "size": 1.0, "sha256": "0" * 64})
@example({"path": "a", "size": 1, "sha256": "0" * 64, "also": {"\ud800": "0"}})
def test_any_json_in_the_place_of_a_file_raises_nothing_but_malformed(
    value: dict[str, object],
) -> None:
    with pytest.raises(FormatError):
        decode_file(json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n")


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(HEADER_KEYS, json_values)))
@example({"size": 0})
def test_any_json_in_the_place_of_a_header_raises_nothing_but_malformed(
    values: dict[str, object],
) -> None:
    good = json.loads(encode_header(header_of([simple("a")])))
    text = json.dumps(good | values, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    line = text.encode() + b"\n"
    try:
        header = decode_header(line)
    except FormatError:
        return
    assert encode_header(header) == line  # it happened to be another good one


@given(entries(), st.data())
def test_a_files_line_with_one_byte_changed_means_something_else(
    entry: FileEntry, data: st.DataObject
) -> None:
    line = bytearray(encode_file(entry))
    at = data.draw(st.integers(0, len(line) - 1))
    line[at] ^= data.draw(st.integers(1, 255))
    try:
        other = decode_file(bytes(line))
    except FormatError as error:
        assert error.family == "malformed"  # noqa: PT017 - being read is fine, too
    else:
        assert other != entry
        assert encode_file(other) == bytes(line)


# --- headers -------------------------------------------------------------------------------------

meta_keys = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=9)


@given(
    st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9.+~_-]{0,63}", fullmatch=True),
    st.binary(min_size=32, max_size=32),
    st.integers(1, INTEGER_LIMIT),
    st.integers(0, INTEGER_LIMIT),
    st.dictionaries(meta_keys, st.text(st.characters(codec="utf-8"), max_size=20), max_size=5),
)
def test_a_header_is_read_back_as_it_was_written(
    package: str, version: str, root: bytes, files: int, size: int, meta: dict[str, str]
) -> None:
    cid = Cid(DAG_PB, root)
    header = Header(PUBLISHER, package, version, cid, files, size, {"btih": "0" * 40}, meta)
    assert decode_header(encode_header(header)) == header


@pytest.mark.parametrize(
    "changed",
    [
        {"publisher": PUBLISHER.lower()},
        {"package": "Tool"},
        {"version": ""},
        {"content": Cid(0x55, bytes(32))},
        {"files": 0},
        {"size": -1},
        {"size": 2**53},
        {"also": {"sha256": "0" * 64}},
        {"meta": {"": "x"}},
        {"meta": {"k": "\ud800"}},
        {"meta": {"\ud800": "v"}},
        {"meta": {"k": "m" * META_LIMIT}},
    ],
    ids=str,
)
def test_no_header_is_written_that_no_reader_accepts(changed: dict[str, object]) -> None:
    good = header_of([simple("a")])
    values = {name: getattr(good, name) for name in Header.__dataclass_fields__}
    with pytest.raises(FormatError):
        encode_header(Header(**(values | changed)))


def test_the_longest_header_there_can_be_is_within_its_limit() -> None:
    meta = {"k": "m" * (META_LIMIT - len('{"k":""}'))}
    also = {"btih": "0" * 40, "btmh": "1220" + "0" * 64}
    cid = Cid(DAG_PB, bytes(32))
    header = Header(
        PUBLISHER, "p" * 64, "v" * 64, cid, INTEGER_LIMIT, INTEGER_LIMIT, also, meta
    )  # fmt: skip
    assert len(encode_header(header)) < HEADER_LIMIT


def test_a_header_over_its_limit_is_not_looked_at() -> None:
    with pytest.raises(LimitExceeded):
        decode_header(b"{" + b"x" * HEADER_LIMIT)


# --- limits --------------------------------------------------------------------------------------


def test_the_largest_file_of_one_line_is_just_under_384_gib() -> None:
    """The digests of 384 GiB alone, in base64, are as long as a line may be."""
    pieces = 384 * 1024
    assert pieces * 32 * 4 // 3 == LINE_LIMIT
    with pytest.raises(LimitExceeded):
        encode_file(FileEntry("f", pieces * PIECE_SIZE, bytes(32) * pieces))
    # {"path":"f","pieces":"","size":412316827648} and LF are 46 bytes: 3 * 12 bytes of digests.
    fewer = pieces - 2
    line = encode_file(FileEntry("f", fewer * PIECE_SIZE, bytes(32) * fewer))
    assert len(line) <= LINE_LIMIT
    assert decode_file(line).size == fewer * PIECE_SIZE


def test_a_message_is_short_however_long_the_line() -> None:
    long = b"x" * 500_000
    broken = [
        b'{"path":"' + long + b'","sha256":"' + b"0" * 64 + b'","size":1048577}\n',
        b'{"path":"a","sha256":"' + long + b'","size":1}\n',
        b'{"also":{"sha1":"' + long + b'"},"path":"a","sha256":"' + b"0" * 64 + b'","size":1}\n',
        b'{"' + long + b'":1,"path":"a"}\n',
        b'{"path":"a","sha256":"' + b"0" * 64 + b'","size":' + b"1" * 500_000 + b"}\n",
    ]
    for line in broken:
        with pytest.raises(FormatError) as caught:
            decode_file(line)
        assert len(caught.value.message) < 1000
