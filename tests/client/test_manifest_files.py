"""A manifest that a source has as a file: nothing of it can be checked before it is whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import pytest

from integrity.client import manifests
from integrity.client.session import Session
from integrity.errors import SourceError, SourcesUnavailable
from tests.adversary.sources import MemorySource

from .conftest import ReaderOf
from .helpers import Release, get, tree_of


class WithManifest(MemorySource):
    """Has the pieces, and a file for the manifest, as a mirror does."""

    def __init__(
        self, release: Release, name: str, act: Callable[[bytes], Iterable[bytes]]
    ) -> None:
        whole = release.folder.with_name(f"{release.folder.name}.integrity").read_bytes()
        pieces = dict(release.blocks)
        del pieces[release.published.manifest]
        super().__init__(pieces, name=name)
        self.portions = 0
        self._act = partial(act, whole)

    def manifest(self) -> Iterator[bytes]:
        for portion in self._act():
            self.portions += 1
            yield portion


def honest(whole: bytes) -> Iterator[bytes]:
    for at in range(0, len(whole), 10):
        yield whole[at : at + 10]


@pytest.fixture
def reader(pieces: Release, reader_of: ReaderOf) -> Session:
    return reader_of(pieces.link)


def test_it_is_taken_in_whatever_portions_it_comes(
    pieces: Release, reader: Session, tmp_path: Path
) -> None:
    got = get(reader, pieces.link, tmp_path / "out", sources=[WithManifest(pieces, "one", honest)])
    assert got.verdict == "verified"
    assert tree_of(tmp_path / "out") == pieces.files


def test_what_does_not_begin_as_a_manifest_is_not_read_on(
    pieces: Release, reader: Session, tmp_path: Path
) -> None:
    def endless(_: bytes) -> Iterator[bytes]:
        while True:
            yield bytes(1 << 20)

    page = WithManifest(pieces, "page", lambda _: [b"<!doctype html>\n"] * 100)
    long = WithManifest(pieces, "long", endless)
    sources = [page, long, WithManifest(pieces, "good", honest)]
    assert get(reader, pieces.link, tmp_path / "out", sources=sources).verdict == "verified"
    assert page.portions == long.portions == 1


def test_whoever_is_slow_is_asked_again_after_the_others(
    pieces: Release, reader: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifests, "_PATIENCE", (0.0, 1000.0))
    asked: list[str] = []

    def told(name: str) -> Callable[[bytes], Iterable[bytes]]:
        def act(whole: bytes) -> Iterator[bytes]:
            asked.append(name)
            yield from honest(whole)

        return act

    sources = [WithManifest(pieces, name, told(name)) for name in ("one", "other")]
    assert get(reader, pieces.link, tmp_path / "out", sources=sources).verdict == "verified"
    assert asked == ["one", "other", "one"]


def test_a_source_that_is_alone_has_all_the_time(
    pieces: Release, reader: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifests, "_PATIENCE", (0.0,))
    source = WithManifest(pieces, "one", honest)
    assert get(reader, pieces.link, tmp_path / "out", sources=[source]).verdict == "verified"


def test_each_that_had_none_is_named_with_its_reason(
    pieces: Release, reader: Session, tmp_path: Path
) -> None:
    def breaks(whole: bytes) -> Iterator[bytes]:
        yield whole[:50]
        raise SourceError("breaks: hung up")

    acts: dict[str, Callable[[bytes], Iterable[bytes]]] = {
        "has no manifest beside it": lambda _: [],
        "has another manifest": lambda whole: [whole[: whole.rindex(b"\n", 0, -1) + 1]],
        "that is no manifest": lambda _: [b"{}\n"],
        "hung up": breaks,
    }
    sources = [WithManifest(pieces, f"no {n}", act) for n, act in enumerate(acts.values())]
    with pytest.raises(SourcesUnavailable) as caught:
        get(reader, pieces.link, tmp_path / "out", sources=sources)
    causes = " | ".join(caught.value.causes)
    assert [what for what in acts if what not in causes] == []
