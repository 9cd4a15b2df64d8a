"""What publishing left behind: in the registry's state, in the journal, on the chain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from integrity import publish
from integrity.chain.artifact import load_artifact
from integrity.client.session import Session
from integrity.core.names import keccak256
from integrity.core.registry import manifest_slot, release_slot
from integrity.publishing.publish import Published

from .nodes import Node

REGISTRY = load_artifact().address


def journal(session: Session) -> list[Any]:
    """What the journal has written down."""
    folder = session.home.journal
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def count(node: Node, publisher: str, package: str = "tool") -> int:
    """How many releases the registry has, by its state."""
    total = 0
    while int(
        node.call(
            "eth_getStorageAt",
            REGISTRY,
            "0x" + manifest_slot(publisher, package, total + 1).hex(),
            "latest",
        ),
        16,
    ):
        total += 1
    return total


def send(session: Session, folder: Path, version: str = "1.0.0", **options: Any) -> Published:
    return publish(session, folder, "tool", version, wait=False, **options)


def apart(publisher: str, package: str, version: str) -> str:
    """A version that is not recorded, whose proof parts from this one's at the root of the trie."""

    def nibble(name: str) -> int:
        return keccak256(release_slot(publisher, package, name))[0] >> 4

    return next(f"9.{n}" for n in range(1000) if nibble(f"9.{n}") != nibble(version))
