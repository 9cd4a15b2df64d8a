"""Manifests that a publisher recorded who means ill, or that a source made up: none is believed."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from integrity.client.manifests import ManifestFile
from integrity.client.session import Session
from integrity.core.links import Link
from integrity.core.manifest import FileEntry, Header, encode_file, encode_header
from integrity.core.reading import read_header
from integrity.core.tree import TreeBuilder
from integrity.core.unixfs import file_node
from integrity.disk.temporary import TemporaryScratch
from integrity.errors import ManifestInvalid, SourcesLied, WrongRelease
from integrity.fetch.engine import Fetcher
from tests.adversary.sources import MemorySource

from .conftest import ReaderOf
from .helpers import MIB, Release, get, pattern, record, sha256, tree_of, write_tree

Lines = list[bytes]


def small(path: str, data: bytes, size: int | None = None) -> FileEntry:
    return FileEntry(path, len(data) if size is None else size, sha256(data))


def craft(session: Session, package: str, *entries: FileEntry, version: str = "1") -> bytes:
    """A manifest that is true to itself, whatever its files are."""
    with TemporaryScratch() as scratch:
        tree = TreeBuilder(scratch)
        for entry in entries:
            tree.add(entry.path, file_node(entry.size, entry.digests))
        root = tree.finish()
    publisher = session.key(None).address
    size = sum(entry.size for entry in entries)
    header = Header(publisher, package, version, root.cid, len(entries), size)
    return encode_header(header) + b"".join(map(encode_file, entries))


def edited(manifest: bytes, number: int, **changes: object) -> bytes:
    """One line with other values, still canonical."""
    lines = manifest.splitlines(keepends=True)
    value = json.loads(lines[number]) | changes
    value = {key: item for key, item in value.items() if item is not None}
    lines[number] = json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    return b"".join(lines)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    write_tree(tmp_path, {"canary": b"canary", "outside/canary": b"canary"})
    return tmp_path / "out"


def untouched(out: Path) -> bool:
    names = sorted(path.name for path in out.parent.iterdir() if "reader" not in path.name)
    return names == ["canary", "outside"] and (out.parent / "canary").read_bytes() == b"canary"


# --- recorded, and broken ----------------------------------------------------------------------


def two(session: Session, package: str) -> bytes:
    return craft(session, package, small("a", b"one"), small("b", b"two"))


def line(path: str) -> bytes:
    value = {"path": path, "sha256": sha256(b"x").hex(), "size": 1}
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def with_path(path: str) -> Callable[[Session, str], bytes]:
    """A manifest whose only file has this path; its content root cannot be right, nor need it be."""

    def make(session: Session, package: str) -> bytes:
        head = two(session, package).splitlines(keepends=True)[0]
        return edited(head, 0, files=1, size=1) + line(path)

    return make


BROKEN: dict[str, tuple[Callable[[Session, str], bytes], str]] = {
    "no manifest at all": (lambda *_: b"{hello\n", "FormatError"),
    "not canonical": (lambda *a: two(*a).replace(b",", b", ", 1), "NonCanonical"),
    "a byte order mark inside": (lambda *a: two(*a).replace(b"\n", b"\n\xef\xbb\xbf", 1), "FormatError"),
    "bytes behind the end": (lambda *a: two(*a) + b"{}", "TotalsMismatch"),
    "no last line end": (lambda *a: two(*a)[:-1], "NonCanonical"),
    "unsorted": (lambda *a: b"".join(two(*a).splitlines(True)[i] for i in (0, 2, 1)), "NonCanonical"),
    "a path twice": (lambda *a: b"".join(two(*a).splitlines(True)[i] for i in (0, 1, 1)), "NonCanonical"),
    "an unknown key": (lambda *a: edited(two(*a), 1, zzz=1), "FormatError"),
    "a float": (lambda *a: edited(two(*a), 1, size=3.5), "FormatError"),
    "a huge integer": (lambda *a: edited(two(*a), 1, size=2**64), "LimitExceeded"),
    "too few files": (lambda *a: edited(two(*a), 0, files=1), "TotalsMismatch"),
    "too many files": (lambda *a: edited(two(*a), 0, files=3), "TotalsMismatch"),
    "wrong total": (lambda *a: edited(two(*a), 0, size=7), "TotalsMismatch"),
    "size bomb": (lambda *a: edited(two(*a), 0, size=2**53 - 1), "TotalsMismatch"),
    "wrong content": (lambda *a: edited(two(*a), 2, sha256=sha256(b"other").hex()), "TotalsMismatch"),
    "weak hash": (lambda *a: edited(two(*a), 1, sha256="ab" * 20), "HashUnsupported"),
    "pieces for one piece": (
        lambda *a: edited(two(*a), 1, sha256=None, pieces=base64.urlsafe_b64encode(bytes(32)).decode()[:-1]),
        "NonCanonical",
    ),
    "gigabytes of two pieces": (
        lambda *a: edited(
            two(*a), 1, sha256=None, size=2**50, pieces=base64.urlsafe_b64encode(bytes(66)).decode()
        ),
        "HashUnsupported",
    ),
    "nested": (lambda *_: b'{"content":' + b"[" * 30_000 + b"\n", "LimitExceeded"),
    "climbs out": (with_path("../canary"), "UnsafePath"),
    "climbs out later": (with_path("sub/../../canary"), "UnsafePath"),
    "absolute": (with_path("/canary"), "UnsafePath"),
    "drive letter": (with_path("C:/canary"), "UnsafePath"),
    "backslash": (with_path("..\\\\canary"), "UnsafePath"),
    "zero byte": (with_path("a\\u0000"), "UnsafePath"),
    "device": (with_path("aux.txt"), "UnsafePath"),
    "terminal escape": (with_path("\x1b[2Jx"), "UnsafePath"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recorded:
    link: Link
    manifest: bytes


@pytest.fixture(scope="module")
def broken(publisher: Session) -> dict[str, Recorded]:
    """Every broken manifest, recorded as the only release of a package of its own."""
    made = {}
    for number, (name, (make, _)) in enumerate(BROKEN.items()):
        package = f"broken-{number}"
        manifest = make(publisher, package)
        last = number == len(BROKEN) - 1
        link = record(publisher, package, "1", sha256(manifest), wait=last)
        made[name] = Recorded(link, manifest)
    return made


@pytest.mark.parametrize("name", BROKEN)
def test_threats_14_to_20_a_broken_manifest_is_refused_though_it_is_the_recorded_one(
    broken: dict[str, Recorded], reader_of: ReaderOf, out: Path, name: str
) -> None:
    link, manifest = broken[name].link, broken[name].manifest
    source = MemorySource({sha256(manifest): manifest, sha256(b"x"): b"x"})
    with pytest.raises(ManifestInvalid) as caught:
        get(reader_of(link), link, out, sources=[source])
    assert caught.value.exit_code == 4
    assert caught.value.evidence["reason"] == BROKEN[name][1]
    assert source.asked == [sha256(manifest)]
    assert untouched(out)


def root_of(leaves: list[bytes], sizes: list[int]) -> bytes:
    """A dag-pb file root over raw leaves, as a publisher may record it."""

    def number(value: int) -> bytes:
        return bytes([value]) if value < 128 else bytes([value % 128 + 128]) + number(value // 128)

    links = b""
    for leaf, size in zip(leaves, sizes, strict=True):
        body = b"\x0a\x24\x01\x55\x12\x20" + sha256(leaf) + b"\x12\x00\x18" + number(size)
        links += b"\x12" + number(len(body)) + body
    data = b"\x08\x02\x18" + number(sum(sizes)) + b"".join(b"\x20" + number(s) for s in sizes)
    return links + b"\x0a" + number(len(data)) + data


FULL = b"x" * MIB
ROOTS: dict[str, tuple[list[bytes], list[int]]] = {
    "one leaf": ([FULL], [MIB]),
    "a short leaf first": ([b"short", FULL], [5, MIB]),
    "too many leaves": ([FULL] * 1025, [MIB] * 1025),
    "an empty leaf": ([FULL, b"tail"], [MIB, 0]),
    "an endless leaf": ([FULL, b"tail"], [MIB, 2**60]),
    "no lines": ([FULL, b"tail"], [MIB, 4]),
    "a leaf shorter than said": ([FULL, b"tail"], [MIB, 400]),
    "three blocks of nothing": ([FULL] * 3, [MIB] * 3),
}
NO_MANIFESTS = [b"", b"plain text", b"\x12", b"\x12\xff\xff\xff\xff\x0f", b"[]", b"\0"]


@pytest.fixture(scope="module")
def no_manifests(publisher: Session) -> dict[bytes, Link]:
    """A link for each recorded block that is the root of no manifest."""
    roots = [root_of(*ROOTS[name]) for name in ROOTS] + NO_MANIFESTS
    return {
        root: record(publisher, f"no-{number}", "1", sha256(root), wait=root is roots[-1])
        for number, root in enumerate(roots)
    }


@pytest.mark.parametrize("name", ROOTS)
def test_threat_17_a_manifest_of_blocks_that_do_not_make_one_is_refused(
    no_manifests: dict[bytes, Link], reader_of: ReaderOf, out: Path, name: str
) -> None:
    leaves, sizes = ROOTS[name]
    root = root_of(leaves, sizes)
    link = no_manifests[root]
    source = MemorySource({sha256(block): block for block in (root, *leaves)})
    with pytest.raises(ManifestInvalid) as caught:
        get(reader_of(link), link, out, sources=[source])
    assert caught.value.exit_code == 4
    assert len(source.asked) <= 4
    assert untouched(out)


@pytest.mark.parametrize("block", NO_MANIFESTS)
def test_a_recorded_digest_of_something_else_is_no_manifest(
    no_manifests: dict[bytes, Link], reader_of: ReaderOf, out: Path, block: bytes
) -> None:
    link = no_manifests[block]
    with pytest.raises(ManifestInvalid):
        get(reader_of(link), link, out, sources=[MemorySource({sha256(block): block})])
    assert untouched(out)


# --- 13: of another release --------------------------------------------------------------------


def test_threat_13_a_manifest_of_another_release_is_refused_under_this_name(
    publisher: Session, mixed: Release, reader_of: ReaderOf, out: Path
) -> None:
    link = record(publisher, "not-mixed", "1.0.0", mixed.published.manifest)
    with pytest.raises(WrongRelease, match="names the package mixed, not not-mixed") as caught:
        get(reader_of(link), link, out, sources=[MemorySource(mixed.blocks)])
    assert caught.value.exit_code == 4
    link = record(publisher, "mixed", "6.6.6", mixed.published.manifest)
    with pytest.raises(WrongRelease, match=r"names the version 1\.0\.0, not 6\.6\.6"):
        get(reader_of(link), link, out, sources=[MemorySource(mixed.blocks)])
    assert untouched(out)


def test_threat_13_a_header_over_the_files_of_another_version_is_refused(
    publisher: Session, mixed: Release, reader_of: ReaderOf, out: Path
) -> None:
    manifest = mixed.blocks[mixed.published.manifest]
    header = read_header([manifest])
    files = manifest[manifest.index(b"\n") + 1 :]
    newer = encode_header(replace(header, version="2")) + files.replace(
        sha256(b"a tool\n").hex().encode(), sha256(b"another").hex().encode()
    )
    link = record(publisher, "mixed", "2", sha256(newer))
    with pytest.raises(ManifestInvalid, match="content"):
        get(
            reader_of(link), link, out,
            sources=[MemorySource(mixed.blocks | {sha256(newer): newer})],
        )  # fmt: skip
    assert untouched(out)


# --- 18: sizes that lie in a manifest that is true to itself -----------------------------------


def test_threat_18_a_piece_of_the_right_digest_and_another_length_is_not_kept(
    publisher: Session, reader_of: ReaderOf, out: Path
) -> None:
    """The digest of five bytes, said to be of ten: nothing has both, so nothing may verify."""
    manifest = craft(publisher, "short-piece", small("a", b"fives", size=10))
    link = record(publisher, "short-piece", "1", sha256(manifest))
    source = MemorySource({sha256(manifest): manifest, sha256(b"fives"): b"fives"})
    with pytest.raises(ManifestInvalid) as caught:
        get(reader_of(link), link, out, sources=[source])
    assert caught.value.exit_code == 4
    assert not out.exists()


def test_threat_18_a_last_piece_that_is_shorter_than_said_is_not_kept(
    publisher: Session, reader_of: ReaderOf, out: Path
) -> None:
    data = pattern(2 * MIB + 100)
    pieces = [data[:MIB], data[MIB : 2 * MIB], data[2 * MIB :]]
    entry = FileEntry("a", 2 * MIB + 150, b"".join(map(sha256, pieces)))
    manifest = craft(publisher, "short-tail", entry)
    link = record(publisher, "short-tail", "1", sha256(manifest))
    blocks = {sha256(block): block for block in (manifest, *pieces)}
    with pytest.raises(ManifestInvalid):
        get(reader_of(link), link, out, sources=[MemorySource(blocks)])
    assert not out.exists()


def test_threat_18_a_piece_that_is_longer_than_said_never_arrives(
    publisher: Session, reader_of: ReaderOf, out: Path
) -> None:
    manifest = craft(publisher, "long-piece", small("a", b"ten bytes.", size=5))
    link = record(publisher, "long-piece", "1", sha256(manifest))
    source = MemorySource({sha256(manifest): manifest, sha256(b"ten bytes."): b"ten bytes."})
    with pytest.raises((ManifestInvalid, SourcesLied)):
        get(reader_of(link), link, out, sources=[source])
    assert not out.exists()


# --- 12: sources that make one up --------------------------------------------------------------


def test_threat_12_each_flipped_byte_of_a_manifest_is_found(
    mixed: Release, reader_of: ReaderOf
) -> None:
    manifest = mixed.blocks[mixed.published.manifest]
    with ManifestFile(reader_of(mixed.link)) as file:
        for at in range(len(manifest)):
            flipped = manifest[:at] + bytes([manifest[at] ^ 1 << at % 8]) + manifest[at + 1 :]
            source = MemorySource({mixed.published.manifest: flipped})
            with pytest.raises(SourcesLied):
                file.fetch(Fetcher([source]), mixed.published.manifest)


@pytest.mark.parametrize("change", ["cut", "longer", "other release", "empty"])
def test_threat_12_a_made_up_manifest_is_the_sources_lie_and_another_source_helps(
    mixed: Release, pieces: Release, reader_of: ReaderOf, out: Path, change: str
) -> None:
    manifest = mixed.blocks[mixed.published.manifest]
    made_up = {
        "cut": manifest[:-1],
        "longer": manifest + b"\n",
        "other release": pieces.blocks[pieces.published.manifest],
        "empty": b"",
    }[change]
    liar = MemorySource(mixed.blocks | {mixed.published.manifest: made_up})
    with pytest.raises(SourcesLied) as caught:
        get(reader_of(mixed.link), mixed.link, out, sources=[liar])
    assert caught.value.evidence["path"] == "the manifest"
    assert untouched(out)
    honest = MemorySource(mixed.blocks)
    got = get(reader_of(mixed.link), mixed.link, out, sources=[liar, honest])
    assert tree_of(out) == mixed.files
    assert [tally.rejected for tally in got.sources] == [1, 0]
