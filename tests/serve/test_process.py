"""The real ``integrity serve``: it says where it listens, follows the store, and ends when told."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from integrity.home import Home

from .helpers import MIB, ask, connect, pattern, put, receive, send, url_of


@dataclass(frozen=True, slots=True)
class Server:
    process: subprocess.Popen[str]
    url: str

    def end(self, number: signal.Signals) -> tuple[int, str, str]:
        """Its exit code and what else it wrote; a server that does not end fails the test."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


Start = Callable[..., Server]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "integrity_cli", "serve", *arguments]


def environment(home: Home) -> dict[str, str]:
    return {**os.environ, "INTEGRITY_HOME": os.fspath(home.data_folder)}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.at(tmp_path / "home")


@pytest.fixture
def start(home: Home) -> Iterator[Start]:
    with ExitStack() as stack:

        def run(*arguments: str) -> Server:
            process = subprocess.Popen(
                command("--port", "0", "--json", *arguments), env=environment(home), text=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            stack.callback(process.wait)
            stack.callback(process.kill)
            assert process.stdout is not None
            return Server(process, json.loads(process.stdout.readline())["url"])

        yield run


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_int_and_term_end_it_cleanly(
    home: Home, tmp_path: Path, start: Start, number: signal.Signals
) -> None:
    data = pattern(MIB)
    put(home, tmp_path / "release", {"file": data})
    server = start()
    assert server.url.startswith("http://127.0.0.1:")
    assert ask(server.url, url_of(data)).body == data
    assert server.end(number) == (0, "", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_clients_that_take_their_time_do_not_keep_it_from_ending(
    home: Home, tmp_path: Path, start: Start, number: signal.Signals
) -> None:
    data = pattern(MIB)
    put(home, tmp_path / "release", {"file": data})
    server = start()
    for _ in range(2):
        assert ask(server.url, url_of(data)).body == data
    idle, half, slow = (connect(server.url, receive_buffer=4096) for _ in range(3))
    half.sendall(b"GET /ipfs/")
    send(slow, url_of(data))
    assert slow.recv(1)
    code, out, err = server.end(number)
    assert (code, out) == (0, "")
    assert "Traceback" not in err
    for connection in (idle, half, slow):
        connection.close()


def test_a_client_that_hangs_up_or_a_file_that_changes_is_no_noise(
    home: Home, tmp_path: Path, start: Start
) -> None:
    data = pattern(MIB)
    put(home, tmp_path / "release", {"file": data})
    server = start()
    for _ in range(2):
        assert ask(server.url, url_of(data)).body == data
    gone, waiting = (connect(server.url, receive_buffer=4096) for _ in range(2))
    for connection in (gone, waiting):
        send(connection, url_of(data))
        assert connection.recv(1)
    gone.close()
    os.truncate(tmp_path / "release" / "file", 10)
    reply = receive(waiting)
    assert len(reply.body) < MIB or reply.body == data  # the sockets may have held all of it
    assert ask(server.url, url_of(data)).status == 404
    assert server.end(signal.SIGTERM) == (0, "", "")


def test_what_is_published_while_it_runs_is_served(
    home: Home, tmp_path: Path, start: Start
) -> None:
    server = start()
    assert ask(server.url, url_of(b"new")).status == 404
    put(home, tmp_path / "release", {"file": b"new"})
    assert ask(server.url, url_of(b"new")).body == b"new"


def test_two_servers_over_one_store_serve_alike(home: Home, tmp_path: Path, start: Start) -> None:
    put(home, tmp_path / "release", {"file": b"one"})
    first, second = start(), start()
    assert first.url != second.url
    put(home, tmp_path / "other", {"file": b"two"})
    for server in (first, second):
        assert ask(server.url, url_of(b"one")).body == b"one"
        assert ask(server.url, url_of(b"two")).body == b"two"
    assert first.end(signal.SIGTERM)[0] == 0
    assert ask(second.url, url_of(b"one")).body == b"one"


def test_a_port_that_is_taken_is_a_usage_error(home: Home, start: Start) -> None:
    server = start()
    port = server.url.rpartition(":")[2]
    run = subprocess.run(
        command("--port", port, "--json"),
        env=environment(home), capture_output=True, text=True, check=False,
    )  # fmt: skip
    error = json.loads(run.stdout)["error"]
    assert (run.returncode, error["name"]) == (2, "UsageError")
    assert port in error["message"]
    assert ask(server.url, "/ipfs/bafkqaaa?format=raw").status == 200


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.1", "not an address"])
def test_an_address_that_is_not_ours_is_a_usage_error(home: Home, host: str) -> None:
    run = subprocess.run(
        command("--host", host, "--port", "0", "--json"),
        env=environment(home), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (run.returncode, json.loads(run.stdout)["error"]["name"]) == (2, "UsageError")


def test_a_damaged_store_is_said_before_anything_is_served(home: Home) -> None:
    home.store.parent.mkdir(parents=True)
    home.store.write_bytes(b"no database at all" * 1000)
    run = subprocess.run(
        command("--port", "0", "--json"),
        env=environment(home), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (run.returncode, json.loads(run.stdout)["error"]["name"]) == (3, "StoreError")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"GET * HTTP/1.1\r\n\r\n",
        b"nonsense\r\n\r\n", (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nzz"), b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx",
        b"\x16\x03\x01\x02\x00", b"",
    ],
)  # fmt: skip
def test_what_is_no_http_is_no_noise(start: Start, request_bytes: bytes) -> None:
    server = start()
    connection = connect(server.url)
    connection.sendall(request_bytes)
    connection.shutdown(socket.SHUT_WR)
    receive(connection)
    assert server.end(signal.SIGTERM) == (0, "", "")


@pytest.mark.parametrize("host", ["a..b", "\udcff", "nowhere.invalid", "256.1.1.1"])
def test_an_address_that_is_none_is_refused(home: Home, host: str) -> None:
    done = subprocess.run(
        [os.fsencode(part) for part in command("--port", "0", "--host", host)],
        capture_output=True, check=False, env=environment(home),
    )  # fmt: skip
    assert (done.returncode, b"Traceback" in done.stderr) == (2, False), done.stderr
