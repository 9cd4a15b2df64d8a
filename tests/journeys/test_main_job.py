"""The main job on real parts: publish, serve, get elsewhere, verify; then a lie, then a flipped bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from integrity import Session, get, verify
from integrity.errors import SourcesLied
from integrity.sources.gateway import GatewaySource
from integrity.testing.liar import LyingSource
from integrity.testing.plugin import ServedRelease

Reader = Callable[[str], Session]


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_published_folder_comes_back_byte_for_byte(
    integrity_release: ServedRelease, integrity_reader: Reader, tmp_path: Path
) -> None:
    link = integrity_release.published.link
    reader = integrity_reader(link.publisher)
    got = get(reader, link, tmp_path / "out", sources=[GatewaySource(integrity_release.url)])
    assert got.verdict == "verified"
    assert files_of(tmp_path / "out") == files_of(integrity_release.folder)
    assert (tmp_path / "out" / "program").stat().st_mode & 0o100
    assert not (tmp_path / "out" / "README").stat().st_mode & 0o100
    assert verify(reader, tmp_path / "out", link).verdict == "verified"
    assert not (tmp_path / "out.part").exists()

    again = get(reader, link, tmp_path / "out", sources=[GatewaySource(integrity_release.url)])
    assert (again.verdict, again.fetched) == ("unchanged", 0)


def test_a_lying_source_is_named_and_nothing_wrong_is_kept(
    integrity_release: ServedRelease,
    integrity_reader: Reader,
    integrity_liar: Callable[[str], LyingSource],
    tmp_path: Path,
) -> None:
    link = integrity_release.published.link
    reader = integrity_reader(link.publisher)
    liar = integrity_liar(integrity_release.url)
    with pytest.raises(SourcesLied) as caught:
        get(reader, link, tmp_path / "out", sources=[GatewaySource(liar.url)])
    assert caught.value.evidence["source"] == liar.url
    assert not (tmp_path / "out").exists()

    both = [GatewaySource(liar.url), GatewaySource(integrity_release.url)]
    got = get(reader, link, tmp_path / "out", sources=both)
    assert got.verdict == "verified"
    assert {t.source.name: t.rejected > 0 for t in got.sources} == {
        liar.url: True,
        integrity_release.url: False,
    }
    assert files_of(tmp_path / "out") == files_of(integrity_release.folder)


def test_a_flipped_byte_is_named_by_file_and_piece(
    integrity_release: ServedRelease, integrity_reader: Reader, tmp_path: Path
) -> None:
    link = integrity_release.published.link
    reader = integrity_reader(link.publisher)
    get(reader, link, tmp_path / "out", sources=[GatewaySource(integrity_release.url)])
    with (tmp_path / "out" / "program").open("r+b") as file:
        file.seek(2_000_000)
        file.write(b"!")
    found = verify(reader, tmp_path / "out", link)
    assert found.verdict == "failed"
    assert [(p.path, p.piece, p.reason) for p in found.problems] == [("program", 1, "digest")]
