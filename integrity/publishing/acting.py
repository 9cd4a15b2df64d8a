"""What a publisher does to the registry besides publishing: revoke, choose the latest, endorse, let others
publish, hand over.

Each is one transaction, under the same journal as a release: a crash or a lost answer never pays twice.
What stands already is not sent again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from integrity.chain.calls import encode_call, registry_call
from integrity.chain.journal import Journal
from integrity.chain.transactions import Call
from integrity.client.resolving import resolve
from integrity.client.session import Session
from integrity.core.links import Link
from integrity.core.names import parse_address
from integrity.core.registry import (
    ENDORSEMENT_KINDS,
    REVOCATION_REASONS,
    Block,
    Controller,
    check_revocation_text,
    decode_controller,
    decode_endorsement,
    decode_expiry,
    decode_head,
    decode_release,
    delegate_slot,
    endorsement_slot,
    head_slot,
    manifest_slot,
    pending_slot,
    publisher_slot,
    release_slot,
)
from integrity.errors import ReleaseNotFound, TransactionRefused, UsageError
from integrity.ports import Report
from integrity.publishing.telling import say_waiting
from integrity.publishing.writing import FINAL_SECONDS, open_writer
from integrity.verifier.checks import check_pin


@dataclass(frozen=True, slots=True)
class Acted:
    """What was done, in the name of ``by``. ``already`` says that it stood so before, and nothing was
    sent. ``transaction`` (32 bytes) is in ``block``, and cost ``fee`` wei: this run's, or one of an
    earlier run that was not known to be final. ``final`` says that the block is.
    """

    chain_id: int
    by: str
    already: bool = False
    transaction: bytes | None = None
    block: Block | None = None
    gas_used: int | None = None
    fee: int | None = None
    final: bool = False


class _Done(Exception):
    """It stands already."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Acts on one chain with one key (the default one if it is None). With ``wait`` it returns once the
    transaction is final. Every method raises KeyRefused, TransactionRefused, ChainMismatch,
    RegistryMismatch, RpcUnavailable or Unfinalized.
    """

    session: Session
    chain_id: int
    key: str | None = None
    wait: bool = True
    report: Report | None = None

    @property
    def address(self) -> str:
        """The key's own."""
        return self.session.key(self.key).address

    # --- releases ------------------------------------------------------------------------------

    def revoke(self, link: Link, reason: int, text: str = "") -> Acted:
        """Revoke a release, for good: readers get Revoked from then on. Raises ReleaseNotFound, or
        ManifestMismatch when the link pins another manifest.
        """
        if reason not in REVOCATION_REASONS:
            raise UsageError(f"{reason} is no reason for a revocation")
        check_revocation_text(text)
        names = (link.publisher, link.package, link.named_version)

        def stands() -> bool:
            release = decode_release(self._word(link.publisher, release_slot(*names)))
            if release.sequence == 0:
                raise ReleaseNotFound(f"{link} is not recorded, so it cannot be revoked")
            self._check_pin(link, release.sequence)
            if release.revocation not in {0, reason}:
                told = REVOCATION_REASONS.get(release.revocation, str(release.revocation))
                raise TransactionRefused(
                    f"{link} is revoked already (reason: {told}), and that is final"
                )
            return release.revocation == reason

        return self._do(
            link.publisher, stands, "revoke", (*names, reason, text), f"revoke {link} {reason}"
        )

    def set_latest(self, link: Link) -> Acted:
        """Make a release the one that its package's link means. Raises ReleaseNotFound, or ManifestMismatch
        when the link pins another manifest.
        """
        names = (link.publisher, link.package, link.named_version)

        def stands() -> bool:
            release = decode_release(self._word(link.publisher, release_slot(*names)))
            if release.sequence == 0:
                raise ReleaseNotFound(f"{link} is not recorded")
            self._check_pin(link, release.sequence)
            head = decode_head(self._word(link.publisher, head_slot(*names[:2])))
            return head.latest == release.sequence

        return self._do(link.publisher, stands, "setLatest", names, f"latest {link}")

    def endorse(self, link: Link, kind: int | None) -> Acted:
        """Say of a release's manifest that it was rebuilt, audited or scanned; None takes that back. The
        record is resolved and proven first. Raises what resolving raises, too.
        """
        if kind is not None and kind not in ENDORSEMENT_KINDS:
            raise UsageError(f"{kind} is no kind of endorsement")
        record = resolve(self.session, replace(link, version=link.named_version))
        slot = endorsement_slot(self.address, record.manifest)

        def stands() -> bool:
            return decode_endorsement(self._word(link.publisher, slot)).kind == (kind or 0)

        purpose = f"endorse {self.chain_id} {self.address} {record.manifest.hex()} {kind}"
        if kind is None:
            return self._do(
                link.publisher, stands, "withdrawEndorsement", (record.manifest,), purpose
            )
        return self._do(link.publisher, stands, "endorse", (record.manifest, kind), purpose)

    def _check_pin(self, link: Link, sequence: int) -> None:
        if link.pin is not None:
            slot = manifest_slot(link.publisher, link.package, sequence)
            check_pin(link, f"{link.package}@{link.version}", self._word(link.publisher, slot))

    # --- who acts ------------------------------------------------------------------------------

    def set_delegate(self, publisher: str, package: str, delegate: str, expiry: int) -> Acted:
        """Let an account publish (one package, or all for an empty name) until a Unix time."""

        def stands() -> bool:
            epoch = self.controller(publisher).epoch
            slot = delegate_slot(publisher, epoch, package, delegate)
            return decode_expiry(self._word(publisher, slot)) == expiry

        args = (publisher, package, delegate, expiry)
        return self._do(publisher, stands, "setDelegate", args, f"delegate {self.chain_id} {args}")

    def remove_delegate(self, publisher: str, delegate: str, package: str | None = None) -> Acted:
        """Take away an account's right for one package (the empty name: that for any), or in one transaction
        all that :meth:`rights` finds.
        Raises UsageError when the account controls the publisher, and so needs no right.
        """
        if self.controller(publisher).address == delegate:
            raise UsageError(
                f"{delegate} controls {publisher}, and needs no right to publish for it",
                next="Hand the publisher over with `integrity controller offer`, if that is what you want.",
            )

        def standing() -> list[str]:
            if package is None:
                return self.rights(publisher, delegate)
            return self._active(publisher, delegate, [package])

        def make() -> tuple[str, tuple[object, ...]]:
            calls = [(publisher, one, delegate, 0) for one in standing()]
            if not calls:
                raise _Done
            if len(calls) == 1:
                return "setDelegate", calls[0]
            return "multicall", ([encode_call("setDelegate", *args) for args in calls],)

        which = "*" if package is None else package
        purpose = f"undelegate {self.chain_id} {publisher} {delegate} {which}"
        return self._send(publisher, lambda: not standing(), make, purpose)

    def rights(self, publisher: str, delegate: str, package: str | None = None) -> list[str]:
        """For which packages an account may publish as a delegate at the newest block: all, as far as the
        registry's events tell; or of one package and the right for any alone, without looking at events. The
        empty name is the right for any. Raises RpcUnavailable when no node gives events.
        """
        if package is not None:
            return self._active(publisher, delegate, sorted({"", package}))
        first = self.session.config.first_block.get(self.chain_id, 0)
        told = self.session.newest(self.chain_id, publisher).delegates(publisher, first)
        asked = {"", *(package for who, package in told if who == delegate)}
        return self._active(publisher, delegate, sorted(asked))

    def _active(self, publisher: str, delegate: str, packages: Sequence[str]) -> list[str]:
        """Those of the packages for which the account has a right that has not ended."""
        view = self.session.newest(self.chain_id, publisher)
        (word,) = view.words([publisher_slot(publisher)])
        epoch = decode_controller(word, publisher).epoch
        words = view.words([delegate_slot(publisher, epoch, one, delegate) for one in packages])
        expiries = map(decode_expiry, words)
        now = view.block.timestamp
        return [one for one, until in zip(packages, expiries, strict=True) if until > now]

    def offer_control(self, publisher: str, to: str) -> Acted:
        """Offer a publisher to another account, which has to accept."""

        def stands() -> bool:
            word = self._word(publisher, pending_slot(publisher))
            return word[12:] == bytes.fromhex(parse_address(to)[2:])

        purpose = f"offer {self.chain_id} {publisher} {to}"
        return self._do(publisher, stands, "transferController", (publisher, to), purpose)

    def accept_control(self, publisher: str) -> Acted:
        """Take over a publisher that was offered; the rights of all its delegates end."""

        def stands() -> bool:
            own = self.address
            view = self.session.newest(self.chain_id, publisher)
            word, offered = view.words([publisher_slot(publisher), pending_slot(publisher)])
            if decode_controller(word, publisher).address == own:
                return True
            if offered[12:] != bytes.fromhex(own[2:]):
                raise TransactionRefused(
                    f"{publisher} was not offered to {own}",
                    next=f"Whoever controls it offers it with `integrity controller offer {own}`.",
                )
            return False

        purpose = f"accept {self.chain_id} {publisher} {self.address}"
        return self._do(publisher, stands, "acceptController", (publisher,), purpose)

    def controller(self, publisher: str) -> Controller:
        """Who acts for a publisher, at the newest block."""
        return decode_controller(self._word(publisher, publisher_slot(publisher)), publisher)

    # --- how -----------------------------------------------------------------------------------

    def _word(self, publisher: str, slot: bytes) -> bytes:
        """At the newest block: what the transaction will find."""
        (word,) = self.session.newest(self.chain_id, publisher).words([slot])
        return word

    def _do(
        self,
        publisher: str,
        stands: Callable[[], bool],
        function: str,
        args: tuple[object, ...],
        purpose: str,
    ) -> Acted:
        return self._send(publisher, stands, lambda: (function, args), purpose)

    def _send(
        self,
        publisher: str,
        stands: Callable[[], bool],
        make: Callable[[], tuple[str, tuple[object, ...]]],
        purpose: str,
    ) -> Acted:
        info = self.session.key(self.key)
        journal = Journal(self.session.home.journal)
        registry = self.session.registry(self.chain_id, publisher).address
        purpose = f"{purpose} {registry}"
        there, entry = stands(), journal.find(purpose)
        if there and entry is None:
            return Acted(self.chain_id, info.address, already=True)
        signer = self.session.signer(info)
        writer = open_writer(self.session, self.chain_id)
        mined = writer.look_up(entry) if entry is not None else None
        if entry is not None and mined is not None and not there:
            journal.remove(entry)  # it was done, and undone since
            mined = None
        if mined is None:

            def make_call() -> Call:
                if stands():  # another try of this, or another machine's, was mined meanwhile
                    raise _Done
                return registry_call(registry, *make(), purpose)

            try:
                mined = writer.send(signer, make_call)
            except _Done:
                there = True
                mined = writer.look_up(entry) if entry is not None else None
                if mined is None:
                    return Acted(self.chain_id, info.address, already=True)
        if self.wait:
            say_waiting(self.report)
            mined = writer.wait_final(mined, signer, FINAL_SECONDS)
        return Acted(
            self.chain_id, info.address, there, mined.hash, mined.block, mined.gas_used, mined.fee,
            self.wait,
        )  # fmt: skip
