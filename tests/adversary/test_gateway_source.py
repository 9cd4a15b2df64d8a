"""What a hostile gateway may send, byte by byte, to the source that reads from it."""

from __future__ import annotations

import gzip
import hashlib
import random
import socket
import zlib

import pytest

from integrity.core.cid import raw_cid
from integrity.errors import SourceError, UsageError
from integrity.sources.blockwise import NotHere
from integrity.sources.gateway import GatewaySource

from .conftest import Open, Serve
from .servers import Line, RawServer, Script, always, answer, once

MIB = 1 << 20
PIECE = random.Random(1).randbytes(MIB)
SMALL = b"a small piece"
DIGEST = bytes(32)
ENOUGH = 64 * MIB
"""What no client may take of an answer to a request for 1 MiB, socket buffers and all."""


def read(source: GatewaySource, limit: int = MIB, digest: bytes = DIGEST) -> bytes:
    """As the engine asks: with room for one byte more than the piece has."""
    buffer = memoryview(bytearray(limit + 1))
    return bytes(buffer[: source.read(digest, buffer)])


# --- honest answers ----------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", SMALL, PIECE])
def test_a_piece_is_read_whole_over_one_connection(
    serve: Serve, source_of: Open, body: bytes
) -> None:
    server = serve(always(answer(body)))
    source = source_of(server)
    for _ in range(3):
        assert read(source) == body
    assert len(server.lines) == 1
    assert server.targets == [f"/ipfs/{raw_cid(DIGEST)}?format=raw"] * 3


@pytest.mark.parametrize("body", [b"", SMALL, PIECE])
def test_a_piece_without_a_length_ends_with_the_connection(
    serve: Serve, source_of: Open, body: bytes
) -> None:
    source = source_of(serve(once(answer(body, "Connection: close", length=None))))
    for _ in range(2):
        assert read(source, digest=hashlib.sha256(body).digest()) == body


@pytest.mark.parametrize("kept", [0, 1, MIB - 1])
def test_one_that_was_cut_without_a_length_is_no_lie(
    serve: Serve, source_of: Open, kept: int
) -> None:
    source = source_of(serve(once(answer(PIECE[:kept], "Connection: close", length=None))))
    with pytest.raises(SourceError, match="too soon"):
        read(source, digest=hashlib.sha256(PIECE).digest())


@pytest.mark.parametrize("size", [1, 1000, 100_000])
def test_a_piece_in_chunks_is_read_whole(serve: Serve, source_of: Open, size: int) -> None:
    body = PIECE[:200_000]
    source = source_of(serve(always(chunked(body, size))))
    for _ in range(2):
        assert read(source) == body


def chunked(body: bytes, size: int) -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    data = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return answer(data + b"0\r\n\r\n", "Transfer-Encoding: chunked", length=None)


def test_a_server_that_ends_a_kept_connection_unannounced_is_asked_again(
    serve: Serve, source_of: Open
) -> None:
    """RFC 9112, section 9.3.1: it may close at any time, and a GET may be repeated."""

    def script(line: Line) -> None:
        if line.hear() is not None and line.say(answer(SMALL)):
            line.hear()

    server = serve(script)
    source = source_of(server)
    assert [read(source) for _ in range(4)] == [SMALL] * 4
    assert len(server.lines) == 4


def test_a_path_in_the_url_stands_before_the_block(serve: Serve) -> None:
    server = serve(always(answer(SMALL)))
    assert read(GatewaySource(server.url + "/mirror/one/")) == SMALL
    assert server.targets == [f"/mirror/one/ipfs/{raw_cid(DIGEST)}?format=raw"]


# --- 25: too much ------------------------------------------------------------------------------


def test_threat_25_one_byte_more_fills_the_buffer_and_shows(serve: Serve, source_of: Open) -> None:
    source = source_of(serve(always(answer(PIECE + b"!"))))
    assert read(source) == PIECE + b"!"


def endless(head: bytes, portion: bytes = bytes(1 << 16)) -> Script:
    def script(line: Line) -> None:
        if line.hear() is not None and line.say(head):
            line.say_on(portion, ENOUGH)

    return script


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS = {
    "length": endless(b"HTTP/1.1 200 OK\r\nContent-Length: 1099511627776\r\n\r\n"),
    "no length": endless(b"HTTP/1.1 200 OK\r\n\r\n"),
    "one huge chunk": endless(CHUNKED + b"ffffffffff\r\n"),
    "many chunks": endless(CHUNKED, b"10000\r\n" + bytes(1 << 16) + b"\r\n"),
    "tiny chunks": endless(CHUNKED, b"1\r\nx\r\n" * 10_000),
    "a chunk of -1": endless(CHUNKED + b"-1\r\n"),
    "a chunk of -2": endless(CHUNKED + b"-2\r\n"),
    "old http": endless(b"HTTP/1.0 200 OK\r\n\r\n"),
}


@pytest.mark.parametrize("script", ENDLESS.values(), ids=ENDLESS)
@pytest.mark.parametrize("limit", [0, 1000, MIB])
def test_threat_25_endless_piece_is_cut_off(
    serve: Serve, source_of: Open, script: Script, limit: int
) -> None:
    server = serve(script)
    source = source_of(server)
    try:
        assert len(read(source, limit)) == limit + 1
    except SourceError as refused:
        assert refused.exit_code == 3  # noqa: PT017 - a refusal is as good
    server.ended()
    for line in server.lines:
        assert line.cut
        assert line.sent < ENOUGH


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 ", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10,
        b"HTTP/1.1 302 Found\r\nLocation: ", b"", CHUNKED + b"1;",
    ],
)  # fmt: skip
def test_threat_25_an_endless_head_is_cut_off(serve: Serve, source_of: Open, head: bytes) -> None:
    portion = b"X: y\r\n" * 1000 if head.endswith(b"\r\n") else b"y" * 1000
    server = serve(endless(head, portion))
    with pytest.raises(SourceError) as caught:
        read(source_of(server))
    assert len(caught.value.message) < 1000
    server.ended()
    assert server.lines[0].sent < ENOUGH


# --- 27: compression ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "encoding", ["gzip", "deflate", "br", "zstd", "GZIP", "gzip, gzip", "x-gzip", "x" * 5000]
)
def test_threat_27_an_answer_that_is_compressed_is_refused(
    serve: Serve, source_of: Open, encoding: str
) -> None:
    bomb = gzip.compress(bytes(50 * MIB))
    source = source_of(serve(always(answer(bomb, f"Content-Encoding: {encoding}"))))
    with pytest.raises(SourceError, match="no compression was asked") as caught:
        read(source)
    assert len(caught.value.message) < 500


def test_threat_27_identity_is_asked_for_and_accepted(serve: Serve, source_of: Open) -> None:
    heard: list[bytes] = []

    def script(line: Line) -> None:
        heard.append(line.socket.recv(1 << 16))
        line.say(answer(SMALL, "Content-Encoding: Identity"))

    assert read(source_of(serve(script))) == SMALL
    assert b"accept-encoding: identity\r\n" in heard[0].lower()
    assert b"cookie" not in heard[0].lower()


@pytest.mark.parametrize("status", ["302 Found", "500 Internal Server Error"])
def test_threat_27_a_bomb_in_any_other_answer_is_not_unpacked(
    serve: Serve, source_of: Open, status: str
) -> None:
    bomb = zlib.compress(bytes(50 * MIB))
    head = ("Content-Encoding: deflate", "Location: /elsewhere")
    server = serve(always(answer(bomb, *head, status=status)))
    with pytest.raises(SourceError, match=r"answered 500|redirects more than 5 times"):
        read(source_of(server))
    assert len(server.targets) == (1 if status[0] == "5" else 6)


# --- 28, 30, 31: other answers -----------------------------------------------------------------

STATUSES = [
    "101 Switching Protocols", "201 Created", "204 No Content", "206 Partial Content", "226 IM Used",
    "300 Multiple Choices", "304 Not Modified", "400 Bad Request", "401 Unauthorized",
    "407 Proxy Authentication Required", "416 Range Not Satisfiable",
    "429 Too Many Requests", "500 Oops", "503 Service Unavailable", "599 x", "999 x",
]  # fmt: skip


@pytest.mark.parametrize("status", STATUSES)
def test_threat_28_any_status_but_200_is_a_failure_at_once(
    serve: Serve, source_of: Open, status: str
) -> None:
    head = ("Retry-After: 3600", "Content-Range: bytes 0-1048575/1048576")
    server = serve(once(answer(PIECE, *head, status=status)))
    with pytest.raises(SourceError, match=f"answered {status[:3]}"):
        read(source_of(server))
    assert len(server.targets) == 1


@pytest.mark.parametrize("status", ["404 Not Found", "410 Gone", "451 x"])
def test_what_a_gateway_has_not_got_is_no_failure(
    serve: Serve, source_of: Open, status: str
) -> None:
    server = serve(once(answer(PIECE, status=status)))
    with pytest.raises(NotHere, match=f"answered {status[:3]}"):
        read(source_of(server))
    assert len(server.targets) == 1


@pytest.mark.parametrize("status", ["301 x", "302 x", "303 x", "307 x", "308 x"])
@pytest.mark.parametrize(
    "place",
    [
        "{other}/ipfs/x", "file:///etc/passwd", "http://user:word@example.org/",
        "http://localhost:{port}/", "http://[::1]:{port}/", "http://[::ffff:127.0.0.1]:{port}/",
        "http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/", "http://[fe80::1]/",
        "http://0.0.0.0:{port}/", "http://[2002:7f00:1::]/", "http://2130706433:{port}/",
    ],
)  # fmt: skip
def test_threat_31_a_redirect_to_what_only_we_can_reach_is_not_followed(
    serve: Serve, source_of: Open, status: str, place: str
) -> None:
    other = serve(always(answer(PIECE)))
    location = "Location: " + place.format(other=other.url, port=other.url.rpartition(":")[2])
    server = serve(always(answer(b"", location, status=status)))
    with pytest.raises(
        SourceError, match=r"not public|redirects to|does not resolve|cannot connect"
    ):
        read(source_of(server))
    assert len(server.targets) == 1
    assert other.lines == []


@pytest.mark.parametrize("place", ["/again", "again", "", "//", "http://", "?x", "{own}/again"])
def test_threat_31_redirects_do_not_go_on_for_ever(
    serve: Serve, source_of: Open, place: str
) -> None:
    def script(line: Line) -> None:
        while line.hear() is not None:
            line.say(answer(b"", "Location: " + place.format(own=server.url), status="302 x"))

    server = serve(script)
    with pytest.raises(SourceError, match="redirects more than 5 times"):
        read(source_of(server))
    assert len(server.targets) == 6


def test_a_redirect_within_the_server_that_was_named_is_followed(
    serve: Serve, source_of: Open
) -> None:
    def script(line: Line) -> None:
        while (target := line.hear()) is not None:
            moved = answer(b"", "Location: /elsewhere", status="301 x")
            line.say(answer(PIECE) if target == "/elsewhere" else moved)

    assert read(source_of(serve(script))) == PIECE


@pytest.mark.parametrize("sent", [0, 1, 1000, MIB - 1])
@pytest.mark.parametrize("rudely", [False, True])
def test_threat_30_an_answer_that_breaks_off_is_a_failure_not_a_short_piece(
    serve: Serve, source_of: Open, sent: int, rudely: bool
) -> None:
    def script(line: Line) -> None:
        if line.hear() is not None:
            line.say(answer(PIECE[:sent], length=MIB))
            if rudely:
                line.reset()

    with pytest.raises(SourceError) as caught:
        read(source_of(serve(script)))
    assert caught.value.message.startswith("http://127.0.0.1:")


@pytest.mark.parametrize(
    "data",
    [
        CHUNKED, CHUNKED + b"5\r\nab", CHUNKED + b"2\r\nab\r\n", CHUNKED + b"zz\r\nab\r\n",
        CHUNKED + b"\r\n", CHUNKED + b"2\r\nabcdef\r\n", CHUNKED + b"-5\r\nab",
    ],
)  # fmt: skip
def test_threat_30_chunks_that_break_off_are_a_failure_or_a_short_piece(
    serve: Serve, source_of: Open, data: bytes
) -> None:
    try:
        assert len(read(source_of(serve(once(data))))) < 10
    except SourceError:
        return


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\r\n", b"\r\n\r\n", b"hello", b"<html>no HTTP at all</html>", b"HTTP/1.1", b"SSH-2.0-x\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n", b"HTTP/1.1 -200 OK\r\n\r\n", b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n", b"HTTP/7.7 200 OK\r\n\r\n", b"\x16\x03\x01\x00\x00", b"\0" * 100,
        b"\xff\xfe" * 100, b"HTTP/1.1 200 \xff\xfe\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_no_http_is_a_failure_or_wrong_never_a_crash(
    serve: Serve, source_of: Open, data: bytes
) -> None:
    try:
        assert len(read(source_of(serve(once(data))), 10)) <= 11
    except SourceError as error:
        assert len(error.message) < 1000  # noqa: PT017 - either outcome is fine


@pytest.mark.parametrize("length", ["-1", "abc", "1e3", "", "0x10", "99999999999999999999999999"])
def test_a_length_that_is_none_is_no_crash(serve: Serve, source_of: Open, length: str) -> None:
    data = b"HTTP/1.1 200 OK\r\nContent-Length: " + length.encode() + b"\r\n\r\n" + SMALL
    try:
        assert read(source_of(serve(once(data)))) in {SMALL, b""}
    except SourceError:
        return


def test_an_answer_behind_the_answer_is_not_mixed_with_the_next(
    serve: Serve, source_of: Open
) -> None:
    """Whatever was pushed ahead of the next request is at worst that source's own lie."""
    pushed = answer(SMALL) + answer(b"pushed ahead")
    source = source_of(serve(always(pushed)))
    assert read(source) == SMALL
    assert read(source) in {SMALL, b"pushed ahead"}


def test_a_reason_that_never_ends_is_not_repeated_in_full(serve: Serve, source_of: Open) -> None:
    source = source_of(serve(once(answer(b"", status="500 " + "A" * 60_000))))
    with pytest.raises(SourceError) as caught:
        read(source)
    assert len(caught.value.message) < 500


# --- nobody there ------------------------------------------------------------------------------


def test_a_dead_port_is_a_failure_that_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(SourceError, match="cannot connect: Connection refused") as caught:
        read(GatewaySource(url))
    assert caught.value.message.startswith(url)


def test_a_server_that_hangs_up_at_once_is_a_failure(serve: Serve, source_of: Open) -> None:
    for script in (lambda _: None, Line.reset, lambda line: line.hear() and None):
        with pytest.raises(SourceError):
            read(source_of(serve(script)))


@pytest.mark.parametrize(
    "url", ["http://no-such-host.invalid", "http://127.0.0.1:1", "http://[::1]:1"]
)
def test_an_address_that_leads_nowhere_is_a_failure(url: str) -> None:
    with pytest.raises(SourceError):
        read(GatewaySource(url))


@pytest.mark.parametrize(
    "url",
    [
        "", "x", "ftp://h/", "file:///etc/passwd", "http://", "http:///path", "//h", "http:h",
        "http://[::1", "http://[x]/", "javascript:alert(1)", "HTTP//h",
    ],
)  # fmt: skip
def test_what_is_no_web_address_is_refused_when_it_is_named(url: str) -> None:
    with pytest.raises(UsageError, match=r"http://"):
        GatewaySource(url)


def test_https_is_not_downgraded(serve: Serve) -> None:
    heard: list[bytes] = []
    server = serve(lambda line: heard.append(line.socket.recv(1 << 16)))
    with pytest.raises(SourceError):
        read(GatewaySource(server.url.replace("http://", "https://")))
    assert b"/ipfs" not in b"".join(heard)


def test_the_name_of_a_source_is_its_url() -> None:
    source = GatewaySource("http://127.0.0.1:8080/")
    assert source.name == "http://127.0.0.1:8080"
    source.close()


def test_many_threads_share_a_source(serve: Serve, source_of: Open) -> None:
    from concurrent.futures import ThreadPoolExecutor

    blocks = {
        f"/ipfs/{raw_cid(hashlib.sha256(bytes([n])).digest())}?format=raw": n for n in range(9)
    }

    def script(line: Line) -> None:
        while (target := line.hear()) is not None and line.say(
            answer(bytes([blocks[target]]) * 9999)
        ):
            pass

    server = serve(script)
    source = source_of(server)

    def one(number: int) -> bool:
        buffer = memoryview(bytearray(10_000))
        digest = hashlib.sha256(bytes([number % 9])).digest()
        got = source.read(digest, buffer)
        return bytes(buffer[:got]) == bytes([number % 9]) * 9999

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(400)))


def test_the_server_of_these_tests_ends_all_its_threads() -> None:
    with RawServer(always(answer(SMALL))) as server:
        assert read(GatewaySource(server.url)) == SMALL
    assert not any(thread.is_alive() for thread in server._threads)


@pytest.mark.parametrize(
    "url",
    ["http://u:secret@h", "http://h?x=1", "http://h/#a", "http://h:99999", "http://h:0", "http://"],
)
def test_a_url_that_no_gateway_has_is_refused_without_showing_a_password(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        GatewaySource(url)
    assert "secret" not in caught.value.message
