"""What the tests of the gateway share: releases put in without a chain, and a plain socket."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from integrity.core.anycid import AnyCid
from integrity.core.cid import raw_cid
from integrity.disk.building import Naming, ReleaseBuilder
from integrity.home import Home
from integrity.store.database import Store

MIB = 1 << 20
SECONDS = 20
"""How long something may take before a test takes it for not happening."""

PUBLISHER = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


def pattern(size: int, start: int = 0) -> bytes:
    """``size`` bytes of a 251-byte pattern, so that no two pieces of a file are alike."""
    cycle = bytes((start + i) % 251 for i in range(251))
    return (cycle * (size // 251 + 1))[:size]


def put(home: Home, folder: Path, files: Mapping[str, bytes]) -> bytes:
    """Write the files and put the release of their folder into the home's store -> its manifest."""
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    with (
        Store(home.store) as store,
        ReleaseBuilder(folder, Naming(PUBLISHER, folder.name, "1")) as built,
    ):
        header = built.build()
        store.add_release(
            header, 31337, built.digest, built.place, built.unchanged_files(), built.nodes()
        )
        return built.digest


def url_of(data: bytes) -> str:
    """The path by which a block of these bytes is asked for."""
    return f"/ipfs/{raw_cid(hashlib.sha256(data).digest())}?format=raw"


def raw(cid: AnyCid) -> str:
    """The path by which a block is asked for."""
    return f"/ipfs/{cid}?format=raw"


def until(condition: Callable[[], bool]) -> bool:
    """Wait for something that happens by itself; whether it did."""
    waiting = threading.Event()
    for _ in range(SECONDS * 20):
        if condition():
            return True
        waiting.wait(0.05)
    return False


def rewrite_with_old_times(path: Path, data: bytes) -> None:
    """Other bytes in place, and the times put back: only ctime, which nobody can set, tells."""
    info = path.stat()
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


@dataclass(slots=True)
class Reply:
    """What came back over a socket until the other side closed it."""

    status: int
    headers: dict[str, str]
    body: bytes


def connect(url: str, *, receive_buffer: int = 0) -> socket.socket:
    """A plain connection to the server."""
    parts = urlsplit(url)
    connection = socket.socket()
    connection.settimeout(60)
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.connect((parts.hostname, parts.port))
    return connection


def send(connection: socket.socket, target: str, method: str = "GET", **headers: str) -> None:
    """A request that asks the server to close afterwards; ``_`` in a header's name is ``-``."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))


def receive(connection: socket.socket) -> Reply:
    """Everything until the end of the connection; a reset is an end like any other."""
    data = bytearray()
    try:
        while more := connection.recv(1 << 16):
            data += more
    except ConnectionResetError:
        pass
    finally:
        connection.close()
    head, _, body = bytes(data).partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    status = int(first.split()[1]) if first else 0
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    return Reply(status, headers, body)


def ask(url: str, target: str, method: str = "GET", **headers: str) -> Reply:
    """One request, one reply, over a connection of its own."""
    connection = connect(url)
    send(connection, target, method, **headers)
    return receive(connection)
