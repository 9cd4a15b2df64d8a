"""The index over real nodes: ranges that they refuse, lies, reorganisations, kills, and two at once."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from integrity.chain.artifact import load_artifact
from integrity.chain.reader import RpcReader
from integrity.client.session import Session
from integrity.core.links import Link
from integrity.core.registry import Block
from integrity.errors import ReleaseNotFound, RpcAnswerInvalid, RpcUnavailable, UnavailableError
from integrity.finding.chronicle import chronicle
from integrity.finding.history import history
from integrity.finding.indexing import bring_up, chain_view, open_index, scope_of
from integrity.finding.searching import search
from integrity.home import Home
from integrity.index.database import Index
from integrity.index.reading import releases
from tests.chain.anvils import Anvil, with_registry
from tests.chain.conftest import MakeAnvil, MakeRpc
from tests.chain.lying_rpc import Call, Forward, HangUp, LyingRpc, Reply, of_method, plain

from .chains import contents

CHAIN = 31337
ALICE, BOB = "0x" + "a1" * 20, "0x" + "b0" * 20


def fund(anvil: Anvil) -> None:
    for account in (ALICE, BOB):
        anvil.call("anvil_setBalance", account, hex(10**21))


def release(
    anvil: Anvil, package: str, version: str = "1.0.0", count: int = 0, who: str = ALICE
) -> bytes:
    """Record a release in somebody's name -> its manifest digest."""
    from web3 import Web3

    manifest = bytes(Web3.keccak(text=f"{who} {package} {version}"))
    account = Web3.to_checksum_address(who)
    anvil.as_sender(account, "publish", account, package, version, manifest, manifest, count, True)
    return manifest


def home(place: Path, url: str, policy: str = "") -> Session:
    own = Home.at(place)
    place.mkdir(parents=True, exist_ok=True)
    (place / "config.toml").write_text(f"default_chain = {CHAIN}\n")
    (place / "trust.toml").write_text(policy)
    return Session(own, rpc=(url,))


def found(session: Session, *words: str) -> dict[str, str]:
    """Package to what became of its proof."""
    result = search(session, words, limit=1000)
    return {
        match.link.package: "proven" if match.record else getattr(match.problem, "name", "none")
        for match in result.matches
    }


@pytest.fixture
def chain(bare_anvil: MakeAnvil) -> Anvil:
    """Two dozen releases over forty blocks, all final."""
    anvil = with_registry(bare_anvil())
    fund(anvil)
    for number in range(24):
        release(anvil, f"tool-{number:02}")
        if number % 3 == 0:
            anvil.mine()
    anvil.mine(3)
    return anvil


# --- ranges ------------------------------------------------------------------------------------


def refusing(limit: int, error: dict[str, Any]) -> Callable[[Call, Forward], dict[str, Any]]:
    def act(call: Call, forward: Forward) -> dict[str, Any]:
        if call["method"] == "eth_getLogs":
            query = call["params"][0]
            if int(query["toBlock"], 16) - int(query["fromBlock"], 16) >= limit:
                return {"id": call["id"], "jsonrpc": "2.0", "error": error}
        return forward()

    return act


REFUSALS = [
    {"code": -32005, "message": "query returned more than 10000 results"},
    {
        "code": -32602,
        "message": "Log response size exceeded. Try with this block range [0x0, 0x5].",
    },
    {"code": -32000, "message": "exceed maximum block range: 50000"},
    {"code": -32600, "message": "eth_getLogs is limited to a 5 block range"},
    {"code": 35, "message": "ranges over 10000 blocks are not supported on freetier"},
    {"code": -32000, "message": "query timeout exceeded"},
    {},
]


@pytest.mark.parametrize("error", REFUSALS, ids=lambda e: e.get("message", "wordless")[:30])
@pytest.mark.parametrize("limit", [1, 5])
def test_a_range_that_is_refused_in_whatever_words_is_halved(
    chain: Anvil, lying_rpc: MakeRpc, tmp_path: Path, error: dict[str, Any], limit: int
) -> None:
    rpc = lying_rpc(chain.url)
    rpc.act = refusing(limit, error)
    assert set(found(home(tmp_path / "h", rpc.url), "tool").values()) == {"proven"}
    given = [
        (int(query["fromBlock"], 16), int(query["toBlock"], 16))
        for query in (call["params"][0] for call in rpc.calls("eth_getLogs"))
        if int(query["toBlock"], 16) - int(query["fromBlock"], 16) < limit
    ]
    assert given[0][0] == 0
    assert given[-1][1] == chain.height() - 2
    assert all(before[1] + 1 == after[0] for before, after in pairwise(given)), "each block once"


def test_an_answer_that_is_too_large_is_asked_for_in_parts(
    chain: Anvil, lying_rpc: MakeRpc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integrity.chain.rpc.ANSWER_LIMIT", 12_000)
    rpc = lying_rpc(chain.url)
    assert len(found(home(tmp_path / "h", rpc.url), "tool")) == 24
    assert len(rpc.calls("eth_getLogs")) > 4


def test_a_node_that_hangs_up_over_a_range_is_asked_for_less(
    chain: Anvil, lying_rpc: MakeRpc, tmp_path: Path
) -> None:
    rpc = lying_rpc(chain.url)
    wide: list[Call] = []

    def act(call: Call, forward: Forward) -> dict[str, Any]:
        if call["method"] == "eth_getLogs" and len(wide) < 2:
            wide.append(call)
            raise HangUp
        return forward()

    rpc.act = act
    assert len(found(home(tmp_path / "h", rpc.url), "tool")) == 24


def test_a_node_that_gives_no_logs_at_all_is_quoted_and_the_next_one_asked(
    chain: Anvil, lying_rpc: MakeRpc, tmp_path: Path
) -> None:
    rpc = lying_rpc(chain.url)
    rpc.act = refusing(0, {"code": -32601, "message": "logs are not kept"})
    session = home(tmp_path / "h", rpc.url)
    with pytest.raises(UnavailableError, match="logs are not kept"):
        search(session, ["tool"])
    assert len(rpc.calls("eth_getLogs")) < 40
    assert len(found(replace(session, rpc=(rpc.url, chain.url)), "tool")) == 24


def test_empty_stretches_cost_few_questions(canned: LyingRpc) -> None:
    def act(call: Call, _: Forward) -> dict[str, Any]:
        result: object = []
        if call["method"] != "eth_getLogs":
            result = {"hash": "0x" + "01" * 32}
        return {"id": call["id"], "result": result}

    canned.act = act
    newest = Block(20_000_000, b"\x02" * 32, 0)
    steps = list(RpcReader(canned.url).events(load_artifact().address, 0, newest))
    assert len(canned.calls("eth_getLogs")) == len(steps) < 24
    assert (steps[-1].last, steps[-1].hash) == (newest.number, newest.hash)
    assert steps[0].hash == b"\x01" * 32


def test_a_limit_of_blocks_is_tried_again_now_and_then_and_not_each_time(canned: LyingRpc) -> None:
    def act(call: Call, _: Forward) -> dict[str, Any]:
        if call["method"] != "eth_getLogs":
            return {"id": call["id"], "result": {"hash": "0x" + "01" * 32}}
        return refusing(1000, {"code": 1})(call, lambda: {"id": call["id"], "result": []})

    canned.act = act
    newest = Block(200_000, b"\x02" * 32, 0)
    steps = list(RpcReader(canned.url).events(load_artifact().address, 0, newest))
    refused = len(canned.calls("eth_getLogs")) - len(steps)
    assert len(steps) < 2 * 200_000 / 1000 + 10
    assert 1 <= refused <= len(steps) / 8


def test_a_registrys_first_block_can_be_written_down(
    chain: Anvil, lying_rpc: MakeRpc, tmp_path: Path
) -> None:
    rpc = lying_rpc(chain.url)
    session = home(tmp_path / "h", rpc.url)
    (tmp_path / "h" / "config.toml").write_text(
        f"default_chain = {CHAIN}\n[chains.{CHAIN}]\nfirst_block = 2\n"
    )
    assert len(found(session, "tool")) == 24
    assert rpc.calls("eth_getLogs")[0]["params"][0]["fromBlock"] == "0x2"


def test_only_new_blocks_are_asked_for_the_next_time(
    chain: Anvil, lying_rpc: MakeRpc, tmp_path: Path
) -> None:
    rpc = lying_rpc(chain.url)
    session = home(tmp_path / "h", rpc.url)
    before = chain.height() - 2
    assert len(found(session, "tool")) == 24
    release(chain, "tool-new")
    chain.mine(3)
    rpc.forget()
    assert len(found(session, "tool")) == 25
    assert [int(call["params"][0]["fromBlock"], 16) for call in rpc.calls("eth_getLogs")] == [
        before + 1
    ]
    rpc.forget()
    assert len(found(session, "tool")) == 25
    assert rpc.calls("eth_getLogs") == []


# --- lies --------------------------------------------------------------------------------------

LIES: dict[str, Callable[[Any], Any]] = {
    "null": lambda _: None,
    "an object": lambda _: {},
    "strings": lambda logs: ["0x" for _ in logs],
    "no topics": lambda logs: [log | {"topics": []} for log in logs],
    "another contract": lambda logs: [log | {"address": "0x" + "11" * 20} for log in logs],
    "no contract": lambda logs: [log | {"address": None} for log in logs],
    "a log that was removed": lambda logs: [log | {"removed": True} for log in logs],
    "from after the range": lambda logs: [log | {"blockNumber": "0xffffff"} for log in logs],
    "a negative block": lambda logs: [log | {"blockNumber": "-0x1"} for log in logs],
    "no place": lambda logs: [{k: v for k, v in log.items() if k != "logIndex"} for log in logs],
    "a place beyond all": lambda logs: [log | {"logIndex": hex(2**64)} for log in logs],
    "backwards": lambda logs: logs[::-1],
    "twice": lambda logs: [log for log in logs for _ in (0, 1)],
    "another hash of one block": lambda logs: [
        log | {"blockHash": "0x" + f"{number:064x}", "blockNumber": logs[0]["blockNumber"],
               "logIndex": hex(number)} for number, log in enumerate(logs)
    ],
    "hex with spaces": lambda logs: [log | {"data": "0x " + log["data"][2:]} for log in logs],
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_logs_of_another_form_are_invalid_and_nothing_of_them_is_kept(
    chain: Anvil, lying_rpc: MakeRpc, tmp_path: Path, lie: Callable[[Any], Any]
) -> None:
    rpc = lying_rpc(chain.url)

    def act(call: Call, forward: Forward) -> dict[str, Any]:
        answer = forward()
        if call["method"] == "eth_getLogs" and answer["result"]:
            answer["result"] = lie(answer["result"])
        return answer

    rpc.act = act
    session = home(tmp_path / "h", rpc.url)
    view = chain_view(session, CHAIN)
    with open_index(session) as index:
        with pytest.raises(RpcAnswerInvalid):
            bring_up(session, index, view)
        assert contents(index)["releases"] == []
        rpc.act = lambda _, forward: forward()
        bring_up(session, index, view)
        assert len(contents(index)["releases"]) == 24


def test_a_release_that_a_node_makes_up_is_found_and_disproved(
    chain: Anvil, lying_rpc: MakeRpc, tmp_path: Path
) -> None:
    rpc = lying_rpc(chain.url)

    def act(call: Call, forward: Forward) -> dict[str, Any]:
        answer = forward()
        if call["method"] == "eth_getLogs":
            for log in answer["result"]:
                log["data"] = log["data"].replace(b"1.0.0".hex(), b"6.6.6".hex(), 1)
        return answer

    rpc.act = act
    assert set(found(home(tmp_path / "h", rpc.url), "tool").values()) == {"ReleaseNotFound"}


def test_a_manifest_that_a_node_makes_up_is_found_and_not_believed(
    chain: Anvil, lying_rpc: MakeRpc, tmp_path: Path
) -> None:
    rpc = lying_rpc(chain.url)

    def act(call: Call, forward: Forward) -> dict[str, Any]:
        answer = forward()
        if call["method"] == "eth_getLogs":
            for log in answer["result"]:
                log["data"] = log["data"][: 2 + 128] + "ab" * 32 + log["data"][2 + 192 :]
        return answer

    rpc.act = act
    assert set(found(home(tmp_path / "h", rpc.url), "tool").values()) == {"RpcAnswerInvalid"}


def test_a_node_that_cannot_prove_is_told_of_each_result(
    chain: Anvil, lying_rpc: MakeRpc, tmp_path: Path
) -> None:
    rpc = lying_rpc(chain.url)
    rpc.act = lambda call, forward: (
        {"id": call["id"], "error": {"code": 1, "message": "no proofs here"}}
        if call["method"] == "eth_getProof"
        else forward()
    )
    session = home(tmp_path / "h", rpc.url)
    assert set(found(session, "tool").values()) == {"ProofUnavailable"}
    assert len(rpc.calls("eth_getProof")) < 5, "who could not once is not asked for each"


# --- reorganisations ---------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [3, 10])
def test_threat_07_a_reorg_of_blocks_that_are_not_final_is_followed(
    bare_anvil: MakeAnvil, tmp_path: Path, depth: int
) -> None:
    anvil = with_registry(bare_anvil("--slots-in-an-epoch", "12"))
    fund(anvil)
    anvil.mine(30)
    release(anvil, "tool-kept")
    for number in range(depth):
        release(anvil, f"tool-{number}")
    session = home(tmp_path / "h", anvil.url, '[policy]\nfinality = "latest"\n')
    assert len(found(session, "tool")) == depth + 1
    anvil.call("anvil_reorg", depth, [])
    release(anvil, "tool-new")
    result = search(session, ["tool"])
    assert {match.link.package for match in result.matches} == {"tool-kept", "tool-new"}
    assert all(match.record for match in result.matches)
    assert result.warnings == []
    assert result.mark.number == anvil.height()


@pytest.mark.parametrize("depth", [3, 10])
def test_threat_07_a_reorg_of_what_was_final_is_followed_and_told(
    bare_anvil: MakeAnvil, tmp_path: Path, depth: int
) -> None:
    anvil = with_registry(bare_anvil())  # final after two blocks
    fund(anvil)
    release(anvil, "tool-kept")
    anvil.mine(20)
    session = home(tmp_path / "h", anvil.url)
    search(session, ["tool"])
    for number in range(depth):
        release(anvil, f"tool-{number}")
    anvil.mine(2)
    assert len(found(session, "tool")) == depth + 1
    anvil.call("anvil_reorg", depth + 2, [])
    release(anvil, "tool-new")
    anvil.mine(2)
    result = search(session, ["tool"])
    assert {match.link.package for match in result.matches} == {"tool-kept", "tool-new"}
    (warning,) = result.warnings
    assert "contradicts what was final" in warning
    assert search(session, ["tool"]).warnings == []


def test_threat_07_a_log_that_fails_tells_what_was_contradicted_all_the_same(
    bare_anvil: MakeAnvil, lying_rpc: MakeRpc, tmp_path: Path
) -> None:
    from web3 import Web3

    anvil = with_registry(bare_anvil())
    fund(anvil)
    release(anvil, "tool")
    anvil.mine(20)
    session = replace(home(tmp_path / "h", anvil.url), publisher=Web3.to_checksum_address(ALICE))
    link = Link(CHAIN, Web3.to_checksum_address(ALICE), "tool")
    other = replace(link, package="other")
    release(anvil, "other")
    anvil.mine(2)
    assert history(session, link).warnings == []
    anvil.call("anvil_reorg", 3, [])
    anvil.mine(1)
    with pytest.raises(ReleaseNotFound):  # and the index is left as it is for that
        history(session, other)
    release(anvil, "other", "2.0.0")
    anvil.mine(2)
    rpc = lying_rpc(anvil.url)
    rpc.act = of_method("eth_getLogs", lambda *_: [])
    with pytest.raises(RpcAnswerInvalid) as caught:
        chronicle(replace(session, rpc=(rpc.url,)), other)
    assert any("contradicts what was final" in cause for cause in caught.value.causes)


# --- kills, and two at once --------------------------------------------------------------------

_CONTEXT = multiprocessing.get_context("spawn")


def _bring_up(session: Session) -> None:
    with open_index(session) as index:
        bring_up(session, index, chain_view(session, CHAIN))


def narrow(rpc: LyingRpc, before: Callable[[int], None]) -> None:
    """Give four blocks at a time; ``before`` is told how many ranges were given so far."""
    given = 0

    def act(call: Call, forward: Forward) -> dict[str, Any]:
        nonlocal given
        answer = refusing(4, {"code": 1, "message": "four"})(call, forward)
        if call["method"] == "eth_getLogs" and "result" in answer:
            before(given)
            given += 1
        return answer

    rpc.act = act


@pytest.mark.parametrize("steps", [1, 4, 7])
def test_a_sync_that_is_killed_goes_on_where_it_was(
    chain: Anvil, lying_rpc: MakeRpc, tmp_path: Path, steps: int
) -> None:
    rpc = lying_rpc(chain.url)
    session = home(tmp_path / "h", rpc.url)
    process = _CONTEXT.Process(target=_bring_up, args=(session,), daemon=True)

    def before(given: int) -> None:
        if given == steps:
            process.kill()
            raise HangUp

    narrow(rpc, before)
    process.start()
    process.join(60)
    assert process.exitcode == -9
    with open_index(session) as index:
        mark = index.mark(scope_of(session, CHAIN))
    rpc.act = lambda _, forward: forward()
    rpc.forget()
    assert len(found(session, "tool")) == 24
    asked = int(rpc.calls("eth_getLogs")[0]["params"][0]["fromBlock"], 16)
    assert asked == (0 if mark is None else mark.number + 1)
    assert mark is None or mark.number > 0
    with open_index(session) as index, Index(tmp_path / "fresh.db") as fresh:
        whole = home(tmp_path / "other", chain.url)
        bring_up(whole, fresh, chain_view(whole, CHAIN))
        assert contents(fresh) == contents(index)


def test_two_processes_that_sync_at_once_get_the_same(
    chain: Anvil, lying_rpc: MakeRpc, tmp_path: Path
) -> None:
    rpc = lying_rpc(chain.url)
    narrow(rpc, lambda _: None)
    session = home(tmp_path / "h", rpc.url)
    processes = [_CONTEXT.Process(target=_bring_up, args=(session,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    with open_index(session) as index, Index(tmp_path / "fresh.db") as fresh:
        whole = home(tmp_path / "other", chain.url)
        bring_up(whole, fresh, chain_view(whole, CHAIN))
        assert contents(fresh) == contents(index)


# --- what nodes and state say of it ------------------------------------------------------------


def test_a_node_of_another_fork_gives_no_events(
    chain: Anvil, bare_anvil: MakeAnvil, tmp_path: Path
) -> None:
    other = with_registry(bare_anvil())
    other.mine(100)
    session = home(tmp_path / "h", chain.url)
    view = chain_view(session, CHAIN)
    with open_index(session) as index, pytest.raises(RpcUnavailable, match="has another block"):
        bring_up(replace(session, rpc=(other.url,)), index, view)


def test_an_index_older_than_its_node_answers_when_no_node_does(
    chain: Anvil, tmp_path: Path
) -> None:
    session = home(tmp_path / "h", chain.url)
    with pytest.raises(UnavailableError, match="nothing of chain 31337 was read"):
        search(session, ["tool"], sync=False)
    now = search(session, ["tool"])
    dead = replace(session, rpc=("http://127.0.0.1:1",))
    later = search(dead, ["tool"])
    assert (later.synced, later.mark) == (False, now.mark)
    assert [match.link for match in later.matches] == [match.link for match in now.matches]
    assert all(match.problem is later.problem for match in later.matches)
    assert all(match.record is None for match in later.matches)
    with pytest.raises(UnavailableError, match="what came after it could not be read") as caught:
        search(dead, ["absent"])
    assert "127.0.0.1:1" in caught.value.causes[0]
    offline = search(dead, ["tool"], sync=False)
    assert (offline.problem, offline.synced) == (None, False)
    assert search(dead, ["absent"], sync=False).matches == []


def test_a_log_tells_what_was_said_of_each_release(chain: Anvil, tmp_path: Path) -> None:
    from web3 import Web3

    alice, bob = Web3.to_checksum_address(ALICE), Web3.to_checksum_address(BOB)
    first = release(chain, "app")
    second = release(chain, "app", "2.0.0", 1)
    chain.as_sender(bob, "endorse", first, 2)
    chain.as_sender(bob, "endorse", second, 1)
    chain.as_sender(alice, "endorse", second, 3)
    chain.as_sender(bob, "withdrawEndorsement", second)
    chain.as_sender(alice, "setLatest", alice, "app", "1.0.0")
    chain.as_sender(alice, "revoke", alice, "app", "2.0.0", 3, "it \x1b[31mleaks")
    chain.mine(3)
    policy = f'[publishers.alice]\nchain = {CHAIN}\npublisher = "{alice}"\n'
    policy += f'[publishers.bob]\nchain = {CHAIN}\npublisher = "{bob}"\n'
    told = chronicle(home(tmp_path / "h", chain.url, policy), Link(CHAIN, alice, "app"))
    assert [(entry.version, entry.revoked) for entry in told.history.releases] == [
        ("1.0.0", None), ("2.0.0", "defective"),
    ]  # fmt: skip
    assert {number: row.text for number, row in told.revocations.items()} == {2: "it \x1b[31mleaks"}
    assert [(row.version, row.sequence) for row in told.latest] == [("1.0.0", 1)]
    assert [(one.alias, one.kind) for one in told.endorsements[first]] == [("bob", "audited")]
    assert [(one.alias, one.kind) for one in told.endorsements[second]] == [
        ("alice", "scanned"), ("bob", None),
    ]  # fmt: skip
    stranger = replace(home(tmp_path / "s", chain.url), publisher=alice)
    told = chronicle(stranger, Link(CHAIN, alice, "app"))
    assert [(one.alias, one.known) for one in told.endorsements[second]] == [(None, False)]
    assert [entry.refused for entry in told.history.releases] == [None, None]


def test_a_log_marks_what_this_home_takes_from_nobody(chain: Anvil, tmp_path: Path) -> None:
    from web3 import Web3

    alice, bob = Web3.to_checksum_address(ALICE), Web3.to_checksum_address(BOB)
    release(chain, "marked")
    since = RpcReader(chain.url).block("latest").timestamp + 100
    chain.as_sender(alice, "setDelegate", alice, "marked", bob, 2**39)
    manifest = bytes(32)[1:] + b"\1"
    chain.as_sender(bob, "publish", alice, "marked", "2.0.0", manifest, manifest, 1, True)
    chain.call("evm_setNextBlockTimestamp", since)
    release(chain, "marked", "3.0.0", 2)
    chain.mine(3)
    policy = f'[publishers.alice]\nchain = {CHAIN}\npublisher = "{alice}"\n'
    policy += f"compromised_since = {since}\n[publishers.alice.policy]\ndelegates = []\n"
    told = chronicle(home(tmp_path / "h", chain.url, policy), Link(CHAIN, alice, "marked"))
    assert [entry.refused and entry.refused.name for entry in told.history.releases] == [
        None, "DelegateRefused", "PublisherCompromised",
    ]  # fmt: skip


def test_an_endorsement_that_a_node_makes_up_is_not_told(
    chain: Anvil, lying_rpc: MakeRpc, tmp_path: Path
) -> None:
    from web3 import Web3

    alice, bob = Web3.to_checksum_address(ALICE), Web3.to_checksum_address(BOB)
    manifest = release(chain, "app")
    chain.as_sender(bob, "endorse", manifest, 2)
    chain.mine(3)
    rpc = lying_rpc(chain.url)

    def act(call: Call, forward: Forward) -> dict[str, Any]:
        answer = forward()
        if call["method"] == "eth_getLogs":
            for log in answer["result"]:
                log["topics"] = [topic.replace("b0" * 20, "cc" * 20) for topic in log["topics"]]
        return answer

    rpc.act = act
    told = chronicle(
        replace(home(tmp_path / "h", rpc.url), publisher=alice), Link(CHAIN, alice, "app")
    )
    assert told.endorsements == {manifest: []}


def test_the_registry_has_no_word_for_an_index_of_another_address(
    chain: Anvil, tmp_path: Path
) -> None:
    session = home(tmp_path / "h", chain.url)
    search(session, ["tool"])
    with open_index(session) as index:
        scope = scope_of(session, CHAIN)
        assert scope.address == load_artifact().address
        assert (
            releases(index, scope._replace(address=ALICE), bytes.fromhex("a1" * 20), "tool-00", 99)
            == []
        )


def test_every_answer_is_limited(chain: Anvil, lying_rpc: MakeRpc, tmp_path: Path) -> None:
    rpc = lying_rpc(chain.url)

    def reply(answer: object) -> Reply:
        if isinstance(answer, dict) and isinstance(answer.get("result"), list):
            return Reply(b" " * 65536 for _ in range(1 << 20))
        return plain(answer)

    rpc.reply = reply
    view = chain_view(home(tmp_path / "h", chain.url), CHAIN)
    with pytest.raises(RpcUnavailable):
        list(RpcReader(rpc.url).events(load_artifact().address, 0, view.block))


def test_a_height_that_a_node_made_up_blinds_nobody_for_good(
    chain: Anvil, lying_rpc: MakeRpc, tmp_path: Path
) -> None:
    rpc = lying_rpc(chain.url)
    high = hex(1 << 38)

    def act(call: Call, forward: Forward) -> dict[str, Any]:
        told = ""
        if call["method"] == "eth_getBlockByNumber":
            asked = call["params"][0]
            if asked == "finalized":
                told = high
            elif asked.startswith("0x") and int(asked, 16) > chain.height():
                told, call["params"][0] = asked, "latest"
        if (
            call["method"] == "eth_getLogs"
            and int(call["params"][0]["toBlock"], 16) > chain.height()
        ):
            call["params"][0]["toBlock"] = hex(chain.height())
            if int(call["params"][0]["fromBlock"], 16) > chain.height():
                return {"jsonrpc": "2.0", "id": call["id"], "result": []}
        answer = forward()
        if told:
            answer["result"] |= {"number": told, "hash": "0x" + told[2:].zfill(64)}
        return answer

    rpc.act = act
    liar = home(tmp_path / "h", rpc.url, '[policy]\nproofs = "optional"\n')
    search(liar, ["tool"], limit=5)
    release(chain, "tool-fresh")
    chain.mine(3)
    found = search(home(tmp_path / "h", chain.url), ["tool-fresh"], limit=5)
    assert [match.link.package for match in found.matches] == ["tool-fresh"]
    assert any("knows nothing" in told for told in found.warnings)
    assert found.mark.number < 1000


def test_a_block_number_that_no_chain_has_is_invalid(
    chain: Anvil, lying_rpc: MakeRpc, tmp_path: Path
) -> None:
    rpc = lying_rpc(chain.url)
    rpc.act = of_method("eth_getBlockByNumber", lambda _, block: block | {"number": hex(1 << 63)})
    with pytest.raises(UnavailableError):
        search(home(tmp_path / "h", rpc.url), ["tool"])
