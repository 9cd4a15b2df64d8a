"""Delegated routing (specs.ipfs.tech/routing/http-routing-v1): who asks is told whether it is here."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libipld
import pytest

from integrity.core.anycid import AnyCid, cid_of
from integrity.core.cid import RAW
from integrity.errors import UsageError
from integrity.home import Home
from integrity.serve.routing import PROTOCOL, Provider, multiaddr
from integrity.serve.running import Serving, serving
from integrity.store.database import Store
from integrity.testing.serving import ServedHome

from .dags import Dag, identity
from .helpers import Reply, ask, connect, put, receive

DAG = Dag()
BLOCK = DAG.raw(b"imported")
TOP = DAG.folder({"a": BLOCK})
PUBLISHED = cid_of(RAW, b"published")
ABSENT = cid_of(RAW, b"absent")
ANNOUNCED = "https://files.example.org"


def fill(place: Path) -> Home:
    home = Home.at(place / "home")
    DAG.put_in(home)
    put(home, place / "release", {"file": b"published"})
    return home


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with ServedHome(fill(tmp_path_factory.mktemp("routing"))) as served:
        yield served.url


def providers(url: str, cid: AnyCid | str, query: str = "") -> Any:
    """The records of a JSON answer."""
    reply = ask(url, f"/routing/v1/providers/{cid}{query}")
    assert (reply.status, reply.headers["content-type"].partition(";")[0]) == (
        200,
        "application/json",
    )
    answer = json.loads(reply.body)
    assert list(answer) == ["Providers"]
    return answer["Providers"]


# --- records -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cid",
    [
        BLOCK, TOP, PUBLISHED, TOP._replace(version=0), TOP._replace(codec=RAW),
        BLOCK._replace(version=0, codec=0x70), BLOCK._replace(codec=0x71),
    ],
)  # fmt: skip
def test_what_is_here_is_here_by_any_of_its_cids(url: str, cid: AnyCid) -> None:
    (record,) = providers(url, cid)
    address = url.removeprefix("http://").replace(":", "/tcp/")
    assert record["Schema"] == "peer"
    assert record["Addrs"] == [f"/ip4/{address}/http"]
    assert record["Protocols"] == [PROTOCOL]
    _, peer = libipld.decode_multibase("z" + record["ID"])
    assert peer == b"\x12\x20" + hashlib.sha256(url.encode()).digest()


@pytest.mark.parametrize("cid", [ABSENT, identity(RAW, b"inlined"), "bafkqaaa"])
def test_what_is_not_here_is_an_empty_answer(url: str, cid: AnyCid | str) -> None:
    assert providers(url, cid) == []
    ndjson = ask(url, f"/routing/v1/providers/{cid}", accept="application/x-ndjson")
    assert (ndjson.status, ndjson.body) == (200, b"")


@pytest.mark.parametrize(
    ("accept", "lines"),
    [
        ("application/x-ndjson", True), ("application/x-ndjson, application/json", True),
        ("application/json;q=0.5, application/x-ndjson", True), (None, False), ("*/*", False),
        ("application/json", False), ("text/html", False), ("application/*", False),
    ],
)  # fmt: skip
def test_records_are_lines_for_who_asks_for_lines(
    url: str, accept: str | None, lines: bool
) -> None:
    more = {} if accept is None else {"accept": accept}
    reply = ask(url, f"/routing/v1/providers/{BLOCK}", **more)
    assert reply.status == 200
    kind = reply.headers["content-type"].partition(";")[0]
    (record,) = providers(url, BLOCK)
    if lines:
        assert kind == "application/x-ndjson"
        assert reply.body.endswith(b"\n")
        assert [json.loads(line) for line in reply.body.splitlines()] == [record]
    else:
        assert kind == "application/json"
        assert json.loads(reply.body) == {"Providers": [record]}


def test_an_answer_may_be_kept_for_a_while_and_longer_when_something_was_found(url: str) -> None:
    found = ask(url, f"/routing/v1/providers/{BLOCK}").headers
    none = ask(url, f"/routing/v1/providers/{ABSENT}").headers
    assert found["cache-control"] == "public, max-age=300"
    assert none["cache-control"] == "public, max-age=15"
    assert found["vary"] == none["vary"] == "Accept"


def test_head_says_what_get_would_say(url: str) -> None:
    for cid in (BLOCK, ABSENT):
        get = ask(url, f"/routing/v1/providers/{cid}")
        head = ask(url, f"/routing/v1/providers/{cid}", "HEAD")
        assert (head.status, head.body) == (200, b"")
        assert head.headers["content-length"] == get.headers["content-length"]


def test_what_is_put_in_later_is_found_and_what_goes_is_not(tmp_path: Path) -> None:
    home = fill(tmp_path)
    with ServedHome(home) as served:
        assert providers(served.url, cid_of(RAW, b"later")) == []
        put(home, tmp_path / "release", {"file": b"later"})
        assert len(providers(served.url, cid_of(RAW, b"later"))) == 1
        assert providers(served.url, PUBLISHED) == []


# --- filters (IPIP-484) ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "here"),
    [
        ("", True), ("filter-addrs=", True), ("filter-protocols=", True),
        ("filter-protocols=transport-bitswap,transport-ipfs-gateway-http,unknown", True),
        ("filter-protocols=Transport-IPFS-gateway-HTTP", True), ("filter-protocols=unknown", False),
        ("filter-protocols=transport-bitswap", False), ("filter-protocols=http", False),
        ("filter-protocols=transport-bitswap%2Ctransport-ipfs-gateway-http", True),
        ("filter-addrs=http", True), ("filter-addrs=HTTP", True), ("filter-addrs=ip4", True),
        ("filter-addrs=tcp,udp", True), ("filter-addrs=quic-v1", False), ("filter-addrs=tls", False),
        ("filter-addrs=unknown", False), ("filter-addrs=unknown,tcp", True),
        ("filter-addrs=!http", False), ("filter-addrs=!HTTP", False), ("filter-addrs=!ip6", True),
        ("filter-addrs=!ip6,!quic-v1", True), ("filter-addrs=!ip6,!tcp", False),
        ("filter-addrs=http,!tls", True), ("filter-addrs=tls,!ip6", False),
        ("filter-addrs=http,!tcp", False), ("filter-addrs=http%2C!tls", True),
        ("filter-addrs=http&filter-protocols=transport-bitswap", False),
        ("filter-addrs=tls&filter-protocols=transport-ipfs-gateway-http", False),
        ("filter-addrs=http&filter-protocols=transport-ipfs-gateway-http", True),
        ("filter-addrs=127.0.0.1", False), ("filter-addrs=!127.0.0.1", True),
    ],
)  # fmt: skip
def test_filters_say_which_records_are_wanted(url: str, query: str, here: bool) -> None:
    found = providers(url, BLOCK, f"?{query}")
    assert found == (providers(url, BLOCK) if here else [])


def test_filters_of_a_server_behind_tls() -> None:
    provider = Provider(ANNOUNCED)
    for words, here in [("tls", 1), ("dns", 1), ("!tls", 0), ("ip4,ip6", 0), ("!ip4,tls", 1)]:
        assert len(provider.records({"filter-addrs": words})) == here


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cid",
    [
        "nonsense", "b", "x", str(BLOCK)[:-1], f"{BLOCK}x", "f01551114" + "00" * 20, "f0155121f" + "00" * 31,
        "%00", "%ff", "%F0%9F%98%80", "..%2f..", "a" * 600, "*",
    ],
)  # fmt: skip
def test_threat_21_what_is_no_cid_is_422(url: str, cid: str) -> None:
    reply = ask(url, f"/routing/v1/providers/{cid}")
    assert reply.status == 422
    assert "cache-control" not in reply.headers


@pytest.mark.parametrize(
    "path",
    [
        "peers/QmYhmPjhFjYFyaoiuNzYv8WGavpSRDwdHWe5B4M5du5Rtk", "ipns/x", "providers", "providers/", "",
        "dht/closest/peers/x", "x", f"providers/{BLOCK}/more",
    ],
)  # fmt: skip
def test_what_is_not_offered_is_501(url: str, path: str) -> None:
    assert ask(url, f"/routing/v1/{path}").status == 501


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("path", [f"providers/{BLOCK}", "providers", "ipns/x"])
def test_nothing_can_be_announced_to_this_server(url: str, method: str, path: str) -> None:
    assert ask(url, f"/routing/v1/{path}", method).status in {405, 501}


# --- CORS --------------------------------------------------------------------------------------

EVERYTHING = [
    (f"/routing/v1/providers/{BLOCK}", 200), ("/routing/v1/providers/x", 422), ("/routing/v1/x", 501),
    (f"/ipfs/{BLOCK}?format=raw", 200), (f"/ipfs/{TOP}?format=car", 200), ("/ipfs/x?format=raw", 400),
    (f"/ipfs/{BLOCK}", 400), (f"/ipfs/{ABSENT}?format=raw", 404), (f"/ipfs/{TOP}/x?format=car", 404),
    (f"/ipfs/{BLOCK}?format=tar", 406), ("/", 200), ("/x", 404), ("/ipns/x", 404),
]  # fmt: skip


def check_cors(reply: Reply) -> None:
    assert reply.headers["access-control-allow-origin"] == "*"
    methods = {word.strip() for word in reply.headers["access-control-allow-methods"].split(",")}
    assert {"GET", "OPTIONS"} <= methods
    assert not methods & {"POST", "PUT", "DELETE"}
    assert "access-control-allow-credentials" not in reply.headers


@pytest.mark.parametrize(("path", "status"), EVERYTHING)
def test_every_answer_may_be_read_by_any_page(url: str, path: str, status: int) -> None:
    for method in ("GET", "HEAD"):
        reply = ask(url, path, method, origin="https://page.example")
        assert reply.status == status
        check_cors(reply)
    conditional = ask(url, path, if_none_match="*")
    assert conditional.status == (304 if status == 200 and path.startswith("/ipfs") else status)
    check_cors(conditional)
    beyond = ask(url, f"/ipfs/{BLOCK}?format=raw", range="bytes=99-")
    assert beyond.status == 416
    check_cors(beyond)


@pytest.mark.parametrize(("path", "_status"), EVERYTHING)
def test_options_are_told_for_everything(url: str, path: str, _status: int) -> None:
    reply = ask(
        url, path, "OPTIONS", origin="https://page.example", access_control_request_method="GET",
        access_control_request_headers="range",
    )  # fmt: skip
    assert reply.status in {200, 204}
    assert reply.body == b""
    check_cors(reply)
    assert "range" in reply.headers["access-control-allow-headers"].lower()


# --- where this server is ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:8770", "/ip4/127.0.0.1/tcp/8770/http"),
        ("http://[::1]:80", "/ip6/::1/tcp/80/http"),
        ("http://203.0.113.5", "/ip4/203.0.113.5/tcp/80/http"),
        ("https://files.example.org", "/dns/files.example.org/tcp/443/tls/http"),
        ("https://Files.Example.org:8443/", "/dns/files.example.org/tcp/8443/tls/http"),
        ("http://localhost:1", "/dns/localhost/tcp/1/http"),
        ("https://[2001:db8::1]", "/ip6/2001:db8::1/tcp/443/tls/http"),
    ],
)  # fmt: skip
def test_a_url_is_a_multiaddr(url: str, address: str) -> None:
    assert multiaddr(url) == address


NO_SERVERS = [
    "", "files.example.org", "files.example.org:80", "ftp://x", "http://", "http:///x", "https://x/path",
    "http://x?query", "http://x:port", "http://x:99999", "http://x:-1", "http://[::1", "//x", "/ip4/1.2.3.4",
]  # fmt: skip


@pytest.mark.parametrize("url", NO_SERVERS)
def test_what_is_no_servers_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="not the URL of a server") as caught:
        multiaddr(url)
    assert caught.value.next


@pytest.mark.parametrize("announced", NO_SERVERS)
def test_a_server_that_would_announce_nonsense_does_not_start(
    tmp_path: Path, announced: str
) -> None:
    async def start() -> None:
        with Store(tmp_path / "store.db") as store:
            async with serving(store, Serving(announce=announced)):
                pass

    with pytest.raises(UsageError, match="not the URL of a server"):
        asyncio.run(start())


def test_a_server_is_announced_where_others_reach_it(tmp_path: Path) -> None:
    home = fill(tmp_path)
    with ServedHome(home, Serving(announce=ANNOUNCED)) as served:
        (record,) = providers(served.url, BLOCK)
        connection = connect(served.url)
        connection.sendall(
            f"GET /ipfs/{BLOCK}?format=raw HTTP/1.1\r\nHost: files.example.org\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        assert receive(connection).body == b"imported"
    assert record["Addrs"] == ["/dns/files.example.org/tcp/443/tls/http"]
    (same,) = Provider(ANNOUNCED).records({})
    assert record == same


def test_the_id_of_a_server_stays_the_same_and_is_its_own() -> None:
    urls = ["http://127.0.0.1:1", "http://127.0.0.1:2", "https://127.0.0.1:1", ANNOUNCED]
    ids = [Provider(url).records({})[0]["ID"] for url in urls]
    assert ids == [Provider(url).records({})[0]["ID"] for url in urls]
    assert len(set(ids)) == len(urls)
    assert all(len(text) == 46 and text.startswith("Qm") for text in ids)
    known = "QmNto2TbfJwu937hf5UcLZDmpp7Pxo2cpXBzDud4jqGDJC"
    assert Provider("http://127.0.0.1:8770").records({})[0]["ID"] == known
