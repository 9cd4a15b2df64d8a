"""Files, directories and shards against the plain reference (spec v1, section 8)."""

from __future__ import annotations

import functools
import hashlib
import unicodedata
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import strategies as st

from integrity.core import tree as tree_module
from integrity.core import unixfs
from integrity.core.cid import DAG_PB, RAW, Cid
from integrity.core.paths import fold
from integrity.core.pieces import PIECE_SIZE
from integrity.core.sorting import ExternalSorter
from integrity.core.tree import TreeBuilder
from integrity.core.unixfs import Node, file_node, name_hash, sharded_directory_node
from integrity.errors import FormatError, LimitExceeded, NameCollision, NonCanonical, UnsafePath

from . import plain_unixfs as plain
from .releases import MemoryScratch
from .unhurried import given, settings

NODE = file_node(5, hashlib.sha256(b"12345").digest())
ROOT = plain.file(5, [hashlib.sha256(b"12345").digest()])

# Made for the purpose: 32 bytes each, and one 64-bit hash.
SAME_HASH = ("N1Jh30alj4ztSI6RDLU^e{;-0iG}83=-", "Rgopas3DQw6Ou1xEM6x+p WSsvOhYZcP")


def build(paths: Sequence[str], scratch: MemoryScratch | None = None) -> Node:
    tree = TreeBuilder(scratch or MemoryScratch())
    for path in paths:
        tree.add(path, NODE)
    return tree.finish()


def reference(paths: Sequence[str]) -> plain.Root:
    return plain.tree((path.encode(), ROOT) for path in paths)


def assert_same(node: Node, root: plain.Root) -> None:
    assert (bytes(node.cid), node.tsize) == root


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 1023, 1024, 1025, 2048, 2049])
@pytest.mark.parametrize("last", [1, PIECE_SIZE])
def test_a_file_is_a_balanced_tree(count: int, last: int) -> None:
    size = (count - 1) * PIECE_SIZE + last
    digests = [hashlib.sha256(bytes((n % 251, n // 251))).digest() for n in range(count)]
    blocks: dict[bytes, bytes] = {}
    node = file_node(size, b"".join(digests), blocks.__setitem__)
    assert_same(node, plain.file(size, digests))
    assert all(hashlib.sha256(block).digest() == digest for digest, block in blocks.items())
    assert (node.cid.digest in blocks) == (count > 1)


@given(st.integers(1, 200), st.integers(2, 5))
def test_a_file_of_many_levels_is_a_balanced_tree(count: int, fanout: int) -> None:
    """With fewer links a node, so that levels come cheaply; the third needs 2^20 + 1 pieces."""
    digests = [hashlib.sha256(bytes((n,))).digest() for n in range(count)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unixfs, "FANOUT", fanout)
        patch.setattr(plain, "FANOUT", fanout)
        node = file_node(count * PIECE_SIZE - 1, b"".join(digests))
        assert_same(node, plain.file(count * PIECE_SIZE - 1, digests))


@pytest.mark.parametrize(
    ("size", "digests"), [(0, 0), (0, 64), (1, 31), (PIECE_SIZE + 1, 32), (2, 64)]
)
def test_digests_that_do_not_fit_a_size_are_refused(size: int, digests: int) -> None:
    with pytest.raises(FormatError):
        file_node(size, bytes(digests))


# --- shards --------------------------------------------------------------------------------------


@given(st.text(max_size=80))
def test_a_name_is_placed_by_murmur3(name: str) -> None:
    assert name_hash(name.encode()) == plain.murmur3(name.encode())


hashes = st.lists(st.sampled_from([0, 1, 0x7F, 0xFF]), min_size=8, max_size=8).map(bytes)


@given(st.sets(hashes, min_size=1, max_size=60))
def test_a_shard_is_built_in_one_pass_as_by_recursion(placed: set[bytes]) -> None:
    """Hashes of few different bytes, so that many share most of them."""
    names = {f"name-{hashed.hex()}".encode(): hashed for hashed in placed}

    def items() -> Iterator[tuple[bytes, bytes, bytes, int]]:
        for name, hashed in sorted(names.items(), key=lambda item: item[1]):
            yield hashed, name, ROOT.cid, ROOT.tsize

    entries = [plain.Entry(name, ROOT) for name in names]
    emitted: dict[bytes, bytes] = {}
    node = sharded_directory_node(items(), emitted.__setitem__)
    assert_same(node, plain.shard(entries, names.__getitem__))
    assert list(emitted)[-1] == node.cid.digest


def test_names_of_one_hash_are_refused_where_they_cannot_stand() -> None:
    one, other = (name.encode() for name in SAME_HASH)
    assert name_hash(one) == name_hash(other)
    items = iter([(name_hash(name), name, ROOT.cid, 5) for name in (one, other)])
    with pytest.raises(NameCollision):
        sharded_directory_node(items)


def test_names_of_one_hash_are_refused_in_a_sharded_directory_only() -> None:
    few = sorted(SAME_HASH)
    assert_same(build(few), reference(few))
    with pytest.raises(NameCollision):
        build(sorted([*SAME_HASH, *(f"a{n:06d}123" for n in range(4900))]))


# --- trees ---------------------------------------------------------------------------------------

_parts = st.sampled_from(
    ["a", "b", "a-", "a.b", "a0", "-", "\u00e9", "\U0001f600", "\uff5e", "zz" * 40]
)
paths_of_a_tree = st.sets(
    st.lists(_parts, min_size=1, max_size=4).map("/".join), min_size=1, max_size=40
)


def without_files_that_are_folders(paths: set[str]) -> list[str]:
    kept = {p for p in paths if not any(q.startswith(p + "/") for q in paths)}
    return sorted(kept, key=str.encode)


@given(paths_of_a_tree)
def test_a_tree_is_built_in_one_pass_as_by_recursion(paths: set[str]) -> None:
    files = without_files_that_are_folders(paths)
    assert_same(build(files), reference(files))


@settings(max_examples=60)
@given(paths_of_a_tree, st.integers(1, 9), st.sampled_from([60, 200, 400]))
def test_a_tree_that_spills_and_shards_is_the_same(
    paths: set[str], limit: int, threshold: int
) -> None:
    files = without_files_that_are_folders(paths)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree_module, "SHARD_THRESHOLD", threshold)
        patch.setattr(plain, "THRESHOLD", threshold)
        patch.setattr(tree_module, "ExternalSorter", functools.partial(ExternalSorter, limit=limit))
        assert_same(build(files), reference(files))


def test_many_names_spill_and_the_root_stays_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"name-{n:06d}-{'x' * (n % 40)}" for n in range(9000)]
    unspilled = build(names)
    scratch = MemoryScratch()
    monkeypatch.setattr(tree_module, "ExternalSorter", functools.partial(ExternalSorter, limit=100))
    assert build(names, scratch) == unspilled
    assert len(scratch.held) > 9000 * 60
    assert_same(unspilled, reference(names))


def test_a_path_of_2048_levels_needs_no_recursion() -> None:
    root = ROOT
    for _ in range(2048):
        root = plain.directory([plain.Entry(b"a", root)])
    assert_same(build(["/".join(["a"] * 2048)]), root)


def test_nodes_are_emitted_children_first() -> None:
    seen: set[bytes] = set()
    blocks: dict[bytes, bytes] = {}

    def emit(digest: bytes, block: bytes) -> None:
        cids = [
            block[i + 4 : i + 36]
            for i in range(len(block))
            if block[i : i + 4] == b"\x01\x70\x12\x20"
        ]
        assert all(cid in seen for cid in cids)
        seen.add(digest)
        blocks[digest] = block

    tree = TreeBuilder(MemoryScratch(), emit)
    for n in range(5000):
        tree.add(f"d/{n:05d}-{'x' * 20}/file", NODE)
    root = tree.finish()
    assert list(blocks)[-1] == root.cid.digest


# --- what a tree refuses -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paths", "error"),
    [
        (["b", "a"], NonCanonical),
        (["a", "a"], NonCanonical),
        (["a/x", "a-b"], NonCanonical),
        (["\U0001f600", "\uff5e"], NonCanonical),
        (["a/../b"], UnsafePath),
        (["a/x", "a/.."], NonCanonical),
        (["a/b", "a/con"], UnsafePath),
        (["con/b"], UnsafePath),
        (["\ud800"], UnsafePath),
        (["a/" * 2048 + "a"], LimitExceeded),
        (["A/x", "a/y"], NameCollision),
        (["a", "a-", "a/b"], NameCollision),
        (["a/B", "a/b/c"], NameCollision),
        (["A", "a/b/c/d"], NameCollision),
    ],
    ids=str,
)
def test_a_tree_refuses(paths: list[str], error: type[FormatError]) -> None:
    with pytest.raises(FormatError) as caught:
        build(paths)
    assert type(caught.value) is error


def test_a_collision_names_both_paths() -> None:
    with pytest.raises(NameCollision) as caught:
        build(["p/q/A", "p/q/a/z"])
    assert caught.value.evidence == {"paths": ["p/q/A", "p/q/a"]}


def test_colliding_names_are_found_in_a_sharded_directory_that_spilled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tree_module, "ExternalSorter", functools.partial(ExternalSorter, limit=64))
    names = [f"{n:05d}-{'x' * 60}" for n in range(3000)]
    assert_same(build(names), reference(names))
    with pytest.raises(NameCollision) as caught:
        build(sorted([*names, f"00007-{'x' * 59}X"]))
    assert len(caught.value.evidence["paths"]) == 2


@given(
    st.sets(
        st.text(
            st.sampled_from("aAbB\u00e9\u00c9\u03c3\u03c2\u03a3\u01f0\u0345"),
            min_size=1,
            max_size=2,
        )
        .map(lambda name: unicodedata.normalize("NFC", name))
        .filter(lambda name: name.isascii() or not unicodedata.combining(name[0])),
        max_size=8,
    )
)
def test_a_sharded_directory_refuses_the_names_that_a_plain_one_refuses(names: set[str]) -> None:
    listed = sorted(names, key=str.encode)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree_module, "SHARD_THRESHOLD", 0)
        if len({fold(name) for name in names}) == len(names):
            build(listed)
        else:
            with pytest.raises(NameCollision):
                build(listed)


def test_a_file_that_is_a_folder_is_found_in_a_sharded_directory() -> None:
    for name in ("a", "A"):
        paths = [name, f"{name}-", f"{name}/b", *(f"x{n:05}-{'y' * 60}" for n in range(3000))]
        with pytest.raises(NameCollision, match="at once"):
            build(paths)


# --- threat 22 -----------------------------------------------------------------------------------


def test_threat_22_a_node_offered_as_a_leaf_gives_another_root() -> None:
    digest = bytes(range(32))
    as_leaf, as_node = Node(Cid(RAW, digest), 100), Node(Cid(DAG_PB, digest), 100)
    roots = []
    for node in (as_leaf, as_node):
        tree = TreeBuilder(MemoryScratch())
        tree.add("a", node)
        roots.append(tree.finish())
    assert roots[0] != roots[1]


@pytest.mark.parametrize("count", [1, 2, 1023, 1024, 1025])
def test_threat_22_a_last_leaf_given_twice_gives_another_root(count: int) -> None:
    digests = bytes(32) * count
    once = file_node(count * PIECE_SIZE, digests)
    twice = file_node((count + 1) * PIECE_SIZE, digests + bytes(32))
    assert once.cid != twice.cid
    with pytest.raises(FormatError):
        file_node(count * PIECE_SIZE, digests + bytes(32))
