"""Publishing records a release whole or not at all, and writes over nobody's file."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from integrity.client.session import Session
from integrity.core.links import Link
from integrity.disk.building import ReleaseBuilder
from integrity.disk.sidecars import sidecar_path, write_sidecar
from integrity.errors import (
    IpfsRefused,
    NameCollision,
    PathRefused,
    RefusedError,
    ReleaseExists,
    SourceChanged,
    UnsafePath,
)
from integrity.home import Home
from integrity.ports import Progress
from integrity.publishing.publish import Published, publish
from integrity.publishing.recording import Recorder
from integrity.sources.gateway import GatewaySource
from integrity.store.database import Store

from .conftest import ReaderOf
from .helpers import MIB, Release, get, pattern, sha256, tree_of, write_tree


def recorded(session: Session, package: str, version: str = "1") -> bool:
    link = Link(session.chosen_chain(), session.key(None).address, package, version)
    return Recorder(session, link, version).standing() is not None


def stored(session: Session, package: str) -> bool:
    with Store(session.home.store) as store:
        return any(release.package == package for release in store.releases())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tree(tmp_path / "tool", {"a": b"first", "m": pattern(3 * MIB), "z": b"last"})
    return tmp_path / "tool"


# --- sources that do not hold still ------------------------------------------------------------


def rewrite_with_old_times(path: Path) -> None:
    info = path.stat()
    path.write_bytes(pattern(info.st_size, 99))
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


@pytest.mark.parametrize("phase", ["hashing", "checking"])
@pytest.mark.parametrize(
    "change", [rewrite_with_old_times, os.utime, Path.unlink, lambda path: os.truncate(path, 5)]
)
def test_a_file_that_changes_meanwhile_is_source_changed_and_nothing_is_recorded(
    publisher: Session, folder: Path, phase: str, change: Callable[[Path], None]
) -> None:
    changed: list[bool] = []

    def report(progress: Progress) -> None:
        if progress.phase == phase and (progress.done or phase == "checking") and not changed:
            changed.append(True)
            change(folder / "m")

    with pytest.raises(RefusedError, match="'m'") as caught:
        publish(publisher, folder, "changing", "1", report=report)
    assert isinstance(caught.value, SourceChanged | PathRefused)
    assert caught.value.exit_code == 2
    assert not recorded(publisher, "changing")
    assert not stored(publisher, "changing")
    assert [path.name for path in folder.parent.iterdir()] == ["tool"]
    assert not any((publisher.home.data_folder / "tmp").iterdir())


# --- folders that cannot be a release ----------------------------------------------------------


def add_fifo(folder: Path) -> None:
    os.mkfifo(folder / "fifo")


def add_link(folder: Path) -> None:
    (folder / "link").symlink_to("a")


def add_bytes(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff")).touch()


def add_device_name(folder: Path) -> None:
    (folder / "con.txt").touch()


def add_second_case(folder: Path) -> None:
    (folder / "A").touch()


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (add_fifo, PathRefused), (add_link, PathRefused), (add_bytes, PathRefused),
        (add_device_name, UnsafePath), (add_second_case, NameCollision),
    ],
)  # fmt: skip
def test_what_no_release_can_hold_is_refused_and_nothing_is_recorded(
    publisher: Session, folder: Path, spoil: Callable[[Path], None], error: type[Exception]
) -> None:
    spoil(folder)
    with pytest.raises(error) as caught:
        publish(publisher, folder, "spoiled", "1")
    assert getattr(caught.value, "exit_code", None) == 2
    assert not recorded(publisher, "spoiled")
    assert not stored(publisher, "spoiled")


def test_a_dry_run_records_and_stores_nothing(publisher: Session, folder: Path) -> None:
    result = publish(publisher, folder, "dry", "1", dry_run=True)
    assert (result.dry_run, result.transaction, result.final) == (True, None, False)
    assert result.gas_used is not None
    assert not recorded(publisher, "dry")
    assert not stored(publisher, "dry")
    assert [path.name for path in folder.parent.iterdir()] == ["tool"]


def test_the_same_again_is_said_and_another_content_refused(
    publisher: Session, folder: Path, gateway: str, reader_of: ReaderOf, tmp_path: Path
) -> None:
    first = publish(publisher, folder, "again", "1")
    again = publish(publisher, folder, "again", "1")
    assert (again.already, again.manifest, again.sequence) == (True, first.manifest, 1)
    (folder / "a").write_bytes(b"other")
    with pytest.raises(ReleaseExists) as caught:
        publish(publisher, folder, "again", "1")
    assert caught.value.evidence["recorded"] == first.manifest.hex()
    # What was published is still served as far as it is still there, and never the new bytes.
    (folder / "a").write_bytes(b"first")
    publish(publisher, folder, "again", "1")
    got = get(reader_of(first.link), first.link, tmp_path / "out", sources=[GatewaySource(gateway)])
    assert tree_of(got.path) == tree_of(folder)


def test_a_folder_below_a_folder_that_is_no_text_is_published_and_served(
    publisher: Session, gateway: str, reader_of: ReaderOf, tmp_path: Path
) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")) / "tool"
    write_tree(folder, {"a": b"1"})
    result = publish(publisher, folder, "no-text", "1")
    got = get(
        reader_of(result.link), result.link, tmp_path / "out", sources=[GatewaySource(gateway)]
    )
    assert tree_of(got.path) == {"a": b"1"}


def test_files_of_far_away_times_are_published_and_served(
    publisher: Session, gateway: str, reader_of: ReaderOf, tmp_path: Path
) -> None:
    folder = tmp_path / "tool"
    write_tree(folder, {"old": b"1", "new": b"2"})
    os.utime(folder / "old", (-(10**9), -(10**9)))
    os.utime(folder / "new", (10**10, 10**10))
    result = publish(publisher, folder, "far-times", "1")
    got = get(
        reader_of(result.link), result.link, tmp_path / "out", sources=[GatewaySource(gateway)]
    )
    assert tree_of(got.path) == {"old": b"1", "new": b"2"}


def test_links_are_followed_only_when_it_is_said(
    publisher: Session, gateway: str, reader_of: ReaderOf, tmp_path: Path
) -> None:
    write_tree(tmp_path, {"tool/real": b"real", "elsewhere/x": b"elsewhere"})
    (tmp_path / "tool" / "link").symlink_to(tmp_path / "elsewhere")
    result = publish(publisher, tmp_path / "tool", "followed", "1", follow_symlinks=True)
    got = get(
        reader_of(result.link), result.link, tmp_path / "out", sources=[GatewaySource(gateway)]
    )
    assert tree_of(got.path) == {"real": b"real", "link/x": b"elsewhere"}
    assert not (got.path / "link").is_symlink()


# --- the manifest beside the folder ------------------------------------------------------------


def test_the_sidecar_is_the_manifest(mixed: Release) -> None:
    sidecar = mixed.published.sidecar
    assert sidecar == mixed.folder.with_name("mixed.integrity")
    assert sidecar is not None
    assert sha256(sidecar.read_bytes()) == mixed.published.manifest


def users_file(path: Path) -> None:
    path.write_bytes(b"my own notes")


def users_empty_file(path: Path) -> None:
    path.touch()


def users_folder(path: Path) -> None:
    write_tree(path, {"inside": b"mine"})


def users_link(path: Path) -> None:
    (path.parent / "mine").write_bytes(b"mine")
    path.symlink_to("mine")


def users_broken_link(path: Path) -> None:
    path.symlink_to("nowhere")


def users_fifo(path: Path) -> None:
    os.mkfifo(path)


def identity(path: Path) -> tuple[int, int, int, int]:
    """What would show that it was written to or replaced."""
    info = path.lstat()
    return info.st_ino, info.st_mode, info.st_size, info.st_mtime_ns


@pytest.mark.parametrize(
    "put", [users_file, users_empty_file, users_folder, users_link, users_broken_link, users_fifo]
)
@pytest.mark.parametrize("by", ["publish", "get"])
def test_a_sidecar_never_takes_the_place_of_what_is_the_users(
    mixed: Release, publisher: Session, reader_of: ReaderOf, tmp_path: Path,
    put: Callable[[Path], None], by: str,
) -> None:  # fmt: skip
    place = tmp_path / "tool.integrity"
    put(place)
    before = identity(place)
    if by == "publish":
        write_tree(tmp_path / "tool", {"a": put.__name__.encode()})
        version = put.__name__.replace("_", "-")
        result: Published = publish(publisher, tmp_path / "tool", "beside", version)
        assert result.final
        assert result.sidecar is None
        warnings = result.warnings
    else:
        got = get(
            reader_of(mixed.link), mixed.link, tmp_path / "tool",
            sources=[GatewaySource(mixed.url)],
        )  # fmt: skip
        assert got.verdict == "verified"
        warnings = got.warnings
    assert any("tool.integrity" in warning for warning in warnings)
    assert identity(place) == before
    assert not (tmp_path / "mine").exists() or (tmp_path / "mine").read_bytes() == b"mine"
    assert not list(tmp_path.glob(".tool*"))


def test_an_older_manifest_is_replaced_by_the_newer(
    mixed: Release, pieces: Release, tmp_path: Path
) -> None:
    warnings: list[str] = []
    for release in (mixed, pieces, mixed):
        assert release.published.sidecar is not None
        data = release.published.sidecar.read_bytes()
        assert write_sidecar(tmp_path / "tool", [data[:100], data[100:]], warnings)
        assert (tmp_path / "tool.integrity").read_bytes() == data
    assert warnings == []


def test_a_sidecar_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    warnings: list[str] = []
    (tmp_path / "file").touch()
    assert write_sidecar(tmp_path / "file" / "tool", [b"{}"], warnings) is None
    assert write_sidecar(tmp_path / ("n" * 250), [b"{}"], warnings) is None
    assert len(warnings) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_sidecar_stands_beside_the_folder_however_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tool" / "sub").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "tool")
    beside = tmp_path / "tool.integrity"
    for name in (".", "../tool", "sub/..", "../tool/sub/../", os.fspath(tmp_path / "tool")):
        assert sidecar_path(Path(name)).resolve() == beside
    monkeypatch.chdir(tmp_path / "tool" / "sub")
    assert sidecar_path(Path("..")) == beside
    assert sidecar_path(Path("/")).parent == Path("/")


class Fetching:
    """A keeper that takes the release from what this home serves."""

    name = "fetching"
    fetches = True

    def __init__(self, home: Home, error: Exception | None) -> None:
        self.served: list[bool] = []
        self._home = home
        self._error = error

    def check(self) -> None:
        pass

    def receiving(self) -> AbstractContextManager[None]:
        return nullcontext()

    def keep(self, built: ReleaseBuilder) -> None:
        with Store(self._home.store) as store:
            self.served += [known.manifest == built.digest for known in store.releases()]
        if self._error is not None:
            raise self._error

    def settle(self) -> list[str]:
        return []


def test_what_a_service_has_to_fetch_is_served_before_it_is_recorded_and_not_if_it_never_is(
    integrity_publisher: Session, tmp_path: Path
) -> None:
    (tmp_path / "tool").mkdir()
    (tmp_path / "tool" / "file").write_bytes(b"bytes")
    home = integrity_publisher.home
    refusing, taking = Fetching(home, IpfsRefused("it is full")), Fetching(home, None)
    with pytest.raises(IpfsRefused):
        publish(integrity_publisher, tmp_path / "tool", "tool", "1", keepers=[refusing])
    with Store(home.store) as store:
        assert (refusing.served, store.releases()) == ([True], [])
    publish(integrity_publisher, tmp_path / "tool", "tool", "1", keepers=[taking])
    with Store(home.store) as store:
        assert (taking.served, len(store.releases())) == ([True], 1)
