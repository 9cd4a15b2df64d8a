"""geth's development chain: a second implementation of everything that a node says.

What differs from anvil: blocks are made by a consensus client of its own, every 32nd block is final at
once and those between it and the next one are not; state is proven for the newest 128 blocks; there is
no way to change a balance, a nonce, code or storage but by a block that does.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from integrity.chain.artifact import load_artifact
from integrity.chain.rpc import JsonRpc, RpcError
from integrity.client.session import Session
from integrity.core.registry import CREATE2_PROXY
from integrity.errors import RpcUnavailable
from integrity.keys.keystore import DEVELOPMENT_CHAIN

from .nodes import RICH, Node

_ROOT = Path(__file__).resolve().parents[2]
EPOCH = 32
"""Blocks from one that is final at once to the next."""

PROOF_WINDOW = 128
"""The newest blocks whose state is proven."""

_GWEI = 10**9
_NOBODY = "0x" + "00" * 19 + "ff"

# The proxy's deployment, signed once for every chain (it names none); who sends it needs its gas first.
_PROXY_SENDER = "0x3fAB184622Dc19b6109349B94811493BF2a45362"
_PROXY_COSTS = 10**16
_PROXY_CODE = (
    "7f" + "ff" * 31 + "e03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
)
_PROXY_DEPLOYMENT = (
    "0xf8a58085174876e800830186a08080b853604580600e600039806000f350fe"
    + _PROXY_CODE + "1ba0" + "22" * 32 + "a0" + "22" * 32
)  # fmt: skip


class Geth(Node):
    """A geth, whose blocks are made by validators' withdrawals: they pay out of nothing."""

    def call(self, method: str, *params: object) -> Any:
        if method != "eth_sendRawTransaction":
            return super().call(method, *params)
        deadline = time.monotonic() + 60
        while (
            True
        ):  # an account may have got its ether a moment ago, and the pool hears of a block later
            try:
                return super().call(method, *params)
            except RpcError as error:
                if "insufficient funds" not in error.said or time.monotonic() > deadline:
                    raise
            time.sleep(0.01)

    def mine(self, blocks: int = 1) -> None:
        for _ in range(blocks):
            self._withdraw(_NOBODY, _GWEI)  # no two blocks of one state

    def settle(self) -> None:
        height = self.height()
        self.mine(-height % EPOCH)
        while self.finalized() < height:  # it is said a moment after the block is there
            time.sleep(0.002)

    def fund(self, address: str, wei: int = RICH) -> None:
        self._withdraw(address, wei)

    def publisher(self, place: Path) -> Session:
        session = super().publisher(place)
        if self.height() % EPOCH > EPOCH // 2:  # else something would get final by chance
            self.settle()
        return session

    def _withdraw(self, address: str, wei: int) -> None:
        """A block in which a validator withdraws that much."""
        assert wei % _GWEI == 0, "withdrawals are in gwei"
        before = self.height()
        withdrawal = {
            "index": "0x0", "validatorIndex": "0x0", "address": address, "amount": hex(wei // _GWEI),
        }  # fmt: skip
        self.call("dev_addWithdrawal", withdrawal)
        while self.height() == before:
            time.sleep(0.002)


def find_geth() -> str:
    """build/geth, else the one on PATH."""
    built = _ROOT / "build" / "geth"
    found = os.fspath(built) if built.exists() else shutil.which("geth")
    if found is None:
        raise RuntimeError(
            "no geth at build/geth nor on PATH, and nothing is skipped: run `make live-deps`"
        )
    return found


_ZERO_BLOCKS = (
    "homesteadBlock", "eip150Block", "eip155Block", "eip158Block", "byzantiumBlock",
    "constantinopleBlock", "petersburgBlock", "istanbulBlock", "berlinBlock", "londonBlock",
    "terminalTotalDifficulty", "shanghaiTime", "cancunTime", "pragueTime",
)  # fmt: skip


def _genesis() -> dict[str, object]:
    """The development genesis with this project's chain id, for which alone development keys sign."""
    blobs = {"target": 6, "max": 9, "baseFeeUpdateFraction": 5_007_716}
    config = {
        "chainId": DEVELOPMENT_CHAIN, **dict.fromkeys(_ZERO_BLOCKS, 0),
        "blobSchedule": {"cancun": blobs, "prague": blobs},
    }  # fmt: skip
    return {
        "config": config, "difficulty": "0x0", "gasLimit": hex(30_000_000), "baseFeePerGas": hex(_GWEI),
        "alloc": {},
    }  # fmt: skip


@contextlib.contextmanager
def running_geth(folder: Path) -> Iterator[Geth]:
    """A geth with nothing on its chain that ends with the block."""
    log, data, genesis = folder / "geth.log", folder / "data", folder / "genesis.json"
    genesis.write_text(json.dumps(_genesis()))
    geth = find_geth()
    subprocess.run(
        [geth, "init", "--datadir", data, genesis], check=True, capture_output=True, timeout=120
    )
    command = [
        geth, "--dev", "--dev.period", "0", "--datadir", os.fspath(data), "--ipcdisable", "--port", "0",
        "--authrpc.addr", "127.0.0.1", "--authrpc.port", "0",
        "--http", "--http.addr", "127.0.0.1", "--http.port", "0", "--http.api", "eth,net,web3,dev",
        "--rpc.allow-unprotected-txs", "--cache", "64",
    ]  # fmt: skip
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        node = Geth(_listening(log, process))
        node.mine()
        _wait_until_indexed(node)
        yield node
    finally:
        process.terminate()
        process.wait()


def _listening(log: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(
            r"HTTP server started.*endpoint=(127\.0\.0\.1:\d+).*auth=false", log.read_text()
        )
        if found:
            url = f"http://{found[1]}"
            with contextlib.suppress(RpcUnavailable):
                JsonRpc(url).call("eth_chainId")
                return url
        time.sleep(0.02)
    raise RuntimeError(f"geth did not start:\n{log.read_text()}")


def _wait_until_indexed(geth: Geth) -> None:
    """Until it says of a transaction that it does not know it, rather than that it has yet to look."""
    while True:
        with contextlib.suppress(RpcError):
            assert geth.call("eth_getTransactionReceipt", "0x" + "11" * 32) is None
            return
        time.sleep(0.01)


def with_registry(geth: Geth, place: Path) -> Geth:
    """Deploy the registry as on any chain: first the proxy, by its transaction; and make that final."""
    geth.fund(_PROXY_SENDER, _PROXY_COSTS)
    geth.receipt(str(geth.call("eth_sendRawTransaction", _PROXY_DEPLOYMENT)))
    artifact = load_artifact()
    deployed = geth.send(geth.publisher(place), CREATE2_PROXY, artifact.salt + artifact.init_code)
    assert deployed["status"] == "0x1"
    geth.settle()
    return geth
