"""A download of 4 GiB that is killed fifty times at moments that chance names, and then finished."""

from __future__ import annotations

import contextlib
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from integrity.client.session import Session
from integrity.publishing.publish import publish
from integrity.testing.threaded import ThreadedServer

pytestmark = pytest.mark.long

MIB = 1 << 20
PIECES = 4096
KILLS = 50
MARK = 8
"""Each piece is zeros but for its number, from 1, in its last bytes: the file with holes is small, and
what a kill left shows whether a piece was written to its end.
"""

IN_FLIGHT = 4 * 8
"""Four connections, each with a piece in hand and up to 6 MiB in the kernel's buffer."""


class Counting(ThreadedServer):
    """Sends ranges of one file; ``sent`` counts for each piece how often its last byte left."""

    def __init__(self, path: Path) -> None:
        self.sent: Counter[int] = Counter()
        server, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)

            def do_GET(self) -> None:
                span = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("range", ""))
                if self.path == "/release.integrity":
                    self._answer(200, path.parent.with_suffix(".integrity").read_bytes())
                elif self.path == "/release/file" and span is not None:
                    self._send(int(span[1]), int(span[2]))
                else:
                    self._answer(404, b"")

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _send(self, first: int, last: int) -> None:
                self.send_response(206)
                self.send_header("content-length", str(last + 1 - first))
                self.send_header("content-range", f"bytes {first}-{last}/{PIECES * MIB}")
                self.end_headers()
                with contextlib.suppress(OSError), path.open("rb") as file:
                    while first <= last:
                        first += os.sendfile(
                            self.connection.fileno(),
                            file.fileno(),
                            first,
                            min(MIB - first % MIB, last + 1 - first),
                        )
                        if first % MIB == 0:
                            with lock:
                                server.sent[first // MIB - 1] += 1

            def log_message(self, *_: object) -> None:
                """Silence: a test says itself what it sees."""

        super().__init__(Handler)


def mark(index: int) -> bytes:
    return (index + 1).to_bytes(MARK, "little")


def whole_pieces(path: Path) -> set[int]:
    """Those of a partial file that were written to their end."""
    if not path.exists():
        return set()
    with path.open("rb") as file:
        return {
            index
            for index in range(PIECES)
            if os.pread(file.fileno(), MARK, (index + 1) * MIB - MARK) == mark(index)
        }


def test_a_download_killed_fifty_times_fetches_nothing_twice_but_what_was_in_flight(
    integrity_publisher: Session, integrity_chain: Any, tmp_path: Path
) -> None:
    source = tmp_path / "release" / "file"
    source.parent.mkdir()
    with source.open("wb") as file:
        for index in range(PIECES):
            os.pwrite(file.fileno(), mark(index), (index + 1) * MIB - MARK)
    link = publish(integrity_publisher, source.parent, "killed", "1").link
    chance = random.Random(50)
    out, partial = tmp_path / "out", tmp_path / "out.part" / "tree" / "file"
    with Counting(source) as server:
        command = [
            Path(sys.executable).with_name("integrity"), "get", str(link), "-o", out,
            "--from", f"{server.url}/release", "--rpc", integrity_chain.rpc,
            "--publisher", link.publisher, "--progress", "none",
        ]  # fmt: skip
        environment = {**os.environ, "INTEGRITY_HOME": str(tmp_path / "home")}
        kills, lost = 0, 0
        while kills < KILLS:
            present = whole_pieces(partial)
            server.sent.clear()
            process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
            # Some are killed while they start or look at what is there, most while pieces come.
            enough = chance.randrange(2 * PIECES // KILLS)
            latest = time.monotonic() + chance.choice([chance.uniform(0, 2), 60])
            while server.sent.total() < enough and time.monotonic() < latest:
                assert process.poll() is None, "it ended before it was killed"
                time.sleep(0.001)
            process.kill()
            assert process.wait() == -9
            kills += 1
            assert not present & server.sent.keys(), "asked again for what was there"
            assert present <= whole_pieces(partial)
            in_flight = server.sent.keys() - whole_pieces(partial)
            assert len(in_flight) <= IN_FLIGHT
            lost += len(in_flight)
            assert not out.exists()
        present = whole_pieces(partial)
        server.sent.clear()
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
        assert not present & server.sent.keys()
    assert not partial.parent.parent.exists()
    with source.open("rb") as expected, (out / "file").open("rb") as got:
        for _ in range(PIECES):
            assert got.read(MIB) == expected.read(MIB)
    print(
        f"killed {kills} times; {len(present)} of {PIECES} pieces were there then, {lost} were in flight"
    )
