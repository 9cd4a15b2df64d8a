"""The shipped artifact is what the sources compile to, whoever compiles them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

Json = dict[str, Any]

# Binaries for platforms whose packages could not be fetched when the lock file was written: npm ci
# wants an entry even for what it does not install. Put the hashes in as they become known.
UNHASHED = {
    f"node_modules/@foundry-rs/{tool}-{platform}"
    for tool, platforms in {
        "anvil": ("darwin-amd64", "darwin-arm64", "linux-arm64", "win32-amd64"),
        "forge": ("darwin-amd64", "linux-arm64"),
    }.items()
    for platform in platforms
}


def load(path: Path) -> Json:
    loaded: Json = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_compiling_again_from_python_gives_the_shipped_artifact(root: Path) -> None:
    run([sys.executable, "tools/build_artifact.py", "--check"], root)


def test_hardhat_gives_the_shipped_code(
    root: Path, artifact: Json, node_tool: Callable[[str], str]
) -> None:
    run([node_tool("hardhat"), "compile", "--force"], root)
    folder = root / "build" / "hardhat" / "artifacts" / "contracts" / "ContentRegistry.sol"
    built = load(folder / "ContentRegistry.json")
    for field in ("abi", "bytecode", "deployedBytecode"):
        assert built[field] == artifact[field], f"hardhat's {field} differs"


def test_the_contracts_are_formatted(root: Path, node_tool: Callable[[str], str]) -> None:
    run([node_tool("forge"), "fmt", "--check", "contracts", "tests/contracts"], root)


def test_the_address_follows_from_the_init_code(artifact: Json) -> None:
    # EIP-1014, through the deterministic deployment proxy.
    proxy = bytes.fromhex("4e59b44847b379578588920ca78fbf26c0b4956c")
    init_code_hash = keccak(bytes.fromhex(artifact["bytecode"][2:]))
    address = keccak(b"\xff" + proxy + bytes(32) + init_code_hash)[12:]
    assert artifact["bytecodeHash"] == "0x" + init_code_hash.hex()
    assert artifact["create2"] == {
        "deployer": to_checksum_address(proxy),
        "salt": "0x" + bytes(32).hex(),
        "address": to_checksum_address(address),
    }
    runtime_code = bytes.fromhex(artifact["deployedBytecode"][2:])
    assert artifact["deployedBytecodeHash"] == "0x" + keccak(runtime_code).hex()


def test_the_code_tells_nothing_of_the_machine_that_built_it(artifact: Json) -> None:
    # The compiler's metadata, with its hash of sources and paths, would be marked by these words.
    for word in (b"ipfs", b"bzzr", b"solc", b"contracts/"):
        assert word.hex() not in artifact["bytecode"]


def test_the_storage_layout_is_the_one_that_verifiers_know(artifact: Json) -> None:
    layout = artifact["storageLayout"]
    types = layout["types"]

    def value_type(name: str) -> str:
        while types[name]["encoding"] == "mapping":
            name = types[name]["value"]
        return name

    def fields(name: str) -> list[tuple[str, int, int]]:
        """Name, lowest bit and width of what stands in the word."""
        if "members" not in types[name]:
            return [("", 0, 8 * int(types[name]["numberOfBytes"]))]
        assert types[name]["numberOfBytes"] == "32", "one slot"
        return [
            (member["label"], 8 * member["offset"], 8 * int(types[member["type"]]["numberOfBytes"]))
            for member in types[name]["members"]
        ]

    found = {
        int(variable["slot"]): (variable["label"], fields(value_type(variable["type"])))
        for variable in layout["storage"]
    }
    assert found == {
        0: ("publishers", [("controller", 0, 160), ("epoch", 160, 48)]),
        1: ("pendingControllers", [("", 0, 160)]),
        2: ("heads", [("count", 0, 48), ("latest", 48, 48), ("updatedAt", 96, 40)]),
        3: ("manifests", [("", 0, 256)]),
        4: (
            "releases",
            [("sequence", 0, 48), ("publishedAt", 48, 40), ("revocation", 88, 8), ("by", 96, 160)],
        ),
        5: ("endorsements", [("endorsedAt", 0, 40), ("kind", 40, 8)]),
        6: ("delegates", [("", 0, 40)]),
    }


def test_nothing_in_the_interface_takes_ether(artifact: Json) -> None:
    kinds = {entry["type"] for entry in artifact["abi"]}
    assert kinds == {"function", "event", "error"}, "no constructor, receive or fallback"
    functions = [entry for entry in artifact["abi"] if entry["type"] == "function"]
    assert {f["stateMutability"] for f in functions} <= {"pure", "view", "nonpayable"}


def test_nothing_in_the_interface_belongs_to_an_owner(artifact: Json) -> None:
    writers = {
        entry["name"]
        for entry in artifact["abi"]
        if entry["type"] == "function" and entry["stateMutability"] == "nonpayable"
    }
    assert writers == {
        "acceptController",
        "endorse",
        "multicall",
        "publish",
        "publishWithSignature",
        "revoke",
        "setDelegate",
        "setLatest",
        "transferController",
        "withdrawEndorsement",
    }


def test_every_tool_is_pinned_to_one_version(root: Path, artifact: Json) -> None:
    wanted: dict[str, str] = load(root / "package.json")["devDependencies"]
    locked = load(root / "package-lock.json")["packages"]
    for name, version in wanted.items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version), f"{name} is not pinned"
        assert locked[f"node_modules/{name}"]["version"] == version, "run npm install"
    compiler = load(root / "contracts" / "compiler.json")
    assert compiler["version"] == wanted["solc"]
    assert artifact["compiler"].startswith(compiler["version"] + "+")
    assert artifact["settings"] == compiler["settings"]


def test_the_lock_file_names_no_registry(root: Path) -> None:
    for name, package in load(root / "package-lock.json")["packages"].items():
        assert "resolved" not in package, f"{name}: run npm install with the project's .npmrc"


def test_the_lock_file_holds_every_package_and_its_hash(root: Path) -> None:
    packages = load(root / "package-lock.json")["packages"]
    for package in packages.values():
        for name in package.get("optionalDependencies", {}):
            assert f"node_modules/{name}" in packages, f"npm ci will miss {name}"
    without_hash = {
        name for name, package in packages.items() if name and "integrity" not in package
    }
    assert without_hash == UNHASHED


@pytest.mark.long
def test_the_tools_install_from_the_lock_file(root: Path, tmp_path: Path) -> None:
    for name in ("package.json", "package-lock.json", ".npmrc"):
        (tmp_path / name).write_bytes((root / name).read_bytes())
    run(["npm", "ci"], tmp_path)
    run([str(tmp_path / "node_modules" / ".bin" / "anvil"), "--version"], tmp_path)
