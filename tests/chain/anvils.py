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

from integrity.chain.artifact import load_artifact
from integrity.chain.rpc import JsonRpc
from integrity.devchain.anvil import find_anvil
from integrity.devchain.chain import give
from integrity.errors import RpcUnavailable
from integrity.keys.keystore import DEVELOPMENT_CHAIN

from .nodes import RICH, Node, registry_call


class Anvil(Node):
    """An anvil, which can be told to hold its transactions back, and what is no block's doing."""

    def mine(self, blocks: int = 1) -> None:
        self.call("anvil_mine", hex(blocks))

    def settle(self) -> None:
        self.mine(3)

    def fund(self, address: str, wei: int = RICH) -> None:
        give(self.url, address, wei)

    def as_sender(self, sender: str, function: str, *args: object) -> str:
        """Call a function of the registry in anybody's name, and wait for it -> the transaction's hash."""
        self.call("anvil_impersonateAccount", sender)
        transaction = {
            "from": sender, "to": load_artifact().address,
            "data": "0x" + registry_call(function, *args).hex(), "gas": hex(500_000),
        }  # fmt: skip
        sent = str(self.call("eth_sendTransaction", transaction))
        assert self.receipt(sent)["status"] == "0x1", f"{function} was reverted"
        return sent

    def hold(self) -> None:
        """Mine nothing from now on unless :meth:`mine` is called."""
        self.call("evm_setAutomine", False)


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
        yield Anvil(_listening(log, process))
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
