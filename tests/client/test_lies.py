"""Sources that lie over real sockets: what they send never arrives, who they are is said."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from integrity.core.cid import raw_cid
from integrity.errors import IntegrityError, SourcesLied, SourcesUnavailable
from integrity.sources.gateway import GatewaySource
from integrity.testing.liar import Act, Answer, LyingSource, flip, honest
from tests.adversary.sources import MemorySource

from .conftest import ReaderOf
from .helpers import MIB, Release, get, sha256, tree_of

Liar = Callable[..., LyingSource]
ENDLESS = 64 * MIB


def endless_body() -> Iterator[bytes]:
    for _ in range(ENDLESS >> 16):
        yield bytes(1 << 16)


def raw(body: bytes, length: int | None = None, **headers: str) -> Answer:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return Answer(200, [body], named, len(body) if length is None else length)


# What is wrong however one looks at it: the source sent other bytes than its block has.
LIES: dict[str, Act] = {
    "a flipped bit": flip,
    "one byte more": lambda _, body: body + b"!",
    "one byte less": lambda _, body: body[:-1],
    "nothing": lambda _, body: body[:0],
    "zeros": lambda _, body: bytes(len(body)),
    "a page": lambda *_: raw(b"<!doctype html><title>Sign in</title>", Content_Type="text/html"),
    "endless": lambda *_: Answer(200, endless_body()),
    "endless with a length": lambda *_: Answer(200, endless_body(), {}, ENDLESS),
    "right, then endless": lambda _, body: Answer(200, [body, *([bytes(1 << 16)] * 64)]),
    "another block": lambda *_: b"the bytes of something else",
}

# What says nothing about the bytes: the source failed to give them.
FAILURES: dict[str, Act] = {
    "not found": lambda *_: Answer(404, [b""], {}, 0),
    "gone wrong": lambda *_: Answer(500, [b"oops"], {}, 4),
    "busy for an hour": lambda *_: Answer(503, [b""], {"Retry-After": "3600"}, 0),
    "partial": lambda _, body: Answer(206, [body], {"Content-Range": "bytes 0-9/10"}, len(body)),
    "compressed": lambda _, body: raw(gzip.compress(body), Content_Encoding="gzip"),
    "breaks off": lambda _, body: raw(body[: len(body) // 2], len(body) + 1),
    "moved": lambda *_: Answer(302, [b""], {"Location": "http://127.0.0.1:1/"}, 0),
}


def reached(release: Release, tmp_path: Path) -> bool:
    """Whether anything arrived where it should not, or stayed that is wrong."""
    part = tmp_path / "out.part" / "tree"
    for path, data in tree_of(part).items() if part.is_dir() else ():
        for at in range(0, len(data), MIB):
            piece = data[at : at + MIB]
            assert not any(piece) or piece == release.files[path][at : at + MIB], path
    return (tmp_path / "out").exists() or (tmp_path / "out.integrity").exists()


def large_only(act: Act) -> Act:
    """Honest about manifests, so that the lie is met with a piece."""
    return lambda path, body: act(path, body) if len(body) > 64 << 10 else body


@pytest.mark.parametrize("act", LIES.values(), ids=LIES)
@pytest.mark.parametrize("about", [honest, large_only], ids=["manifest", "pieces"])
def test_threat_23_a_liar_alone_is_named_and_nothing_arrives(
    pieces: Release, reader_of: ReaderOf, integrity_liar: Liar, tmp_path: Path,
    act: Act, about: Callable[..., Act],
) -> None:  # fmt: skip
    liar = integrity_liar(pieces.url, large_only(act) if about is large_only else act)
    with pytest.raises(SourcesLied) as caught:
        get(
            reader_of(pieces.link), pieces.link, tmp_path / "out", sources=[GatewaySource(liar.url)]
        )
    assert (caught.value.exit_code, caught.value.evidence["source"]) == (4, liar.url)
    assert liar.url in caught.value.message
    assert not reached(pieces, tmp_path)


@pytest.mark.parametrize("act", FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("about", [honest, large_only], ids=["manifest", "pieces"])
def test_a_source_that_fails_alone_is_unavailable_and_says_why(
    pieces: Release, reader_of: ReaderOf, integrity_liar: Liar, tmp_path: Path,
    act: Act, about: Callable[..., Act],
) -> None:  # fmt: skip
    failing = integrity_liar(pieces.url, large_only(act) if about is large_only else act)
    with pytest.raises(SourcesUnavailable) as caught:
        get(
            reader_of(pieces.link),
            pieces.link,
            tmp_path / "out",
            sources=[GatewaySource(failing.url)],
        )
    assert caught.value.exit_code == 3
    assert all(cause.startswith(failing.url) for cause in caught.value.causes)
    assert caught.value.causes
    assert not reached(pieces, tmp_path)


@pytest.mark.parametrize("act", (LIES | FAILURES).values(), ids=LIES | FAILURES)
def test_threat_24_beside_an_honest_source_all_comes_right_and_only_the_liar_is_blamed(
    pieces: Release, reader_of: ReaderOf, integrity_liar: Liar, tmp_path: Path, act: Act
) -> None:
    liar = integrity_liar(pieces.url, act)
    sources = [GatewaySource(liar.url), GatewaySource(pieces.url)]
    got = get(reader_of(pieces.link), pieces.link, tmp_path / "out", sources=sources)
    assert tree_of(tmp_path / "out") == pieces.files
    bad, good = got.sources
    assert (bad.pieces, bad.bytes) == (0, 0)
    assert (good.rejected, good.failures) == (0, 0)
    assert (bad.rejected > 0) == (act in LIES.values())
    assert (bad.lie is not None) == (act in LIES.values())
    assert got.fetched == good.bytes


def test_threat_23_31_liars_of_32(
    pieces: Release, reader_of: ReaderOf, tmp_path: Path, closing: ExitStack
) -> None:
    acts = [*LIES.values(), *FAILURES.values()]
    liars = [
        closing.enter_context(LyingSource(pieces.url, acts[number % len(acts)]))
        for number in range(31)
    ]
    urls = [liar.url for liar in liars]
    urls.insert(17, pieces.url)
    got = get(
        reader_of(pieces.link), pieces.link, tmp_path / "out",
        sources=[GatewaySource(url) for url in urls],
    )  # fmt: skip
    assert tree_of(tmp_path / "out") == pieces.files
    assert [tally.source.name for tally in got.sources if tally.bytes] == [pieces.url]


def test_a_source_that_turns_into_a_liar_late_is_named_and_its_good_pieces_stay(
    pieces: Release, reader_of: ReaderOf, integrity_liar: Liar, tmp_path: Path
) -> None:
    target = raw_cid_of(pieces, 5)
    liar = integrity_liar(
        pieces.url, lambda path, body: flip(path, body) if target in path else body
    )
    with pytest.raises(SourcesLied) as caught:
        get(
            reader_of(pieces.link), pieces.link, tmp_path / "out", sources=[GatewaySource(liar.url)]
        )
    assert (caught.value.evidence["path"], caught.value.evidence["piece"]) == ("large", 5)
    staged = tree_of(tmp_path / "out.part" / "tree")
    right = [
        staged["large"][at : at + MIB] == pieces.files["large"][at : at + MIB]
        for at in range(0, 9 * MIB, MIB)
    ]
    assert right[0]
    assert not right[5]
    source = MemorySource(pieces.blocks)
    get(reader_of(pieces.link), pieces.link, tmp_path / "out", sources=[source])
    assert tree_of(tmp_path / "out") == pieces.files
    missing = right.count(False) + (staged.get("small") != pieces.files["small"])
    assert len(source.asked) == missing + 1  # and the manifest


def raw_cid_of(release: Release, index: int) -> str:
    return str(raw_cid(sha256(release.files["large"][index * MIB : (index + 1) * MIB])))


def test_two_liars_who_tell_the_same_lie_convince_nobody(
    pieces: Release, reader_of: ReaderOf, integrity_liar: Liar, tmp_path: Path
) -> None:
    liars = [integrity_liar(pieces.url, flip) for _ in range(3)]
    with pytest.raises(SourcesLied) as caught:
        get(
            reader_of(pieces.link), pieces.link, tmp_path / "out",
            sources=[GatewaySource(liar.url) for liar in liars],
        )  # fmt: skip
    assert len(caught.value.causes) == 3
    assert not reached(pieces, tmp_path)


def test_liars_and_dead_ports_together_keep_every_cause(
    pieces: Release, reader_of: ReaderOf, integrity_liar: Liar, tmp_path: Path
) -> None:
    with LyingSource(pieces.url) as gone:
        dead = gone.url
    liar = integrity_liar(pieces.url, flip)
    failing = integrity_liar(pieces.url, FAILURES["gone wrong"])
    with pytest.raises(IntegrityError) as caught:
        get(
            reader_of(pieces.link), pieces.link, tmp_path / "out",
            sources=[GatewaySource(url) for url in (dead, failing.url, liar.url)],
        )  # fmt: skip
    assert isinstance(caught.value, SourcesLied)
    causes = "\n".join(caught.value.causes)
    assert "refused" in causes
    assert "answered 500" in causes
    assert f"{liar.url}: sent wrong bytes" in causes


def test_threat_30_a_source_that_breaks_off_now_and_then_loses_nothing_that_arrived(
    pieces: Release, reader_of: ReaderOf, integrity_liar: Liar, tmp_path: Path
) -> None:
    numbers = iter(range(10_000))
    breaking = integrity_liar(
        pieces.url,
        lambda _, body: raw(body[:100], len(body)) if next(numbers) % 4 == 3 else body,
    )
    reader = reader_of(pieces.link)
    got = get(reader, pieces.link, tmp_path / "out", sources=[GatewaySource(breaking.url)])
    assert tree_of(tmp_path / "out") == pieces.files
    assert got.sources[0].failures > 1
    assert "hung up" in str(got.sources[0].causes)
    # Ten pieces and the manifest: what arrived was asked for once, what broke off once more.
    assert len(breaking.asked) == 11 + got.sources[0].failures
