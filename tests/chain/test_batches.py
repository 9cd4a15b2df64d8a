"""Several releases in one transaction: all of them or none, and none twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from integrity import Draft, PublishedMany, publish_many, resolve
from integrity.chain.delivery import Delivery
from integrity.client.session import Session
from integrity.errors import ReleaseExists, TransactionRefused, UsageError
from integrity.publishing.batching import BATCH_LIMIT
from integrity.store.database import Store

from .anvils import Anvil
from .conftest import MakeRpc
from .ledger import count, journal, send
from .lying_rpc import Call, Forward
from .processes import Publisher, killing

SEND = "eth_sendRawTransaction"


@pytest.fixture
def drafts(tmp_path: Path) -> list[Draft]:
    """Two releases of one package, and one of another."""
    made = []
    for package, version in (("tool", "1.0.0"), ("tool", "1.1.0"), ("data", "7")):
        folder = tmp_path / f"{package}-{version}"
        folder.mkdir()
        (folder / "a").write_text(f"{package} {version}\n")
        made.append(Draft(folder, package, version))
    return made


def many(session: Session, drafts: list[Draft], **options: Any) -> PublishedMany:
    return publish_many(session, drafts, **({"wait": False} | options))


def test_a_batch_is_one_transaction(
    anvil: Anvil, session: Session, address: str, drafts: list[Draft]
) -> None:
    before = anvil.balance(address)
    done = many(session, drafts)
    assert [one.sequence for one in done.releases] == [1, 2, 1]
    assert {one.transaction for one in done.releases} == {done.transaction}
    assert before - anvil.balance(address) == done.fee
    assert (anvil.nonce(address), count(anvil, address), count(anvil, address, "data")) == (1, 2, 1)
    assert not done.already
    with Store(session.home.store) as store:
        assert len(store.releases()) == 3
    assert not list(session.home.journal.glob("*.integrity"))
    anvil.mine(3)
    for one in done.releases:
        assert resolve(session, one.link).manifest == one.manifest
        assert one.sidecar is not None
    assert resolve(session, replace(done.releases[0].link, version=None)).version == "1.1.0"
    again = many(session, drafts, wait=True)
    assert again.already
    assert again.final
    assert again.transaction == done.transaction, "it was in the journal still"
    third = many(session, drafts)
    assert (third.already, third.transaction, third.fee) == (True, None, None)
    assert (anvil.nonce(address), journal(session)) == (1, [])


def test_what_is_recorded_already_is_left_out(
    anvil: Anvil, session: Session, address: str, drafts: list[Draft]
) -> None:
    send(session, drafts[1].path, "1.1.0")
    done = many(session, drafts)
    assert [one.already for one in done.releases] == [False, True, False]
    assert [one.sequence for one in done.releases] == [2, 1, 1]
    assert done.releases[1].transaction is None
    assert (anvil.nonce(address), count(anvil, address)) == (2, 2)


def test_another_content_under_a_recorded_version_stops_all(
    anvil: Anvil, session: Session, address: str, drafts: list[Draft]
) -> None:
    send(session, drafts[1].path, "1.1.0")
    (drafts[1].path / "a").write_text("changed\n")
    with pytest.raises(ReleaseExists, match=r"tool@1\.1\.0"):
        many(session, drafts)
    assert (anvil.nonce(address), count(anvil, address, "data")) == (1, 0)


def test_a_dry_run_of_a_batch_sends_and_keeps_nothing(
    anvil: Anvil, session: Session, address: str, drafts: list[Draft]
) -> None:
    done = many(session, drafts, dry_run=True)
    assert done.dry_run
    assert (done.gas_used or 0) > 200_000
    assert not session.home.store.exists()
    assert (anvil.nonce(address), journal(session)) == (0, [])
    assert [one.manifest for one in many(session, drafts).releases] == [
        one.manifest for one in done.releases
    ]


@pytest.mark.parametrize("heard", [False, True], ids=["before the node hears", "before the answer"])
def test_a_crashed_batch_is_gone_on_with(
    anvil: Anvil, session: Session, address: str, drafts: list[Draft], lying_rpc: MakeRpc,
    heard: bool,
) -> None:  # fmt: skip
    class Killed(BaseException):
        """As by a signal that cannot be caught."""

    rpc = lying_rpc(anvil.url)
    killed = pytest.MonkeyPatch()

    def die(self: Delivery) -> bool:
        if heard:
            self._node.send(self.entry)
        raise Killed

    killed.setattr(Delivery, "offer", die)
    with pytest.raises(Killed):
        many(replace(session, rpc=(rpc.url,)), drafts)
    killed.undo()
    (signed,) = journal(session)
    assert len(list(session.home.journal.glob("*.integrity"))) == 3, "what may be paid for is kept"
    done = many(session, drafts)
    assert "0x" + (done.transaction or b"").hex() == signed["hash"]
    assert (anvil.nonce(address), count(anvil, address)) == (1, 2)
    assert not list(session.home.journal.glob("*.integrity"))
    anvil.mine(3)
    assert many(session, drafts, wait=True).final
    assert journal(session) == []


@pytest.mark.parametrize("after", [False, True], ids=["before the node hears", "before the answer"])
def test_a_batch_killed_at_any_call_from_its_signature_on_is_paid_for_once(
    anvil: Anvil, folder: Path, tmp_path: Path, lying_rpc: MakeRpc, after: bool
) -> None:
    measured = lying_rpc(anvil.url)
    first = replace(anvil.publisher(tmp_path / "measured"), rpc=(measured.url,))
    assert Publisher(first, folder, twice=True).result()["sequence"] == 1
    methods = measured.methods()
    for point in range(methods.index(SEND) - 2, len(methods)):
        session = anvil.publisher(tmp_path / f"home-{point}")
        address = session.key(None).address
        rpc = lying_rpc(anvil.url)
        at = killing(lambda: publisher, lambda _: len(rpc.asked) == point + 1, after=after)  # noqa: B023
        rpc.act = at
        publisher = Publisher(replace(session, rpc=(rpc.url,)), folder, twice=True)
        publisher.process.join()
        if publisher.process.exitcode == 0 and len(rpc.asked) <= point:
            break  # how often it has to ask is a matter of time
        assert publisher.process.exitcode == -9, methods[point]
        assert len(journal(session)) == (point >= methods.index(SEND) - 1), methods[point]
        assert Publisher(session, folder, twice=True).result()["sequence"] == 1
        assert (anvil.nonce(address), count(anvil, address), count(anvil, address, "other")) == (
            1,
            1,
            1,
        )
        with Store(session.home.store) as store:
            assert len(store.releases()) == 2
        assert not list(session.home.journal.glob("*.integrity"))


def test_a_release_that_comes_between_is_no_error(
    anvil: Anvil, session: Session, address: str, drafts: list[Draft], lying_rpc: MakeRpc,
    tmp_path: Path,
) -> None:  # fmt: skip
    rpc = lying_rpc(anvil.url)
    helper = replace(anvil.publisher(tmp_path / "helper"), publisher=address)
    anvil.as_sender(address, "setDelegate", address, "tool", helper.key(None).address, 2**39)
    estimates = 0

    def act(call: Call, forward: Forward) -> dict[str, Any]:
        nonlocal estimates
        if call["method"] == "eth_estimateGas":
            estimates += 1
            if estimates == 2:
                send(helper, drafts[0].path, "0.9.0")
        return forward()

    rpc.act = act
    done = many(replace(session, rpc=(rpc.url,)), drafts)
    assert [one.sequence for one in done.releases] == [2, 3, 1]
    assert len(rpc.calls(SEND)) == 1


def test_a_batch_that_may_not_be_published_names_the_call(
    anvil: Anvil, session: Session, drafts: list[Draft], tmp_path: Path
) -> None:
    other = replace(anvil.publisher(tmp_path / "other"), publisher=session.key(None).address)
    who = other.key(None).address
    anvil.as_sender(str(other.publisher), "setDelegate", other.publisher, "tool", who, 2**39)
    with pytest.raises(TransactionRefused, match=r"of the batch, number 3: the key .* may not"):
        many(other, drafts)
    assert journal(other) == []
    assert not other.home.store.exists() or not list(other.home.journal.glob("*.integrity"))


def test_batches_that_make_no_sense_are_refused(session: Session, drafts: list[Draft]) -> None:
    for wrong in ([], [drafts[0], drafts[0]], drafts * (BATCH_LIMIT // 3 + 1)):
        with pytest.raises(UsageError):
            many(session, wrong)
