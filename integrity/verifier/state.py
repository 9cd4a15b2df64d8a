"""The registry's storage at one block, as far as it was proven: steps 2 to 4 of the verifier (spec v1,
section 6), before anybody asks what the words mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from integrity.core.registry import Block, StateProof
from integrity.errors import ProofInvalid
from integrity.verifier.policy import FINALIZED
from integrity.verifier.proofs import BlockHeader, prove_account, prove_word
from integrity.verifier.verdict import at_step

CHECKPOINT, QUORUM, SEEN, ONE_NODE = "checkpoint", "quorum", "seen before", "one rpc"


@dataclass(frozen=True, slots=True)
class Vouched:
    """Why a block's hash is believed: a ``checkpoint`` that the person named, a ``quorum`` of ``nodes``
    that gave the same one of ``asked``, that this reader has ``seen`` one of these vouch for it before,
    or the word of ``one rpc``. ``dissent`` are those that gave another, as (node, hash); ``finality`` says
    what the nodes call the block, as ``finalized`` or ``12 confirmations``, where they were asked.
    """

    how: str
    nodes: tuple[str, ...] = ()
    asked: int = 1
    dissent: tuple[tuple[str, bytes], ...] = ()
    finality: str = ""

    @property
    def is_final(self) -> bool:
        """Whether the block is one that stays: what nodes call finalized, or the person's own checkpoint."""
        return self.finality == FINALIZED or self.how == CHECKPOINT

    @property
    def who(self) -> str:
        """In few words."""
        return f"{len(self.nodes)} of {self.asked} rpcs" if self.how == QUORUM else self.how

    @property
    def words(self) -> str:
        """The same in a sentence, with names."""
        if self.how == CHECKPOINT:
            return "the hash is the checkpoint's"
        if self.how == SEEN:
            return "it was vouched for in this home before"
        told = f"{', '.join(self.nodes) or 'a node'} alone says so"
        if self.how == QUORUM:
            told = f"{self.who} agree ({', '.join(self.nodes)})"
        odd = "".join(f"; {name} has 0x{found.hex()}" for name, found in self.dissent)
        return told + odd

    @property
    def is_strong(self) -> bool:
        """Whether it is more than a single node's word."""
        return self.how != ONE_NODE


def basis(vouched: Vouched, *, proven: bool) -> str:
    """On what a verdict rests, in few words."""
    return f"{vouched.who}, {'proven' if proven else 'unproven'}"


class ProvenState:
    """One account at one block. Words are given out only after they were proven against its header."""

    def __init__(self, header: BlockHeader, address: str) -> None:
        self.block: Block = header.block
        self.address = address
        self._header = header
        self.code_hash = b""

    def take(self, proof: StateProof, slots: Sequence[bytes]) -> list[bytes]:
        """The words of these slots, 32 bytes each, out of a node's proof of them and of the account.
        Raises ProofInvalid, with what was asked for as its evidence.
        """
        try:
            with at_step(3):
                account = prove_account(self._header.state_root, self.address, proof.account)
            self.code_hash = account.code_hash
            root = account.storage_root
            with at_step(4):
                return [prove_word(root, slot, proof.slots.get(slot, ())) for slot in slots]
        except ProofInvalid as error:
            error.evidence.update(
                address=self.address, block=self.block.number, block_hash=self.block.hash.hex()
            )
            raise
