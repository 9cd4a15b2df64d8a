"""The compiled registry, as it ships: its address, its code and its interface."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib import resources
from typing import Any

from integrity.core.registry import create2_address
from integrity.verifier.checks import Registry


@dataclass(frozen=True, slots=True)
class Artifact:
    """``init_code`` is what the deployment proxy is sent behind ``salt``."""

    abi: list[dict[str, Any]]
    init_code: bytes
    init_code_hash: bytes
    code_hash: bytes
    salt: bytes

    @property
    def address(self) -> str:
        """Where the registry stands on every chain (EIP-1014)."""
        return create2_address(self.salt, self.init_code_hash)

    @property
    def registry(self) -> Registry:
        """What the verifier has to know of it."""
        return Registry(self.address, self.code_hash)


@functools.cache
def load_artifact() -> Artifact:
    """Read it out of the package."""
    text = resources.files("integrity.chain").joinpath("ContentRegistry.json").read_text("utf-8")
    value = json.loads(text)
    return Artifact(
        value["abi"],
        bytes.fromhex(value["bytecode"][2:]),
        bytes.fromhex(value["bytecodeHash"][2:]),
        bytes.fromhex(value["deployedBytecodeHash"][2:]),
        bytes.fromhex(value["create2"]["salt"][2:]),
    )
