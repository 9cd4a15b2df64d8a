"""The parts that several commands' JSON shares (docs/json.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from integrity.core.registry import Block
    from integrity.verifier.record import Record


class Sent(Protocol):
    """What was sent to a chain: a release, or something else that a publisher does."""

    @property
    def transaction(self) -> bytes | None: ...
    @property
    def block(self) -> Block | None: ...
    @property
    def gas_used(self) -> int | None: ...
    @property
    def fee(self) -> int | None: ...
    @property
    def final(self) -> bool: ...


def block_value(block: Block | None) -> dict[str, Any] | None:
    """A block's number and hash."""
    if block is None:
        return None
    return {"number": block.number, "hash": "0x" + block.hash.hex()}


def transaction_value(done: Sent) -> dict[str, Any]:
    """A transaction, where it is, and what it cost; None where nothing was sent or is known."""
    return {
        "transaction": None if done.transaction is None else "0x" + done.transaction.hex(),
        "block": block_value(done.block),
        "gas_used": done.gas_used,
        "fee": None if done.fee is None else str(done.fee),
        "final": done.final,
    }


def cost(done: Sent) -> str | None:
    """What it cost, for people; None when nothing is known."""
    if done.fee is None or done.gas_used is None:
        return None
    return f"{done.fee / 10**18:.6f} ether ({done.gas_used:,} gas)"


def record_value(record: Record | None) -> dict[str, Any]:
    """What a verdict rests on; all None when there was no record."""
    return {
        "basis": record.basis if record else None,
        "block": block_value(record.block) if record else None,
    }


def record_link(record: Record) -> str:
    """The link of a record, with its version and without hints."""
    return f"integrity:{record.chain_id}:{record.publisher}/{record.package}@{record.version}"


def as_of(block: Block, chain_id: int, basis: str) -> str:
    """At which block something was read, and how that block is vouched for."""
    return f"block {block.number} of chain {chain_id}, finalized ({basis})"


def rests_on(record: Record) -> str:
    """The same for people."""
    return as_of(record.block, record.chain_id, record.basis)
