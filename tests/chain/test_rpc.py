"""JSON-RPC against servers that answer badly: each answer is refused, and its cause is kept."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import socket
import sys
import threading
import time
import traceback
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any

import pytest

from integrity.chain.rpc import ANSWER_LIMIT, JsonRpc, RpcError, shown_url
from integrity.errors import RpcAnswerInvalid, RpcUnavailable, UsageError

from .lying_rpc import HangUp, LyingRpc, Reply

CALLS: list[tuple[str, tuple[Any, ...]]] = [("first", ()), ("second", (1,)), ("third", ())]


def echo(call: dict[str, Any], _: object) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": call["id"], "result": call["method"]}


@pytest.fixture
def server(canned: LyingRpc) -> LyingRpc:
    """A server that answers every call with the method's name."""
    canned.act = echo
    return canned


def raw(body: bytes, status: int = 200, **headers: str) -> Callable[[object], Reply]:
    fields = {key.replace("_", "-"): value for key, value in headers.items()}
    return lambda _: Reply([body], status, fields, len(body))


def altered(change: Callable[[Any], Any]) -> Callable[[object], Reply]:
    """The honest answer, changed."""

    def reply(answer: object) -> Reply:
        body = json.dumps(change(answer)).encode()
        return Reply([body], 200, {}, len(body))

    return reply


# --- what is not JSON-RPC ----------------------------------------------------------------------

NOT_JSON = {
    "nothing": b"",
    "a page": b"<html><body>502 Bad Gateway</body></html>",
    "half an object": b'{"jsonrpc":"2.0","id":1,"result":"fir',
    "two objects": b'{"jsonrpc":"2.0","id":1,"result":1}{"jsonrpc":"2.0","id":1,"result":1}',
    "not UTF-8": b'{"jsonrpc":"2.0","id":1,"result":"\xff\xfe"}',
    "an endless number": b'{"jsonrpc":"2.0","id":1,"result":' + b"9" * 5000 + b"}",
    "a string without an end": b'{"jsonrpc":"2.0","id":1,"result":"' + b'\\"[{' * 1_000_000,
    "brackets that close nothing": b"]" * 1_000_000,
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_an_answer_that_is_not_json_is_invalid(server: LyingRpc, body: bytes) -> None:
    server.reply = raw(body)
    with pytest.raises(RpcAnswerInvalid, match="not JSON") as caught:
        JsonRpc(server.url).call("first")
    assert caught.value.exit_code == 3
    assert server.url in caught.value.message


DEEP = {
    "lists": b"[" * 1_000_000,
    "lists, closed": b"[" * 1_000_000 + b"]" * 1_000_000,
    "objects": b'{"a":' * 1_000_000 + b"1" + b"}" * 1_000_000,
    "lists with brackets in strings": b'["]",' * 1_000_000 + b"1" + b"]" * 1_000_000,
    "lists with escaped quotes": b'["\\"]\\\\",' * 1_000_000 + b"1" + b"]" * 1_000_000,
    "65 levels": b'{"id":1,"result":' + b"[" * 64 + b"]" * 64 + b"}",
}


@pytest.mark.parametrize("body", DEEP.values(), ids=DEEP.keys())
def test_threat_16_a_deep_answer_is_invalid_whatever_the_recursion_limit(
    server: LyingRpc, body: bytes
) -> None:
    server.reply = raw(body)
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(100_000, before))  # as importing eth_account does, through py_ecc
    try:
        with pytest.raises(RpcAnswerInvalid, match="nested too deep"):
            JsonRpc(server.url).call("first")
    finally:
        sys.setrecursionlimit(before)


def test_a_wide_answer_is_not_a_deep_one(server: LyingRpc) -> None:
    wide = [{"a": ["[[[", ']{"'], "b": {}}] * 10_000
    server.reply = altered(lambda answer: answer | {"result": wide})
    assert JsonRpc(server.url).call("first") == wide


NOT_RPC: dict[str, object] = {
    "null": None,
    "a number": 7,
    "a string": "first",
    "an empty list": [],
    "a list of numbers": [1, 2, 3],
    "a list of lists": [[], [[]]],
    "an object without id": {"jsonrpc": "2.0", "result": "first"},
    "the id of another call": {"jsonrpc": "2.0", "id": 999, "result": "forged"},
    "an id that is a list": {"jsonrpc": "2.0", "id": [1], "result": "forged"},
    "an id that is an object": {"jsonrpc": "2.0", "id": {"id": 1}, "result": "forged"},
    "ids that are lists": [{"jsonrpc": "2.0", "id": [1], "result": "forged"}],
    "neither result nor error": {"jsonrpc": "2.0", "id": 1},
    "an error of nothing": {"jsonrpc": "2.0", "id": 1, "error": None},
}


@pytest.mark.parametrize("answer", NOT_RPC.values(), ids=NOT_RPC.keys())
def test_an_answer_that_is_not_json_rpc_is_invalid(server: LyingRpc, answer: object) -> None:
    server.reply = altered(lambda _: answer)
    with pytest.raises(RpcAnswerInvalid) as caught:
        JsonRpc(server.url).call("first")
    assert "forged" not in caught.value.message
    with pytest.raises(RpcAnswerInvalid):
        JsonRpc(server.url).batch(CALLS)


# --- batches -----------------------------------------------------------------------------------


def test_answers_of_a_batch_are_matched_by_their_ids(server: LyingRpc) -> None:
    server.reply = altered(lambda answers: answers[::-1])
    assert JsonRpc(server.url).batch(CALLS) == ["first", "second", "third"]
    assert server.posts == [3]


@pytest.mark.parametrize("missing", range(3))
def test_a_batch_with_an_answer_left_out_is_invalid(server: LyingRpc, missing: int) -> None:
    server.reply = altered(lambda answers: answers[:missing] + answers[missing + 1 :])
    with pytest.raises(RpcAnswerInvalid, match=f"left out the answer to {CALLS[missing][0]}"):
        JsonRpc(server.url).batch(CALLS)


def test_a_batch_with_one_answer_in_place_of_all_is_invalid(server: LyingRpc) -> None:
    server.reply = altered(lambda answers: answers[0])
    with pytest.raises(RpcAnswerInvalid, match="left out"):
        JsonRpc(server.url).batch(CALLS)


def test_a_node_that_refuses_the_whole_batch_is_quoted(server: LyingRpc) -> None:
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": -32005, "message": "batch too large"}}
    server.reply = altered(lambda _: error)
    with pytest.raises(RpcError, match="batch too large") as caught:
        JsonRpc(server.url).batch(CALLS)
    assert caught.value.code == -32005


def test_an_error_inside_a_batch_is_that_calls_error(server: LyingRpc) -> None:
    def act(call: dict[str, Any], _: object) -> dict[str, Any]:
        if call["method"] == "second":
            return {"id": call["id"], "error": {"code": 3, "message": "no", "data": "0x01"}}
        return echo(call, _)

    server.act = act
    with pytest.raises(RpcError, match="refused second: no") as caught:
        JsonRpc(server.url).batch(CALLS)
    assert (caught.value.code, caught.value.data) == (3, "0x01")


@pytest.mark.parametrize("error", ["text", 7, ["list"], {}, {"code": "x"}, {"message": 5}])
def test_an_error_of_any_shape_is_an_error(server: LyingRpc, error: object) -> None:
    server.reply = altered(lambda answer: {"id": answer["id"], "error": error, "result": "forged"})
    with pytest.raises(RpcError, match="refused first"):
        JsonRpc(server.url).call("first")


def test_a_long_error_text_is_cut(server: LyingRpc) -> None:
    server.reply = altered(
        lambda answer: {"id": answer["id"], "error": {"message": "x" * 1_000_000}}
    )
    with pytest.raises(RpcError) as caught:
        JsonRpc(server.url).call("first")
    assert len(caught.value.message) < 1000


# --- size --------------------------------------------------------------------------------------


def test_an_answer_at_the_limit_is_read_and_one_byte_more_is_not(server: LyingRpc) -> None:
    def of_size(size: int) -> Callable[[object], Reply]:
        head, tail = b'{"jsonrpc":"2.0","id":1,"result":"', b'"}'
        return raw(head + b"x" * (size - len(head) - len(tail)) + tail)

    server.reply = of_size(ANSWER_LIMIT)
    assert len(JsonRpc(server.url).call("first")) > ANSWER_LIMIT - 100
    server.reply = of_size(ANSWER_LIMIT + 1)
    with pytest.raises(RpcAnswerInvalid, match="more than 33554432 bytes"):
        JsonRpc(server.url).call("first")


def test_an_endless_answer_ends_at_the_limit(server: LyingRpc) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        for chunk in repeat(b"[" * 65536):
            sent += len(chunk)
            yield chunk

    server.reply = lambda _: Reply(endless())
    with pytest.raises(RpcAnswerInvalid, match="more than"):
        JsonRpc(server.url).call("first")
    assert sent < 2 * ANSWER_LIMIT


def test_an_answer_compressed_unasked_is_refused_without_unpacking_it(server: LyingRpc) -> None:
    bomb = gzip.compress(bytes(1 << 28))
    server.reply = raw(bomb, content_encoding="gzip")
    tracemalloc.start()
    with pytest.raises(RpcAnswerInvalid, match="not JSON"):
        JsonRpc(server.url).call("first")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20
    assert server.headers[0]["accept-encoding"] == "identity"


# --- the connection ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(server: LyingRpc, canned: LyingRpc, status: int) -> None:
    with LyingRpc() as elsewhere:
        elsewhere.act = echo
        server.reply = raw(b"moved", status, location=elsewhere.url)
        with pytest.raises(RpcAnswerInvalid, match=f"HTTP status {status}"):
            JsonRpc(server.url).call("first")
        assert elsewhere.paths == []


def test_a_dead_port_is_unavailable_and_says_why() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(RpcUnavailable) as caught:
            JsonRpc(f"http://127.0.0.1:{port}").call("first")
    assert f"http://127.0.0.1:{port}" in caught.value.message
    assert "refused" in caught.value.causes[0]


def test_a_node_that_hangs_up_is_unavailable(server: LyingRpc) -> None:
    def hang_up(*_: object) -> dict[str, Any]:
        raise HangUp

    server.act = hang_up
    with pytest.raises(RpcUnavailable) as caught:
        JsonRpc(server.url).call("first")
    assert not isinstance(caught.value, RpcAnswerInvalid)
    assert len(server.asked) == 1, "a call that was sent is not sent again unasked"


def test_an_answer_cut_short_is_unavailable(server: LyingRpc) -> None:
    server.reply = lambda _: Reply([b'{"jsonrpc":"2.0",'], 200, {}, 1000)
    with pytest.raises(RpcUnavailable, match="did not answer"):
        JsonRpc(server.url).call("first")


def test_what_is_not_http_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        rpc = JsonRpc(f"http://127.0.0.1:{listener.getsockname()[1]}")

        def answer() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(RpcUnavailable):
            rpc.call("first")
        thread.join()


def test_a_node_that_hangs_is_given_up(server: LyingRpc) -> None:
    over = threading.Event()

    def hang(*_: object) -> dict[str, Any]:
        over.wait(60)
        raise HangUp

    server.act = hang
    with pytest.raises(RpcUnavailable, match="did not answer") as caught:
        JsonRpc(server.url, seconds=0.3).call("first")
    over.set()
    assert "no answer in time" in caught.value.causes[0]


def test_a_node_that_dribbles_is_given_up(server: LyingRpc) -> None:
    def dribble() -> Iterator[bytes]:
        for _ in range(600):
            time.sleep(0.1)
            yield b" "

    server.reply = lambda _: Reply(dribble())
    with pytest.raises(RpcUnavailable, match="did not answer") as caught:
        JsonRpc(server.url, seconds=0.5).call("first")
    assert "not whole after 0.5 seconds" in caught.value.causes[0]


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_an_http_error_with_a_page_is_unavailable(server: LyingRpc, status: int) -> None:
    server.reply = raw(b"<html>no</html>", status)
    with pytest.raises(RpcUnavailable, match=str(status)):
        JsonRpc(server.url).call("first")


# --- credentials -------------------------------------------------------------------------------

SECRETS = ("s3cr3t-user", "s3cr3t-pass", "s3cr3t-path", "s3cr3t-query", "s3cr3t-part")


def with_secrets(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://s3cr3t-user:s3cr3t-pass@{rest}/v3/s3cr3t-path?key=s3cr3t-query#s3cr3t-part"


def everything_of(error: BaseException) -> str:
    """All that a message, a log or a traceback could show of an error."""
    shown = "".join(traceback.format_exception(error))
    return shown + repr(getattr(error, "__dict__", ""))


@pytest.mark.parametrize(
    "url",
    [
        with_secrets("http://127.0.0.1:1"),
        with_secrets("https://127.0.0.1:1"),
        with_secrets("ws://node.example"),
        with_secrets("wss://node.example"),
        with_secrets("http://"),
        with_secrets("http://node.example:port"),
        with_secrets("http://node.example:99999"),
        with_secrets("http://[::1"),
        with_secrets("http://no de.example"),
        "http://s3cr3t-user:s3cr3t-pass/with-slash@node.example",
        with_secrets("http://" + "x" * 300),
        "s3cr3t-user:s3cr3t-pass@127.0.0.1:1",
        "127.0.0.1:1/v3/s3cr3t-path",
    ],
)
def test_secrets_of_an_rpc_url_are_never_shown(url: str) -> None:
    with pytest.raises((RpcUnavailable, UsageError)) as caught:
        JsonRpc(url).call("first")
    assert not [secret for secret in SECRETS if secret in everything_of(caught.value)]


def test_secrets_are_sent_to_the_node_and_only_there(server: LyingRpc) -> None:
    rpc = JsonRpc(with_secrets(server.url))
    assert rpc.call("first") == "first"
    basic = base64.b64encode(b"s3cr3t-user:s3cr3t-pass").decode()
    assert server.headers[0]["authorization"] == f"Basic {basic}"
    assert server.paths == ["/v3/s3cr3t-path?key=s3cr3t-query"]
    server.reply = raw(b"<html>")
    with pytest.raises(RpcAnswerInvalid) as caught:
        rpc.call("first")
    assert not [secret for secret in SECRETS if secret in everything_of(caught.value)]


def test_percent_encoded_credentials_are_decoded(server: LyingRpc) -> None:
    url = server.url.replace("://", "://us%40er:p%3Aa%2Fss%C3%A9@")
    assert JsonRpc(url).call("first") == "first"
    sent = base64.b64decode(server.headers[0]["authorization"].removeprefix("Basic "))
    assert sent == "us@er:p:a/ssé".encode()


def test_a_shown_url_keeps_what_tells_nodes_apart() -> None:
    assert shown_url("http://127.0.0.1:8545") == "http://127.0.0.1:8545"
    assert shown_url("https://[::1]:8545/") == "https://[::1]:8545"
    assert shown_url("https://node.example/v3/0123456789abcdef") == "https://node.example/…"


@pytest.mark.parametrize("url", ["", "node", "ftp://node", "file:///etc/passwd", "http://", "//x"])
def test_what_is_no_http_url_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        JsonRpc(url)
    assert caught.value.exit_code == 2
