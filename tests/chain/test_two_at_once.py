"""Two processes, or two machines, with one key: distinct nonces, one record each, no fee twice."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from integrity.client.session import Session
from integrity.config import set_config
from integrity.keys.keystore import DEVELOPMENT_CHAIN
from integrity.store.database import Store

from .anvils import Anvil
from .conftest import MakeRpc, both_at_length
from .ledger import count, journal, send
from .lying_rpc import Act, Call, Forward
from .nodes import Node
from .processes import Publisher

SEND = "eth_sendRawTransaction"


def folders(tmp_path: Path, number: int) -> list[Path]:
    """Folders with different contents."""
    made = []
    for index in range(number):
        folder = tmp_path / f"content-{index}" / "tool"
        folder.mkdir(parents=True)
        (folder / "README").write_text(f"content {index}\n")
        made.append(folder)
    return made


@pytest.fixture
def twin(node: Node, session: Session, tmp_path: Path) -> Session:
    """Another machine that has the same key."""
    copy = replace(session, home=type(session.home).at(tmp_path / "twin"))
    shutil.copytree(session.home.keys, copy.home.keys)
    chains = {DEVELOPMENT_CHAIN: {"rpc": [node.url]}}
    set_config(copy.home, {"default_chain": DEVELOPMENT_CHAIN, "chains": chains})
    return copy


def together(number: int) -> Callable[[], Act]:
    """Makes acts that hold back each one's first sending until all have come so far."""
    barrier = threading.Barrier(number)

    def make() -> Act:
        first = True

        def act(call: Call, forward: Forward) -> dict[str, Any]:
            nonlocal first
            if call["method"] == SEND and first:
                first = False
                barrier.wait(60)
            return forward()

        return act

    return make


def race(
    sessions: list[Session], contents: list[Path], versions: list[str], lying_rpc: MakeRpc
) -> list[dict[str, Any]]:
    """All publish, and none sends before all have signed -> their results."""
    make_act = together(len(sessions))
    publishers = []
    for session, content, version in zip(sessions, contents, versions, strict=True):
        rpc = lying_rpc(session.config.rpc[DEVELOPMENT_CHAIN][0])
        rpc.act = make_act()
        publishers.append(Publisher(replace(session, rpc=(rpc.url,)), content, version))
    return [publisher.outcome() for publisher in publishers]


# --- somebody who watches the pool ---------------------------------------------------------------


def test_threat_48_a_pending_transaction_that_is_copied_with_more_gas_gains_the_copier_nothing(
    anvil: Anvil, session: Session, address: str, folder: Path, tmp_path: Path, lying_rpc: MakeRpc
) -> None:
    copier = anvil.publisher(tmp_path / "copier").key(None).address
    anvil.call("anvil_impersonateAccount", copier)
    anvil.hold()
    rpc = lying_rpc(anvil.url)
    publisher = Publisher(replace(session, rpc=(rpc.url,)), folder)
    while not rpc.calls("eth_getTransactionReceipt"):
        assert publisher.running
    (pending,) = journal(session)
    seen = anvil.call("eth_getTransactionByHash", pending["hash"])
    dear = {"maxFeePerGas": hex(10**12), "maxPriorityFeePerGas": hex(10**11), "gas": seen["gas"]}
    own = seen["input"].replace(address[2:].lower(), copier[2:].lower())
    assert own != seen["input"]
    plain = {"from": copier, "to": seen["to"]} | dear
    copies = [
        anvil.call("eth_sendTransaction", plain | {"data": data, "nonce": hex(at)})
        for at, data in enumerate((seen["input"], own))
    ]
    anvil.mine()
    assert int(anvil.receipt(copies[0])["transactionIndex"], 16) == 0, "before the publisher's"
    assert [anvil.receipt(copy)["status"] for copy in copies] == ["0x0", "0x1"]
    result = publisher.result()
    assert (result["transaction"], result["sequence"]) == (pending["hash"], 1)
    assert (count(anvil, address), count(anvil, copier)) == (1, 1)
    assert anvil.nonce(address) == 1


# --- one machine -------------------------------------------------------------------------------


@both_at_length
def test_threat_43_processes_with_one_key_get_a_nonce_and_a_record_each(
    node: Node, session: Session, address: str, tmp_path: Path
) -> None:
    contents = folders(tmp_path, 4)
    publishers = [
        Publisher(session, content, f"{index}.0.0") for index, content in enumerate(contents)
    ]
    results = [publisher.result() for publisher in publishers]
    assert sorted(result["sequence"] for result in results) == [1, 2, 3, 4]
    assert len({result["transaction"] for result in results}) == 4
    receipts = [node.receipt(result["transaction"]) for result in results]
    assert all(receipt["status"] == "0x1" for receipt in receipts)
    assert (count(node, address), node.nonce(address)) == (4, 4)


@both_at_length
def test_threat_43_processes_that_publish_the_very_same_pay_once(
    node: Node, session: Session, address: str, folder: Path
) -> None:
    publishers = [Publisher(session, folder) for _ in range(3)]
    results = [publisher.result() for publisher in publishers]
    assert [result["sequence"] for result in results] == [1, 1, 1]
    assert len({result["transaction"] for result in results}) == 1
    assert (count(node, address), node.nonce(address)) == (1, 1)


@both_at_length
def test_threat_43_of_two_contents_for_one_version_one_is_recorded(
    node: Node, session: Session, address: str, tmp_path: Path
) -> None:
    publishers = [Publisher(session, content) for content in folders(tmp_path, 2)]
    results = [publisher.outcome() for publisher in publishers]
    (won,) = [result for result in results if "error" not in result]
    (lost,) = [result for result in results if "error" in result]
    assert lost["error"] == "ReleaseExists"
    assert lost["evidence"]["recorded"] == won["manifest"]
    assert (count(node, address), node.nonce(address)) == (1, 1)


# --- two machines ------------------------------------------------------------------------------


@both_at_length
def test_threat_43_two_machines_race_for_one_version(
    node: Node, session: Session, twin: Session, address: str, tmp_path: Path, lying_rpc: MakeRpc
) -> None:
    contents = folders(tmp_path, 2)
    results = race([session, twin], contents, ["1.0.0", "1.0.0"], lying_rpc)
    (won,) = [result for result in results if "error" not in result]
    (lost,) = [result for result in results if "error" in result]
    assert lost["error"] == "ReleaseExists"
    assert lost["evidence"]["recorded"] == won["manifest"]
    given = lost["evidence"]["given"]
    assert given != won["manifest"]
    assert (count(node, address), node.nonce(address)) == (1, 1)
    # Nothing of the loser's is served; its folder is intact, and can go out under another version.
    loser = [session, twin][results.index(lost)]
    with Store(loser.home.store) as store:
        assert store.releases() == []
        assert store.node(bytes.fromhex(given)) is None
    assert journal(loser) == []
    assert send(loser, contents[results.index(lost)], "1.0.1").sequence == 2
    assert node.nonce(address) == 2


@both_at_length
def test_threat_43_two_machines_race_with_the_very_same_release(
    node: Node, session: Session, twin: Session, address: str, folder: Path, lying_rpc: MakeRpc
) -> None:
    results = race([session, twin], [folder, folder], ["1.0.0", "1.0.0"], lying_rpc)
    assert [result.get("sequence") for result in results] == [1, 1], results
    assert len({result["transaction"] for result in results}) == 1
    assert (count(node, address), node.nonce(address)) == (1, 1)


@both_at_length
def test_threat_43_two_machines_race_with_different_versions(
    node: Node, session: Session, twin: Session, address: str, tmp_path: Path, lying_rpc: MakeRpc
) -> None:
    results = race([session, twin], folders(tmp_path, 2), ["1.0.0", "2.0.0"], lying_rpc)
    assert sorted(str(result.get("sequence")) for result in results) == ["1", "2"], results
    assert (count(node, address), node.nonce(address)) == (2, 2)


def test_threat_43_two_machines_race_in_the_mempool(
    anvil: Anvil, session: Session, twin: Session, address: str, tmp_path: Path, lying_rpc: MakeRpc
) -> None:
    anvil.hold()
    stop = threading.Event()

    def mine() -> None:
        while not stop.wait(0.1):
            anvil.mine()

    miner = threading.Thread(target=mine)
    miner.start()
    try:
        results = race([session, twin], folders(tmp_path, 2), ["1.0.0", "2.0.0"], lying_rpc)
    finally:
        stop.set()
        miner.join()
    assert sorted(str(result.get("sequence")) for result in results) == ["1", "2"], results
    assert (count(anvil, address), anvil.nonce(address)) == (2, 2)


@both_at_length
def test_another_machine_that_publishes_between_the_count_and_the_signature_is_no_error(
    node: Node, session: Session, twin: Session, address: str, tmp_path: Path, lying_rpc: MakeRpc
) -> None:
    mine, theirs = folders(tmp_path, 2)
    rpc = lying_rpc(node.url)
    estimates = 0

    def act(call: Call, forward: Forward) -> dict[str, Any]:
        nonlocal estimates
        if call["method"] == "eth_estimateGas":
            estimates += 1
            if estimates == 2:  # the first is for the fee; this one stands before the signature
                send(twin, theirs, "1.0.0")
        return forward()

    rpc.act = act
    assert send(replace(session, rpc=(rpc.url,)), mine, "2.0.0").sequence == 2
    assert (count(node, address), node.nonce(address)) == (2, 2)


@pytest.mark.long
def test_a_transaction_that_another_machine_replaced_is_signed_anew(
    anvil: Anvil, session: Session, address: str, folder: Path, lying_rpc: MakeRpc
) -> None:
    anvil.hold()
    rpc = lying_rpc(anvil.url)
    publisher = Publisher(replace(session, rpc=(rpc.url,)), folder)
    while not rpc.calls("eth_getTransactionReceipt"):
        assert publisher.running
    anvil.call("anvil_impersonateAccount", address)
    gift = {
        "from": address, "to": "0x" + "11" * 20, "value": "0x1", "nonce": "0x0",
        "maxFeePerGas": hex(10**12), "maxPriorityFeePerGas": hex(10**11),
    }  # fmt: skip
    replacement = anvil.call("eth_sendTransaction", gift)
    anvil.mine()
    assert anvil.receipt(replacement)["status"] == "0x1"
    while publisher.running:
        anvil.mine()
    assert publisher.result()["sequence"] == 1
    assert (count(anvil, address), anvil.nonce(address)) == (1, 2)
