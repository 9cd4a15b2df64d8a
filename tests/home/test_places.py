"""Which URLs mean one server: it has one vote, however it is spelt."""

from __future__ import annotations

import pytest

from integrity.net.hosts import place_of


@pytest.mark.parametrize(
    "urls",
    [
        ("http://127.0.0.1:8545", "http://localhost:8545/", "http://LOCALHOST.:8545", "http://[::1]:8545/a",
         "http://127.1:8545", "http://127.9.9.9:8545", "http://0.0.0.0:8545", "http://[::]:8545",
         "http://[::ffff:127.0.0.1]:8545", "http://2130706433:8545", "http://0x7f000001:8545",
         "http://me:secret@127.0.0.1:8545", "http://node.localhost:8545"),
        ("http://n.example", "https://n.example", "https://N.example.:443/key", "http://n.example:80/?a"),
        ("https://[2001:db8::1]/a", "https://[2001:DB8:0::1]", "https://[2001:db8:0:0:0:0:0:1]:443"),
        ("https://192.0.2.1", "https://[::ffff:192.0.2.1]", "https://[::ffff:c000:201]/b",
         "https://3221225985"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
    ],
)  # fmt: skip
def test_all_spellings_of_a_server_are_one_place(urls: tuple[str, ...]) -> None:
    assert len({place_of(url) for url in urls}) == 1


def test_other_servers_are_other_places() -> None:
    urls = (
        "http://127.0.0.1:8545", "http://127.0.0.1:8546", "http://192.0.2.1:8545", "http://[2001:db8::1]:8545",
        "http://n.example:8545", "http://m.example:8545", "http://localhost.example:8545",
    )  # fmt: skip
    assert len({place_of(url) for url in urls}) == len(urls)


@pytest.mark.parametrize(
    "url",
    ["", "http://", "http://[", "http://a:99999", "http://" + "a" * 70, "http://a..b", "\ud800"],
)
def test_what_is_no_url_is_a_place_of_its_own(url: str) -> None:
    assert place_of(url) != place_of("http://127.0.0.1:8545")
