"""A mirror follows packages: new releases come, old and revoked ones go, and nothing of one's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from integrity.client.resolving import resolve
from integrity.client.session import Session
from integrity.core.cid import raw_cid
from integrity.core.links import Link
from integrity.downloading.mirroring import Event, Mirror
from integrity.publishing.publish import publish
from integrity.sources.gateway import GatewaySource
from integrity.store.database import Store
from integrity.testing.serving import ServedHome
from tests.adversary.sources import AT_ONCE, MemorySource, flip
from tests.serve.helpers import ask

from .conftest import ReaderOf
from .helpers import sha256, write_tree

numbers = iter(range(1000))


class Package:
    """A package that grows: each release is one file."""

    def __init__(self, publisher: Session, place: Path) -> None:
        self.name = f"followed-{next(numbers)}"
        self._publisher = publisher
        self._place = place

    def release(self, version: str, *, make_latest: bool = True) -> Link:
        folder = self._place / f"{self.name}-{version}"
        write_tree(folder, {"file": f"{self.name} {version}".encode()})
        done = publish(self._publisher, folder, self.name, version, make_latest=make_latest)
        return done.link

    def piece(self, version: str) -> bytes:
        return sha256(f"{self.name} {version}".encode())


@pytest.fixture
def package(publisher: Session, tmp_path: Path) -> Package:
    return Package(publisher, tmp_path / "published")


@pytest.fixture
def upstream(gateway: str) -> Iterator[GatewaySource]:
    source = GatewaySource(gateway)
    yield source
    source.close()


def place_of(folder: Path, link: Link) -> Path:
    assert link.version is not None
    name = f"{link.package}-{link.version}"
    return folder / link.publisher / link.package / link.version / name


def follow(
    reader: Session, link: Link, folder: Path, *sources: object, keep: int = 2
) -> tuple[Mirror, list[str]]:
    mirror = Mirror(reader, [link], folder, keep, list(sources), AT_ONCE)  # type: ignore[arg-type]
    return mirror, look(mirror)


def look(mirror: Mirror) -> list[str]:
    told: list[Event] = []
    mirror.round(told.append)
    return [f"{event.what} {event.link.version}" for event in told]


def test_new_releases_come_and_old_ones_go(
    package: Package, reader_of: ReaderOf, upstream: GatewaySource, tmp_path: Path
) -> None:
    link = package.release("1.0.0")
    package.release("1.1.0")
    reader = reader_of(link)
    any_version = Link(link.chain_id, link.publisher, link.package, None)
    folder = tmp_path / "mirror"
    mirror, told = follow(reader, any_version, folder, upstream)
    assert told == ["fetched 1.1.0", "fetched 1.0.0"]
    assert look(mirror) == []
    package.release("2.0.0")
    package.release("1.2.0", make_latest=False)
    assert look(mirror) == ["fetched 1.2.0", "fetched 2.0.0", "dropped 1.0.0", "dropped 1.1.0"]
    below = folder / link.publisher / link.package
    assert sorted(os.fspath(path.relative_to(below)) for path in below.glob("*/*")) == [
        f"{version}/{package.name}-{version}{more}"
        for version in ("1.2.0", "2.0.0")
        for more in ("", ".integrity", ".receipt")
    ]
    with ServedHome(reader.home) as served:
        for version, status in (("1.0.0", 404), ("1.2.0", 200), ("2.0.0", 200)):
            path = f"/ipfs/{raw_cid(package.piece(version))}?format=raw"
            assert ask(served.url, path).status == status
    assert look(mirror) == []


def test_a_link_with_a_version_is_that_release_for_ever(
    package: Package, reader_of: ReaderOf, upstream: GatewaySource, tmp_path: Path
) -> None:
    link = package.release("1.0.0")
    package.release("2.0.0")
    mirror, told = follow(reader_of(link), link, tmp_path / "mirror", upstream, keep=1)
    assert told == ["fetched 1.0.0"]
    assert look(mirror) == []


@pytest.mark.parametrize("pinned", [False, True])
def test_a_package_and_a_release_of_it_are_both_kept(
    package: Package, reader_of: ReaderOf, upstream: GatewaySource, tmp_path: Path, pinned: bool
) -> None:
    link = package.release("1.0.0")
    if pinned:
        digest = resolve(reader_of(link), link).manifest
        link = replace(link, pin=digest, sources=("https://hint.example",))
    package.release("2.0.0")
    package.release("3.0.0")
    any_version = Link(link.chain_id, link.publisher, link.package, None)
    folder = tmp_path / "mirror"
    mirror = Mirror(reader_of(link), [any_version, link], folder, 1, [upstream], AT_ONCE)
    assert look(mirror) == ["fetched 3.0.0", "fetched 1.0.0"]
    assert look(mirror) == []


def test_what_this_home_offers_from_elsewhere_is_neither_fetched_nor_dropped(
    package: Package, publisher: Session, upstream: GatewaySource, tmp_path: Path
) -> None:
    link = package.release("1.0.0")
    package.release("2.0.0")
    any_version = Link(link.chain_id, link.publisher, link.package, None)
    # Below the published folders, even.
    mirror = Mirror(publisher, [any_version], tmp_path / "published", 1, [upstream], AT_ONCE)
    assert look(mirror) == []
    with Store(publisher.home.store) as store:
        known = {entry.version for entry in store.releases() if entry.package == package.name}
    assert known == {"1.0.0", "2.0.0"}


def test_releases_whose_names_run_together_are_kept_apart(
    publisher: Session, reader_of: ReaderOf, upstream: GatewaySource, tmp_path: Path
) -> None:
    links = []
    for package, version in (("a", "b-1"), ("a-b", "1"), ("a-b", "1.part"), ("a-b", "1.integrity")):
        folder = tmp_path / package / version.replace(".", "-")
        write_tree(folder, {"file": f"{package} {version} {next(numbers)}".encode()})
        links.append(publish(publisher, folder, package, version).link)
    mirror = Mirror(reader_of(links[0]), links, tmp_path / "mirror", 4, [upstream], AT_ONCE)
    assert sorted(look(mirror)) == [f"fetched {v}" for v in ("1", "1.integrity", "1.part", "b-1")]
    assert look(mirror) == []
    for link in links:
        assert [path.name for path in place_of(tmp_path / "mirror", link).iterdir()] == ["file"]


def test_a_pin_holds_for_its_own_release_alone(
    package: Package, reader_of: ReaderOf, upstream: GatewaySource, tmp_path: Path
) -> None:
    link = package.release("1.0.0")
    package.release("2.0.0")
    wrong = replace(link, pin=bytes(32))
    any_version = Link(link.chain_id, link.publisher, link.package, None)
    told: list[Event] = []
    mirror = Mirror(reader_of(link), [wrong, any_version], tmp_path / "m", 2, [upstream], AT_ONCE)
    mirror.round(told.append)
    assert [(event.what, event.link.version) for event in told] == [
        ("fetched", "2.0.0"), ("failed", "1.0.0"),
    ]  # fmt: skip
    assert told[1].error is not None
    assert told[1].error.name == "ManifestMismatch"


def test_a_home_mirrors_a_package_in_one_folder_which_may_be_moved(
    package: Package, reader_of: ReaderOf, upstream: GatewaySource, tmp_path: Path
) -> None:
    link = package.release("1.0.0")
    reader = reader_of(link)
    follow(reader, link, tmp_path / "one", upstream)
    mirror = Mirror(reader, [link], tmp_path / "two", 2, [upstream], AT_ONCE)
    told: list[Event] = []
    mirror.round(told.append)
    assert [event.what for event in told] == ["failed"]
    assert "already" in str(told[0].error)
    assert not (tmp_path / "two").exists()
    (tmp_path / "one").rename(tmp_path / "two")
    assert look(mirror) == ["fetched 1.0.0"]
    assert look(mirror) == []
    with ServedHome(reader.home) as served:
        path = f"/ipfs/{raw_cid(package.piece('1.0.0'))}?format=raw"
        assert ask(served.url, path).status == 200


def test_what_somebody_changed_is_offered_no_more_and_stays(
    package: Package, reader_of: ReaderOf, upstream: GatewaySource, tmp_path: Path
) -> None:
    link = package.release("1.0.0")
    reader = reader_of(link)
    any_version = Link(link.chain_id, link.publisher, link.package, None)
    mirror, _ = follow(reader, any_version, tmp_path / "mirror", upstream, keep=1)
    place = place_of(tmp_path / "mirror", link)
    (place / "mine").write_text("mine")
    package.release("2.0.0")
    assert look(mirror) == ["fetched 2.0.0", "left 1.0.0"]
    assert (place / "mine").read_text() == "mine"
    with Store(reader.home.store) as store:
        assert [known.version for known in store.releases()] == ["2.0.0"]
    assert look(mirror) == []


def test_what_fails_is_tried_again_and_does_not_keep_others_waiting(
    package: Package, reader_of: ReaderOf, upstream: GatewaySource, tmp_path: Path
) -> None:
    link = package.release("1.0.0")
    any_version = Link(link.chain_id, link.publisher, link.package, None)
    absent = Link(link.chain_id, link.publisher, "absent", None)
    told: list[Event] = []
    Mirror(
        reader_of(link), [absent, any_version], tmp_path / "mirror", 2, [upstream], AT_ONCE
    ).round(told.append)
    assert [event.what for event in told] == ["failed", "fetched"]
    assert told[0].error is not None
    assert told[0].error.name == "ReleaseNotFound"


def test_a_liar_is_named_and_nothing_of_it_is_offered(
    package: Package, reader_of: ReaderOf, tmp_path: Path
) -> None:
    link = package.release("1.0.0")
    reader = reader_of(link)
    piece = f"{package.name} 1.0.0".encode()
    told: list[Event] = []
    liar = MemorySource({sha256(piece): piece}, flip)
    mirror = Mirror(reader, [link], tmp_path / "mirror", 2, [liar], AT_ONCE)
    mirror.round(told.append)
    (event,) = told
    assert event.what == "failed"
    assert event.error is not None
    assert event.error.exit_code in {3, 4}
    assert not reader.home.store.exists()
