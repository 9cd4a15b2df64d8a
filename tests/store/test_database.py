"""The store's database: what was put in is found, what was replaced is gone, and nothing half."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integrity.core.manifest import FileEntry
from integrity.disk.building import Naming, ReleaseBuilder
from integrity.errors import SourceChanged, StoreError
from integrity.store.database import Store
from integrity.store.reading import BlockReader

from .helpers import CHAIN, MIB, PUBLISHER, digest, pattern, piece, put

FILES = {"README": b"read me", "bin/tool": pattern(2 * MIB + 9), "empty": b""}


def test_every_piece_and_node_of_a_release_is_found(store: Store, tmp_path: Path) -> None:
    manifest = put(store, tmp_path / "tool", FILES)
    tool = os.fsencode(tmp_path / "tool" / "bin" / "tool")
    for index in range(3):
        (place,) = store.places(piece(FILES["bin/tool"], index))
        assert (place.path, place.offset) == (tool, index * MIB)
        assert place.length == (MIB if index < 2 else 9)
    (place,) = store.places(digest(b""))
    assert (place.offset, place.length) == (0, 0)
    block = store.node(manifest)
    assert block is not None
    assert digest(block) == manifest
    assert store.node(digest(b"never")) is None
    assert store.places(digest(b"never")) == []


def test_a_release_is_listed_with_its_names_and_its_folder(store: Store, tmp_path: Path) -> None:
    assert store.releases() == []
    manifest = put(store, tmp_path / "tool", FILES)
    (release,) = store.releases()
    assert (release.manifest, release.chain_id, release.publisher) == (manifest, CHAIN, PUBLISHER)
    assert (release.package, release.version, release.files) == ("tool", "1", 3)
    assert release.folder == os.fsencode(tmp_path / "tool")
    put(store, tmp_path / "tool")
    assert store.releases() == [release]


def test_a_changed_file_loses_its_old_pieces_when_it_is_put_in_again(
    store: Store, tmp_path: Path
) -> None:
    put(store, tmp_path / "tool", FILES)
    new = pattern(2 * MIB + 9, 77)
    put(store, tmp_path / "tool", {"bin/tool": new})
    for index in range(3):
        assert store.places(piece(FILES["bin/tool"], index)) == []
        assert len(store.places(piece(new, index))) == 1
    assert len(store.places(digest(b"read me"))) == 1


def test_a_removed_file_is_forgotten_and_a_neighbour_is_not(store: Store, tmp_path: Path) -> None:
    put(store, tmp_path / "tool", FILES)
    put(store, tmp_path / "tool0", {"other": b"a name that sorts right behind tool/"})
    put(store, tmp_path / "tool-x", {"other": b"and one that sorts before it"})
    (tmp_path / "tool" / "README").unlink()
    put(store, tmp_path / "tool")
    assert store.places(digest(b"read me")) == []
    assert len(store.places(digest(b"a name that sorts right behind tool/"))) == 1
    assert len(store.places(digest(b"and one that sorts before it"))) == 1


def test_the_same_piece_may_stand_in_several_places(store: Store, tmp_path: Path) -> None:
    put(store, tmp_path / "one", {"a": b"same", "b": b"same", "zeros": bytes(2 * MIB)})
    put(store, tmp_path / "two", {"c": b"same"})
    assert len(store.places(digest(b"same"))) == 3
    assert {place.offset for place in store.places(digest(bytes(MIB)))} == {0, MIB}


def test_a_folder_whose_name_is_no_text_is_kept(store: Store, tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")) / "tool"
    put(store, folder, {"a": b"1"})
    (place,) = store.places(digest(b"1"))
    assert place.path == os.fsencode(folder / "a")


def test_a_single_file_release_is_served_from_the_file(store: Store, tmp_path: Path) -> None:
    (tmp_path / "tool.bin").write_bytes(b"alone")
    for _ in range(2):
        put(store, tmp_path / "tool.bin")
    (place,) = store.places(digest(b"alone"))
    assert place.path == os.fsencode(tmp_path / "tool.bin")


# --- all or nothing ----------------------------------------------------------------------------


def test_a_source_that_changes_while_it_is_stored_leaves_the_old_release(
    store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "tool"
    old = put(store, folder, FILES)
    (folder / "README").write_bytes(b"new text")
    with ReleaseBuilder(folder, Naming(PUBLISHER, "tool", "2")) as built:
        header = built.build()

        def files() -> Iterator[tuple[FileEntry, bytes]]:
            for number, item in enumerate(built.unchanged_files()):
                if number == 1:
                    (folder / "empty").write_bytes(b"no more")
                yield item

        with pytest.raises(SourceChanged):
            store.add_release(header, CHAIN, built.digest, built.place, files(), built.nodes())
        assert store.node(built.digest) is None
    assert [release.manifest for release in store.releases()] == [old]
    assert store.places(digest(b"new text")) == []
    assert len(store.places(digest(b"read me"))) == 1


def test_many_files_are_stored_in_batches_without_losing_one(store: Store, tmp_path: Path) -> None:
    files = {f"{number % 7}/{number}": b"%d" % number for number in range(9000)}
    put(store, tmp_path / "many", files)
    assert all(len(store.places(digest(data))) == 1 for data in list(files.values())[::100])
    assert store.releases()[0].files == 9000


# --- several processes -------------------------------------------------------------------------

_PUT = """
import sys
from pathlib import Path
from integrity.disk.building import Naming, ReleaseBuilder
from integrity.store.database import Store
print("ready", flush=True)
sys.stdin.readline()
with Store(Path(sys.argv[1])) as store:
    for number in range(5):
        folder = Path(sys.argv[2]) / str(number)
        with ReleaseBuilder(folder, Naming("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "p", "1")) as b:
            header = b.build()
            store.add_release(header, 1, b.digest, b.place, b.unchanged_files(), b.nodes())
"""


def test_processes_that_begin_a_store_at_once_all_get_theirs_in(tmp_path: Path) -> None:
    processes = []
    for process in range(6):
        for number in range(5):
            folder = tmp_path / str(process) / str(number)
            folder.mkdir(parents=True)
            for file in range(20):
                (folder / str(file)).write_text(f"{process} {number} {file}")
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", _PUT, tmp_path / "home" / "store.db", tmp_path / str(process)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
        )  # fmt: skip
    for waiting in processes:
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "ready\n"
    for waiting in processes:
        assert waiting.stdin is not None
        waiting.stdin.write("go\n")
        waiting.stdin.flush()
    errors = [waiting.communicate()[1] for waiting in processes]
    assert [waiting.returncode for waiting in processes] == [0] * 6, errors
    with Store(tmp_path / "home" / "store.db") as store:
        assert len(store.releases()) == 30
        assert len(store.places(digest(b"3 4 19"))) == 1


def test_opening_a_store_waits_for_who_makes_it(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    other.execute("CREATE TABLE being_made (x)")

    def finish() -> None:
        other.execute("ROLLBACK")
        other.close()

    timer = threading.Timer(0.5, finish)
    timer.start()
    try:
        with Store(path) as store:
            assert store.releases() == []
    finally:
        timer.join()


def test_a_reader_goes_on_while_another_process_writes(store: Store, tmp_path: Path) -> None:
    put(store, tmp_path / "tool", FILES)
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("DELETE FROM piece")
    assert len(store.places(digest(b"read me"))) == 1
    other.execute("ROLLBACK")
    other.close()


# --- stores that cannot be used ----------------------------------------------------------------


def test_the_store_is_its_owners_alone(store: Store) -> None:
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600


def test_a_layout_of_a_newer_release_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with Store(path):
        pass
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StoreError, match="99") as caught:
        Store(path)
    assert "Update" in caught.value.next
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA user_version").fetchone() == (99,)
    database.close()


def test_a_file_that_is_no_database_is_a_store_error(tmp_path: Path) -> None:
    path, content = tmp_path / "store.db", b"not a database, but long enough to look at" * 100
    path.write_bytes(content)
    with pytest.raises(StoreError, match="cannot be used"):
        Store(path)
    assert path.read_bytes() == content


def test_a_store_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError):
        Store(tmp_path / "file" / "store.db")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError):
        Store(tmp_path / "folder")


def test_threat_45_damaged_pages_are_a_store_error_or_absence_never_wrong_bytes(
    tmp_path: Path,
) -> None:
    path = tmp_path / "home" / "store.db"
    files = {f"{number}": b"%d" % number for number in range(500)}
    with Store(path) as store:
        manifest = put(store, tmp_path / "tool", files)
    whole = path.read_bytes()
    wanted = [manifest, *map(digest, files.values())]
    outcomes = set()
    for page in range(1, len(whole) // 4096):
        damaged = whole[: page * 4096] + b"\xa5" * 4096 + whole[(page + 1) * 4096 :]
        path.write_bytes(damaged)
        for side in ("-wal", "-shm"):
            path.with_name(path.name + side).unlink(missing_ok=True)
        try:
            with Store(path) as store:
                reader = BlockReader(store)
                for each in wanted[::25]:
                    found = reader.read(each)
                    outcomes.add("absent" if found is None else "found")
                    assert found is None or digest(found) == each
        except StoreError:
            outcomes.add("error")
    assert "error" in outcomes
    assert "found" in outcomes


def test_a_closed_store_is_a_store_error(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    store.close()
    with pytest.raises(StoreError):
        store.places(bytes(32))


def test_a_store_opens_for_reading_while_another_process_writes(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    Store(path).close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with Store(path) as store:
        assert store.releases() == []
    other.execute("ROLLBACK")
    other.close()


@pytest.mark.parametrize(
    ("change", "use"),
    [
        ("UPDATE piece SET number = 'x'", lambda store: list(store.each_place())),
        ("UPDATE block SET offset = 'x'", lambda store: list(store.each_place())),
        ("UPDATE release SET folder = 'text'", lambda store: store.releases()),
        ("UPDATE release SET folder = 'text'", lambda store: store.collect(lambda _: [])),
        ("UPDATE release SET size = x'00'", lambda store: store.releases()),
        ("UPDATE import SET roots = 'zz'", lambda store: store.imports()),
    ],
)
def test_threat_45_values_of_another_kind_are_a_store_error(
    store: Store, tmp_path: Path, change: str, use: Callable[[Store], object]
) -> None:
    put(store, tmp_path / "release", {"file": b"bytes"})
    store.add_import("name.car", b"", 10, [(bytes(32), 0, 10)])
    with sqlite3.connect(store.path) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(change)
    connection.close()
    with pytest.raises(StoreError):
        use(store)
