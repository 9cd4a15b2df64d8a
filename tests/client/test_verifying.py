"""Verifying what is on the disk: against the record or a manifest alone, and never a guess."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from integrity.client.session import Session
from integrity.client.verifying import Verification, verify
from integrity.core.links import Link
from integrity.errors import (
    FormatError,
    IntegrityError,
    LimitExceeded,
    PathRefused,
    SourcesLied,
    SourcesUnavailable,
    UsageError,
)
from integrity.home import Home
from integrity.store.database import Store
from tests.adversary.sources import MemorySource

from .conftest import MIXED, Publish, ReaderOf
from .helpers import MIB, Release, get, run, write_tree


@pytest.fixture
def copy(mixed: Release, tmp_path: Path) -> Path:
    """A copy of the release and of its manifest, as a mirror would hold them."""
    shutil.copytree(mixed.folder, tmp_path / "copy")
    shutil.copy(sidecar_of(mixed.folder), sidecar_of(tmp_path / "copy"))
    return tmp_path / "copy"


@pytest.fixture
def reader(mixed: Release, reader_of: ReaderOf) -> Session:
    return reader_of(mixed.link)


def sidecar_of(folder: Path) -> Path:
    return folder.with_name(folder.name + ".integrity")


def reasons(found: Verification) -> list[tuple[str, int | None, str]]:
    return [(problem.path, problem.piece, problem.reason) for problem in found.problems]


# --- verdicts ----------------------------------------------------------------------------------


def test_a_true_copy_is_verified_against_the_record(
    mixed: Release, reader: Session, copy: Path
) -> None:
    found = verify(reader, copy, mixed.link)
    assert (found.verdict, found.against, found.problems, found.extra) == (
        "verified",
        "record",
        [],
        [],
    )
    assert (found.files, found.size) == (len(MIXED), sum(map(len, MIXED.values())))
    assert found.manifest == mixed.published.manifest
    assert found.record is not None
    assert found.record.basis == "one rpc, proven"


def test_threat_36_a_flipped_bit_is_named_by_file_and_piece(
    mixed: Release, reader: Session, copy: Path
) -> None:
    with (copy / "bin" / "tool").open("r+b") as file:
        file.seek(2 * MIB + 5)
        byte = file.read(1)[0]
        file.seek(2 * MIB + 5)
        file.write(bytes([byte ^ 0x80]))
    found = verify(reader, copy, mixed.link)
    assert found.verdict == "failed"
    ((path, piece, reason),) = reasons(found)
    assert (path, piece, reason) == ("bin/tool", 2, "digest")
    right = hashlib.sha256(MIXED["bin/tool"][2 * MIB : 3 * MIB]).hexdigest()
    assert found.problems[0].expected == right != found.problems[0].actual


def test_every_kind_of_difference_is_told_at_once(
    mixed: Release, reader: Session, copy: Path
) -> None:
    (copy / "README").unlink()
    (copy / "empty").write_bytes(b"no more")
    (copy / "bin" / "tool").chmod(0o644)
    shutil.rmtree(copy / "a")
    write_tree(copy, {"extra/one": b"", "CON": b""})
    found = verify(reader, copy, mixed.link)
    assert found.verdict == "failed"
    assert reasons(found) == [
        ("README", None, "missing"), ("a/b/c/d", None, "missing"),
        ("bin/tool", None, "executable"), ("empty", None, "size"),
    ]  # fmt: skip
    assert found.extra == ["CON", "extra/one"]


def test_extra_files_are_told_and_do_no_harm(mixed: Release, reader: Session, copy: Path) -> None:
    write_tree(copy, {"my own notes": b""})
    found = verify(reader, copy, mixed.link)
    assert (found.verdict, found.extra) == ("verified", ["my own notes"])


def test_the_folder_of_another_release_fails(
    mixed: Release, pieces: Release, reader: Session, copy: Path
) -> None:
    found = verify(reader, copy, pieces.link, sources=(MemorySource(pieces.blocks),))
    assert found.verdict == "failed"
    assert {reason for _, _, reason in reasons(found)} == {"missing"}
    assert found.extra == sorted(MIXED)


def test_a_single_file_is_verified_where_it_stands(
    published: Publish, publisher: Session, reader_of: ReaderOf, tmp_path: Path
) -> None:
    from integrity.publishing.publish import publish

    write_tree(tmp_path, {"tool.bin": b"alone"})
    result = publish(publisher, tmp_path / "tool.bin", "verify-single", "1")
    assert result.sidecar == tmp_path / "tool.bin.integrity"
    reader = reader_of(result.link)
    assert verify(reader, tmp_path / "tool.bin", result.link).verdict == "verified"
    (tmp_path / "tool.bin").write_bytes(b"Alone")
    assert verify(reader, tmp_path / "tool.bin", result.link).verdict == "failed"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user of this machine can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="integrity-test-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


def _without_rights(folder: Path, manifest: Path, answer: multiprocessing.Queue[str]) -> None:
    """Root may read everything, so root's rights are given up first."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    session = Session(Home.at(folder.parent / "home"))
    found = verify(session, folder, manifest=manifest)
    told = [[p.path, p.reason, p.certain] for p in found.problems]
    answer.put(json.dumps([found.verdict, told, found.extra]))


@pytest.mark.parametrize("also_wrong", [False, True])
def test_what_cannot_be_read_is_unknown_unless_something_else_is_wrong(
    mixed: Release, open_folder: Path, also_wrong: bool
) -> None:
    shutil.copytree(mixed.folder, open_folder / "copy")
    shutil.copy(sidecar_of(mixed.folder), open_folder / "manifest")
    (open_folder / "manifest").chmod(0o644)
    (open_folder / "home").mkdir()
    (open_folder / "home").chmod(0o777)
    (open_folder / "copy" / "docs").chmod(0)
    (open_folder / "copy" / "empty").chmod(0)
    if also_wrong:
        (open_folder / "copy" / "README").write_bytes(b"A tool\n")
    context = multiprocessing.get_context("fork")
    answer = context.Queue()
    process = context.Process(
        target=_without_rights, args=(open_folder / "copy", open_folder / "manifest", answer)
    )
    process.start()
    verdict, told, extra = json.loads(answer.get(timeout=120))
    process.join()
    assert verdict == ("failed" if also_wrong else "unknown")
    assert extra == []
    uncertain = {path for path, _, certain in told if not certain}
    assert uncertain == {path for path in MIXED if path.startswith("docs/")} | {"empty"}
    assert len(told) == len(uncertain) + also_wrong


# --- where the manifest comes from -------------------------------------------------------------


@pytest.mark.parametrize("damage", ["flip", "cut", "longer", "empty", "other", "garbage"])
def test_a_tampered_sidecar_is_never_believed_and_a_source_stands_in(
    mixed: Release, pieces: Release, reader: Session, copy: Path, damage: str
) -> None:
    sidecar = sidecar_of(copy)
    data = sidecar.read_bytes()
    sidecar.write_bytes({
        "flip": data[:-20] + bytes([data[-20] ^ 1]) + data[-19:],
        "cut": data[:-1],
        "longer": data + b"\n",
        "empty": b"",
        "other": sidecar_of(pieces.folder).read_bytes(),
        "garbage": b"\x7b" * 100_000,
    }[damage])  # fmt: skip
    with pytest.raises(SourcesUnavailable, match=mixed.published.manifest.hex()) as caught:
        verify(reader, copy, mixed.link)
    assert caught.value.exit_code == 3
    found = verify(reader, copy, mixed.link, sources=(MemorySource(mixed.blocks),))
    assert found.verdict == "verified"


@pytest.mark.parametrize("kind", ["folder", "fifo", "link to nothing", "huge", "absent"])
def test_what_is_no_file_in_a_sidecars_place_is_as_good_as_none(
    mixed: Release, reader: Session, copy: Path, kind: str
) -> None:
    sidecar = sidecar_of(copy)
    sidecar.unlink()
    if kind == "folder":
        sidecar.mkdir()
    elif kind == "fifo":
        os.mkfifo(sidecar)
    elif kind == "link to nothing":
        sidecar.symlink_to("nowhere")
    elif kind == "huge":
        with sidecar.open("wb") as file:
            file.truncate(1 << 40)
    with pytest.raises(SourcesUnavailable):
        verify(reader, copy, mixed.link)
    source = MemorySource(mixed.blocks)
    assert verify(reader, copy, mixed.link, sources=(source,)).verdict == "verified"
    assert source.asked == [mixed.published.manifest]


def test_a_sidecar_needs_no_source_and_a_lying_source_is_not_asked(
    mixed: Release, reader: Session, copy: Path
) -> None:
    liar = MemorySource({mixed.published.manifest: b"{}"})
    assert verify(reader, copy, mixed.link, sources=(liar,)).verdict == "verified"
    assert liar.asked == []
    sidecar_of(copy).unlink()
    with pytest.raises(SourcesLied):
        verify(reader, copy, mixed.link, sources=(liar,))


def test_the_publisher_verifies_from_the_own_store(mixed: Release, copy: Path) -> None:
    sidecar_of(copy).unlink()
    found = verify(mixed.session, copy, mixed.link)
    assert (found.verdict, found.against) == ("verified", "record")


def test_threat_45_a_damaged_own_store_is_not_believed_and_a_source_stands_in(
    published: Publish, tmp_path: Path
) -> None:
    release = published("damaged-store", {"a": b"1"})
    blocks = release.blocks
    shutil.copytree(release.session.home.data_folder, tmp_path / "home")
    session = Session(Home.at(tmp_path / "home"))
    with sqlite3.connect(session.home.store) as connection:
        (block,) = connection.execute(
            "SELECT block FROM node WHERE digest = ?", (release.published.manifest,)
        ).fetchone()
        connection.execute(
            "UPDATE node SET block = ? WHERE digest = ?",
            (block.replace(b'"size":1', b'"size":2'), release.published.manifest),
        )
    connection.close()
    shutil.copytree(release.folder, tmp_path / "copy")
    with pytest.raises(SourcesUnavailable):
        verify(session, tmp_path / "copy", release.link)
    found = verify(session, tmp_path / "copy", release.link, sources=(MemorySource(blocks),))
    assert found.verdict == "verified"
    with Store(session.home.store) as store:
        assert store.node(release.published.manifest) != block


# --- against a manifest alone ------------------------------------------------------------------


def test_a_manifest_file_needs_no_chain_and_says_so(
    mixed: Release, copy: Path, tmp_path: Path
) -> None:
    session = Session(Home.at(tmp_path / "home"), rpc=("http://127.0.0.1:1",))
    found = verify(session, copy, manifest=sidecar_of(copy))
    assert (found.verdict, found.against, found.record) == ("verified", "manifest", None)
    assert found.manifest == mixed.published.manifest
    (copy / "README").write_bytes(b"A tool\n")
    assert verify(session, copy, manifest=sidecar_of(copy)).verdict == "failed"


@pytest.mark.parametrize("kind", ["absent", "folder", "fifo", "huge", "device", "too long a name"])
def test_threat_17_a_manifest_that_cannot_be_one_is_refused(
    copy: Path, tmp_path: Path, kind: str
) -> None:
    place = tmp_path / "manifest"
    if kind == "folder":
        place.mkdir()
    elif kind == "fifo":
        os.mkfifo(place)
    elif kind == "huge":
        with place.open("wb") as file:
            file.truncate(1 << 40)
    elif kind == "device":
        place = Path("/dev/zero")
    elif kind == "too long a name":
        place = tmp_path / ("n" * 300)
    session = Session(Home.at(tmp_path / "home"))
    with pytest.raises((UsageError, LimitExceeded)) as caught:
        verify(session, copy, manifest=place)
    assert caught.value.exit_code == 2
    assert not any((session.home.data_folder / "tmp").iterdir())


@pytest.mark.parametrize("data", [b"", b"{", b"not a manifest\n", b"\xff\xfe", b"{}\n{}\n"])
def test_a_broken_manifest_file_is_malformed_not_a_verdict(
    copy: Path, tmp_path: Path, data: bytes
) -> None:
    (tmp_path / "manifest").write_bytes(data)
    with pytest.raises(FormatError) as caught:
        verify(Session(Home.at(tmp_path / "home")), copy, manifest=tmp_path / "manifest")
    assert (caught.value.family, caught.value.exit_code) == ("malformed", 2)


@pytest.mark.parametrize("name", ["absent", "n" * 300, "README/below"])
def test_nothing_at_the_path_is_a_usage_error(
    mixed: Release, reader: Session, copy: Path, name: str
) -> None:
    for link, manifest in ((mixed.link, None), (None, sidecar_of(copy))):
        with pytest.raises(UsageError):
            verify(reader, copy / name, link, manifest=manifest)


def test_a_link_and_a_manifest_or_neither_is_a_usage_error(
    mixed: Release, reader: Session, copy: Path
) -> None:
    with pytest.raises(UsageError):
        verify(reader, copy)
    with pytest.raises(UsageError):
        verify(reader, copy, mixed.link, manifest=sidecar_of(copy))


def test_a_folder_with_a_name_too_long_for_a_sidecar_is_verified_with_a_source(
    mixed: Release, reader: Session, copy: Path
) -> None:
    place = copy.rename(copy.with_name("n" * 255))
    with pytest.raises(IntegrityError):
        verify(reader, place, mixed.link)
    assert (
        verify(reader, place, mixed.link, sources=(MemorySource(mixed.blocks),)).verdict
        == "verified"
    )


# --- what a verification leaves ----------------------------------------------------------------


def test_only_what_was_verified_against_the_record_is_unchanged_later(
    mixed: Release, reader: Session, copy: Path
) -> None:
    source = MemorySource(mixed.blocks)
    verify(reader, copy, manifest=sidecar_of(copy))
    assert get(reader, mixed.link, copy, sources=[source]).verdict == "verified"
    assert get(reader, mixed.link, copy, sources=[source]).verdict == "unchanged"
    (copy / "README").write_bytes(b"A tool\n")
    assert verify(reader, copy, mixed.link).verdict == "failed"
    with pytest.raises(PathRefused):
        get(reader, mixed.link, copy, sources=[source])
    (copy / "README").write_bytes(MIXED["README"])
    assert verify(reader, copy, mixed.link).verdict == "verified"
    assert get(reader, mixed.link, copy, sources=[source]).verdict == "unchanged"


def test_nothing_is_written_into_what_is_verified(
    mixed: Release, reader: Session, copy: Path
) -> None:
    before = {path: path.lstat().st_mtime_ns for path in copy.parent.rglob("copy*")}
    verify(reader, copy, mixed.link)
    assert {path: path.lstat().st_mtime_ns for path in copy.parent.rglob("copy*")} == before


def test_the_command_exits_with_the_verdict(mixed: Release, copy: Path, tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home")
    code, answer = run(home, "verify", copy, "--manifest", sidecar_of(copy))
    assert (code, answer["verdict"], answer["against"]) == (0, "verified", "manifest")
    (copy / "bin" / "exact").write_bytes(bytes(2 * MIB))
    code, answer = run(home, "verify", copy, "--manifest", sidecar_of(copy))
    assert (code, answer["verdict"]) == (4, "failed")
    assert [(p["path"], p["piece"], p["reason"]) for p in answer["problems"]] == [
        ("bin/exact", 0, "digest"), ("bin/exact", 1, "digest"),
    ]  # fmt: skip
    unknown = Link(mixed.link.chain_id, "0x" + "11" * 20, "x", "1")
    code, answer = run(home, "verify", copy, unknown, "--rpc", "http://127.0.0.1:1")
    assert (code, answer["error"]["name"]) == (3, "UnknownPublisher")
