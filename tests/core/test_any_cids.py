"""CIDs of anybody's blocks: every base, every safe hash function, and nothing that is weak or cut."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import libipld
import pytest
from hypothesis import assume
from hypothesis import strategies as st

from integrity.core.anycid import (
    IDENTITY_LIMIT,
    TEXT_LIMIT,
    AnyCid,
    any_cid,
    cid_of,
    decode_any_cid,
    is_key_of,
    parse_any_cid,
    raw_cid_of_key,
    read_cid,
)
from integrity.core.cid import DAG_PB, RAW, Cid
from integrity.errors import FormatError, HashUnsupported

from . import plain_unixfs as plain
from .unhurried import example, given

HASHES: dict[int, Callable[[bytes], bytes]] = {
    0x12: lambda data: hashlib.new("sha256", data).digest(),
    0x13: lambda data: hashlib.new("sha512", data).digest(),
    0x14: lambda data: hashlib.new("sha3_512", data).digest(),
    0x15: lambda data: hashlib.new("sha3_384", data).digest(),
    0x16: lambda data: hashlib.new("sha3_256", data).digest(),
    0xB220: lambda data: hashlib.blake2b(data, digest_size=32).digest(),
    0xB240: lambda data: hashlib.blake2b(data, digest_size=64).digest(),
}

BASES = "079fFbBcCvVtThkKzZmMuU"
"""Every prefix of the multibase table that is one ASCII letter and not experimental."""

ALPHABETS = ["0", "7", "9", "fF", "bBcC", "vVtT", "h", "kK", "z", "Z", "mMuU"]

EMPTY_FOLDER = b"\x0a\x02\x08\x01"


def multihash(code: int, digest: bytes) -> bytes:
    return plain.leb128(code) + plain.leb128(len(digest)) + digest


def hashed(code: int, block: bytes) -> bytes:
    return multihash(code, HASHES[code](block) if code else block)


def version_1(codec: int, code: int, digest: bytes) -> bytes:
    return b"\x01" + plain.leb128(codec) + multihash(code, digest)


def text_of(base: str, raw: bytes) -> str:
    return str(libipld.encode_multibase(base, raw))


codecs = st.sampled_from([RAW, DAG_PB, 0x71, 0x0129]) | st.integers(0, 2**63 - 1)
blocks = st.binary(max_size=IDENTITY_LIMIT)
cids = st.builds(
    lambda codec, code, block: AnyCid(1, codec, hashed(code, block)),
    codecs, st.sampled_from([0, *HASHES]), blocks,
)  # fmt: skip
cids_of_version_0 = st.builds(lambda block: AnyCid(0, DAG_PB, hashed(0x12, block)), blocks)


# --- one CID, many spellings -------------------------------------------------------------------


@given(cids, st.sampled_from(BASES))
def test_a_cid_is_read_from_every_base(cid: AnyCid, base: str) -> None:
    text = text_of(base, bytes(cid))
    assume(len(text) <= TEXT_LIMIT)
    assert parse_any_cid(text) == cid
    assert str(cid) == text_of("b", bytes(cid))
    assert parse_any_cid(str(cid)) == cid


@given(cids | cids_of_version_0, st.binary(max_size=3), st.binary(max_size=3))
def test_a_cid_is_read_from_its_bytes_wherever_they_stand(
    cid: AnyCid, before: bytes, after: bytes
) -> None:
    raw = bytes(cid)
    assert decode_any_cid(raw) == cid
    assert read_cid(before + raw + after, len(before)) == (cid, len(before) + len(raw))
    if after:
        with pytest.raises(FormatError):
            decode_any_cid(raw + after)


@given(cids_of_version_0)
def test_a_cid_of_version_0_is_read_from_its_one_spelling(cid: AnyCid) -> None:
    text = str(cid)
    assert text.startswith("Qm")
    assert len(text) == 46
    assert parse_any_cid(text) == cid
    assert libipld.decode_cid(text)["hash"]["digest"] == cid.multihash[2:]


@given(cids | cids_of_version_0)
def test_what_is_read_is_what_libipld_reads(cid: AnyCid) -> None:
    assume(cid.inlined is None or len(cid.inlined) <= 64)  # libipld knows no longer digests
    assert as_libipld_says(cid) == libipld.decode_cid(bytes(cid))


def as_libipld_says(cid: AnyCid) -> dict[str, object]:
    code, at = cid.multihash[0], 1
    if code >= 0x80:  # blake2b: three bytes
        code, at = code & 0x7F | (cid.multihash[1] & 0x7F) << 7 | cid.multihash[2] << 14, 3
    hashed_by = {"code": code, "size": cid.multihash[at], "digest": cid.multihash[at + 1 :]}
    return {"version": cid.version, "codec": cid.codec, "hash": hashed_by}


KNOWN = {
    "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn": EMPTY_FOLDER,
    "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354": EMPTY_FOLDER,
    "QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n": b"",
    "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku": b"",
    "bafkqaaa": b"",
    "bafyaabakaieac": EMPTY_FOLDER,
}


@pytest.mark.parametrize("text", KNOWN)
def test_cids_that_everybody_knows(text: str) -> None:
    cid = parse_any_cid(text)
    assert str(cid) == text
    assert cid.is_of(KNOWN[text])
    assert not cid.is_of(KNOWN[text] + b"\0")
    assert cid.codec == (RAW if "bafk" in text else DAG_PB)


@given(st.sampled_from([RAW, DAG_PB]), st.binary(min_size=32, max_size=32))
def test_a_cid_of_a_release_is_one_of_them(codec: int, digest: bytes) -> None:
    ours = Cid(codec, digest)
    cid = any_cid(ours)
    assert (bytes(cid), str(cid), cid.key) == (bytes(ours), str(ours), digest)
    assert parse_any_cid(str(ours)) == cid


# --- which block it is -------------------------------------------------------------------------


@given(st.sampled_from([0, *HASHES]), codecs, blocks, blocks)
def test_a_cid_is_of_one_block(code: int, codec: int, block: bytes, other: bytes) -> None:
    cid = AnyCid(1, codec, hashed(code, block))
    assert cid.is_of(block)
    assert cid.is_of(other) == (block == other)
    assert cid.inlined == (None if code else block)


@given(st.sampled_from([*HASHES]), blocks, blocks, codecs)
def test_a_key_finds_a_block_whatever_codec_it_is_asked_for_with(
    code: int, block: bytes, other: bytes, codec: int
) -> None:
    cid = AnyCid(1, codec, hashed(code, block))
    assert cid.key == (hashed(code, block)[2:] if code == 0x12 else hashed(code, block))
    assert cid.key == AnyCid(1, RAW, hashed(code, block)).key
    assert raw_cid_of_key(cid.key) == AnyCid(1, RAW, hashed(code, block))
    assert is_key_of(cid.key, block)
    assert is_key_of(cid.key, memoryview(block))
    assert is_key_of(cid.key, other) == (block == other)
    if code == 0x12:
        assert cid.key == AnyCid(0, DAG_PB, hashed(code, block)).key
        assert cid_of(codec, block) == cid


def test_hash_functions_are_kept_apart() -> None:
    """The digest of one function under the code of another of the same length."""
    keys = {AnyCid(1, RAW, hashed(code, b"x")).key for code in HASHES}
    assert len(keys) == len(HASHES)
    for code in (0x16, 0xB220):
        swapped = multihash(code, HASHES[0x12](b"x"))
        assert not decode_any_cid(b"\x01\x55" + swapped).is_of(b"x")


def test_a_cid_inlines_128_bytes_and_no_more() -> None:
    cid = decode_any_cid(version_1(RAW, 0, bytes(128)))
    assert cid.inlined == bytes(128)
    assert cid.is_of(bytes(128))
    assert not cid.is_of(bytes(127))
    assert parse_any_cid(str(cid)) == cid
    with pytest.raises(HashUnsupported):
        decode_any_cid(version_1(RAW, 0, bytes(129)))


# --- what is refused ---------------------------------------------------------------------------

WEAK = {
    "md5": (0xD5, hashlib.md5(b"").digest()),
    "sha1": (0x11, hashlib.sha1(b"").digest()),
    "sha2-224": (0x1013, bytes(28)),
    "sha2-256-trunc254-padded": (0x1012, bytes(32)),
    "dbl-sha2-256": (0x56, bytes(32)),
    "keccak-256": (0x1B, bytes(32)),
    "blake3": (0x1E, bytes(32)),
    "murmur3-x64-64": (0x22, bytes(8)),
    "blake2b-160": (0xB214, bytes(20)),
    "blake2s-256": (0xB260, bytes(32)),
    "a function of no name": (0x3FFFFF, bytes(32)),
    "sha2-256 of 20 bytes": (0x12, bytes(20)),
    "sha2-256 of 31 bytes": (0x12, bytes(31)),
    "sha2-256 of 33 bytes": (0x12, bytes(33)),
    "sha2-256 of no bytes": (0x12, b""),
    "sha2-512 of 32 bytes": (0x13, bytes(32)),
    "sha3-384 of 32 bytes": (0x15, bytes(32)),
    "sha3-256 of 64 bytes": (0x16, bytes(64)),
    "blake2b-512 of 32 bytes": (0xB240, bytes(32)),
    "blake2b-256 of 16 bytes": (0xB220, bytes(16)),
    "an inlined block of 129 bytes": (0, bytes(129)),
    "an inlined block of 200 bytes": (0, bytes(200)),
}


@pytest.mark.parametrize(("code", "digest"), WEAK.values(), ids=WEAK)
def test_threat_21_weak_and_unknown_hash_functions_are_refused(code: int, digest: bytes) -> None:
    raw = version_1(RAW, code, digest)
    with pytest.raises(HashUnsupported):
        decode_any_cid(raw)
    with pytest.raises(HashUnsupported):
        read_cid(raw + bytes(100))
    with pytest.raises(HashUnsupported):
        parse_any_cid(text_of("b", raw))


def test_a_declared_length_is_not_believed() -> None:
    for length in (plain.leb128(2**62), plain.leb128(129)):
        with pytest.raises(HashUnsupported):
            read_cid(b"\x01\x55\x00" + length + bytes(500))


@given(cids | cids_of_version_0)
def test_a_cid_that_is_cut_off_anywhere_is_refused(cid: AnyCid) -> None:
    raw = bytes(cid)
    for end in range(len(raw)):
        for read in (decode_any_cid, read_cid):
            with pytest.raises(FormatError):
                read(raw[:end])


def test_every_number_in_a_cid_is_written_in_its_shortest_form() -> None:
    parts = [b"\x01", b"\x55", b"\x12", b"\x20"]
    assert decode_any_cid(b"".join(parts) + bytes(32)).key == bytes(32)
    for at in range(4):
        longer = [*parts]
        longer[at] = bytes((parts[at][0] | 0x80, 0))
        with pytest.raises(FormatError):
            decode_any_cid(b"".join(longer) + bytes(32))


_V1 = version_1(RAW, 0x12, bytes(32))
_V0 = multihash(0x12, bytes(range(32)))
_V0_TEXT = text_of("z", _V0)[1:]

NO_CIDS = {
    "nothing": "",
    "one letter": "b",
    "two letters": "Qm",
    "a prefix and nothing": "zz",
    "an unknown prefix": "!" + text_of("b", _V1)[1:],
    "the prefix of an experimental base": "🚀" + text_of("b", _V1)[1:],
    "letters that are not ASCII": "bé" + text_of("b", _V1)[2:],
    "a full-width letter": "b" + chr(0xFF41) + text_of("b", _V1)[2:],
    "a space before": " " + text_of("b", _V1),
    "a space behind": text_of("b", _V1) + " ",
    "a line's end": text_of("b", _V1) + "\n",
    "a NUL": text_of("b", _V1) + "\0",
    "a slash": text_of("b", _V1) + "/",
    "a path": "/ipfs/" + text_of("b", _V1),
    "padding where there is none": text_of("b", _V1) + "=",
    "hex of odd length": text_of("f", _V1)[:-1],
    "version 0 with the prefix of base58": "z" + _V0_TEXT,
    "version 0 in base32": text_of("b", _V0),
    "version 0 in hex": text_of("f", _V0),
    "version 0 cut": _V0_TEXT[:-1],
    "version 0 and more": _V0_TEXT + "1",
    "version 0 with a letter base58 has not got": _V0_TEXT[:-1] + "0",
    "version 1 in base58 without its prefix": text_of("z", _V1)[1:],
    "version 0 inside version 1": text_of("b", b"\x00" + _V0),
    "version 2": text_of("b", b"\x02" + _V1[1:]),
    "version 18": text_of("b", b"\x12" + _V1[1:]),
    "a CID and more": text_of("b", _V1 + b"\0"),
    "two CIDs": text_of("b", _V1 + _V1),
}


@pytest.mark.parametrize("text", NO_CIDS.values(), ids=NO_CIDS)
def test_what_is_no_cid_is_refused(text: str) -> None:
    assert parse_any_cid(text_of("b", _V1)).key == bytes(32)
    assert parse_any_cid(_V0_TEXT).key == bytes(range(32))
    with pytest.raises(FormatError):
        parse_any_cid(text)


def test_a_prefix_is_that_of_the_text_behind_it() -> None:
    raw = version_1(RAW, 0x12, hashlib.sha256(b"prefix").digest())
    for prefix in BASES:
        for base in BASES:
            text = prefix + text_of(base, raw)[1:]
            if any(prefix in letters and base in letters for letters in ALPHABETS):
                continue
            with pytest.raises(FormatError):
                parse_any_cid(text)


def test_a_long_text_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    longest = text_of("f", version_1(RAW, 0, bytes(IDENTITY_LIMIT)))
    assert parse_any_cid(longest).inlined == bytes(IDENTITY_LIMIT)
    assert len(longest) < TEXT_LIMIT
    binary = text_of("0", version_1(RAW, 0x13, bytes(64)))
    assert len(binary) > TEXT_LIMIT
    decoded: list[str] = []
    monkeypatch.setattr(libipld, "decode_multibase", decoded.append)
    for text in (binary, "z" * (TEXT_LIMIT + 1), "b" * 10**6, "Qm" * 10**6):
        with pytest.raises(FormatError) as caught:
            parse_any_cid(text)
        assert len(caught.value.message) < 200
    assert decoded == []


@given(st.text(max_size=80) | st.text("QmzbfkuU0179abc=-_ +/", max_size=80))
@example("\0\x01U\0\x03abc")
def test_arbitrary_texts_are_malformed_or_a_cid(text: str) -> None:
    try:
        cid = parse_any_cid(text)
    except FormatError:
        return
    assert parse_any_cid(str(cid)) == cid


@given(
    st.binary(max_size=80)
    | st.builds(
        lambda version, codec, code, length, digest: version + codec + code + length + digest,
        st.sampled_from([b"", b"\x01", b"\x00", b"\x02", b"\x81\x00"]),
        st.sampled_from([b"", b"\x55", b"\x70", b"\xa9\x02", b"\xff" * 9 + b"\x01"]),
        st.sampled_from([b"\x12", b"\x11", b"\x00", b"\x13", b"\xa0\xe4\x02", b"\x92\x00"]),
        st.sampled_from([b"\x20", b"\x14", b"\x40", b"\x00", b"\x03", b"\x80\x01", b"\xa0\x00"]),
        st.integers(0, 66).map(bytes),
    )
)
def test_arbitrary_bytes_are_malformed_or_a_cid_for_libipld_too(raw: bytes) -> None:
    try:
        cid = decode_any_cid(raw)
    except FormatError:
        return
    assert bytes(cid) == raw
    if cid.inlined is None or len(cid.inlined) <= 64:
        assert as_libipld_says(cid) == libipld.decode_cid(raw)
