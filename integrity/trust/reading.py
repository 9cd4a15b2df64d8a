"""What trust.toml says: whom this home believes, and what has to be shown for their releases."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

from integrity.chain.profiles import chain_of, profile_of
from integrity.core.links import IS_ALIAS
from integrity.core.names import check_package, parse_address
from integrity.errors import AddressMalformed, FormatError, UsageError
from integrity.trust.policies import parse_since, refine
from integrity.verifier.checks import Registry
from integrity.verifier.policy import Policy

ALIAS_RULE = (
    "Use 1 to 64 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit; no address."
)
_SETTINGS = (
    "chain", "publisher", "registry", "registry_code", "compromised_since", "policy", "packages",
)  # fmt: skip
_ANY = Policy()
_CODE_HASH = re.compile(r"(?:0x)?([0-9a-fA-F]{64})")


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


class Trust:
    """The file as it was when it was read; ``document`` is its TOML. Raises UsageError when it is broken, or
    says what this version does not know, of whomever: a restriction that is not understood must not be
    passed over.
    """

    def __init__(self, path: Path, document: Mapping[str, Any]) -> None:
        self._path = path
        self._check_known(document, {"policy", "publishers"}, "it")
        self._document = document
        self._tables = document.get("publishers", {})
        if not isinstance(self._tables, dict):
            raise UsageError(f"{path}: publishers is no table")
        self._entries = {alias: self._entry(alias, value) for alias, value in self._tables.items()}
        self._aliases: dict[tuple[int, str], list[str]] = {}
        for alias, entry in self._entries.items():
            self._aliases.setdefault((entry.chain_id, entry.publisher), []).append(alias)
        self._check_policies()

    def all(self) -> list[TrustedPublisher]:
        """Every entry, sorted by alias."""
        return sorted(self._entries.values(), key=lambda entry: entry.alias)

    def entries_of(self, chain_id: int, publisher: str) -> list[TrustedPublisher]:
        """Every entry of a publisher, sorted by alias."""
        return [
            self._entries[alias] for alias in sorted(self._aliases.get((chain_id, publisher), ()))
        ]

    def find(self, alias: str) -> TrustedPublisher:
        """The entry of this alias; raises UsageError when there is none."""
        if alias not in self._entries:
            raise UsageError(
                f"the trust store has no alias {alias!r}",
                next="`integrity trust list` shows those it has; `integrity trust add` adds one.",
            )
        return self._entries[alias]

    def alias_of(self, chain_id: int, publisher: str) -> str | None:
        """By what name this publisher is trusted on this chain, or None."""
        return next((entry.alias for entry in self.entries_of(chain_id, publisher)), None)

    def compromised_since(self, chain_id: int, publisher: str) -> int | None:
        """From which Unix time on a publisher's releases are refused, if any."""
        times = (entry.compromised_since for entry in self.entries_of(chain_id, publisher))
        return min((time for time in times if time is not None), default=None)

    def registry(self, chain_id: int, publisher: str, usual: Registry) -> Registry:
        """Where a publisher's releases are recorded: the ``usual`` registry, unless an entry pins another."""
        for entry in self.entries_of(chain_id, publisher):  # all that pin one pin the same
            if entry.registry is not None:
                return Registry(entry.registry, entry.registry_code or usual.code_hash)
        return usual

    def policy(self, chain_id: int, publisher: str | None = None, package: str = "") -> Policy:
        """What has to be shown for records of a package; without a publisher, for a chain's state as
        such. Raises UsageError when it names an account of another chain.
        """
        known = profile_of(chain_id)
        aliases = self._aliases.get((chain_id, publisher), ()) if publisher else ()
        policy = self._merged([self._tables[alias] for alias in aliases], package)
        if policy.max_age is None and known is not None:
            policy = replace(policy, max_age=known.max_age)
        return self._with_addresses(policy, chain_id)

    def quorum(self, chain_id: int) -> int:
        """The most nodes that any policy asks for on a chain. Raises UsageError when one of them names an
        account of another chain.
        """
        asked = [self.policy(chain_id)]
        for (chain, publisher), aliases in self._aliases.items():
            if chain == chain_id:
                asked += [
                    self.policy(chain, publisher, name)
                    for name in _packages(self._tables[alias] for alias in aliases)
                ]
        return max(policy.quorum for policy in asked)

    def _merged(self, tables: Sequence[Mapping[str, Any]], package: str) -> Policy:
        """What everybody's table says, and then a publisher's; a package's is the closest."""
        closer = [self._document.get("policy", {})]
        closer += [table.get("policy", {}) for table in tables]
        closer += [table.get("packages", {}).get(package, {}) for table in tables]
        return reduce(lambda policy, table: refine(policy, table, str(self._path)), closer, _ANY)

    def _with_addresses(self, policy: Policy, chain_id: int) -> Policy:
        """The policy with the addresses of the accounts that it names by their aliases."""
        endorsers = self._addresses(policy.endorsers, chain_id)
        delegates = policy.delegates
        if delegates is not None:
            delegates = self._addresses(delegates, chain_id)
        return replace(policy, endorsers=endorsers, delegates=delegates)

    def _addresses(self, names: Sequence[str], chain_id: int | None) -> tuple[str, ...]:
        """Each address once; an alias counts for the account that it means, on this chain if there is one."""
        what = f"a policy for chain {chain_id}"
        return tuple(dict.fromkeys(self._account(name, chain_id, what) for name in names))

    def _account(self, name: str, chain_id: int | None, what: str) -> str:
        """The address that a policy names, by an alias perhaps, on this chain if there is one."""
        entry = self._entries.get(name)
        if entry is None:
            if not name.lower().startswith("0x"):
                raise UsageError(
                    f"{self._path}: {what} names {name[:80]!r}, which is no alias of this file",
                    next=f"`integrity trust add {name[:80]} 0x…` adds it; or name the address itself.",
                )
            return self._address(name, what)
        if chain_id not in {None, entry.chain_id}:
            raise UsageError(
                f"{self._path}: {what} names {name!r}, which is an account of chain {entry.chain_id}",
                next="Name the address itself, which goes for every chain.",
            )
        return entry.publisher

    def _check_policies(self) -> None:
        """All that the file says of policies, also of those that nobody asks for now."""
        self._check_policy(self._document.get("policy", {}), "[policy]")
        for alias, table in self._tables.items():
            what, chain_id = f"[publishers.{alias}", self._entries[alias].chain_id
            if "policy" in table:
                self._check_policy(table["policy"], f"{what}.policy]", chain_id)
            packages = table.get("packages", {})
            if not isinstance(packages, dict):
                raise UsageError(f"{self._path}: {what}.packages] is no table")
            for name, settings in packages.items():
                self._check_policy(settings, f"{what}.packages.{name}]", chain_id)
                try:
                    check_package(name)
                except FormatError as error:
                    raise UsageError(
                        f"{self._path}: {what}.packages]: {error.message}", next=error.next
                    ) from error
        self._check_together()

    def _check_together(self) -> None:
        """What the tables say together: for everybody, for each publisher and each of their packages."""
        self._check_endorsers(self._merged((), ""), "[policy]")
        for (_, publisher), aliases in self._aliases.items():
            tables = [self._tables[alias] for alias in aliases]
            if len(tables) > 1:
                self._check_registries(publisher, aliases)
            if not any("policy" in table or table.get("packages") for table in tables):
                continue  # theirs is everybody's
            for name in _packages(tables):
                self._check_alike(publisher, tables, name)
                what = f" of package {name!r}" if name else ""
                self._check_endorsers(self._merged(tables, name), f"that for {publisher}{what}")

    def _check_registries(self, publisher: str, aliases: Sequence[str]) -> None:
        entries = [self._entries[alias] for alias in aliases]
        pinned = {(one.registry, one.registry_code) for one in entries if one.registry is not None}
        if len(pinned) > 1:
            raise UsageError(
                f"{self._path}: two registries are pinned for {publisher}",
                next="Say it in one of its entries only, or the same in both.",
            )

    def _check_alike(
        self, publisher: str, tables: Sequence[Mapping[str, Any]], package: str
    ) -> None:
        """Of several entries for one publisher none may take back what another one asks for: each says of
        a package what its ``packages`` say of it, or else its ``policy``.
        """
        said: dict[str, object] = {}
        for table in tables:
            own: dict[str, object] = {}
            for settings in (table.get("policy", {}), table.get("packages", {}).get(package, {})):
                for name, value in settings.items():
                    # Which block is read at is one thing, however it is said.
                    own["finality" if name == "confirmations" else name] = (name, value)
            for name, value in own.items():
                if said.setdefault(name, value) != value:
                    where = f"for its package {package!r}" if package else "in their policy"
                    raise UsageError(
                        f"{self._path}: two entries of {publisher} say different things of {name} {where}",
                        next="Say it in one of them only, or the same in both.",
                    )

    def _check_endorsers(self, policy: Policy, what: str) -> None:
        endorsers = self._addresses(policy.endorsers, None)
        if policy.endorsements > len(endorsers):
            raise UsageError(
                f"{self._path}: a policy, {what}, asks for {policy.endorsements} endorsements, and names "
                f"{len(endorsers)} endorsers",
                next="Name as many in endorsers, or ask for fewer.",
            )

    def _check_policy(self, table: object, what: str, chain_id: int | None = None) -> None:
        policy = refine(_ANY, table, f"{self._path}: {what}")
        for name in policy.endorsers:
            self._account(name, chain_id, f"{what}: endorsers")
        for name in policy.delegates or ():
            self._account(name, chain_id, f"{what}: delegates")

    def _check_known(self, table: Mapping[str, Any], known: Collection[str], what: str) -> None:
        unknown = set(table) - set(known)
        if unknown:
            raise UsageError(f"{self._path}: {what} has the unknown setting {min(unknown)!r}")

    def _entry(self, alias: str, value: object) -> TrustedPublisher:
        what = f"[publishers.{alias}]"
        chain_id = chain_of(value.get("chain")) if isinstance(value, dict) else None
        if not isinstance(value, dict) or chain_id is None:
            raise UsageError(
                f"{self._path}: {what} needs chain = <number>, or the name of a chain that is known",
                next="`integrity chain list` shows the names.",
            )
        if not IS_ALIAS.fullmatch(alias):
            raise UsageError(
                f"{self._path}: {what} is no alias that a link can say", next=ALIAS_RULE
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
            alias, chain_id, self._address(value.get("publisher", ""), what),
            None if since is None else parse_since(since, f"{self._path}: {what}"),
            None if registry is None else self._address(registry, what),
            None if match is None else bytes.fromhex(match[1]),
        )  # fmt: skip

    def _address(self, value: object, what: str) -> str:
        try:
            return parse_address(str(value))
        except AddressMalformed as error:
            raise UsageError(f"{self._path}: {what}: {error.message}") from error


def _packages(tables: Iterable[Mapping[str, Any]]) -> list[str]:
    """Every package that entries say something of by its name, after the empty name, which is any other."""
    return ["", *sorted({name for table in tables for name in table.get("packages", {})})]
