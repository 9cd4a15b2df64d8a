"""Writing to a chain through web3: the one module that imports it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests
from eth_abi.exceptions import DecodingError
from eth_typing import HexStr
from eth_utils.address import to_checksum_address
from web3 import Web3
from web3.exceptions import (
    ContractLogicError,
    TransactionNotFound,
    Web3Exception,
    Web3RPCError,
)
from web3.types import TxReceipt

from integrity.chain.artifact import load_artifact
from integrity.chain.journal import Entry, Journal, publish_purpose
from integrity.chain.rpc import shown_url
from integrity.core.names import checksum_address
from integrity.core.registry import CREATE2_PROXY
from integrity.errors import (
    ReleaseExists,
    RpcUnavailable,
    TransactionRefused,
    Unfinalized,
)
from integrity.ports import Signer
from integrity.verifier.record import check_chain

_GAS_MARGIN = 1.1
_NONCE_TRIES = 5
_RESEND_AFTER = 30.0
_POLL_FIRST, _POLL_LONGEST = 0.1, 4.0


@dataclass(frozen=True, slots=True)
class Call:
    """What a transaction is to do. ``purpose`` is the same for the same thing done again."""

    to: str
    data: bytes
    purpose: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a transaction would cost: gas units, and wei at the chain's present price."""

    gas: int
    fee: int


@dataclass(frozen=True, slots=True)
class Mined:
    """A transaction in a block; ``hash`` and ``block_hash`` are 32 bytes, ``fee`` is in wei."""

    hash: bytes
    block_number: int
    block_hash: bytes
    block_time: int
    gas_used: int
    fee: int


class ChainWriter:
    """Sends transactions to one node, each of them once."""

    def __init__(self, url: str, chain_id: int, journal: Journal) -> None:
        self._name = shown_url(url)
        self._chain_id = chain_id
        self._journal = journal
        self._w3 = Web3(
            Web3.HTTPProvider(url, request_kwargs={"timeout": 30, "allow_redirects": False})
        )
        artifact = load_artifact()
        self._registry = self._w3.eth.contract(
            address=to_checksum_address(artifact.address), abi=artifact.abi
        )
        self._errors = {
            bytes(Web3.keccak(text=_signature(item)))[:4]: item
            for item in artifact.abi
            if item["type"] == "error"
        }

    # --- calls ---------------------------------------------------------------------------------

    def publish_call(
        self, publisher: str, package: str, version: str, manifest: bytes, content: bytes,
        expected_count: int, make_latest: bool,
    ) -> Call:  # fmt: skip
        """The registry's publish, as in contracts/IContentRegistry.sol."""
        data = self._registry.encode_abi(
            "publish",
            [publisher, package, version, manifest, content, expected_count, make_latest],
        )
        purpose = publish_purpose(self._chain_id, publisher, package, version, manifest)
        return Call(self._registry.address, bytes.fromhex(data[2:]), purpose)

    def deploy_call(self) -> Call:
        """The registry's deployment through the deterministic proxy."""
        artifact = load_artifact()
        return Call(CREATE2_PROXY, artifact.salt + artifact.init_code, f"deploy {self._chain_id}")

    # --- sending -------------------------------------------------------------------------------

    def estimate(self, call: Call, sender: str) -> Estimate:
        """What the call would cost now; raises what sending it would raise."""
        with self._translated(sender):
            gas = int(self._w3.eth.estimate_gas(self._bare(call, sender)) * _GAS_MARGIN)
            return Estimate(gas, gas * self._w3.eth.gas_price)

    def send(self, signer: Signer, make_call: Callable[[], Call]) -> Mined:
        """Sign, write down, send, and wait until the transaction is in a block.

        ``make_call`` is asked once no other transaction of this key is under way. Raises
        ReleaseExists, TransactionRefused, ChainMismatch or RpcUnavailable.
        """
        with self._journal.sending(self._chain_id, signer.address):
            call = make_call()
            entry = self._journal.find(call.purpose)
            if entry is not None and not self._can_still_be_mined(entry):
                self._journal.remove(entry.hash)
                entry = None
            for _ in range(_NONCE_TRIES):
                if entry is None:
                    entry = self._sign(call, signer)
                    self._journal.add(entry)
                if self._broadcast(entry):
                    return self._wait_mined(entry)
                # The node took another transaction with this nonce, so this one can never be mined.
                self._journal.remove(entry.hash)
                entry = None
        raise TransactionRefused(
            f"other transactions keep taking the nonces of {signer.address}",
            next="Let only one machine send with this key at a time, then run the command again.",
        )

    def _bare(self, call: Call, sender: str) -> Any:
        return {"from": sender, "to": call.to, "data": "0x" + call.data.hex()}

    def _sign(self, call: Call, signer: Signer) -> Entry:
        with self._translated(signer.address):
            check_chain(self._chain_id, self._w3.eth.chain_id)
            gas = self._w3.eth.estimate_gas(self._bare(call, signer.address))
            transaction: dict[str, Any] = {
                "chainId": self._chain_id,
                "nonce": self._w3.eth.get_transaction_count(signer.address, "pending"),  # type: ignore[arg-type]
                "to": call.to,
                "data": "0x" + call.data.hex(),
                "value": 0,
                "gas": int(gas * _GAS_MARGIN),
            }
            base_fee = self._w3.eth.get_block("latest").get("baseFeePerGas")
            if base_fee is None:
                transaction["gasPrice"] = self._w3.eth.gas_price
            else:
                tip = self._w3.eth.max_priority_fee
                transaction["maxPriorityFeePerGas"] = tip
                transaction["maxFeePerGas"] = 2 * base_fee + tip
        raw, tx_hash = signer.sign_transaction(transaction)
        return Entry(
            call.purpose, self._chain_id, signer.address, transaction["nonce"],
            "0x" + tx_hash.hex(), "0x" + raw.hex(),
        )  # fmt: skip

    def _broadcast(self, entry: Entry) -> bool:
        """Send the very bytes written down; False when their nonce is another transaction's."""
        try:
            with self._translated(entry.sender):
                check_chain(entry.chain_id, self._w3.eth.chain_id)
                self._w3.eth.send_raw_transaction(HexStr(entry.raw))
        except TransactionRefused as error:
            text = error.message.lower()
            if "already known" in text or "already imported" in text:
                return True
            if "nonce too low" in text or "underpriced" in text:
                return self._receipt(entry.hash) is not None
            self._journal.remove(entry.hash)
            raise
        return True

    def _can_still_be_mined(self, entry: Entry) -> bool:
        with self._translated(entry.sender):
            used = self._w3.eth.get_transaction_count(entry.sender)  # type: ignore[arg-type]
        return used <= entry.nonce or self._receipt(entry.hash) is not None

    # --- waiting -------------------------------------------------------------------------------

    def _receipt(self, tx_hash: str) -> TxReceipt | None:
        with self._translated(""):
            try:
                return self._w3.eth.get_transaction_receipt(HexStr(tx_hash))
            except TransactionNotFound:
                return None

    def _wait_mined(self, entry: Entry, timeout: float = 600) -> Mined:
        started = sent = time.monotonic()
        pause = _POLL_FIRST
        while (receipt := self._receipt(entry.hash)) is None:
            now = time.monotonic()
            if now - started > timeout:
                raise Unfinalized(
                    f"the transaction {entry.hash} was sent and is not in a block yet",
                    next="Run the same command again: the same transaction is sent, never a second.",
                    evidence={"transaction": entry.hash},
                )
            if now - sent > _RESEND_AFTER:
                self._broadcast(entry)
                sent = now
            time.sleep(pause)
            pause = min(pause * 1.5, _POLL_LONGEST)
        if receipt["status"] != 1:
            self._journal.remove(entry.hash)
            raise TransactionRefused(
                f"the transaction {entry.hash} is in block {receipt['blockNumber']}, but failed: "
                "what it assumed changed while it was under way",
                next="Run the same command again; it looks at the registry's state anew.",
                evidence={"transaction": entry.hash},
            )
        return self._mined(receipt)

    def _mined(self, receipt: TxReceipt) -> Mined:
        with self._translated(""):
            block = self._w3.eth.get_block(receipt["blockHash"])
        return Mined(
            bytes(receipt["transactionHash"]),
            receipt["blockNumber"],
            bytes(receipt["blockHash"]),
            block["timestamp"],
            receipt["gasUsed"],
            receipt["gasUsed"] * receipt["effectiveGasPrice"],
        )

    def wait_final(self, mined: Mined, timeout: float = 3600) -> Mined:
        """Wait until a finalized block holds the transaction -> where it stands by then. Only
        then is it taken out of the journal. Raises Unfinalized after ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        pause = _POLL_FIRST
        tx_hash = "0x" + mined.hash.hex()
        while True:
            with self._translated(""):
                final = self._w3.eth.get_block("finalized")["number"]
            receipt = self._receipt(tx_hash)
            if receipt is not None and receipt["blockNumber"] <= final:
                self._journal.remove(tx_hash)
                return self._mined(receipt)
            if time.monotonic() > deadline:
                raise Unfinalized(
                    f"the transaction {tx_hash} is not final after {timeout:.0f} seconds",
                    next="Run the same command again: it goes on waiting, and sends nothing twice.",
                    evidence={"transaction": tx_hash},
                )
            time.sleep(pause)
            pause = min(pause * 1.5, _POLL_LONGEST)

    # --- errors --------------------------------------------------------------------------------

    def _translated(self, sender: str) -> _Translation:
        return _Translation(self._name, sender, self._refusal)

    def _refusal(self, data: object, message: str) -> Exception:
        """The registry's custom error, decoded with its ABI, as one of ours."""
        raw = b""
        if isinstance(data, str) and data.startswith("0x"):
            try:
                raw = bytes.fromhex(data[2:])
            except ValueError:
                raw = b""
        item = self._errors.get(raw[:4])
        if item is None:
            return TransactionRefused(f"the chain refuses the transaction: {message[:500]}")
        types = [entry["type"] for entry in item["inputs"]]
        try:
            values = self._w3.codec.decode(types, raw[4:])
        except (DecodingError, ValueError, OverflowError):
            values = ()
        named = {i["name"]: _plain(v) for i, v in zip(item["inputs"], values, strict=False)}
        shown = ", ".join(f"{key} {value}" for key, value in named.items())
        if item["name"] == "ReleaseExists":
            return ReleaseExists(f"the registry has this version already ({shown})", evidence=named)
        if item["name"] == "Unauthorized":
            return TransactionRefused(
                f"the key {named.get('account')} may not publish for {named.get('publisher')}",
                next="Name the publisher's own key with --key, or one it has made a delegate.",
                evidence=named,
            )
        return TransactionRefused(
            f"the registry refuses the transaction: {item['name']} ({shown})", evidence=named
        )


class _Translation:
    """Turns what web3 and its HTTP client raise into this library's errors."""

    def __init__(self, node: str, sender: str, refusal: Callable[[object, str], Exception]) -> None:
        self._node, self._sender, self._refusal = node, sender, refusal

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, tb: object) -> None:
        if isinstance(error, ContractLogicError):
            raise self._refusal(error.data, error.message or "reverted") from None
        if isinstance(error, Web3RPCError):
            raise self._rpc_error(error) from None
        if isinstance(error, (requests.RequestException, Web3Exception, OSError)):
            raise RpcUnavailable(
                f"the RPC {self._node} did not answer",
                causes=[f"{self._node}: {type(error).__name__}"],
            ) from None

    def _rpc_error(self, error: Web3RPCError) -> Exception:
        response: Any = error.rpc_response or {}
        inner = response.get("error") if isinstance(response, dict) else None
        message = str(inner.get("message")) if isinstance(inner, dict) else str(error.message)
        if isinstance(inner, dict) and str(inner.get("data", "")).startswith("0x"):
            return self._refusal(inner["data"], message)
        if "insufficient funds" in message.lower():
            return TransactionRefused(
                f"the account {self._sender} has not enough ether to pay the fee",
                next=f"Send ether to {self._sender}, then run the same command again.",
                evidence={"account": self._sender},
            )
        return TransactionRefused(f"{self._node} refuses: {message[:500]}")


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, str) and value.startswith("0x") and len(value) == 42:
        return checksum_address(bytes.fromhex(value[2:]))
    return value


def _signature(item: dict[str, Any]) -> str:
    return str(item["name"]) + "(" + ",".join(entry["type"] for entry in item["inputs"]) + ")"
