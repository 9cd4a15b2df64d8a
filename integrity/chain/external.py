"""A signer that is another program: Clef (``account_…``), or a node, Web3Signer and the like (``eth_…``),
asked over JSON-RPC. It is believed nothing: what comes back must be what was asked for, signed by the key
that was named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from integrity.chain.rpc import JsonRpc, RpcError, shown_url
from integrity.core.transactions import SignedTransaction, read_signed
from integrity.errors import FormatError, KeyRefused, RpcAnswerInvalid, RpcUnavailable

_SECONDS = 300.0
"""A person may have to look at it first."""

_NO_SUCH_METHOD = -32601
_TRANSACTION = ("eth_signTransaction", "account_signTransaction")
_TYPED_DATA = ("eth_signTypedData_v4", "account_signTypedData", "eth_signTypedData")


class ExternalSigner:
    """The Signer port over the program at ``url``, for the key of ``address``."""

    def __init__(self, name: str, url: str, address: str, *, seconds: float = _SECONDS) -> None:
        self.name = name
        self.address = address
        self._rpc = JsonRpc(url, seconds=seconds)

    def __repr__(self) -> str:
        return f"ExternalSigner({self.address})"

    def sign_transaction(self, transaction: Mapping[str, Any]) -> tuple[bytes, bytes]:
        asked = {
            name: hex(value) if isinstance(value, int) else value
            for name, value in transaction.items()
        }
        answer = self._ask(_TRANSACTION, {"from": self.address} | asked)
        raw = self._bytes(answer.get("raw") if isinstance(answer, dict) else answer)
        try:
            signed = read_signed(raw)
        except FormatError as error:
            raise self._refused(f"answers with no signed transaction: {error.message}") from error
        changed = _changed(transaction, signed)
        if changed or signed.sender != self.address:
            raise self._refused(
                f"changed the transaction: {', '.join(changed)}"
                if changed
                else f"signed with another key, that of {signed.sender}"
            )
        return raw, signed.hash

    def sign_typed_data(self, data: Mapping[str, Any]) -> bytes:
        raw = self._bytes(self._ask(_TYPED_DATA, self.address, data))
        if len(raw) != 65:
            raise self._refused(f"answers with a signature of {len(raw)} bytes")
        return raw[:64] + bytes((raw[64] + 27 if raw[64] < 27 else raw[64],))

    def _ask(self, methods: Sequence[str], *params: object) -> Any:
        """The answer to the first of the methods that the signer knows."""
        refused: RpcError | None = None
        for method in methods:
            try:
                return self._rpc.call(method, *params)
            except RpcError as error:
                refused = error
                if not _is_unknown(error):
                    break
            except RpcUnavailable as error:
                error.next = f"See that the signer {self.name!r} runs, at {self._rpc.name}."
                raise
        assert refused is not None
        raise self._refused(f"refuses: {refused.said[:500]}")

    def _bytes(self, value: object) -> bytes:
        if isinstance(value, str) and value.startswith("0x"):
            try:
                return bytes.fromhex(value[2:])
            except ValueError:
                pass
        raise RpcAnswerInvalid(f"the signer {self.name!r} answered no bytes in hex")

    def _refused(self, what: str) -> KeyRefused:
        return KeyRefused(
            f"the signer {self.name!r} at {self._rpc.name} {what}",
            next="Look at what the signer itself says; nothing was sent.",
            evidence={"signer": shown_url(self._rpc.url), "address": self.address},
        )


def _is_unknown(error: RpcError) -> bool:
    said = error.said.lower()
    return error.code == _NO_SUCH_METHOD or "method not found" in said or "does not exist" in said


def _changed(asked: Mapping[str, Any], signed: SignedTransaction) -> list[str]:
    """The fields that are not as they were asked for."""
    legacy = signed.tip is None
    found = dict(signed.call) | (
        {"gasPrice": signed.cap}
        if legacy
        else {"maxFeePerGas": signed.cap, "maxPriorityFeePerGas": signed.tip}
    )
    wanted = dict(asked) | {"to": asked["to"].lower()}
    found["to"] = signed.to.lower() if signed.to else None
    return sorted(name for name in wanted.keys() | found if wanted.get(name) != found.get(name))
