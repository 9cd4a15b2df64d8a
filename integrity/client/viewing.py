"""The registry's state at one block: what a node gives is proven, step by step, or refused.

All reads of one view are pinned to one block's hash, so that nodes behind one address which are not
equally far never mix in one verdict. Which block that is says :mod:`integrity.client.vouching`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from integrity.chain.profiles import profile_of
from integrity.core.names import keccak256
from integrity.core.registry import Block, StateProof
from integrity.errors import (
    IntegrityError,
    NoQuorum,
    ProofInvalid,
    ProofUnavailable,
    RpcUnavailable,
)
from integrity.ports import ChainReader, ReleasedEvent
from integrity.verifier.checks import Registry, check_code
from integrity.verifier.proofs import read_header
from integrity.verifier.state import ProvenState, Vouched

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Sighting:
    """A block, and its header's RLP if it is to prove anything."""

    block: Block
    header: bytes | None


class View:
    """The registry at one block. ``nodes`` are those that may be asked, in their order; what one cannot
    prove, or proves wrongly, the next one is asked for. Without a header nothing is proven, and so many nodes
    have to say ``alike``.
    """

    def __init__(
        self,
        nodes: Sequence[ChainReader],
        registry: Registry,
        chain_id: int,
        seen: Sighting,
        vouched: Vouched,
        *,
        unproven: bool,
        alike: int = 1,
    ) -> None:
        self.block = seen.block
        self.header = seen.header
        self.vouched = vouched
        self.registry = registry
        self.chain_id = chain_id
        self.is_proven = seen.header is not None
        self.code_hash = b""
        """The Keccak-256 of the code that stands there, once a word was read."""
        self._nodes = list(nodes)
        self._state: ProvenState | None = None
        if seen.header is not None:
            self._state = ProvenState(read_header(seen.header), registry.address)
        self._unproven = unproven
        self._alike = alike
        self._account: tuple[bytes, ...] = ()
        self._known: dict[bytes, tuple[bytes, tuple[bytes, ...]]] = {}

    @property
    def node(self) -> ChainReader:
        """The node that answers, for what is only a hint."""
        return self._nodes[0]

    def released(self, publisher: str, package: str) -> list[ReleasedEvent]:
        """The registry's Released events of a package up to this block: hints."""
        address = self.registry.address
        return self._ask(lambda node: node.released(address, publisher, package, self.block))

    def delegates(self, publisher: str, first: int = 0) -> set[tuple[str, str]]:
        """Accounts and packages of the registry's DelegateSet events from the block ``first`` up to this one:
        hints, of all nodes that give any, as one of them may leave some out.
        """
        found: set[tuple[str, str]] = set()
        failed: list[IntegrityError] = []
        for node in self._nodes:
            try:
                found |= node.delegates(self.registry.address, publisher, first, self.block)
            except RpcUnavailable as error:
                failed.append(error)
        if len(failed) == len(self._nodes):
            raise worst(failed)
        return found

    def words(self, slots: Sequence[bytes]) -> list[bytes]:
        """The words of the registry's slots, 32 bytes each. Raises RegistryMismatch when another contract
        stands there, ProofInvalid, ProofUnavailable or RpcUnavailable.
        """
        if not self.is_proven:
            return self._believed(slots)
        try:
            return self.prove(slots)[0]
        except ProofUnavailable as error:
            if not self._unproven:
                known = profile_of(self.chain_id)
                error.next = known.remedy if known else error.next
                raise
            self.is_proven = False
            return self._believed(slots)

    def prove(self, slots: Sequence[bytes]) -> tuple[list[bytes], StateProof]:
        """The same with their proof, whatever the policy allows. What was proven once is not asked for
        again.
        """
        state = self._state
        if state is None:
            raise ProofUnavailable(f"nothing is proven as of block {self.block.number}")
        asked = [slot for slot in slots if slot not in self._known]

        def proven(node: ChainReader) -> tuple[list[bytes], StateProof]:
            proof = node.proof(self.registry.address, asked, self.block)
            return state.take(proof, asked), proof

        if asked or not self._account:
            words, proof = self._ask(proven)
            self._account = proof.account
            for slot, word in zip(asked, words, strict=True):
                self._known[slot] = word, proof.slots[slot]
        self.code_hash = state.code_hash
        check_code(self.registry, self.chain_id, self.code_hash)
        known = [self._known[slot] for slot in slots]
        nodes = dict(zip(slots, (nodes for _, nodes in known), strict=True))
        return [word for word, _ in known], StateProof(self._account, nodes)

    def _believed(self, slots: Sequence[bytes]) -> list[bytes]:
        """The same as a node says it, where the policy allows that."""
        address = self.registry.address
        self.code_hash = keccak256(self._said(lambda node: node.code(address, self.block)))
        check_code(self.registry, self.chain_id, self.code_hash)
        return list(self._said(lambda node: tuple(node.words(address, slots, self.block))))

    def _said(self, do: Callable[[ChainReader], _T]) -> _T:
        """What as many nodes as vouched for the block say alike; without proofs it is worth no more."""
        if self._alike == 1:
            return self._ask(do)
        votes: Counter[_T] = Counter()
        causes: list[str] = []
        for node in self._nodes:
            try:
                votes[do(node)] += 1
            except IntegrityError as error:
                causes += error.reasons
        told, count = max(votes.items(), key=lambda pair: pair[1], default=(None, 0))
        if told is None or count < self._alike:
            raise NoQuorum(
                f"{count} of {len(self._nodes)} nodes say the same of the registry, without proof, and "
                f"{self._alike} have to",
                causes=causes,
                next="Name nodes with --rpc that prove their state.",
            )
        return told

    def _ask(self, do: Callable[[ChainReader], _T]) -> _T:
        """What the first node gives that can; it is the first from then on."""
        failed: list[IntegrityError] = []
        for node in list(self._nodes):
            try:
                given = do(node)
            except (RpcUnavailable, ProofInvalid) as error:
                failed.append(error.about(node.name) if len(self._nodes) > 1 else error)
                continue
            self._nodes.remove(node)
            self._nodes.insert(0, node)
            return given
        raise worst(failed)


def worst(failed: Sequence[IntegrityError]) -> IntegrityError:
    """One error for all nodes: that of the first, or of the first that lied, with why each of them
    failed.
    """
    first = next((error for error in failed if isinstance(error, ProofInvalid)), failed[0])
    if len(failed) > 1:
        first.causes = [cause for error in failed for cause in error.reasons]
    return first
