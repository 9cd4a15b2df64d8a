"""The keys of one home. Private keys are handled here, and read by integrity.keys.environment, alone.

A key is an encrypted v3 keystore (Web3 Secret Storage), or the key of a development chain, which is
kept without a password and signs for that chain alone. Private keys never stand in messages,
evidence or representations.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from integrity.core.names import checksum_address, keccak256, parse_address
from integrity.core.nesting import is_nested_deeper
from integrity.disk.files import locked, read_small, write_whole
from integrity.errors import AddressMalformed, IntegrityError, KeyRefused, LimitExceeded
from integrity.keys.v3 import checked_keystore

DEVELOPMENT_CHAIN = 31337

_FILE_LIMIT = 64 << 10
_PASSWORD_LIMIT = 4 << 10
_NESTING_LIMIT = 64
_LOCK_SECONDS = 60
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")

Password = Callable[[str], str]
"""Asked for a key's password only when it is needed; given the key's name."""


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key without its secret. ``development`` keys have no password."""

    name: str
    address: str
    development: bool
    path: Path


class Signer:
    """Signs with one key; what it holds never shows."""

    def __init__(self, info: KeyInfo, secret: bytes) -> None:
        self.info = info
        self.address = info.address
        self.__secret = secret

    def __repr__(self) -> str:
        return f"Signer({self.address})"

    def __reduce__(self) -> str:
        raise TypeError("a Signer is not pickled: that would write its key down")

    def sign_transaction(self, transaction: Mapping[str, Any]) -> tuple[bytes, bytes]:
        """The signed transaction and its hash, as bytes. A development key signs for 31337 alone."""
        self._check_chain(transaction.get("chainId"))
        from eth_account import Account  # 0.6 s, and only signing needs it

        signed = Account.sign_transaction(dict(transaction), self.__secret)
        return bytes(signed.raw_transaction), bytes(signed.hash)

    def sign_typed_data(self, data: Mapping[str, Any]) -> bytes:
        """The 65 bytes of an EIP-712 signature. A development key signs for 31337 alone."""
        self._check_chain(data["domain"].get("chainId"))
        from eth_account import Account

        return bytes(Account.sign_typed_data(self.__secret, full_message=dict(data)).signature)

    def _check_chain(self, chain_id: object) -> None:
        if self.info.development and chain_id != DEVELOPMENT_CHAIN:
            raise KeyRefused(
                f"the key {self.info.name!r} is kept without a password, for the development "
                f"chain {DEVELOPMENT_CHAIN} alone, and the chain id is {chain_id}",
                next="Make a key with `integrity key new`, and name it with --key.",
            )


class Keystore:
    """The folder of keys of one home."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def readable(self) -> tuple[list[KeyInfo], list[IntegrityError]]:
        """Every key that can be read, sorted by name, and what is wrong with each other file."""
        found: list[KeyInfo] = []
        problems: list[IntegrityError] = []
        for path in sorted(self._folder.glob("*.json")):
            try:
                found.append(self._info(path))
            except (KeyRefused, LimitExceeded) as error:
                problems.append(error)
        return found, problems

    def list(self) -> list[KeyInfo]:
        """Every key, sorted by name; raises KeyRefused or LimitExceeded when a file is broken."""
        found, problems = self.readable()
        if problems:
            raise problems[0]
        return found

    def addresses(self) -> set[str]:
        """The addresses of all keys that can be read; for telling one's own, not for signing."""
        found = set()
        for path in self._folder.glob("*.json"):
            with contextlib.suppress(KeyRefused, LimitExceeded):
                found.add(_address_of(path, _read(path)))
        return found

    def find(self, name: str) -> KeyInfo:
        """The key of this name or address. Raises KeyRefused when there is none, or what is wrong with a
        file that could be it.
        """
        found, problems = self.readable()
        for info in found:
            if name in (info.name, info.address, info.address.lower()):
                return info
        if problems:
            raise problems[0]
        raise KeyRefused(
            f"this home has no key {name!r}",
            next="`integrity key list` shows those it has; `integrity key new` makes one.",
        )

    def open(self, info: KeyInfo, password: Password) -> Signer:
        """Unlock a key. Raises KeyRefused for a wrong password, LimitExceeded for one that would
        take more memory or time than a keystore may.
        """
        return Signer(info, self._unlock(info, _read(info.path), password))

    def _unlock(self, info: KeyInfo, value: dict[str, Any], password: Password) -> bytes:
        if info.development:
            secret = _secret_of(info.path, value)
        else:
            secret = _decrypted(info, checked_keystore(info.path, value), password)
        if address_of_secret(info.path, secret) != info.address:
            raise KeyRefused(f"{info.path} names another address than its key has")
        return secret

    def create(self, name: str | None, password: str) -> KeyInfo:
        """A new random key, encrypted."""
        from eth_account import Account

        account = Account.create()
        return self._keep_encrypted(name, account.address, bytes(account.key), password)

    def create_development(self, name: str) -> KeyInfo:
        """A new random key for the development chain, without a password."""
        from eth_account import Account

        account = Account.create()
        value = {
            "address": account.address,
            "development_chain": DEVELOPMENT_CHAIN,
            "private_key": "0x" + bytes(account.key).hex(),
        }
        return self._keep(name, value)

    def import_file(self, name: str | None, source: Path, password: Password) -> KeyInfo:
        """Take in an encrypted v3 keystore as it is, once its password has opened it, or a file
        that holds 64 hex digits, which is then encrypted.
        """
        text = _read_text(source)
        secret = text.strip().removeprefix("0x")
        if re.fullmatch(r"[0-9a-fA-F]{64}", secret):
            raw = bytes.fromhex(secret)
            address = address_of_secret(source, raw)
            return self._keep_encrypted(name, address, raw, password(name or address))
        value = _parse(source, text)
        info = KeyInfo(name or source.stem, _address_of(source, value), False, source)
        self._unlock(info, value, password)
        return self._keep(name or info.address, value)

    def export(self, name: str) -> bytes:
        """A key's encrypted keystore as it stands in its file."""
        info = self.find(name)
        if info.development:
            raise KeyRefused(
                f"the key {info.name!r} belongs to the development chain and is not exported",
                next="Make a key with `integrity key new`.",
            )
        return info.path.read_bytes()

    def _keep_encrypted(
        self, name: str | None, address: str, secret: bytes, password: str
    ) -> KeyInfo:
        if not password:
            raise KeyRefused("a key needs a password that is not empty")
        from eth_account import Account

        try:
            value = Account.encrypt(secret, password)
        except UnicodeEncodeError:
            raise KeyRefused("the password is no text: it is not UTF-8") from None
        return self._keep(name or address, value)

    def _keep(self, name: str, value: Mapping[str, Any]) -> KeyInfo:
        if not _NAME.fullmatch(name):
            raise KeyRefused(f"not a name for a key: {name[:80]!r}", next="Use letters and digits.")
        path = self._folder / f"{name}.json"
        address = _address_of(path, value)
        if _ADDRESS.fullmatch(name) and name.lower() != address.lower():
            raise KeyRefused(f"the name {name} is the address of another key than {address}")
        with self._changing():
            if os.path.lexists(path):
                raise KeyRefused(
                    f"there is a key named {name!r} already; nothing was overwritten",
                    next="Choose another name with --name; `integrity key list` shows all.",
                )
            for known in self.list():
                if known.address == address:
                    raise KeyRefused(
                        f"this home has the key {address} already, as {known.name!r}",
                        next=f"Use it with --key {known.name}.",
                    )
            write_whole(path, json.dumps(value, indent=1).encode() + b"\n", private=True)
        return self._info(path)

    def _changing(self) -> contextlib.AbstractContextManager[None]:
        """One at a time: of two new keys with one name, neither may be overwritten."""
        busy = f"is changing the keys in {self._folder}"
        return locked(self._folder / ".lock", _LOCK_SECONDS, busy)

    def _info(self, path: Path) -> KeyInfo:
        if not path.is_file():  # a pipe would be waited for
            raise KeyRefused(f"{path} is not a regular file", next="Move it away.")
        value = _read(path)
        if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise KeyRefused(
                f"the key file {path} can be read by others",
                next=f"Run `chmod 600 {path}`; if others may have read it, replace the key.",
            )
        return KeyInfo(path.stem, _address_of(path, value), "development_chain" in value, path)


def _read_text(path: Path) -> str:
    try:
        return read_small(path, _FILE_LIMIT, pipes=True).decode("utf-8", "replace")
    except OSError as error:
        raise KeyRefused(f"cannot read the key file {path}: {error.strerror or error}") from error
    except LimitExceeded as error:
        raise LimitExceeded(f"the key file {error.message}", next=error.next) from None


def password_of(path: str) -> str:
    """The password that a file has, or a pipe that somebody writes it into. Raises KeyRefused."""
    try:
        text = read_small(path, _PASSWORD_LIMIT, pipes=True).decode().rstrip("\r\n")
        why = "it is empty"
    except LimitExceeded:
        text, why = "", f"it has more than {_PASSWORD_LIMIT:,} bytes"
    except UnicodeDecodeError:
        text, why = "", "it is not UTF-8"
    except OSError as error:
        text, why = "", str(error.strerror or error)
    if not text:
        raise KeyRefused(
            f"cannot read the password file {path!r}: {why}",
            next="INTEGRITY_PASSWORD_FILE names it: a text file with the password alone.",
        )
    return text


def _read(path: Path) -> dict[str, Any]:
    return _parse(path, _read_text(path))


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        value = None if is_nested_deeper(text.encode(), _NESTING_LIMIT) else json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise KeyRefused(
            f"{path} is no keystore: it is not a JSON object",
            next="A key is read from a v3 keystore (JSON), or from a file of 64 hex digits.",
        )
    return value


def _address_of(path: Path, value: Mapping[str, Any]) -> str:
    text = str(value.get("address", ""))
    try:
        return parse_address(text if text.startswith("0x") else "0x" + text.lower())
    except AddressMalformed as error:
        raise KeyRefused(f"{path} is no keystore: {error.message}") from None


def address_of_secret(path: Path, secret: bytes) -> str:
    """The address of a private key that stands at ``path``. Raises KeyRefused when it is none."""
    from coincurve import PublicKey  # what eth_account uses, without its half a second

    try:
        public = PublicKey.from_secret(secret).format(compressed=False)
    except ValueError:
        raise KeyRefused(f"{path} holds no valid private key") from None
    return checksum_address(keccak256(public[1:])[12:])


def _secret_of(path: Path, value: Mapping[str, Any]) -> bytes:
    text = str(value.get("private_key", ""))
    if not re.fullmatch(r"0x[0-9a-f]{64}", text):
        raise KeyRefused(f"the development key {path} is damaged")
    return bytes.fromhex(text[2:])


def _decrypted(info: KeyInfo, value: dict[str, Any], password: Password) -> bytes:
    given = password(info.name)
    from eth_account import Account

    try:
        return bytes(Account.decrypt(value, given))
    except ValueError:
        # The library's own text could hold what was typed; it is not passed on.
        raise KeyRefused(
            f"the key {info.name!r} does not open: the password is wrong, or the file is damaged",
            next="Try again; the password is asked for, or read from INTEGRITY_PASSWORD_FILE.",
        ) from None
