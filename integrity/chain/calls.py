"""Calls of the registry, encoded as its interface says (contracts/IContentRegistry.sol)."""

from __future__ import annotations

import functools

from integrity.chain.artifact import load_artifact
from integrity.chain.transactions import Call
from integrity.core.names import keccak256
from integrity.core.registry import CREATE2_PROXY


def encode_call(function: str, *args: object) -> bytes:
    """The data of a transaction that calls a function; addresses are texts, digests bytes."""
    from eth_abi.abi import encode  # 0.1 s, and only who writes needs it

    selector, types = _functions()[function]
    return selector + encode(types, args)


def registry_call(registry: str, function: str, args: tuple[object, ...], purpose: str) -> Call:
    """The transaction that calls a function of the registry at an address."""
    return Call(registry, encode_call(function, *args), purpose)


def deploy_call(chain_id: int) -> Call:
    """The registry's deployment through the deterministic proxy."""
    artifact = load_artifact()
    return Call(CREATE2_PROXY, artifact.salt + artifact.init_code, f"deploy {chain_id}")


@functools.cache
def _functions() -> dict[str, tuple[bytes, list[str]]]:
    found = {}
    for item in load_artifact().abi:
        if item["type"] == "function":
            types = [entry["type"] for entry in item["inputs"]]
            signature = f"{item['name']}({','.join(types)})"
            found[item["name"]] = keccak256(signature.encode())[:4], types
    return found
