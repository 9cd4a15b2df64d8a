"""What a transaction is to do, what it costs, where it is, and what can go wrong with it."""

from __future__ import annotations

from dataclasses import dataclass

from integrity.chain.refusals import SEQUENCE_CONFLICT
from integrity.core.registry import Block
from integrity.errors import TransactionRefused


@dataclass(frozen=True, slots=True)
class Call:
    """What a transaction is to do. ``purpose`` is the same for the same thing done again."""

    to: str
    data: bytes
    purpose: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a transaction would cost: gas units, and wei at the chain's present price; ``balance`` is
    the wei that its sender has.
    """

    gas: int
    fee: int
    balance: int


@dataclass(frozen=True, slots=True)
class Mined:
    """A transaction in a block; ``hash`` is 32 bytes, ``fee`` is in wei."""

    hash: bytes
    block: Block
    gas_used: int
    fee: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a node says of a transaction in a block; ``transaction`` is its hash, as 0x and hex."""

    transaction: str
    succeeded: bool
    block_number: int
    block_hash: bytes
    gas_used: int
    gas_price: int


def check_outrun(error: TransactionRefused) -> None:
    """Raises the error again unless it says that another release was recorded in between."""
    if error.evidence.get("error") != SEQUENCE_CONFLICT:
        raise error


def outrun(sender: str) -> TransactionRefused:
    """The error for a sender who never gets a turn."""
    return TransactionRefused(
        f"other transactions keep coming before those of {sender}",
        next="Let only one machine send with this key at a time, then run the command again.",
    )


def dropped(tx_hash: str) -> TransactionRefused:
    """The error for a transaction that a reorganisation took out for good."""
    return TransactionRefused(
        f"the chain dropped the block with the transaction {tx_hash}, and gave its nonce to another",
        next="Run the same command again; it looks at the registry's state anew.",
        evidence={"transaction": tx_hash},
    )
