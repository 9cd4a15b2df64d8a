"""Ctrl-C at any time: exit 130, nothing half-written, nothing lost, and the next run goes on."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from integrity.chain.reader import RpcReader
from integrity.devchain.chain import DevelopmentChain
from integrity.errors import RpcUnavailable
from integrity.testing.people import equip
from tests.chain.anvils import Anvil
from tests.chain.conftest import MakeRpc
from tests.chain.ledger import count
from tests.chain.lying_rpc import Call, Forward, LyingRpc

from .conftest import Release
from .running import Result, User

PUBLISH = ("publish", "data", "--package", "tool", "--version", "1.0.0", "--json")


class Halt:
    """A node that stops answering at one method, until it is let go."""

    def __init__(self, rpc: LyingRpc, method: str, *, heard: bool = False) -> None:
        self.reached = threading.Event()
        self._over = threading.Event()

        def act(call: Call, forward: Forward) -> dict[str, Any]:
            if call["method"] == method and not self._over.is_set():
                if heard:
                    forward()
                self.reached.set()
                self._over.wait(60)
            return forward()

        rpc.act = act

    def over(self) -> None:
        self._over.set()


@pytest.fixture
def data(user: User) -> Path:
    folder = user.place / "data"
    folder.mkdir()
    (folder / "a").write_text("x")
    return folder


def interrupted(process: subprocess.Popen[bytes]) -> Result:
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return Result(process.returncode, out, err)


@pytest.mark.parametrize(
    ("method", "heard", "signed"),
    [
        ("eth_getCode", False, 0),
        ("eth_getStorageAt", False, 0),
        ("eth_estimateGas", False, 0),
        ("eth_maxPriorityFeePerGas", False, 0),
        ("eth_sendRawTransaction", False, 1),
        ("eth_sendRawTransaction", True, 1),
        ("eth_getTransactionReceipt", False, 1),
    ],
)
def test_a_publish_interrupted_leaves_nothing_half_done(
    user: User, data: Path, anvil: Anvil, lying_rpc: MakeRpc, method: str, heard: bool, signed: int
) -> None:
    address = equip(user.own_home, anvil.url)
    rpc = lying_rpc(anvil.url)
    halt = Halt(rpc, method, heard=heard)
    process = user.start(*PUBLISH, "--rpc", rpc.url)
    assert halt.reached.wait(60)
    done = interrupted(process)
    halt.over()
    assert done.error("Interrupted", 130)["next"]
    assert b"Traceback" not in done.err
    assert not list(user.home.glob("tmp/*"))
    assert not list(user.place.glob("*.integrity")), "nothing says published that was not"
    assert len(list(user.home.glob("journal/*.json"))) == signed
    again = user.ok(*PUBLISH, "--no-wait").json()
    assert again["sequence"] == 1
    assert (count(anvil, address), anvil.nonce(address)) == (1, 1)


def open_files(pid: int) -> list[str]:
    """What a process has open at this moment."""
    found = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # it was closed meanwhile
            found.append(os.readlink(descriptor))
    return found


def test_a_publish_interrupted_while_it_hashes_leaves_nothing(
    publisher: User, integrity_chain: DevelopmentChain
) -> None:
    folder = publisher.place / "data"
    folder.mkdir()
    with (folder / "large").open("wb") as file:
        file.truncate(1 << 36)  # hashing this takes half a minute at best
    process = publisher.start(*PUBLISH)
    while str(folder / "large") not in open_files(process.pid):
        assert process.poll() is None
    done = interrupted(process)
    done.error("Interrupted", 130)
    assert done.err == b""
    assert not list(publisher.home.glob("tmp/*"))
    assert not (publisher.home / "store.db").exists()
    assert not list(publisher.home.glob("journal/*.json"))


def test_a_get_interrupted_has_no_folder_yet_and_goes_on_later(
    release: Release, reader: User, integrity_liar: Any
) -> None:
    over, reached = threading.Event(), threading.Event()

    def slow(_: str, body: bytes) -> bytes:
        if len(body) >= 1 << 20:
            reached.set()
            over.wait(60)
        return body

    source = integrity_liar(release.url, slow)
    get = ("get", release.link, "-o", "out", "--publisher", release.address, "--json")
    process = reader.start(*get, "--from", source.url)
    assert reached.wait(60)
    process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    over.set()
    out, err = process.communicate(timeout=60)
    done = Result(process.returncode, out, err)
    done.error("Interrupted", 130)
    assert b"Traceback" not in err
    assert not (reader.place / "out").exists()
    assert not (reader.place / "out.integrity").exists()
    again = reader.ok(*get, "--from", release.url).json()
    assert again["verdict"] == "verified"
    assert not (reader.place / "out.part").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_ends_cleanly_on_a_signal(release: Release, number: signal.Signals) -> None:
    process = release.publisher.start("serve", "--port", "0", "--json")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["url"]
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, b"", b"")


def test_a_chain_start_interrupted_leaves_no_chain_or_a_whole_one(user: User) -> None:
    process = user.start("chain", "start", "--json")
    note = user.home / "chain" / "chain.json"
    while not note.exists():
        assert process.poll() is None
    done = interrupted(process)
    try:
        status = user.ok("chain", "status", "--json").json()
        assert (done.code, status["running"]) in {(130, False), (0, True)}
        assert user.ok("chain", "start", "--json").json()["running"]
    finally:
        user.ok("chain", "stop")


def test_a_program_interrupted_while_it_is_read_in_ends_without_a_traceback() -> None:
    program = """
import sys
from integrity_cli.start import main

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
main()
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=False, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_ended_leaves_no_chain_behind(
    user: User, data: Path, ending: signal.Signals
) -> None:
    process = user.start("demo", "--folder", str(data), TMPDIR=str(user.place))
    assert process.stdout is not None
    started = next(json.loads(line) for line in process.stdout if line.startswith(b"{"))
    process.send_signal(ending)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert b"Traceback" not in err
    with pytest.raises(RpcUnavailable, match="did not answer"):
        RpcReader(started["rpc"]).chain_id()
    assert not list(user.place.glob("integrity-demo-*"))
