"""A node's own trouble (rate limits, internal errors) is no refusal of the transaction."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from integrity.client.session import Session
from integrity.errors import RpcUnavailable, TransactionRefused

from .conftest import MakeRpc, both_at_length
from .ledger import count, journal, send
from .lying_rpc import Call, Forward, honest
from .nodes import Node

LIMITED = {"code": -32005, "message": "rate limit exceeded"}
INTERNAL = {"code": -32603, "message": "Internal error"}
INDEXING = {"code": -32000, "message": "transaction indexing is in progress"}
"""What geth says of a transaction that it does not find, as long as it has not looked everywhere."""


def failing(call: Call, error: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": call["id"], "error": error}


@both_at_length
@pytest.mark.parametrize(
    ("method", "error"),
    [
        *itertools.product(
            (
                "eth_estimateGas", "eth_maxPriorityFeePerGas", "eth_getTransactionCount",
                "eth_getTransactionReceipt",
            ),
            (LIMITED, INTERNAL),
        ),
        ("eth_getTransactionReceipt", INDEXING),
    ],
)  # fmt: skip
def test_an_error_that_passes_is_waited_out(
    node: Node, session: Session, address: str, folder: Path, lying_rpc: MakeRpc,
    method: str, error: dict[str, Any],
) -> None:  # fmt: skip
    rpc = lying_rpc(node.url)
    failed: list[str] = []

    def act(call: Call, forward: Forward) -> dict[str, Any]:
        if call["method"] == method and not failed:
            failed.append(method)
            return failing(call, error)
        return forward()

    rpc.act = act
    assert send(replace(session, rpc=(rpc.url,)), folder).sequence == 1
    assert failed == [method]
    assert (count(node, address), node.nonce(address)) == (1, 1)


@both_at_length
def test_an_error_before_the_signature_is_could_not_check_and_leaves_nothing(
    node: Node, session: Session, address: str, folder: Path, lying_rpc: MakeRpc
) -> None:
    rpc = lying_rpc(node.url)
    rpc.act = lambda call, forward: (
        failing(call, LIMITED) if call["method"] == "eth_estimateGas" else forward()
    )
    with pytest.raises(RpcUnavailable) as caught:
        send(replace(session, rpc=(rpc.url,)), folder)
    assert caught.value.exit_code == 3
    assert (journal(session), node.nonce(address)) == ([], 0)


@both_at_length
@pytest.mark.parametrize("method", ["eth_sendRawTransaction", "eth_getTransactionReceipt"])
def test_an_error_after_the_signature_says_that_it_may_be_recorded_and_the_next_run_goes_on(
    node: Node, session: Session, address: str, folder: Path, lying_rpc: MakeRpc, method: str
) -> None:
    rpc = lying_rpc(node.url)

    def act(call: Call, forward: Forward) -> dict[str, Any]:
        answer = forward()
        return failing(call, INTERNAL) if call["method"] == method else answer

    rpc.act = act
    with pytest.raises(RpcUnavailable) as caught:
        send(replace(session, rpc=(rpc.url,)), folder)
    (signed,) = journal(session)
    assert caught.value.exit_code == 3
    assert signed["hash"] in caught.value.next
    assert "may be recorded" in caught.value.next
    rpc.act = honest
    done = send(replace(session, rpc=(rpc.url,)), folder)
    assert (done.sequence, node.nonce(address)) == (1, 1)


@both_at_length
def test_a_transaction_that_the_node_will_not_have_is_refused(
    node: Node, session: Session, folder: Path, lying_rpc: MakeRpc
) -> None:
    rpc = lying_rpc(node.url)
    error = {"code": -32000, "message": "transaction underpriced"}
    rpc.act = lambda call, forward: (
        failing(call, error) if call["method"] == "eth_sendRawTransaction" else forward()
    )
    with pytest.raises(TransactionRefused, match="underpriced"):
        send(replace(session, rpc=(rpc.url,)), folder)
