"""The processes of a development chain: found, ended, brought back, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from integrity import Session, publish, resolve
from integrity.chain.reader import RpcReader
from integrity.chain.rpc import JsonRpc
from integrity.client.examining import examine
from integrity.devchain import ticker
from integrity.devchain.anvil import find_anvil
from integrity.errors import ChainToolMissing, DiskError, RpcUnavailable, UsageError

from .devchains import Chains, anvils_of, tickers_of

# --- anvil itself ------------------------------------------------------------------------------


def test_without_anvil_the_remedy_is_named(
    chains: Chains, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("INTEGRITY_ANVIL", raising=False)
    monkeypatch.setattr(sys, "executable", os.fspath(tmp_path / "python"))
    home, chain = chains.make()
    with pytest.raises(ChainToolMissing, match="not to be found on PATH") as caught:
        chain.start()
    assert caught.value.exit_code == 3
    assert "npm install" in caught.value.next
    assert "make setup" in caught.value.next
    assert not (home.chain / "chain.json").exists()
    assert not chain.status().running


@pytest.mark.parametrize("name", ["nowhere", "folder", "not-executable"])
def test_an_anvil_that_cannot_run_is_named(
    chains: Chains, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "not-executable").write_text("#!/bin/sh\n")
    monkeypatch.setenv("INTEGRITY_ANVIL", os.fspath(tmp_path / name))
    with pytest.raises(ChainToolMissing, match=str(tmp_path / name)):
        chains.make()[1].start()


def test_an_anvil_that_ends_at_once_is_reported_with_its_log(
    chains: Chains, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "anvil"
    broken.write_text("#!/bin/sh\necho out of order\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("INTEGRITY_ANVIL", os.fspath(broken))
    home, chain = chains.make()
    with pytest.raises(RpcUnavailable, match="does not get ready") as caught:
        chain.start()
    assert str(home.chain / "anvil.log") in caught.value.message
    assert (home.chain / "anvil.log").read_text() == "out of order\n"
    monkeypatch.delenv("INTEGRITY_ANVIL")
    assert chain.start().running


def test_npms_launcher_of_anvil_serves_too_and_leaves_nothing_behind(
    chains: Chains, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    launcher = Path(__file__).parents[2] / "node_modules" / ".bin" / "anvil"
    monkeypatch.setenv("INTEGRITY_ANVIL", os.fspath(launcher))
    home, chain = chains.make()
    first = chain.start()
    done = publish(Session(home), folder, "tool", "1.0.0")
    assert len(anvils_of(home)) == 2, "the launcher and anvil itself"
    chain.stop()
    assert anvils_of(home) == []
    again = chain.start()
    assert again.rpc == first.rpc
    assert resolve(Session(home), done.link).manifest == done.manifest
    # The launcher alone is killed: what it had launched must not go on beside a second one.
    assert again.pid is not None
    os.kill(again.pid, signal.SIGKILL)
    (stray,) = [pid for pid in anvils_of(home) if pid != again.pid]
    assert chain.start().running
    assert stray not in anvils_of(home)
    assert resolve(Session(home), done.link).manifest == done.manifest


def test_the_anvil_beside_this_python_is_found_without_a_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("INTEGRITY_ANVIL", raising=False)
    assert Path(find_anvil()).parent == Path(sys.executable).parent


# --- its blocks --------------------------------------------------------------------------------


def test_whatever_happens_becomes_final_and_then_the_chain_rests(chains: Chains) -> None:
    _, chain = chains.make()
    status = chain.start()
    reader, rpc = RpcReader(status.rpc), JsonRpc(status.rpc)
    rpc.call("anvil_mine", "0x1")
    mined = reader.block("latest").number
    while reader.block("finalized").number < mined:
        time.sleep(0.02)
    time.sleep(5 * 0.2)
    assert reader.block("latest").number == mined + ticker.BLOCKS_TO_FINAL


def test_the_ticker_ends_with_its_chain_and_is_brought_back_by_a_start(chains: Chains) -> None:
    _, chain = chains.make()
    first = chain.start()
    (process,) = tickers_of(first)
    process.kill()
    process.wait()
    again = chain.start()
    assert again.pid == first.pid
    (process,) = tickers_of(again)
    assert chain.start().pid == first.pid
    assert tickers_of(first) == [process]
    chain.stop()
    process.wait(10)
    third = chain.start()
    (process,) = tickers_of(third)
    assert third.pid is not None
    os.kill(third.pid, signal.SIGKILL)
    process.wait(10)


def test_a_chain_whose_owner_is_killed_ends_and_keeps_its_state(chains: Chains) -> None:
    home, chain = chains.make()
    code = (
        "import os, sys, time; from pathlib import Path; from integrity import Home; "
        "from integrity.devchain.chain import DevelopmentChain; "
        "chain = DevelopmentChain(Home.at(Path(sys.argv[1])), block_seconds=0.2, owner=os.getpid()); "
        "print(chain.start().block, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", code, os.fspath(home.data_folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        block = int(owner.stdout.readline())
        assert chain.status().running
        owner.kill()
    while anvils_of(home):
        time.sleep(0.02)
    assert (chain.start().block or 0) >= block


def test_a_block_is_due_after_something_happened_and_now_and_then() -> None:
    pace = ticker.Pace(1.0)
    mined = []
    height = 0
    for tenth in range(1000):
        now = tenth / 10
        if tenth in {200, 201}:
            height += 1  # somebody's transactions
        if pace.is_due(height, now):
            height += 1
            mined.append(now)
    assert mined == [0.0, 1.0, 20.0, 21.0, 22.0, 52.0, 82.0]


def test_a_start_that_fails_leaves_no_anvil(
    chains: Chains, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, chain = chains.make()

    def full(*_: object, **__: object) -> None:
        raise DiskError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr("integrity.devchain.anvil.write_whole", full)
        with pytest.raises(DiskError):
            chain.start()
    assert anvils_of(home) == []
    home.config_folder.mkdir(parents=True, exist_ok=True)
    home.config_file.write_text("nonsense")
    with pytest.raises(UsageError):
        chain.start()
    assert anvils_of(home) == []


def test_a_chain_whose_note_is_lost_is_stopped_all_the_same(chains: Chains) -> None:
    home, chain = chains.make()
    chain.start()
    (home.chain / "chain.json").unlink()
    chain.stop()
    assert anvils_of(home) == []


def test_doctor_sees_that_the_blocks_stand_still(chains: Chains) -> None:
    home, chain = chains.make()
    status = chain.start()
    assert all(finding.ok for finding in examine(Session(home)))
    (process,) = tickers_of(status)
    process.kill()
    process.wait()
    (bad,) = [finding for finding in examine(Session(home)) if not finding.ok]
    assert (bad.name, "`integrity chain start`" in bad.next) == ("development chain", True)
