"""The parts that several commands' JSON shares (docs/json.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from integrity_cli.output import moment, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from integrity.core.registry import Block
    from integrity.finding.endorsing import Endorsement
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


def place_value(height: int, block_hash: bytes) -> dict[str, Any]:
    """The same of an event's block."""
    return {"number": height, "hash": "0x" + block_hash.hex()}


def endorsement_value(said: Endorsement) -> dict[str, Any]:
    """What an account says of a release's manifest."""
    return {
        "endorser": said.endorser,
        "alias": said.alias,
        "trusted": said.known,
        "kind": said.kind,
        "endorsed_at": said.endorsed_at,
        "block": place_value(said.block, said.block_hash),
        "transaction": "0x" + said.transaction.hex(),
    }


def endorsement_lines(said: Sequence[Endorsement]) -> list[str]:
    """The same for people: those that this home knows one by one, the others counted."""
    lines = []
    for one in said:
        if not one.known:
            continue
        who = f"{one.alias} ({one.endorser})" if one.alias else one.endorser
        if one.kind is None or one.endorsed_at is None:
            lines.append(f"endorsement withdrawn by {who}")
        else:
            lines.append(f"endorsed ({one.kind}) by {who}, {moment(one.endorsed_at)}")
    strangers = sum(not one.known for one in said)
    if strangers:
        lines.append(f"endorsed by {number(strangers, 'account')} that nobody here knows")
    return lines


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
    return str(record.link)


def as_of(block: Block, chain_id: int, basis: str, finality: str) -> str:
    """At which block something was read, what nodes call it, and how it is vouched for."""
    called = f", {finality}" if finality else ""
    return f"block {block.number} of chain {chain_id}{called} ({basis})"


def rests_on(record: Record) -> str:
    """The same for people."""
    return as_of(record.block, record.chain_id, record.basis, record.vouched.finality)
