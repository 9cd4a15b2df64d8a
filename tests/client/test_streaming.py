"""One file of a release as a stream: in order, checked, and no more held than a window."""

from __future__ import annotations

import itertools
import random
import threading
import time

import pytest

from integrity.client.session import Session
from integrity.downloading.streaming import Span, parse_span, stream
from integrity.errors import SourcesLied, SourcesUnavailable, UsageError
from tests.adversary.sources import AT_ONCE, MemorySource, flip

from .conftest import Publish, ReaderOf
from .helpers import MIB, Release, pattern, sha256


@pytest.fixture(scope="module")
def release(published: Publish) -> Release:
    return published(
        "streamed", {"film": pattern(60 * MIB + 7), "small": b"0123456789", "empty": b""}
    )


@pytest.fixture
def reader(release: Release, reader_of: ReaderOf) -> Session:
    return reader_of(release.link)


def read(release: Release, reader: Session, path: str, span: Span, *sources: MemorySource) -> bytes:
    given = sources or (MemorySource(release.blocks),)
    parts = stream(reader, release.link, path, span, sources=given, terms=AT_ONCE)
    return b"".join(map(bytes, parts))


SPANS = [
    (0, None), (0, 0), (5, 5), (MIB - 1, MIB), (MIB, MIB), (3 * MIB, 5 * MIB - 1), (60 * MIB, None),
    (60 * MIB + 6, None), (59 * MIB + 1, 1 << 62), (0, 60 * MIB + 6),
]  # fmt: skip


@pytest.mark.parametrize(("first", "last"), SPANS)
def test_any_span_is_what_the_file_has_there(
    release: Release, reader: Session, first: int, last: int | None
) -> None:
    data = release.files["film"]
    expected = data[first:] if last is None else data[first : last + 1]
    source = MemorySource(release.blocks)
    assert read(release, reader, "film", Span(first, last), source) == expected
    wanted = range(first // MIB, (first + len(expected) - 1) // MIB + 1)
    asked = {sha256(data[n * MIB : (n + 1) * MIB]) for n in wanted}
    assert set(source.asked) == asked | {release.published.manifest}


def test_small_and_empty_files(release: Release, reader: Session) -> None:
    assert read(release, reader, "small", Span()) == b"0123456789"
    assert read(release, reader, "small", Span(3, 4)) == b"34"
    assert read(release, reader, "empty", Span()) == b""


@pytest.mark.parametrize(
    ("path", "span"),
    [("film", Span(60 * MIB + 7)), ("empty", Span(0, 5)), ("empty", Span(1)), ("absent", Span())],
)
def test_what_the_release_has_not_got_is_refused(
    release: Release, reader: Session, path: str, span: Span
) -> None:
    with pytest.raises(UsageError):
        read(release, reader, path, span)


def test_pieces_that_come_in_any_order_go_out_in_theirs(release: Release, reader: Session) -> None:
    chance = random.Random(3)

    def late(_: bytes, block: bytes) -> bytes:
        time.sleep(chance.random() / 50)
        return block

    sources = [MemorySource(release.blocks, late, connections=8) for _ in range(2)]
    assert read(release, reader, "film", Span(), *sources) == release.files["film"]


def test_a_slow_reader_is_waited_for(release: Release, reader: Session) -> None:
    source = MemorySource(release.blocks, connections=8)
    parts = stream(reader, release.link, "film", sources=[source], terms=AT_ONCE)
    next(parts)
    seen = -1
    while len(source.asked) != seen:  # until nobody fetches any more
        seen = len(source.asked)
        time.sleep(0.3)
    assert seen < 50
    assert sum(map(len, parts)) == 59 * MIB + 7


def test_a_reader_who_leaves_ends_it(release: Release, reader: Session) -> None:
    parts = stream(
        reader, release.link, "film", sources=[MemorySource(release.blocks)], terms=AT_ONCE
    )
    next(parts)
    parts.close()  # type: ignore[attr-defined]
    while any(t.name.startswith(("fetch-", "stream")) for t in threading.enumerate()):
        time.sleep(0.01)


def test_what_is_given_out_before_a_lie_is_right(release: Release, reader: Session) -> None:
    data = release.files["film"]
    bad = sha256(data[20 * MIB : 21 * MIB])
    liar = MemorySource(release.blocks, lambda d, b: flip(d, b) if d == bad else b)
    parts = stream(reader, release.link, "film", sources=[liar], terms=AT_ONCE)
    got = bytearray()
    with pytest.raises(SourcesLied):
        got.extend(itertools.chain.from_iterable(parts))
    assert data.startswith(got)
    assert len(got) <= 20 * MIB


def test_a_piece_that_nobody_has_is_said(release: Release, reader: Session) -> None:
    missing = sha256(release.files["film"][10 * MIB : 11 * MIB])
    some = {digest: block for digest, block in release.blocks.items() if digest != missing}
    with pytest.raises(SourcesUnavailable, match="'film' piece 10"):
        read(release, reader, "film", Span(), MemorySource(some))


@pytest.mark.parametrize(
    "text", ["", "-", "-5", "5", "5-4", "a-b", "1-2-3", "0x1-", "1" * 20 + "-"]
)
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_span(text)


def test_ranges_as_people_write_them() -> None:
    assert parse_span(None) == Span(0, None)
    assert parse_span("0-0") == Span(0, 0)
    assert parse_span("100-") == Span(100, None)
