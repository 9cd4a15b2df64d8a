"""The form of an encrypted keystore (Web3 Secret Storage, version 3), checked before any work.

A key derivation's cost stands in the file itself, so whoever wrote the file decides what opening it
takes. The libraries below look keys up without regard to case and know other versions too; what is
handed to them is therefore built anew here, out of checked values alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from integrity.errors import KeyRefused, LimitExceeded

SCRYPT_MEMORY_LIMIT = 1 << 30
"""Bytes that opening a keystore may take (128 * n * r): four times what common wallets use."""

SCRYPT_PARALLEL_LIMIT = 16
PBKDF2_ROUNDS_LIMIT = 10_000_000

_KEY_LENGTH = 32
_HEX = re.compile(r"(?:0x)?([0-9a-fA-F]*)")


def checked_keystore(path: Path, value: Mapping[str, Any]) -> dict[str, Any]:
    """The keystore with nothing but its version and its crypto part. Raises KeyRefused when it is
    none, LimitExceeded when opening it would take more memory or time than a keystore may.
    """
    top = _Part(path, "the keystore", value)
    version = top.get("version")
    if type(version) is not int or version != 3:
        raise KeyRefused(
            f"{path} is a keystore of version {str(version)[:20]!r}, and only 3 is read"
        )
    crypto = _Part(path, "crypto", top.get("crypto"))
    if crypto.get("cipher") != "aes-128-ctr":
        raise KeyRefused(f"{path} is encrypted with {str(crypto.get('cipher'))[:40]!r}")
    kdf = crypto.get("kdf")
    params = _Part(path, "kdfparams", crypto.get("kdfparams"))
    if kdf == "scrypt":
        derivation = _scrypt(path, params)
    elif kdf == "pbkdf2":
        derivation = _pbkdf2(path, params)
    else:
        raise KeyRefused(f"{path} derives its key with {str(kdf)[:40]!r}, which is not supported")
    iv = _Part(path, "cipherparams", crypto.get("cipherparams")).hex("iv", 16)
    return {
        "version": 3,
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": {"iv": iv},
            "ciphertext": crypto.hex("ciphertext", _KEY_LENGTH),
            "kdf": kdf,
            "kdfparams": derivation | {"dklen": _KEY_LENGTH, "salt": params.hex("salt")},
            "mac": crypto.hex("mac", 32),
        },
    }


def _scrypt(path: Path, params: _Part) -> dict[str, Any]:
    n, r, p = (params.number(name) for name in ("n", "r", "p"))
    if 128 * n * r > SCRYPT_MEMORY_LIMIT or p > SCRYPT_PARALLEL_LIMIT:
        raise _too_much(path)
    if n < 2 or n & (n - 1):
        raise KeyRefused(f"{path} is no keystore: its n is no power of two")
    return {"n": n, "r": r, "p": p}


def _pbkdf2(path: Path, params: _Part) -> dict[str, Any]:
    c = params.number("c")
    if c > PBKDF2_ROUNDS_LIMIT:
        raise _too_much(path)
    if params.get("prf") != "hmac-sha256":
        raise KeyRefused(f"{path} is no keystore: its prf is {str(params.get('prf'))[:40]!r}")
    return {"c": c, "prf": "hmac-sha256"}


def _too_much(path: Path) -> LimitExceeded:
    return LimitExceeded(
        f"opening the keystore {path} would take more memory or time than the limits allow",
        next=f"Its scrypt may take {SCRYPT_MEMORY_LIMIT} bytes (128*n*r); re-encrypt it.",
    )


class _Part:
    """An object of the keystore, whose keys are looked up without regard to case, as wallets do."""

    def __init__(self, path: Path, name: str, value: object) -> None:
        self._path, self._name = path, name
        if not isinstance(value, Mapping):
            raise self._broken("is no object")
        self._values = {str(key).lower(): item for key, item in value.items()}
        if len(self._values) != len(value):
            raise self._broken("says something twice")
        if "dklen" in self._values and self.number("dklen") != _KEY_LENGTH:
            raise self._broken(f"asks for a key that is not of {_KEY_LENGTH} bytes")

    def get(self, name: str) -> object:
        return self._values.get(name)

    def number(self, name: str) -> int:
        value = self.get(name)
        if type(value) is not int or value < 1:
            raise self._broken(f"has no number {name}")
        return value

    def hex(self, name: str, size: int | None = None) -> str:
        value = self.get(name)
        match = _HEX.fullmatch(value) if isinstance(value, str) else None
        if match is None or len(match[1]) % 2 or (size is not None and len(match[1]) != 2 * size):
            raise self._broken(f"has no {name} in hex")
        return match[1]

    def _broken(self, what: str) -> KeyRefused:
        return KeyRefused(f"{self._path} is no keystore: {self._name} {what}")
