"""Whom this home believes: an alias for each publisher, kept in ``trust.toml``.

A record proves who says something, never that they should be believed; that is this file's part.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from integrity.chain.profiles import is_chain_id, profile_of
from integrity.core.links import ALIAS
from integrity.core.names import parse_address
from integrity.errors import AddressMalformed, UsageError
from integrity.home import (
    Home,
    changing,
    load_toml,
    read_text,
    subtable,
    write_settings,
)
from integrity.trust.policies import parse_since, refine
from integrity.verifier.policy import Policy
from integrity.verifier.record import Registry

_ALIAS = re.compile(ALIAS)
_SETTINGS = (
    "chain", "publisher", "registry", "registry_code", "compromised_since", "policy", "packages",
)  # fmt: skip
_CODE_HASH = re.compile(r"(?:0x)?([0-9a-fA-F]{64})")
_ALIAS_RULE = (
    "Use 1 to 64 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit; no address."
)


@dataclass(frozen=True, slots=True)
class TrustedPublisher:
    """One entry: who is meant by ``alias``, on which chain. ``compromised_since`` is the Unix time from
    which on their releases are refused. ``registry`` is where their releases are recorded, if not in the
    registry at its one address, and ``registry_code`` the Keccak-256 of its code, if that is another.
    """

    alias: str
    chain_id: int
    publisher: str
    compromised_since: int | None = None
    registry: str | None = None
    registry_code: bytes | None = None


class TrustStore:
    """The entries of one home; every change is written at once."""

    def __init__(self, home: Home) -> None:
        self._path = home.trust_file

    def all(self) -> list[TrustedPublisher]:
        """Every entry, sorted by alias. Raises UsageError when the file is broken, or says what
        this version does not know: a restriction that is not understood must not be passed over.
        """
        table = self._publishers(self._document())
        return sorted(
            (self._entry(alias, value) for alias, value in table.items()), key=lambda e: e.alias
        )

    def _document(self) -> dict[str, Any]:
        document = load_toml(self._path)
        self._check_known(document, {"policy", "publishers"}, "it")
        return document

    def _publishers(self, document: Mapping[str, Any]) -> dict[str, Any]:
        table = document.get("publishers", {})
        if not isinstance(table, dict):
            raise UsageError(f"{self._path}: publishers is no table")
        return table

    def _check_known(self, table: Mapping[str, Any], known: Collection[str], what: str) -> None:
        unknown = set(table) - set(known)
        if unknown:
            raise UsageError(f"{self._path}: {what} has the unknown setting {min(unknown)!r}")

    def _entry(self, alias: str, value: object) -> TrustedPublisher:
        what = f"[publishers.{alias}]"
        if not isinstance(value, dict) or not is_chain_id(value.get("chain")):
            raise UsageError(f"{self._path}: {what} needs chain = <number>")
        if not _ALIAS.fullmatch(alias):
            raise UsageError(
                f"{self._path}: {what} is no alias that a link can say", next=_ALIAS_RULE
            )
        self._check_known(value, _SETTINGS, what)
        since = value.get("compromised_since")
        registry, code = value.get("registry"), value.get("registry_code")
        match = None if code is None else _CODE_HASH.fullmatch(str(code))
        if code is not None and (match is None or registry is None):
            raise UsageError(
                f"{self._path}: {what}: registry_code is the Keccak-256 of the code at registry, in hex"
            )
        return TrustedPublisher(
            alias, value["chain"], self._address(value.get("publisher", ""), what),
            None if since is None else parse_since(since, f"{self._path}: {what}"),
            None if registry is None else self._address(registry, what),
            None if match is None else bytes.fromhex(match[1]),
        )  # fmt: skip

    def _address(self, value: object, what: str) -> str:
        try:
            return parse_address(str(value))
        except AddressMalformed as error:
            raise UsageError(f"{self._path}: {what}: {error.message}") from error

    def find(self, alias: str) -> TrustedPublisher:
        """The entry of this alias; raises UsageError when there is none."""
        for entry in self.all():
            if entry.alias == alias:
                return entry
        raise UsageError(
            f"the trust store has no alias {alias!r}",
            next="`integrity trust list` shows those it has; `integrity trust add` adds one.",
        )

    def alias_of(self, chain_id: int, publisher: str) -> str | None:
        """By what name this publisher is trusted on this chain, or None."""
        for entry in self.all():
            if (entry.chain_id, entry.publisher) == (chain_id, publisher):
                return entry.alias
        return None

    def compromised_since(self, chain_id: int, publisher: str) -> int | None:
        """From which Unix time on a publisher's releases are refused, if any."""
        times = [
            entry.compromised_since
            for entry in self.all()
            if (entry.chain_id, entry.publisher) == (chain_id, publisher)
            and entry.compromised_since is not None
        ]
        return min(times, default=None)

    def registry(self, chain_id: int, publisher: str, usual: Registry) -> Registry:
        """Where a publisher's releases are recorded: the ``usual`` registry, unless an entry pins another.
        Raises UsageError when two entries pin different ones.
        """
        pinned = {
            Registry(entry.registry, entry.registry_code or usual.code_hash)
            for entry in self.all()
            if (entry.chain_id, entry.publisher) == (chain_id, publisher)
            and entry.registry is not None
        }
        if len(pinned) > 1:
            raise UsageError(f"{self._path}: two registries are pinned for {publisher}")
        return pinned.pop() if pinned else usual

    def policy(self, chain_id: int, publisher: str | None = None, package: str = "") -> Policy:
        """What has to be shown for records of a package; without a publisher, for a chain's state as
        such. Raises UsageError when the file is broken.
        """
        document = self._document()
        known = profile_of(chain_id)
        policy = Policy(max_age=known.max_age if known else None)
        policy = refine(policy, document.get("policy", {}), f"{self._path}: [policy]")
        theirs = {
            f"{self._path}: [publishers.{alias}": value
            for alias, value in self._publishers(document).items()
            if self._is_of(alias, value, chain_id, publisher)
        }
        for what, value in theirs.items():
            policy = refine(policy, value.get("policy", {}), f"{what}.policy]")
        for (
            what,
            value,
        ) in theirs.items():  # a package's is closer than whatever is said of its publisher
            packages = value.get("packages", {})
            if not isinstance(packages, dict):
                raise UsageError(f"{what}.packages] is no table")
            for name, table in packages.items():
                refined = refine(policy, table, f"{what}.packages.{name}]")
                policy = refined if name == package else policy
        return self._with_addresses(policy, chain_id)

    def _is_of(self, alias: str, value: object, chain_id: int, publisher: str | None) -> bool:
        entry = self._entry(alias, value)
        return (entry.chain_id, entry.publisher) == (chain_id, publisher)

    def _with_addresses(self, policy: Policy, chain_id: int) -> Policy:
        """The policy with the addresses of the accounts that it names by their aliases."""
        endorsers = self._addresses(policy.endorsers, chain_id)
        if policy.endorsements > len(endorsers):
            raise UsageError(
                f"{self._path}: a policy asks for {policy.endorsements} endorsements, and names "
                f"{len(endorsers)} endorsers"
            )
        delegates = policy.delegates
        if delegates is not None:
            delegates = self._addresses(delegates, chain_id)
        return replace(policy, endorsers=endorsers, delegates=delegates)

    def _addresses(self, names: Sequence[str], chain_id: int) -> tuple[str, ...]:
        """Each address once; an alias counts for the account that it means on this chain."""
        found: dict[str, None] = {}
        for name in names:
            if not _ALIAS.fullmatch(name):
                try:
                    found[parse_address(name)] = None
                except AddressMalformed as error:
                    raise UsageError(f"{self._path}: a policy names {error.message}") from error
                continue
            entry = self.find(name)
            if entry.chain_id != chain_id:
                raise UsageError(
                    f"{self._path}: a policy for chain {chain_id} names {name!r}, which is an account of "
                    f"chain {entry.chain_id}"
                )
            found[entry.publisher] = None
        return tuple(found)

    def add(self, *entries: TrustedPublisher) -> None:
        """Add entries, all of them or none; an alias that means somebody else already is refused
        (UsageError).
        """
        import tomlkit  # only those who write need it

        for entry in entries:
            if not _ALIAS.fullmatch(entry.alias):
                raise UsageError(f"not an alias: {entry.alias[:80]!r}", next=_ALIAS_RULE)
        with changing(self._path):
            new = [entry for entry in entries if not self._is_known(entry)]
            if not new:
                return
            document = tomlkit.parse(read_text(self._path))
            publishers = subtable(document, "publishers", is_super_table=True)
            for entry in new:
                subtable(publishers, entry.alias).update(
                    {"chain": entry.chain_id, "publisher": entry.publisher}
                )
            write_settings(self._path, tomlkit.dumps(document))

    def _is_known(self, entry: TrustedPublisher) -> bool:
        """Raises UsageError when its alias means somebody else."""
        known = next((one for one in self.all() if one.alias == entry.alias), None)
        if known is None:
            return False
        if (known.chain_id, known.publisher) != (entry.chain_id, entry.publisher):
            raise UsageError(
                f"the alias {entry.alias!r} means {known.publisher} on chain {known.chain_id}",
                next="Choose another alias, or remove that one first.",
            )
        return True

    def remove(self, alias: str) -> TrustedPublisher:
        """Take an entry out and return it; raises UsageError when there is none."""
        import tomlkit  # only those who write need it

        self.find(alias)  # a home that has nothing gets no file for that
        with changing(self._path):
            entry = self.find(alias)
            document = tomlkit.parse(read_text(self._path))
            del document["publishers"][alias]
            write_settings(self._path, tomlkit.dumps(document))
        return entry
