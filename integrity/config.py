"""What this user has configured: ``config.toml``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from integrity.chain.profiles import chain_called, chain_of, parse_chain_id
from integrity.core.names import parse_address
from integrity.disk.settings import broken, change_settings, changing, load_toml, read_text
from integrity.errors import AddressMalformed, NoRpc, UsageError
from integrity.home import Home

_SETTINGS = {
    "chains", "default_chain", "default_key", "follow", "pinning", "share", "signers", "store_quota",
}  # fmt: skip
_SIZE = re.compile(r"([0-9]{1,15}) *(?:B|([KMGT])(?:iB)?)?")
_TOKEN_LIMIT = 1 << 16
_GWEI_LIMIT = 1e9
"""An ether for a unit of gas."""

_UNITS = {None: 0, "K": 10, "M": 20, "G": 30, "T": 40}


@dataclass(frozen=True, slots=True)
class PinningSettings:
    """A pinning service: its URL, and its token or the file that holds it."""

    url: str
    token: str | None = field(default=None, repr=False)
    token_file: str | None = None

    def read_token(self) -> str:
        """Raises UsageError when the file cannot be read, or there is none."""
        if self.token_file is not None:
            try:
                text = read_text(Path(self.token_file).expanduser(), _TOKEN_LIMIT).strip()
            except (RuntimeError, ValueError) as error:  # nobody's home, or a NUL
                raise UsageError(
                    f"cannot read the token file {self.token_file!r}: {error}"
                ) from error
            if not text:
                raise UsageError(f"the token file {self.token_file!r} is empty, or is not there")
            return text
        return self.token or ""


@dataclass(frozen=True, slots=True)
class SignerSettings:
    """A program that signs with a key of its own: where it listens, and the key's address."""

    name: str
    url: str = field(repr=False)
    address: str


@dataclass(frozen=True, slots=True)
class Config:
    """What ``config.toml`` says; ``rpc`` gives each chain's nodes in the order to ask them, and
    ``store_quota`` is how many bytes imported blocks may have, ``pinning`` the services by their names.
    ``share`` says that what is downloaded is offered to others. ``first_block`` is where each chain's
    registry was deployed, ``follow`` the packages whose manifests are to be known. ``max_fee`` gives what
    may be bid on a chain at the most, in wei for each unit of gas, ``signers`` the programs that sign.
    """

    path: Path
    default_chain: int | None = None
    default_key: str | None = None
    rpc: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    store_quota: int | None = None
    pinning: Mapping[str, PinningSettings] = field(default_factory=dict)
    share: bool = False
    first_block: Mapping[int, int] = field(default_factory=dict)
    follow: tuple[str, ...] = ()
    max_fee: Mapping[int, int] = field(default_factory=dict)
    signers: Mapping[str, SignerSettings] = field(default_factory=dict)

    @classmethod
    def load(cls, home: Home) -> Config:
        """Read it; an absent file says nothing. Raises UsageError that names what is wrong."""
        return cls.parse(home.config_file, load_toml(home.config_file))

    @classmethod
    def parse(cls, where: Path, value: Mapping[str, Any]) -> Config:
        """Of the TOML of a file. Raises UsageError that names what is wrong."""
        chains = value.get("chains", {})
        chain, key = value.get("default_chain"), value.get("default_key")
        quota = value.get("store_quota")
        share = value.get("share", False)
        unknown = set(value) - _SETTINGS
        if unknown:
            raise broken(where, f"has the unknown setting {min(unknown)!r}")
        if chain is not None and chain_of(chain) is None:
            raise broken(
                where, "has a default_chain that is no chain id and no name of a known chain"
            )
        if key is not None and not isinstance(key, str):
            raise broken(where, "has a default_key that is no string")
        if not isinstance(chains, dict):
            raise broken(where, "has chains that are no table")
        if not isinstance(share, bool):
            raise broken(where, "has a share that is neither true nor false")
        follow = value.get("follow", [])
        if not isinstance(follow, list) or not all(isinstance(link, str) for link in follow):
            raise broken(where, "has a follow that is no list of links")
        settings = {_chain_id(where, i): _chain(where, i, c) for i, c in chains.items()}
        if len(settings) < len(chains):
            raise broken(where, "has a chain twice, by its number and by its name")
        limits = {
            _chain_id(where, i): _max_fee(where, i, c["max_fee"])
            for i, c in chains.items()
            if "max_fee" in c
        }
        services = value.get("pinning", {})
        if not isinstance(services, dict):
            raise broken(where, "has a pinning that is no table")
        signers = value.get("signers", {})
        if not isinstance(signers, dict):
            raise broken(where, "has signers that are no table")
        return cls(
            where, chain_of(chain), key, {i: rpc for i, (rpc, _) in settings.items()},
            None if quota is None else _size(where, quota),
            {name: _pinning(where, name, entry) for name, entry in services.items()}, share,
            {i: first for i, (_, first) in settings.items()}, tuple(follow),
            limits, {name: _signer(where, name, entry) for name, entry in signers.items()},
        )  # fmt: skip

    def nodes(self, chain_id: int, given: tuple[str, ...] = ()) -> tuple[str, ...]:
        """The RPC URLs to use: those given, else INTEGRITY_RPC, else the configured ones.

        Raises NoRpc, whose ``next`` is the line to add.
        """
        nodes = named_nodes(given) or self.rpc.get(chain_id, ())
        if not nodes:
            raise NoRpc(
                f"no RPC is known for the chain {chain_id}",
                next=f"Name a node with --rpc URL, or add to {self.path}: "
                f'[chains.{chain_id}] and, below it, rpc = ["https://…"].',
            )
        return nodes


def named_nodes(given: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The RPC URLs that come before the configured ones: those given, else those of INTEGRITY_RPC."""
    return given or tuple(os.environ.get("INTEGRITY_RPC", "").split())


def set_config(home: Home, changes: Mapping[str, Any]) -> None:
    """Set top-level settings and, under ``chains``, those of single chains; keeps the rest as it is. Raises
    UsageError, and changes nothing, for what could not be read again.
    """
    path = home.config_file
    with changing(path):
        old = load_toml(path)
        Config.parse(path, old)  # a broken file is not written over
        tables: dict[tuple[str, ...], Mapping[str, Any]] = {
            (): {name: value for name, value in changes.items() if name != "chains"}
        }
        for chain_id, settings in changes.get("chains", {}).items():
            called = (name for name in old.get("chains", {}) if _known_chain(name) == chain_id)
            tables["chains", next(called, str(chain_id))] = settings
        change_settings(path, lambda new: Config.parse(path, new), tables)


def _pinning(path: Path, name: str, settings: object) -> PinningSettings:
    known = {"url", "token", "token_file"}
    if (
        not isinstance(settings, dict)
        or not set(settings) <= known
        or not all(isinstance(value, str) for value in settings.values())
        or "url" not in settings
        or ("token" in settings) == ("token_file" in settings)
    ):
        raise broken(path, f"has a [pinning.{name}] that is not a url, and a token or a token_file")
    return PinningSettings(**settings)


def _signer(path: Path, name: str, settings: object) -> SignerSettings:
    if (
        not isinstance(settings, dict)
        or set(settings) != {"url", "address"}
        or not all(isinstance(value, str) for value in settings.values())
    ):
        raise broken(path, f"has a [signers.{name}] that is not a url and an address")
    try:
        return SignerSettings(name, settings["url"], parse_address(settings["address"]))
    except AddressMalformed as error:
        raise broken(
            path, f"has a [signers.{name}] with a wrong address: {error.message}"
        ) from None


def parse_size(text: str) -> int | None:
    """Bytes out of a text such as ``20 GiB``, ``20G`` or ``20000``; None when it is none."""
    match = _SIZE.fullmatch(text)
    return None if match is None else int(match[1]) << _UNITS[match[2]]


def _size(path: Path, value: object) -> int:
    size = parse_size(str(value)) if isinstance(value, (int, str)) else None
    if size is None:
        raise broken(path, 'has a store_quota that is no size, such as "20 GiB"')
    return size


def parse_gwei(value: object) -> int | None:
    """Wei out of a number of gwei, such as 2 or 0.5; None when it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return round(value * 10**9) if 0 < value <= _GWEI_LIMIT else None


def _max_fee(path: Path, chain: str, value: object) -> int:
    limit = parse_gwei(value)
    if limit is None:
        raise broken(path, f"has [chains.{chain}] whose max_fee is no number of gwei, such as 20")
    return limit


def _chain_id(path: Path, text: str) -> int:
    number = _known_chain(text)
    if number is None:
        raise broken(
            path, f"has [chains.{text}], which is no chain id and no name of a known chain"
        )
    return number


def _known_chain(text: str) -> int | None:
    return parse_chain_id(text) or chain_called(text)


def _chain(path: Path, chain: str, settings: object) -> tuple[tuple[str, ...], int]:
    """(its nodes, the first block of its registry)."""
    if not isinstance(settings, dict):
        raise broken(path, f"has [chains.{chain}] that is no table")
    unknown = set(settings) - {"rpc", "first_block", "max_fee"}
    if unknown:
        raise broken(path, f"has the unknown setting {min(unknown)!r} in [chains.{chain}]")
    rpc = settings.get("rpc", [])
    rpc = [rpc] if isinstance(rpc, str) else rpc
    if not isinstance(rpc, list) or not all(isinstance(url, str) for url in rpc):
        raise broken(path, f"has [chains.{chain}] whose rpc is no list of URLs")
    first = settings.get("first_block", 0)
    if type(first) is not int or not 0 <= first < 1 << 53:
        raise broken(path, f"has [chains.{chain}] whose first_block is no block's number")
    return tuple(rpc), first
