"""Keystores of the common forms, cheap to open."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_keyfile.keyfile import create_keyfile_json

from integrity.keys.keystore import Keystore

PASSWORD = "correct horse"
SECRET = bytes(range(1, 33))
ADDRESS: str = Account.from_key(SECRET).address

Change = Callable[[dict[str, Any]], None]
MakeFile = Callable[..., Path]


@pytest.fixture(scope="session")
def light() -> dict[str, Any]:
    """A keystore as eth_account and geth write it, with a scrypt that takes a moment only."""
    value: dict[str, Any] = create_keyfile_json(SECRET, PASSWORD.encode(), 3, "scrypt", 1024)
    return value


@pytest.fixture
def make_file(light: dict[str, Any], tmp_path: Path) -> MakeFile:
    """Writes a keystore, changed or not, to a file -> its path."""

    def make(change: Change | None = None, base: dict[str, Any] | None = None) -> Path:
        value = json.loads(json.dumps(base or light))
        if change:
            change(value)
        path = tmp_path / "given.json"
        path.write_text(json.dumps(value))
        return path

    return make


@pytest.fixture
def keystore(tmp_path: Path) -> Keystore:
    return Keystore(tmp_path / "home" / "keys")
