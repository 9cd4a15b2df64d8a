"""The second half of a publish that did not wait: until the record is final."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from integrity.chain.journal import Entry, Journal
from integrity.client.receipts import ship_receipt
from integrity.client.resolving import resolve
from integrity.client.session import Session
from integrity.core.links import Link
from integrity.disk.files import named
from integrity.disk.sidecars import header_beside
from integrity.errors import Unfinalized, UsageError
from integrity.ports import Report
from integrity.publishing.batching import is_batch
from integrity.publishing.recording import Recorder, is_for
from integrity.publishing.telling import say_waiting
from integrity.publishing.writing import FINAL_SECONDS
from integrity.verifier.record import Record


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A record that is final."""

    record: Record
    warnings: list[str] = field(default_factory=list)


def confirm(
    session: Session,
    link: Link,
    folder: Path | None = None,
    *,
    timeout: float = FINAL_SECONDS,
    report: Report | None = None,
) -> Confirmed:
    """Wait until a release's record is final, and forget its transaction; then put the receipt beside its
    folder, if there is one.

    Raises UsageError for a link without a version and when nothing, or another release, is at ``folder``,
    Unfinalized after ``timeout`` seconds or when there is no record to wait for, and what resolving raises.
    """
    if folder is not None:
        _check_is(link, named(folder))
    recorder = Recorder(session, link, link.named_version)
    standing = recorder.standing()
    if standing is not None:
        say_waiting(report)
    if standing is None or recorder.wait_standing_final(standing.manifest, timeout) is None:
        raise _absent(session, link)
    own = replace(session, publisher=session.publisher or link.publisher)
    confirmed = Confirmed(resolve(own, link))
    if folder is not None:
        ship_receipt(own, confirmed.record.link, folder, confirmed.warnings)
    return confirmed


def _check_is(link: Link, folder: Path) -> None:
    """Raises UsageError when nothing is there, or the manifest beside it is of another release: its receipt
    must not be overwritten.
    """
    if not folder.exists():
        raise UsageError(
            f"there is nothing at {str(folder)!r} to put a receipt beside",
            next="Name what was published, or leave it out; `integrity receipt export` writes it anywhere.",
        )
    with suppress(OSError):  # whoever cannot read it can be given a receipt
        told = header_beside(folder)
        if told is not None and (told.publisher, told.package, told.version) != (
            link.publisher,
            link.package,
            link.named_version,
        ):
            raise UsageError(
                f"the manifest beside {str(folder)!r} is of {told.package}@{told.version} of "
                f"{told.publisher}, not of {link}",
                next="Name what was published as this release, or leave it out.",
            )


def _absent(session: Session, link: Link) -> Unfinalized:
    """Why there is no record to wait for, as far as this home can tell."""
    where = f"{link} is in no block of chain {link.chain_id}, or the chain dropped it"
    if any(_may_record(entry, link) for entry in Journal(session.home.journal).all()):
        return Unfinalized(
            where,
            next="Run the same `integrity publish` again: it sends what it signed, and pays once.",
        )
    return Unfinalized(
        f"{where}; and this home has signed nothing that would record it",
        next="Look at the name and the version: `integrity log` lists those that are recorded, and "
        "`integrity publish` records one.",
    )


def _may_record(entry: Entry, link: Link) -> bool:
    """Whether a transaction may record a release; a batch's does not tell of which versions it is."""
    words = entry.purpose.split()
    if is_batch(entry.purpose):
        return entry.chain_id == link.chain_id and link.publisher in words
    return is_for(entry.purpose, link.package, link.named_version) and words[1:3] == [
        str(link.chain_id),
        link.publisher,
    ]
