"""Reading a chain over plain JSON-RPC, everything pinned to one block's hash (EIP-1898)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from integrity.chain.headers import header_rlp
from integrity.chain.rpc import JsonRpc, RpcError
from integrity.core.names import check_package, check_version, checksum_address, keccak256
from integrity.core.registry import ALL_PACKAGES, Block, StateProof, package_key
from integrity.errors import FormatError, ProofUnavailable, RpcAnswerInvalid
from integrity.ports import ReleasedEvent

_RELEASED = keccak256(
    b"Released(address,bytes32,bytes32,string,string,bytes32,uint256,address,bool)"
)
_DELEGATE_SET = keccak256(b"DelegateSet(address,address,string,uint256,uint40)")
_IS_VALID_SIGNATURE = bytes.fromhex("1626ba7e")
_PROOF_NODES = 65
"""A key has 64 nibbles."""

_RELEASED_DATA = ("string", "string", "bytes32", "uint256", "address", "bool")


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
        found = self._block(block)
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
        if isinstance(block, str):
            asked, found = block, self._rpc.call("eth_getBlockByNumber", block, False)
        else:
            asked = "0x" + block.hex()
            found = self._rpc.call("eth_getBlockByHash", asked, False)
        if not isinstance(found, dict):
            raise RpcAnswerInvalid(f"{self.name} has no block {asked!r}")
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
        topics = ["0x" + _RELEASED.hex(), owner, "0x" + package_key(publisher, package).hex()]
        logs = self._logs(address, topics, 0, to.number)
        return [self._event(log, publisher, package) for log in logs]

    def delegates(self, address: str, publisher: str, to: Block) -> set[tuple[str, str]]:
        owner = "0x" + publisher[2:].lower().zfill(64)
        logs = self._logs(address, ["0x" + _DELEGATE_SET.hex(), owner], 0, to.number)
        return {self._delegate(log) for log in logs}

    def _delegate(self, log: Any) -> tuple[str, str]:
        from eth_abi.abi import decode  # only a list of delegates needs it
        from eth_abi.exceptions import DecodingError

        try:
            package, _, _ = decode(("string", "uint256", "uint40"), self._data(log["data"]))
            who = checksum_address(self._data(log["topics"][2], 32)[12:])
            return who, check_package(package) if package else ALL_PACKAGES
        except (
            DecodingError, OverflowError, UnicodeDecodeError, LookupError, TypeError, FormatError,
        ) as error:  # fmt: skip
            raise RpcAnswerInvalid(f"{self.name} sent a log that does not decode") from error

    def _logs(self, address: str, topics: list[str], first: int, last: int) -> list[Any]:
        """All logs of a range; a node that finds it too wide is asked for each half."""
        query = {
            "address": address, "topics": topics, "fromBlock": hex(first), "toBlock": hex(last),
        }  # fmt: skip
        try:
            found = self._rpc.call("eth_getLogs", query)
        except RpcError:
            if first >= last:
                raise
            middle = (first + last) // 2
            return self._logs(address, topics, first, middle) + self._logs(
                address, topics, middle + 1, last
            )
        if not isinstance(found, list):
            raise RpcAnswerInvalid(f"{self.name} answered eth_getLogs with no list")
        return found

    def _event(self, log: Any, publisher: str, asked: str) -> ReleasedEvent:
        from eth_abi.abi import decode  # only a package's history needs it
        from eth_abi.exceptions import DecodingError

        try:
            values = decode(_RELEASED_DATA, self._data(log["data"]))
            package, version, manifest, sequence, _, _ = values
            if package != asked:
                raise RpcAnswerInvalid(
                    f"{self.name} sent a log of the package {package[:80]!r}, not of {asked}"
                )
            check_version(version)
            return ReleasedEvent(
                publisher,
                package,
                version,
                sequence,
                manifest,
                Block(
                    self._quantity(log["blockNumber"]),
                    self._data(log["blockHash"], 32),
                    self._quantity(log.get("blockTimestamp", "0x0")),
                ),
                self._data(log["transactionHash"], 32),
            )
        except (
            DecodingError, OverflowError, UnicodeDecodeError, KeyError, TypeError, FormatError,
        ) as error:  # fmt: skip
            raise RpcAnswerInvalid(f"{self.name} sent a log that does not decode") from error

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
