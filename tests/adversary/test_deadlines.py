"""Answers that never end, one byte at a time: given up as a whole, whatever the sockets say."""

from __future__ import annotations

import time
from itertools import repeat

import pytest

from integrity.chain.rpc import JsonRpc
from integrity.errors import RpcUnavailable, SourceError
from integrity.sources import http
from integrity.sources.gateway import GatewaySource

from .conftest import Serve
from .servers import Line, Script

DIGEST = bytes(32)


def dribble(start: bytes, drop: bytes) -> Script:
    """Says the start, and then a drop ten times a second for as long as anybody listens."""

    def script(line: Line) -> None:
        if line.hear() is None or not line.say(start):
            return
        for _ in repeat(None, 600):
            time.sleep(0.1)
            if not line.say(drop):
                return

    return script


ENDLESS = {
    "a header": dribble(b"HTTP/1.1 200 OK\r\nX: ", b"a"),
    "headers": dribble(b"HTTP/1.1 200 OK\r\n", b"X: a\r\n"),
    "a status line": dribble(b"HTTP/1.1 200 ", b"O"),
    "100 Continue": dribble(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a body": dribble(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"),
    "a chunk": dribble(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_a_node_that_never_ends_its_answer_is_given_up(serve: Serve, what: str) -> None:
    server = serve(ENDLESS[what])
    with pytest.raises(RpcUnavailable, match="did not answer"):
        JsonRpc(server.url, seconds=0.5).call("eth_chainId")
    server.ended()


@pytest.mark.parametrize("what", ENDLESS)
def test_threat_26_a_gateway_that_never_ends_its_answer_is_given_up(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(http, "HEAD_SECONDS", 0.5)
    monkeypatch.setattr(http, "BLOCK_SECONDS", 0.5)
    server = serve(ENDLESS[what])
    source = GatewaySource(server.url)
    with pytest.raises(SourceError):
        source.read(DIGEST, memoryview(bytearray(1 << 20)))
    source.close()
    server.ended()


def test_a_slow_answer_that_ends_in_time_is_taken(serve: Serve) -> None:
    def script(line: Line) -> None:
        line.hear()
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc":
            line.say(bytes((byte,)))
            time.sleep(0.01)

    buffer = bytearray(10)
    source = GatewaySource(serve(script).url)
    assert source.read(DIGEST, memoryview(buffer)) == 3
    assert buffer[:3] == b"abc"
    source.close()
