"""Reading a chain: one snapshot, every answer checked for its form, logs in ranges."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from integrity import resolve
from integrity.chain.artifact import load_artifact
from integrity.chain.reader import RpcReader
from integrity.client.session import Session
from integrity.core.registry import head_slot, package_key
from integrity.errors import ReleaseNotFound, RpcAnswerInvalid, RpcUnavailable
from integrity.finding.history import history
from integrity.home import Home

from .conftest import MakeRpc, Releases, both
from .lying_rpc import Call, Forward, LyingRpc, of_method
from .nodes import Node

pytestmark = both

REGISTRY = load_artifact().address


def reader_of(releases: Releases, rpc: LyingRpc) -> Session:
    """Somebody new, whose home has no index yet."""
    place = tempfile.mkdtemp(dir=releases.publisher.home.data_folder.parent)
    return Session(Home.at(Path(place)), rpc=(rpc.url,), publisher=releases.address)


@pytest.fixture
def rpc(lying_rpc: MakeRpc) -> LyingRpc:
    return lying_rpc()


# --- one snapshot ------------------------------------------------------------------------------


@pytest.mark.parametrize("job", [resolve, history])
@pytest.mark.parametrize("versioned", [True, False])
def test_threat_06_all_state_is_read_at_one_finalized_block(
    releases: Releases, rpc: LyingRpc, shared: Node, job: Callable[..., Any], versioned: bool
) -> None:
    def moving(call: Call, forward: Forward) -> dict[str, Any]:
        # Whatever is asked, the chain has moved on in between.
        shared.mine(2)
        return forward()

    rpc.act = moving
    link = releases.second.link if versioned else replace(releases.second.link, version=None)
    found = job(reader_of(releases, rpc), link)
    tags = [call["params"][0] for call in rpc.calls("eth_getBlockByNumber")]
    assert [tag for tag in tags if not tag.startswith("0x")] == ["finalized"]
    assert all(int(tag, 16) <= found.block.number for tag in tags[1:])
    pins = [call["params"][-1] for call in rpc.calls("eth_getProof")]
    assert len(pins) >= 2
    assert all(pin == {"blockHash": "0x" + found.block.hash.hex()} for pin in pins)
    for call in rpc.calls("eth_getLogs"):
        assert int(call["params"][0]["toBlock"], 16) <= found.block.number


def test_threat_06_a_backend_that_lags_behind_is_an_error_not_an_absence(
    releases: Releases, rpc: LyingRpc
) -> None:
    def lagging(call: Call, forward: Forward) -> dict[str, Any]:
        if call["method"] == "eth_getProof":
            return {"id": call["id"], "error": {"code": -32000, "message": "header not found"}}
        return forward()

    rpc.act = lagging
    with pytest.raises(RpcUnavailable, match="header not found") as caught:
        resolve(reader_of(releases, rpc), releases.first.link)
    assert not isinstance(caught.value, ReleaseNotFound)


def test_a_block_that_the_node_does_not_know_is_an_error(releases: Releases, rpc: LyingRpc) -> None:
    rpc.act = of_method("eth_getBlockByNumber", lambda _, block: block | {"hash": "0x" + "ab" * 32})
    with pytest.raises(RpcUnavailable):
        resolve(reader_of(releases, rpc), releases.first.link)


# --- the form of answers -----------------------------------------------------------------------

NO_WORDS: list[object] = [
    "0x", "0x00", "0x" + "00" * 31, "0x" + "00" * 33, "0x" + "0" * 63, "0x" + "zz" * 32, "00" * 32,
    None, 0, [], {}, True,
]  # fmt: skip


@pytest.mark.parametrize("word", NO_WORDS, ids=repr)
def test_a_storage_word_that_is_not_32_bytes_is_invalid(
    releases: Releases, rpc: LyingRpc, word: object
) -> None:
    rpc.act = of_method("eth_getStorageAt", lambda *_: word)
    reader = RpcReader(rpc.url)
    with pytest.raises(RpcAnswerInvalid):
        reader.words(REGISTRY, [head_slot(releases.address, "tool")], reader.block("latest"))


@pytest.mark.parametrize("code", ["", "0x0", "0xzz", "6080", None, 7, ["0x60"]], ids=repr)
def test_code_that_is_not_hex_is_invalid(rpc: LyingRpc, code: object) -> None:
    rpc.act = of_method("eth_getCode", lambda *_: code)
    reader = RpcReader(rpc.url)
    with pytest.raises(RpcAnswerInvalid):
        reader.code(REGISTRY, reader.block("latest"))


BAD_NUMBERS: list[object] = [
    None,
    31337,
    "31337",
    "0x",
    "0xzz",
    "0x" + "f" * 65,
    "-0x1",
    "0x-1",
    "",
    [],
    {},
]


@pytest.mark.parametrize("number", BAD_NUMBERS, ids=repr)
def test_a_chain_id_that_is_no_quantity_is_invalid(rpc: LyingRpc, number: object) -> None:
    rpc.act = of_method("eth_chainId", lambda *_: number)
    with pytest.raises(RpcAnswerInvalid):
        RpcReader(rpc.url).chain_id()


BLOCKS: list[Callable[[Call, Any], Any]] = [
    lambda *_: None,
    lambda *_: [],
    lambda *_: "0x1",
    *(lambda _, b, k=k: {n: v for n, v in b.items() if n != k} for k in ("number", "hash", "timestamp")),
    *(lambda _, b, n=n: b | {"number": n} for n in BAD_NUMBERS),
    *(lambda _, b, n=n: b | {"timestamp": n} for n in BAD_NUMBERS),
    *(lambda _, b, h=h: b | {"hash": h} for h in ("0x", "0x" + "00" * 31, "0x" + "00" * 33, None, 5)),
]  # fmt: skip


@pytest.mark.parametrize("change", BLOCKS)
def test_a_block_of_another_form_is_invalid(
    rpc: LyingRpc, change: Callable[[Call, Any], Any]
) -> None:
    rpc.act = of_method("eth_getBlockByNumber", change)
    with pytest.raises(RpcAnswerInvalid):
        RpcReader(rpc.url).block("finalized")


# --- logs --------------------------------------------------------------------------------------


def test_a_range_of_logs_that_is_too_wide_is_halved_until_the_node_takes_it(
    releases: Releases, rpc: LyingRpc
) -> None:
    def narrow(call: Call, forward: Forward) -> dict[str, Any]:
        if call["method"] == "eth_getLogs":
            query = call["params"][0]
            if int(query["toBlock"], 16) - int(query["fromBlock"], 16) >= 5:
                error = {"code": -32005, "message": "query exceeds max block range 5"}
                return {"id": call["id"], "error": error}
        return forward()

    honest = history(reader_of(releases, rpc), releases.first.link)
    rpc.act = narrow
    rpc.forget()
    halved = history(reader_of(releases, rpc), releases.first.link)
    assert [e.version for e in halved.releases] == ["1.0.0", "2.0.0"]
    assert [e.transaction for e in halved.releases] == [e.transaction for e in honest.releases]
    taken = [
        (int(q["fromBlock"], 16), int(q["toBlock"], 16))
        for q in (call["params"][0] for call in rpc.calls("eth_getLogs"))
        if int(q["toBlock"], 16) - int(q["fromBlock"], 16) < 5
    ]
    assert taken[0][0] == 0
    assert taken[-1][1] == halved.block.number
    assert all(before[1] + 1 == after[0] for before, after in pairwise(taken))


def test_a_node_that_refuses_every_range_is_quoted(releases: Releases, rpc: LyingRpc) -> None:
    def refuse(call: Call, forward: Forward) -> dict[str, Any]:
        if call["method"] == "eth_getLogs":
            return {"id": call["id"], "error": {"code": -32601, "message": "logs are not kept"}}
        return forward()

    rpc.act = refuse
    with pytest.raises(RpcUnavailable, match="logs are not kept"):
        history(reader_of(releases, rpc), releases.first.link)
    assert len(rpc.calls("eth_getLogs")) < 64


def bad_logs(releases: Releases) -> dict[str, Callable[[Call, Any], Any]]:
    def each(**change: Any) -> Callable[[Call, Any], Any]:
        return lambda _, logs: [log | change for log in logs]

    def data(change: Callable[[bytes], bytes]) -> Callable[[Call, Any], Any]:
        return lambda _, logs: [
            log | {"data": "0x" + change(bytes.fromhex(log["data"][2:])).hex()} for log in logs
        ]

    return {
        "null": lambda *_: None,
        "an object": lambda *_: {},
        "strings": lambda *_: ["0x00", "0x01"],
        "nulls": lambda *_: [None, None],
        "lists": lambda *_: [[], []],
        "empty objects": lambda *_: [{}, {}],
        "no data": each(data=None),
        "empty data": each(data="0x"),
        "odd hex": each(data="0x0"),
        "no block": each(blockNumber=None),
        "a short block hash": each(blockHash="0x00"),
        "a short transaction hash": each(transactionHash="0x00"),
        "a time that is no number": each(blockTimestamp="soon"),
        "data cut short": data(lambda d: d[:-32]),
        "an endless string": data(lambda d: d[:192] + b"\xff" * 32 + d[224:]),
        "an offset far away": data(lambda d: b"\x7f" * 32 + d[32:]),
        "names that are not UTF-8": data(lambda d: d.replace(b"tool", b"\xff\xfe\xfd\xfc")),
    }


@pytest.mark.parametrize("what", bad_logs(Any))  # type: ignore[arg-type]
def test_logs_of_another_form_are_invalid(releases: Releases, rpc: LyingRpc, what: str) -> None:
    rpc.act = of_method("eth_getLogs", bad_logs(releases)[what])
    with pytest.raises(RpcAnswerInvalid):
        history(reader_of(releases, rpc), releases.first.link)
    with pytest.raises(RpcAnswerInvalid):
        resolve(reader_of(releases, rpc), replace(releases.first.link, version=None))


def test_events_of_another_package_are_not_taken_for_this_ones(
    releases: Releases, rpc: LyingRpc
) -> None:
    topic = "0x" + package_key(releases.address, "other").hex()

    def swap(call: Call, forward: Forward) -> dict[str, Any]:
        """The other package's events, which are what the chain really holds."""
        if call["method"] == "eth_getLogs":
            call["params"][0]["topics"][2] = topic
        return forward()

    rpc.act = swap
    with pytest.raises(RpcAnswerInvalid, match="other"):
        resolve(reader_of(releases, rpc), replace(releases.first.link, version=None))
    key = "0x" + package_key(releases.address, "tool").hex()
    rpc.act = of_method(
        "eth_getLogs",
        lambda _, logs: [
            log | {"topics": [*log["topics"][:2], key, *log["topics"][3:]]} for log in logs
        ],
    )
    with pytest.raises(RpcAnswerInvalid, match="under the key of another package"):
        history(reader_of(releases, rpc), releases.first.link)


def changed(old: bytes, new: bytes) -> Callable[[Call, Any], Any]:
    def change(_: Call, logs: Any) -> Any:
        return [log | {"data": log["data"].replace(old.hex(), new.hex())} for log in logs]

    return change


CONTRADICTING: dict[str, Callable[[Call, Any], Any]] = {
    "none at all": lambda *_: [],
    "the first is hidden": lambda _, logs: logs[1:],
    "the last is hidden": lambda _, logs: logs[:-1],
    "the last is told twice": lambda _, logs: [*logs, *logs[-1:]],
    "in the wrong order": lambda _, logs: logs[::-1],
    "another version": changed(b"2.0.0", b"2.0.1"),
    "another package": changed(b"tool", b"toot"),
    "another sequence": lambda _, logs: [
        log | {"data": "0x" + log["data"][2:][: 3 * 64] + f"{7:064x}" + log["data"][2:][4 * 64 :]}
        for log in logs
    ],
    "another manifest": lambda _, logs: [
        log | {"data": "0x" + log["data"][2:][: 2 * 64] + "ab" * 32 + log["data"][2:][3 * 64 :]}
        for log in logs
    ],
}


@pytest.mark.parametrize("lie", CONTRADICTING.values(), ids=CONTRADICTING.keys())
def test_a_history_that_the_state_contradicts_is_invalid(
    releases: Releases,
    rpc: LyingRpc,
    lie: Callable[[Call, Any], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("integrity.chain.events._FIRST", 1 << 20)  # all of it in one answer
    key = "0x" + package_key(releases.address, "tool").hex()

    def about_this_package(call: Call, logs: Any) -> Any:
        return lie(call, [log for log in logs if log["topics"][2] == key])

    rpc.act = of_method("eth_getLogs", about_this_package)
    with pytest.raises(RpcAnswerInvalid) as caught:
        history(reader_of(releases, rpc), releases.first.link)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    "version", ["2.0.0\x1b[2J", "../../etc/passwd", "2.0.0 ", "", "é", "x" * 65, "2.0.0\n"]
)
def test_an_event_with_an_impossible_version_is_invalid(
    releases: Releases, rpc: LyingRpc, version: str
) -> None:
    from eth_abi.abi import decode, encode

    types = ["string", "string", "bytes32", "uint256", "address", "bool"]

    def lie(_: Call, logs: Any) -> Any:
        for log in logs:
            values = list(decode(types, bytes.fromhex(log["data"][2:])))
            values[1] = version
            log["data"] = "0x" + encode(types, values).hex()
        return logs

    rpc.act = of_method("eth_getLogs", lie)
    with pytest.raises(RpcAnswerInvalid):
        resolve(reader_of(releases, rpc), replace(releases.first.link, version=None))
    asked = {slot for call in rpc.calls("eth_getProof") for slot in call["params"][1]}
    assert len(asked) == 2, "head and manifest of the latest; nothing was asked about that version"


def test_the_latest_is_the_states_latest_whatever_events_say(
    releases: Releases, rpc: LyingRpc
) -> None:
    latest = replace(releases.second.link, version=None)
    found = resolve(reader_of(releases, rpc), latest)
    assert (found.version, found.sequence, found.is_latest) == ("2.0.0", 2, True)
    rpc.act = of_method("eth_getLogs", lambda _, logs: logs[:1])
    with pytest.raises(RpcAnswerInvalid, match="does not give the event of release 2"):
        resolve(reader_of(releases, rpc), latest)
