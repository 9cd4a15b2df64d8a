"""spec/vectors/paths.json, names.json and links.json (spec v1, sections 2, 3.2 and 5)."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from eth_utils.address import to_checksum_address

from integrity.core.links import AliasLink, Link, parse_link
from integrity.core.names import check_package, check_version, parse_address
from integrity.core.paths import check_path, fold
from integrity.core.tree import TreeBuilder
from integrity.core.unixfs import file_node
from integrity.disk.temporary import TemporaryScratch
from integrity.errors import AddressMalformed, FormatError, NameCollision

from . import recipes
from .recipes import Case

_NODE = file_node(1, bytes(32))


def build(paths: list[str]) -> None:
    """A tree of these paths, which must be in order."""
    with TemporaryScratch() as scratch:
        tree = TreeBuilder(scratch)
        for path in paths:
            tree.add(path, _NODE)
        tree.finish()


# --- paths ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", recipes.parameters("paths", "safe"))
def test_a_safe_path_is_accepted(case: Case) -> None:
    path = recipes.text(case["path"])
    assert check_path(path) == path.split("/")
    build([path])


@pytest.mark.parametrize("case", recipes.parameters("paths", "unsafe"))
def test_an_unsafe_path_is_refused(case: Case) -> None:
    path = recipes.text(case["path"])
    with pytest.raises(FormatError) as caught:
        check_path(path)
    assert caught.value.name == case["reason"]
    if path:  # a tree takes the empty path for one out of order
        with pytest.raises(FormatError) as caught:
            build([path])
        assert caught.value.name == case["reason"]


@pytest.mark.parametrize("case", recipes.parameters("paths", "colliding"))
def test_colliding_paths_are_refused_together(case: Case) -> None:
    for path in case["paths"]:
        build([path])
    with pytest.raises(NameCollision) as caught:
        build(case["paths"])
    assert len(caught.value.evidence["paths"]) == 2


@pytest.mark.parametrize("case", recipes.parameters("paths", "distinct"))
def test_distinct_paths_are_accepted_together(case: Case) -> None:
    build(case["paths"])
    for one, other in itertools.combinations(case["paths"], 2):
        build([one, other])


@pytest.mark.parametrize("case", recipes.parameters("paths", "folds"))
def test_a_name_folds_as_unicode_says(case: Case) -> None:
    assert fold(case["name"]) == case["folded"]
    assert fold(case["folded"]) == case["folded"]


# --- packages, versions, addresses ----------------------------------------------------------------


@pytest.mark.parametrize("case", recipes.parameters("names", "packages_good"))
def test_a_good_package_is_accepted(case: Case) -> None:
    assert check_package(recipes.text(case["text"])) == recipes.text(case["text"])


@pytest.mark.parametrize("case", recipes.parameters("names", "packages_bad"))
def test_a_bad_package_is_refused(case: Case) -> None:
    with pytest.raises(FormatError):
        check_package(recipes.text(case["text"]))


@pytest.mark.parametrize("case", recipes.parameters("names", "versions_good"))
def test_a_good_version_is_accepted(case: Case) -> None:
    assert check_version(recipes.text(case["text"])) == recipes.text(case["text"])


@pytest.mark.parametrize("case", recipes.parameters("names", "versions_bad"))
def test_a_bad_version_is_refused(case: Case) -> None:
    with pytest.raises(FormatError):
        check_version(recipes.text(case["text"]))


@pytest.mark.parametrize("case", recipes.parameters("names", "addresses_good"))
def test_a_good_address_has_one_spelling(case: Case) -> None:
    assert parse_address(case["text"]) == case["canonical"] == to_checksum_address(case["text"])


@pytest.mark.parametrize("case", recipes.parameters("names", "addresses_bad"))
def test_threat_42_a_bad_address_is_refused(case: Case) -> None:
    with pytest.raises(AddressMalformed):
        parse_address(case["text"])


# --- links ---------------------------------------------------------------------------------------


def texts(values: list[Any]) -> tuple[str, ...]:
    return tuple(recipes.text(value) for value in values)


@pytest.mark.parametrize("case", recipes.parameters("links", "good"))
def test_a_good_link_says_what_it_says(case: Case) -> None:
    link = parse_link(recipes.text(case["text"]))
    if case["kind"] == "alias":
        assert link == AliasLink(case["alias"], case["package"], case["version"])
        return
    assert isinstance(link, Link)
    assert link == Link(
        case["chain_id"],
        case["publisher"],
        case["package"],
        case["version"],
        texts(case["from"]),
        texts(case["btmh"]),
        None if case["pin"] is None else bytes.fromhex(case["pin"]),
    )
    canonical = recipes.text(case["canonical"])
    assert str(link) == canonical
    assert parse_link(canonical) == link


@pytest.mark.parametrize("case", recipes.parameters("links", "bad"))
def test_a_bad_link_is_refused(case: Case) -> None:
    with pytest.raises(FormatError) as caught:
        parse_link(recipes.text(case["text"]))
    assert caught.value.name == case["reason"]
