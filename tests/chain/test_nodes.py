"""Publishing through nodes that misbehave: an error that says so, and nothing sent in vain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from integrity import publish
from integrity.client.session import Session
from integrity.core.registry import release_slot
from integrity.errors import (
    ProofInvalid,
    ReleaseExists,
    RpcAnswerInvalid,
    RpcUnavailable,
    TransactionRefused,
)

from .anvils import Anvil
from .conftest import MakeRpc
from .ledger import apart, send
from .lying_rpc import Call, Forward, LyingRpc


def test_the_node_that_answers_is_the_one_that_is_sent_to(
    anvil: Anvil, session: Session, folder: Path, lying_rpc: MakeRpc
) -> None:
    rpc = lying_rpc(anvil.url)
    done = send(replace(session, rpc=("http://127.0.0.1:1", rpc.url)), folder)
    assert done.sequence == 1
    assert rpc.methods().count("eth_sendRawTransaction") == 1


def test_a_proof_of_authority_chain_can_be_published_on(
    anvil: Anvil, session: Session, folder: Path, lying_rpc: MakeRpc
) -> None:
    rpc = lying_rpc(anvil.url)

    def sealed(call: Call, forward: Forward) -> dict[str, Any]:
        answer = forward()
        if call["method"].startswith("eth_getBlockBy"):
            answer["result"]["extraData"] = "0x" + "ab" * 97  # Ethereum's own have 32 bytes at most
        return answer

    rpc.act = sealed
    assert send(replace(session, rpc=(rpc.url,)), folder).sequence == 1


WRITES = [
    "eth_estimateGas",
    "eth_maxPriorityFeePerGas",
    "eth_getTransactionCount",
    "eth_getBlockByNumber",
    "eth_chainId",
    "eth_getTransactionReceipt",
    "eth_getBlockByHash",
]


@pytest.mark.parametrize("method", WRITES)
@pytest.mark.parametrize("nonsense", ["0xzz", None, [], {}, -1, "soon"], ids=repr)
def test_nonsense_from_a_node_is_an_invalid_answer_and_no_crash(
    anvil: Anvil, session: Session, folder: Path, lying_rpc: MakeRpc, method: str, nonsense: object
) -> None:
    if (method, nonsense) == ("eth_getTransactionReceipt", None):
        nonsense = {"status": None}  # None alone says, rightly, that it is not mined yet
    rpc = lying_rpc(anvil.url)

    def act(call: Call, forward: Forward) -> dict[str, Any]:
        answer = forward()
        reader = call["method"] in {"eth_chainId", "eth_getBlockByNumber"}
        if call["method"] == method and (not reader or "eth_estimateGas" in rpc.methods()):
            answer["result"] = nonsense
        return answer

    rpc.act = act
    with pytest.raises((RpcAnswerInvalid, RpcUnavailable)) as caught:
        send(replace(session, rpc=(rpc.url,)), folder)
    assert caught.value.exit_code == 3


def test_an_error_text_of_the_node_is_quoted_and_cut(
    anvil: Anvil, session: Session, folder: Path, lying_rpc: MakeRpc
) -> None:
    rpc = lying_rpc(anvil.url)

    def act(call: Call, forward: Forward) -> dict[str, Any]:
        if call["method"] == "eth_estimateGas":
            return {
                "id": call["id"],
                "error": {"code": -32000, "message": "no\x1b[2J" + "x" * 10**6},
            }
        return forward()

    rpc.act = act
    with pytest.raises(TransactionRefused, match="no\x1b") as caught:
        send(replace(session, rpc=(rpc.url,)), folder)
    assert len(caught.value.message) < 1000


REFUSALS: dict[str, Callable[[], object]] = {
    "an unknown selector": lambda: "0xdeadbeef",
    "half a word": lambda: "0x627a99f300",
    "a known selector with rubbish": lambda: "0x627a99f3" + "ff" * 64,
    "no hex": lambda: "0xzz",
    "an object": lambda: {"data": "0x"},
    "a list": lambda: [1],
}


@pytest.mark.parametrize("data", REFUSALS.values(), ids=REFUSALS.keys())
def test_a_refusal_with_any_data_is_a_refusal(
    anvil: Anvil, session: Session, folder: Path, lying_rpc: MakeRpc, data: Callable[[], object]
) -> None:
    rpc: LyingRpc = lying_rpc(anvil.url)

    def act(call: Call, forward: Forward) -> dict[str, Any]:
        if call["method"] == "eth_estimateGas":
            error = {"code": 3, "message": "execution reverted", "data": data()}
            return {"id": call["id"], "error": error}
        return forward()

    rpc.act = act
    with pytest.raises((TransactionRefused, ReleaseExists)):
        send(replace(session, rpc=(rpc.url,)), folder)
    assert "eth_sendRawTransaction" not in rpc.methods()


def test_a_node_that_calls_it_final_without_a_record_is_not_believed(
    anvil: Anvil, session: Session, address: str, folder: Path, lying_rpc: MakeRpc
) -> None:
    rpc = lying_rpc(anvil.url)
    other = apart(address, "tool", "1.0.0")
    slot, none = ("0x" + release_slot(address, "tool", v).hex() for v in ("1.0.0", other))
    head = anvil.height()

    def act(call: Call, forward: Forward) -> dict[str, Any]:
        if call["method"] == "eth_getBlockByNumber" and call["params"][0] == "finalized":
            call["params"][0] = "latest"
        if call["method"] == "eth_getProof":
            call["params"][1] = [none if asked == slot else asked for asked in call["params"][1]]
        return forward()

    rpc.act = act
    with pytest.raises(ProofInvalid):
        publish(replace(session, rpc=(rpc.url,)), folder, "tool", "1.0.0")
    assert anvil.height() == head + 1
    assert send(session, folder).already
