"""Links: what is written is read back, and nothing but malformed is ever raised."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from integrity.core.links import HINT_LIMIT, LINK_LIMIT, AliasLink, Link, parse_link
from integrity.core.names import checksum_address
from integrity.errors import FormatError, LimitExceeded, LinkMalformed

from .unhurried import example, given

packages = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True)
versions = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9.+~_-]{0,63}", fullmatch=True)
hints = st.lists(st.text(st.characters(codec="utf-8"), max_size=20), max_size=5).map(tuple)

links = st.builds(
    Link,
    st.integers(1, 2**53 - 1),
    st.binary(min_size=20, max_size=20).map(checksum_address),
    packages,
    st.none() | versions,
    hints,
    hints,
    st.none() | st.binary(min_size=32, max_size=32),
)


@given(links)
def test_a_link_is_read_back_as_it_was_written(link: Link) -> None:
    text = str(link)
    assert parse_link(text) == link
    assert text.isascii()
    assert not set(text) & set(" \"<>\\^`{|}'()!*;$[]")


@given(links)
def test_a_publisher_may_stand_in_lower_case(link: Link) -> None:
    text = str(link).replace(link.publisher, link.publisher.lower())
    assert parse_link(text) == link


@given(links.filter(lambda link: not link.publisher[2:].isdigit()), st.data())
def test_one_letters_case_in_a_publisher_is_noticed(link: Link, data: st.DataObject) -> None:
    letters = [i for i, char in enumerate(link.publisher) if i > 1 and char.isalpha()]
    at = data.draw(st.sampled_from(letters))
    other = link.publisher[:at] + link.publisher[at].swapcase() + link.publisher[at + 1 :]
    if other == link.publisher.lower():  # which claims no checksum
        return
    with pytest.raises(FormatError) as caught:
        parse_link(str(link).replace(link.publisher, other))
    assert caught.value.name == "AddressMalformed"


@given(st.text(st.characters(codec=None), max_size=60))
@example("a/\ud800")
@example("integrity:1:0x0000000000000000000000000000000000000000/a?x=%ff")
@example("integrity:9999999999999999:0x0000000000000000000000000000000000000000/a")
@example("integrity:1:0x0000000000000000000000000000000000000000/a\n")
def test_arbitrary_texts_raise_nothing_but_malformed(text: str) -> None:
    try:
        link = parse_link(text)
    except FormatError as error:
        assert len(error.message) < 2000  # noqa: PT017 - what is read is held to more below
    else:
        assert isinstance(link, (Link, AliasLink))
        assert text.isascii()


@given(links, st.data())
def test_whatever_is_read_is_written_in_one_way(link: Link, data: st.DataObject) -> None:
    text = str(link)
    at = data.draw(st.integers(0, len(text)))
    noise = data.draw(st.sampled_from(["%41", "?", "#", "&", "=", "@", "%", "+", "a", ":", "!"]))
    try:
        read = parse_link(text[:at] + noise + text[at:])
    except FormatError:
        return
    assert isinstance(read, Link)
    assert parse_link(str(read)) == read


def test_the_limits_hold_for_what_is_given_and_for_what_is_written() -> None:
    start = "integrity:1:0x0000000000000000000000000000000000000000/a?from="
    most = start + "x" * (LINK_LIMIT - len(start))
    assert len(str(parse_link(most))) == LINK_LIMIT
    with pytest.raises(LimitExceeded):
        parse_link(most + "x")
    with pytest.raises(LimitExceeded):
        parse_link(start + "!" * (LINK_LIMIT // 3))
    parse_link(start + "&from=" * (HINT_LIMIT - 1))
    with pytest.raises(LimitExceeded):
        parse_link(start + "&from=" * HINT_LIMIT)


def test_an_alias_is_no_link_and_cannot_carry_hints() -> None:
    assert parse_link("alice/tool@1") == AliasLink("alice", "tool", "1")
    for text in ("alice/tool?from=x", "alice/tool#" + "0" * 64, "alice"):
        with pytest.raises(LinkMalformed):
            parse_link(text)
