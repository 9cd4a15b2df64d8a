"""Which block to read at, and who vouches for it: step 2 of the verifier around the I/O it needs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from integrity.client.viewing import Sighting, View, worst
from integrity.core.registry import Block
from integrity.errors import (
    HeaderUntrusted,
    IntegrityError,
    NoQuorum,
    ProofInvalid,
    RpcAnswerInvalid,
    RpcUnavailable,
    StaleBlock,
    Unfinalized,
)
from integrity.ports import ChainReader
from integrity.verifier.checks import Registry, check_chain
from integrity.verifier.policy import LATEST, Policy
from integrity.verifier.proofs import read_header
from integrity.verifier.state import CHECKPOINT, ONE_NODE, QUORUM, Vouched

_T = TypeVar("_T")


def open_view(
    nodes: Sequence[ChainReader], registry: Registry, chain_id: int, policy: Policy, now: float
) -> View:
    """The registry at the block that the policy says; ``now`` is the time, in Unix seconds.

    Raises ChainMismatch, NoQuorum, HeaderUntrusted, Unfinalized, StaleBlock, ProofInvalid or RpcUnavailable.
    """
    if policy.checkpoint is not None:
        able, seen, vouched = _at_checkpoint(nodes, chain_id, policy.checkpoint, policy)
    elif policy.quorum > 1:
        able, seen, vouched = _by_quorum(nodes, chain_id, policy)
    else:
        able, seen = _first_look(nodes, chain_id, policy, lambda node: _newest(node, policy))
        vouched = Vouched(ONE_NODE, (able[0].name,), len(nodes), finality=policy.reads_at)
    _check_any(seen.block, chain_id, policy)
    _check_age(seen.block, policy, now)
    alike = policy.quorum if vouched.how == QUORUM else 1
    return View(able, registry, chain_id, seen, vouched, unproven=policy.unproven, alike=alike)


def newest_view(nodes: Sequence[ChainReader], registry: Registry, chain_id: int) -> View:
    """The registry at the newest block that a node knows. Nothing of it is proven: what stands there is
    no more than a hint, as it may never be final. Raises ChainMismatch or RpcUnavailable.
    """
    able, seen = _first(nodes, chain_id, lambda node: Sighting(node.block(LATEST), None))
    return View(able, registry, chain_id, seen, Vouched(ONE_NODE), unproven=True)


def vouch(nodes: Sequence[ChainReader], chain_id: int, block: Block, policy: Policy) -> Vouched:
    """Who vouches now for a block that was read before: as many nodes as the policy asks for, which have
    it under its number in what they call final. Raises HeaderUntrusted, with what each of them said.
    """
    causes: list[str] = []
    heights = _heights(nodes, chain_id, policy, causes)
    for node, newest in heights.items():
        if newest < block.number:
            causes.append(f"{node.name}: is only at block {newest}")
    reached = [node for node, newest in heights.items() if newest >= block.number]
    have = _hashes_at(reached, block.number, causes)
    agree = [node.name for node in have.pop(block.hash, [])]
    dissent = _dissent(have, block.number, causes)
    if len(agree) < policy.quorum:
        raise HeaderUntrusted(
            f"{len(agree)} of {len(nodes)} nodes have the block {block.number} (0x{block.hash.hex()}), and "
            f"{policy.quorum} have to",
            causes=causes,
            next="Compare that hash with one you believe, and name it with --checkpoint.",
        )
    how = ONE_NODE if policy.quorum == 1 else QUORUM
    return Vouched(how, tuple(agree), len(nodes), dissent, policy.reads_at)


# --- each policy's block -----------------------------------------------------------------------


def _at_checkpoint(
    nodes: Sequence[ChainReader], chain_id: int, checkpoint: bytes, policy: Policy
) -> tuple[list[ChainReader], Sighting, Vouched]:
    none = f"no node has the block of the checkpoint 0x{checkpoint.hex()}"
    advice = "Look whether it is the hash that you meant, and of this chain; or ask another node with --rpc."
    try:
        able, seen = _first_look(nodes, chain_id, policy, lambda _: checkpoint)
    except RpcAnswerInvalid as error:
        raise HeaderUntrusted(none, causes=error.reasons, next=advice) from error
    if seen.block.hash != checkpoint:
        raise HeaderUntrusted(none, next=advice)
    return able, seen, Vouched(CHECKPOINT, (), len(nodes))


def _by_quorum(
    nodes: Sequence[ChainReader], chain_id: int, policy: Policy
) -> tuple[list[ChainReader], Sighting, Vouched]:
    """The newest block that enough nodes have: one that is behind, or says so, holds nobody back."""
    causes: list[str] = []
    heights = _heights(nodes, chain_id, policy, causes)
    if len(heights) < policy.quorum:
        raise NoQuorum(
            f"{len(heights)} of {len(nodes)} nodes of chain {chain_id} answer, and the policy asks for "
            f"{policy.quorum} that agree",
            causes=causes,
            next="Name more nodes with --rpc, or in config.toml, each of another server; or ask again later.",
        )
    height = sorted(heights.values(), reverse=True)[policy.quorum - 1]
    have = _hashes_at(heights, height, causes)
    best = max(have, key=lambda found: len(have[found]), default=b"")
    agree = have.pop(best, [])
    all_told = [f"{node.name}: has 0x{best.hex()} at block {height}" for node in agree]
    dissent = _dissent(have, height, causes)
    if len(agree) < policy.quorum:
        causes = all_told + causes
        raise NoQuorum(
            f"no {policy.quorum} nodes of chain {chain_id} agree on the block {height}",
            causes=causes,
            next="Find out which of them is right; nothing was believed.",
        )
    able, seen = _first_look(agree, chain_id, policy, lambda _: best)
    # Where nobody proves anything all have to say the same, also those that cannot show the header.
    able += [node for node in agree if node not in able]
    if (seen.block.number, seen.block.hash) != (height, best):
        raise RpcAnswerInvalid(f"{able[0].name} gives the block 0x{best.hex()} another number")
    names = tuple(node.name for node in agree)
    return able, seen, Vouched(QUORUM, names, len(nodes), dissent, policy.reads_at)


def _newest(node: ChainReader, policy: Policy) -> str | bytes:
    """By what a node knows the block that the policy reads at: its tag or its hash."""
    if policy.confirmations is not None:
        newest = node.block(LATEST).number
        return node.hash_at(max(0, newest - policy.confirmations))
    return policy.finality


def _look(node: ChainReader, chain_id: int, block: str | bytes) -> Sighting:
    header = node.look(block, chain_id)
    return Sighting(read_header(header).block, header)


def _check_any(block: Block, chain_id: int, policy: Policy) -> None:
    """Nothing is ever recorded in a chain's first block, which not every node can prove."""
    if block.number == 0 and policy.checkpoint is None:
        raise Unfinalized(
            f"the chain {chain_id} has no block yet that can be read at ({policy.reads_at})",
            next="Wait until it has more blocks, and try again.",
        )


def _check_age(block: Block, policy: Policy, now: float) -> None:
    age = now - block.timestamp
    if policy.max_age is not None and policy.checkpoint is None and age > policy.max_age:
        raise StaleBlock(
            f"the newest block to read at is {block.number}, {age:.0f} seconds old; the policy allows "
            f"{policy.max_age:.0f}",
            next="Ask another node with --rpc, or wait until the chain goes on.",
            evidence={"block": block.number, "timestamp": block.timestamp},
        )


# --- asking several ----------------------------------------------------------------------------


def _first(
    nodes: Sequence[ChainReader], chain_id: int, do: Callable[[ChainReader], _T]
) -> tuple[list[ChainReader], _T]:
    """What the first node answers that serves the chain -> it and those after it, and the answer."""

    def served(node: ChainReader) -> _T:
        check_chain(chain_id, node.chain_id())
        return do(node)

    return _first_of(nodes, served)


def _first_of(
    nodes: Sequence[ChainReader], do: Callable[[ChainReader], _T]
) -> tuple[list[ChainReader], _T]:
    """The same of what looks itself which chain is served."""
    failed: list[IntegrityError] = []
    for at, node in enumerate(nodes):
        try:
            return list(nodes[at:]), do(node)
        except (RpcUnavailable, ProofInvalid) as error:
            failed.append(error)
    raise worst(failed)


def _first_look(
    nodes: Sequence[ChainReader],
    chain_id: int,
    policy: Policy,
    block: Callable[[ChainReader], str | bytes],
) -> tuple[list[ChainReader], Sighting]:
    """The block of the first node that can show its header; only if none can, and the policy allows that,
    of the first that tells of it.
    """
    try:
        return _first_of(nodes, lambda node: _look(node, chain_id, block(node)))
    except RpcUnavailable:
        if not policy.unproven:
            raise
    return _first(nodes, chain_id, lambda node: Sighting(node.block(block(node)), None))


def _each(
    nodes: Iterable[ChainReader], ask: Callable[[ChainReader], _T], causes: list[str]
) -> Iterator[tuple[ChainReader, _T]]:
    """What each node answers; why one does not is a cause."""
    for node in nodes:
        try:
            yield node, ask(node)
        except IntegrityError as error:
            causes += error.reasons


def _heights(
    nodes: Iterable[ChainReader], chain_id: int, policy: Policy, causes: list[str]
) -> dict[ChainReader, int]:
    """Up to which block each node that answers can be read."""

    def height(node: ChainReader) -> int:
        check_chain(chain_id, node.chain_id())
        return node.block(_newest(node, policy)).number

    return dict(_each(nodes, height, causes))


def _hashes_at(
    nodes: Iterable[ChainReader], height: int, causes: list[str]
) -> dict[bytes, list[ChainReader]]:
    """Who has which hash at a height."""
    have: dict[bytes, list[ChainReader]] = defaultdict(list)
    for node, found in _each(nodes, lambda node: node.hash_at(height), causes):
        have[found].append(node)
    return have


def _dissent(
    have: Mapping[bytes, Sequence[ChainReader]], height: int, causes: list[str]
) -> tuple[tuple[str, bytes], ...]:
    """Who has another hash, and which; a cause, if it comes to that."""
    dissent = tuple((node.name, found) for found, nodes in have.items() for node in nodes)
    causes += [f"{name}: has 0x{found.hex()} at block {height}" for name, found in dissent]
    return dissent
