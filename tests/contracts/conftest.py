"""The tools that the contract's tests run. One that is missing fails a test; none is skipped."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from web3 import Web3

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the project."""
    return ROOT


@pytest.fixture(scope="session")
def node_tool() -> Callable[[str], str]:
    """Find a program among the node packages -> its path."""

    def find(name: str) -> str:
        packages = ROOT / "node_modules"
        # Forge and anvil themselves: their launchers in .bin end with 0 whatever happened.
        native = sorted(packages.glob(f"@foundry-rs/{name}-*/bin/{name}*"))
        for path in (*native, packages / ".bin" / name):
            if path.exists():
                return str(path)
        pytest.fail(f"{name} is not installed: run npm ci in the project's folder")

    return find


@pytest.fixture(scope="session")
def artifact() -> dict[str, Any]:
    """The shipped artifact."""
    path = ROOT / "integrity" / "chain" / "ContentRegistry.json"
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def chain(
    node_tool: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Web3]:
    """A chain of its own for each module, always the same: hard fork, accounts and block times."""
    # With port 0 anvil takes a free one and says which.
    options = {
        "--port": "0",
        "--host": "127.0.0.1",
        "--hardfork": "prague",
        "--timestamp": "1800000000",
        "--cache-path": str(tmp_path_factory.mktemp("anvil")),
    }
    command = [node_tool("anvil"), *(word for option in options.items() for word in option)]
    # Without colours, which would stand inside the address.
    environment = {**os.environ, "NO_COLOR": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        web3 = Web3(Web3.HTTPProvider(f"http://{_announced_address(process)}"))
        # A second at least between blocks: two in one second would make some writes cheaper.
        web3.provider.make_request("anvil_setBlockTimestampInterval", [1])  # type: ignore[arg-type]
        yield web3
    finally:
        process.terminate()
        process.wait()
        if process.stdout:
            process.stdout.close()


def _announced_address(process: subprocess.Popen[str]) -> str:
    said = []
    for line in process.stdout or ():
        said.append(line)
        if found := re.search(r"Listening on (\S+)", line):
            return found[1]
    pytest.fail(f"anvil did not start:\n{''.join(said)}")
