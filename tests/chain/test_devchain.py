"""The development chain: it keeps what it has, survives what happens to it, and harms nobody else."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from integrity import Session, publish, resolve
from integrity.chain.artifact import load_artifact
from integrity.chain.reader import RpcReader
from integrity.config import Config, set_config
from integrity.core.names import keccak256
from integrity.devchain.chain import DevelopmentChain
from integrity.errors import DiskError, KeyRefused, RpcUnavailable
from integrity.home import Home
from integrity.keys.keystore import DEVELOPMENT_CHAIN, Keystore

from .devchains import Chains, anvils_of, wait_for_the_state_file

PASSWORD = "correct horse"


# --- the life of one chain ---------------------------------------------------------------------


def test_starting_twice_changes_nothing(chains: Chains) -> None:
    home, chain = chains.make()
    first = chain.start()
    assert first.running
    assert first.chain_id == DEVELOPMENT_CHAIN
    assert len(first.accounts) == 2
    assert first.publisher == first.accounts[0]
    second = chain.start()
    assert (second.pid, second.rpc, second.accounts) == (first.pid, first.rpc, first.accounts)
    assert (second.block or 0) >= (first.block or 0)
    assert anvils_of(home) == [first.pid]
    reader = RpcReader(first.rpc)
    code = reader.code(first.registry, reader.block("finalized"))
    assert keccak256(code) == load_artifact().code_hash


def test_stop_and_start_keep_records_keys_and_port(chains: Chains, folder: Path) -> None:
    home, chain = chains.make()
    first = chain.start()
    session = Session(home)
    done = publish(session, folder, "tool", "1.0.0")
    stopped = chain.stop()
    assert (stopped.running, stopped.pid, stopped.block) == (False, None, None)
    assert anvils_of(home) == []
    with pytest.raises(RpcUnavailable):
        resolve(session, done.link)
    again = chain.start()
    assert (again.rpc, again.accounts) == (first.rpc, first.accounts)
    record = resolve(session, done.link)
    assert record.manifest == done.manifest
    assert publish(session, folder, "tool", "1.0.0").already
    (folder / "README").write_text("newer\n")
    assert publish(session, folder, "tool", "2.0.0").sequence == 2


def test_a_chain_whose_process_was_killed_starts_again_with_its_records(
    chains: Chains, folder: Path
) -> None:
    home, chain = chains.make()
    first = chain.start()
    session = Session(home)
    done = publish(session, folder, "tool", "1.0.0")
    wait_for_the_state_file(home)
    wait_for_the_state_file(home)
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    while anvils_of(home):
        time.sleep(0.02)
    assert not chain.status().running
    again = chain.start()
    assert again.pid != first.pid
    assert again.accounts == first.accounts
    assert resolve(session, done.link).manifest == done.manifest


def test_a_port_that_is_taken_meanwhile_is_given_up(chains: Chains, folder: Path) -> None:
    home, chain = chains.make()
    first = chain.start()
    session = Session(home)
    done = publish(session, folder, "tool", "1.0.0")
    chain.stop()
    port = int(first.rpc.rsplit(":", 1)[1])
    with socket.create_server(("127.0.0.1", port)):
        again = chain.start()
        assert again.rpc != first.rpc
        assert Config.load(home).rpc[DEVELOPMENT_CHAIN] == (again.rpc,)
        assert resolve(session, done.link).manifest == done.manifest


def test_homes_started_at_once_do_not_get_in_each_others_way(chains: Chains) -> None:
    made = [chains.make(f"home-{index}") for index in range(3)]
    threads = [threading.Thread(target=chain.start) for _, chain in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    states = [chain.status() for _, chain in made]
    assert all(state.running for state in states)
    assert len({state.rpc for state in states}) == 3
    assert len({account for state in states for account in state.accounts}) == 6
    made[0][1].stop()
    assert [chain.status().running for _, chain in made] == [False, True, True]


def test_one_home_started_by_several_at_once_runs_one_chain(chains: Chains) -> None:
    home, _ = chains.make()
    states = []
    threads = [
        threading.Thread(target=lambda: states.append(chains.make()[1].start())) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(states) == 3
    assert {state.pid for state in states} == set(anvils_of(home))
    assert len({state.accounts for state in states}) == 1


def test_the_chain_is_out_of_reach_of_the_terminals_ctrl_c(chains: Chains) -> None:
    _, chain = chains.make()
    pid = chain.start().pid
    assert pid is not None
    assert os.getsid(pid) != os.getsid(0)


# --- what it must not harm ---------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], ["{state}"]], ids=["anything", "with the state's path"])
def test_a_stale_pid_of_a_foreign_process_is_never_killed(
    chains: Chains, arguments: list[str]
) -> None:
    home, chain = chains.make()
    home.chain.mkdir(parents=True)
    named = [argument.format(state=home.chain / "state.json") for argument in arguments]
    script = "import time; time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", script, *named]) as foreign:
        try:
            saved = {"port": 1, "pid": foreign.pid}
            (home.chain / "chain.json").write_text(json.dumps(saved))
            assert not chain.status().running
            assert not chain.stop().running
            assert foreign.poll() is None
            assert chain.start().pid != foreign.pid
            chain.stop()
            assert foreign.poll() is None
        finally:
            foreign.kill()


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "7", '{"pid":"x","port":"y"}', '{"pid":-1,"port":-1}', '{"port":70000}',
        '{"pid":0,"port":0}', '{"pid":1e99,"port":1.5}', '{"pid":true,"port":true}', '{"port":null}',
    ],
)  # fmt: skip
def test_a_broken_note_of_port_and_pid_is_no_obstacle(chains: Chains, text: str) -> None:
    home, chain = chains.make()
    home.chain.mkdir(parents=True)
    (home.chain / "chain.json").write_text(text)
    assert not chain.status().running
    assert not chain.stop().running


def test_a_chain_starts_over_a_broken_note(chains: Chains) -> None:
    home, chain = chains.make()
    home.chain.mkdir(parents=True)
    (home.chain / "chain.json").write_text('{"pid":-5,"port":99999}')
    assert chain.start().running


def test_settings_and_comments_of_the_user_are_kept(chains: Chains) -> None:
    home, chain = chains.make()
    home.config_folder.mkdir(parents=True)
    home.config_file.write_text(
        "# mine\ndefault_chain = 1 # the main one\n\n[chains.1]\nrpc = ['https://node.example']\n"
    )
    status = chain.start()
    text = home.config_file.read_text()
    assert "# mine" in text
    assert "# the main one" in text
    config = Config.load(home)
    assert config.default_chain == 1, "a default chain is not changed"
    assert config.rpc == {1: ("https://node.example",), DEVELOPMENT_CHAIN: (status.rpc,)}
    assert config.default_key == status.publisher


def test_a_key_of_the_users_own_named_dev_is_left_alone(chains: Chains, folder: Path) -> None:
    home, chain = chains.make()
    own = Keystore(home.keys).create("dev", PASSWORD)
    status = chain.start()
    assert own.address not in status.accounts
    assert len(status.accounts) == 2
    assert Keystore(home.keys).find("dev") == own
    assert publish(Session(home), folder, "tool", "1.0.0", key=status.publisher).final


def test_a_default_key_that_is_set_is_kept(chains: Chains) -> None:
    home, chain = chains.make()
    own = Keystore(home.keys).create("own", PASSWORD)
    set_config(home, {"default_key": "own"})
    chain.start()
    assert Config.load(home).default_key == "own"
    assert Session(home).key(None) == own


# --- keys --------------------------------------------------------------------------------------

WELL_KNOWN = {
    "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
    "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
}


def test_development_keys_are_new_private_and_funded(chains: Chains) -> None:
    home, chain = chains.make()
    status = chain.start()
    assert not WELL_KNOWN & set(status.accounts)
    reader = RpcReader(status.rpc)
    for account in status.accounts:
        assert int(reader._rpc.call("eth_getBalance", account, "latest"), 16) > 10**18
    for path in home.keys.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path
    assert home.keys.stat().st_mode & 0o077 == 0


def test_a_development_key_signs_for_its_own_chain_alone(chains: Chains) -> None:
    home, _ = chains.make()
    keystore = Keystore(home.keys)
    signer = keystore.open(keystore.create_development("dev"), lambda _: "")
    transaction = {
        "nonce": 0, "to": "0x" + "11" * 20, "value": 0, "gas": 21000, "gasPrice": 1, "data": "0x",
    }  # fmt: skip
    assert signer.sign_transaction(transaction | {"chainId": DEVELOPMENT_CHAIN})
    for chain_id in (1, 0, -1, None, "31337", 31337.5, True):
        with pytest.raises(KeyRefused, match="for the development chain 31337 alone"):
            signer.sign_transaction(transaction | {"chainId": chain_id})
    with pytest.raises(KeyRefused):
        signer.sign_transaction(transaction)


def test_threat_39_no_private_key_is_in_the_chains_files_or_process_list(chains: Chains) -> None:
    home, chain = chains.make()
    status = chain.start()
    wait_for_the_state_file(home)
    secrets = [json.loads(path.read_text())["private_key"][2:] for path in home.keys.glob("*.json")]
    assert len(secrets) == 2
    seen = "\0".join(psutil.Process(status.pid).cmdline())
    seen += "\0".join(psutil.Process(status.pid).environ().values())
    for path in home.chain.rglob("*"):
        if path.is_file():
            seen += path.read_text("latin-1")
    seen += home.config_file.read_text()
    assert [secret for secret in secrets if secret in seen.lower()] == []


def test_a_home_that_is_no_folder_is_a_disk_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    chain = DevelopmentChain(Home.at(tmp_path / "file"))
    with pytest.raises(DiskError, match="file"):
        chain.start()
    assert not chain.status().running
