"""The publisher's side of the registry: what stands there now, and one more release."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from integrity.chain.calls import registry_call
from integrity.chain.journal import Journal, publish_purpose
from integrity.client.beside import beside
from integrity.client.session import Session
from integrity.core.links import Link
from integrity.core.registry import (
    Head,
    decode_head,
    decode_release,
    head_slot,
    manifest_slot,
    release_slot,
)
from integrity.errors import Unfinalized
from integrity.ports import ReleasedEvent, Signer
from integrity.publishing.writing import import_writer, open_writer
from integrity.verifier.policy import FINALIZED, LATEST

if TYPE_CHECKING:
    from integrity.chain.transactions import Call, Estimate, Mined
    from integrity.chain.writer import ChainWriter

_POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Standing:
    """What the registry has of a version already."""

    sequence: int
    manifest: bytes


class Recorder:
    """Records releases of one package on one chain. Raises ChainMismatch or RegistryMismatch when
    it is made, so that nothing is read or hashed in vain.
    """

    def __init__(self, session: Session, link: Link, version: str) -> None:
        self._session = session
        self._link = link
        self._version = version
        self._reader = session.reader(link.chain_id)
        self._head()
        self._web3: ChainWriter | None = None

    def _head(self) -> Head:
        view = self._session.view(self._link, LATEST)
        (word,) = view.words([head_slot(self._link.publisher, self._link.package)])
        return decode_head(word)

    def standing(self, tag: str = LATEST) -> Standing | None:
        """The version's record at the newest block (or at the finalized one), if there is any."""
        view = self._session.view(self._link, tag)
        names = (self._link.publisher, self._link.package)
        (word,) = view.words([release_slot(*names, self._version)])
        sequence = decode_release(word).sequence
        if sequence == 0:
            return None
        (manifest,) = view.words([manifest_slot(*names, sequence)])
        return Standing(sequence, manifest)

    def event(self) -> ReleasedEvent | None:
        """The event of the version, for its transaction; None when the node does not give it."""
        view = self._session.view(self._link, LATEST)
        events = view.released(self._link.publisher, self._link.package)
        return next((event for event in events if event.version == self._version), None)

    # --- writing -------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Have the libraries that writing takes read while others are at work."""
        beside(import_writer, "import")

    @property
    def _writer(self) -> ChainWriter:
        if self._web3 is None:
            self._web3 = open_writer(self._session, self._link.chain_id, self._reader.url)
        return self._web3

    def _call(self, manifest: bytes, content: bytes, *, make_latest: bool) -> Call:
        names = (self._link.publisher, self._link.package, self._version)
        purpose = publish_purpose(self._link.chain_id, *names, manifest)
        args = (*names, manifest, content, self._head().count, make_latest)
        return registry_call("publish", args, purpose)

    def estimate(
        self, sender: str, manifest: bytes, content: bytes, *, make_latest: bool
    ) -> Estimate:
        """What recording would cost; raises what the registry or the chain would refuse it with."""
        return self._writer.estimate(
            lambda: self._call(manifest, content, make_latest=make_latest), sender
        )

    def record(
        self, signer: Signer, manifest: bytes, content: bytes, *, make_latest: bool
    ) -> Mined:
        """Send the transaction, once, and wait until it is in a block."""
        return self._writer.send(
            signer, lambda: self._call(manifest, content, make_latest=make_latest)
        )

    def wait_final(self, mined: Mined, signer: Signer, timeout: float) -> Mined:
        """Wait until the transaction is in a finalized block, then forget its journal entry."""
        return self._writer.wait_final(mined, signer, timeout)

    def wait_standing_final(self, manifest: bytes, timeout: float) -> Standing | None:
        """Wait until a record that stands already is final -> what is final then, or None when a
        reorganisation dropped it. Raises Unfinalized after ``timeout`` s.

        A transaction of an earlier run that recorded it is then taken out of the journal.
        """
        deadline = time.monotonic() + timeout
        while (final := self.standing(FINALIZED)) is None:
            if self.standing() is None:
                return None
            if time.monotonic() > deadline:
                raise Unfinalized(
                    f"the record of {self._link} is not final after {timeout:.0f} seconds"
                )
            time.sleep(_POLL_SECONDS)
        journal = Journal(self._session.home.journal)
        names = (self._link.publisher, self._link.package, self._version)
        entry = journal.find(publish_purpose(self._link.chain_id, *names, manifest))
        if entry is not None:
            journal.remove(entry)
        return final
