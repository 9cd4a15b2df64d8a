"""What this home has seen vouched for: how far each package was, which step 5 of the verifier holds a
record against, and which blocks were a chain's, on which receipts can be checked later.

Small files. Only what more than one node vouched for is kept: a single node that lies could else lock
its reader out for good.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import asdict, fields
from pathlib import Path

from integrity.disk.files import write_whole
from integrity.errors import DiskError
from integrity.verifier.record import Mark, Record


class Seen:
    """The marks of one home."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, chain_id: int, registry: str, publisher: str, package: str) -> Path:
        """Where a package's mark is kept; whoever deletes it starts anew."""
        name = f"{chain_id} {registry.lower()} {publisher.lower()} {package}"
        return self._folder / hashlib.sha256(name.encode()).hexdigest()

    def mark(self, chain_id: int, registry: str, publisher: str, package: str) -> Mark | None:
        """The mark; None when there is none, or none that can be read."""
        path = self.path(chain_id, registry, publisher, package)
        try:
            values = json.loads(path.read_bytes())
            numbers = [values[field.name] for field in fields(Mark)]
        except (OSError, ValueError, TypeError, KeyError):
            return None
        if not all(type(number) is int and number >= 0 for number in numbers):
            return None
        return Mark(*numbers)

    def note(self, record: Record) -> None:
        """Keep what a verified record showed, if it is further and well vouched for. Failing to is no
        error.
        """
        if not record.is_proven or not record.vouched.is_strong:
            return
        self._note_block(record.chain_id, record.block.hash)
        names = (record.chain_id, record.registry, record.publisher, record.package)
        head = record.head
        now, before = Mark(head.count, head.updated_at, record.block.number), self.mark(*names)
        if before is not None and now.block <= before.block:
            return
        with contextlib.suppress(DiskError):
            write_whole(self.path(*names), json.dumps(asdict(now)).encode(), private=True)

    def has_block(self, chain_id: int, block_hash: bytes) -> bool:
        """Whether this block was vouched for as one of the chain."""
        return self._block(chain_id, block_hash).exists()

    def _note_block(self, chain_id: int, block_hash: bytes) -> None:
        if self.has_block(chain_id, block_hash):
            return
        with contextlib.suppress(DiskError):
            write_whole(self._block(chain_id, block_hash), b"", private=True)

    def _block(self, chain_id: int, block_hash: bytes) -> Path:
        return self._folder / "blocks" / f"{chain_id}-{block_hash.hex()}"
