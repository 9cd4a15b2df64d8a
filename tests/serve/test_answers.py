"""The trustless gateway's answers, as bytes on a socket (specs.ipfs.tech, RFC 9110)."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import socket
import urllib.request

import pytest

from integrity.core.cid import DAG_PB, Cid, raw_cid
from integrity.store.database import Store

from .conftest import Served
from .helpers import MIB, ask, connect, receive, send, url_of

ABSENT = url_of(b"never published")


def cid_of(target: str) -> str:
    return target.removeprefix("/ipfs/").removesuffix("?format=raw")


# --- whole blocks ------------------------------------------------------------------------------


def test_every_piece_is_given_byte_for_byte(served: Served) -> None:
    for data in served.files.values():
        for at in range(0, max(1, len(data)), MIB):
            block = data[at : at + MIB]
            reply = ask(served.url, url_of(block))
            assert (reply.status, reply.body) == (200, block)
            assert reply.headers["content-length"] == str(len(block))


def test_the_manifest_and_every_node_are_given_as_raw_blocks(served: Served) -> None:
    reply = ask(served.url, f"/ipfs/{raw_cid(served.manifest)}?format=raw")
    assert hashlib.sha256(reply.body).digest() == served.manifest
    with Store(served.home.store) as store:
        root = store.releases()[0].content
    for cid in (Cid(DAG_PB, root), raw_cid(root)):
        reply = ask(served.url, f"/ipfs/{cid}?format=raw")
        assert reply.status == 200
        assert hashlib.sha256(reply.body).digest() == root
        assert reply.headers["etag"] == f'"{cid}.raw"'


def test_the_headers_are_those_of_the_specification(served: Served) -> None:
    target = url_of(served.files["README"])
    cid = cid_of(target)
    headers = ask(served.url, target).headers
    assert headers["content-type"] == "application/vnd.ipld.raw"
    assert headers["etag"] == f'"{cid}.raw"'
    assert "immutable" in headers["cache-control"]
    assert headers["content-disposition"] == f'attachment; filename="{cid}.bin"'
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["accept-ranges"] == "bytes"
    assert "content-encoding" not in headers


def test_an_accept_header_asks_for_raw_as_well_as_the_query(served: Served) -> None:
    bare = url_of(b"read me, a block in one file").removesuffix("?format=raw")
    raw = {"accept": "application/vnd.ipld.raw"}
    assert ask(served.url, bare, **raw).status == 200
    assert ask(served.url, bare, accept="text/html, application/vnd.ipld.raw;q=0.5").status == 200
    assert ask(served.url, bare).status == 400
    assert ask(served.url, bare, accept="*/*").status == 406
    # The query is the last word.
    assert ask(served.url, bare + "?format=dag-json", **raw).status == 406
    assert ask(served.url, bare + "?format=", **raw).status == 406


def test_compression_is_never_applied(served: Served) -> None:
    reply = ask(served.url, url_of(served.files["README"]), accept_encoding="gzip, br, zstd")
    assert reply.body == served.files["README"]
    assert "content-encoding" not in reply.headers


@pytest.mark.parametrize("size", ["small", "large", "absent"])
def test_head_says_what_get_would_say_without_the_body(served: Served, size: str) -> None:
    block = served.files["tool"][:MIB] if size == "large" else served.files["README"]
    target = ABSENT if size == "absent" else url_of(block)
    for _ in range(2):  # the second time from the file
        get, head = ask(served.url, target), ask(served.url, target, "HEAD")
        assert head.body == b""
        assert head.status == get.status
        for name in set(get.headers) - {"date"}:
            assert head.headers[name] == get.headers[name]


def test_the_probe_of_no_bytes_is_answered(served: Served) -> None:
    for method in ("GET", "HEAD"):
        reply = ask(served.url, "/ipfs/bafkqaaa?format=raw", method)
        assert (reply.status, reply.body) == (200, b"")
    assert ask(served.url, "/ipfs/bafkqaaa").status == 400


def test_one_connection_carries_many_requests(served: Served) -> None:
    connection = connect(served.url)
    target = url_of(served.files["README"])
    keep = f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    connection.sendall(keep * 3)
    send(connection, target)
    reply = receive(connection)
    assert reply.body.count(served.files["README"]) == 4


# --- ranges ------------------------------------------------------------------------------------

BLOCK = b"read me, a block in one file"


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0), ("bytes=0-", 0, 27), ("bytes=5-9", 5, 9), ("bytes=27-27", 27, 27),
        ("bytes=20-999", 20, 27), ("bytes=-1", 27, 27), ("bytes=-5", 23, 27),
        ("bytes=-999", 0, 27), ("bytes=-9999999999999999999", 0, 27),
        ("bytes=5-9999999999999999999", 5, 27), (" bytes=1-2 ", 1, 2),
    ],
)  # fmt: skip
def test_a_range_is_answered_with_206(served: Served, asked: str, first: int, last: int) -> None:
    reply = ask(served.url, url_of(BLOCK), range=asked)
    assert reply.status == 206
    assert reply.body == BLOCK[first : last + 1]
    assert reply.headers["content-range"] == f"bytes {first}-{last}/{len(BLOCK)}"


@pytest.mark.parametrize("asked", ["bytes=28-", "bytes=28-30", "bytes=-0", "bytes=9999999999-"])
def test_a_range_beyond_the_block_is_416(served: Served, asked: str) -> None:
    reply = ask(served.url, url_of(BLOCK), range=asked)
    assert (reply.status, reply.body) == (416, b"")
    assert reply.headers["content-range"] == f"bytes */{len(BLOCK)}"


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=5-2", "bytes=0-1,3-4", "bytes=-", "bytes=", "bytes", "lines=0-1", "bytes=a-b",
        "bytes=0-1-2", "bytes=+1-2", "bytes=0x1-2", "bytes=00000000000000000000000001-2",
        "bytes=\xb2-\xb3", "bytes=" + "0-0," * 1000,
    ],
)  # fmt: skip
def test_threat_46_a_range_that_is_none_or_many_is_answered_in_full(
    served: Served, asked: str
) -> None:
    reply = ask(served.url, url_of(BLOCK), range=asked)
    assert (reply.status, reply.body) == (200, BLOCK)


def test_ranges_of_a_piece_sent_from_the_file_put_it_together(served: Served) -> None:
    piece = served.files["tool"][:MIB]
    assert ask(served.url, url_of(piece)).body == piece
    cuts = [0, 1, 300_000, 300_001, MIB - 1, MIB]
    parts = [
        ask(served.url, url_of(piece), range=f"bytes={a}-{b - 1}")
        for a, b in itertools.pairwise(cuts)
    ]
    assert {part.status for part in parts} == {206}
    assert b"".join(part.body for part in parts) == piece


def test_an_empty_block_has_no_range(served: Served) -> None:
    assert ask(served.url, url_of(b"")).status == 200
    assert ask(served.url, url_of(b""), range="bytes=0-").status == 416
    assert ask(served.url, url_of(b""), range="bytes=-5").status == 416


def test_a_range_of_head_is_ignored(served: Served) -> None:
    reply = ask(served.url, url_of(BLOCK), "HEAD", range="bytes=0-1")
    assert (reply.status, reply.headers["content-length"]) == (200, str(len(BLOCK)))


# --- conditions --------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ['"{}.raw"', 'W/"{}.raw"', '"x", "{}.raw"', "*"])
def test_what_the_client_has_already_is_304(served: Served, form: str) -> None:
    target = url_of(BLOCK)
    reply = ask(served.url, target, if_none_match=form.format(cid_of(target)))
    assert (reply.status, reply.body) == (304, b"")
    assert reply.headers["etag"] == f'"{cid_of(target)}.raw"'


@pytest.mark.parametrize("form", ['"x"', "", "{}.raw", '"{}"', '"{}.car"'])
def test_any_other_etag_is_no_reason_to_send_nothing(served: Served, form: str) -> None:
    target = url_of(BLOCK)
    assert ask(served.url, target, if_none_match=form.format(cid_of(target))).body == BLOCK


def test_a_star_does_not_make_an_absent_block_present(served: Served) -> None:
    assert ask(served.url, ABSENT, if_none_match="*").status == 404


# --- refusals ----------------------------------------------------------------------------------


def test_an_unknown_block_is_404(served: Served) -> None:
    reply = ask(served.url, ABSENT)
    assert reply.status == 404
    assert reply.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    "cid",
    [
        "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn", "bafy", "x", "b", "bafkqaab",
        str(raw_cid(bytes(32))).upper(), "z" + str(raw_cid(bytes(32))), str(raw_cid(bytes(32)))[:-1],
        str(raw_cid(bytes(31))), "bafkrei" + "a" * 300, "..", "%00", "%2e%2e%2f", "%ff",
    ],
)  # fmt: skip
def test_threat_21_what_is_no_cid_of_sha256_is_400(served: Served, cid: str) -> None:
    assert ask(served.url, f"/ipfs/{cid}?format=raw").status in {400, 404}
    assert ask(served.url, url_of(BLOCK)).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "BREW"])
def test_nothing_but_get_and_head_is_allowed(served: Served, method: str) -> None:
    reply = ask(served.url, url_of(BLOCK), method)
    assert reply.status in {400, 405}
    assert BLOCK not in reply.body


def test_a_body_with_the_request_is_no_trouble(served: Served) -> None:
    connection = connect(served.url)
    send(connection, url_of(BLOCK), content_length="5")
    connection.sendall(b"12345")
    assert receive(connection).body == BLOCK


@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n\r\n", b"nonsense\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
        b"GET /ipfs/\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /ipfs/x HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET /ipfs/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
        b"GET /ipfs/" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 100_000 + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
    ],
)  # fmt: skip
def test_what_is_no_http_stops_that_connection_alone(served: Served, raw: bytes) -> None:
    connection = connect(served.url)
    with contextlib.suppress(OSError):  # the server may have heard enough before the end
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
    reply = receive(connection)
    assert reply.status in {0, 400, 404, 431}
    assert ask(served.url, url_of(BLOCK)).body == BLOCK


def test_a_person_who_looks_at_the_server_itself_is_told_what_it_is(served: Served) -> None:
    with urllib.request.urlopen(served.url) as reply:
        assert b"/ipfs/CID?format=raw" in reply.read()
