"""A Safe as publisher: its owners sign, and whoever likes pays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from integrity import resolve
from integrity.chain.calls import encode_call
from integrity.client.session import Session
from integrity.core.request import Request
from integrity.errors import SignatureInvalid, TransactionRefused, UsageError
from integrity.publishing.acting import Actor
from integrity.publishing.confirming import confirm
from integrity.publishing.preparing import Draft
from integrity.publishing.requesting import request
from integrity.publishing.submitting import submit

from .anvils import Anvil
from .ledger import count, journal
from .safes import Safe


@pytest.fixture
def safe(anvil: Anvil) -> Safe:
    """Two of three have to sign."""
    return Safe.deployed(anvil, 3, 2)


def unsigned(session: Session, folder: Path, signer: str, version: str = "1.0.0") -> Request:
    made = request(session, Draft(folder, "tool", version), signer=signer).request
    assert made is not None
    assert made.signature == b""
    return made


def test_a_safe_publishes_by_a_message_that_its_owners_signed(
    anvil: Anvil, session: Session, address: str, folder: Path, safe: Safe
) -> None:
    made = unsigned(session, folder, safe.address)
    assert (made.publisher, made.signer) == (safe.address, safe.address)
    with pytest.raises(UsageError, match="not signed"):
        submit(session, made, wait=False)
    for wrong in (safe.sign_message(made.digest, 1), safe.sign_message(bytes(32)), b"\1" * 130):
        with pytest.raises(SignatureInvalid):
            submit(session, replace(made, signature=wrong), wait=False)
    assert (anvil.nonce(address), journal(session)) == (0, [])
    done = submit(session, replace(made, signature=safe.sign_message(made.digest)), wait=False)
    assert (done.sequence, done.by, done.signer) == (1, address, safe.address)
    anvil.mine(3)
    record = resolve(replace(session, publisher=safe.address), made.link)
    assert (record.publisher, record.by, record.manifest) == (
        safe.address, safe.address, made.manifest,
    )  # fmt: skip
    assert count(anvil, safe.address) == 1


def test_a_safe_publishes_by_a_transaction_of_its_own(
    anvil: Anvil, session: Session, folder: Path, safe: Safe
) -> None:
    made = unsigned(session, folder, safe.address)
    safe.execute(made.registry, "0x" + encode_call("publish", *made.publish_args).hex())
    anvil.mine(3)
    done = confirm(replace(session, publisher=safe.address), made.link, folder)
    assert done.record.by == safe.address
    assert folder.with_name("tool.receipt").exists()


def test_a_safe_can_be_a_delegate_or_take_a_publisher_over(
    anvil: Anvil, session: Session, address: str, folder: Path, safe: Safe
) -> None:
    named = replace(session, publisher=address)
    with pytest.raises(TransactionRefused, match="may not publish"):
        unsigned(named, folder, safe.address)
    actor = Actor(session, 31337, wait=False)
    actor.set_delegate(address, "tool", safe.address, 2**39)
    made = unsigned(named, folder, safe.address)
    assert made.publisher == address
    submit(session, replace(made, signature=safe.sign_message(made.digest)), wait=False)
    actor.offer_control(address, safe.address)
    safe.execute(made.registry, "0x" + encode_call("acceptController", address).hex())
    (folder / "README").write_text("two")
    made = unsigned(named, folder, safe.address, "2.0.0")
    submit(session, replace(made, signature=safe.sign_message(made.digest)), wait=False)
    anvil.mine(3)
    assert resolve(session, made.link).by == safe.address
    assert count(anvil, address) == 2
