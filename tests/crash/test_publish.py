"""A publish that is killed before and after each change of its disk and each send, or whose call fails:
one record, one fee, and what is recorded is what the disk has.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integrity.client.manifests import ManifestFile
from integrity.client.session import Session
from integrity.home import Home
from integrity.store.database import Store
from integrity.store.reading import BlockReader
from integrity.verifier.content import manifest_digest
from tests.chain.anvils import Anvil, running_anvil, with_registry
from tests.chain.ledger import journal
from tests.client.helpers import sha256

from .conftest import Outcome, Program
from .disk import Loss, Plan

pytestmark = pytest.mark.long


@pytest.fixture
def anvil(tmp_path: Path) -> Iterator[Anvil]:
    with running_anvil(tmp_path) as bare:
        yield with_registry(bare)


@pytest.fixture
def session(anvil: Anvil, tmp_path: Path) -> Session:
    """The home that every place gets a copy of."""
    return anvil.publisher(tmp_path / "template")


class Case:
    """One place with a home and a folder of its own, and one version that is published from it."""

    numbers = iter(range(1, 1_000_000))

    def __init__(self, program: Program, anvil: Anvil, session: Session) -> None:
        self.place = program.place()
        self.version = str(next(self.numbers))
        self.anvil = anvil
        self.address = session.key(None).address
        shutil.copytree(session.home.data_folder, self.place / "home")
        (self.place / "tool").mkdir()
        (self.place / "tool" / "program").write_bytes(self.version.encode() * 1000)
        self.session = Session(Home.at(self.place / "home"))
        self._program = program

    @property
    def sidecar(self) -> Path:
        return self.place / "tool.integrity"

    @property
    def fees(self) -> int:
        """How many transactions of the key are mined."""
        return self.anvil.nonce(self.address)

    def run(self, plan: Plan) -> Outcome:
        command = ["publish", "tool", "--package", "tool", "--version", self.version, "--no-wait"]
        environment = {"INTEGRITY_HOME": os.fspath(self.place / "home")}
        return self._program.run(self.place, command, environment, plan)

    def check_done(self, before: int) -> None:
        """The next run ends well: one record and one fee more than there were, and the manifest that
        is recorded is there; if it was recorded by the run before, it was there then.
        """
        was_recorded, kept = self.fees > before, self.manifests()
        again = self.run(Plan())
        assert again.code == 0, again.errors
        assert again.out["manifest"] == sha256(self.sidecar.read_bytes()).hex()
        assert not was_recorded or again.out["manifest"] in kept
        assert self.fees == before + 1, "paid once"

    def manifests(self) -> set[str]:
        """Those that the home keeps and has every byte of: before they are recorded beside the
        journal, from then on in the store.
        """
        home = self.session.home
        beside = {sha256(path.read_bytes()).hex() for path in home.journal.glob("*.integrity")}
        if not home.store.exists():
            return beside
        with Store(self.session.home.store) as store, ManifestFile(self.session) as file:
            read = BlockReader(store).read
            return beside | {
                release.manifest.hex()
                for release in store.releases()
                if file.take(read, release.manifest)
                and manifest_digest(file.chunks) == release.manifest
            }


Make = Callable[[], Case]


@pytest.fixture
def case(program: Program, anvil: Anvil, session: Session) -> Make:
    return lambda: Case(program, anvil, session)


def calls_of(case: Make, *, sends: bool = False) -> list[str]:
    whole = case()
    done = whole.run(Plan(sends=sends))
    assert done.code == 0, done.errors
    assert len(done.calls) > 10
    return done.calls


@pytest.mark.parametrize("loss", Loss)
@pytest.mark.parametrize("after", [False, True])
def test_a_publish_killed_at_any_change_of_its_disk_is_done_once_by_the_next_run(
    case: Make, after: bool, loss: Loss
) -> None:
    for at, call in enumerate(calls_of(case), 1):
        one = case()
        before = one.fees
        assert one.run(Plan(at, after=after, loss=loss)).code == -9, call
        one.check_done(before)


@pytest.mark.parametrize("after", [False, True])
def test_a_publish_killed_at_any_send_is_done_once_by_the_next_run(case: Make, after: bool) -> None:
    calls = calls_of(case, sends=True)
    for at in [at for at, call in enumerate(calls, 1) if call.startswith("send")]:
        one = case()
        before = one.fees
        assert one.run(Plan(at, after=after, sends=True, loss=Loss.ALL)).code == -9
        one.check_done(before)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_threat_35_whichever_call_fails_a_publish_pays_once(case: Make, code: int) -> None:
    for at, call in enumerate(calls_of(case), 1):
        one = case()
        before = one.fees
        failed = one.run(Plan(at, error=code))
        if failed.code:
            assert failed.code in {2, 3}, (call, failed.errors)
            assert "Traceback" not in failed.errors, call
        if one.fees > before:
            assert failed.code == 0 or journal(one.session), (call, failed.errors)
        one.check_done(before)
