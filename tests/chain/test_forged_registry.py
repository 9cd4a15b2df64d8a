"""Threat 10: a contract whose constructor wrote a record and left the genuine code behind, on real chains."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from integrity import resolve
from integrity.chain.artifact import load_artifact
from integrity.chain.reader import RpcReader
from integrity.client.receipts import check_receipt
from integrity.client.resolving import latest_manifest
from integrity.client.session import Session
from integrity.core.links import Link
from integrity.core.names import keccak256, parse_address
from integrity.core.registry import head_slot, manifest_slot, release_slot
from integrity.errors import ProofInvalid, RegistryMismatch, ReleaseNotFound
from integrity.finding.history import history
from integrity.home import Home
from integrity.keys.keystore import DEVELOPMENT_CHAIN
from integrity.verifier.checks import Registry
from integrity.verifier.proofs import read_header
from integrity.verifier.receipt import Receipt, check, encode
from integrity.verifier.record import RecordVerifier
from integrity.verifier.state import CHECKPOINT, Vouched
from tests.cli.running import User

from .anvils import running_anvil
from .conftest import MakeRpc, both
from .geths import running_geth
from .lying_rpc import Call, Forward
from .nodes import Node

pytestmark = both

REGISTRY = load_artifact().registry
VICTIM = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
LINK = Link(DEVELOPMENT_CHAIN, VICTIM, "tool", "1.0.0")
MANIFEST = b"\xab" * 32
WORDS = {
    head_slot(VICTIM, "tool"): 1 | 1 << 48 | 1_700_000_000 << 96,
    release_slot(VICTIM, "tool", "1.0.0"): 1 | 1_700_000_000 << 48 | int(VICTIM, 16) << 96,
    manifest_slot(VICTIM, "tool", 1): int.from_bytes(MANIFEST, "big"),
}

Job = Callable[[Session, Link], Any]
JOBS: tuple[Job, ...] = (resolve, history, latest_manifest)
every_job = pytest.mark.parametrize("job", JOBS)


def forging(words: Mapping[bytes, int], code: bytes) -> bytes:
    """Init code that writes the words of storage, and returns any code as the contract's own."""
    push32, push2, push0, sstore, codecopy, dup1, give = 0x7F, 0x61, 0x5F, 0x55, 0x39, 0x80, 0xF3
    writes = b"".join(
        bytes([push32]) + word.to_bytes(32, "big") + bytes([push32]) + slot + bytes([sstore])
        for slot, word in words.items()
    )
    size = bytes([push2]) + len(code).to_bytes(2, "big")
    # size, then codecopy(0, where the code begins, size), then return(0, size)
    tail = len(size) + 1 + 3 + 1 + 1 + 1 + 1
    start = bytes([push2]) + (len(writes) + tail).to_bytes(2, "big")
    return writes + size + bytes([dup1]) + start + bytes([push0, codecopy, push0, give]) + code


@dataclass(frozen=True, slots=True)
class Forged:
    """A forged registry at ``address`` on the chain of ``node``."""

    node: Node
    address: str

    def stranger(self, tmp_path: Path, url: str = "") -> Session:
        """Somebody whose home holds nothing, and who believes the victim."""
        return Session(
            Home.at(tmp_path / "stranger"), rpc=(url or self.node.url,), publisher=VICTIM
        )


@pytest.fixture(scope="session")
def genuine() -> bytes:
    """The code that stands at the registry's address."""
    text = resources.files("integrity.chain").joinpath("ContentRegistry.json").read_text("utf-8")
    code = bytes.fromhex(json.loads(text)["deployedBytecode"][2:])
    assert keccak256(code) == REGISTRY.code_hash
    return code


def deployed(node: Node, place: Path, genuine: bytes) -> Forged:
    """Deploy it from somebody's account, and see that it is what it is to be."""
    receipt = node.send(node.publisher(place / "forger"), None, forging(WORDS, genuine))
    assert receipt["status"] == "0x1"
    node.settle()
    forged = Forged(node, receipt["contractAddress"])
    reader = RpcReader(node.url)
    block = reader.block("finalized")
    assert reader.code(forged.address, block) == genuine
    words = reader.words(forged.address, list(WORDS), block)
    assert [int.from_bytes(word, "big") for word in words] == list(WORDS.values())
    return forged


@pytest.fixture
def forged(node: Node, tmp_path: Path, genuine: bytes) -> Forged:
    """One on a chain that has the registry as well."""
    return deployed(node, tmp_path, genuine)


@every_job
def test_threat_10_the_genuine_code_elsewhere_with_forged_storage_is_never_consulted(
    forged: Forged, lying_rpc: MakeRpc, tmp_path: Path, job: Job
) -> None:
    rpc = lying_rpc(forged.node.url)
    with pytest.raises(ReleaseNotFound):
        job(forged.stranger(tmp_path, rpc.url), LINK)
    state = rpc.calls("eth_getProof") + rpc.calls("eth_getStorageAt") + rpc.calls("eth_getCode")
    assert {call["params"][0] for call in state} == {REGISTRY.address}
    assert {c["params"][0]["address"] for c in rpc.calls("eth_getLogs")} <= {REGISTRY.address}
    assert not rpc.calls("eth_call"), "no code is run to learn what stands in storage"


def test_threat_10_it_does_not_stand_in_for_a_registry_that_is_not_deployed(
    kind: str, tmp_path: Path, genuine: bytes
) -> None:
    running = running_anvil if kind == "anvil" else running_geth
    (tmp_path / "chain").mkdir()
    with running(tmp_path / "chain") as node:
        session = deployed(node, tmp_path, genuine).stranger(tmp_path)
        for job in JOBS:
            with pytest.raises(RegistryMismatch, match="no contract stands") as caught:
                job(session, LINK)
            assert (caught.value.exit_code, caught.value.evidence["address"]) == (
                4,
                REGISTRY.address,
            )
        user = User(tmp_path, INTEGRITY_RPC=node.url)
        named = ("--publisher", VICTIM, "--json")
        for command in (("log", str(LINK)), ("get", str(LINK), "--from", "store")):
            error = user.run(*command, *named).error("RegistryMismatch", 4)
            assert error["evidence"]["address"] == REGISTRY.address
        assert not (tmp_path / "tool-1.0.0").exists()


def in_its_place(address: str) -> Callable[[Call, Forward], dict[str, Any]]:
    """An act that answers about another contract whatever is asked about the registry."""

    def act(call: Call, forward: Forward) -> dict[str, Any]:
        if call["params"] and call["params"][0] == REGISTRY.address:
            call["params"][0] = address
        answer = forward()
        if isinstance(answer.get("result"), dict) and "address" in answer["result"]:
            answer["result"]["address"] = REGISTRY.address.lower()
        return answer

    return act


@every_job
def test_threat_10_a_node_that_answers_about_it_instead_proves_nothing(
    forged: Forged, lying_rpc: MakeRpc, tmp_path: Path, job: Job
) -> None:
    rpc = lying_rpc(forged.node.url)
    rpc.act = in_its_place(forged.address)
    with pytest.raises(ProofInvalid) as caught:
        job(forged.stranger(tmp_path, rpc.url), LINK)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("honest", [True, False], ids=["of itself", "of the registry"])
def test_threat_10_its_receipts_are_refused(forged: Forged, tmp_path: Path, honest: bool) -> None:
    """Its proofs are true, and its code is the registry's; but it is not the registry."""
    reader = RpcReader(forged.node.url)
    header = reader.header("finalized")
    block = read_header(header).block
    proof = reader.proof(forged.address, list(WORDS), block)
    head, release, manifest = (proof.slots[slot] for slot in WORDS)

    def receipt(registry: str) -> Receipt:
        return Receipt(
            DEVELOPMENT_CHAIN, registry, VICTIM, "tool", "1.0.0", header, proof.account, head, release,
            manifest,
        )  # fmt: skip

    address = parse_address(forged.address)
    own = Registry(address, REGISTRY.code_hash)
    believing = RecordVerifier(receipt(address).link, own)
    believing.step1_publisher(VICTIM, False)
    pinned = check(receipt(address), believing, Vouched(CHECKPOINT))
    assert pinned.manifest == MANIFEST, "who pins it gets what it says"
    data = encode(receipt(address if honest else REGISTRY.address))
    session = Session(Home.at(tmp_path / "home"), publisher=VICTIM, checkpoint=block.hash)
    with pytest.raises(ProofInvalid):
        check_receipt(session, data)
    path = tmp_path / "forged.receipt"
    path.write_bytes(data)
    named = ("--publisher", VICTIM, "--checkpoint", block.hash.hex(), "--json")
    User(tmp_path).run("receipt", "check", path, *named).error("ProofInvalid", 4)
