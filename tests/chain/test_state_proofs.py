"""What a node says is believed as far as it proves it, against a block that somebody vouches for."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from integrity import resolve
from integrity.client.resolving import latest_manifest
from integrity.client.session import Session
from integrity.core.links import Link
from integrity.core.registry import head_slot, manifest_slot, release_slot
from integrity.errors import (
    ChainMismatch,
    HeaderUntrusted,
    NoQuorum,
    NotEndorsed,
    ProofInvalid,
    ProofUnavailable,
    RecordUnproven,
    ReleaseNotFound,
    Rollback,
    RpcAnswerInvalid,
    StaleBlock,
    StoreError,
    UsageError,
)
from integrity.finding.history import history
from integrity.home import Home
from integrity.verifier.checks import Mark

from .conftest import MakeRpc, Releases, both
from .ledger import apart
from .lying_rpc import Call, Forward, LyingRpc, Reply, of_method, plain
from .nodes import Node

pytestmark = both


@pytest.fixture
def reader(releases: Releases, tmp_path: Path) -> Session:
    return Session(Home.at(tmp_path / "reader"), publisher=releases.address)


def policy(session: Session, text: str) -> None:
    """Write trust.toml."""
    session.home.trust_file.parent.mkdir(parents=True, exist_ok=True)
    session.home.trust_file.write_text(text)


Change = Callable[[dict[str, Any]], None]


def of_proof(change: Change) -> Callable[[Call, Any], Any]:
    """Change what eth_getProof answers, in place."""

    def changed(_: Call, proof: Any) -> Any:
        change(proof)
        return proof

    return changed


def storage(change: Callable[[list[str]], list[str]]) -> Change:
    def changed(proof: dict[str, Any]) -> None:
        for slot in proof["storageProof"]:
            slot["proof"] = change(slot["proof"])

    return changed


def account(change: Callable[[list[str]], list[str]]) -> Change:
    def changed(proof: dict[str, Any]) -> None:
        proof["accountProof"] = change(proof["accountProof"])

    return changed


def flipped(nodes: list[str]) -> list[str]:
    last = nodes[-1]
    return [*nodes[:-1], last[:-1] + ("0" if last[-1] != "0" else "1")]


TOUCHES: dict[str, Callable[[list[str]], list[str]]] = {
    "flipped": flipped,
    "empty": lambda _: [],
    "cut": lambda nodes: nodes[:-1],
    "without its root": lambda nodes: nodes[1:],
    "reordered": lambda nodes: nodes[::-1] if len(nodes) > 1 else [],
    "twice": lambda nodes: [*nodes, nodes[-1]],
    "an empty leaf": lambda nodes: [*nodes[:-1], "0x"],
    "a foreign node": lambda nodes: [*nodes[:-1], "0xc0"],
}


@pytest.mark.parametrize("part", [storage, account], ids=["storage", "account"])
@pytest.mark.parametrize("touch", TOUCHES)
@pytest.mark.parametrize("job", [resolve, history, latest_manifest])
def test_threats_1_2_a_touched_proof_is_neither_a_record_nor_its_absence(
    releases: Releases, reader: Session, lying_rpc: MakeRpc, touch: str,
    part: Callable[[Callable[[list[str]], list[str]]], Change], job: Callable[[Session, Link], Any],
) -> None:  # fmt: skip
    rpc = lying_rpc()
    session = replace(reader, rpc=(rpc.url,))
    rpc.act = of_method("eth_getProof", of_proof(part(TOUCHES[touch])))
    with pytest.raises(ProofInvalid) as caught:
        job(session, releases.first.link)
    assert (caught.value.exit_code, caught.value.family) == (4, "does not verify")
    assert caught.value.evidence["block"]


@pytest.mark.parametrize("absent", [True, False])
def test_threats_1_2_the_true_proof_of_another_slot_is_none_of_this_one(
    releases: Releases, reader: Session, lying_rpc: MakeRpc, absent: bool
) -> None:
    """Neither to show a record that there is not, nor to hide one that there is."""
    rpc = lying_rpc()
    names = (releases.address, "tool")
    other = apart(*names, "1.0.0")
    true, none = release_slot(*names, "1.0.0"), release_slot(*names, other)
    shown, asked = (none, true) if absent else (true, none)

    def act(call: Call, forward: Forward) -> dict[str, Any]:
        if call["method"] == "eth_getProof":
            call["params"][1] = [
                "0x" + shown.hex() if slot == "0x" + asked.hex() else slot
                for slot in call["params"][1]
            ]
        return forward()

    rpc.act = act
    link = releases.first.link if absent else replace(releases.first.link, version=other)
    with pytest.raises(ProofInvalid):
        resolve(replace(reader, rpc=(rpc.url,)), link)


def test_the_answers_own_values_are_not_even_looked_at(
    releases: Releases, reader: Session, lying_rpc: MakeRpc
) -> None:
    rpc = lying_rpc()

    def lie(proof: dict[str, Any]) -> None:
        proof |= {"balance": "0x1", "codeHash": "0x" + "11" * 32, "storageHash": "0x" + "22" * 32}
        for slot in proof["storageProof"]:
            slot |= {"key": "0x0", "value": "0xdead"}

    rpc.act = of_method("eth_getProof", of_proof(lie))
    record = resolve(replace(reader, rpc=(rpc.url,)), releases.first.link)
    assert record.manifest == releases.first.manifest
    assert record.is_proven


NO_PROOFS: list[Any] = [
    None, [], "0x", 7, {}, {"accountProof": [], "storageProof": None},
    {"accountProof": None, "storageProof": [{"proof": []}, {"proof": []}]},
    {"accountProof": [], "storageProof": [{"proof": []}]},
    {"accountProof": [], "storageProof": [None, None]},
    {"accountProof": [7], "storageProof": [{"proof": []}, {"proof": []}]},
    {"accountProof": ["0x"] * 66, "storageProof": [{"proof": []}, {"proof": []}]},
    {"accountProof": ["0xabc"], "storageProof": [{"proof": []}, {"proof": []}]},
]  # fmt: skip


@pytest.mark.parametrize("answer", NO_PROOFS, ids=repr)
def test_an_answer_that_is_no_proof_is_invalid(
    releases: Releases, reader: Session, lying_rpc: MakeRpc, answer: Any
) -> None:
    rpc = lying_rpc()
    rpc.act = of_method("eth_getProof", lambda *_: answer)
    with pytest.raises(RpcAnswerInvalid):
        resolve(replace(reader, rpc=(rpc.url,)), releases.first.link)


def test_a_record_costs_four_round_trips(
    releases: Releases, reader: Session, lying_rpc: MakeRpc
) -> None:
    rpc = lying_rpc()
    session = replace(reader, rpc=(rpc.url,))
    resolve(session, releases.first.link)
    assert len(rpc.posts) <= 3
    rpc.forget()
    endorsers = ", ".join(f'"0x{digit * 40}"' for digit in "12")
    policy(session, f"[policy]\nendorsements = 1\nendorsers = [{endorsers}]\n")
    with pytest.raises(NotEndorsed):
        resolve(session, releases.first.link)
    assert len(rpc.posts) <= 4


def test_a_node_that_takes_no_batches_is_asked_one_by_one(
    releases: Releases, reader: Session, lying_rpc: MakeRpc
) -> None:
    rpc = lying_rpc()

    def no_batches(answer: object) -> Reply:
        refused = {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "no batches"}}
        return plain(refused if isinstance(answer, list) else answer)

    rpc.reply = no_batches
    session = replace(reader, rpc=(rpc.url,))
    assert resolve(session, releases.first.link).is_proven
    rpc.act = of_method("eth_chainId", lambda *_: "0x1")
    with pytest.raises(ChainMismatch):
        resolve(session, releases.first.link)
    with pytest.raises(ChainMismatch):  # which no such block would hide
        resolve(replace(session, checkpoint=b"\1" * 32), releases.first.link)
    rpc.reply = plain
    with pytest.raises(ChainMismatch):
        resolve(replace(session, checkpoint=b"\1" * 32), releases.first.link)


# --- headers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "field",
    ["parentHash", "stateRoot", "number", "timestamp", "extraData", "baseFeePerGas", "hash"],
)
def test_threat_3_a_header_whose_fields_do_not_have_its_hash_is_invalid(
    releases: Releases, reader: Session, lying_rpc: MakeRpc, field: str
) -> None:
    def changed(_: Call, block: Any) -> Any:
        value = block[field]
        return block | {
            field: value[:-1] + ("0" if value[-1] != "0" else "1") if len(value) > 2 else "0x01"
        }

    rpc = lying_rpc()
    rpc.act = of_method("eth_getBlockByNumber", changed)
    with pytest.raises(ProofUnavailable, match="fields that do not have its hash"):
        resolve(replace(reader, rpc=(rpc.url,)), releases.first.link)


def test_a_checkpoint_is_read_at_its_own_block(
    releases: Releases, reader: Session, lying_rpc: MakeRpc
) -> None:
    rpc = lying_rpc()
    session = replace(reader, rpc=(rpc.url,))
    block = resolve(session, releases.first.link).block
    pinned = replace(session, checkpoint=block.hash)
    record = resolve(pinned, releases.first.link)
    assert (record.block, record.basis) == (block, "checkpoint, proven")
    unknown = replace(session, checkpoint=bytes(32))
    with pytest.raises(
        HeaderUntrusted, match="no node has the block of the checkpoint 0x00"
    ) as told:
        resolve(unknown, releases.first.link)
    assert "has no block" in told.value.causes[0]
    assert "the hash that you meant" in told.value.next


def test_threat_3_another_block_in_the_place_of_the_checkpoint_is_not_read(
    releases: Releases, reader: Session, lying_rpc: MakeRpc
) -> None:
    rpc = lying_rpc()
    session = replace(reader, rpc=(rpc.url,))
    block = resolve(session, releases.first.link).block

    def act(call: Call, forward: Forward) -> dict[str, Any]:
        if call["method"] == "eth_getBlockByHash":
            call |= {"method": "eth_getBlockByNumber", "params": [hex(block.number - 1), False]}
        return forward()

    rpc.act = act
    with pytest.raises(HeaderUntrusted) as caught:
        resolve(replace(session, checkpoint=block.hash), releases.first.link)
    assert "another block" in caught.value.causes[0]


def test_threat_6_a_proof_of_another_block_than_the_one_read_at_proves_nothing(
    releases: Releases, reader: Session, lying_rpc: MakeRpc, shared: Node
) -> None:
    rpc = lying_rpc()
    final = shared.finalized()
    roots = (
        (number, shared.call("eth_getBlockByNumber", hex(number), False)["stateRoot"])
        for number in range(final, -1, -1)
    )
    _, root = next(roots)
    before = next(number for number, other in roots if other != root)

    def older(call: Call, forward: Forward) -> dict[str, Any]:
        if call["method"] == "eth_getProof":
            call["params"][2] = hex(before)
        return forward()

    rpc.act = older
    with pytest.raises(ProofInvalid):
        resolve(replace(reader, rpc=(rpc.url,)), releases.first.link)


def test_threat_5_a_block_that_is_older_than_the_policy_allows_is_stale(
    releases: Releases,
    reader: Session,
    shared: Node,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = replace(reader, rpc=(shared.url,))
    policy(session, '[policy]\nmax_age = "1 h"\n')
    record = resolve(session, releases.first.link)
    monkeypatch.setattr("time.time", lambda: record.block.timestamp + 3700.0)
    with pytest.raises(StaleBlock) as caught:
        resolve(session, releases.first.link)
    assert caught.value.exit_code == 3
    pinned = replace(session, checkpoint=record.block.hash)
    assert resolve(pinned, releases.first.link).manifest == record.manifest


# --- nodes that do not prove -------------------------------------------------------------------


def unable(call: Call, forward: Forward) -> dict[str, Any]:
    if call["method"] == "eth_getProof":
        error = {"code": -32000, "message": "distance to target block exceeds maximum proof window"}
        return {"id": call["id"], "error": error}
    return forward()


def test_a_node_that_cannot_prove_could_not_be_checked_and_the_next_one_is_asked(
    releases: Releases, reader: Session, lying_rpc: MakeRpc
) -> None:
    one, other = lying_rpc(), lying_rpc()
    one.act = unable
    with pytest.raises(ProofUnavailable, match="proof window") as caught:
        resolve(replace(reader, rpc=(one.url,)), releases.first.link)
    assert caught.value.exit_code == 3
    assert "--rpc" in caught.value.next
    both = replace(reader, rpc=(one.url, other.url))
    assert resolve(both, releases.first.link).is_proven
    assert not one.calls("eth_getStorageAt")


def test_it_is_believed_without_proof_by_policy_alone_and_the_verdict_says_so(
    releases: Releases, reader: Session, lying_rpc: MakeRpc
) -> None:
    rpc = lying_rpc()
    rpc.act = unable
    session = replace(reader, rpc=(rpc.url,))
    policy(session, '[policy]\nproofs = "optional"\n')
    record = resolve(session, releases.first.link)
    assert (record.is_proven, record.basis) == (False, "one rpc, unproven")
    with pytest.raises(RecordUnproven) as caught:
        resolve(session, replace(releases.first.link, version="9.9.9"))
    assert caught.value.exit_code == 3


def test_a_node_that_proves_wrongly_is_passed_over_if_another_proves_rightly(
    releases: Releases, reader: Session, lying_rpc: MakeRpc
) -> None:
    one, other = lying_rpc(), lying_rpc()
    one.act = of_method("eth_getProof", of_proof(storage(flipped)))
    both = replace(reader, rpc=(one.url, other.url))
    assert resolve(both, releases.first.link).manifest == releases.first.manifest
    other.act = unable
    with pytest.raises(ProofInvalid) as caught:
        resolve(both, releases.first.link)
    assert one.url in caught.value.message
    assert any(other.url in cause for cause in caught.value.causes)


# --- several nodes -----------------------------------------------------------------------------


@pytest.fixture
def three(lying_rpc: MakeRpc) -> list[LyingRpc]:
    return [lying_rpc() for _ in range(3)]


def asking(reader: Session, nodes: list[LyingRpc], quorum: int) -> Session:
    policy(reader, f"[policy]\nquorum = {quorum}\n")
    return replace(reader, rpc=tuple(node.url for node in nodes))


def another_hash(call: Call, block: Any) -> Any:
    """Another history below what it calls final."""
    if call["params"][0].startswith("0x"):
        return block | {"hash": "0x" + "66" * 32}
    return block


def test_threat_11_who_dissents_is_named_and_outvoted(
    releases: Releases, reader: Session, three: list[LyingRpc]
) -> None:
    session = asking(reader, three, 2)
    three[0].act = of_method("eth_getBlockByNumber", another_hash)
    record = resolve(session, releases.first.link)
    assert record.basis == "2 of 3 rpcs, proven"
    assert [(name, value.hex()) for name, value in record.vouched.dissent] == [
        (three[0].url, "66" * 32)
    ]
    assert set(record.vouched.nodes) == {three[1].url, three[2].url}
    assert not three[0].calls("eth_getProof")


def test_threat_11_without_a_majority_nothing_is_believed(
    releases: Releases, reader: Session, three: list[LyingRpc]
) -> None:
    session = asking(reader, three, 3)
    three[0].act = of_method("eth_getBlockByNumber", another_hash)
    with pytest.raises(NoQuorum) as caught:
        resolve(session, releases.first.link)
    assert caught.value.exit_code == 3
    assert any("66" * 32 in cause for cause in caught.value.causes)
    for node in three:
        assert any(cause.startswith(node.url) for cause in caught.value.causes)
    assert not any(node.calls("eth_getProof") for node in three)


def test_threat_11_nodes_that_are_down_are_no_votes(
    releases: Releases, reader: Session, three: list[LyingRpc]
) -> None:
    session = asking(reader, three[:2], 2)
    session = replace(session, rpc=(*session.rpc[:1], "http://127.0.0.1:1"))
    with pytest.raises(NoQuorum, match="1 of 2 nodes") as caught:
        resolve(session, releases.first.link)
    assert "127.0.0.1:1" in str(caught.value.causes)


def test_threat_11_a_node_that_is_named_twice_has_one_vote(
    releases: Releases, reader: Session, three: list[LyingRpc]
) -> None:
    session = asking(reader, [three[0], three[0]], 2)
    with pytest.raises(NoQuorum, match="1 of 1 nodes"):
        resolve(session, releases.first.link)


def test_threat_11_a_node_that_is_spelled_in_two_ways_has_one_vote(
    releases: Releases, reader: Session, three: list[LyingRpc]
) -> None:
    url = three[0].url
    policy(reader, "[policy]\nquorum = 2\n")
    for other in (
        url + "/",
        url.replace("127.0.0.1", "localhost"),
        url.upper().replace("HTTP", "http"),
    ):
        with pytest.raises(NoQuorum, match="1 of 1 nodes"):
            resolve(replace(reader, rpc=(url, other)), releases.first.link)


def test_threat_11_unproven_words_need_as_many_votes_as_the_block(
    releases: Releases, reader: Session, three: list[LyingRpc]
) -> None:
    """A node that shows no header, and makes up the words, is asked by nobody where others prove theirs."""
    policy(reader, '[policy]\nquorum = 2\nproofs = "optional"\n')
    session = replace(reader, rpc=tuple(node.url for node in three))

    def no_header(call: Call, forward: Forward) -> dict[str, Any]:
        answer = forward()
        if call["method"].startswith("eth_getBlockBy"):
            answer["result"].pop("logsBloom")
        return answer

    def forged(call: Call, forward: Forward) -> dict[str, Any]:
        answer = no_header(call, forward)
        if call["method"] == "eth_getStorageAt" and int(answer["result"], 16) >> 200:
            answer["result"] = "0x" + "ab" * 32
        return answer

    three[0].act = forged
    record = resolve(session, releases.first.link)
    assert (record.manifest, record.is_proven) == (releases.first.manifest, True)
    # Where nobody can prove anything, one liar among three is outvoted, and two have no majority to show.
    three[1].act = three[2].act = no_header
    record = resolve(session, releases.first.link)
    assert record.manifest == releases.first.manifest
    assert record.basis == "3 of 3 rpcs, unproven"
    policy(reader, '[policy]\nquorum = 3\nproofs = "optional"\n')
    with pytest.raises(NoQuorum, match="2 of 3 nodes say the same"):
        resolve(session, releases.first.link)


def test_a_header_that_is_none_is_passed_over_for_the_next_nodes(
    releases: Releases, reader: Session, three: list[LyingRpc]
) -> None:
    three[0].act = of_method(
        "eth_getBlockByNumber", lambda _, block: block | {"timestamp": hex(1 << 60)}
    )
    session = replace(reader, rpc=(three[0].url, three[1].url))
    assert resolve(session, releases.first.link).manifest == releases.first.manifest


def test_threat_5_one_node_that_is_far_behind_holds_a_quorum_of_others_not_back(
    releases: Releases, reader: Session, three: list[LyingRpc]
) -> None:
    session = asking(reader, three, 2)

    def behind(call: Call, forward: Forward) -> dict[str, Any]:
        if call["method"] == "eth_getBlockByNumber" and call["params"][0] == "finalized":
            call["params"][0] = "0x1"
        return forward()

    three[2].act = behind
    assert resolve(session, releases.first.link).block.number > 1


# --- what was seen before ----------------------------------------------------------------------


def test_threat_4_what_more_than_one_node_vouched_for_is_never_less_again(
    releases: Releases, reader: Session, three: list[LyingRpc]
) -> None:
    link = releases.first.link
    session = asking(reader, three, 2)
    record = resolve(session, link)
    names = (link.chain_id, record.registry, link.publisher, link.package)
    mark = session.seen.mark(*names)
    assert mark == Mark(record.head.count, record.head.updated_at, record.block.number)
    path = session.seen.path(*names)
    path.write_text(
        path.read_text().replace(f'"count": {mark.count}', f'"count": {mark.count + 1}')
    )
    with pytest.raises(Rollback) as caught:
        resolve(replace(session, rpc=(three[0].url, three[1].url)), link)
    assert caught.value.exit_code == 4
    policy(session, "")
    with pytest.raises(Rollback):  # one node alone is held against it, too
        resolve(replace(session, rpc=(three[2].url,)), link)


@pytest.mark.parametrize("behind", [False, True])
def test_threat_4_what_is_hidden_altogether_is_a_rollback_too(
    releases: Releases, reader: Session, lying_rpc: MakeRpc, *, behind: bool
) -> None:
    """Neither a version, nor the latest, nor a package that was seen is said not to be there."""
    reader = replace(reader, rpc=(lying_rpc().url,))
    record = resolve(reader, releases.first.link)
    block = record.block.number + (1000 if behind else 0)
    mark = Mark(record.head.count + 1, record.head.updated_at, block)
    expected = StaleBlock if behind else Rollback
    for package, version in (
        (record.package, "9.9.9"), (record.package, None), ("gone", "1.0.0"), ("gone", None),
    ):  # fmt: skip
        path = reader.seen.path(record.chain_id, record.registry, record.publisher, package)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(mark)))
        link = Link(record.chain_id, record.publisher, package, version)
        with pytest.raises(expected) as caught:
            resolve(reader, link)
        assert caught.value.step == 5
        assert [step.number for step in caught.value.passed or ()] in ([1, 2], [1, 2, 3])
        with pytest.raises(expected):
            history(reader, link)
        if version is None:
            with pytest.raises(expected) as caught:
                latest_manifest(reader, link)
            assert [step.number for step in caught.value.passed or ()] == [1, 2]
        at = replace(reader, checkpoint=record.block.hash)
        if package == "gone" or version is not None:
            with pytest.raises(ReleaseNotFound):  # the person's own choice of a block
                resolve(at, link)


def test_threat_4_a_mark_that_cannot_be_read_is_not_passed_over(
    releases: Releases, reader: Session, lying_rpc: MakeRpc
) -> None:
    link, reader = releases.first.link, replace(reader, rpc=(lying_rpc().url,))
    record = resolve(reader, link)
    path = reader.seen.path(link.chain_id, record.registry, link.publisher, link.package)
    path.parent.mkdir(parents=True, exist_ok=True)
    for text in ("garbage", "", "{}", '{"count": 1, "updated_at": 1, "block": -1}', "[" * 9):
        path.write_text(text)
        with pytest.raises(StoreError, match="cannot be read") as caught:
            resolve(reader, link)
        assert str(path) in caught.value.message
        assert (caught.value.exit_code, caught.value.step) == (3, 5)
    at = replace(reader, checkpoint=record.block.hash)  # against which nothing is held
    assert resolve(at, link).manifest == record.manifest


def test_threat_4_a_single_node_leaves_no_mark(
    releases: Releases, reader: Session, lying_rpc: MakeRpc
) -> None:
    """Else one that lies could lock its reader out for good."""
    session = replace(reader, rpc=(lying_rpc().url,))
    record = resolve(session, releases.first.link)
    link = releases.first.link
    assert session.seen.mark(link.chain_id, record.registry, link.publisher, link.package) is None


def test_threat_4_a_block_that_may_be_dropped_leaves_no_mark_and_vouches_for_no_receipt(
    releases: Releases, reader: Session, three: list[LyingRpc]
) -> None:
    link = releases.first.link
    session = asking(reader, three, 2)
    policy(session, '[policy]\nquorum = 2\nfinality = "latest"\n')
    record = resolve(session, link)
    assert record.vouched.finality == "latest"
    names = (link.chain_id, record.registry, link.publisher, link.package)
    assert session.seen.mark(*names) is None
    assert not session.seen.has_block(link.chain_id, record.block.hash, 1)
    policy(session, "[policy]\nquorum = 2\n")
    record = resolve(session, link)
    assert session.seen.mark(*names) is not None
    agreed = len(record.vouched.nodes)
    assert session.seen.has_block(link.chain_id, record.block.hash, agreed)
    assert not session.seen.has_block(link.chain_id, record.block.hash, agreed + 1)


def test_a_policy_that_is_not_understood_is_no_policy(
    releases: Releases, reader: Session, shared: Node
) -> None:
    session = replace(reader, rpc=(shared.url,))
    for text in (
        "[policy]\nquorum = 0\n", '[policy]\nfinality = "soon"\n', "[policy]\nunknown = 1\n",
        "policy = 7\n", '[policy]\nmax_age = "long"\n', "[policy]\nproofs = true\n",
        "[policy]\nconfirmations = -1\n",
    ):  # fmt: skip
        policy(session, text)
        with pytest.raises(UsageError, match=r"trust\.toml"):
            resolve(session, releases.first.link)


def test_slots_that_were_asked_for_together_are_proven_together(
    releases: Releases, reader: Session, lying_rpc: MakeRpc
) -> None:
    rpc = lying_rpc()
    view = replace(reader, rpc=(rpc.url,)).view(releases.first.link)
    names = (releases.address, "tool")
    slots = [head_slot(*names), manifest_slot(*names, 1), manifest_slot(*names, 99)]
    words = view.words(slots)
    assert words[1] == releases.first.manifest
    assert words[2] == bytes(32)
    assert view.words(slots) == words
    assert len(rpc.calls("eth_getProof")) == 1
