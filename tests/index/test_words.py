"""Words: what is found by what, and that nothing that people type is a query language."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from integrity.errors import UsageError
from integrity.index.database import Index
from integrity.index.searching import Query, Searching
from integrity.index.words import WORDS_LIMIT, Word, asked, expression, publisher_term, terms

from .chains import ACME, SCOPE, Chain, Release, synced

PACKAGES = ["my-tool.v2", "tool", "0ad", "a--b", "near", "or", "and", "not", "x" * 64]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("my-tool.v2", ["my", "tool", "v2"]),
        ("a--b_a", ["a", "b"]),
        ("Rock-SOLID, fast", ["rock", "solid", "fast"]),
        ("Größe ﬁt", ["grösse", "fit"]),
        ("...", []),
        ("", []),
        ('say "it\'s"', ["say", "it", "s"]),
        ("a\x00b\x1bc", ["a", "b", "c"]),
        ("\ue000\ue001 \udcff", []),
    ],
)
def test_a_text_is_found_by_its_parts(text: str, found: list[str]) -> None:
    assert terms(text) == found


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["Tool"], [Word("tool")]),
        (["my-tool", "v2"], [Word("my-tool"), Word("v2")]),
        (["my tool"], [Word("my"), Word("tool")]),
        (["acme/tool@1.2"], [Word("acme"), Word("tool", "1.2")]),
        (["tool@"], [Word("tool")]),
        (["@1.2"], [Word("", "1.2")]),
        (
            ["integrity:31337:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed/tool@1.0.0"],
            [Word("0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"), Word("tool", "1.0.0")],
        ),
        (["tool", "tool", "TOOL", "-"], [Word("tool")]),
    ],
)
def test_what_is_asked_for(given: list[str], words: list[Word]) -> None:
    assert asked(given) == words


@pytest.mark.parametrize("given", [[], [""], ["  "], ["*", "-", '"'], ["@"], ["\x00"]])
def test_no_word_at_all_is_refused(given: list[str]) -> None:
    with pytest.raises(UsageError, match="no word"):
        asked(given)


def test_too_many_words_are_refused() -> None:
    assert len(asked([f"w{n}" for n in range(WORDS_LIMIT)])) == WORDS_LIMIT
    with pytest.raises(UsageError, match="more than 32"):
        asked([f"w{n}" for n in range(WORDS_LIMIT + 1)])


def test_publishers_terms_are_private_and_different() -> None:
    found = {publisher_term(number) for number in range(20_000)}
    assert len(found) == 20_000
    assert not any(char.isprintable() for term in found for char in term)


def test_an_expression_quotes_every_part() -> None:
    found = expression([Word("or"), Word('ne-ar"*')], [[1], []])
    assert found == f'(("or"*) OR "{publisher_term(1)}") AND (("ne" AND "ar"*))'


@pytest.fixture(scope="module")
def filled() -> object:
    with TemporaryDirectory() as place, Index(Path(place) / "index.db") as index:
        chain = Chain()
        chain.mine([Release(name) for name in PACKAGES])
        synced(index, chain)
        yield index


HOSTILE = ['"', '""', "NEAR(a b)", "a AND", "OR", "NOT tool", "tool*", "^tool", "a:b", "{a b}", "-tool",
           "tool\x00", "\udcff", 'a"b*"', "'; DROP TABLE word; --", "\ue000", "\uf8ff\ue001", "terms:tool",
           "(", ")", "+", "tool + x", "0x", "0xzz", "0xabc", "ﬀ", "İ", "@", "a@'", "%", "_"]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_words_are_words(filled: Index, text: str) -> None:
    search(filled, [text])


def search(index: Index, given: list[str]) -> list[str]:
    try:
        words = asked(given)
    except UsageError:
        return []
    called = [[ACME] for _ in words]
    for query in (
        Query(words, [()] * len(words)), Query(words, called),
        Query(words, called, trusted=[ACME], only=ACME),
    ):  # fmt: skip
        found = Searching(index, SCOPE).run(query)
    assert set(PACKAGES) >= {hit.package for hit in found.hits}
    return [
        hit.package for hit in Searching(index, SCOPE).run(Query(words, [()] * len(words))).hits
    ]


@settings(deadline=None)
@example(['"'])
@example(["a\x00b"])
@given(st.lists(st.text(max_size=20), max_size=5))
def test_no_text_is_an_error_of_the_database(filled: Index, given: list[str]) -> None:
    search(filled, given)


@settings(deadline=None)
@given(st.sampled_from(PACKAGES), st.data())
def test_a_package_is_found_by_every_beginning_of_its_parts(
    filled: Index, package: str, data: st.DataObject
) -> None:
    part = data.draw(st.sampled_from(terms(package)))
    beginning = part[: data.draw(st.integers(1, len(part)))]
    assert package in search(filled, [beginning.upper()])
    assert package in search(filled, [beginning, package])
    assert package in search(filled, [package[: package.index(part) + len(beginning)]])
    assert package not in search(filled, [beginning, "zzz"])


@given(st.text(max_size=300))
def test_terms_have_nothing_that_a_query_could_trip_over(text: str) -> None:
    assert all(term.isalnum() for term in terms(text))
