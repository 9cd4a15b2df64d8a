"""The processes of one folder's chain: anvil, and the ticker that makes its blocks."""

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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import psutil

from integrity.chain.rpc import JsonRpc
from integrity.devchain import ticker
from integrity.disk.files import write_whole
from integrity.errors import ChainToolMissing, DiskError, RpcUnavailable, UnavailableError

READY_SECONDS = 60
_TICKER = (sys.executable, "-P", "-m", ticker.__name__)


def find_anvil() -> str:
    """The anvil to run: INTEGRITY_ANVIL, else PATH, else beside this Python.

    Raises ChainToolMissing.
    """
    named = os.environ.get("INTEGRITY_ANVIL")
    beside = Path(sys.executable).parent
    found = named or shutil.which("anvil") or shutil.which("anvil", path=os.fspath(beside))
    if not found or not Path(found).exists():
        raise ChainToolMissing(
            f"there is no anvil at {named!r}, which INTEGRITY_ANVIL names"
            if named
            else "anvil is not to be found on PATH",
            next=f"{'Mend the variable; or install anvil' if named else 'Install it'} with `npm install "
            "--global @foundry-rs/anvil` (or Foundry); in a checkout of this project, run `make setup`.",
        )
    return os.path.abspath(found)


class AnvilProcess:
    """An anvil whose state is kept in ``folder``; one at a time, across programs.

    ``seconds`` is the time between two blocks while something happens. ``owner`` is the process
    without which it must not go on, None when it goes on until it is ended.
    """

    def __init__(self, folder: Path, chain_id: int, seconds: float, owner: int | None) -> None:
        self._folder = folder.absolute()
        self._chain_id = chain_id
        self._seconds = seconds
        self._owner = owner
        self._spawned: subprocess.Popen[bytes] | None = None

    @property
    def rpc(self) -> str:
        """Its RPC's URL, the same after each start unless the port was taken meanwhile."""
        port = self._saved().get("port")
        return f"http://127.0.0.1:{port}" if port else ""

    @property
    def pid(self) -> int | None:
        """The process, if it runs and really is this folder's anvil."""
        pid = self._saved().get("pid")
        if pid is None:
            return None
        try:
            return pid if self._is_anvil(psutil.Process(pid)) else None
        except psutil.Error:
            return None

    @property
    def ticks(self) -> bool:
        """Whether the process that makes its blocks runs."""
        return any(True for _ in self._found(self._is_ticker))

    def start(self) -> None:
        """Bring up what does not run yet. Raises ChainToolMissing, RpcUnavailable or DiskError."""
        if self.pid is None:
            # What an earlier start left behind: two of them would write one state file.
            for process in self._found(self._is_anvil):
                _end(process)
            self._spawn_anvil()
        pid = self.pid
        if pid is not None and not self.ticks:
            command = [*_TICKER, self.rpc, str(pid), f"{self._seconds:g}", str(self._owner or 0)]
            self._spawn(command, "ab")

    def end(self) -> None:
        """End both, if they run; the state is written."""
        for process in self._found(self._is_ticker):
            process.terminate()
        for process in self._found(self._is_anvil):
            with contextlib.suppress(psutil.NoSuchProcess):
                _end(process)

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Until a question to the chain has the answer yes. Raises RpcUnavailable when it takes
        longer than READY_SECONDS, or the process has ended.
        """
        deadline = time.monotonic() + READY_SECONDS
        causes: list[str] = []
        while time.monotonic() < deadline and not self._has_ended():
            try:
                if ready():
                    return
            except UnavailableError as error:
                causes = [error.message]
            time.sleep(0.02)
        raise RpcUnavailable(
            f"the development chain does not get ready; its log is {self._folder / 'anvil.log'}",
            next="Read the end of that log; `integrity doctor` may tell more.",
            causes=causes,
        )

    def _has_ended(self) -> bool:
        # While a launcher becomes node its command line is empty: one's own child is asked itself.
        if self._spawned is not None and self._spawned.pid == self._saved().get("pid"):
            return self._spawned.poll() is not None
        return self.pid is None

    # --- which processes are meant -------------------------------------------------------------

    @property
    def _state(self) -> str:
        return os.fspath(self._folder / "state.json")

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

    def _is_anvil(self, process: psutil.Process) -> bool:
        return ("--state", self._state) in itertools.pairwise(process.cmdline()) and (
            ticker.is_alive(process)
        )

    def _is_ticker(self, process: psutil.Process) -> bool:
        command = process.cmdline()
        return (
            (ticker.__name__, self.rpc) in itertools.pairwise(command)
            and command[-3:-2] == [str(self.pid)]
            and ticker.is_alive(process)
        )

    @staticmethod
    def _found(wanted: Callable[[psutil.Process], bool]) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if wanted(process):
                    yield process

    # --- bringing them up ----------------------------------------------------------------------

    def _spawn_anvil(self) -> None:
        anvil = find_anvil()
        port = _free_port(self._saved().get("port", 0))
        self._spawned = self._spawn(
            [
                anvil, "--host", "127.0.0.1", "--port", str(port),
                "--chain-id", str(self._chain_id), "--accounts", "0", "--silent",
                "--slots-in-an-epoch", "1", "--cache-path", os.fspath(self._folder / "cache"),
                "--state", self._state, "--state-interval", "1",
            ],
            "wb",
        )  # fmt: skip
        saved = {"port": port, "pid": self._spawned.pid}
        try:
            write_whole(self._folder / "chain.json", json.dumps(saved).encode())
        except BaseException:
            self._spawned.kill()
            self._spawned.wait()
            raise
        rpc = JsonRpc(self.rpc)
        self.wait_until(lambda: rpc.call("eth_chainId") is not None)

    def _spawn(self, command: list[str], mode: str) -> subprocess.Popen[bytes]:
        with self._open_log(mode) as log:
            try:
                return subprocess.Popen(  # noqa: S603 - the program is the user's own choice
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    start_new_session=True, close_fds=True, cwd=self._folder,
                )  # fmt: skip
            except OSError as error:
                reason = error.strerror or error
                raise ChainToolMissing(f"cannot run {command[0]}: {reason}") from error

    def _open_log(self, mode: str) -> BinaryIO:
        path = self._folder / "anvil.log"
        try:
            return open(path, mode)  # type: ignore[return-value]
        except OSError as error:
            raise DiskError(f"cannot write {path}: {error.strerror or error}") from error


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
