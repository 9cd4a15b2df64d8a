"""Nodes that cannot prove, under a policy that allows that: an absence is known of what was absent alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from integrity import resolve
from integrity.client.resolving import still_stands
from integrity.client.session import Session
from integrity.errors import RecordUnproven
from integrity.home import Home

from .conftest import MakeRpc, Releases
from .lying_rpc import Call, Forward, LyingRpc

AUDITOR = "0x27b1fdb04752bbc536007a920d24acb045561c26"
OPTIONAL = '[policy]\nproofs = "optional"\n'
ENDORSED = OPTIONAL + f'endorsements = 1\nendorsers = ["{AUDITOR}"]\n'


def unable(call: Call, forward: Forward) -> dict[str, Any]:
    """A node that proves nothing."""
    if call["method"] == "eth_getProof":
        error = {"code": -32000, "message": "no proofs of that"}
        return {"jsonrpc": "2.0", "id": call["id"], "error": error}
    return forward()


def empty(call: Call, forward: Forward) -> dict[str, Any]:
    """One that says that nothing is recorded, too."""
    if call["method"] == "eth_getStorageAt":
        return {"jsonrpc": "2.0", "id": call["id"], "result": "0x" + "00" * 32}
    return unable(call, forward)


def odd(call: Call, forward: Forward) -> dict[str, Any]:
    """One that cannot show a block's header either."""
    answer = unable(call, forward)
    if call["method"].startswith("eth_getBlockBy"):
        answer["result"]["stateRoot"] = "0x" + "11" * 32
    return answer


@pytest.fixture
def rpc(lying_rpc: MakeRpc) -> LyingRpc:
    node = lying_rpc()
    node.act = unable
    return node


@pytest.fixture
def reader(releases: Releases, rpc: LyingRpc, tmp_path: Path) -> Session:
    session = Session(Home.at(tmp_path / "reader"), rpc=(rpc.url,), publisher=releases.address)
    session.home.config_folder.mkdir(parents=True, exist_ok=True)
    session.home.trust_file.write_text(OPTIONAL)
    return session


@pytest.mark.parametrize("version", ["1.0.0", None])
def test_a_record_whose_endorsements_are_not_known_is_there_all_the_same(
    releases: Releases, reader: Session, version: str | None
) -> None:
    reader.home.trust_file.write_text(ENDORSED)
    with pytest.raises(RecordUnproven, match="0 of the policy's endorsers have endorsed") as caught:
        resolve(reader, replace(releases.first.link, version=version))
    assert caught.value.evidence["unknown"] == [AUDITOR]


def test_after_a_download_nothing_unproven_says_that_the_record_is_gone(
    releases: Releases, reader: Session, rpc: LyingRpc
) -> None:
    link = releases.first.link
    record = resolve(reader, link)
    assert still_stands(reader, link, record, "here", [])[0] == record
    rpc.act = empty
    with pytest.raises(RecordUnproven, match="no record of") as caught:
        still_stands(reader, link, record, "here", [])
    assert "is in here" in caught.value.next
    rpc.act = unable
    reader.home.trust_file.write_text(ENDORSED)
    with pytest.raises(RecordUnproven, match="have endorsed"):
        still_stands(reader, link, record, "here", [])


@pytest.mark.parametrize("acts", [(odd, unable), (unable, odd), (odd, odd), (unable, unable)])
def test_in_whatever_order_nodes_are_unable_all_of_a_quorum_are_asked(
    releases: Releases, reader: Session, lying_rpc: MakeRpc, acts: tuple[Any, Any]
) -> None:
    nodes = [lying_rpc(), lying_rpc()]
    for node, act in zip(nodes, acts, strict=True):
        node.act = act
    reader.home.trust_file.write_text(OPTIONAL + "quorum = 2\n")
    record = resolve(replace(reader, rpc=tuple(node.url for node in nodes)), releases.first.link)
    assert record.basis == "2 of 2 rpcs, unproven"
