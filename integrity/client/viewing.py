"""A chain's state at one block, which somebody vouches for: steps 2 and 3 around the I/O they need.

All reads of one view are pinned to one block's hash, so that nodes behind one address which are not
equally far never mix in one verdict.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from integrity.core.names import keccak256
from integrity.core.registry import Block, StateProof
from integrity.errors import (
    HeaderUntrusted,
    IntegrityError,
    NoQuorum,
    ProofInvalid,
    ProofUnavailable,
    RpcAnswerInvalid,
    RpcUnavailable,
    StaleBlock,
)
from integrity.ports import ChainReader, ReleasedEvent
from integrity.verifier.policy import LATEST, Policy
from integrity.verifier.proofs import read_header
from integrity.verifier.record import Registry, check_chain, check_code
from integrity.verifier.state import CHECKPOINT, ONE_NODE, QUORUM, ProvenState, Vouched

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Sighting:
    """A block, and its header's RLP if it is to prove anything."""

    block: Block
    header: bytes | None


class View:
    """The registry at one block. ``nodes`` are those that may be asked, in their order; what one cannot
    prove, or proves wrongly, the next one is asked for. Without a header nothing is proven.
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
    ) -> None:
        self.block = seen.block
        self.header = seen.header
        self.vouched = vouched
        self.registry = registry
        self.chain_id = chain_id
        self.is_proven = seen.header is not None
        self._nodes = list(nodes)
        self._state: ProvenState | None = None
        if seen.header is not None:
            self._state = ProvenState(read_header(seen.header), registry.address)
        self._unproven = unproven
        self._code_hash = b""
        self._account: tuple[bytes, ...] = ()
        self._known: dict[bytes, tuple[bytes, tuple[bytes, ...]]] = {}

    @property
    def node(self) -> ChainReader:
        """The node that answers, for what is only a hint."""
        return self._nodes[0]

    @property
    def code_hash(self) -> bytes:
        """The Keccak-256 of the code that stands there, once a word was read."""
        return self._code_hash

    def released(self, publisher: str, package: str) -> list[ReleasedEvent]:
        """The registry's Released events of a package up to this block: hints."""
        address = self.registry.address
        return self._ask(lambda node: node.released(address, publisher, package, self.block))

    def delegates(self, publisher: str) -> set[tuple[str, str]]:
        """Accounts and packages of the registry's DelegateSet events up to this block: hints."""
        address = self.registry.address
        return self._ask(lambda node: node.delegates(address, publisher, self.block))

    def words(self, slots: Sequence[bytes]) -> list[bytes]:
        """The words of the registry's slots, 32 bytes each. Raises RegistryMismatch when another contract
        stands there, ProofInvalid, ProofUnavailable or RpcUnavailable.
        """
        if not self.is_proven:
            return self._believed(slots)
        try:
            return self.prove(slots)[0]
        except ProofUnavailable:
            if not self._unproven:
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
        self._code_hash = state.code_hash
        check_code(self.registry, self.chain_id, self._code_hash)
        known = [self._known[slot] for slot in slots]
        nodes = dict(zip(slots, (nodes for _, nodes in known), strict=True))
        return [word for word, _ in known], StateProof(self._account, nodes)

    def _believed(self, slots: Sequence[bytes]) -> list[bytes]:
        """The same as a node says it, where the policy allows that."""
        address = self.registry.address
        self._code_hash = keccak256(self._ask(lambda node: node.code(address, self.block)))
        check_code(self.registry, self.chain_id, self._code_hash)
        return self._ask(lambda node: node.words(address, slots, self.block))

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
        raise _worst(failed)


def _worst(failed: Sequence[IntegrityError]) -> IntegrityError:
    """One error for all nodes: that of the first, or of the first that lied, with why each of them
    failed.
    """
    first = next((error for error in failed if isinstance(error, ProofInvalid)), failed[0])
    if len(failed) > 1:
        first.causes = [cause for error in failed for cause in (error.causes or [error.message])]
    return first


def open_view(
    nodes: Sequence[ChainReader],
    registry: Registry,
    chain_id: int,
    policy: Policy,
    now: float,
    finality: str | None = None,
) -> View:
    """The registry at the block that the policy says; ``finality`` says another one for this view, and
    ``now`` is the time, in Unix seconds. Of the latest block, if that is not the policy's, nothing is
    proven: what stands there is no more than a hint, as it may never be final.

    Raises ChainMismatch, NoQuorum, HeaderUntrusted, StaleBlock, ProofInvalid or RpcUnavailable.
    """
    if finality == LATEST and policy.finality != LATEST:
        able, seen = _first(nodes, chain_id, lambda node: Sighting(node.block(LATEST), None))
        return View(able, registry, chain_id, seen, Vouched(ONE_NODE), unproven=True)
    if policy.checkpoint is not None:
        able, seen, vouched = _at_checkpoint(nodes, chain_id, policy)
    elif policy.quorum > 1:
        able, seen, vouched = _by_quorum(nodes, chain_id, policy, finality)
    else:
        able, seen = _first(nodes, chain_id, lambda node: _newest(node, policy, finality))
        vouched = Vouched(ONE_NODE, (able[0].name,), len(nodes))
    _check_age(seen.block, policy, now)
    return View(able, registry, chain_id, seen, vouched, unproven=policy.unproven)


def _check_age(block: Block, policy: Policy, now: float) -> None:
    age = now - block.timestamp
    if policy.max_age is not None and policy.checkpoint is None and age > policy.max_age:
        raise StaleBlock(
            f"the newest block to read at is {block.number}, {age:.0f} seconds old; the policy allows "
            f"{policy.max_age:.0f}",
            next="Ask another node with --rpc, or wait until the chain goes on.",
            evidence={"block": block.number, "timestamp": block.timestamp},
        )


def vouch(nodes: Sequence[ChainReader], chain_id: int, block: Block, policy: Policy) -> Vouched:
    """Who vouches now for a block that was read before: as many nodes as the policy asks for, which have
    it under its number in what they call final. Raises HeaderUntrusted, with what each of them said.
    """
    agree: list[str] = []
    dissent: list[tuple[str, bytes]] = []
    causes: list[str] = []
    for node in nodes:
        try:
            check_chain(chain_id, node.chain_id())
            newest = _newest(node, policy, None).block.number
            if newest < block.number:
                causes.append(f"{node.name}: is only at block {newest}")
                continue
            found = node.hash_at(block.number)
        except IntegrityError as error:
            causes += error.causes or [error.message]
            continue
        if found == block.hash:
            agree.append(node.name)
        else:
            dissent.append((node.name, found))
            causes.append(f"{node.name}: has 0x{found.hex()} at block {block.number}")
    if len(agree) < policy.quorum:
        raise HeaderUntrusted(
            f"{len(agree)} of {len(nodes)} nodes have the block {block.number} (0x{block.hash.hex()}), and "
            f"{policy.quorum} have to",
            causes=causes,
            next="Compare that hash with one you believe, and name it with --checkpoint.",
        )
    how = ONE_NODE if policy.quorum == 1 else QUORUM
    return Vouched(how, tuple(agree), len(nodes), tuple(dissent))


def _newest(node: ChainReader, policy: Policy, finality: str | None) -> Sighting:
    """The block that the policy reads at, as one node has it."""
    if policy.confirmations is not None and finality is None:
        newest = node.block(LATEST).number
        return _look(node, node.hash_at(max(0, newest - policy.confirmations)), policy)
    return _look(node, finality or policy.finality, policy)


def _look(node: ChainReader, block: str | bytes, policy: Policy) -> Sighting:
    try:
        header = node.header(block)
    except ProofUnavailable:
        if not policy.unproven:
            raise
        return Sighting(node.block(block), None)
    return Sighting(read_header(header).block, header)


def _first(
    nodes: Sequence[ChainReader], chain_id: int, do: Callable[[ChainReader], _T]
) -> tuple[list[ChainReader], _T]:
    """What the first node answers that serves the chain -> it and those after it, and the answer."""
    failed: list[RpcUnavailable] = []
    for at, node in enumerate(nodes):
        try:
            check_chain(chain_id, node.chain_id())
            return list(nodes[at:]), do(node)
        except RpcUnavailable as error:
            failed.append(error)
    raise _worst(failed)


def _at_checkpoint(
    nodes: Sequence[ChainReader], chain_id: int, policy: Policy
) -> tuple[list[ChainReader], Sighting, Vouched]:
    checkpoint = policy.checkpoint
    assert checkpoint is not None
    able, seen = _first(nodes, chain_id, lambda node: _look(node, checkpoint, policy))
    if seen.block.hash != checkpoint:
        raise HeaderUntrusted(f"no node has the block of the checkpoint 0x{checkpoint.hex()}")
    return able, seen, Vouched(CHECKPOINT, (), len(nodes))


def _by_quorum(
    nodes: Sequence[ChainReader], chain_id: int, policy: Policy, finality: str | None
) -> tuple[list[ChainReader], Sighting, Vouched]:
    """The newest block that enough nodes have: one that is behind, or says so, holds nobody back."""
    causes: list[str] = []
    heights: dict[int, int] = {}
    for at, node in enumerate(nodes):
        try:
            check_chain(chain_id, node.chain_id())
            heights[at] = _newest(node, policy, finality).block.number
        except IntegrityError as error:
            causes += error.causes or [error.message]
    if len(heights) < policy.quorum:
        raise NoQuorum(
            f"{len(heights)} of {len(nodes)} nodes of chain {chain_id} answer, and the policy asks for "
            f"{policy.quorum} that agree",
            causes=causes,
            next="Name more nodes with --rpc, or in config.toml; or ask again later.",
        )
    height = sorted(heights.values(), reverse=True)[policy.quorum - 1]
    agreed: dict[bytes, list[ChainReader]] = defaultdict(list)
    for at in heights:
        try:
            agreed[nodes[at].hash_at(height)].append(nodes[at])
        except RpcUnavailable as error:
            causes += error.causes or [error.message]
    best = max(agreed, key=lambda found: len(agreed[found]), default=b"")
    dissent = tuple(
        (node.name, found) for found, some in agreed.items() if found != best for node in some
    )
    causes += [f"{name}: has 0x{found.hex()} at block {height}" for name, found in dissent]
    if not agreed or len(agreed[best]) < policy.quorum:
        raise NoQuorum(
            f"no {policy.quorum} nodes of chain {chain_id} agree on the block {height}",
            causes=causes,
            next="Find out which of them is right; nothing was believed.",
        )
    able = agreed[best]
    able, seen = _first(able, chain_id, lambda node: _look(node, best, policy))
    if (seen.block.number, seen.block.hash) != (height, best):
        raise RpcAnswerInvalid(f"{able[0].name} gives the block 0x{best.hex()} another number")
    names = tuple(node.name for node in agreed[best])
    return able, seen, Vouched(QUORUM, names, len(nodes), dissent)
