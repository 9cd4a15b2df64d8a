"""Policies as ``trust.toml`` writes them: for everybody, for a publisher, for one of its packages.

What a closer table says counts, setting by setting. A setting that is not understood is refused: it may
have been a restriction.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeGuard

from integrity.chain.profiles import seconds
from integrity.core.registry import ENDORSEMENT_KINDS
from integrity.errors import UsageError
from integrity.verifier.policy import ENDORSERS_LIMIT, FINALIZED, LATEST, SAFE, Policy

_TIME_LIMIT = 253_402_300_800
"""The first Unix second after the year 9999, beyond which no date can be shown."""


def refine(policy: Policy, table: object, what: str) -> Policy:
    """The policy with what a table says. Raises UsageError that names ``what`` is wrong."""
    if not isinstance(table, dict):
        raise UsageError(f"{what} is no table")
    if "finality" in table and "confirmations" in table:
        raise UsageError(
            f"{what} has both finality and confirmations, which are two answers to one question",
            next="Leave one of them out.",
        )
    for name, value in table.items():
        if name not in _SETTINGS:
            raise UsageError(f"{what} has the unknown setting {name!r}")
        read, meant = _SETTINGS[name]
        changes = read(value)
        if changes is None:
            raise UsageError(f"{what}: {name} = {_shown(value)} is not {meant}")
        policy = replace(policy, **changes)
    return policy


def _shown(value: object) -> str:
    """A value about as TOML writes it."""
    return str(value).lower() if isinstance(value, bool) else repr(value)[:80]


def parse_since(value: object, what: str) -> int:
    """A time as TOML writes it, or Unix seconds. Raises UsageError."""
    since = None
    if type(value) is int:
        since = value
    elif isinstance(value, dt.datetime) and value.tzinfo is not None:
        since = int(value.timestamp())
    if since is not None and 0 <= since < _TIME_LIMIT:
        return since
    raise UsageError(
        f"{what}: compromised_since is no time with a zone", next="As 2026-11-01T00:00:00Z."
    )


def _finality(value: object) -> Mapping[str, Any] | None:
    if isinstance(value, str) and value in {FINALIZED, SAFE, LATEST}:
        return {"finality": value, "confirmations": None}
    return None


def _confirmations(value: object) -> Mapping[str, Any] | None:
    return {"confirmations": value} if type(value) is int and 0 < value < 1 << 20 else None


def _quorum(value: object) -> Mapping[str, Any] | None:
    return {"quorum": value} if type(value) is int and 0 < value <= 100 else None


def _max_age(value: object) -> Mapping[str, Any] | None:
    age = seconds(value)
    return None if age is None else {"max_age": age}


def _proofs(value: object) -> Mapping[str, Any] | None:
    if isinstance(value, str) and value in {"required", "optional"}:
        return {"unproven": value == "optional"}
    return None


def _endorsements(value: object) -> Mapping[str, Any] | None:
    return {"endorsements": value} if type(value) is int and 0 <= value <= 100 else None


def _endorsers(value: object) -> Mapping[str, Any] | None:
    if not _is_texts(value) or len(value) > ENDORSERS_LIMIT:
        return None
    return {"endorsers": tuple(value)}


def _kinds(value: object) -> Mapping[str, Any] | None:
    numbers = {name: number for number, name in ENDORSEMENT_KINDS.items()}
    if not value or not _is_texts(value) or not set(value) <= set(numbers):
        return None
    return {"endorsement_kinds": tuple(numbers[name] for name in value)}


def _delegates(value: object) -> Mapping[str, Any] | None:
    return {"delegates": tuple(value)} if _is_texts(value) else None


def _is_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


_SETTINGS: dict[str, tuple[Callable[[object], Mapping[str, Any] | None], str]] = {
    "finality": (_finality, '"finalized", "safe" or "latest"'),
    "confirmations": (_confirmations, "a number of blocks"),
    "quorum": (_quorum, "a number of nodes"),
    "max_age": (_max_age, 'a time such as "90 min", "2 h" or "1 d"'),
    "proofs": (_proofs, '"required" or "optional"'),
    "endorsements": (_endorsements, "a number of endorsers"),
    "endorsers": (_endorsers, f"a list of at most {ENDORSERS_LIMIT} addresses and aliases"),
    "endorsement_kinds": (_kinds, f"a list of {', '.join(ENDORSEMENT_KINDS.values())}"),
    "delegates": (_delegates, "a list of addresses and aliases"),
}
"""What each setting changes in a policy, and what it has to be."""
