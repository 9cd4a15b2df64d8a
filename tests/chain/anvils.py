"""A bare anvil that a test steers block by block, with the registry on it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from integrity.chain.artifact import load_artifact
from integrity.chain.rpc import JsonRpc
from integrity.client.session import Session
from integrity.core.registry import REVOCATION_REASONS
from integrity.devchain.anvil import find_anvil
from integrity.devchain.chain import give
from integrity.errors import RpcUnavailable
from integrity.home import Home
from integrity.keys.keystore import DEVELOPMENT_CHAIN
from integrity.testing.people import equip

RICH = 10**21


class Anvil:
    """A node that mines a block for each transaction at once, and further ones when told to."""

    def __init__(self, url: str, process: subprocess.Popen[bytes]) -> None:
        self.url = url
        self.process = process
        self._rpc = JsonRpc(url)

    def call(self, method: str, *params: object) -> Any:
        return self._rpc.call(method, *params)

    def mine(self, blocks: int = 1) -> None:
        self.call("anvil_mine", hex(blocks))

    def height(self) -> int:
        return int(self.call("eth_blockNumber"), 16)

    def nonce(self, address: str) -> int:
        """How many transactions of the account are mined."""
        return int(self.call("eth_getTransactionCount", address, "latest"), 16)

    def balance(self, address: str) -> int:
        return int(self.call("eth_getBalance", address, "latest"), 16)

    def fund(self, address: str, wei: int = RICH) -> None:
        give(self.url, address, wei)

    def hold(self) -> None:
        """Mine nothing from now on unless :meth:`mine` is called."""
        self.call("evm_setAutomine", False)

    def publisher(self, place: Path) -> Session:
        """The session of a new home with a funded development key, set up for this chain."""
        session = Session(Home.at(place))
        equip(session.home, self.url)
        return session

    def as_sender(self, sender: str, function: str, *args: object) -> str:
        """Send a transaction to the registry in somebody's name, and wait for it -> its hash."""
        from web3 import Web3

        contract = Web3().eth.contract(abi=load_artifact().abi)
        data = contract.encode_abi(function, list(args))
        self.call("anvil_impersonateAccount", sender)
        # Not estimated: what is written in the same second as before costs less than a second later.
        gas = hex(500_000)
        to = load_artifact().address
        transaction = {"from": sender, "to": to, "data": data, "gas": gas}
        sent = str(self.call("eth_sendTransaction", transaction))
        receipt = self.receipt(sent)
        assert receipt["status"] == "0x1", f"{function} was reverted"
        return sent

    def receipt(self, sent: str) -> Any:
        """The receipt of a transaction, once there is one."""
        while (receipt := self.call("eth_getTransactionReceipt", sent)) is None:
            time.sleep(0.01)
        return receipt


def reason_code(name: str) -> int:
    """The registry's number of a reason for a revocation."""
    return next(code for code, text in REVOCATION_REASONS.items() if text == name)


@contextlib.contextmanager
def running_anvil(folder: Path, *options: str) -> Iterator[Anvil]:
    """An anvil that ends with the block; ``options`` may override the chain id and the epoch."""
    log = folder / "anvil.log"
    command = [
        find_anvil(), "--host", "127.0.0.1", "--port", "0",
        "--cache-path", os.fspath(folder / "cache"), *options,
    ]  # fmt: skip
    for option, value in (("--chain-id", str(DEVELOPMENT_CHAIN)), ("--slots-in-an-epoch", "1")):
        if option not in options:
            command += [option, value]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=os.environ | {"NO_COLOR": "1"},
        )
    try:
        yield Anvil(_listening(log, process), process)
    finally:
        process.terminate()
        process.wait()


def _listening(log: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text().splitlines():
            if line.startswith("Listening on "):
                url = "http://" + line.removeprefix("Listening on ")
                with contextlib.suppress(RpcUnavailable):
                    JsonRpc(url).call("eth_chainId")
                    return url
        time.sleep(0.02)
    raise RuntimeError(f"anvil did not start:\n{log.read_text()}")


def with_registry(anvil: Anvil) -> Anvil:
    """Put the registry at its address, and make that final. Deploying it has tests of its own."""
    text = resources.files("integrity.chain").joinpath("ContentRegistry.json").read_text("utf-8")
    anvil.call("anvil_setCode", load_artifact().address, json.loads(text)["deployedBytecode"])
    anvil.mine(3)
    return anvil
