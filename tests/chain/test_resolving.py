"""From a link to a record: who is believed, which contract, which block, and what is never read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from integrity import publish, publish_many, resolve
from integrity.chain.artifact import load_artifact
from integrity.chain.rpc import JsonRpc
from integrity.client.resolving import latest_manifest
from integrity.client.session import Session
from integrity.core.links import Link
from integrity.core.names import ZERO_ADDRESS
from integrity.core.registry import REVOCATION_REASONS, manifest_slot, release_slot
from integrity.errors import (
    ChainMismatch,
    IntegrityError,
    ManifestMismatch,
    NoRpc,
    PublisherMismatch,
    RecordUnproven,
    RegistryMismatch,
    ReleaseNotFound,
    Revoked,
    RpcAnswerInvalid,
    RpcUnavailable,
    Unfinalized,
    UnknownPublisher,
)
from integrity.finding.history import history
from integrity.home import Home
from integrity.keys.keystore import DEVELOPMENT_CHAIN
from integrity.publishing.preparing import Draft
from integrity.trust import TrustedPublisher

from .anvils import Anvil
from .conftest import MakeAnvil, MakeRpc, Releases, both
from .lying_rpc import Act, Call, Forward, of_method
from .nodes import Node

REGISTRY = load_artifact().address
STRANGER = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"

Job = Callable[[Session, Link], Any]
JOBS: dict[str, Job] = {
    "a version": resolve,
    "the latest": lambda session, link: resolve(session, replace(link, version=None)),
    "the latest manifest": latest_manifest,
    "the history": history,
}
every_job = pytest.mark.parametrize("job", JOBS.values(), ids=JOBS.keys())


def stranger(tmp_path: Path, rpc: str, publisher: str | None) -> Session:
    """Somebody whose home holds nothing."""
    return Session(Home.at(tmp_path / "stranger"), rpc=(rpc,), publisher=publisher)


# --- finality ----------------------------------------------------------------------------------


def first_is_final(call: Call, forward: Forward) -> dict[str, Any]:
    """A node whose chain has nothing final but its first block."""
    if call["method"] == "eth_getBlockByNumber" and call["params"][0] == "finalized":
        call["params"][0] = "0x0"
    return forward()


@every_job
def test_where_nothing_is_final_yet_nothing_is_held_against_the_node(
    releases: Releases, tmp_path: Path, lying_rpc: MakeRpc, job: Job
) -> None:
    rpc = lying_rpc()
    session = stranger(tmp_path, rpc.url, releases.address)
    rpc.act = first_is_final
    with pytest.raises(Unfinalized, match=r"no block yet that can be read at \(finalized\)"):
        job(session, releases.first.link)
    rpc.act = lambda _, forward: forward()
    session.home.config_folder.mkdir(parents=True, exist_ok=True)
    session.home.trust_file.write_text("[policy]\nconfirmations = 1000000\n")
    with pytest.raises(Unfinalized, match=r"can be read at \(1000000 confirmations\)"):
        job(session, releases.first.link)


def test_a_record_with_fewer_confirmations_than_asked_for_is_told_so(
    anvil: Anvil, folder: Path, tmp_path: Path
) -> None:
    session = anvil.publisher(tmp_path / "home")
    link = publish(session, folder, "tool", "1.0.0", wait=False).link
    session.home.trust_file.write_text("[policy]\nconfirmations = 2\n")
    with pytest.raises(
        Unfinalized, match=r"not yet in a block with 2 confirmations \(the newest is"
    ):
        resolve(session, link)
    before = bytes.fromhex(anvil.call("eth_getBlockByNumber", "0x1", False)["hash"][2:])
    with pytest.raises(Unfinalized, match="not yet in the checkpoint's block 1"):
        resolve(replace(session, checkpoint=before), link)


def test_a_publish_where_nothing_is_final_yet_is_found_again(
    anvil: Anvil, session: Session, folder: Path, lying_rpc: MakeRpc
) -> None:
    rpc = lying_rpc(anvil.url)
    rpc.act = first_is_final
    given = replace(session, rpc=(rpc.url,))
    assert not publish(given, folder, "tool", "1.0.0", wait=False).already
    again = publish(given, folder, "tool", "1.0.0", wait=False)
    assert (again.already, again.final) == (True, False)
    drafts = [Draft(folder, "tool", "1.0.0"), Draft(folder, "tool", "1.1.0")]
    many = publish_many(given, drafts, wait=False)
    assert [one.sequence for one in many.releases] == [1, 2]


@every_job
@both
def test_threat_08_a_record_only_at_the_head_is_unfinalized(
    node: Node, folder: Path, tmp_path: Path, job: Job
) -> None:
    session = node.publisher(tmp_path / "home")
    link = publish(session, folder, "tool", "1.0.0", wait=False).link
    with pytest.raises(Unfinalized, match="yet in a finalized block") as caught:
        job(session, link)
    assert (caught.value.exit_code, caught.value.family) == (3, "could not check")
    node.settle()
    assert job(session, link)


@both
def test_threat_08_a_newer_release_at_the_head_does_not_replace_the_final_one(
    node: Node, folder: Path, tmp_path: Path
) -> None:
    session = node.publisher(tmp_path / "home")
    link = publish(session, folder, "tool", "1.0.0", wait=False).link
    node.settle()
    (folder / "README").write_text("newer\n")
    publish(session, folder, "tool", "2.0.0", wait=False)
    assert resolve(session, replace(link, version=None)).version == "1.0.0"
    assert [entry.version for entry in history(session, link).releases] == ["1.0.0"]


@both
@pytest.mark.parametrize(
    "setting",
    ['finality = "latest"', 'finality = "safe"', "confirmations = 2"],
)
def test_a_record_is_read_at_the_block_that_the_policy_says(
    node: Node, folder: Path, tmp_path: Path, setting: str
) -> None:
    session = node.publisher(tmp_path / "home")
    session.home.trust_file.write_text(f"[policy]\n{setting}\n")
    sent = publish(session, folder, "tool", "1.0.0", wait=False)
    assert sent.block is not None

    def number() -> int:
        if "safe" in setting:
            return int(node.call("eth_getBlockByNumber", "safe", False)["number"], 16)
        return node.height() - (2 if setting.endswith("2") else 0)

    if number() < sent.block.number:
        with pytest.raises(Unfinalized):
            resolve(session, sent.link)
    node.mine(2)
    record = resolve(session, sent.link)
    assert record.block.number == number() >= sent.block.number
    assert record.is_proven


@both
def test_a_package_without_a_latest_release_says_so(
    node: Node, folder: Path, tmp_path: Path, lying_rpc: MakeRpc
) -> None:
    session = node.publisher(tmp_path / "home")
    link = publish(session, folder, "tool", "1.0.0", wait=False, make_latest=False).link
    node.settle()
    assert not resolve(session, link).is_latest
    any_version = replace(link, version=None)
    with pytest.raises(ReleaseNotFound, match="none of the 1 releases of tool was made its latest"):
        resolve(session, any_version)
    rpc = lying_rpc(node.url)
    refused = {"code": -32000, "message": "no proofs here"}

    def unable(call: Call, forward: Forward) -> dict[str, Any]:
        if call["method"] == "eth_getProof":
            return {"id": call["id"], "error": refused}
        return forward()

    rpc.act = unable
    session.home.trust_file.write_text('[policy]\nproofs = "optional"\n')
    with pytest.raises(RecordUnproven, match="none of the 1 releases"):
        resolve(replace(session, rpc=(rpc.url,)), any_version)
    publish(session, folder, "tool", "1.1.0", wait=False)
    with pytest.raises(Unfinalized, match="has a latest release"):
        resolve(session, any_version)


# --- the chain ---------------------------------------------------------------------------------


@every_job
@both
def test_threat_09_a_node_of_another_chain_is_a_mismatch(
    releases: Releases, lying_rpc: MakeRpc, tmp_path: Path, job: Job
) -> None:
    rpc = lying_rpc()
    rpc.act = of_method("eth_chainId", lambda *_: "0x1")
    with pytest.raises(ChainMismatch, match="serves chain 1, but chain 31337") as caught:
        job(stranger(tmp_path, rpc.url, releases.address), releases.first.link)
    assert (caught.value.exit_code, caught.value.evidence) == (3, {"expected": 31337, "actual": 1})
    assert not rpc.calls("eth_getProof")
    assert not rpc.calls("eth_getLogs")


def test_threat_09_the_chain_id_of_a_running_node_changes(
    anvil: Anvil, folder: Path, tmp_path: Path
) -> None:
    session = anvil.publisher(tmp_path / "home")
    link = publish(session, folder, "tool", "1.0.0", wait=False).link
    anvil.settle()
    anvil.call("anvil_setChainId", 5)
    with pytest.raises(ChainMismatch):
        resolve(session, link)


# --- the contract ------------------------------------------------------------------------------


@every_job
def test_threat_10_no_code_at_the_registrys_address(
    bare_anvil: MakeAnvil, tmp_path: Path, job: Job
) -> None:
    anvil = bare_anvil()
    anvil.settle()
    session = stranger(tmp_path, anvil.url, STRANGER)
    with pytest.raises(RegistryMismatch, match="no contract stands") as caught:
        job(session, Link(DEVELOPMENT_CHAIN, STRANGER, "tool", "1.0.0"))
    assert (caught.value.exit_code, caught.value.family) == (4, "does not verify")
    assert caught.value.evidence["address"] == REGISTRY


@every_job
def test_threat_10_other_code_at_the_registrys_address(
    anvil: Anvil, folder: Path, tmp_path: Path, job: Job
) -> None:
    session = anvil.publisher(tmp_path / "home")
    link = publish(session, folder, "tool", "1.0.0", wait=False).link
    anvil.settle()
    # One byte more than the genuine code, so that its storage, which is genuine, stays.
    code = anvil.call("eth_getCode", REGISTRY, "latest")
    anvil.call("anvil_setCode", REGISTRY, code + "00")
    anvil.settle()
    with pytest.raises(RegistryMismatch, match="another contract stands"):
        job(session, link)


# --- the record --------------------------------------------------------------------------------


def revoked(
    node: Node, folder: Path, tmp_path: Path, code: int, revoke: Callable[[Session, Link], None]
) -> None:
    """Publish twice, have the second release revoked, and look."""
    session = node.publisher(tmp_path / "home")
    first = publish(session, folder, "tool", "1.0.0", wait=False).link
    (folder / "README").write_text("newer\n")
    link = publish(session, folder, "tool", "2.0.0", wait=False).link
    revoke(session, link)
    node.settle()
    text = REVOCATION_REASONS.get(code, str(code))
    for given in (link, replace(link, version=None)):
        with pytest.raises(Revoked, match=f"reason: {text}") as caught:
            resolve(session, given)
        assert caught.value.exit_code == 4
        assert caught.value.evidence == {"reason": text, "code": code}
    assert resolve(session, first).version == "1.0.0"
    assert [entry.revoked for entry in history(session, link).releases] == [None, text]


@both
@pytest.mark.parametrize("code", REVOCATION_REASONS)
def test_a_revoked_release_is_refused_and_no_older_one_is_given(
    node: Node, folder: Path, tmp_path: Path, code: int
) -> None:
    def revoke(session: Session, link: Link) -> None:
        node.act(session, "revoke", link.publisher, "tool", "2.0.0", code, "why\x1b[2J")

    revoked(node, folder, tmp_path, code, revoke)


def test_a_reason_that_only_a_later_registry_would_take_revokes_as_well(
    anvil: Anvil, folder: Path, tmp_path: Path
) -> None:
    def revoke(_: Session, link: Link) -> None:
        slot = "0x" + release_slot(link.publisher, "tool", "2.0.0").hex()
        word = int(anvil.call("eth_getStorageAt", REGISTRY, slot, "latest"), 16) | 200 << 88
        anvil.call("anvil_setStorageAt", REGISTRY, slot, f"0x{word:064x}")

    revoked(anvil, folder, tmp_path, 200, revoke)


@pytest.mark.parametrize(
    "change",
    [{"version": "9.9.9"}, {"package": "absent"}, {"package": "absent", "version": None}],
    ids=["version", "package", "package without version"],
)
@both
def test_an_absent_release_is_proven_to_be_absent(
    releases: Releases, change: dict[str, Any]
) -> None:
    with pytest.raises(ReleaseNotFound, match="one rpc, proven") as caught:
        resolve(releases.publisher, replace(releases.first.link, **change))
    assert (caught.value.exit_code, caught.value.family) == (4, "does not verify")


@both
def test_a_record_says_what_it_rests_on(releases: Releases) -> None:
    record = resolve(releases.publisher, releases.first.link)
    assert record.basis == "one rpc, proven"
    assert (record.sequence, record.head.count, record.is_latest) == (1, 2, False)
    assert record.manifest == releases.first.manifest
    assert record.by == record.publisher == releases.address
    assert record.registry == REGISTRY
    assert record.block.number >= (releases.other.block.number if releases.other.block else 0)


@both
def test_a_pin_must_hold(releases: Releases) -> None:
    session, link = releases.publisher, releases.first.link
    assert resolve(session, replace(link, pin=releases.first.manifest)).version == "1.0.0"
    with pytest.raises(ManifestMismatch) as caught:
        resolve(session, replace(link, pin=releases.second.manifest))
    assert caught.value.exit_code == 4
    assert caught.value.evidence == {
        "expected": releases.second.manifest.hex(),
        "actual": releases.first.manifest.hex(),
    }
    # Without a version the pin is held against the latest, whichever that is.
    latest = replace(link, version=None)
    assert resolve(session, replace(latest, pin=releases.second.manifest)).version == "2.0.0"
    with pytest.raises(ManifestMismatch):
        resolve(session, replace(latest, pin=releases.first.manifest))


def without_proofs(act: Act) -> Act:
    """The same of a node that cannot prove its state."""

    def acting(call: Call, forward: Forward) -> dict[str, Any]:
        if call["method"] == "eth_getProof":
            return {"id": call["id"], "error": {"code": -32601, "message": "no such method"}}
        return act(call, forward)

    return acting


def of_slot(slot: bytes, change: Callable[[int], int]) -> Callable[[Call, Any], Any]:
    """Change the word of one storage slot."""

    def changed(call: Call, word: str) -> str:
        if call["params"][1] == "0x" + slot.hex():
            return f"0x{change(int(word, 16)):064x}"
        return word

    return changed


@both
def test_words_that_are_not_proven_must_not_contradict_each_other(
    releases: Releases, lying_rpc: MakeRpc, tmp_path: Path
) -> None:
    rpc = lying_rpc()
    session = replace(stranger(tmp_path, rpc.url, releases.address))
    session.home.trust_file.parent.mkdir(parents=True)
    session.home.trust_file.write_text('[policy]\nproofs = "optional"\n')
    names = (releases.address, "tool")
    lies = [
        of_slot(manifest_slot(*names, 1), lambda _: 0),
        of_slot(release_slot(*names, "1.0.0"), lambda word: word & ~0xFF | 3),
        of_slot(release_slot(*names, "1.0.0"), lambda word: word | (1 << 48) - 1),
    ]
    for lie in lies:
        rpc.act = without_proofs(of_method("eth_getStorageAt", lie))
        with pytest.raises(RpcAnswerInvalid, match="contradicts itself"):
            resolve(session, releases.first.link)


# --- who ---------------------------------------------------------------------------------------


@every_job
@both
def test_an_unknown_publisher_is_refused_before_anybody_is_asked(
    releases: Releases, lying_rpc: MakeRpc, tmp_path: Path, job: Job
) -> None:
    rpc = lying_rpc()
    with pytest.raises(UnknownPublisher) as caught:
        job(stranger(tmp_path, rpc.url, None), releases.first.link)
    assert caught.value.exit_code == 3
    assert releases.address in caught.value.message
    assert f"--publisher {releases.address}" in caught.value.next
    assert rpc.asked == []


@every_job
@both
def test_a_link_of_another_publisher_than_the_named_one_does_not_verify(
    releases: Releases, lying_rpc: MakeRpc, job: Job
) -> None:
    rpc = lying_rpc()
    # Even one's own key, which is trusted otherwise, is not whom the person named.
    session = replace(releases.publisher, rpc=(rpc.url,), publisher=STRANGER)
    with pytest.raises(PublisherMismatch) as caught:
        job(session, releases.first.link)
    assert caught.value.exit_code == 4
    assert caught.value.evidence == {"expected": STRANGER, "actual": releases.address}
    assert rpc.asked == []


@both
def test_a_home_trusts_its_own_keys_and_those_in_its_trust_store(
    releases: Releases, shared: Node, tmp_path: Path
) -> None:
    assert resolve(releases.publisher, releases.first.link).version == "1.0.0"
    session = stranger(tmp_path, shared.url, None)
    with pytest.raises(UnknownPublisher):
        resolve(session, releases.first.link)
    # Trusted on another chain is not trusted on this one.
    session.trust_store.add(TrustedPublisher("elsewhere", 1, releases.address))
    with pytest.raises(UnknownPublisher):
        resolve(session, releases.first.link)
    session.trust_store.add(TrustedPublisher("acme", DEVELOPMENT_CHAIN, releases.address))
    assert resolve(session, releases.first.link).version == "1.0.0"
    assert resolve(session, session.link("acme/tool")).version == "2.0.0"
    assert resolve(session, session.link("acme/tool@1.0.0")).version == "1.0.0"
    session.trust_store.remove("acme")
    with pytest.raises(UnknownPublisher):
        resolve(session, releases.first.link)


@both
def test_threat_42_a_named_publisher_is_compared_by_address_not_by_spelling(
    releases: Releases, shared: Node, tmp_path: Path
) -> None:
    session = stranger(tmp_path, shared.url, releases.address.lower())
    assert resolve(session, releases.first.link).version == "1.0.0"
    wrong = releases.address[:2] + releases.address[2:].swapcase()
    with pytest.raises(IntegrityError, match="checksum"):
        resolve(replace(session, publisher=wrong), releases.first.link)
    with pytest.raises(PublisherMismatch):
        resolve(replace(session, publisher=ZERO_ADDRESS), releases.first.link)


# --- which node --------------------------------------------------------------------------------


@both
def test_the_next_node_is_asked_when_one_is_down(
    releases: Releases, shared: Node, lying_rpc: MakeRpc, tmp_path: Path
) -> None:
    broken = lying_rpc()
    broken.act = of_method("eth_chainId", lambda *_: "soon")
    nodes = ("http://127.0.0.1:1", broken.url, shared.url)
    session = Session(Home.at(tmp_path / "home"), rpc=nodes, publisher=releases.address)
    assert resolve(session, releases.first.link).version == "1.0.0"


@both
def test_when_all_nodes_are_down_each_ones_cause_is_kept(
    releases: Releases, tmp_path: Path
) -> None:
    nodes = ("http://127.0.0.1:1", "http://127.0.0.1:2")
    session = Session(Home.at(tmp_path / "home"), rpc=nodes, publisher=releases.address)
    with pytest.raises(RpcUnavailable) as caught:
        resolve(session, releases.first.link)
    assert [cause.split(": ")[0] for cause in caught.value.causes] == list(nodes)


def test_without_any_node_the_line_to_add_is_shown(releases: Releases, tmp_path: Path) -> None:
    session = Session(Home.at(tmp_path / "home"), publisher=releases.address)
    with pytest.raises(NoRpc) as caught:
        resolve(session, releases.first.link)
    assert "[chains.31337]" in caught.value.next
    assert str(tmp_path / "home" / "config.toml") in caught.value.next


@both
def test_nothing_of_the_machine_is_told_to_the_node(releases: Releases, lying_rpc: MakeRpc) -> None:
    rpc = lying_rpc()
    resolve(replace(releases.publisher, rpc=(rpc.url,)), releases.first.link)
    sent = {key: value for fields in rpc.headers for key, value in fields.items()}
    assert set(sent) <= {
        "host", "accept-encoding", "content-length", "content-type", "user-agent", "connection",
    }  # fmt: skip
    assert JsonRpc(rpc.url).name == rpc.url
