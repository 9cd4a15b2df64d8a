"""What a reader asks of a chain before it believes a record: the policy of a person, never of a link."""

from __future__ import annotations

from dataclasses import dataclass

from integrity.core.registry import ENDORSEMENT_KINDS

FINALIZED, SAFE, LATEST = "finalized", "safe", "latest"

ENDORSERS_LIMIT = 64
"""Endorsers that one policy names, and that one receipt speaks of."""


@dataclass(frozen=True, slots=True)
class Policy:
    """``finality`` names the block to read at: finalized, safe or latest; or ``confirmations`` blocks
    below the latest. ``quorum`` nodes must agree on its hash, unless it is the ``checkpoint``, a block's
    hash of 32 bytes. It may be ``max_age`` seconds old. ``unproven`` allows a node that cannot prove its
    state to be believed all the same, which the verdict says.

    Of a release: ``endorsements`` of the ``endorsers`` (addresses, of which the publisher's own does not
    count) must have endorsed its manifest as one of the ``endorsement_kinds``. It must have been published
    by the publisher's own account or one of the ``delegates``; None allows whomever the registry let.
    """

    finality: str = FINALIZED
    confirmations: int | None = None
    quorum: int = 1
    checkpoint: bytes | None = None
    max_age: float | None = None
    unproven: bool = False
    endorsements: int = 0
    endorsers: tuple[str, ...] = ()
    endorsement_kinds: tuple[int, ...] = tuple(ENDORSEMENT_KINDS)
    delegates: tuple[str, ...] | None = None

    @property
    def reads_at(self) -> str:
        """Which block it reads at, in words."""
        if self.confirmations is not None:
            return f"{self.confirmations} confirmations"
        return self.finality
