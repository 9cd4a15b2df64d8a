"""Trees get from this project's code the very CIDs that the real Kubo gives (spec v1, section 8)."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import pytest
import urllib3
from hypothesis import example
from hypothesis import strategies as st

from integrity.core.paths import PATH_LIMIT, fold
from integrity.core.pieces import PIECE_SIZE
from integrity.core.tree import TreeBuilder
from integrity.core.unixfs import FANOUT, SHARD_THRESHOLD, file_node, name_hash
from integrity.disk.building import Naming, ReleaseBuilder
from integrity.disk.temporary import TemporaryScratch
from tests.core import plain_unixfs as plain
from tests.core.releases import PUBLISHER, is_safe, safe_paths
from tests.core.unhurried import given, settings
from tests.disk.helpers import MIB, entry_of, pattern, write_tree

from .kubos import Kubo

NAMING = Naming(PUBLISHER, "tool", "1.0.0")
BOUNDARIES = [0, 1, MIB - 1, MIB, MIB + 1, 2 * MIB - 1, 2 * MIB, 2 * MIB + 1, 5 * MIB - 1]

Tree = Mapping[str, bytes]
"""What each file holds, by path."""


# --- the two sides -------------------------------------------------------------------------------


def by_kubo(kubo: Kubo, tree: Tree) -> str:
    """The CID that a daemon gives a folder; it is told of the files, and nothing is on disk."""
    options = "only-hash=true&pin=false&progress=false&silent=true"
    answer = urllib3.request(
        "POST",
        f"{kubo.api}/api/v0/add?{options}",
        body=b"".join(_multipart(tree)),
        headers={"Content-Type": "multipart/form-data; boundary=next"},
        timeout=None,
        retries=False,
    )
    assert answer.status == 200, answer.data
    last = json.loads(answer.data.splitlines()[-1])
    assert last["Name"] == "root", last
    return str(last["Hash"])


def _multipart(tree: Tree) -> Iterator[bytes]:
    """A form of Kubo's kind: each folder before what is in it."""
    seen = {"root"}
    yield from _part("root", b"application/x-directory", b"")
    for path in sorted(tree, key=lambda path: path.split("/")):
        *folders, _ = path.split("/")
        for folder in itertools.accumulate(["root", *folders], "{}/{}".format):
            if folder not in seen:
                seen.add(folder)
                yield from _part(folder, b"application/x-directory", b"")
        yield from _part(f"root/{path}", b"application/octet-stream", tree[path])
    yield b"--next--\r\n"


def _part(name: str, kind: bytes, content: bytes) -> Iterator[bytes]:
    yield b'--next\r\nContent-Disposition: form-data; name="file"; filename="'
    yield quote(name, safe="").encode() + b'"\r\nContent-Type: ' + kind + b"\r\n\r\n"
    yield content
    yield b"\r\n"


def from_disk(folder: Path) -> str:
    """The content root of a release of that folder."""
    with ReleaseBuilder(folder, NAMING, whole_digests=False) as built:
        return str(built.build().content)


def in_memory(tree: Tree) -> str:
    """The content root of a release of these files."""
    with TemporaryScratch() as scratch:
        builder = TreeBuilder(scratch)
        for path in sorted(tree, key=str.encode):
            entry = entry_of(path, tree[path])
            builder.add(path, file_node(entry.size, entry.digests))
        return str(builder.finish().cid)


def assert_parity(kubo: Kubo, tree: Tree) -> None:
    assert in_memory(tree) == by_kubo(kubo, tree)


# --- any tree ------------------------------------------------------------------------------------

_dotted = st.text("ab.-_ é", min_size=1, max_size=6).map(lambda name: f".{name}x")
_long = st.sampled_from("a\u00e9\u6f22\U0001f600").map(
    lambda sign: sign * (250 // len(sign.encode()))
)
_few = st.sampled_from(["a", "a-", "a.b", "a0", "\uff5e", "\U0001f600"])
_paths = safe_paths | st.lists(_dotted | _long | _few, min_size=1, max_size=12).map("/".join)
_contents = st.binary(max_size=40) | st.integers(0, 300).map(pattern)
_large = st.builds(pattern, st.sampled_from(BOUNDARIES), st.integers(0, 250))


def without_clashes(tree: Tree) -> Tree:
    """Those that a release may hold beside one another: no file is a folder, no two names are one
    in another case.
    """
    taken: dict[str, tuple[str, bool]] = {}
    kept = {}
    for path, content in tree.items():
        steps = itertools.accumulate(path.split("/"), "{}/{}".format)
        claims = {fold(step): (step, step == path) for step in steps}
        if all(taken.get(key, claim) == claim for key, claim in claims.items()) and (
            fold(path) not in taken
        ):
            taken |= claims
            kept[path] = content
    return kept


def trees(contents: st.SearchStrategy[bytes], most: int) -> st.SearchStrategy[Tree]:
    paths = _paths.filter(lambda path: len(path.encode()) <= PATH_LIMIT // 2 and is_safe(path))
    files = st.dictionaries(paths, contents, min_size=1, max_size=most)
    return files.map(without_clashes)


def same_on_disk(kubo: Kubo, tree: Tree) -> None:
    with tempfile.TemporaryDirectory() as name:
        write_tree(Path(name), tree)
        assert from_disk(Path(name)) == by_kubo(kubo, tree) == in_memory(tree)


@settings(max_examples=250)
@given(tree=trees(_contents, 30))
@example({"/".join(["d"] * 600): b""})
def test_any_tree_has_kubos_cid(kubo: Kubo, tree: Tree) -> None:
    assert_parity(kubo, tree)


@settings(max_examples=120)
@given(tree=trees(_contents | _large, 8))
def test_any_folder_on_disk_has_kubos_cid(kubo: Kubo, tree: Tree) -> None:
    same_on_disk(kubo, tree)


@pytest.mark.long
@settings(max_examples=5000)
@given(tree=trees(_contents, 60))
@example({"/".join(["d"] * (PATH_LIMIT // 2)): b""})
def test_very_many_trees_have_kubos_cids(kubo: Kubo, tree: Tree) -> None:
    assert_parity(kubo, tree)


@pytest.mark.long
@settings(max_examples=1000)
@given(tree=trees(_contents | _large, 12))
def test_very_many_folders_on_disk_have_kubos_cids(kubo: Kubo, tree: Tree) -> None:
    same_on_disk(kubo, tree)


def test_kubo_reads_the_same_folder_from_disk(kubo: Kubo, tmp_path: Path) -> None:
    """The other tests tell Kubo of files; here it walks, past dot files, modes and times."""
    tree = {
        ".hidden": b"1",
        ".git/config": b"2",
        "bin/tool": pattern(2 * MIB + 5),
        "empty": b"",
        "a-b": b"sorts before a/",
        "a/b/c/\u6f22\u5b57 \U0001f600.txt": b"3",
        "n\u00e4me": b"4",
    }
    write_tree(tmp_path, tree)
    (tmp_path / "bin" / "tool").chmod(0o755)
    (tmp_path / "empty").chmod(0o400)
    theirs = kubo.run("add", "-r", "-H", "-Q", "--only-hash", tmp_path).decode().strip()
    assert from_disk(tmp_path) == theirs == by_kubo(kubo, tree)


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", BOUNDARIES)
def test_a_file_at_a_boundary_has_kubos_cid(kubo: Kubo, size: int) -> None:
    same_on_disk(kubo, {"file": pattern(size, size % 251)})


def write_sparse(path: Path, size: int) -> None:
    """A file that is mostly holes, but no two pieces of it are alike."""
    with path.open("wb") as file:
        file.truncate(size)
        for at in range(0, size, PIECE_SIZE):
            file.seek(at)
            file.write((at + 1).to_bytes(8, "little")[: size - at])


def same_when_sparse(node: Kubo, folder: Path, size: int) -> None:
    write_sparse(folder / "file", size)
    theirs = node.run("add", "-r", "-H", "-Q", "--only-hash", folder).decode().strip()
    assert from_disk(folder) == theirs


LEVEL = FANOUT * PIECE_SIZE
"""The most that a file of two levels holds."""


@pytest.mark.parametrize("size", [LEVEL - PIECE_SIZE, LEVEL, LEVEL + 1])
def test_a_file_of_about_1024_leaves_has_kubos_cid(
    new_kubo: Callable[..., Kubo], tmp_path: Path, size: int
) -> None:
    # Without a daemon, to which everything would be sent first.
    same_when_sparse(new_kubo(), tmp_path, size)


@pytest.mark.long
@pytest.mark.parametrize(
    "size", [LEVEL - 1, LEVEL + PIECE_SIZE, 2 * LEVEL - 1, 2 * LEVEL, 2 * LEVEL + 1, 9 * LEVEL + 7]
)
def test_a_large_file_has_kubos_cid(
    new_kubo: Callable[..., Kubo], tmp_path: Path, size: int
) -> None:
    same_when_sparse(new_kubo(), tmp_path, size)


# --- directories about the threshold -------------------------------------------------------------


def link_size(name: int, tsize: int) -> int:
    """Bytes of a link in a directory's block."""
    entry = plain.Entry(bytes(name), plain.Root(bytes(36), tsize))
    return len(plain.pb_node([entry], b"")) - len(plain.pb_node([], b""))


def plain_size(tree: Tree) -> int:
    """Bytes of the block if the folder of these small files were a plain directory."""
    links = (link_size(len(name.encode()), len(content)) for name, content in tree.items())
    return len(plain.pb_node([], b"\x08\x01")) + sum(links)


def folder_of(total: int, name_size: int, content: bytes, sign: str = "a") -> dict[str, bytes]:
    """Files whose plain directory has ``total`` bytes; all but two names have ``name_size`` bytes."""

    def name(number: int) -> str:
        room, size = name_size - 4, len(sign.encode())
        return sign * (room // size) + "a" * (room % size) + f"{number:04x}"

    each = link_size(name_size, len(content))
    tree = {name(number): content for number in range(total // each - 8)}
    rest = total - plain_size(tree)
    sizes = {link_size(size, len(content)): size for size in range(8, 256)}
    whole = {name(60_000 + n): content for n in range(9)}
    for more in range(9):
        for one, size in sizes.items():
            other = sizes.get(rest - more * each - one)
            if other is not None:
                tree |= dict(itertools.islice(whole.items(), more))
                return tree | {"y" * size: content, "z" * other: content}
    raise AssertionError(f"no folder of {total} bytes with names of {name_size}")


NAME_SIZES = [4, 41, 130, 255]


@pytest.mark.parametrize("name_size", NAME_SIZES)
@pytest.mark.parametrize("beyond", [-1, 0, 1])
@pytest.mark.parametrize("content", [b"", b"x" * 130], ids=["empty files", "files of 130 bytes"])
def test_a_directory_within_a_byte_of_the_threshold_has_kubos_cid(
    kubo: Kubo, name_size: int, beyond: int, content: bytes
) -> None:
    tree = folder_of(SHARD_THRESHOLD + beyond, name_size, content)
    assert plain_size(tree) == SHARD_THRESHOLD + beyond
    assert_parity(kubo, tree)


@pytest.mark.parametrize("name_size", NAME_SIZES)
def test_a_directory_an_entry_off_the_threshold_has_kubos_cid(kubo: Kubo, name_size: int) -> None:
    tree = folder_of(SHARD_THRESHOLD, name_size, b"")
    fewer = dict(list(tree.items())[1:])
    more = tree | {"." + "b" * (name_size - 1): b""}
    assert plain_size(fewer) < SHARD_THRESHOLD < plain_size(more)
    assert_parity(kubo, fewer)
    assert_parity(kubo, more)


_sized = st.tuples(
    st.integers(-40, 40),
    st.integers(8, 255),
    _contents,
    st.sampled_from("a.\u00e9\u6f22\U0001f600"),
)


@settings(max_examples=15)
@given(shape=_sized)
def test_any_directory_about_the_threshold_has_kubos_cid(
    kubo: Kubo, shape: tuple[int, int, bytes, str]
) -> None:
    beyond, name_size, content, sign = shape
    assert_parity(kubo, folder_of(SHARD_THRESHOLD + beyond, name_size, content, sign))


@pytest.mark.long
@settings(max_examples=150)
@given(shape=_sized)
def test_very_many_directories_about_the_threshold_have_kubos_cids(
    kubo: Kubo, shape: tuple[int, int, bytes, str]
) -> None:
    beyond, name_size, content, sign = shape
    assert_parity(kubo, folder_of(SHARD_THRESHOLD + beyond, name_size, content, sign))


def test_the_threshold_counts_what_is_below_a_directory(kubo: Kubo) -> None:
    """The Tsize of a folder in it is longer the more the folder holds, which decides."""
    for filling in range(100, 140, 8):
        tree = folder_of(SHARD_THRESHOLD - 70, 60, b"")
        assert_parity(kubo, tree | {"sub/file": pattern(filling)})
        assert_parity(kubo, tree | {"sub/file": pattern(filling), "sub/other": pattern(MIB + 1)})


# --- sharded directories -------------------------------------------------------------------------


def many(count: int, prefix: str = "") -> dict[str, bytes]:
    return {f"{prefix}{n:06d}-\u00e9{'x' * 200}": b"" for n in range(count)}


def test_sharded_directories_within_one_another_have_kubos_cid(kubo: Kubo) -> None:
    tree = many(1100) | many(1100, "a/") | many(1000, "a/b/") | many(1300, "a/b/c/") | many(5, "d/")
    assert_parity(kubo, tree)


def with_shared_hashes(count: int) -> dict[str, bytes]:
    """Names of which each shares three bytes of its hash, or more, with another."""
    found = defaultdict(list)
    for number in range(count):
        name = f"n{number:06x}"
        found[name_hash(name.encode())[:3]].append(name)
    return {name: b"" for names in found.values() if len(names) > 1 for name in names}


def test_a_deeply_sharded_directory_has_kubos_cid(kubo: Kubo) -> None:
    tree = with_shared_hashes(350_000)
    assert plain_size(tree) > SHARD_THRESHOLD
    hashes = sorted(name_hash(name.encode()) for name in tree)
    assert any(one[:4] == other[:4] for one, other in itertools.pairwise(hashes))
    assert_parity(kubo, tree)


@pytest.mark.long
@pytest.mark.parametrize("count", [70_000, 270_000])
def test_a_large_directory_has_kubos_cid(kubo: Kubo, count: int) -> None:
    assert_parity(kubo, {f"{n:x}": b"%x" % (n % 99) for n in range(count)})


@pytest.mark.long
def test_a_large_deeply_sharded_directory_has_kubos_cid(kubo: Kubo) -> None:
    assert_parity(kubo, with_shared_hashes(1_500_000))


@pytest.mark.long
def test_many_small_folders_on_disk_have_kubos_cid(kubo: Kubo, tmp_path: Path) -> None:
    tree = {f"{n % 7}/{n % 113}/{n % 1009:x}/.{n}": b"%d" % n for n in range(12_000)}
    write_tree(tmp_path, tree)
    theirs = kubo.run("add", "-r", "-H", "-Q", "--only-hash", tmp_path).decode().strip()
    assert from_disk(tmp_path) == theirs == by_kubo(kubo, tree) == in_memory(tree)
