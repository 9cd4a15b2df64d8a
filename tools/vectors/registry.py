"""Slots, words and addresses of the registry, by eth_abi and eth_utils."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

ARTIFACT = Path(__file__).resolve().parents[2] / "integrity" / "chain" / "ContentRegistry.json"


def fill_registry(value: dict[str, Any]) -> None:
    """Keys, slots, words and addresses."""
    for case in value["keys"]:
        case.update(keys(case))
    for case in value["heads"]:
        case["word"] = head(case)
    for case in value["releases"]:
        case["word"] = release(case)
    for case in value["controllers"]:
        case.update(_controller(case))
    for case in value["endorsements"]:
        case["slot"] = hexed(endorsement_slot(case["endorser"], case["manifest"]))
        case["word"] = endorsement(case)
    for case in value["delegates"]:
        case["slot"] = _delegate_slot(case)
        case["word"] = _packed([(case["expiry"], 40), _unnamed(case, 216)])
    for case in value["verdicts"]:
        case["head"]["word"] = head(case["head"])
        case["release"]["word"] = release(case["release"])
    for case in value["create2"]:
        case["address"] = _create2(value["deployer"], case["salt"], case["init_code_hash"])
    built = artifact()
    value["deployment"] = {
        "salt": built["create2"]["salt"],
        "init_code_hash": hexed(keccak(hexstr=built["bytecode"])),
        "code_hash": hexed(keccak(hexstr=built["deployedBytecode"])),
    }
    value["deployment"]["address"] = _create2(
        value["deployer"], value["deployment"]["salt"], value["deployment"]["init_code_hash"]
    )
    for event in value["events"]:
        event["topic"] = hexed(keccak(text=event["signature"]))


def artifact() -> dict[str, Any]:
    """The contract as it ships."""
    loaded: dict[str, Any] = json.loads(ARTIFACT.read_text(encoding="utf-8"))
    return loaded


def keys(case: Mapping[str, Any]) -> dict[str, str]:
    """The keys and slots of a publisher, a package, a version and a sequence."""
    publisher, package, version = case["publisher"], case["package"], case["version"]
    package_key = keccak(encode(["address", "string"], [publisher, package]))
    release_key = keccak(encode(["bytes32", "string"], [package_key, version]))
    of_package = keccak(encode(["bytes32", "uint256"], [package_key, 3]))
    return {
        "package_key": hexed(package_key),
        "release_key": hexed(release_key),
        "publisher_slot": hexed(keccak(encode(["address", "uint256"], [publisher, 0]))),
        "head_slot": hexed(keccak(encode(["bytes32", "uint256"], [package_key, 2]))),
        "manifest_slot": hexed(
            keccak(encode(["uint256", "bytes32"], [case["sequence"], of_package]))
        ),
        "release_slot": hexed(keccak(encode(["bytes32", "uint256"], [release_key, 4]))),
    }


def head(fields: Mapping[str, Any]) -> str:
    """The word of a head."""
    return _packed([
        (fields["count"], 48), (fields["latest"], 48), (fields["updated_at"], 40),
        _unnamed(fields, 120),
    ])  # fmt: skip


def release(fields: Mapping[str, Any]) -> str:
    """The word of a release."""
    return _packed([
        (fields["sequence"], 48), (fields["published_at"], 40), (fields["revocation"], 8),
        (int(fields["by"], 16), 160),
    ])  # fmt: skip


def endorsement(fields: Mapping[str, Any]) -> str:
    """The word of an endorsement."""
    return _packed([(fields["endorsed_at"], 40), (fields["kind"], 8), _unnamed(fields, 208)])


def endorsement_slot(endorser: str, manifest: str) -> bytes:
    """``endorsements[endorser][manifest]``, in the contract's slot 5."""
    of_endorser = keccak(encode(["address", "uint256"], [endorser, 5]))
    return keccak(encode(["bytes32", "bytes32"], [unhexed(manifest), of_endorser]))


def _controller(case: Mapping[str, Any]) -> dict[str, str]:
    publisher = case["publisher"]
    fields = [(int(case["controller"], 16), 160), (case["epoch"], 48), _unnamed(case, 48)]
    return {
        "publisher_slot": hexed(keccak(encode(["address", "uint256"], [publisher, 0]))),
        "pending_slot": hexed(keccak(encode(["address", "uint256"], [publisher, 1]))),
        "word": _packed(fields),
    }


def _delegate_slot(case: Mapping[str, Any]) -> str:
    scope = bytes(32)
    if case["package"] is not None:
        scope = keccak(encode(["address", "string"], [case["publisher"], case["package"]]))
    who = (case["publisher"], case["epoch"], scope, case["delegate"])
    key = keccak(encode(["address", "uint256", "bytes32", "address"], who))
    return hexed(keccak(encode(["bytes32", "uint256"], [key, 6])))


def _unnamed(fields: Mapping[str, Any], width: int) -> tuple[int, int]:
    """The bits above those that have a name."""
    return int(fields.get("unnamed", "0x0"), 16), width


def _packed(fields: list[tuple[int, int]]) -> str:
    """A struct of one word: the first field has the lowest bits."""
    word = offset = 0
    for number, width in fields:
        word |= number << offset
        offset += width
    return hexed(word.to_bytes(32, "big"))


def _create2(deployer: str, salt: str, init_code_hash: str) -> str:
    parts = [bytes.fromhex(part[2:]) for part in (deployer, salt, init_code_hash)]
    return to_checksum_address(keccak(b"\xff" + b"".join(parts))[12:])


def unhexed(text: str) -> bytes:
    """Bytes out of hex, with or without 0x."""
    return bytes.fromhex(text.removeprefix("0x"))


def hexed(data: bytes) -> str:
    """Hex with 0x."""
    return "0x" + data.hex()
