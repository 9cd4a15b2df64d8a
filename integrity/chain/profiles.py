"""Chain profiles: what is known of chains beforehand, in ``profiles.toml``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from integrity.core.links import CHAIN_ID_LIMIT
from integrity.errors import UsageError

_CHAIN_ID = re.compile(r"[1-9][0-9]{0,15}")
_TIME = re.compile(r"([0-9]{1,9}) ?(s|min|h|d)")
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Profile:
    """One chain. ``block``, ``lag`` and ``max_age`` are in seconds, ``window`` is a number of blocks; what
    they mean stands in the file.
    """

    name: str
    chain_id: int
    title: str
    block: float
    lag: float
    window: int
    proofs: bool
    max_age: float | None

    @property
    def is_provable(self) -> bool:
        """Whether a node with its usual settings can prove the state of the newest final block."""
        return self.proofs and self.window * self.block >= self.lag

    @property
    def remedy(self) -> str:
        """What to do where a node proves nothing of a final block."""
        loosely = 'or write proofs = "optional" into trust.toml, and the verdict says that it is unproven.'
        if not self.proofs:
            return f"The state of {self.title} cannot be proven in this way (EIP-1186): {loosely}"
        kept = f"Most nodes prove the newest {self.window} blocks, {duration(self.window * self.block)}"
        final = f"the newest final block of {self.title} is usually {duration(self.lag)} old"
        if self.is_provable:
            return f"{kept}, and {final}: name another node with --rpc."
        return (
            f"{kept}, but {final}: name a node that keeps older state (an archive node); {loosely}"
        )


@cache
def profiles() -> Mapping[int, Profile]:
    """Every profile by its chain id, in the order of the file."""
    text = resources.files("integrity.chain").joinpath("profiles.toml").read_text("utf-8")
    found = (
        Profile(
            name, table["id"], table["title"], float(table["block"]), seconds(table["lag"]) or 0,
            table["window"], table.get("proofs", True), seconds(table.get("max_age")),
        )
        for name, table in tomllib.loads(text).items()
    )  # fmt: skip
    return {profile.chain_id: profile for profile in found}


def profile_of(chain_id: int) -> Profile | None:
    """What is known of a chain, if anything is."""
    return profiles().get(chain_id)


def is_chain_id(value: object) -> bool:
    """Whether a value can be the id of a chain (EIP-155), as links write it."""
    return type(value) is int and 0 < value <= CHAIN_ID_LIMIT


def parse_chain_id(text: str) -> int | None:
    """A chain id out of its decimal digits, or None when it is none."""
    return int(text) if _CHAIN_ID.fullmatch(text) and is_chain_id(int(text)) else None


def chain_called(name: str) -> int | None:
    """The chain id of a chain that is known by this name, in any case, or None."""
    return next((one.chain_id for one in profiles().values() if one.name == name.lower()), None)


def chain_of(value: object) -> int | None:
    """The chain id that settings mean: a number, or the name of a chain that is known; None when it is
    neither.
    """
    if isinstance(value, str):
        return chain_called(value)
    return value if isinstance(value, int) and is_chain_id(value) else None


def parse_chain(text: str) -> int:
    """The chain id out of a chain's name or number. Raises UsageError."""
    found = parse_chain_id(text) or chain_called(text)
    if found is not None:
        return found
    raise UsageError(
        f"{text[:80]!r} is neither a chain id nor the name of a chain that is known here",
        next="`integrity chain list` shows the names; any other chain goes by its number.",
    )


def seconds(value: object) -> float | None:
    """A time such as ``90 min``; None when it is none."""
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    return None if match is None else float(int(match[1]) * _SECONDS[match[2]])


def duration(time: float) -> str:
    """Seconds in the largest unit that fits: ``26 min``."""
    for unit in ("d", "h", "min"):
        if time >= 2 * _SECONDS[unit]:
            return f"{time / _SECONDS[unit]:.0f} {unit}"
    return f"{time:.0f} s"
