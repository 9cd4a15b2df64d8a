"""What the tests of the whole jobs share: bytes, trees, and sources out of memory."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from integrity.client.session import Session
from integrity.core.links import Link
from integrity.downloading import getting
from integrity.home import Home
from integrity.publishing.publish import Published
from integrity.publishing.recording import Recorder
from integrity.store.database import Store
from tests.adversary.sources import AT_ONCE

MIB = 1 << 20


get = functools.partial(getting.get, terms=AT_ONCE)
"""Get a release without patience for sources that fail."""


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
    signer = session.signer(info)
    call = recorder.publishing(manifest, bytes(32), make_latest=True)
    mined = recorder.record(signer, call)
    if wait:
        recorder.wait_final(mined, signer, 60)
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
