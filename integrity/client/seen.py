"""What this home has seen vouched for: how far each package was, which step 5 of the verifier holds a
record against, and which blocks were a chain's, on which receipts can be checked later.

Small files. Only what more than one node vouched for is kept, of a block that stays: a single node that
lies, or a block that the chain drops, could else lock its reader out for good.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from dataclasses import asdict, fields
from pathlib import Path

from integrity.core.jsonlines import parse_object
from integrity.disk.files import locked, write_whole
from integrity.errors import DiskError, FormatError, Locked, StoreError
from integrity.verifier.checks import Mark
from integrity.verifier.record import Record
from integrity.verifier.state import CHECKPOINT, QUORUM

_ANY = 1 << 30
_LOCK_SECONDS = 10
_VOTES = re.compile(r"[0-9]{1,9}")


class Seen:
    """The marks of one home."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, chain_id: int, registry: str, publisher: str, package: str) -> Path:
        """Where a package's mark is kept; whoever deletes it starts anew."""
        name = f"{chain_id} {registry.lower()} {publisher.lower()} {package}"
        return self._folder / hashlib.sha256(name.encode()).hexdigest()

    def mark(self, chain_id: int, registry: str, publisher: str, package: str) -> Mark | None:
        """The mark; None when there is none. Raises StoreError when there is something else: a rollback
        could not be noticed any more.
        """
        path = self.path(chain_id, registry, publisher, package)
        try:
            return _mark(path.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it is no mark"
            raise StoreError(
                f"how far this home has seen {package} of {publisher} cannot be read from {str(path)!r}: "
                f"{why}",
                next="Put the file back from a copy; or delete it, and whatever is seen next counts.",
            ) from error

    def note(self, record: Record) -> None:
        """Keep what a verified record showed, if it is further and well vouched for. Failing to is no
        error.
        """
        vouched = record.vouched
        if not (record.is_proven and vouched.is_strong and vouched.is_final):
            return
        busy = f"is changing {self._folder}"
        # Whoever cannot be waited for leaves a mark as good; StoreError is told to who reads it next.
        with (
            contextlib.suppress(DiskError, Locked, StoreError),
            locked(self._folder / ".lock", _LOCK_SECONDS, busy),
        ):
            who = str(len(vouched.nodes)) if vouched.how == QUORUM else vouched.how
            self._note_block(record, who)
            self._note_mark(record)

    def _note_mark(self, record: Record) -> None:
        """Marks only rise: a checkpoint may be of a state that contradicts what was seen."""
        names = (record.chain_id, record.registry, record.publisher, record.package)
        now = Mark(record.head.count, record.head.updated_at, record.block.number)
        before = self.mark(*names)
        if before is not None and (
            now.block <= before.block
            or now.count < before.count
            or now.updated_at < before.updated_at
        ):
            return
        write_whole(self.path(*names), json.dumps(asdict(now)).encode(), private=True)

    def has_block(self, chain_id: int, block_hash: bytes, quorum: int) -> bool:
        """Whether this block was vouched for as one of the chain that stays: by the person, or by so many
        nodes.
        """
        try:
            votes = _votes(self._block(chain_id, block_hash).read_text("utf-8"))
        except (OSError, ValueError):
            return False
        return votes is None or votes >= quorum

    def files(self) -> list[Path]:
        """Every file that says something. Raises DiskError."""
        try:
            return [
                path
                for folder in (self._folder, self._blocks)
                if folder.exists()
                for path in sorted(folder.iterdir())
                if path != self._blocks and not path.name.startswith(".")
            ]
        except OSError as error:
            raise DiskError(f"cannot read {self._folder}: {error.strerror or error}") from error

    def broken(self) -> list[Path]:
        """Those of the files that cannot be read, or say nothing that this home ever writes. Raises
        DiskError.
        """
        return [path for path in self.files() if not self._is_whole(path)]

    def _is_whole(self, path: Path) -> bool:
        try:
            text = path.read_text("utf-8")
            if path.parent == self._blocks:
                _votes(text)
            else:
                _mark(text)
        except (OSError, ValueError):
            return False
        return True

    @property
    def _blocks(self) -> Path:
        return self._folder / "blocks"

    def _note_block(self, record: Record, who: str) -> None:
        if self.has_block(record.chain_id, record.block.hash, _votes(who) or _ANY):
            return
        write_whole(self._block(record.chain_id, record.block.hash), who.encode(), private=True)

    def _block(self, chain_id: int, block_hash: bytes) -> Path:
        return self._blocks / f"{chain_id}-{block_hash.hex()}"


def _votes(text: str) -> int | None:
    """How many nodes vouched for a block; None when a checkpoint did. Raises ValueError."""
    if text == CHECKPOINT:
        return None
    if not _VOTES.fullmatch(text):
        raise ValueError("it is no number of nodes")
    return int(text)


def _mark(text: str) -> Mark:
    """A mark as it is written. Raises ValueError."""
    try:
        values = parse_object(text.encode(), "a mark", 1)
        numbers = [values[field.name] for field in fields(Mark)]
    except (FormatError, KeyError) as error:
        raise ValueError("it is no mark") from error
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError("it is no mark")
    return Mark(*numbers)
