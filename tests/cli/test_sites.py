"""``integrity trust add example.org``: over TLS, from a web server of its own."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme

from integrity.trust.introduction import FORMAT

from .running import User
from .schema import check, documented
from .terminal import Terminal

FIELDS = documented()
ADDRESS = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
GOOD = {"format": FORMAT, "publishers": [{"chain": 1, "publisher": ADDRESS}]}


@dataclass
class Site:
    """A web site on this machine, and what it answers."""

    url: str = ""
    status: int = 200
    body: bytes = json.dumps(GOOD).encode()
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def site(authority: trustme.CA) -> Iterator[Site]:
    told = Site()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.asked.append(self.path)
            self.send_response(told.status)
            for name, value in told.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(told.body)))
            self.end_headers()
            self.wfile.write(told.body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    told.url = f"https://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def visitor(user: User, authority: trustme.CA, tmp_path: Path) -> User:
    """Somebody whose machine believes the site's certificate."""
    roots = tmp_path / "roots.pem"
    authority.cert_pem.write_to_path(roots)
    user.environment["SSL_CERT_FILE"] = str(roots)
    return user


def test_what_a_site_says_is_pinned(site: Site, visitor: User) -> None:
    added = visitor.ok("trust", "add", site.url, "--yes", "--json").json()
    check(added, FIELDS["integrity trust add"])
    assert added == {"publishers": [{"alias": "localhost", "chain_id": 1, "publisher": ADDRESS}]}
    assert site.asked == ["/.well-known/integrity.json"]
    assert visitor.ok("trust", "list", "--json").json() == added
    again = visitor.ok("trust", "add", site.url, "--yes", "--as", "acme", "--json").json()
    assert again["publishers"][0]["alias"] == "acme"
    # What it says later changes nothing here.
    site.body = site.body.replace(ADDRESS.encode(), b"0x" + b"11" * 20)
    changed = visitor.run("trust", "add", site.url, "--yes", "--json").error("UsageError", 2)
    assert ADDRESS in changed["message"]


def test_without_a_terminal_nobody_is_believed_unasked(site: Site, visitor: User) -> None:
    refused = visitor.run("trust", "add", site.url, "--json").error("UnknownPublisher", 3)
    assert ADDRESS in refused["causes"][0]
    assert visitor.ok("trust", "list", "--json").json() == {"publishers": []}


def test_a_certificate_that_nobody_here_knows_is_no_answer(site: Site, user: User) -> None:
    refused = user.run("trust", "add", site.url, "--yes", "--json").error("SourcesUnavailable", 3)
    assert "certificate" in refused["causes"][0]
    assert site.asked == []


def test_a_redirect_is_not_followed(site: Site, visitor: User) -> None:
    site.status, site.headers = 301, {"Location": site.url + "/elsewhere"}
    refused = visitor.run("trust", "add", site.url, "--yes", "--json")
    assert "redirect" in refused.error("SourcesUnavailable", 3)["message"]
    assert site.asked == ["/.well-known/integrity.json"]


def test_what_a_site_should_not_say(site: Site, visitor: User) -> None:
    for status, body, name, code in (
        (404, b"", "SourcesUnavailable", 3),
        (200, b"x" * (1 << 20), "LimitExceeded", 2),
        (200, b"<html>", "FormatError", 2),
        (200, json.dumps(GOOD).replace("5aAe", "5aae").encode(), "AddressMalformed", 2),
        (200, json.dumps(GOOD).replace(ADDRESS, "0x12").encode(), "AddressMalformed", 2),
    ):
        site.status, site.body = status, body
        error = visitor.run("trust", "add", site.url, "--yes", "--json").error(name, code)
        assert site.url in error["message"]
        assert ".well-known/integrity.json" in error["message"]
    assert visitor.ok("trust", "list", "--json").json() == {"publishers": []}


def test_only_the_chain_that_was_asked_for_is_taken(site: Site, visitor: User) -> None:
    two = [{"chain": 1, "publisher": ADDRESS}, {"chain": 8453, "publisher": ADDRESS}]
    site.body = json.dumps(GOOD | {"publishers": two}).encode()
    added = visitor.ok("trust", "add", site.url, "--yes", "--chain", "base", "--json").json()
    assert [one["alias"] for one in added["publishers"]] == ["localhost-base"]
    none = visitor.run("trust", "add", site.url, "--yes", "--chain", "sepolia", "--json")
    none.error("UsageError", 2)


@pytest.mark.parametrize("answer", ["y", "n"])
def test_a_person_is_shown_the_whole_address_and_asked(
    site: Site, visitor: User, answer: str
) -> None:
    with Terminal(visitor, "trust", "add", site.url) as terminal:
        shown = terminal.until("[y/N]")
        assert ADDRESS in shown
        terminal.type(answer + "\n")
        code, _ = terminal.end()
    believed = visitor.ok("trust", "list", "--json").json()["publishers"]
    assert (code, len(believed)) == ((0, 1) if answer == "y" else (3, 0))
