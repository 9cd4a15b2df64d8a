"""Reading a chain over plain JSON-RPC, everything pinned to one block's hash (EIP-1898)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from integrity.chain.events import EventLogs
from integrity.chain.headers import header_rlp
from integrity.chain.rpc import JsonRpc, RpcError
from integrity.core.events import DELEGATE_SET, RELEASED, TOPICS, DelegateSet, Event, Released
from integrity.core.names import checksum_address, keccak256
from integrity.core.registry import Block, StateProof, package_key
from integrity.errors import ProofUnavailable, RpcAnswerInvalid
from integrity.ports import EventStep, ReleasedEvent
from integrity.verifier.checks import check_chain

_IS_VALID_SIGNATURE = bytes.fromhex("1626ba7e")
_NUMBER_LIMIT = (1 << 53) - 1
"""Of a block's number, and of its time: what JSON and databases hold."""

_PROOF_NODES = 65
"""A key has 64 nibbles."""


class RpcReader:
    """The ChainReader port over one node; what it says is believed by nobody but by policy."""

    def __init__(self, url: str) -> None:
        self._rpc = JsonRpc(url)
        self.url = url
        self.name = self._rpc.name

    def chain_id(self) -> int:
        return self._quantity(self._rpc.call("eth_chainId"))

    def block(self, block: str | bytes) -> Block:
        found = self._block(block)
        return Block(
            self._quantity(found.get("number")),
            self._data(found.get("hash"), 32),
            self._quantity(found.get("timestamp")),
        )

    def header(self, block: str | bytes) -> bytes:
        return self._header(block, self._block(block))

    def look(self, block: str | bytes, chain_id: int) -> bytes:
        try:
            served, found = self._rpc.batch([("eth_chainId", ()), _call_of(block)])
        except (RpcError, RpcAnswerInvalid):  # a node may take no batches, or have no such block
            check_chain(chain_id, self.chain_id())
            return self.header(block)
        check_chain(chain_id, self._quantity(served))
        return self._header(block, self._checked(block, found))

    def _header(self, block: str | bytes, found: dict[str, Any]) -> bytes:
        asked = block if isinstance(block, str) else "0x" + block.hex()
        raw = header_rlp(found, self._quantity, self._data)
        if raw is None:
            raise ProofUnavailable(
                f"{self.name} describes the block {asked!r} by fields that do not have its hash",
                next="Use another node with --rpc; or a newer release of this program, if the chain has "
                "a new kind of block.",
            )
        if not isinstance(block, str) and keccak256(raw) != block:
            raise RpcAnswerInvalid(f"{self.name} gives another block than {asked!r}")
        return raw

    def _block(self, block: str | bytes) -> dict[str, Any]:
        method, params = _call_of(block)
        return self._checked(block, self._rpc.call(method, *params))

    def _checked(self, block: str | bytes, found: object) -> dict[str, Any]:
        asked = _call_of(block)[1][0]
        if not isinstance(found, dict):
            raise RpcAnswerInvalid(f"{self.name} has no block {asked!r}")
        for name in ("number", "timestamp"):
            if name in found and self._quantity(found[name]) > _NUMBER_LIMIT:
                raise RpcAnswerInvalid(f"{self.name} tells of a block that no chain has: {asked!r}")
        return found

    def hash_at(self, number: int) -> bytes:
        return self._data(self._block(hex(number)).get("hash"), 32)

    def proof(self, address: str, slots: Sequence[bytes], at: Block) -> StateProof:
        asked = ["0x" + slot.hex() for slot in slots]
        try:
            found = self._rpc.call("eth_getProof", address, asked, _pin(at))
        except RpcError as error:
            raise ProofUnavailable(
                f"{self.name} does not prove the state at block {at.number}: {error.said[:200]}",
            ) from error
        if not isinstance(found, dict) or not isinstance(found.get("storageProof"), list):
            raise RpcAnswerInvalid(f"{self.name} answered eth_getProof with no proof")
        given = found["storageProof"]
        if len(given) != len(slots) or not all(isinstance(one, dict) for one in given):
            raise RpcAnswerInvalid(
                f"{self.name} answered {len(given)} proofs of {len(slots)} slots"
            )
        nodes = (self._nodes(one.get("proof")) for one in given)
        return StateProof(
            self._nodes(found.get("accountProof")), dict(zip(slots, nodes, strict=True))
        )

    def _nodes(self, value: object) -> tuple[bytes, ...]:
        if not isinstance(value, list) or len(value) > _PROOF_NODES:
            raise RpcAnswerInvalid(f"{self.name} answered eth_getProof with no list of nodes")
        return tuple(self._data(node) for node in value)

    def code(self, address: str, at: Block) -> bytes:
        return self._data(self._rpc.call("eth_getCode", address, _pin(at)))

    def takes_signature(self, account: str, digest: bytes, signature: bytes) -> bool:
        """Whether a contract takes it for its own at the newest block (ERC-1271)."""
        padded = signature + bytes(-len(signature) % 32)
        words = digest + (64).to_bytes(32, "big") + len(signature).to_bytes(32, "big") + padded
        call = {"to": account, "data": "0x" + (_IS_VALID_SIGNATURE + words).hex()}
        try:
            answer = self._data(self._rpc.call("eth_call", call, "latest"))
        except RpcError as error:
            if error.code in {3, -32000}:  # it reverted
                return False
            raise
        return answer[:32] == _IS_VALID_SIGNATURE + bytes(28)

    def words(self, address: str, slots: Sequence[bytes], at: Block) -> list[bytes]:
        calls = [("eth_getStorageAt", (address, "0x" + s.hex(), _pin(at))) for s in slots]
        return [self._data(word, 32) for word in self._rpc.batch(calls)]

    def released(
        self, address: str, publisher: str, package: str, to: Block
    ) -> list[ReleasedEvent]:
        owner = "0x" + publisher[2:].lower().zfill(64)
        topics = ["0x" + RELEASED.hex(), owner, "0x" + package_key(publisher, package).hex()]
        steps = EventLogs(self._rpc).steps(address, topics, 0, to.number, lambda _: b"")
        return [self._event(event, publisher, package) for step in steps for event in step.events]

    def delegates(
        self, address: str, publisher: str, first: int, to: Block
    ) -> set[tuple[str, str]]:
        owner = "0x" + publisher[2:].lower().zfill(64)
        topics = ["0x" + DELEGATE_SET.hex(), owner]
        steps = EventLogs(self._rpc).steps(address, topics, first, to.number, lambda _: b"")
        events = [event for step in steps for event in step.events]
        return {
            (checksum_address(event.delegate), event.package)
            for event in events
            if isinstance(event, DelegateSet)
        }

    def events(self, address: str, first: int, last: Block) -> Iterator[EventStep]:
        topics = [["0x" + topic.hex() for topic in TOPICS]]

        def hash_of(number: int) -> bytes:
            return last.hash if number == last.number else self.hash_at(number)

        return EventLogs(self._rpc).steps(address, topics, first, last.number, hash_of)

    def _event(self, event: Event, publisher: str, package: str) -> ReleasedEvent:
        if not isinstance(event, Released) or event.package != package:
            told = getattr(event, "package", "none")
            raise RpcAnswerInvalid(
                f"{self.name} sent a log of the package {told}, not of {package}"
            )
        place = event.place
        return ReleasedEvent(
            publisher, package, event.version, event.sequence, event.manifest,
            Block(place.block, place.block_hash, place.time), place.transaction,
        )  # fmt: skip

    def _quantity(self, value: object) -> int:
        if isinstance(value, str) and value.startswith("0x") and len(value) <= 66:
            try:
                return int(value, 16)
            except ValueError:
                pass
        raise RpcAnswerInvalid(f"{self.name} answered {str(value)[:80]!r} where a number belongs")

    def _data(self, value: object, size: int | None = None) -> bytes:
        if isinstance(value, str) and value.startswith("0x"):
            try:
                data = bytes.fromhex(value[2:])
            except ValueError:
                data = None
            if data is not None and size in (None, len(data)):
                return data
        raise RpcAnswerInvalid(f"{self.name} answered {str(value)[:80]!r} where bytes belong")


def _pin(at: Block) -> dict[str, object]:
    return {"blockHash": "0x" + at.hash.hex()}


def _call_of(block: str | bytes) -> tuple[str, tuple[Any, ...]]:
    """What asks for a block by its tag or number, or by its hash."""
    if isinstance(block, str):
        return "eth_getBlockByNumber", (block, False)
    return "eth_getBlockByHash", ("0x" + block.hex(), False)
