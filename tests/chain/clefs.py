"""A real Clef with one key, which signs what its rules allow."""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from eth_account import Account
from eth_keyfile.keyfile import create_keyfile_json

from integrity.chain.rpc import JsonRpc
from integrity.errors import RpcUnavailable

CLEF = Path(__file__).parents[2] / "build" / "clef"
MASTER, PASSWORD = "a master password", "the key's password"
RULES = """\
function OnSignerStartup(info) {}
function OnApprovedTx(answer) {}
function ApproveListing(request) { return "Approve" }
function ApproveTx(request) { return request.transaction.to.toLowerCase() == "%s" ? "Approve" : "Reject" }
function ApproveSignData(request) { return "Approve" }
"""


@dataclass(frozen=True, slots=True)
class Clef:
    """Where it listens, and its key's address."""

    url: str
    address: str


@contextlib.contextmanager
def running_clef(folder: Path, port: int, chain_id: int, to: str) -> Iterator[Clef]:
    """One that signs transactions to one address alone; it ends with the block."""
    keys, settings, rules = folder / "keys", folder / "clef", folder / "rules.js"
    keys.mkdir()
    settings.mkdir(mode=0o700)
    account = Account.create()
    made = create_keyfile_json(bytes(account.key), PASSWORD.encode(), 3, "scrypt", 1024)
    stamp = "UTC--2026-01-01T00-00-00.000000000Z--" + account.address[2:].lower()
    (keys / stamp).write_text(json.dumps(made))
    rules.write_text(RULES % to.lower())
    base: list[str | Path] = [
        CLEF, "--configdir", settings, "--keystore", keys, "--suppress-bootwarn", "--lightkdf",
        "--auditlog", "",
    ]  # fmt: skip

    def prepare(*command: str, typed: str) -> None:
        subprocess.run([*base, *command], input=typed.encode(), capture_output=True, check=True)

    prepare("init", typed=f"{MASTER}\n{MASTER}\n")
    prepare("attest", hashlib.sha256(rules.read_bytes()).hexdigest(), typed=f"{MASTER}\n")
    prepare("setpw", account.address, typed=f"{PASSWORD}\n{PASSWORD}\n{MASTER}\n")
    with (folder / "clef.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *base, "--chainid", str(chain_id), "--rules", rules, "--advanced", "--ipcdisable",
                "--http", "--http.addr", "127.0.0.1", "--http.port", str(port),
            ],
            cwd=folder, stdin=subprocess.PIPE, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            assert process.stdin is not None
            process.stdin.write(f"{MASTER}\n".encode())
            process.stdin.flush()
            _wait(f"http://127.0.0.1:{port}", process, folder / "clef.log")
            yield Clef(f"http://127.0.0.1:{port}", account.address)
        finally:
            process.terminate()
            process.wait()


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(RpcUnavailable):
            JsonRpc(url).call("account_version")
            return
        time.sleep(0.1)
    raise RuntimeError(f"Clef did not start:\n{log.read_text('utf-8', 'replace')}")
