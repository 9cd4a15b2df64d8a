"""A whole manifest as a stream (spec v1, sections 3.4 and 3.5)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from hypothesis import strategies as st

from integrity.core import reading
from integrity.core.manifest import (
    HEADER_LIMIT,
    LINE_LIMIT,
    FileEntry,
    Header,
    encode_file,
    encode_header,
)
from integrity.core.pieces import PIECE_SIZE
from integrity.core.reading import (
    MANIFEST_LIMIT,
    ManifestDigest,
    check_manifest,
    iter_files,
    read_header,
    split_lines,
)
from integrity.errors import FormatError, LimitExceeded, NameCollision, TotalsMismatch
from integrity.verifier.content import manifest_digest

from . import plain_unixfs as plain
from .releases import MemoryScratch, entries, header_of, manifest_of, simple
from .unhurried import example, given, settings

MIB = 1 << 20


def cut(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    """Data in portions of these sizes, the last ones again and again."""
    at = 0
    while at < len(data):
        size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
        yield data[at : at + size]
        at += size


portions = st.lists(st.integers(1, 40), min_size=1, max_size=20)


# --- lines ---------------------------------------------------------------------------------------


@given(st.binary(max_size=300) | st.text("a\n", max_size=60).map(str.encode), portions)
@example(b"\n\n", [1])
@example(b"a", [1])
def test_a_stream_is_cut_at_its_lfs_however_it_arrives(data: bytes, sizes: list[int]) -> None:
    lines = list(split_lines(cut(data, sizes)))
    assert b"".join(lines) == data
    assert all(line.endswith(b"\n") for line in lines[:-1])
    assert [line.rstrip(b"\n") for line in lines] == (
        data.removesuffix(b"\n").split(b"\n") if data else []
    )


@pytest.mark.parametrize("limit_of", ["header", "line"])
@pytest.mark.parametrize("chunk", [1 << 14, 1 << 16, 1 << 18])
def test_a_line_may_be_as_long_as_its_limit_and_no_longer(limit_of: str, chunk: int) -> None:
    start, limit = (b"", HEADER_LIMIT) if limit_of == "header" else (b"{}\n", LINE_LIMIT)
    most = start + b"x" * (limit - 1) + b"\n"
    assert [len(line) for line in split_lines(cut(most, [chunk]))][-1] == limit
    with pytest.raises(LimitExceeded):
        list(split_lines(cut(start + b"x" * limit + b"\n", [chunk])))
    with pytest.raises(LimitExceeded):
        list(split_lines(cut(start + b"x" * limit, [chunk])))


class Counted:
    """An endless stream that knows how much of it was taken."""

    def __init__(self, start: bytes, again: bytes) -> None:
        self.taken = 0
        self._start = start
        self._again = again

    def __iter__(self) -> Iterator[bytes]:
        self.taken += len(self._start)
        yield self._start
        while True:
            self.taken += len(self._again)
            yield self._again


@pytest.mark.parametrize(
    ("start", "limit"), [(b'{"', HEADER_LIMIT), (b'{}\n{"', HEADER_LIMIT + LINE_LIMIT)]
)
def test_threat_17_an_endless_line_is_given_up_at_its_limit(start: bytes, limit: int) -> None:
    stream = Counted(start, b"x" * 4096)
    with pytest.raises(LimitExceeded):
        list(split_lines(stream))
    assert stream.taken <= limit + 4096


def test_threat_17_endless_lines_are_given_up_at_the_limit_of_a_manifest() -> None:
    stream = Counted(b"{}\n", b"x" * (MIB - 1) + b"\n")
    with pytest.raises(LimitExceeded):
        for _ in split_lines(stream):
            pass
    assert MANIFEST_LIMIT < stream.taken <= MANIFEST_LIMIT + MIB


def test_threat_17_an_endless_manifest_is_given_up_while_it_is_hashed() -> None:
    stream = Counted(b"{}\n", bytes(MIB))
    with pytest.raises(LimitExceeded):
        manifest_digest(lambda: stream)
    assert MANIFEST_LIMIT < stream.taken <= MANIFEST_LIMIT + MIB


def test_a_manifest_may_be_as_long_as_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = manifest_of([simple("a"), simple("b")])
    monkeypatch.setattr(reading, "MANIFEST_LIMIT", len(manifest))
    digest = ManifestDigest()
    digest.update(manifest)
    assert digest.finish() == hashlib.sha256(manifest).digest()
    assert check_manifest([manifest], MemoryScratch()).files == 2

    monkeypatch.setattr(reading, "MANIFEST_LIMIT", len(manifest) - 1)
    with pytest.raises(LimitExceeded):
        ManifestDigest().update(manifest)
    with pytest.raises(LimitExceeded):
        check_manifest([manifest], MemoryScratch())


# --- whole manifests -----------------------------------------------------------------------------


def unique(files: list[FileEntry]) -> list[FileEntry]:
    return list({file.path: file for file in files}.values())


@settings(max_examples=60)
@given(st.lists(entries(), min_size=1, max_size=4).map(unique), portions)
def test_a_manifest_that_was_written_is_accepted_and_read_back(
    files: list[FileEntry], sizes: list[int]
) -> None:
    try:
        manifest = manifest_of(files)
    except NameCollision:
        return
    header = check_manifest(cut(manifest, sizes), MemoryScratch())
    assert header == read_header([manifest])
    assert (header.files, header.size) == (len(files), sum(file.size for file in files))
    assert sorted(iter_files([manifest]), key=lambda f: f.path) == sorted(
        files, key=lambda f: f.path
    )
    roots = [
        (f.path.encode(), plain.file(f.size, [f.digests[i : i + 32] for i in range(0, len(f.digests), 32)]))
        for f in files
    ]  # fmt: skip
    assert str(header.content) == str(plain.tree(roots))


@given(st.binary(max_size=400), portions)
@example(b"", [1])
def test_arbitrary_streams_raise_nothing_but_malformed(data: bytes, sizes: list[int]) -> None:
    with pytest.raises(FormatError):
        check_manifest(cut(data, sizes), MemoryScratch())


def test_every_byte_and_every_cut_of_a_manifest_counts() -> None:
    """Whatever is changed, left out or added, the manifest is another, or none at all."""
    manifest = manifest_of([simple("a"), simple("b/c")])
    accepted = 0
    for at in range(len(manifest)):
        for changed in (
            manifest[:at],
            manifest[:at] + bytes((manifest[at] ^ 1,)) + manifest[at + 1 :],
            manifest[:at] + manifest[at : at + 1] + manifest[at:],
        ):
            try:
                check_manifest([changed], MemoryScratch())
            except FormatError:
                continue
            accepted += 1
            assert read_header([changed]) != read_header([manifest])
    # What is left are other packages and versions: "tool" has 4 letters, "1.2.0" 5 characters.
    assert 0 < accepted <= 2 * (4 + 5)


@pytest.mark.parametrize("field", ["files", "size"])
@pytest.mark.parametrize("by", [-2, -1, 1, 2**52])
def test_totals_that_lie_are_refused_both_ways(field: str, by: int) -> None:
    files = [simple(path, b"xyz") for path in ("a", "b", "c")]
    good = header_of(files)
    values = {name: getattr(good, name) for name in Header.__dataclass_fields__}
    values[field] += by
    lines = [encode_header(Header(**values)), *map(encode_file, files)]
    with pytest.raises(TotalsMismatch):
        check_manifest(lines, MemoryScratch())


def test_a_refused_line_is_named_by_its_number() -> None:
    manifest = manifest_of([simple("a"), simple("b")])
    with pytest.raises(FormatError) as caught:
        check_manifest([manifest.replace(b'"path":"b"', b'"path":"."')], MemoryScratch())
    assert caught.value.evidence["line"] == 3


def test_no_more_lines_are_read_than_the_header_declares() -> None:
    header = encode_header(header_of([simple("a")]))
    more = Counted(header + encode_file(simple("a")), encode_file(simple("b")))
    with pytest.raises(TotalsMismatch):
        check_manifest(more, MemoryScratch())
    assert more.taken < 1000


# --- the digest ----------------------------------------------------------------------------------


@settings(max_examples=30)
@given(
    st.integers(0, 3 * MIB) | st.sampled_from([MIB - 1, MIB, MIB + 1, 2 * MIB, 2 * MIB + 1]),
    st.lists(st.sampled_from([1000, 70_000, MIB, MIB + 1, 2 * MIB]), min_size=1, max_size=5),
)
def test_the_digest_is_that_of_a_unixfs_file_however_it_arrives(
    size: int, sizes: list[int]
) -> None:
    data = bytes(251) + bytes(range(251)) * (size // 251)
    digest = ManifestDigest()
    for chunk in cut(data, sizes):
        digest.update(chunk)
    leaves = [
        hashlib.sha256(data[at : at + PIECE_SIZE]).digest()
        for at in range(0, len(data), PIECE_SIZE)
    ]
    assert digest.finish() == plain.file(len(data), leaves).cid[4:]


def test_the_digest_of_nothing_is_defined_but_nothing_is_no_manifest() -> None:
    assert ManifestDigest().finish() == hashlib.sha256().digest()
    with pytest.raises(FormatError):
        check_manifest([], MemoryScratch())
    with pytest.raises(FormatError):
        read_header([])
