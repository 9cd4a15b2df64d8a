"""spec/vectors/unixfs.json: the CIDs that Kubo gives (spec v1, sections 3.3 and 8)."""

from __future__ import annotations

import pytest

from integrity.core.tree import TreeBuilder
from integrity.core.unixfs import Node, file_node
from integrity.disk.temporary import TemporaryScratch

from . import honest, recipes
from .recipes import Case

plain = honest.plain


def file_nodes(case: Case) -> dict[str, Node]:
    return {
        file.path: file_node(file.size, b"".join(recipes.digests(file)))
        for file in recipes.tree_files(case["tree"])
    }


@pytest.mark.parametrize("case", recipes.parameters("unixfs"))
def test_a_tree_has_the_cids_that_kubo_gives_it(case: Case) -> None:
    emitted: set[bytes] = set()
    nodes = file_nodes(case)
    with TemporaryScratch() as scratch:
        tree = TreeBuilder(scratch, lambda digest, _: emitted.add(digest))
        for path in sorted(nodes, key=str.encode):
            tree.add(path, nodes[path])
        root = tree.finish()
    assert str(root.cid) == case["content"]
    assert root.cid.digest in emitted
    for path, cid in case.get("cids", {}).items():
        if path in nodes:
            assert str(nodes[path].cid) == cid, path
        else:
            assert honest.binary(cid)[4:] in emitted, path


@pytest.mark.parametrize("case", recipes.parameters("unixfs"))
def test_the_plain_reference_agrees_with_kubo(case: Case) -> None:
    files = recipes.tree_files(case["tree"])
    roots = [(f.path.encode(), plain.file(f.size, recipes.digests(f))) for f in files]
    assert str(plain.tree(roots)) == case["content"]


def test_the_vectors_reach_what_they_are_for() -> None:
    """A threshold that is missed by a byte, or hashes that differ earlier, would test nothing."""
    cases = {case["name"]: case for case in recipes.load("unixfs")["cases"]}

    def plain_size(name: str) -> int:
        entries = [
            plain.Entry(f.path.encode(), plain.file(f.size, recipes.digests(f)))
            for f in recipes.tree_files(cases[name]["tree"])
        ]
        return len(plain.pb_node(sorted(entries), b"\x08\x01"))

    assert plain_size("a plain directory of 262143 bytes") == 262_143
    assert plain_size("a plain directory of 262144 bytes") == 262_144
    assert plain_size("a sharded directory, 262145 bytes if it were plain") == 262_145
    assert plain_size("the threshold counts the final Tsizes") == 262_145

    def hashes(name: str) -> list[bytes]:
        found = [text for item in cases[name]["tree"] if (text := item.get("path"))]
        return [plain.murmur3(path.encode()) for path in found]

    one, other = hashes("hashes that share seven of eight bytes")
    assert one[:7] == other[:7]
    assert one[7] != other[7]
    assert hashes("hashes of all zeros and all ones") == [bytes(8), b"\xff" * 8]
    one, other = hashes("equal hashes in a plain directory")
    assert one == other
