"""A folder on this machine as a source: of the same release, of an older one, of anything."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from integrity.core.manifest import encode_file
from integrity.errors import SourceError
from integrity.ports import MANIFEST, Piece
from integrity.sources.folder import FolderSource
from tests.adversary.ordering import FileOrder
from tests.client.helpers import pattern, write_tree
from tests.fetch.test_plan import entry

MIB = 1 << 20
FILES = {"a/large": pattern(3 * MIB + 5), "small": b"small", "empty": b""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tree(tmp_path / "old", FILES)
    return tmp_path / "old"


def given(folder: Path, files: dict[str, bytes]) -> FileOrder:
    with closing(FolderSource(folder)) as source:
        assert source.is_local
        return FileOrder(files).give_to(source)


def test_the_same_files_are_given_whole(folder: Path) -> None:
    order = given(folder, FILES)
    assert order.whole
    assert order.lacking == {}


def test_what_changed_is_not_what_is_wanted(folder: Path) -> None:
    changed = FILES["a/large"][: 2 * MIB] + b"new" + FILES["a/large"][2 * MIB + 3 :]
    with closing(FolderSource(folder)) as source:
        order = FileOrder({"a/large": changed}).give_to(source)
    # Whoever takes the pieces sees which is another one.
    assert order.lied == [("a/large", 2)]


def test_what_is_not_there_is_lacking(folder: Path) -> None:
    (folder / "short").write_bytes(bytes(10))
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to(folder / "small")
    (folder / "up").symlink_to(folder.parent)
    wanted = {
        "short": bytes(11), "folder": b"x", "pipe": b"x", "link": b"small", "absent/x": b"x",
        "up/old/small": b"small",
    }  # fmt: skip
    order = given(folder, wanted)
    assert order.got == {}
    assert sorted(order.lacking) == sorted((path, 0) for path in wanted)


def test_a_renamed_file_is_found_by_the_manifest_beside_the_folder(folder: Path) -> None:
    (folder / "a" / "large").rename(folder / "old name")
    order = FileOrder({"new/name": FILES["a/large"]})
    lines = b"{}\n" + encode_file(entry_of("old name", FILES["a/large"]))
    folder.with_name("old.integrity").write_bytes(lines)
    with closing(FolderSource(folder)) as source:
        assert b"".join(source.manifest()) == lines
        order.give_to(source)
    assert order.whole


def test_of_two_equal_files_one_is_enough(folder: Path) -> None:
    """The manifest tells of both, and the one it tells of last is not there."""
    lines = b"".join(encode_file(entry_of(path, FILES["a/large"])) for path in ("a/large", "b"))
    folder.with_name("old.integrity").write_bytes(b"{}\n" + lines)
    assert given(folder, {"a/large": FILES["a/large"]}).whole


def entry_of(path: str, data: bytes):  # type: ignore[no-untyped-def]
    import hashlib
    from dataclasses import replace

    digests = b"".join(
        hashlib.sha256(data[at : at + MIB]).digest() for at in range(0, len(data), MIB)
    )
    return replace(entry(path, len(data)), digests=digests)


@pytest.mark.parametrize("beside", [b"", b"no manifest", b"{}\n{}\n", b"{}\n" + b"[" * 10_000])
def test_whatever_stands_beside_the_folder_does_no_harm(folder: Path, beside: bytes) -> None:
    folder.with_name("old.integrity").write_bytes(beside)
    assert given(folder, FILES).whole


def test_blocks_of_a_manifest_are_lacking_and_a_broken_one_is_a_failure(folder: Path) -> None:
    with closing(FolderSource(folder)) as source:
        order = FileOrder({})
        order.pieces = [Piece(0, MANIFEST, 0, bytes(32), None, 0)]
        order.give_to(source)
        assert list(order.lacking) == [(MANIFEST, 0)]
        assert list(source.manifest()) == []
        folder.with_name("old.integrity").mkdir()
        with pytest.raises(SourceError):
            list(source.manifest())


def test_the_folder_one_stands_in_has_a_name_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.with_name("old.integrity").write_bytes(b"beside")
    monkeypatch.chdir(folder)
    with closing(FolderSource(Path("."))) as source:
        assert b"".join(source.manifest()) == b"beside"
        assert FileOrder(FILES).give_to(source).whole


def test_a_pipe_beside_the_folder_keeps_nobody_waiting(folder: Path) -> None:
    os.mkfifo(folder.with_name("old.integrity"))
    with closing(FolderSource(folder)) as source, pytest.raises(SourceError, match="regular file"):
        list(source.manifest())
    assert given(folder, FILES).whole
