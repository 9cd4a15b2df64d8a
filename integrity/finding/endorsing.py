"""Who vouches for a manifest, found in the index and proven by the state."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from integrity.client.session import Session
from integrity.client.viewing import View
from integrity.core.names import checksum_address
from integrity.core.registry import ENDORSEMENT_KINDS, decode_endorsement, endorsement_slot
from integrity.finding.indexing import scope_of_view
from integrity.finding.knowing import Acquaintance
from integrity.index.database import Index
from integrity.index.reading import EndorsementRow, endorsements

PROVEN = 1000
"""Endorsements that are proven in one go, those of known accounts before others: anybody may make any
number of them.
"""

_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Endorsement:
    """What an account says of a manifest at the block of a view. ``kind`` and ``endorsed_at`` (Unix seconds)
    are the state's; None: it was withdrawn. ``block`` and ``transaction`` are the event's.
    """

    endorser: str
    alias: str | None
    known: bool
    kind: str | None
    endorsed_at: int | None
    block: int
    block_hash: bytes
    transaction: bytes


def endorsements_of(
    session: Session, index: Index, view: View, manifests: Iterable[bytes]
) -> dict[bytes, list[Endorsement]]:
    """What is said of each manifest: by accounts that this home knows, in the order of their aliases, then
    by others; of these only what stands. Raises StoreError, ProofInvalid or RpcUnavailable.
    """
    known = Acquaintance.of(session, view.chain_id)
    found: dict[bytes, list[Endorsement]] = {manifest: [] for manifest in manifests}
    scope = scope_of_view(view)
    rows = [
        row
        for manifest in found
        for row in endorsements(index, scope, manifest, view.block.number, known.raw)
    ]
    rows.sort(key=lambda row: (not known.knows(checksum_address(row.endorser)), row.block))
    for row, word in _words(view, rows[:PROVEN]):
        said = _endorsement(known, row, word)
        if said.kind is not None or (said.known and row.kind == 0):
            found[row.manifest].append(said)
    for one in found.values():
        one.sort(key=lambda said: (not said.known, said.alias or "", said.block))
    return found


def _words(view: View, rows: list[EndorsementRow]) -> Iterator[tuple[EndorsementRow, bytes]]:
    waiting = iter(rows)
    while batch := list(itertools.islice(waiting, _AT_ONCE)):
        slots = [endorsement_slot("0x" + row.endorser.hex(), row.manifest) for row in batch]
        yield from zip(batch, view.words(slots), strict=True)


def _endorsement(known: Acquaintance, row: EndorsementRow, word: bytes) -> Endorsement:
    state = decode_endorsement(word)
    endorser = checksum_address(row.endorser)
    stands = state.kind != 0
    return Endorsement(
        endorser, known.aliases.get(endorser), known.knows(endorser),
        ENDORSEMENT_KINDS.get(state.kind, str(state.kind)) if stands else None,
        state.endorsed_at if stands else None, row.block, row.block_hash, row.transaction,
    )  # fmt: skip
