"""Signed transactions, written down before they are sent.

So a crash, Ctrl-C or a lost answer never leads to a second transaction for the same thing: the same
bytes are sent again, and a chain takes them once.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from integrity.disk.files import locked, write_whole

_NAME = re.compile(r"[0-9a-f]{64}\.json")


@dataclass(frozen=True, slots=True)
class Entry:
    """One signed transaction. ``purpose`` names what it is to do, so that it is found again."""

    purpose: str
    chain_id: int
    sender: str
    nonce: int
    hash: str
    raw: str


def publish_purpose(
    chain_id: int, publisher: str, package: str, version: str, manifest: bytes
) -> str:
    """The purpose of the transaction that records one release."""
    return f"publish {chain_id} {publisher} {package} {version} {manifest.hex()}"


class Journal:
    """The folder of transactions that were signed and are not yet known to be final."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def sending(
        self, chain_id: int, sender: str, timeout: float = 600
    ) -> contextlib.AbstractContextManager[None]:
        """Held from the choice of a nonce until the transaction is mined: one at a time a key."""
        busy = f"has been sending with the key {sender} all along"
        return locked(self._folder / f"{chain_id}-{sender}.lock", timeout, busy)

    def find(self, purpose: str) -> Entry | None:
        """The transaction signed for this purpose, if it is not finished."""
        return next((entry for entry in self.all() if entry.purpose == purpose), None)

    def all(self) -> list[Entry]:
        """Every entry; a file that is not one of ours is passed over."""
        if not self._folder.is_dir():
            return []
        entries = []
        for path in sorted(self._folder.iterdir()):
            if _NAME.fullmatch(path.name):
                with contextlib.suppress(OSError, ValueError, TypeError):
                    entries.append(Entry(**json.loads(path.read_text("utf-8"))))
        return entries

    def add(self, entry: Entry) -> None:
        """Write a transaction down, durably; only then may it be sent. Raises DiskError."""
        write_whole(
            self._path(entry.hash), json.dumps(asdict(entry)).encode() + b"\n", private=True
        )

    def remove(self, tx_hash: str) -> None:
        """It is final, or can never be mined: forget it."""
        with contextlib.suppress(OSError):
            self._path(tx_hash).unlink()

    def _path(self, tx_hash: str) -> Path:
        return self._folder / f"{tx_hash.removeprefix('0x')}.json"
