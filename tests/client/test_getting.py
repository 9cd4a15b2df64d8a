"""Getting a release: byte for byte, once, into a folder that was free, and never over another."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from integrity.client.session import Session
from integrity.client.verifying import verify
from integrity.core.links import Link
from integrity.core.selection import Selection
from integrity.errors import (
    DiskError,
    PathRefused,
    PublisherMismatch,
    ReleaseNotFound,
    SourcesUnavailable,
    UnknownPublisher,
    UsageError,
)
from integrity.ports import Progress
from integrity.publishing.publish import publish
from integrity.sources.gateway import GatewaySource
from tests.adversary.sources import MemorySource

from .conftest import EXECUTABLE, MIXED, Publish, ReaderOf
from .helpers import MIB, Release, get, pattern, tree_of, write_tree


def stats(folder: Path) -> dict[str, tuple[int, int, int]]:
    """What would show that somebody touched anything."""
    return {
        os.fspath(path): (info.st_ino, info.st_mtime_ns, info.st_size)
        for path in [folder, *folder.rglob("*")]
        for info in [path.lstat()]
    }


def test_a_release_of_every_kind_of_file_comes_back_the_same(
    mixed: Release, reader_of: ReaderOf, tmp_path: Path
) -> None:
    out = tmp_path / "new folder" / "out"
    reader = reader_of(mixed.link)
    got = get(reader, mixed.link, out, sources=[GatewaySource(mixed.url)])
    assert tree_of(out) == MIXED
    assert {path for path in MIXED if (out / path).stat().st_mode & 0o100} == EXECUTABLE
    assert (got.verdict, got.path, got.warnings) == ("verified", out, [])
    assert (got.header.files, got.header.size) == (len(MIXED), sum(map(len, MIXED.values())))
    manifest = (tmp_path / "new folder" / "out.integrity").read_bytes()
    assert hashlib.sha256(manifest).digest() == got.record.manifest == mixed.published.manifest
    assert got.fetched == got.header.size + len(manifest)
    assert sorted(p.name for p in out.parent.iterdir()) == ["out", "out.integrity", "out.receipt"]
    assert verify(reader, out, mixed.link).verdict == "verified"


def test_a_second_get_fetches_nothing_and_needs_no_source(
    mixed: Release, reader_of: ReaderOf, tmp_path: Path
) -> None:
    reader = reader_of(mixed.link)
    get(reader, mixed.link, tmp_path / "out", sources=[GatewaySource(mixed.url)])
    dead = MemorySource({})
    again = get(reader, mixed.link, tmp_path / "out", sources=[dead])
    assert (again.verdict, again.fetched, dead.asked) == ("unchanged", 0, [])
    # Another home never verified it, and hashes all of it.
    other = get(reader_of(mixed.link), mixed.link, tmp_path / "out", sources=[dead])
    assert (other.verdict, other.fetched) == ("verified", 0)
    os.utime(tmp_path / "out" / "README")
    touched = get(reader, mixed.link, tmp_path / "out", sources=[dead])
    assert (touched.verdict, touched.fetched) == ("verified", 0)


def test_without_a_target_the_folder_is_called_after_the_release(
    mixed: Release, reader_of: ReaderOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    reader = reader_of(mixed.link)
    got = get(reader, mixed.link, sources=[GatewaySource(mixed.url)])
    assert got.path == tmp_path / "here" / "mixed-1.0.0"
    assert tree_of(got.path) == MIXED
    # The manifest beside it is found again.
    again = get(reader, mixed.link, sources=[MemorySource({})])
    assert (again.verdict, again.path) == ("unchanged", got.path)


def test_an_empty_target_and_a_relative_one_are_fine(
    mixed: Release, reader_of: ReaderOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    get(reader_of(mixed.link), mixed.link, Path("empty"), sources=[GatewaySource(mixed.url)])
    assert tree_of(tmp_path / "empty") == MIXED


def test_a_release_of_one_file(published: Publish, reader_of: ReaderOf, tmp_path: Path) -> None:
    release = published("single", {"only": pattern(2 * MIB + 1)})
    result = publish(release.session, release.folder / "only", "single-file", "1")
    for link in (release.link, result.link):
        got = get(
            reader_of(link), link, tmp_path / link.package, sources=[GatewaySource(release.url)]
        )
        assert tree_of(got.path) == {"only": pattern(2 * MIB + 1)}


def test_a_release_of_empty_files_alone(
    published: Publish, reader_of: ReaderOf, tmp_path: Path
) -> None:
    release = published("void", {"a": b"", "b/c": b""}, executable={"a"})
    got = get(
        reader_of(release.link),
        release.link,
        tmp_path / "out",
        sources=[GatewaySource(release.url)],
    )
    assert tree_of(got.path) == {"a": b"", "b/c": b""}
    assert (got.path / "a").stat().st_mode & 0o100


def test_a_manifest_of_several_blocks(
    published: Publish, reader_of: ReaderOf, tmp_path: Path
) -> None:
    names = [f"{'f' * 200}-{n % 10}/{'n' * 200}-{n}" for n in range(5000)]
    files = {name: b"%d" % number for number, name in enumerate(names)}
    release = published("many", files)
    source = MemorySource(release.blocks)
    assert source.blocks[release.published.manifest][:1] == b"\x12"
    got = get(reader_of(release.link), release.link, tmp_path / "out", sources=[source])
    assert (got.verdict, got.header.files) == ("verified", 5000)
    assert tree_of(got.path) == files
    assert (tmp_path / "out.integrity").stat().st_size > 2 * MIB
    # Every block but the shared ones was asked for once.
    assert len(source.asked) == len(source.blocks)
    assert verify(reader_of(release.link), got.path, release.link).verdict == "verified"


def test_the_latest_release_is_found_without_a_version(
    published: Publish, publisher: Session, reader_of: ReaderOf, tmp_path: Path
) -> None:
    release = published("moving", {"a": b"one"}, "1.0")
    package = Link(release.link.chain_id, release.link.publisher, "moving")
    first = get(reader_of(package), package, tmp_path / "1", sources=[GatewaySource(release.url)])
    assert first.record.version == "1.0"
    write_tree(release.folder, {"a": b"two"})
    publish(publisher, release.folder, "moving", "2.0")
    second = get(reader_of(package), package, tmp_path / "2", sources=[GatewaySource(release.url)])
    assert (second.record.version, tree_of(second.path)) == ("2.0", {"a": b"two"})
    write_tree(tmp_path / "old line", {"a": b"an old line, mended"})
    publish(publisher, tmp_path / "old line", "moving", "1.1", make_latest=False)
    third = get(reader_of(package), package, tmp_path / "3", sources=[GatewaySource(release.url)])
    assert (third.record.version, tree_of(third.path)) == ("2.0", {"a": b"two"})
    # What is there of the older one is not taken for the newer.
    with pytest.raises(PathRefused):
        get(reader_of(package), package, tmp_path / "1", sources=[GatewaySource(release.url)])


def test_progress_goes_up_to_the_whole(mixed: Release, reader_of: ReaderOf, tmp_path: Path) -> None:
    told: list[Progress] = []
    get(
        reader_of(mixed.link), mixed.link, tmp_path / "out", sources=[GatewaySource(mixed.url)],
        report=told.append,
    )  # fmt: skip
    fetching = [progress for progress in told if progress.phase == "fetching"]
    size = sum(map(len, MIXED.values()))
    assert (fetching[-1].done, fetching[-1].total) == (size, size)
    assert all(progress.done <= size for progress in fetching)


# --- targets that are taken --------------------------------------------------------------------


@pytest.mark.parametrize("change", ["other", "extra", "missing", "mode", "link", "folder"])
def test_a_target_with_other_content_is_refused_and_stays_as_it_is(
    mixed: Release, reader_of: ReaderOf, tmp_path: Path, change: str
) -> None:
    out = tmp_path / "out"
    shutil.copytree(mixed.folder, out)
    if change == "other":
        (out / "README").write_bytes(b"my own notes")
    elif change == "extra":
        (out / "mine").write_bytes(b"my own notes")
    elif change == "missing":
        (out / "bin" / "tool").unlink()
    elif change == "mode":
        (out / "README").chmod(0o755)
    elif change == "link":
        (out / "README").unlink()
        (out / "README").symlink_to(mixed.folder / "README")
    else:
        shutil.rmtree(out)
        write_tree(out, {"mine": b"nothing of the release at all"})
    before = stats(out)
    for _ in range(2):
        with pytest.raises(PathRefused, match="exists and is not") as caught:
            get(reader_of(mixed.link), mixed.link, out, sources=[GatewaySource(mixed.url)])
        assert "Nothing in it was changed" in caught.value.next
    assert stats(out) == before
    assert sorted(p.name for p in tmp_path.iterdir() if "reader" not in p.name) == ["out"]


@pytest.mark.parametrize("kind", ["file", "fifo", "broken link", "link to empty"])
def test_a_target_that_is_no_folder_is_refused_and_left(
    mixed: Release, reader_of: ReaderOf, tmp_path: Path, kind: str
) -> None:
    out = tmp_path / "out"
    if kind == "file":
        out.write_bytes(b"mine")
    elif kind == "fifo":
        os.mkfifo(out)
    else:
        if kind == "link to empty":
            (tmp_path / "nothing").mkdir()
        out.symlink_to("nothing")
    before = out.lstat().st_ino, out.lstat().st_mtime_ns
    with pytest.raises(PathRefused):
        get(reader_of(mixed.link), mixed.link, out, sources=[GatewaySource(mixed.url)])
    assert (out.lstat().st_ino, out.lstat().st_mtime_ns) == before
    assert not (tmp_path / "out.part").exists()


def test_a_foreign_part_folder_is_refused_and_left(
    mixed: Release, reader_of: ReaderOf, tmp_path: Path
) -> None:
    write_tree(tmp_path / "out.part", {"tree/thesis": b"years of work"})
    with pytest.raises(PathRefused, match="not ours"):
        get(reader_of(mixed.link), mixed.link, tmp_path / "out", sources=[GatewaySource(mixed.url)])
    assert tree_of(tmp_path / "out.part") == {"tree/thesis": b"years of work"}


def test_a_target_that_somebody_fills_meanwhile_is_not_overwritten(
    mixed: Release, reader_of: ReaderOf, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    def act(digest: bytes, block: bytes) -> bytes:
        if digest != mixed.published.manifest:
            write_tree(out, {"mine": b"mine"})
        return block

    with pytest.raises(PathRefused, match="during the download"):
        get(reader_of(mixed.link), mixed.link, out, sources=[MemorySource(mixed.blocks, act)])
    assert tree_of(out) == {"mine": b"mine"}
    # Everything that was fetched is still there for another place.
    shutil.rmtree(out)
    source = MemorySource(mixed.blocks)
    got = get(reader_of(mixed.link), mixed.link, out, sources=[source])
    assert tree_of(out) == MIXED
    assert len(source.asked) == 1  # the manifest
    assert got.verdict == "verified"


@pytest.mark.parametrize("length", [240, 245, 250])
def test_a_name_too_long_for_a_sidecar_is_a_warning(
    mixed: Release, reader_of: ReaderOf, tmp_path: Path, length: int
) -> None:
    out = tmp_path / ("n" * length)
    reader = reader_of(mixed.link)
    source = GatewaySource(mixed.url)
    got = get(reader, mixed.link, out, sources=[source])
    assert tree_of(out) == MIXED
    assert got.warnings != [] or out.with_name(out.name + ".integrity").exists()
    assert verify(reader, out, mixed.link, sources=(source,)).verdict == "verified"
    assert get(reader, mixed.link, out, sources=[source]).verdict == "unchanged"


@pytest.mark.parametrize("length", [251, 255, 256])
def test_a_name_too_long_for_the_folder_beside_it_is_an_error_in_words(
    mixed: Release, reader_of: ReaderOf, tmp_path: Path, length: int
) -> None:
    out = tmp_path / ("n" * length)
    with pytest.raises((DiskError, PathRefused), match="too long"):
        get(reader_of(mixed.link), mixed.link, out, sources=[GatewaySource(mixed.url)])
    assert not os.path.lexists(tmp_path / ("n" * 251))


# --- who and what ------------------------------------------------------------------------------


def test_no_source_at_all_is_a_usage_error(
    mixed: Release, reader_of: ReaderOf, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="no source"):
        get(reader_of(mixed.link), mixed.link, tmp_path / "out")


def test_an_unknown_publisher_is_not_even_asked_about(
    mixed: Release, integrity_chain: object, tmp_path: Path
) -> None:
    from integrity.home import Home

    reader = Session(Home.at(tmp_path / "home"), rpc=("http://127.0.0.1:1",))
    source = MemorySource(mixed.blocks)
    with pytest.raises(UnknownPublisher):
        get(reader, mixed.link, tmp_path / "out", sources=[source])
    other = Session(reader.home, rpc=reader.rpc, publisher="0x" + "11" * 20)
    with pytest.raises(PublisherMismatch):
        get(other, mixed.link, tmp_path / "out", sources=[source])
    assert source.asked == []


def test_a_release_that_is_not_recorded_asks_no_source(
    mixed: Release, reader_of: ReaderOf, tmp_path: Path
) -> None:
    source = MemorySource(mixed.blocks)
    for link in (
        Link(mixed.link.chain_id, mixed.link.publisher, "mixed", "9.9.9"),
        Link(mixed.link.chain_id, mixed.link.publisher, "never-published"),
    ):
        with pytest.raises(ReleaseNotFound):
            get(reader_of(link), link, tmp_path / "out", sources=[source])
    assert source.asked == []
    assert not list(tmp_path.glob("out*"))


def test_a_source_without_the_release_is_unavailable_and_leaves_nothing(
    mixed: Release, reader_of: ReaderOf, tmp_path: Path
) -> None:
    with pytest.raises(SourcesUnavailable) as caught:
        get(reader_of(mixed.link), mixed.link, tmp_path / "out", sources=[MemorySource({})])
    assert caught.value.causes
    assert not list(tmp_path.glob("out*"))


def test_without_a_sidecar_nothing_is_written_beside_the_folder(
    mixed: Release, reader_of: ReaderOf, tmp_path: Path
) -> None:
    reader = reader_of(mixed.link)
    sources = [GatewaySource(mixed.url)]
    get(reader, mixed.link, tmp_path / "out", sources=sources, sidecar=False)
    assert [path.name for path in tmp_path.glob("out*")] == ["out"]
    with pytest.raises(SourcesUnavailable, match="neither beside the data"):
        verify(reader, tmp_path / "out", mixed.link)
    assert verify(reader, tmp_path / "out", mixed.link, sources=(sources[0],)).verdict == "verified"
    again = get(reader, mixed.link, tmp_path / "out", sources=sources, sidecar=False)
    assert again.verdict == "unchanged"


@pytest.mark.parametrize("put", [Path.touch, Path.mkdir, lambda path: path.symlink_to("README")])
def test_a_folder_with_something_more_in_it_is_not_unchanged(
    mixed: Release, reader_of: ReaderOf, tmp_path: Path, put: Callable[[Path], None]
) -> None:
    reader = reader_of(mixed.link)
    out, sources = tmp_path / "out", [GatewaySource(mixed.url)]
    get(reader, mixed.link, out, sources=sources)
    put(out / "more")
    if (out / "more").is_dir():  # of which no release says anything
        assert get(reader, mixed.link, out, sources=sources).verdict == "unchanged"
        (out / "more" / "file").touch()
    with pytest.raises(PathRefused, match="more"):
        get(reader, mixed.link, out, sources=sources)


def test_a_file_changed_right_after_it_was_got_is_not_unchanged(
    mixed: Release, reader_of: ReaderOf, tmp_path: Path
) -> None:
    reader = reader_of(mixed.link)
    out = tmp_path / "out"
    get(reader, mixed.link, out, sources=[GatewaySource(mixed.url)])
    info = (out / "README").stat()
    time.sleep(0.02)  # more than a tick of the clock that stamps files
    (out / "README").write_bytes(b"A TOOL\n")
    os.utime(out / "README", ns=(info.st_atime_ns, info.st_mtime_ns))
    with pytest.raises(PathRefused, match="README"):
        get(reader, mixed.link, out, sources=[GatewaySource(mixed.url)])


def test_some_files_of_a_folder_are_fetched_without_blaming_who_has_all(
    published: Publish, reader_of: ReaderOf, tmp_path: Path
) -> None:
    """A CAR of the whole would be many times what is wanted."""
    files = {f"docs/{n}": b"%d" % n for n in range(40)} | {"large": pattern(5 * MIB)}
    release = published("some", files)
    only = Selection(["docs/**"])
    for name, asked in (("part", only), ("whole", Selection())):
        got = get(
            reader_of(release.link), release.link, tmp_path / name,
            sources=[GatewaySource(release.url)], only=asked,
        )  # fmt: skip
        assert (got.sources[0].failures, got.sources[0].causes) == (0, [])
        assert (tmp_path / f"{name}.integrity").is_file()
    assert sorted(tree_of(tmp_path / "part")) == sorted(path for path in files if path != "large")
    reader = reader_of(release.link)
    assert verify(reader, tmp_path / "part", release.link, only=only).verdict == "verified"
