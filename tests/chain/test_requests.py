"""Signed requests: one signs, another one pays, and nobody can make anything else of the signature."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from integrity import publish, resolve
from integrity.chain.artifact import load_artifact
from integrity.chain.delivery import Delivery
from integrity.client.session import Session
from integrity.core.request import Request
from integrity.errors import (
    ChainMismatch,
    KeyRefused,
    ReleaseExists,
    RpcAnswerInvalid,
    SignatureInvalid,
    TransactionRefused,
    UsageError,
)
from integrity.publishing.acting import Actor
from integrity.publishing.preparing import Draft
from integrity.publishing.requesting import request
from integrity.publishing.submitting import submit
from integrity.store.database import Store

from .anvils import Anvil, with_registry
from .conftest import MakeAnvil, MakeRpc
from .ledger import count, journal, send
from .lying_rpc import Call, Forward, of_method

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
YEAR = 365 * 86_400


def asked(session: Session, folder: Path, version: str = "1.0.0", **options: Any) -> Request:
    """What this publisher signs for the folder."""
    made = request(session, Draft(folder, "tool", version), **options).request
    assert made is not None
    return made


@pytest.fixture
def sponsor(anvil: Anvil, tmp_path: Path) -> Session:
    return anvil.publisher(tmp_path / "sponsor")


def own(session: Session) -> str:
    return session.key(None).address


def as_call(made: Request) -> tuple[object, ...]:
    """The arguments of publishWithSignature, as JSON-RPC tools take them."""
    plain = ("0x" + v.hex() if isinstance(v, bytes) else v for v in made.publish_args)
    return (*plain, made.signer, made.deadline, "0x" + made.signature.hex())


def test_a_publisher_without_ether_is_recorded_at_a_sponsors_cost(
    anvil: Anvil, session: Session, address: str, sponsor: Session, folder: Path
) -> None:
    anvil.fund(address, 0)
    made = request(session, Draft(folder, "tool", "1.0.0", {"license": "MIT"}))
    assert made.request is not None
    assert made.request.link == made.release.link
    assert (count(anvil, address), journal(session)) == (0, [])
    with Store(session.home.store) as store:
        assert [one.manifest for one in store.releases()] == [made.release.manifest]
    before = anvil.balance(own(sponsor))
    done = submit(sponsor, made.request, wait=False)
    assert (done.by, done.signer, done.sequence, done.already) == (own(sponsor), address, 1, False)
    assert before - anvil.balance(own(sponsor)) == done.fee
    assert (anvil.nonce(address), anvil.balance(address)) == (0, 0)
    anvil.mine(3)
    record = resolve(session, made.release.link)
    assert (record.manifest, record.by) == (made.release.manifest, address)
    assert submit(sponsor, made.request).final
    assert journal(sponsor) == []
    again = request(session, Draft(folder, "tool", "1.0.0", {"license": "MIT"}))
    assert (again.request, again.release.already) == (None, True)


def test_a_request_is_submitted_once_whoever_submits_it(
    anvil: Anvil, session: Session, address: str, sponsor: Session, folder: Path, tmp_path: Path
) -> None:
    made = asked(session, folder)
    other = anvil.publisher(tmp_path / "other")
    first = submit(sponsor, made, wait=False)
    for session_ in (sponsor, other):
        again = submit(session_, made, wait=False)
        assert (again.already, again.transaction, again.fee) == (True, first.transaction, None)
    assert (anvil.nonce(own(sponsor)), anvil.nonce(own(other))) == (1, 0)
    assert count(anvil, address) == 1


def test_a_lost_answer_of_a_sponsor_pays_once(
    anvil: Anvil, session: Session, address: str, sponsor: Session, folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    class Killed(BaseException):
        """As by a signal that cannot be caught."""

    def lost(*_: object) -> None:
        raise Killed

    made = asked(session, folder)
    anvil.hold()
    with monkeypatch.context() as patched:
        patched.setattr(Delivery, "until_mined", lost)
        with pytest.raises(Killed):
            submit(sponsor, made, wait=False)
    (signed,) = journal(sponsor)
    anvil.call("anvil_dropTransaction", signed["hash"])
    anvil.call("evm_setAutomine", True)
    again = submit(sponsor, made, wait=False)
    assert "0x" + (again.transaction or b"").hex() == signed["hash"]
    assert (count(anvil, address), anvil.nonce(own(sponsor))) == (1, 1)
    anvil.mine(3)
    assert submit(sponsor, made).already
    assert journal(sponsor) == []


def test_a_delegate_may_sign_until_the_right_is_taken_away(
    anvil: Anvil, session: Session, address: str, sponsor: Session, folder: Path, tmp_path: Path
) -> None:
    helper = replace(anvil.publisher(tmp_path / "helper"), publisher=address)
    with pytest.raises(TransactionRefused, match="may not publish"):
        asked(helper, folder)
    actor = Actor(session, 31337, wait=False)
    actor.set_delegate(address, "tool", own(helper), int(time.time()) + YEAR)
    first = asked(helper, folder)
    assert submit(sponsor, first, wait=False).signer == own(helper)
    (folder / "README").write_text("two")
    second = asked(helper, folder, "2.0.0")
    actor.set_delegate(address, "tool", own(helper), 0)
    with pytest.raises(TransactionRefused, match="may not publish"):
        submit(sponsor, second, wait=False)
    anvil.mine(3)
    assert resolve(session, first.link).by == own(helper)
    assert (count(anvil, address), anvil.nonce(own(sponsor))) == (1, 1)


def test_another_content_and_a_passed_turn_are_refused_before_a_fee(
    anvil: Anvil, session: Session, address: str, sponsor: Session, folder: Path
) -> None:
    first = asked(session, folder)
    (folder / "README").write_text("other")
    other = asked(session, folder)
    second = asked(session, folder, "2.0.0")
    submit(sponsor, first, wait=False)
    with pytest.raises(ReleaseExists):
        submit(sponsor, other, wait=False)
    with pytest.raises(TransactionRefused, match="signed for release 1 of tool, and 1 of them"):
        submit(sponsor, second, wait=False)
    assert anvil.nonce(own(sponsor)) == 1


def test_threat_48_a_request_that_somebody_else_sends_first_is_the_publishers_all_the_same(
    anvil: Anvil, session: Session, address: str, sponsor: Session, folder: Path, tmp_path: Path,
    lying_rpc: MakeRpc,
) -> None:  # fmt: skip
    made = asked(session, folder)
    copier = anvil.publisher(tmp_path / "copier")
    rpc = lying_rpc(anvil.url)

    def act(call: Call, forward: Forward) -> dict[str, Any]:
        if call["method"] == "eth_estimateGas" and len(rpc.calls("eth_estimateGas")) == 2:
            submit(copier, made, wait=False)
        return forward()

    rpc.act = act
    done = submit(replace(sponsor, rpc=(rpc.url,)), made, wait=False)
    assert (done.already, done.fee, done.sequence) == (True, None, 1)
    assert (anvil.nonce(own(sponsor)), anvil.nonce(own(copier))) == (0, 1)
    anvil.mine(3)
    assert resolve(session, made.link).by == address
    assert count(anvil, own(copier)) == 0


# --- threat 50 ---------------------------------------------------------------------------------


def refused(
    anvil: Anvil, sponsor: Session, made: Request, kind: type[Exception], match: str
) -> None:
    """By submit before a fee, and by the contract itself."""
    before = anvil.nonce(own(sponsor))
    with pytest.raises(kind, match=match):
        submit(sponsor, made, wait=False)
    assert anvil.nonce(own(sponsor)) == before
    with pytest.raises((AssertionError, RuntimeError), match="reverted"):
        anvil.as_sender(own(sponsor), "publishWithSignature", *as_call(made))
    assert journal(sponsor) == []


def test_threat_50_every_field_is_signed(
    anvil: Anvil, session: Session, address: str, sponsor: Session, folder: Path
) -> None:
    made = asked(session, folder)
    changed: dict[str, Any] = {
        "publisher": own(sponsor), "package": "toot", "version": "1.0.1", "manifest": bytes(31) + b"\1",
        "content": bytes(32), "make_latest": False, "signer": own(sponsor),
        "deadline": made.deadline + 1,
    }  # fmt: skip
    names = {field.name for field in dataclasses.fields(Request)}
    assert names - set(changed) == {"chain_id", "registry", "count", "signature"}
    for name, value in changed.items():
        refused(anvil, sponsor, replace(made, **{name: value}), SignatureInvalid, "none of 0x")
    assert count(anvil, address) == count(anvil, own(sponsor)) == 0


def test_threat_50_a_signature_is_good_for_one_sequence(
    anvil: Anvil, session: Session, address: str, sponsor: Session, folder: Path
) -> None:
    first = asked(session, folder)
    send(session, folder, "0.9.0")
    refused(anvil, sponsor, first, TransactionRefused, "signed for release 1")
    refused(anvil, sponsor, replace(first, count=1), SignatureInvalid, "none of 0x")
    assert count(anvil, address) == 1


def test_threat_50_a_signature_is_good_until_its_deadline(
    anvil: Anvil, session: Session, address: str, sponsor: Session, folder: Path
) -> None:
    made = asked(session, folder, seconds=YEAR)
    late = asked(session, folder, seconds=30)
    with pytest.raises(TransactionRefused, match="too late"):  # it would be, once it is in a block
        submit(sponsor, late, wait=False)
    anvil.call("evm_increaseTime", hex(2 * YEAR))
    anvil.mine()
    refused(anvil, sponsor, made, TransactionRefused, "too late")
    assert count(anvil, address) == 0


def test_a_deadline_beyond_every_calendar_can_be_told(
    anvil: Anvil, session: Session, address: str, sponsor: Session, folder: Path, lying_rpc: MakeRpc
) -> None:
    made = replace(asked(session, folder), deadline=2**53 - 2)
    signer = session.signer(session.key(None))
    made = replace(made, signature=signer.sign_typed_data(made.typed_data))
    rpc = lying_rpc(anvil.url)

    def late(call: Call, forward: Forward) -> dict[str, Any]:
        answer = forward()
        if call["method"].startswith("eth_getBlockBy"):
            answer["result"]["timestamp"] = hex(2**53 - 1)
        return answer

    rpc.act = late
    with pytest.raises(
        TransactionRefused, match=r"until \d+ seconds after 1970, and it is too late"
    ):
        submit(replace(sponsor, rpc=(rpc.url,)), made, wait=False)
    assert count(anvil, address) == 0


def test_threat_50_the_other_s_of_a_signature_is_refused(
    anvil: Anvil, session: Session, address: str, sponsor: Session, folder: Path
) -> None:
    made = asked(session, folder)
    raw = made.signature
    high = ORDER - int.from_bytes(raw[32:64], "big")
    other = raw[:32] + high.to_bytes(32, "big") + bytes((55 - raw[64],))
    refused(anvil, sponsor, replace(made, signature=other), SignatureInvalid, "none of 0x")
    for size in (0, 64, 66):
        short = replace(made, signature=(raw + b"\0")[:size])
        refused(
            anvil, sponsor, short, (UsageError, SignatureInvalid)[size > 0], "signed|none of 0x"
        )
    assert count(anvil, address) == 0


def test_threat_50_a_signature_for_another_chain_or_contract_costs_nothing(
    anvil: Anvil, session: Session, address: str, sponsor: Session, folder: Path,
    bare_anvil: MakeAnvil,
) -> None:  # fmt: skip
    made = asked(session, folder)
    elsewhere = with_registry(bare_anvil("--chain-id", "5"))
    elsewhere.fund(own(sponsor))
    there = replace(sponsor, rpc=(elsewhere.url,))
    with pytest.raises(ChainMismatch):
        submit(there, made, wait=False)
    with pytest.raises(UsageError, match="for chain 31337, not for 5"):
        submit(replace(there, chain_id=5), made, wait=False)
    refused(elsewhere, there, replace(made, chain_id=5), SignatureInvalid, "none of 0x")
    other = replace(made, registry="0x" + "22" * 20)
    with pytest.raises(TransactionRefused, match="signed for the contract 0x2222"):
        submit(sponsor, other, wait=False)
    theirs = replace(made, signature=of_another_contract(session, made))
    refused(anvil, sponsor, theirs, SignatureInvalid, "none of 0x")
    assert count(anvil, address) == count(elsewhere, address) == 0


def of_another_contract(session: Session, made: Request) -> bytes:
    """What the same key signs for the same release in another contract."""
    typed = replace(made, registry="0x" + "22" * 20).typed_data
    return session.signer(session.key(None)).sign_typed_data(typed)


def test_threat_09_a_development_key_signs_no_request_for_another_chain(
    bare_anvil: MakeAnvil, folder: Path, tmp_path: Path
) -> None:
    anvil = with_registry(bare_anvil("--chain-id", "1"))
    session = replace(anvil.publisher(tmp_path / "home"), rpc=(anvil.url,), chain_id=1)
    with pytest.raises(KeyRefused, match="for the development chain 31337 alone"):
        asked(session, folder)


def test_a_node_that_answers_nonsense_about_a_contracts_signature_is_no_verdict(
    session: Session, sponsor: Session, folder: Path, lying_rpc: MakeRpc, anvil: Anvil
) -> None:
    made = replace(asked(session, folder), signature=b"\1" * 65)
    rpc = lying_rpc(anvil.url)
    rpc.act = of_method("eth_call", lambda *_: 7)
    with pytest.raises(RpcAnswerInvalid):
        submit(replace(sponsor, rpc=(rpc.url,)), made, wait=False)


def test_a_publisher_and_a_sponsor_do_not_pay_both(
    anvil: Anvil, session: Session, address: str, sponsor: Session, folder: Path
) -> None:
    made = asked(session, folder)
    submit(sponsor, made, wait=False)
    assert publish(session, folder, "tool", "1.0.0", wait=False).already
    assert (anvil.nonce(address), count(anvil, address)) == (0, 1)
    assert load_artifact().address == made.registry
