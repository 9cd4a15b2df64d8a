"""What a node, or the registry behind it, says when it refuses a transaction, as our own errors."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from integrity.chain.rpc import RpcError
from integrity.core.names import checksum_address, keccak256
from integrity.errors import ReleaseExists, TransactionRefused

_SENT_BEFORE = ("already known", "already imported", "known transaction")
_NONCE_TAKEN = (
    "nonce too low",
    "nonce is too low",
    "nonce has already been used",
)
_REPLACING = ("replacement transaction",)
SEQUENCE_CONFLICT = "SequenceConflict"

_ASKS_THE_CHAIN = {"eth_estimateGas", "eth_sendRawTransaction"}
_OF_THE_TRANSACTION = {3, -32000, -32003}
"""Codes by which a node speaks of the transaction: reverted (geth), invalid input, rejected (EIP-1474)."""

_NOT_TAKEN = (
    "underpriced", "less than block base fee", "fee cap", "gas limit", "intrinsic gas", "gas too low",
    "exceeds", "oversized", "max init", "invalid sender", "invalid chain", "not supported", "reverted",
)  # fmt: skip


def sent_before(error: TransactionRefused) -> bool:
    """Whether the node has these very bytes already (geth, anvil, Besu word it differently)."""
    return any(text in error.message.lower() for text in _SENT_BEFORE)


def nonce_taken(error: TransactionRefused) -> bool:
    """Whether the chain has another transaction with the nonce."""
    return any(text in error.message.lower() for text in _NONCE_TAKEN)


def of_transaction(error: RpcError) -> bool:
    """Whether the node speaks of the transaction it was handed, rather than of itself: geth has the same
    code for what it cannot answer yet.
    """
    return error.method in _ASKS_THE_CHAIN and error.code in _OF_THE_TRANSACTION


def replacing(error: TransactionRefused) -> bool:
    """Whether the node waits to have another one with the nonce mined, and this one bids no more."""
    return any(text in error.message.lower() for text in _REPLACING)


def no_funds(sender: str) -> TransactionRefused:
    """The error for an account that cannot pay."""
    return TransactionRefused(
        f"the account {sender} has not enough ether to pay the fee",
        next=f"Send ether to {sender} (on the development chain: `integrity chain fund {sender}`), "
        "then run the same command again.",
        evidence={"account": sender},
    )


class Refusals:
    """Decodes the custom errors of one contract, and knows what nodes say for themselves."""

    def __init__(self, abi: Sequence[Mapping[str, Any]]) -> None:
        self._errors = {
            keccak256(_signature(item).encode())[:4]: item
            for item in abi
            if item["type"] == "error"
        }

    def translated(
        self, error: RpcError, sender: str
    ) -> ReleaseExists | TransactionRefused | RpcError:
        """The error of ours that says what the node said. ``evidence["error"]`` is the contract's
        own name of it, when the contract refused. The node's own trouble (a rate limit, an
        internal error) is no refusal and stays what it is: nothing is known then.
        """
        raw = _bytes(error.data)
        refusal = self._of_registry(raw)
        if refusal is not None:
            return refusal
        if "insufficient funds" in error.said.lower():
            return no_funds(sender)
        if not of_transaction(error):
            return error
        refused = TransactionRefused(f"the chain refuses the transaction: {error.said[:500]}")
        if error.method == "eth_estimateGas":
            return refused
        if any(asks(refused) for asks in (sent_before, nonce_taken, replacing)):
            return refused
        return refused if any(text in error.said.lower() for text in _NOT_TAKEN) else error

    def _of_registry(self, raw: bytes) -> ReleaseExists | TransactionRefused | None:
        """What the contract's own error says; of a batch, what one of its calls failed with."""
        item = self._errors.get(raw[:4])
        if item is None:
            return None
        if item["name"] == "CallFailed":
            with contextlib.suppress(DecodingError, ValueError, OverflowError):
                index, reason = decode(["uint256", "bytes"], raw[4:])
                inner = self._of_registry(reason)
                if inner is not None:
                    inner.evidence["call"] = index
                    return inner.about(f"of the batch, number {index + 1}")
        return _registry_error(item, raw[4:])


def _registry_error(item: Mapping[str, Any], data: bytes) -> ReleaseExists | TransactionRefused:
    try:
        values = decode([entry["type"] for entry in item["inputs"]], data)
    except (DecodingError, ValueError, OverflowError):
        values = ()
    named = {i["name"]: _plain(v) for i, v in zip(item["inputs"], values, strict=False)}
    evidence = {"error": item["name"], **named}
    shown = ", ".join(f"{key} {value}" for key, value in named.items())
    if item["name"] == "ReleaseExists":
        return ReleaseExists(f"the registry has this version already ({shown})", evidence=evidence)
    if item["name"] == "Unauthorized":
        return TransactionRefused(
            f"the key {named.get('account')} may not publish or act for {named.get('publisher')}",
            next="Name the key that controls the publisher with --key (`integrity delegate list "
            f"{named.get('publisher')}` says which that is, and who is its delegate, who may publish).",
            evidence=evidence,
        )
    return TransactionRefused(
        f"the registry refuses the transaction: {item['name']} ({shown})", evidence=evidence
    )


def _bytes(data: object) -> bytes:
    if isinstance(data, str) and data.startswith("0x"):
        try:
            return bytes.fromhex(data[2:])
        except ValueError:
            pass
    return b""


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, str) and value.startswith("0x") and len(value) == 42:
        return checksum_address(bytes.fromhex(value[2:]))
    return value


def _signature(item: Mapping[str, Any]) -> str:
    return str(item["name"]) + "(" + ",".join(entry["type"] for entry in item["inputs"]) + ")"
