"""The publisher's side of the registry: what stands there now, and one more release."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from integrity.chain.calls import registry_call
from integrity.chain.journal import Entry, Journal
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
from integrity.core.request import Request
from integrity.errors import Unfinalized
from integrity.ports import ReleasedEvent, Signer
from integrity.publishing.writing import import_writer, open_writer
from integrity.verifier.policy import FINALIZED

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
        view = self._session.newest(self._link.chain_id, self._link.publisher)
        (word,) = view.words([head_slot(self._link.publisher, self._link.package)])
        return decode_head(word)

    @property
    def registry(self) -> str:
        """The address of the contract it is recorded in."""
        return self._session.registry(self._link.chain_id, self._link.publisher).address

    def time(self) -> int:
        """Of the newest block, in Unix seconds."""
        return self._session.newest(self._link.chain_id, self._link.publisher).block.timestamp

    def count(self) -> int:
        """How many releases the package has at the newest block."""
        return self._head().count

    def standing(self, *, final: bool = False) -> Standing | None:
        """The version's record at the newest block (or at the finalized one), if there is any."""
        if final:
            try:
                view = self._session.view(self._link, FINALIZED)
            except Unfinalized:  # nothing is yet
                return None
        else:
            view = self._session.newest(self._link.chain_id, self._link.publisher)
        names = (self._link.publisher, self._link.package)
        (word,) = view.words([release_slot(*names, self._version)])
        sequence = decode_release(word).sequence
        if sequence == 0:
            return None
        (manifest,) = view.words([manifest_slot(*names, sequence)])
        return Standing(sequence, manifest)

    def event(self) -> ReleasedEvent | None:
        """The event of the version, for its transaction; None when the node does not give it."""
        view = self._session.newest(self._link.chain_id, self._link.publisher)
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

    def publishing(
        self, manifest: bytes, content: bytes, *, make_latest: bool
    ) -> Callable[[], Call]:
        """Makes the call that records the release, after as many others as there are then."""
        names = (self._link.publisher, self._link.package, self._version)
        purpose = f"publish {_named(self._link, self._version, manifest, self.registry)}"

        def make() -> Call:
            args = (*names, manifest, content, self.count(), make_latest)
            return registry_call(self.registry, "publish", args, purpose)

        return make

    def estimate(self, make_call: Callable[[], Call], sender: str) -> Estimate:
        """What recording would cost; raises what the registry or the chain would refuse it with."""
        return self._writer.estimate(make_call, sender)

    def record(self, signer: Signer, make_call: Callable[[], Call]) -> Mined:
        """Send the transaction, once, and wait until it is in a block."""
        return self._writer.send(signer, make_call)

    def wait_final(self, mined: Mined, signer: Signer, timeout: float) -> Mined:
        """Wait until the transaction is in a finalized block, then forget its journal entry."""
        return self._writer.wait_final(mined, signer, timeout)

    def wait_standing_final(self, manifest: bytes, timeout: float) -> Standing | None:
        """Wait until a record that stands already is final -> what is final then, or None when a
        reorganisation dropped it. Raises Unfinalized after ``timeout`` s.

        A transaction of an earlier run that recorded it is then taken out of the journal.
        """
        deadline = time.monotonic() + timeout
        while (final := self.standing(final=True)) is None:
            if self.standing() is None:
                return None
            if time.monotonic() > deadline:
                raise Unfinalized(
                    f"the record of {self._link} is not final after {timeout:.0f} seconds"
                )
            time.sleep(_POLL_SECONDS)
        for entry in self._entries(manifest):
            Journal(self._session.home.journal).remove(entry)
        return final

    def is_signed(self, manifest: bytes) -> bool:
        """Whether the journal has a transaction that records the release, and may yet be mined."""
        return bool(self._entries(manifest))

    def _entries(self, manifest: bytes) -> list[Entry]:
        named = _named(self._link, self._version, manifest, self.registry)
        purposes = {f"publish {named}", f"submit {named}"}
        journal = Journal(self._session.home.journal)
        return [entry for entry in journal.all() if entry.purpose in purposes]


def submit_purpose(request: Request) -> str:
    """The purpose of the transaction that records a release which somebody else signed."""
    return f"submit {_named(request.link, request.version, request.manifest, request.registry)}"


def is_for(purpose: str, package: str, version: str) -> bool:
    """Whether a transaction of this purpose records such a release."""
    return purpose.split()[3:5] == [package, version]


def _named(link: Link, version: str, manifest: bytes, registry: str) -> str:
    names = f"{link.chain_id} {link.publisher} {link.package} {version}"
    return f"{names} {manifest.hex()} {registry}"
