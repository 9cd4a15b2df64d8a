"""spec/vectors/publishers.json: what sites say of their publishers (spec v1, section 6.7)."""

from __future__ import annotations

import pytest

from integrity.errors import FormatError
from integrity.trust.introduction import parse_introduction

from . import recipes
from .recipes import Case


def document(case: Case) -> bytes:
    return b"".join(recipes.expand(case["document"]))


@pytest.mark.parametrize("case", recipes.parameters("publishers", "good"))
def test_what_a_site_says_of_each_publisher(case: Case) -> None:
    alias = "acme"
    found = parse_introduction(document(case), alias)
    told = case["publishers"]
    assert [(entry.chain_id, entry.publisher) for entry in found] == [
        (one["chain"], one["publisher"]) for one in told
    ]
    for entry, one in zip(found, told, strict=True):
        if len(told) == 1:
            assert entry.alias == alias
        elif one["name"] is not None:
            assert entry.alias == f"{alias}-{one['name']}"


@pytest.mark.parametrize("case", recipes.parameters("publishers", "bad"))
def test_one_fault_makes_the_whole_document_malformed(case: Case) -> None:
    with pytest.raises(FormatError) as caught:
        parse_introduction(document(case), "acme")
    assert caught.value.name == case["reason"]
