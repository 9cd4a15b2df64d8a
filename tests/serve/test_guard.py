"""Threat 46: clients that wait, drip, never read, or are too many keep nobody else from being served."""

from __future__ import annotations

import functools
import io
import random
import select
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from integrity.core.anycid import cid_of
from integrity.core.cid import RAW
from integrity.home import Home
from integrity.serve.budget import Budget
from integrity.serve.hosts import Hosts
from integrity.serve.running import Serving
from integrity.testing.serving import ServedHome

from .dags import Dag, car_of, dechunked
from .helpers import MIB, Reply, ask, connect, pattern, raw, receive, send, until

FOR_EVER = 600.0
"""What no test waits for."""

SMALL = b"what an honest client asks for"
BIGGEST = 2 * MIB
"""Bytes of the largest block there may be: less than the sockets of one connection hold."""


DAG = Dag()
LEAF = DAG.raw(SMALL)
BLOCKS = [DAG.raw(pattern(BIGGEST, n)) for n in range(8)]
FILE = DAG.file(*BLOCKS)
CAR = f"/ipfs/{FILE}?format=car"
CAR_SIZE = 8 * BIGGEST


def kept_open(url: str) -> int:
    """Connections that the server has not closed."""
    port = urlsplit(url).port
    connections = psutil.Process().net_connections("tcp")
    return sum(c.laddr.port == port and bool(c.raddr) for c in connections)


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side has closed, as far as one sees without reading."""
    poller = select.poll()
    poller.register(connection, select.POLLRDHUP)
    return bool(poller.poll(0))


def check_honest(url: str) -> None:
    """An honest client gets blocks and CARs, whatever the others do."""
    assert ask(url, raw(LEAF)).body == SMALL
    assert ask(url, raw(BLOCKS[0])).body == DAG.blocks[BLOCKS[0]]
    reply = ask(url, f"{CAR}&entity-bytes=0:9")
    assert car_of(reply, FILE) == [FILE, BLOCKS[0]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home.at(tmp_path_factory.mktemp("guarded") / "home")
    DAG.put_in(home)
    return home


@pytest.fixture
def many() -> Iterator[list[socket.socket]]:
    """Connections that a test opens; they are closed at its end."""
    opened: list[socket.socket] = []
    yield opened
    hang_up(opened)


def hang_up(connections: list[socket.socket]) -> None:
    for connection in connections:
        connection.close()


# --- requests that never end -------------------------------------------------------------------

HALVES = [
    b"", b"G", b"GET /ipfs/", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 4000, b"GET / HTTP/1.1\r\nHost: x\r\n\r",
]  # fmt: skip


def test_threat_46_a_thousand_half_open_clients_get_408_and_an_honest_one_its_blocks(
    home: Home, many: list[socket.socket]
) -> None:
    with ServedHome(home, Serving(head_seconds=3)) as served:
        for number in range(1000):
            connection = connect(served.url)
            connection.sendall(HALVES[number % len(HALVES)])
            many.append(connection)
        check_honest(served.url)
        statuses = [receive(connection).status for connection in many]
        check_honest(served.url)
    assert statuses == [408] * 1000


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"\r\n",
        b"\r\n\r\n",
        b"\r\n\r\nGET / HTTP/1.1\r\n",
        b"\n\n",
        b"\n\nGET /",
    ],
)
def test_threat_46_a_request_that_never_ends_is_given_up_however_it_begins(
    home: Home, first: bytes
) -> None:
    with ServedHome(home, Serving(head_seconds=0.5)) as served:
        connection = connect(served.url)
        connection.sendall(first)
        assert until(lambda: is_closed(connection))
        assert receive(connection).status in {400, 408}


def test_threat_46_a_request_that_comes_a_byte_at_a_time_is_given_up(home: Home) -> None:
    with ServedHome(home, Serving(head_seconds=1)) as served:
        connection = connect(served.url)
        connection.sendall(b"GET / HTTP/1.1\r\nX: ")

        def drip() -> bool:
            with suppress(OSError):
                connection.sendall(b"x")
            return is_closed(connection)

        assert until(drip)
        assert kept_open(served.url) == 0


def test_threat_46_the_second_request_of_a_connection_is_waited_for_no_longer_than_the_first(
    home: Home,
) -> None:
    with ServedHome(home, Serving(head_seconds=0.5)) as served:
        connection = connect(served.url)
        request = f"GET {raw(LEAF)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        connection.sendall(request + request[:-2])
        assert until(lambda: kept_open(served.url) == 0)
        reply = receive(connection)
    assert reply.body.startswith(SMALL + b"HTTP/1.1 408 ")


# --- clients that never read -------------------------------------------------------------------


def never_read(url: str, target: str, times: int = 1) -> socket.socket:
    """A connection on which more is asked for than its sockets hold."""
    connection = connect(url, receive_buffer=4096)
    request = f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    connection.sendall(request.encode() * times)
    return connection


@pytest.mark.parametrize(("target", "times"), [(CAR, 1), (raw(BLOCKS[0]), 8)], ids=["car", "raw"])
def test_threat_46_clients_that_never_read_are_cut_off(
    home: Home, many: list[socket.socket], target: str, times: int
) -> None:
    with ServedHome(home, Serving(read_seconds=1)) as served:
        many += [never_read(served.url, target, times) for _ in range(30)]
        check_honest(served.url)
        assert until(lambda: kept_open(served.url) == 0)
        check_honest(served.url)
        for connection in many:
            assert len(receive(connection).body) < CAR_SIZE


@pytest.mark.parametrize(
    "more",
    [f"GET {raw(LEAF)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(), b"GET / HTTP/1.1\r\n"],
    ids=["whole", "half"],
)
def test_threat_46_a_client_that_never_reads_is_cut_off_though_it_goes_on_asking(
    home: Home, more: bytes
) -> None:
    with ServedHome(home, Serving(read_seconds=1, head_seconds=1)) as served:
        connection = never_read(served.url, CAR)
        assert connection.recv(1, socket.MSG_PEEK)
        threading.Event().wait(0.5)  # the sockets are full
        connection.sendall(more)
        assert until(lambda: kept_open(served.url) == 0)
        connection.close()


def test_threat_46_half_a_request_sent_while_an_answer_is_read_does_not_spoil_the_answer(
    home: Home,
) -> None:
    """Nothing may stand in the middle of an answer, as a client would take it for a part of it."""
    expected = ask_for_car(home)
    with ServedHome(home, Serving(head_seconds=0.5, read_seconds=FOR_EVER)) as served:
        connection = never_read(served.url, CAR)
        assert connection.recv(1, socket.MSG_PEEK)
        connection.sendall(b"GET / HTTP/1.1\r\n")
        threading.Event().wait(2)
        answer, _, after = receive(connection).body.partition(b"HTTP/1.1 ")
    data, whole = dechunked(answer)
    assert expected.startswith(data)
    assert whole or not after


def ask_for_car(home: Home) -> bytes:
    with ServedHome(home) as served:
        data, whole = dechunked(ask(served.url, CAR).body)
    assert whole
    return data


def test_a_client_that_reads_slowly_is_not_cut_off(home: Home) -> None:
    """Eight times as fast as it must be, and yet in steps that the sockets' buffers hide."""
    with ServedHome(home, Serving(read_seconds=2)) as served:
        connection = connect(served.url, receive_buffer=4096)
        send(connection, CAR)
        data = bytearray()
        for _ in range(20):
            data += connection.recv(64 << 10, socket.MSG_WAITALL)
            threading.Event().wait(0.25)
        rest = io.BytesIO()
        with suppress(ConnectionResetError):
            while more := connection.recv(MIB):
                rest.write(more)
        connection.close()
    head, _, body = (bytes(data) + rest.getvalue()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert car_of(Reply(200, {"transfer-encoding": "chunked"}, body), FILE) == [FILE, *BLOCKS]


def test_a_client_that_takes_its_time_between_requests_is_not_cut_off(home: Home) -> None:
    with ServedHome(home, Serving(head_seconds=0.4, read_seconds=0.4)) as served:
        connection = connect(served.url)
        for _ in range(3):
            connection.sendall(f"GET {raw(LEAF)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            reply = b""
            while not reply.endswith(SMALL):
                more = connection.recv(MIB)
                assert more
                reply += more
            threading.Event().wait(0.7)
            assert not is_closed(connection)
        connection.close()


# --- too many connections ----------------------------------------------------------------------


def test_threat_46_of_too_many_connections_the_one_that_waits_longest_is_closed(
    home: Home, many: list[socket.socket]
) -> None:
    how = Serving(head_seconds=FOR_EVER, read_seconds=FOR_EVER, connections=20)
    with ServedHome(home, how) as served:
        many += [half_open(served.url) for _ in range(20)]
        for number in range(10):
            assert ask(served.url, raw(LEAF)).body == SMALL
            many.append(half_open(served.url))
            # The honest one took the place of the first, and this one took the honest one's.
            assert until(functools.partial(is_closed, many[number]))
            assert not any(map(is_closed, many[number + 1 :]))


def half_open(url: str) -> socket.socket:
    connection = connect(url)
    connection.sendall(b"GET ")
    return connection


def test_threat_46_many_connections_at_once_are_no_more_than_there_may_be(
    home: Home, many: list[socket.socket]
) -> None:
    how = Serving(head_seconds=FOR_EVER, read_seconds=FOR_EVER, connections=50)
    with ServedHome(home, how) as served:
        for _ in range(600):
            connection = socket.socket()
            connection.setblocking(False)
            with suppress(BlockingIOError):
                connection.connect(("127.0.0.1", urlsplit(served.url).port))
            many.append(connection)
        assert until(lambda: sum(not is_closed(c) for c in many) <= 50)
        check_honest(served.url)


def test_threat_46_who_has_just_come_is_not_closed_while_others_idle(
    home: Home, many: list[socket.socket]
) -> None:
    """They were served long ago and ask for nothing: it is they who wait."""
    how = Serving(head_seconds=FOR_EVER, read_seconds=FOR_EVER, connections=20)
    request = f"GET {raw(LEAF)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with ServedHome(home, how) as served:
        for _ in range(20):
            connection = connect(served.url)
            connection.sendall(request)
            assert connection.recv(100)
            many.append(connection)
        assert kept_open(served.url) == 20
        honest = [connect(served.url) for _ in range(10)]
        assert until(lambda: sum(map(is_closed, many)) == 10 or any(map(is_closed, honest)))
        for connection in honest:
            send(connection, raw(LEAF))
        assert [receive(connection).body for connection in honest] == [SMALL] * 10


def test_threat_46_clients_that_do_not_read_make_room_for_one_that_does(
    home: Home, many: list[socket.socket]
) -> None:
    how = Serving(head_seconds=FOR_EVER, read_seconds=FOR_EVER, connections=20)
    with ServedHome(home, how) as served:
        many += [never_read(served.url, CAR) for _ in range(20)]
        for _ in range(5):
            check_honest(served.url)
        many.append(connect(served.url))
        assert until(lambda: kept_open(served.url) <= 20)
        hang_up(many)


# --- hosts -------------------------------------------------------------------------------------


def ask_as(url: str, host: str | None, target: str = raw(LEAF), version: str = "1.1") -> Reply:
    connection = connect(url)
    line = "" if host is None else f"Host: {host}\r\n"
    connection.sendall(f"GET {target} HTTP/{version}\r\n{line}Connection: close\r\n\r\n".encode())
    return receive(connection)


FOREIGN = [
    "evil.example", "evil.example:8770", "127.0.0.1.evil.example", "localhost.evil.example", "localhos",
    "evil.example#localhost", "localhost@evil.example", "evil.example/127.0.0.1", "128.0.0.1", "0.0.0.0",
    "[::2]", "[::", "10.0.0.1", "127.0.0.1, evil.example", "notlocalhost", "", "files.example.org.evil",
]  # fmt: skip
OWN = [
    "localhost", "LOCALHOST:1", "localhost.", "127.0.0.1", "127.0.0.1:8770", "127.1.2.3", "[::1]", "[::1]:80",
]  # fmt: skip


@pytest.fixture(scope="module")
def named(home: Home) -> Iterator[str]:
    with ServedHome(home, Serving(names=("files.example.ORG", "second.example."))) as served:
        yield served.url


@pytest.mark.parametrize("host", FOREIGN)
def test_threat_46_a_foreign_host_is_403_on_loopback(named: str, host: str) -> None:
    for target in (raw(LEAF), CAR, f"/routing/v1/providers/{LEAF}", "/", "/x"):
        reply = ask_as(named, host, target)
        assert reply.status in {400, 403}
        assert SMALL not in reply.body


def test_threat_46_no_host_at_all_is_refused_on_loopback(named: str) -> None:
    assert ask_as(named, None, version="1.0").status == 403
    assert ask_as(named, None).status in {400, 403}


@pytest.mark.parametrize(
    "host", [*OWN, "Files.Example.ORG", "files.example.org.:443", "second.example"]
)
def test_the_names_of_loopback_and_those_it_was_told_are_answered(named: str, host: str) -> None:
    assert ask_as(named, host).body == SMALL


def test_who_listens_for_all_answers_to_every_name() -> None:
    for host in (*FOREIGN, *OWN):
        assert Hosts("192.0.2.1").allows(host)
        assert Hosts("127.0.0.1").allows(host) == (host in OWN)


# --- ranges ------------------------------------------------------------------------------------


def test_threat_46_a_thousand_ranges_are_no_more_than_one_answer(home: Home) -> None:
    ranges = ",".join(f"{n}-{n}" for n in range(1000))
    with ServedHome(home) as served:
        many_ranges = ask(served.url, raw(BLOCKS[0]), range=f"bytes={ranges}")
        beyond = [ask(served.url, raw(LEAF), range=f"bytes={n}-") for n in range(500, 1500)]
        check_honest(served.url)
    assert (many_ranges.status, many_ranges.body) == (200, DAG.blocks[BLOCKS[0]])
    assert {reply.status for reply in beyond} == {416}
    assert not any(reply.body for reply in beyond)


# --- memory ------------------------------------------------------------------------------------


class WatchedBudget(Budget):
    """A real one that is small, and whose refusals are counted."""

    def __init__(self) -> None:
        super().__init__(MIB + MIB // 2)
        self.refused = 0
        WatchedBudget.last = self

    last: WatchedBudget

    def has_room(self, size: int) -> bool:
        room = super().has_room(size)
        self.refused += not room
        return room

    def waiting(self) -> list[int]:
        """How many bytes each of those who hold some has not yet taken."""
        transports = [t for t in list(self._held) if hasattr(t, "get_write_buffer_size")]
        return [transport.get_write_buffer_size() for transport in transports]


@contextmanager
def little_memory(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, WatchedBudget]]:
    monkeypatch.setattr("integrity.serve.gateway.Budget", WatchedBudget)
    how = Serving(head_seconds=FOR_EVER, read_seconds=FOR_EVER)
    with ServedHome(home, how) as served:
        yield served.url, WatchedBudget.last


def test_threat_46_while_memory_is_short_all_get_the_right_blocks_in_the_end(
    home: Home, monkeypatch: pytest.MonkeyPatch, many: list[socket.socket]
) -> None:
    with little_memory(home, monkeypatch) as (url, budget):
        order = [random.Random(n).sample(BLOCKS, 3) for n in range(6)]
        for cids in order:
            connection = connect(url, receive_buffer=4096)
            for cid in cids:
                connection.sendall(f"GET {raw(cid)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            send(connection, raw(LEAF))
            many.append(connection)
        assert until(lambda: budget.refused > 0)
        check_honest(url)
        for connection, cids in zip(many, order, strict=True):
            everything = receive(connection)
            bodies = everything.body.split(b"HTTP/1.1 200 OK\r\n")
            found = [bodies[0], *(body.partition(b"\r\n\r\n")[2] for body in bodies[1:])]
            assert found == [*(DAG.blocks[cid] for cid in cids), SMALL]
    assert budget.waiting() == []
    assert budget.has_room(MIB + MIB // 2)


def test_threat_46_while_memory_is_short_the_slowest_car_is_cut(
    home: Home, monkeypatch: pytest.MonkeyPatch, many: list[socket.socket]
) -> None:
    with little_memory(home, monkeypatch) as (url, budget):
        many.append(never_read(url, CAR))
        seen: list[list[int]] = []

        def stands_still() -> bool:
            seen.append(budget.waiting())
            return len(seen) > 10 and seen[-1] == seen[-10] and sum(seen[-1]) > 0

        assert until(stands_still)
        reply = ask(url, CAR)
        assert car_of(reply, FILE) == [FILE, *BLOCKS]
        assert until(lambda: kept_open(url) == 0)
        _, whole = dechunked(receive(many[0]).body)
        assert not whole
        check_honest(url)
    assert budget.has_room(MIB + MIB // 2)


def test_threat_46_while_memory_is_short_honest_clients_are_served_one_beside_another(
    home: Home, monkeypatch: pytest.MonkeyPatch, many: list[socket.socket]
) -> None:
    asked = random.Random(4).choices([*BLOCKS, LEAF], k=20)
    with little_memory(home, monkeypatch) as (url, _), ThreadPoolExecutor(4) as pool:
        many += [never_read(url, raw(BLOCKS[n]), 4) for n in range(8)]
        answers = list(pool.map(lambda cid: ask(url, raw(cid)).body, asked))
        hang_up(many)
    assert answers == [DAG.blocks[cid] for cid in asked]


def test_a_block_that_goes_while_it_is_sent_slowly_ends_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pattern(BIGGEST, 99)
    dag = Dag()
    cid = dag.raw(data)
    home = Home.at(tmp_path / "home")
    dag.put_in(home)
    with ExitStack() as stack:
        url, budget = stack.enter_context(little_memory(home, monkeypatch))
        connection = never_read(url, raw(cid), 4)
        assert until(lambda: budget.refused > 0)
        for file in home.store.with_name("imports").iterdir():
            file.write_bytes(b"")
        parts = receive(connection).body.split(b"HTTP/1.1 200 OK\r\n")
        bodies = [parts[0], *(part.partition(b"\r\n\r\n")[2] for part in parts[1:])]
        assert all(body == data for body in bodies[:-1])
        assert data.startswith(bodies[-1])
        assert len(bodies) < 4 or len(bodies[-1]) < BIGGEST
        assert ask(url, raw(cid)).status == 404
    assert cid == cid_of(RAW, data)
