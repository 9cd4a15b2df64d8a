"""Rows 12 to 22 of the threats: what the core and the verifier can answer of them.

Row 17 has its tests in test_manifest_stream.py, row 22 in test_trees.py; what concerns disks and
sockets is tested where those are.
"""

from __future__ import annotations

import hashlib
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from integrity.core.cid import decode_cid, parse_cid, parse_digest
from integrity.core.manifest import (
    FileEntry,
    decode_file,
    decode_header,
    encode_file,
    encode_header,
    encode_pieces,
)
from integrity.core.pieces import PIECE_SIZE
from integrity.core.reading import ManifestDigest, check_manifest
from integrity.core.tree import TreeBuilder
from integrity.core.unixfs import file_node
from integrity.errors import (
    FormatError,
    HashUnsupported,
    LimitExceeded,
    ManifestMismatch,
    NameCollision,
    NonCanonical,
    UnsafePath,
)
from integrity.verifier.content import step6_manifest

from .releases import MemoryScratch, header_of, manifest_of, simple

MANIFEST = manifest_of(
    [simple("README"), FileEntry("bin/tool", 2 * PIECE_SIZE, bytes(64), executable=True)]
)
DIGEST = hashlib.sha256(MANIFEST).digest()
HEX = hashlib.sha256(b"x").hexdigest().encode()
LINE = b'{"path":"a","sha256":"' + HEX + b'","size":1}\n'
HEADER = encode_header(header_of([simple("a")]))


def refused(*lines: bytes) -> FormatError:
    with pytest.raises(FormatError) as caught:
        check_manifest(lines, MemoryScratch())
    return caught.value


@contextmanager
def memory_of(most: int) -> Iterator[None]:
    """Fail if more than this many bytes are allocated at any one time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


# --- 12 ------------------------------------------------------------------------------------------


def test_threat_12_arbitrary_content_each_flipped_byte_is_a_mismatch() -> None:
    assert step6_manifest(lambda: [MANIFEST], DIGEST, MemoryScratch()).files == 2
    for at in range(len(MANIFEST)):
        for bit in (0x01, 0x80):
            flipped = MANIFEST[:at] + bytes((MANIFEST[at] ^ bit,)) + MANIFEST[at + 1 :]
            digest = ManifestDigest()
            digest.update(flipped)
            if flipped[0] != 0x12:
                assert digest.finish() != DIGEST
            with pytest.raises(ManifestMismatch):
                step6_manifest(lambda flipped=flipped: [flipped], DIGEST, MemoryScratch())  # type: ignore[misc]


# --- 13 is in test_record_verifier.py: mix and match


def test_threat_13_mix_and_match_lines_of_another_release_do_not_fit_a_header() -> None:
    old = [simple("a", b"old"), simple("b", b"same")]
    new = [simple("a", b"new"), simple("b", b"same")]
    assert refused(encode_header(header_of(new)), *map(encode_file, old)).name == "TotalsMismatch"
    swapped = [
        encode_file(FileEntry("a", 4, new[1].digests)),
        encode_file(FileEntry("b", 3, new[0].digests)),
    ]
    assert refused(encode_header(header_of(new)), *swapped).name == "TotalsMismatch"


# --- 14 ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        LINE[:-2] + b',"size":1}\n',
        b'{"sha256":"' + HEX + b'","path":"a","size":1}\n',
        LINE.replace(b":1}", b":1.0}"),
        LINE.replace(b":1}", b":1e0}"),
        LINE.replace(b":1}", b":-0}"),
        LINE.replace(b'"a"', b'"\\u0061"'),
        LINE.replace(b",", b", "),
        LINE.replace(b"\n", b"\r\n"),
        LINE[:-1],
        LINE.replace(b"}", b"} "),
    ],
    ids=["key twice", "unsorted", "float", "exponent", "minus zero", "escape", "space", "CR LF",
         "no LF", "trailing space"],
)  # fmt: skip
def test_threat_14_not_canonical_in_a_files_line(line: bytes) -> None:
    assert decode_file(LINE).path == "a"
    with pytest.raises(NonCanonical):
        decode_file(line)


def test_threat_14_not_canonical_in_the_stream() -> None:
    lines = [encode_file(simple("a")), encode_file(simple("b"))]
    header = encode_header(header_of([simple("a"), simple("b")]))
    assert check_manifest([header, *lines], MemoryScratch()).files == 2
    assert refused(header, *reversed(lines)).name == "NonCanonical"
    assert refused(header, lines[0], lines[0]).name == "NonCanonical"
    assert refused(header, *lines, b"trailing").name == "TotalsMismatch"
    assert refused(header, *lines, b"\n").name == "TotalsMismatch"
    assert refused(b"\xef\xbb\xbf" + header, *lines).name == "FormatError"


@pytest.mark.parametrize("digits", [16, 17, 18, 100, 4300, 4301, 60_000])
def test_threat_14_long_integers_are_refused_however_long(digits: int) -> None:
    number = b"9" * digits
    for decode, good in ((decode_file, LINE), (decode_header, HEADER)):
        with pytest.raises(LimitExceeded):
            decode(good.replace(b'"size":1', b'"size":' + number))
        with pytest.raises(LimitExceeded):
            decode(good.replace(b'"size":1', b'"size":-' + number))


# --- 15 and 16 -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        b'{"path":"a","pieces":"AAAA","size":9007199254740991}\n',
        b'{"path":"a","pieces":"' + b"A" * 43 + b'","size":1099511627776}\n',
        b'{"path":"a","sha256":"","size":9007199254740991}\n',
        b'{"path":"a","size":1e308,"sha256":""}\n',
    ],
)
def test_threat_15_size_bomb_a_declared_size_allocates_nothing(line: bytes) -> None:
    assert len(line) < 100
    with memory_of(1 << 20), pytest.raises(FormatError):
        decode_file(line)


def test_threat_15_size_bomb_a_header_allocates_nothing() -> None:
    header = HEADER.replace(b'"files":1', b'"files":9007199254740991')
    header = header.replace(b'"size":1', b'"size":9007199254740991')
    with memory_of(1 << 20):
        assert decode_header(header).size == 2**53 - 1
        assert refused(header, LINE).name == "TotalsMismatch"


def test_threat_15_a_broken_line_of_16_mib_is_not_parsed_whole() -> None:
    """JSON of nothing but small values takes some 25 times its length once it is parsed."""
    long = b'{"path":[' + b"{}," * (5 << 20) + b"{}]}\n"
    short = b'{"path":[' + b"{}," * (300 << 10) + b"{}]}\n"
    for line in (long, short):
        with memory_of(64 << 20):
            assert refused(HEADER, line).name == "FormatError"


@pytest.fixture
def raised_limit() -> Iterator[None]:
    """What importing eth_account does to the whole process, through py_ecc."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(100_000, before))
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("raised_limit")
@pytest.mark.parametrize("levels", [100, 5_000, 100_000])
@pytest.mark.parametrize(("start", "end"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_threat_16_nesting_is_refused_without_recursion(
    levels: int, start: bytes, end: bytes
) -> None:
    nested = start * levels + b"0" + end * levels
    line = b'{"path":' + nested + b"}\n"
    assert refused(HEADER, line).name in {"LimitExceeded", "FormatError"}
    if levels == 100_000:
        assert refused(HEADER, line).name == "LimitExceeded"
    with pytest.raises(FormatError):
        decode_header(HEADER.replace(b'"package"', b'"meta":' + nested + b',"package"'))


# --- 18 ------------------------------------------------------------------------------------------

SIZES = [0, 1, PIECE_SIZE - 1, PIECE_SIZE, PIECE_SIZE + 1, 2 * PIECE_SIZE, 2 * PIECE_SIZE + 1]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("key", ["pieces", "sha256"])
def test_threat_18_lying_sizes_and_piece_counts(size: int, count: int, key: str) -> None:
    digests = hashlib.sha256().digest() * count
    text = digests.hex() if key == "sha256" else encode_pieces(digests)
    line = f'{{"path":"a","{key}":"{text}","size":{size}}}\n'.encode()
    true_count = max(1, -(-size // PIECE_SIZE))
    if count == true_count and key == ("pieces" if size > PIECE_SIZE else "sha256"):
        assert decode_file(line).digests == digests
        return
    with pytest.raises(FormatError) as caught:
        decode_file(line)
    assert caught.value.name in {"NonCanonical", "HashUnsupported", "TotalsMismatch"}


def test_threat_18_an_empty_file_has_the_digest_of_nothing() -> None:
    with pytest.raises(FormatError) as caught:
        decode_file(LINE.replace(b":1}", b":0}"))
    assert caught.value.name == "TotalsMismatch"


# --- 19 and 20 -----------------------------------------------------------------------------------


def line_of(path: bytes) -> bytes:
    return LINE.replace(b'"a"', b'"' + path + b'"')


@pytest.mark.parametrize(
    "path",
    [b"..", b"../x", b"a/../../x", b"/etc/passwd", b"//host/x", b"a\\\\..\\\\x", b"\\\\\\\\host",
     b"a\\u0000b", b"C:/x", b"C:x", b"a/./b", b"a//b", b"a/", b""],
)  # fmt: skip
def test_threat_19_traversal(path: bytes) -> None:
    assert isinstance(refused(HEADER, line_of(path)), UnsafePath)


def test_threat_19_a_path_below_a_file_cannot_be_given() -> None:
    """What a symbolic link in the file's place would turn into a way out."""
    header = encode_header(header_of([simple("a"), simple("b")]))
    assert isinstance(refused(header, line_of(b"a"), line_of(b"a/b")), NameCollision)


@pytest.mark.parametrize(
    ("one", "other"),
    [("README", "readme"), ("A/x", "a/y"), ("\u00c9", "\u00e9"), ("stra\u00dfe", "strasse")],
)
def test_threat_20_colliding_names(one: str, other: str) -> None:
    first, second = sorted((one.encode(), other.encode()))
    header = HEADER.replace(b'"files":1', b'"files":2').replace(b'"size":1', b'"size":2')
    assert refused(header, line_of(first), line_of(second)).name == "NameCollision"


@pytest.mark.parametrize("path", ["cafe\u0301", "CON", "aux.txt", "a.", "a ", "\u212b", "a/nul/b"])
def test_threat_20_names_that_are_others_elsewhere(path: str) -> None:
    assert refused(HEADER, line_of(path.encode())).name == "UnsafePath"


# --- 21 ------------------------------------------------------------------------------------------

CID = parse_cid(str(header_of([simple("a")]).content))


@pytest.mark.parametrize(
    "raw",
    [
        bytes((1, 0x70, 0x11, 0x14)) + bytes(20),
        bytes((1, 0x55, 0x00, 0x04)) + b"data",
        bytes((1, 0x70, 0x12, 0x14)) + bytes(20),
        bytes((1, 0x70, 0x12, 0x20)) + bytes(31),
        bytes((1, 0x70, 0x13, 0x40)) + bytes(64),
        bytes((1, 0x70, 0x16, 0x20)) + bytes(32),
    ],
    ids=["sha1", "identity", "truncated", "cut off", "sha2-512", "sha3-256"],
)
def test_threat_21_weak_or_unknown_hash_in_a_cid(raw: bytes) -> None:
    assert decode_cid(bytes(CID)) == CID
    with pytest.raises(HashUnsupported):
        decode_cid(raw)


@pytest.mark.parametrize("text", ["da39a3ee5e6b4b0d3255bfef95601890afd80709", "", "00", "ff" * 64])
def test_threat_21_weak_or_unknown_hash_of_a_file(text: str) -> None:
    with pytest.raises(HashUnsupported):
        parse_digest(text)
    with pytest.raises(HashUnsupported):
        decode_file(LINE.replace(HEX, text.encode()))


# --- 22 ------------------------------------------------------------------------------------------


def test_threat_22_tree_ambiguity_the_same_bytes_in_other_files_give_another_root() -> None:
    half = hashlib.sha256(bytes(PIECE_SIZE)).digest()

    def root(*files: tuple[str, int]) -> str:
        tree = TreeBuilder(MemoryScratch())
        for path, count in files:
            tree.add(path, file_node(count * PIECE_SIZE, half * count))
        return str(tree.finish().cid)

    splits = {
        root(("a", 2)),
        root(("a", 1), ("b", 1)),
        root(("a/a", 1), ("a/b", 1)),
        root(("a", 3)),
    }
    assert len(splits) == 4
