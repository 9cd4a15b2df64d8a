"""Threats 45 to 47 at the server: only what was published, never wrong, and others wait for nobody."""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import random
import socket
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from integrity.core.cid import raw_cid
from integrity.home import Home
from integrity.testing.serving import ServedHome

from .conftest import Served
from .helpers import (
    MIB,
    ask,
    connect,
    pattern,
    put,
    receive,
    rewrite_with_old_times,
    send,
    url_of,
)

SECRET = "what-nobody-published"


@pytest.fixture
def secret(own_served: Served) -> Path:
    """A file of the publisher's beside the release, and one inside its folder."""
    for place in (own_served.folder.parent / "secret", own_served.folder / "later"):
        place.write_text(SECRET)
    return own_served.folder.parent / "secret"


# --- 47: exposure ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "/ipfs", "/ipfs/", "//", "/index.html", "/favicon.ico", "/api/v0/id", "/ipns/x",
        "/integrity/v1/", "/ipfs/{cid}/", "/ipfs/{cid}/README", "/ipfs/{cid}/../../secret",
        "{folder}/README", "{folder}/later", "/{secret}", "/ipfs{secret}", "/ipfs/{secret}",
        "/ipfs/../secret", "/ipfs/../../../../../../..{secret}", "/ipfs/..%2f..%2f..%2f{secret}",
        "/ipfs/%2e%2e/%2e%2e/secret", "/ipfs/%2e%2e%2f%2e%2e%2fsecret", "/ipfs/..%252fsecret",
        "/ipfs/..%5c..%5csecret", "/ipfs/%2F..%2F{secret}", "/ipfs/secret%00", "/ipfs/later",
        "/%2e%2e{secret}", "file://{secret}", "http://other.test{secret}", "/ipfs?arg={secret}",
        "/ipfs/~", "/ipfs/store.db", "/store.db", "*",
    ],
)  # fmt: skip
def test_threat_47_no_path_reaches_a_file(own_served: Served, secret: Path, target: str) -> None:
    cid = raw_cid(own_served.manifest)
    path = target.format(cid=cid, folder=own_served.folder, secret=secret)
    for query in ("", "?format=raw"):
        reply = ask(own_served.url, path + query)
        assert reply.status in {400, 404, 406}
        told = reply.body.decode("latin-1")
        assert SECRET not in told
        assert "README" not in told
        # What is said of the path is at most what was asked.
        assert os.fspath(own_served.home.data_folder) not in told.replace(path, "")


def test_threat_47_the_digest_of_a_file_that_was_not_published_opens_nothing(
    own_served: Served, secret: Path
) -> None:
    database = own_served.home.store
    for data in (SECRET.encode(), database.read_bytes(), Path("/etc/passwd").read_bytes()):
        digest = raw_cid(hashlib.sha256(data).digest())
        assert ask(own_served.url, f"/ipfs/{digest}?format=raw").status == 404


def test_threat_47_a_full_url_as_target_reaches_blocks_alone(own_served: Served) -> None:
    block = own_served.files["README"]
    reply = ask(own_served.url, f"http://other.test{url_of(block)}")
    assert reply.status in {200, 400, 404}
    assert reply.body == block or reply.status != 200


# --- 45: files that change ---------------------------------------------------------------------


def test_threat_45_a_changed_file_is_404_and_published_again_it_is_served(
    own_served: Served,
) -> None:
    old = own_served.files["README"]
    assert ask(own_served.url, url_of(old)).status == 200
    rewrite_with_old_times(own_served.folder / "README", b"x" * len(old))
    assert ask(own_served.url, url_of(old)).status == 404
    assert ask(own_served.url, url_of(old), "HEAD").status == 404
    put(own_served.home, own_served.folder, {})
    assert ask(own_served.url, url_of(b"x" * len(old))).body == b"x" * len(old)


@pytest.mark.parametrize("size", [60_000, MIB])
@pytest.mark.parametrize("receive_buffer", [0, 4096])
def test_threat_45_bytes_overwritten_before_the_client_read_them_never_arrive(
    tmp_path: Path, size: int, receive_buffer: int
) -> None:
    """What the server sent may wait in the sockets for as long as the client likes."""
    data = pattern(size)
    with ServedHome(_home_with(tmp_path, data)) as served:
        for _ in range(2):
            assert ask(served.url, url_of(data)).body == data
        connection = connect(served.url, receive_buffer=receive_buffer)
        send(connection, url_of(data))
        assert connection.recv(1, socket.MSG_PEEK)  # the answer has begun
        # By now a server on another core has sent all that the sockets hold.
        assert ask(served.url, url_of(data)).body == data
        rewrite_with_old_times(tmp_path / "release" / "file", b"\xee" * size)
        reply = receive(connection)
    assert reply.status == 200
    assert len(reply.body) < size or reply.body == data


@pytest.mark.parametrize("place", ["/dev/shm", None], ids=["tmpfs", "disk"])
def test_threat_45_a_write_through_a_memory_map_which_moves_no_time_stamp_is_not_served(
    tmp_path: Path, place: str | None
) -> None:
    data = pattern(MIB)
    with tempfile.TemporaryDirectory(dir=place or tmp_path) as folder:
        file = Path(folder) / "release" / "file"
        file.parent.mkdir()
        file.write_bytes(data)
        with file.open("r+b") as opened, mmap.mmap(opened.fileno(), 0) as mapped:
            mapped[0] = data[0]  # from here on its page is dirty, and its times stand still
            home = Home.at(tmp_path / "home")
            put(home, file.parent, {})
            with ServedHome(home) as served:
                for _ in range(2):
                    assert ask(served.url, url_of(data)).body == data
                before = file.stat()
                mapped[MIB - 1] ^= 1
                assert place is None or file.stat().st_mtime_ns == before.st_mtime_ns
                answer = ask(served.url, url_of(data))
                assert answer.status == 404 or len(answer.body) < MIB
                assert ask(served.url, url_of(data), Range="bytes=0-9").status in {404, 206}
                partial = ask(served.url, url_of(data), Range=f"bytes={MIB - 9}-")
                assert partial.status == 404 or partial.body == data[-9:]


def test_threat_45_a_file_rewritten_again_and_again_is_never_served_wrong(tmp_path: Path) -> None:
    data = pattern(MIB)
    with ServedHome(_home_with(tmp_path, data)) as served:
        assert ask(served.url, url_of(data)).body == data
        stop = threading.Event()

        def rewrite() -> None:
            while not stop.is_set():
                rewrite_with_old_times(tmp_path / "release" / "file", b"\xee" * MIB)
                rewrite_with_old_times(tmp_path / "release" / "file", data)

        connections = [connect(served.url, receive_buffer=4096) for _ in range(10)]
        for connection in connections:
            send(connection, url_of(data))
        thread = threading.Thread(target=rewrite)
        thread.start()
        replies = [receive(connection) for connection in connections]
        stop.set()
        thread.join()
    for reply in replies:
        assert reply.status in {200, 404}
        assert reply.status == 404 or len(reply.body) < MIB or reply.body == data


@pytest.mark.parametrize("change", ["truncate", "remove", "grow"])
def test_threat_45_a_file_cut_or_grown_in_mid_answer_is_no_complete_answer(
    tmp_path: Path, change: str
) -> None:
    data = pattern(MIB)
    file = tmp_path / "release" / "file"
    with ServedHome(_home_with(tmp_path, data)) as served:
        for _ in range(2):
            assert ask(served.url, url_of(data)).body == data
        connection = connect(served.url, receive_buffer=4096)
        send(connection, url_of(data))
        assert connection.recv(1, socket.MSG_PEEK)
        if change == "truncate":
            os.truncate(file, 100)
        elif change == "remove":
            file.unlink()
        else:
            os.truncate(file, MIB + 1)
        reply = receive(connection)
        assert len(reply.body) < MIB or reply.body == data
        assert ask(served.url, url_of(data)).status == (200 if change == "grow" else 404)


def test_threat_45_a_broken_off_answer_ends_a_connection_that_was_to_be_kept(
    tmp_path: Path,
) -> None:
    """Else the client would take the next answer for the rest of this one."""
    data = pattern(6 * MIB)
    with ServedHome(_home_with(tmp_path, data)) as served:
        pieces = [data[at : at + MIB] for at in range(0, len(data), MIB)]
        for piece in pieces * 2:
            assert ask(served.url, url_of(piece)).body == piece
        # The sockets fill up at another place of a piece on each of them.
        connections = [connect(served.url, receive_buffer=4096) for _ in range(12)]
        for number, connection in enumerate(connections):
            head = (
                f"GET {url_of(pieces[0])} HTTP/1.1\r\nHost: x\r\nRange: bytes=0-{number * 87_000}"
            )
            connection.sendall(head.encode() + b"\r\n\r\n")
            for piece in pieces:
                head = f"GET {url_of(piece)} HTTP/1.1\r\nHost: x\r\n\r\n"
                connection.sendall(head.encode())
            send(connection, url_of(b"absent"))
            assert connection.recv(1, socket.MSG_PEEK)
        os.truncate(tmp_path / "release" / "file", 100)
        for connection in connections:
            _check_end(_everything(connection), pieces)


def _check_end(everything: bytes, pieces: list[bytes]) -> None:
    """Whole answers, then perhaps 404s or a part of one answer; nothing behind that part."""
    parts = everything.split(b"HTTP/1.1 ")[1:]
    bodies = [part.partition(b"\r\n\r\n")[2] for part in parts]
    good = [body for body, part in zip(bodies, parts, strict=True) if part.startswith(b"200")]
    full = [body for body in good if len(body) == MIB]
    assert all(body in pieces for body in full)
    assert len(good) == len(full) or (len(good) == len(full) + 1 and parts[-1].startswith(b"200"))


def _everything(connection: socket.socket) -> bytes:
    data = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while more := connection.recv(1 << 16):
            data += more
    connection.close()
    return bytes(data)


def _home_with(place: Path, data: bytes) -> Home:
    home = Home.at(place / "home")
    put(home, place / "release", {"file": data})
    return home


# --- 46: clients that take their time ----------------------------------------------------------


def test_threat_46_slow_and_half_open_clients_keep_nobody_waiting(own_served: Served) -> None:
    tool = own_served.files["tool"][:MIB]
    assert ask(own_served.url, url_of(tool)).body == tool
    waiting: list[socket.socket] = []
    for number in range(200):
        connection = connect(own_served.url, receive_buffer=4096)
        if number % 4 == 0:
            send(connection, url_of(tool))  # and never read
        elif number % 4 == 1:
            connection.sendall(b"GET /ipfs/")
        elif number % 4 == 2:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        waiting.append(connection)
    assert ask(own_served.url, url_of(tool)).body == tool
    slow = receive(waiting[0])  # patience is rewarded
    assert slow.body == tool
    for connection in waiting[1:]:
        connection.close()
    assert ask(own_served.url, url_of(tool)).body == tool


def test_threat_46_clients_that_hang_up_leave_no_open_file(own_served: Served) -> None:
    tool = own_served.files["tool"][:MIB]
    for _ in range(2):
        assert ask(own_served.url, url_of(tool)).body == tool
    for _ in range(40):
        connection = connect(own_served.url, receive_buffer=4096)
        send(connection, url_of(tool))
        assert connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
    _until_no_descriptor_of(own_served.folder / "tool")
    assert ask(own_served.url, url_of(tool)).body == tool


def _until_no_descriptor_of(file: Path) -> None:
    """Returns once the server has noticed; a leak makes the test hang and be seen."""
    name = os.fspath(file)
    while any(name == _target(number) for number in os.listdir("/proc/self/fd")):
        threading.Event().wait(0.02)


def _target(number: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        return ""


def test_many_clients_at_once_each_get_their_own_block(own_served: Served) -> None:
    blocks = [own_served.files["README"], own_served.files["tool"][:MIB], b"", b"unicode"]
    asked = random.Random(8).choices(blocks, k=200)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda block: ask(own_served.url, url_of(block)).body, asked))
    assert answers == asked
