"""Kubo nodes of a test's own: real daemons on loopback, each with a repository in a folder."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import urllib3

PROFILE = "test,unixfs-v1-2025"
READY_SECONDS = 60
RUN_SECONDS = 300
_ROOT = Path(__file__).resolve().parent.parent.parent

# Runs the daemon and ends it once the other end of its standard input is closed, which is what
# happens to a process that is gone, however it went.
_GUARD = """
import subprocess, sys, threading
daemon = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=sys.stderr)
print(daemon.pid, flush=True)
def follow():
    sys.stdin.read()
    daemon.kill()
threading.Thread(target=follow, daemon=True).start()
sys.exit(daemon.wait() % 256)
"""

Settings = Mapping[str, object]
"""Dotted keys of Kubo's configuration -> their JSON values."""


def find_ipfs() -> str:
    """build/ipfs, else the one on PATH."""
    built = _ROOT / "build" / "ipfs"
    found = os.fspath(built) if built.exists() else shutil.which("ipfs")
    if found is None:
        raise FileNotFoundError(
            "no ipfs at build/ipfs nor on PATH, and nothing is skipped: run `make live-deps`"
        )
    return found


class Kubo:
    """A node whose repository is made in ``folder``; it runs from :meth:`start` on.

    It is found at the same addresses after each start. ``settings`` are put into its configuration.
    """

    def __init__(self, folder: Path, settings: Settings | None = None) -> None:
        self.folder = folder
        self.api = ""
        self.gateway = ""
        self._guard: subprocess.Popen[bytes] | None = None
        self._daemon = 0
        self.run("init", f"--profile={PROFILE}")
        self.configure(settings or {})

    @property
    def log(self) -> str:
        """What the daemon has printed since its last start."""
        return self._log.read_text(errors="replace")

    @property
    def running(self) -> bool:
        return self._guard is not None and self._guard.poll() is None

    def configure(self, settings: Settings) -> None:
        """Change the configuration; a daemon that runs heeds it after its next start."""
        path = self.folder / "config"
        config = json.loads(path.read_text())
        for key, value in settings.items():
            place = config
            *above, last = key.split(".")
            for name in above:
                place = place.setdefault(name, {})
            place[last] = value
        path.write_text(json.dumps(config, indent=2))

    def run(self, *arguments: str | Path, input: bytes | None = None) -> bytes:  # noqa: A002
        """``ipfs`` with these arguments, by the daemon if it runs -> its standard output.

        Raises CalledProcessError, with what it printed as a note.
        """
        try:
            return subprocess.run(
                [find_ipfs(), *arguments],
                input=b"" if input is None else input,
                env=self._environment,
                capture_output=True,
                check=True,
                timeout=RUN_SECONDS,
            ).stdout
        except subprocess.CalledProcessError as error:
            error.add_note(error.stderr.decode(errors="replace"))
            raise

    # --- its process ---------------------------------------------------------------------------

    def start(self) -> None:
        """Start the daemon, and return once it answers."""
        assert not self.running, "it runs already"
        for name in ("api", "gateway"):  # a daemon that was killed leaves them behind
            (self.folder / name).unlink(missing_ok=True)
        with self._log.open("wb") as log:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-c", _GUARD, find_ipfs(), "daemon"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._environment,
                start_new_session=True,  # Ctrl-C is for pytest, which then stops the nodes
            )
        assert self._guard.stdout is not None
        self._daemon = int(self._guard.stdout.readline())
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End it in its own way, if it runs."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would, if it runs."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        guard, self._guard = self._guard, None
        if guard is None:
            return
        if guard.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._daemon, how)
        try:
            guard.wait(READY_SECONDS)
        finally:
            for pipe in (guard.stdin, guard.stdout):
                assert pipe is not None
                pipe.close()
            guard.wait()

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self.running:
            with contextlib.suppress(OSError, ValueError, urllib3.exceptions.HTTPError):
                _, ip4, host, tcp, port = (self.folder / "api").read_text().strip().split("/")
                assert (ip4, tcp) == ("ip4", "tcp")
                gateway = (self.folder / "gateway").read_text().strip()
                api = f"http://{host}:{port}"
                if urllib3.request("POST", f"{api}/api/v0/id", retries=False).status == 200:
                    self.api, self.gateway = api, gateway
                    self._keep_addresses()
                    return
            time.sleep(0.02)
        raise RuntimeError(f"the daemon of {self.folder} did not start:\n{self.log}")

    def _keep_addresses(self) -> None:
        def multiaddress(url: str) -> str:
            return "/ip4/{}/tcp/{}".format(*url.removeprefix("http://").split(":"))

        addresses = {"API": self.api, "Gateway": self.gateway}
        self.configure({f"Addresses.{name}": multiaddress(u) for name, u in addresses.items()})

    @property
    def _log(self) -> Path:
        return self.folder.with_name(self.folder.name + ".log")

    @property
    def _environment(self) -> dict[str, str]:
        # Nothing of the user's own node, nor a word to anybody outside.
        inherited = {name: v for name, v in os.environ.items() if not name.startswith("IPFS_")}
        return inherited | {"IPFS_PATH": os.fspath(self.folder), "IPFS_TELEMETRY": "off"}
