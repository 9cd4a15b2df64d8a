"""Revoking, endorsing, delegating, handing over: once each, and seen by readers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from integrity import publish, resolve
from integrity.client.session import Session
from integrity.core.links import Link
from integrity.core.registry import (
    decode_endorsement,
    decode_expiry,
    delegate_slot,
    endorsement_slot,
)
from integrity.errors import ReleaseNotFound, Revoked, TransactionRefused, UsageError
from integrity.keys.keystore import DEVELOPMENT_CHAIN
from integrity.publishing.acting import Actor

from .conftest import MakeRpc, both
from .ledger import journal
from .lying_rpc import Call, Forward
from .nodes import Node, reason_code

pytestmark = both

COMPROMISED = reason_code("compromised")
DAY = 86_400


@pytest.fixture
def mine(node: Node, tmp_path: Path) -> Session:
    return node.publisher(tmp_path / "mine")


@pytest.fixture
def theirs(node: Node, tmp_path: Path) -> Session:
    return node.publisher(tmp_path / "theirs")


def actor(session: Session) -> Actor:
    return Actor(session, DEVELOPMENT_CHAIN, wait=False)


def release(node: Node, session: Session, folder: Path, version: str = "1.0.0") -> Link:
    (folder / "README").write_text(version)
    link = publish(session, folder, "tool", version, wait=False).link
    node.settle()
    return link


def address_of(session: Session) -> str:
    return session.key(None).address


def test_a_release_is_revoked_once_and_for_good(node: Node, mine: Session, folder: Path) -> None:
    link = release(node, mine, folder)
    assert resolve(mine, link).version == "1.0.0"
    done = actor(mine).revoke(link, COMPROMISED, "stolen\x1b[2J")
    assert (done.already, done.by, len(done.transaction or b"")) == (False, address_of(mine), 32)
    node.settle()
    with pytest.raises(Revoked, match="compromised"):
        resolve(mine, link)
    nonce = node.nonce(address_of(mine))
    assert actor(mine).revoke(link, COMPROMISED).already
    with pytest.raises(TransactionRefused, match="revoked already"):
        actor(mine).revoke(link, COMPROMISED + 1)
    assert node.nonce(address_of(mine)) == nonce


def test_what_is_not_there_or_no_reason_is_not_revoked(
    node: Node, mine: Session, folder: Path
) -> None:
    link = release(node, mine, folder)
    nonce = node.nonce(address_of(mine))
    with pytest.raises(ReleaseNotFound):
        actor(mine).revoke(replace(link, version="9.9.9"), COMPROMISED)
    with pytest.raises(UsageError, match="names no version"):
        actor(mine).revoke(replace(link, version=None), COMPROMISED)
    for reason in (0, 6, 255, 256):
        with pytest.raises(UsageError):
            actor(mine).revoke(link, reason)
    assert node.nonce(address_of(mine)) == nonce


def test_nobody_else_revokes_or_chooses(
    node: Node, mine: Session, theirs: Session, folder: Path
) -> None:
    link = release(node, mine, folder)
    release(node, mine, folder, "2.0.0")
    jobs: list[Callable[[], object]] = [
        lambda: actor(theirs).revoke(link, COMPROMISED),
        lambda: actor(theirs).set_latest(link),
        lambda: actor(theirs).set_delegate(link.publisher, "", address_of(theirs), 2**39),
        lambda: actor(theirs).offer_control(link.publisher, address_of(theirs)),
        lambda: actor(theirs).accept_control(link.publisher),
    ]
    for job in jobs:
        with pytest.raises(TransactionRefused, match=r"may not|was not offered"):
            job()
    assert node.nonce(address_of(theirs)) == 0
    assert journal(theirs) == []


def test_the_latest_is_chosen(node: Node, mine: Session, folder: Path) -> None:
    first = release(node, mine, folder)
    release(node, mine, folder, "2.0.0")
    assert resolve(mine, replace(first, version=None)).version == "2.0.0"
    assert not actor(mine).set_latest(first).already
    node.settle()
    assert resolve(mine, replace(first, version=None)).version == "1.0.0"
    assert actor(mine).set_latest(first).already


def test_an_endorsement_is_proven_and_taken_back(
    node: Node, mine: Session, theirs: Session, folder: Path
) -> None:
    link = release(node, mine, folder)
    endorser = replace(theirs, publisher=link.publisher)
    record = resolve(mine, link)
    slot = endorsement_slot(address_of(theirs), record.manifest)

    def kind() -> int:
        node.settle()
        view = mine.view(link)
        (word,) = view.words([slot])
        assert view.is_proven
        return decode_endorsement(word).kind

    assert kind() == 0
    assert actor(endorser).endorse(link, None).already
    actor(endorser).endorse(link, 2)
    assert kind() == 2
    assert actor(endorser).endorse(link, 2).already
    actor(endorser).endorse(link, 1)
    assert kind() == 1
    actor(endorser).endorse(link, None)
    assert kind() == 0


def test_threat_44_a_delegate_publishes_until_the_right_is_taken_away(
    node: Node, mine: Session, theirs: Session, folder: Path
) -> None:
    own = address_of(mine)
    delegate = replace(theirs, publisher=own)
    with pytest.raises(TransactionRefused, match="may not publish"):
        release(node, delegate, folder)
    until = int(time.time()) + DAY
    assert not actor(mine).set_delegate(own, "tool", address_of(theirs), until).already
    assert actor(mine).set_delegate(own, "tool", address_of(theirs), until).already
    link = release(node, delegate, folder)
    record = resolve(mine, link)
    assert (record.publisher, record.by) == (own, address_of(theirs))
    slot = delegate_slot(own, 0, "tool", address_of(theirs))
    assert decode_expiry(mine.view(link).words([slot])[0]) == until
    with pytest.raises(TransactionRefused):  # a delegate can publish, and nothing else
        actor(delegate).revoke(link, COMPROMISED)
    actor(mine).set_delegate(own, "tool", address_of(theirs), 0)
    with pytest.raises(TransactionRefused, match="may not publish"):
        release(node, delegate, folder, "2.0.0")
    node.settle()
    assert resolve(mine, link).version == "1.0.0", "what was released before stands"


def test_a_publisher_is_handed_over_and_its_delegates_end(
    node: Node, mine: Session, theirs: Session, folder: Path, tmp_path: Path
) -> None:
    own, other = address_of(mine), address_of(theirs)
    helper = node.publisher(tmp_path / "helper")
    actor(mine).set_delegate(own, "", address_of(helper), 2**39)
    link = release(node, replace(helper, publisher=own), folder)
    actor(mine).offer_control(own, other)
    assert actor(mine).offer_control(own, other).already
    release(node, mine, folder, "1.1.0")  # nothing changes until it is accepted
    assert actor(theirs).controller(own).address == own
    actor(theirs).accept_control(own)
    assert actor(theirs).accept_control(own).already
    assert actor(theirs).controller(own).epoch == 1
    for session in (mine, replace(helper, publisher=own)):
        with pytest.raises(TransactionRefused, match="may not publish"):
            release(node, session, folder, "2.0.0")
    release(node, replace(theirs, publisher=own), folder, "2.0.0")
    assert resolve(mine, link).version == "1.0.0"


def test_a_lost_answer_pays_once(
    node: Node, mine: Session, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from integrity.chain.delivery import Delivery

    link = release(node, mine, folder)
    nonce = node.nonce(address_of(mine))

    class Killed(BaseException):
        """As by a signal that cannot be caught."""

    def lost(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Delivery, "until_mined", lost)
        with pytest.raises(Killed):
            actor(mine).revoke(link, COMPROMISED)
    (signed,) = [entry for entry in journal(mine) if entry["purpose"].startswith("revoke")]
    again = actor(mine).revoke(link, COMPROMISED)
    assert (again.already, again.transaction) == (True, bytes.fromhex(signed["hash"][2:]))
    node.settle()
    with pytest.raises(Revoked):
        resolve(mine, link)
    assert node.nonce(address_of(mine)) == nonce + 1


def receipts_after(
    asked: dict[str, int], times: float
) -> Callable[[Call, Forward], dict[str, Any]]:
    """Of the machines behind one address, the one that knows receipts is behind the one that counts: each
    transaction's is shown once it was ``asked`` for so many times.
    """

    def act(call: Call, forward: Forward) -> dict[str, Any]:
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": call["id"]}
        if call["method"] == "eth_sendRawTransaction":
            forward()
            return answer | {"error": {"code": -32000, "message": "nonce too low"}}
        if call["method"] == "eth_getTransactionReceipt":
            sent = call["params"][0]
            asked[sent] = asked.get(sent, 0) + 1
            if asked[sent] < times:
                return answer | {"result": None}
        return forward()

    return act


def test_receipts_that_come_late_are_waited_for_and_nothing_is_paid_twice(
    node: Node, mine: Session, folder: Path, lying_rpc: MakeRpc
) -> None:
    link = release(node, mine, folder)
    rpc = lying_rpc(node.url)
    asked: dict[str, int] = {}
    rpc.act = receipts_after(asked, 4)
    before = node.nonce(address_of(mine))
    done = actor(replace(mine, rpc=(rpc.url,))).endorse(link, 1)
    assert (done.already, node.nonce(address_of(mine))) == (False, before + 1)
    assert len(asked) == 1


def test_what_stands_by_then_is_not_sent_again(
    node: Node, mine: Session, folder: Path, lying_rpc: MakeRpc
) -> None:
    """A transaction whose receipt never shows has done its work all the same."""
    link = release(node, mine, folder)
    rpc = lying_rpc(node.url)
    rpc.act = receipts_after({}, math.inf)
    before = node.nonce(address_of(mine))
    assert actor(replace(mine, rpc=(rpc.url,))).revoke(link, COMPROMISED).already
    assert node.nonce(address_of(mine)) == before + 1
