"""Whom a home knows on a chain: those it trusts, by their aliases, and its own keys."""

from __future__ import annotations

from dataclasses import dataclass

from integrity.client.session import Session


@dataclass(frozen=True, slots=True)
class Acquaintance:
    """``aliases`` gives each trusted address its alias; ``own`` are the addresses of this home's keys."""

    aliases: dict[str, str]
    own: frozenset[str]

    @classmethod
    def of(cls, session: Session, chain_id: int) -> Acquaintance:
        """Read from the trust store, the keystore and the settings. Raises UsageError when one is broken."""
        entries = [entry for entry in session.trust.all() if entry.chain_id == chain_id]
        aliases = {entry.publisher: entry.alias for entry in reversed(entries)}
        return cls(aliases, frozenset(session.own_addresses()))

    def knows(self, address: str) -> bool:
        """Whether it is trusted or one's own."""
        return address in self.aliases or address in self.own

    @property
    def raw(self) -> list[bytes]:
        """Every address, 20 bytes each."""
        return [bytes.fromhex(address[2:]) for address in sorted({*self.aliases, *self.own})]

    def called(self, beginning: str) -> list[bytes]:
        """The addresses whose alias begins so."""
        return [
            bytes.fromhex(address[2:])
            for address, alias in self.aliases.items()
            if beginning and alias.startswith(beginning)
        ]
