"""Signed transactions, written down before they are sent.

So a crash, Ctrl-C or a lost answer never leads to a second transaction for the same thing: the same
bytes are sent again, or others with the same nonce and a higher fee, and a chain takes one of them.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from integrity.disk.files import locked, write_whole

_NAME = re.compile(r"[0-9a-f]{64}\.json")


@dataclass(frozen=True, slots=True)
class Entry:
    """One signed transaction. ``purpose`` names what it is to do, so that it is found again; ``replaced``
    are the hashes of those that were signed for the same nonce before, the first one first: whichever a
    chain takes, it is this entry's.
    """

    purpose: str
    chain_id: int
    sender: str
    nonce: int
    hash: str
    raw: str
    replaced: tuple[str, ...] = ()

    @property
    def hashes(self) -> tuple[str, ...]:
        """All that were signed for the nonce, the newest first."""
        return (self.hash, *reversed(self.replaced))

    def signed_again(self, tx_hash: str, raw: str) -> Entry:
        """The same with newer bytes."""
        return replace(self, hash=tx_hash, raw=raw, replaced=(*self.replaced, self.hash))


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

    def find_hash(self, tx_hash: str) -> Entry | None:
        """The entry that this transaction is one of."""
        return next((entry for entry in self.all() if tx_hash in entry.hashes), None)

    def all(self) -> list[Entry]:
        """Every entry; a file that is not one of ours is passed over."""
        if not self._folder.is_dir():
            return []
        found = map(_read, sorted(self._folder.iterdir()))
        return [entry for entry in found if entry is not None]

    def add(self, entry: Entry) -> None:
        """Write a transaction down, durably; only then may it be sent. One that was signed again takes the
        place of the earlier ones in one step. Raises DiskError.
        """
        write_whole(self._path(entry), json.dumps(asdict(entry)).encode() + b"\n", private=True)

    def remove(self, entry: Entry) -> None:
        """It is final, or can never be mined: forget it."""
        with contextlib.suppress(OSError):
            self._path(entry).unlink()

    def _path(self, entry: Entry) -> Path:
        """An entry keeps the name of its first transaction."""
        return self._folder / f"{entry.hashes[-1].removeprefix('0x')}.json"


def _read(path: Path) -> Entry | None:
    if not _NAME.fullmatch(path.name):
        return None
    try:
        value = json.loads(path.read_text("utf-8"))
        entry = Entry(**value)
        return replace(entry, replaced=tuple(entry.replaced))
    except (OSError, ValueError, TypeError):
        return None
