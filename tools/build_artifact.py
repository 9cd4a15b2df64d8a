"""Compiles the registry contract and writes the artifact that ships in the wheel.

``python tools/build_artifact.py`` writes integrity/chain/ContentRegistry.json; with ``--check`` it
writes nothing and fails if the file is not, byte for byte, what the sources compile to.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from solcx import compile_standard
from solcx.wrapper import get_version_str_from_solc_binary

ROOT = Path(__file__).resolve().parent.parent
ARTIFACT = ROOT / "integrity" / "chain" / "ContentRegistry.json"
CONTRACT = "ContentRegistry"
COMPILER = ROOT / "tools" / "solc" / "solc.js"

# The deterministic deployment proxy, at this address on every chain that has it. The salt is
# zero, as there is nothing to tell apart.
DEPLOYER = "0x4e59b44847b379578588920cA78FbF26c0B4956C"
SALT = bytes(32)


def main() -> int:
    """Write the artifact or check it -> exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the file, write nothing")
    check: bool = parser.parse_args().check
    text = render(build())
    if not check:
        ARTIFACT.write_text(text, encoding="utf-8", newline="\n")
        print(f"wrote {ARTIFACT.relative_to(ROOT)}")
        return 0
    if not ARTIFACT.is_file() or ARTIFACT.read_text(encoding="utf-8") != text:
        message = "is not what contracts/ compiles to: run python tools/build_artifact.py"
        print(f"{ARTIFACT.relative_to(ROOT)} {message}", file=sys.stderr)
        return 1
    return 0


def build() -> dict[str, Any]:
    """Compile the contract -> the artifact."""
    if not (ROOT / "node_modules" / "solc").is_dir():
        raise SystemExit("the compiler is not installed: run npm ci")
    pinned = json.loads((ROOT / "contracts" / "compiler.json").read_text(encoding="utf-8"))
    version = get_version_str_from_solc_binary(COMPILER)
    if not version.startswith(f"{pinned['version']}+"):
        raise SystemExit(f"npm solc is {version}, {pinned['version']} is wanted: run npm ci")

    # Every source goes in, as with hardhat: the numbering of the syntax tree can move the code.
    sources = {
        f"contracts/{path.name}": {"content": path.read_text(encoding="utf-8")}
        for path in sorted((ROOT / "contracts").glob("*.sol"))
    }
    outputs = ["abi", "evm.bytecode.object", "evm.deployedBytecode", "storageLayout"]
    compiled = compile_standard(
        {
            "language": "Solidity",
            "sources": sources,
            "settings": {**pinned["settings"], "outputSelection": {"*": {"*": outputs}}},
        },
        solc_binary=COMPILER,
    )
    contract = compiled["contracts"][f"contracts/{CONTRACT}.sol"][CONTRACT]
    if contract["evm"]["deployedBytecode"]["immutableReferences"]:
        raise SystemExit("the contract has immutables, so its code would differ between chains")
    init_code = bytes.fromhex(contract["evm"]["bytecode"]["object"])
    runtime_code = bytes.fromhex(contract["evm"]["deployedBytecode"]["object"])
    return {
        "contract": CONTRACT,
        "compiler": version,
        "settings": pinned["settings"],
        "abi": contract["abi"],
        "bytecode": _hex(init_code),
        "bytecodeHash": _hex(keccak(init_code)),
        "deployedBytecode": _hex(runtime_code),
        "deployedBytecodeHash": _hex(keccak(runtime_code)),
        "create2": {
            "deployer": DEPLOYER,
            "salt": _hex(SALT),
            "address": create2_address(bytes.fromhex(DEPLOYER[2:]), SALT, keccak(init_code)),
        },
        "storageLayout": _stable_layout(contract["storageLayout"]),
    }


def create2_address(deployer: bytes, salt: bytes, init_code_hash: bytes) -> str:
    """Where EIP-1014 puts a contract."""
    return to_checksum_address(keccak(b"\xff" + deployer + salt + init_code_hash)[12:])


def render(artifact: dict[str, Any]) -> str:
    """The artifact's text: the same for the same artifact."""
    return json.dumps(artifact, indent=2) + "\n"


def _stable_layout(layout: dict[str, Any]) -> dict[str, Any]:
    """Take out of the compiler's layout the syntax tree's numbers, which any edit moves."""
    text = re.sub(r"\)\d+_storage", ")_storage", json.dumps(layout))

    def without_id(node: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in node.items() if key != "astId"}

    stable: dict[str, Any] = json.loads(text, object_hook=without_id)
    return stable


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


if __name__ == "__main__":
    sys.exit(main())
