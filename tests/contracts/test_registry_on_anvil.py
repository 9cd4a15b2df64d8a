"""The shipped contract on a real chain: deployed through the proxy, paid for, read slot by slot."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_account import Account
from eth_utils.crypto import keccak
from hexbytes import HexBytes
from web3 import Web3
from web3.contract import Contract
from web3.types import TxReceipt

PACKAGE = "fourteen-chars"
FOREVER = 2**40 - 1
KEY = keccak(b"a publisher's key")
# Answers every ERC-1271 question with yes: PUSH4 selector, PUSH1 224, SHL, PUSH1 0, MSTORE; return.
OBLIGING_WALLET = "0x631626ba7e60e01b60005260206000f3"
PUBLISH_ARGUMENTS = (
    "publisher",
    "package",
    "version",
    "manifest",
    "content",
    "expectedCount",
    "makeLatest",
)
GAS = Path(__file__).with_name("gas.json")


def manifest(number: int) -> bytes:
    return keccak(text=f"manifest {number}")


def content(number: int) -> bytes:
    return keccak(text=f"content {number}")


@dataclass
class Registry:
    """The deployed contract, and what its deployment cost."""

    web3: Web3
    contract: Contract
    deployment: TxReceipt
    runtime_code: bytes

    @property
    def accounts(self) -> tuple[str, ...]:
        return tuple(self.web3.eth.accounts)

    def send(self, sender: str, function: str, *arguments: Any) -> TxReceipt:
        """Make a transaction -> its receipt."""
        call = self.contract.get_function_by_name(function)(*arguments)
        receipt = self.web3.eth.wait_for_transaction_receipt(call.transact({"from": sender}))
        assert receipt["status"] == 1
        return receipt

    def gas(self, sender: str, function: str, *arguments: Any) -> int:
        return self.send(sender, function, *arguments)["gasUsed"]

    def view(self, function: str, *arguments: Any) -> Any:
        return self.contract.get_function_by_name(function)(*arguments).call()

    def word(self, slot: bytes) -> int:
        """What stands in a storage slot."""
        stored = self.web3.eth.get_storage_at(self.contract.address, int.from_bytes(slot, "big"))
        return int.from_bytes(stored, "big")


@pytest.fixture(scope="module")
def registry(chain: Web3, artifact: dict[str, Any]) -> Registry:
    create2 = artifact["create2"]
    sender, *_ = chain.eth.accounts
    transaction = chain.eth.send_transaction(
        {
            "from": sender,
            "to": create2["deployer"],
            "data": HexBytes(create2["salt"] + artifact["bytecode"][2:]),
        }
    )
    receipt = chain.eth.wait_for_transaction_receipt(transaction)
    assert receipt["status"] == 1
    contract = chain.eth.contract(address=create2["address"], abi=artifact["abi"])
    return Registry(chain, contract, receipt, bytes(chain.eth.get_code(create2["address"])))


def signed_publish(registry: Registry, signer: str, *arguments: Any) -> list[Any]:
    """The arguments of publishWithSignature, signed as a wallet would sign them."""
    deadline = 2**64 - 1
    typed = {
        "domain": {
            "name": "ContentRegistry",
            "version": "1",
            "chainId": registry.web3.eth.chain_id,
            "verifyingContract": registry.contract.address,
        },
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            "Publish": [
                {"name": "publisher", "type": "address"},
                {"name": "package", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "manifest", "type": "bytes32"},
                {"name": "content", "type": "bytes32"},
                {"name": "expectedCount", "type": "uint256"},
                {"name": "makeLatest", "type": "bool"},
                {"name": "signer", "type": "address"},
                {"name": "deadline", "type": "uint256"},
            ],
        },
        "primaryType": "Publish",
        "message": {
            **dict(zip(PUBLISH_ARGUMENTS, arguments, strict=True)),
            "signer": signer,
            "deadline": deadline,
        },
    }
    signature = Account.sign_typed_data(KEY, full_message=typed).signature
    return [*arguments, signer, deadline, bytes(signature)]


def measure(registry: Registry) -> dict[str, int]:
    """Gas of every kind of transaction, from receipts."""
    publisher, delegate, delegate_for_all, heir, relayer = registry.accounts[:5]
    signer = Account.from_key(KEY).address
    gas = registry.gas

    def item(name: str, count: int, version: str = "", package: str = PACKAGE) -> list[Any]:
        digests = manifest(count), content(count)
        return [name, package, version or f"1.0.{count}", *digests, count, True]

    def batch(items: list[list[Any]]) -> int:
        calls = [registry.contract.encode_abi("publish", arguments) for arguments in items]
        return gas(publisher, "multicall", calls) // len(calls)

    used = {"deployment": registry.deployment["gasUsed"]}
    used["first release of a package"] = gas(publisher, "publish", *item(publisher, 0))
    used["further release"] = gas(publisher, "publish", *item(publisher, 1))
    old = item(publisher, 2)
    old[-1] = False
    used["further release, not made the latest"] = gas(publisher, "publish", *old)
    longest = [item(publisher, 0, "v" * 64, "p" * 64), item(publisher, 1, "w" * 64, "p" * 64)]
    gas(publisher, "publish", *longest[0])
    used["further release, names of 64 characters"] = gas(publisher, "publish", *longest[1])

    used["delegate set, one package"] = gas(
        publisher, "setDelegate", publisher, PACKAGE, delegate, FOREVER
    )
    used["delegate set, all packages"] = gas(
        publisher, "setDelegate", publisher, "", delegate_for_all, FOREVER
    )
    used["further release by a delegate"] = gas(delegate, "publish", *item(publisher, 3))
    used["further release by a delegate for all"] = gas(
        delegate_for_all, "publish", *item(publisher, 4)
    )
    used["delegate removed"] = gas(publisher, "setDelegate", publisher, PACKAGE, delegate, 0)

    gas(relayer, "publishWithSignature", *signed_publish(registry, signer, *item(signer, 0)))
    used["further release by signature"] = gas(
        relayer, "publishWithSignature", *signed_publish(registry, signer, *item(signer, 1))
    )
    wallet = Web3.to_checksum_address("0x" + "12" * 20)
    registry.web3.provider.make_request("anvil_setCode", [wallet, OBLIGING_WALLET])  # type: ignore[arg-type]
    gas(relayer, "publishWithSignature", *item(wallet, 0), wallet, 2**64 - 1, b"\x01" * 65)
    used["further release by ERC-1271 signature"] = gas(
        relayer, "publishWithSignature", *item(wallet, 1), wallet, 2**64 - 1, b"\x01" * 65
    )

    further = [item(publisher, 5 + n, f"2.{n // 10}.{n % 10}") for n in range(100)]
    used["each of 100 further releases in a multicall"] = batch(further)
    first = [item(publisher, 0, "1.0.0", f"fourteen-ch{n:03}") for n in range(100)]
    used["each of 100 first releases in a multicall"] = batch(first)

    used["latest moved"] = gas(publisher, "setLatest", publisher, PACKAGE, "1.0.0")
    used["revocation, 20 characters of text"] = gas(
        publisher, "revoke", publisher, PACKAGE, "1.0.1", 2, "the build was broken"
    )
    used["endorsement"] = gas(relayer, "endorse", manifest(1), 1)
    used["endorsement withdrawn"] = gas(relayer, "withdrawEndorsement", manifest(1))
    used["control offered"] = gas(publisher, "transferController", publisher, heir)
    used["control accepted"] = gas(heir, "acceptController", publisher)
    return used


def test_gas_is_what_the_snapshot_says(registry: Registry) -> None:
    used = measure(registry)
    if os.environ.get("UPDATE_GAS"):
        GAS.write_text(json.dumps(used, indent=2) + "\n", encoding="utf-8")
    assert used == json.loads(GAS.read_text(encoding="utf-8")), "UPDATE_GAS=1 writes it anew"
    assert used["further release"] <= 85_000
    assert used["each of 100 further releases in a multicall"] <= 63_000
    assert used["each of 100 first releases in a multicall"] <= 80_000


def test_the_documented_gas_is_that_of_the_snapshot(root: Path) -> None:
    text = (root / "docs" / "contract.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+?) +\| +([\d,]+) +\|$", text, re.MULTILINE)
    documented = {name: int(number.replace(",", "")) for name, number in rows}
    assert documented == json.loads(GAS.read_text(encoding="utf-8"))


def test_the_proxy_puts_the_shipped_code_at_the_shipped_address(
    registry: Registry, artifact: dict[str, Any]
) -> None:
    assert "0x" + registry.runtime_code.hex() == artifact["deployedBytecode"]
    assert len(registry.runtime_code) <= 24_576, "EIP-170"


def test_wallets_sign_what_the_contract_checks(registry: Registry) -> None:
    signer = Account.from_key(KEY).address
    arguments = [signer, "signed", "1.0.0", manifest(7), content(7), 0, True]
    relayer = registry.accounts[4]
    registry.send(relayer, "publishWithSignature", *signed_publish(registry, signer, *arguments))
    head, release, digest = registry.view("resolve", signer, "signed", "1.0.0")
    assert (head[0], head[1], release[0], digest) == (1, 1, 1, manifest(7))
    assert release[3] == signer


def test_a_release_is_found_by_its_content(registry: Registry) -> None:
    sender = registry.accounts[5]
    receipt = registry.send(
        sender, "publish", sender, "found", "1.0.0", manifest(8), content(8), 0, True
    )
    released = registry.contract.events.Released
    (found,) = released().get_logs(
        from_block=0, argument_filters={"publisher": sender, "content": content(8)}
    )
    assert found["transactionHash"] == receipt["transactionHash"]
    assert dict(found["args"]) == {
        "publisher": sender,
        "packageKey": registry.view("packageKey", sender, "found"),
        "content": content(8),
        "package": "found",
        "version": "1.0.0",
        "manifest": manifest(8),
        "sequence": 1,
        "by": sender,
        "latest": True,
    }


# Slots derived from the layout alone: keccak256(pad32(key) ++ pad32(slot)), once for each key.


def slot_of(slot: int, *keys: bytes) -> bytes:
    place = slot.to_bytes(32, "big")
    for key in keys:
        place = keccak(key.rjust(32, b"\0") + place)
    return place


def bits(word: int, lowest: int, width: int) -> int:
    return word >> lowest & (1 << width) - 1


def raw(address: str) -> bytes:
    return bytes.fromhex(address[2:])


def as_address(number: int) -> str:
    return Web3.to_checksum_address(number.to_bytes(20, "big"))


@pytest.fixture(scope="module")
def written(registry: Registry) -> Callable[[], tuple[str, str, str]]:
    """Fills every mapping once -> a function that names publisher, controller and delegate."""
    publisher, controller, delegate = registry.accounts[6:9]
    for count in range(3):
        arguments = ("slots", f"1.{count}", manifest(count), content(count), count, count != 1)
        registry.send(publisher, "publish", publisher, *arguments)
    registry.send(publisher, "setLatest", publisher, "slots", "1.1")
    registry.send(publisher, "revoke", publisher, "slots", "1.2", 5, "withdrawn")
    registry.send(publisher, "transferController", publisher, controller)
    registry.send(controller, "acceptController", publisher)
    registry.send(controller, "transferController", publisher, delegate)
    registry.send(controller, "setDelegate", publisher, "slots", delegate, FOREVER - 1)
    registry.send(controller, "setDelegate", publisher, "", delegate, FOREVER)
    registry.send(delegate, "endorse", manifest(1), 2)
    return lambda: (publisher, controller, delegate)


Written = Callable[[], tuple[str, str, str]]


def test_slot_0_holds_who_controls_a_publisher(registry: Registry, written: Written) -> None:
    publisher, controller, _ = written()
    word = registry.word(slot_of(0, raw(publisher)))
    seen = [as_address(bits(word, 0, 160)), bits(word, 160, 48)]
    assert seen == [controller, 1] == registry.view("publishers", publisher)
    assert registry.view("controllerOf", publisher) == controller
    assert word >> 208 == 0


def test_slot_1_holds_who_may_take_over(registry: Registry, written: Written) -> None:
    publisher, _, delegate = written()
    word = registry.word(slot_of(1, raw(publisher)))
    assert as_address(word) == delegate == registry.view("pendingControllers", publisher)


def test_slot_2_holds_the_heads(registry: Registry, written: Written) -> None:
    publisher, _, _ = written()
    key = keccak(encode(["address", "string"], [publisher, "slots"]))
    word = registry.word(slot_of(2, key))
    seen = [bits(word, 0, 48), bits(word, 48, 48), bits(word, 96, 40)]
    revoked = registry.contract.events.Revoked().get_logs(
        from_block=0, argument_filters={"publisher": publisher}
    )
    time = registry.web3.eth.get_block(revoked[0]["blockNumber"])["timestamp"]
    assert seen == [3, 2, time] == registry.view("heads", key)
    assert word >> 136 == 0
    head, latest = registry.view("resolveLatest", publisher, "slots")
    assert list(head) == seen
    assert latest == manifest(1)


def test_slot_3_holds_the_manifests(registry: Registry, written: Written) -> None:
    publisher, _, _ = written()
    key = keccak(encode(["address", "string"], [publisher, "slots"]))
    # The inner mapping's key is hashed with the outer one's slot.
    words = [registry.word(slot_of(3, key, bytes([sequence]))) for sequence in range(5)]
    expected = [bytes(32), manifest(0), manifest(1), manifest(2), bytes(32)]
    assert [word.to_bytes(32, "big") for word in words] == expected
    assert [registry.view("manifests", key, sequence) for sequence in range(5)] == expected
    assert registry.view("history", publisher, "slots", 1, 10) == expected[1:4]


def test_slot_4_holds_the_releases(registry: Registry, written: Written) -> None:
    publisher, _, _ = written()
    package_key = keccak(encode(["address", "string"], [publisher, "slots"]))
    for sequence, (version, revocation) in enumerate([("1.0", 0), ("1.1", 0), ("1.2", 5)], 1):
        key = keccak(encode(["bytes32", "string"], [package_key, version]))
        assert key == registry.view("releaseKey", publisher, "slots", version)
        word = registry.word(slot_of(4, key))
        seen = [bits(word, 0, 48), bits(word, 48, 40), bits(word, 88, 8)]
        by = as_address(bits(word, 96, 160))
        _, release, digest = registry.view("resolve", publisher, "slots", version)
        assert [*seen, by] == list(release) == registry.view("releases", key)
        assert (seen[0], seen[2], by) == (sequence, revocation, publisher)
        assert digest == manifest(sequence - 1)


def test_slot_5_holds_the_endorsements(registry: Registry, written: Written) -> None:
    _, _, delegate = written()
    word = registry.word(slot_of(5, raw(delegate), manifest(1)))
    seen = [bits(word, 0, 40), bits(word, 40, 8)]
    assert seen == registry.view("endorsements", delegate, manifest(1))
    assert (seen[1], word >> 48) == (2, 0)
    assert seen[0] > 1_800_000_000


def test_slot_6_holds_the_delegates(registry: Registry, written: Written) -> None:
    publisher, _, delegate = written()
    package_key = keccak(encode(["address", "string"], [publisher, "slots"]))
    for package, scope, expiry in (("slots", package_key, FOREVER - 1), ("", bytes(32), FOREVER)):
        types = ["address", "uint48", "bytes32", "address"]
        key = keccak(encode(types, [publisher, 1, scope, delegate]))
        assert key == registry.view("delegateKey", publisher, package, delegate)
        assert registry.word(slot_of(6, key)) == expiry == registry.view("delegates", key)


def test_nothing_stands_outside_the_mappings(registry: Registry, written: Written) -> None:
    written()
    assert [registry.word(slot.to_bytes(32, "big")) for slot in range(10)] == [0] * 10
