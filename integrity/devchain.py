"""A development chain of one's own: anvil, with its state kept in a file between runs.

Blocks come every second and are final two blocks later, so what is published is final within about
three seconds. Two random keys are funded; anvil's own well-known accounts are not used, since two
homes that share a key would trust each other.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import filelock
import psutil

from integrity.chain.artifact import load_artifact
from integrity.chain.journal import Journal
from integrity.chain.reader import RpcReader
from integrity.chain.rpc import JsonRpc
from integrity.core.names import keccak256
from integrity.disk.files import write_whole
from integrity.errors import ChainToolMissing, DiskError, Locked, RpcUnavailable, UnavailableError
from integrity.home import Config, Home, set_config
from integrity.keys.keystore import DEVELOPMENT_CHAIN, KeyInfo, Keystore

BLOCK_SECONDS = 1.0
_KEYS = 2
_FUNDS = 10_000 * 10**18
_READY_SECONDS = 60


@dataclass(frozen=True, slots=True)
class ChainStatus:
    """How the chain stands. ``publisher`` is the first funded key's address, ``accounts`` all."""

    running: bool
    rpc: str
    chain_id: int
    registry: str
    publisher: str
    accounts: tuple[str, ...]
    block: int | None
    finalized: int | None
    pid: int | None


def find_anvil() -> str:
    """The anvil to run: INTEGRITY_ANVIL, else PATH, else beside this Python.

    Raises ChainToolMissing.
    """
    named = os.environ.get("INTEGRITY_ANVIL")
    beside = Path(sys.executable).parent
    found = named or shutil.which("anvil") or shutil.which("anvil", path=os.fspath(beside))
    if not found or not Path(found).exists():
        raise ChainToolMissing(
            f"anvil is not to be found{f' at {named}' if named else ' on PATH'}",
            next="Install it with `npm install --global @foundry-rs/anvil` (or Foundry); in a "
            "checkout of this project, run `make setup`.",
        )
    return found


class DevelopmentChain:
    """The chain of one home; ``block_seconds`` is for tests that would rather not wait."""

    def __init__(self, home: Home, *, block_seconds: float = BLOCK_SECONDS) -> None:
        self._home = home
        self._folder = home.chain
        self._block_seconds = block_seconds

    # --- what users do -------------------------------------------------------------------------

    def start(self) -> ChainStatus:
        """Bring it up and return once everything answers, finalized reads included.

        Does nothing but report when it runs already and has all it needs. Raises ChainToolMissing,
        RpcUnavailable, DiskError or Locked.
        """
        with self._alone():
            running = self._pid() is not None
            try:
                if not running:
                    self._end_strays()
                    self._spawn()
                self._prepare()
            except BaseException:
                if not running:
                    self._end()
                raise
        self._configure()
        return self.status()

    def stop(self) -> ChainStatus:
        """End it; its state is kept for the next start. Raises DiskError or Locked."""
        if self._folder.is_dir():
            with self._alone():
                self._end()
        return self.status()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        lock = filelock.FileLock(self._folder / "lock", timeout=_READY_SECONDS)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except filelock.Timeout as error:
            raise Locked("another process is starting or stopping this chain") from error
        except OSError as error:
            raise DiskError(f"cannot use {self._folder}: {error.strerror or error}") from error
        try:
            yield
        finally:
            lock.release()

    def status(self) -> ChainStatus:
        """How it stands, running or not."""
        pid = self._pid()
        block = finalized = None
        if pid is not None:
            reader = RpcReader(self.rpc)
            block, finalized = reader.block("latest").number, reader.block("finalized").number
        accounts = tuple(info.address for info in self._existing_keys())
        return ChainStatus(
            pid is not None, self.rpc, DEVELOPMENT_CHAIN, load_artifact().address,
            accounts[0] if accounts else "", accounts, block, finalized, pid,
        )  # fmt: skip

    @property
    def rpc(self) -> str:
        """Its RPC's URL, the same after each start unless the port was taken meanwhile."""
        port = self._saved().get("port")
        return f"http://127.0.0.1:{port}" if port else ""

    # --- the process ---------------------------------------------------------------------------

    @property
    def _state(self) -> Path:
        return self._folder / "state.json"

    def _saved(self) -> dict[str, int]:
        """The port and the process of the last start, as far as they make sense."""
        try:
            value = json.loads((self._folder / "chain.json").read_text("utf-8"))
        except (OSError, ValueError):
            value = None
        limits = {"port": 65535, "pid": 2**31 - 1}
        found = value if isinstance(value, dict) else {}
        return {
            name: found[name]
            for name, limit in limits.items()
            if type(found.get(name)) is int and 0 < found[name] <= limit
        }

    def _pid(self) -> int | None:
        """The process, if it runs and really is this home's anvil."""
        pid = self._saved().get("pid")
        if pid is None:
            return None
        try:
            process = psutil.Process(pid)
            return pid if self._is_ours(process) else None
        except psutil.Error:
            return None

    def _is_ours(self, process: psutil.Process) -> bool:
        return (
            ("--state", os.fspath(self._state)) in itertools.pairwise(process.cmdline())
            and process.status() != psutil.STATUS_ZOMBIE
        )  # fmt: skip

    def _end_strays(self) -> None:
        """End what an earlier start left behind: two of them would write one state file."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if self._is_ours(process):
                    _end(process)

    def _spawn(self) -> None:
        anvil = find_anvil()
        port = _free_port(self._saved().get("port", 0))
        command = [
            anvil, "--host", "127.0.0.1", "--port", str(port), "--chain-id", str(DEVELOPMENT_CHAIN),
            "--accounts", "0", "--block-time", f"{self._block_seconds:g}",
            "--slots-in-an-epoch", "1", "--max-persisted-states", "10", "--silent",
            "--cache-path", os.fspath(self._folder / "cache"),
            "--state", os.fspath(self._state), "--state-interval", "1",
        ]  # fmt: skip
        with self._open_log() as log:
            try:
                process = subprocess.Popen(  # noqa: S603 - the program is the user's own choice
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    start_new_session=True, close_fds=True,
                )  # fmt: skip
            except OSError as error:
                raise ChainToolMissing(f"cannot run {anvil}: {error.strerror or error}") from error
        saved = {"port": port, "pid": process.pid}
        write_whole(self._folder / "chain.json", json.dumps(saved).encode())
        self._wait_until(lambda: JsonRpc(self.rpc).call("eth_chainId") is not None, process)

    def _open_log(self) -> BinaryIO:
        path = self._folder / "anvil.log"
        try:
            return path.open("wb")
        except OSError as error:
            raise DiskError(f"cannot write {path}: {error.strerror or error}") from error

    def _wait_until(self, ready: object, process: subprocess.Popen[bytes] | None = None) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        cause: UnavailableError | None = None
        while time.monotonic() < deadline:
            if process is not None and process.poll() is not None:
                break
            try:
                if callable(ready) and ready():
                    return
            except UnavailableError as error:
                cause = error
            time.sleep(0.05)
        raise RpcUnavailable(
            f"the development chain does not get ready; its log is {self._folder / 'anvil.log'}",
            next="Read the end of that log; `integrity doctor` may tell more.",
            causes=[cause.message] if cause else [],
        )

    def _end(self) -> None:
        pid = self._pid()
        if pid is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                _end(psutil.Process(pid))

    # --- what stands on it ---------------------------------------------------------------------

    def _existing_keys(self) -> list[KeyInfo]:
        keys = (info for info in Keystore(self._home.keys).list() if info.development)
        return sorted(keys, key=lambda info: info.name)

    def _prepare(self) -> None:
        """Funds, the registry, and a finalized block that shows it."""
        keystore = Keystore(self._home.keys)
        taken = {info.name for info in keystore.list()}
        names = itertools.chain(["dev"], (f"dev-{number}" for number in itertools.count(2)))
        for _ in range(_KEYS - len(self._existing_keys())):
            keystore.create_development(next(name for name in names if name not in taken))
        rpc = JsonRpc(self.rpc)
        for info in self._existing_keys():
            if int(rpc.call("eth_getBalance", info.address, "latest"), 16) < _FUNDS // 2:
                rpc.call("anvil_setBalance", info.address, hex(_FUNDS))
        artifact = load_artifact()
        reader = RpcReader(self.rpc)
        if not reader.code(artifact.address, reader.block("latest")):
            self._deploy(keystore)
        self._wait_until(
            lambda: (
                keccak256(reader.code(artifact.address, reader.block("finalized")))
                == artifact.code_hash
            )
        )

    def _deploy(self, keystore: Keystore) -> None:
        from integrity.chain.writer import ChainWriter  # imports web3

        # Transactions of an earlier chain mean nothing on one that begins anew.
        journal = Journal(self._home.journal)
        for entry in journal.all():
            if entry.chain_id == DEVELOPMENT_CHAIN:
                journal.remove(entry.hash)
        writer = ChainWriter(self.rpc, DEVELOPMENT_CHAIN, journal)
        signer = keystore.open(self._existing_keys()[0], lambda _: "")
        call = writer.deploy_call()
        writer.wait_final(writer.send(signer, lambda: call))

    def _configure(self) -> None:
        """Make it this home's default chain, and its first key the default one if there is none."""
        config = Config.load(self._home)
        changes: dict[str, object] = {"chains": {DEVELOPMENT_CHAIN: {"rpc": [self.rpc]}}}
        if config.default_chain is None:
            changes["default_chain"] = DEVELOPMENT_CHAIN
        if config.default_key is None:
            changes["default_key"] = self._existing_keys()[0].address
        try:
            set_config(self._home, changes)
        except DiskError as error:
            raise DiskError(f"the chain runs, but {error.message}") from error


def _end(process: psutil.Process) -> None:
    # anvil writes its state on INT; the JavaScript launcher of npm passes the signal on.
    process.send_signal(signal.SIGINT if os.name == "posix" else signal.SIGTERM)
    try:
        process.wait(30)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(5)


def _free_port(wanted: int) -> int:
    """The wanted port if it is free on loopback, else any."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            if os.name == "posix":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            number: int = probe.getsockname()[1]
            return number
    raise RpcUnavailable("no free port on 127.0.0.1 for the development chain")
