"""What the tests of the whole jobs share: bytes, trees, and sources out of memory."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from integrity.client.publishing import Published
from integrity.client.recording import Recorder
from integrity.client.session import Session
from integrity.core.links import Link
from integrity.errors import SourceError
from integrity.home import Home
from integrity.store.database import Store

MIB = 1 << 20


def pattern(size: int, start: int = 0) -> bytes:
    """``size`` bytes of a 251-byte pattern, so that no two pieces of a file are alike."""
    cycle = bytes((start + i) % 251 for i in range(251))
    return (cycle * (size // 251 + 1))[:size]


def write_tree(root: Path, files: Mapping[str, bytes]) -> None:
    """The files, by their paths below ``root``."""
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)


def tree_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones and links' targets included."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


Act = Callable[[bytes, bytes], bytes]


class MemorySource:
    """A source out of memory that does all the port asks; ``act`` may lie, raise or do anything else
    when it is given the digest asked for and the true block.
    """

    def __init__(self, blocks: Mapping[bytes, bytes], act: Act | None = None) -> None:
        self.name = "memory"
        self.act = act
        self.asked: list[bytes] = []
        self.blocks = dict(blocks)
        self._lock = threading.Lock()

    def read(self, digest: bytes, buffer: memoryview) -> int:
        with self._lock:
            self.asked.append(digest)
        if digest not in self.blocks:
            raise SourceError(f"{self.name}: has not got {digest.hex()}")
        data = self.blocks[digest]
        if self.act is not None:
            data = self.act(digest, data)
        count = min(len(data), len(buffer))
        buffer[:count] = data[:count]
        return count

    def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True, slots=True)
class Release:
    """A published release: where its files are, what they are, and where they are served."""

    published: Published
    session: Session
    folder: Path
    url: str
    files: dict[str, bytes] = field(default_factory=dict)

    @property
    def link(self) -> Link:
        return self.published.link

    @property
    def blocks(self) -> dict[bytes, bytes]:
        """Every piece and node by its digest, for sources out of memory."""
        found = {
            sha256(data[at : at + MIB]): data[at : at + MIB]
            for data in self.files.values()
            for at in range(0, max(1, len(data)), MIB)
        }
        with Store(self.session.home.store) as store:
            wanted = [self.published.manifest]
            while wanted:
                digest = wanted.pop()
                block = store.node(digest)
                assert block is not None
                found[digest] = block
                if block[:1] == b"\x12":
                    # A file root's links: 32 bytes behind each CID's four.
                    parts = block.split(b"\x0a\x24\x01\x55\x12\x20")[1:]
                    wanted += [part[:32] for part in parts]
        return found


def record(
    session: Session, package: str, version: str, manifest: bytes, *, wait: bool = True
) -> Link:
    """Record any digest as a release, as a publisher might who means ill -> its link, once final."""
    info = session.key(None)
    link = Link(session.chosen_chain(), info.address, package, version)
    recorder = Recorder(session, link, version)
    signer = session.keystore.open(info, session.password)
    mined = recorder.record(signer, manifest, bytes(32), make_latest=True)
    if wait:
        recorder.wait_final(mined, 60)
    return link


# --- the real program --------------------------------------------------------------------------


def program(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "integrity_cli", *map(str, arguments)]


def environment(home: Home) -> dict[str, str]:
    return {**os.environ, "INTEGRITY_HOME": os.fspath(home.data_folder)}


def run(home: Home, *arguments: object, **options: Any) -> tuple[int, dict[str, Any]]:
    """Run a command with --json -> (exit code, what it printed)."""
    ended = subprocess.run(
        program(*arguments, "--json"),
        env=environment(home), capture_output=True, text=True, check=False, **options,
    )  # fmt: skip
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended.returncode, json.loads(ended.stdout)
