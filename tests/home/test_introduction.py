"""``/.well-known/integrity.json``: what a site may say of its publishers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrity.errors import FormatError, UsageError
from integrity.trust import TrustedPublisher
from integrity.trust.introduction import FORMAT, LIMIT, parse_introduction, site_of

ADDRESS = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
OTHER = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"


def told(*publishers: Any, **more: Any) -> bytes:
    return json.dumps({"format": FORMAT, "publishers": publishers, **more}).encode()


def test_one_publisher_gets_the_sites_name() -> None:
    data = told({"chain": 1, "publisher": ADDRESS, "since": 2026}, contact="somebody")
    assert parse_introduction(data, "example.org") == [TrustedPublisher("example.org", 1, ADDRESS)]


def test_of_several_each_gets_its_own_or_its_chains() -> None:
    data = told(
        {"chain": 8453, "publisher": ADDRESS},
        {"chain": 4242, "publisher": ADDRESS},
        {"chain": 1, "publisher": OTHER, "name": "nightly"},
    )
    assert [(one.alias, one.chain_id) for one in parse_introduction(data, "acme")] == [
        ("acme-base", 8453), ("acme-4242", 4242), ("acme-nightly", 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b"<html>", told(),
        json.dumps({"format": FORMAT}).encode(),
        told({"chain": 1}), told({"publisher": ADDRESS}), told({"chain": "1", "publisher": ADDRESS}),
        told({"chain": True, "publisher": ADDRESS}), told({"chain": 0, "publisher": ADDRESS}),
        told({"chain": 1, "publisher": ADDRESS.replace("5aAe", "5aae")}), told("x"), told(None),
        told(*[{"chain": n, "publisher": ADDRESS} for n in range(1, 66)]),
        told(*[{"chain": 1, "publisher": ADDRESS}] * 2), b" " * (LIMIT + 1),
        told({"chain": 1, "publisher": ADDRESS}).replace(b"publishers/1", b"publishers/2"),
    ],
)  # fmt: skip
def test_what_is_not_of_the_format_is_malformed(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_introduction(data, "example.org")


@pytest.mark.parametrize("name", ["A b", "../x", 7, ["x"], "x" * 65, "é"])
def test_a_name_that_makes_no_alias_is_refused(name: object) -> None:
    entries = ({"chain": 1, "publisher": ADDRESS, "name": name}, {"chain": 2, "publisher": ADDRESS})
    for told_of in (entries, entries[:1]):
        with pytest.raises(FormatError):
            parse_introduction(told(*told_of), "example.org")


@given(st.binary(max_size=200))
def test_any_bytes_are_malformed(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_introduction(data, "example.org")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just(ADDRESS),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["chain", "publisher", "name"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.lists(values, max_size=3))
def test_any_publishers_are_read_or_refused(publishers: list[Any]) -> None:
    try:
        found = parse_introduction(told(*publishers), "example.org")
    except (FormatError, UsageError):
        return
    assert all(one.publisher == ADDRESS and one.chain_id > 0 for one in found)


@pytest.mark.parametrize(
    ("text", "url", "alias"),
    [
        ("example.org", "https://example.org", "example.org"),
        ("HTTPS://EXAMPLE.org".replace("HTTPS", "https"), "https://example.org", "example.org"),
        ("example.org:8443", "https://example.org:8443", "example.org"),
        ("http://127.0.0.1:9", "http://127.0.0.1:9", "127.0.0.1"),
        ("https://localhost", "https://localhost", "localhost"),
        ("http://[::1]:9", "http://[::1]:9", "1"),
    ],
)
def test_where_a_site_is_asked(text: str, url: str, alias: str) -> None:
    site = site_of(text)
    assert (site.url, site.alias) == (url + "/.well-known/integrity.json", alias)


@pytest.mark.parametrize(
    "text",
    [
        "acme", "", "http://example.org", "https://example.org/path", "https://user@example.org",
        "ftp://example.org", "example.org?x", "exa mple.org", "https://example.org:123456", "file:///etc",
    ],
)  # fmt: skip
def test_what_is_no_site_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        site_of(text)
