"""spec/vectors/root-blocks.json: what a recorded digest may stand for (spec v1, 3.5 and 8.6)."""

from __future__ import annotations

import pytest

from integrity.core.reading import manifest_leaves
from integrity.errors import FormatError
from tests.core import plain_unixfs as plain

from . import recipes
from .recipes import Case


def block_of(case: Case) -> bytes:
    return b"".join(recipes.expand(case["block"]))


def leaves_of(case: Case) -> list[bytes]:
    leaves = case["leaves"]
    if isinstance(leaves, dict):
        return [bytes.fromhex(leaves["repeat"])] * leaves["times"]
    return [bytes.fromhex(leaf) for leaf in leaves]


@pytest.mark.parametrize("case", recipes.parameters("root-blocks", "good"))
def test_a_good_root_block_gives_its_leaves(case: Case) -> None:
    assert manifest_leaves(block_of(case)) == (case["size"], b"".join(leaves_of(case)))


@pytest.mark.parametrize("case", recipes.parameters("root-blocks", "good"))
def test_a_good_root_block_is_the_one_of_its_leaves(case: Case) -> None:
    root = plain.file(case["size"], leaves_of(case))
    assert root == plain.Root(plain.node_cid(block_of(case)), len(block_of(case)) + case["size"])


@pytest.mark.parametrize("case", recipes.parameters("root-blocks", "bad"))
def test_a_bad_root_block_is_refused(case: Case) -> None:
    with pytest.raises(FormatError) as caught:
        manifest_leaves(block_of(case))
    assert len(caught.value.message) < 1000
