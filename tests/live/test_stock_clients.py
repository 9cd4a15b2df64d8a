"""Other people's IPFS software against what this project serves and writes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from integrity import Session, get, publish
from integrity.client.exporting import export_car
from integrity.core.anycid import parse_any_cid
from integrity.core.car import CarReader
from integrity.publishing.publish import Published
from integrity.sources.own import StoreSource
from integrity.store.database import Store
from integrity.store.importing import import_car
from integrity.testing.serving import ServedHome

from .kubos import Kubo
from .releases import content_of, fill

LIVE = Path(__file__).resolve().parents[2] / "tools" / "live"


def node(*arguments: str | Path) -> bytes:
    """A Node program of tools/live -> its stdout."""
    modules = LIVE / "node_modules"
    assert modules.is_dir(), "the peers are not there, and nothing is skipped: run `make live-deps`"
    done = subprocess.run(
        ["node", *arguments], cwd=LIVE, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def ipfs_car(*arguments: str | Path) -> bytes:
    return node(LIVE / "node_modules" / ".bin" / "ipfs-car", *arguments)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fill(tmp_path / "tool")


@pytest.fixture
def published(integrity_publisher: Session, folder: Path) -> Published:
    return publish(integrity_publisher, folder, "tool", "1")


# --- clients of `integrity serve` --------------------------------------------------------------


def test_a_kubo_node_finds_and_fetches_from_serve_as_an_http_provider(
    integrity_publisher: Session, integrity_serve: Callable[[Session], ServedHome],
    new_kubo: Callable[..., Kubo], tmp_path: Path,
) -> None:  # fmt: skip
    """Over delegated routing and HTTP alone: no block comes over libp2p (ADR 8)."""
    folder = fill(tmp_path / "tool", many=20)  # it takes 20 ms for each block
    published = publish(integrity_publisher, folder, "tool", "1")
    served = integrity_serve(integrity_publisher)
    kubo = new_kubo(
        {
            "Routing.Type": "delegated",
            "Routing.DelegatedRouters": [served.url],
            "Provide.Enabled": False,
            "Internal.Bitswap": {"ProviderSearchDelay": "10ms"},
        }
    )
    kubo.start()
    kubo.run("get", "-o", tmp_path / "got", published.content)
    assert content_of(tmp_path / "got") == content_of(folder)
    manifest = kubo.run("cat", str(parse_any_cid(f"f01551220{published.manifest.hex()}")))
    assert manifest == folder.with_name("tool.integrity").read_bytes()
    assert json.loads(kubo.run("swarm", "peers", "--enc=json"))["Peers"] in (None, [])


@pytest.mark.parametrize(
    "path", ["README", ".hidden", "docs/tief/über/größe.txt", "program", "empty"]
)
def test_helia_verified_fetch_reads_files_from_serve(
    integrity_publisher: Session, published: Published, folder: Path,
    integrity_serve: Callable[[Session], ServedHome], path: str,
) -> None:  # fmt: skip
    served = integrity_serve(integrity_publisher)
    fetched = node("fetch.mjs", served.url, f"/ipfs/{published.content}/{path}")
    assert fetched == (folder / path).read_bytes()


def test_helia_verified_fetch_reads_a_file_of_a_sharded_folder(
    integrity_publisher: Session, published: Published, folder: Path,
    integrity_serve: Callable[[Session], ServedHome],
) -> None:  # fmt: skip
    served = integrity_serve(integrity_publisher)
    name = f"01234-{'x' * 180}"
    assert node("fetch.mjs", served.url, f"/ipfs/{published.content}/many/{name}") == b"1234"


# --- readers of what `export car` writes -------------------------------------------------------


@pytest.fixture
def car(integrity_publisher: Session, published: Published, tmp_path: Path) -> Path:
    export_car(integrity_publisher, published.link, tmp_path / "release.car")
    return tmp_path / "release.car"


def test_ipfs_car_reads_what_we_write(
    car: Path, published: Published, folder: Path, tmp_path: Path
) -> None:
    assert published.content in ipfs_car("roots", car).decode().split()
    ipfs_car("unpack", car, "--root", published.content, "--verify", "-o", tmp_path / "unpacked")
    assert content_of(tmp_path / "unpacked") == content_of(folder)


def test_kubo_imports_what_we_write_without_any_network(
    car: Path, published: Published, folder: Path, new_kubo: Callable[..., Kubo], tmp_path: Path
) -> None:
    kubo = new_kubo()
    kubo.run("dag", "import", car)
    pins = kubo.run("pin", "ls", "--type=recursive", "-q").decode().split()
    assert published.content in pins
    kubo.run("--offline", "get", "-o", tmp_path / "got", published.content)
    assert content_of(tmp_path / "got") == content_of(folder)


# --- what others write, read by `import` -------------------------------------------------------


def test_what_kubo_exports_is_imported_and_got_from_the_store(
    integrity_reader: Callable[[str], Session], published: Published, folder: Path, kubo: Kubo,
    tmp_path: Path,
) -> None:  # fmt: skip
    """A release that reaches a stranger as two CARs from somebody's Kubo."""
    reader = integrity_reader(published.link.publisher)
    added = kubo.run("add", "-r", "-H", "-Q", folder).decode().strip()
    manifest = kubo.run("add", "-Q", folder.with_name("tool.integrity")).decode().strip()
    for root in (added, manifest):
        (tmp_path / "x.car").write_bytes(kubo.run("dag", "export", "--progress=false", root))
        with Store(reader.home.store) as store, (tmp_path / "x.car").open("rb") as file:
            assert [str(cid) for cid in import_car(store, file.read).roots] == [root]
    source = StoreSource(reader.home.store)
    get(reader, published.link, tmp_path / "got", sources=[source])
    source.close()
    assert content_of(tmp_path / "got") == content_of(folder)


def test_what_ipfs_car_packs_is_imported_whole(folder: Path, tmp_path: Path) -> None:
    """Packed by it, checked by it, and once more with its index as a CARv2 by @ipld/car's own rules."""
    shutil.rmtree(folder / "many")
    packed = tmp_path / "packed.car"
    root = ipfs_car("pack", folder, "--no-wrap", "--hidden", "-o", packed).decode().split()[0]
    with Store(tmp_path / "home" / "store.db") as store, packed.open("rb") as file:
        done = import_car(store, file.read)
    assert [str(cid) for cid in done.roots] == [root]
    with packed.open("rb") as file:
        keys = {section.cid.key for section in CarReader(file.read)}
    assert done.stored.blocks == len(keys)
    assert os.path.getsize(packed) >= done.stored.size
