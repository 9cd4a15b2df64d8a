"""The second half of a publish that did not wait: until the record is final."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from integrity.client.receipts import ship_receipt
from integrity.client.resolving import resolve
from integrity.client.session import Session
from integrity.core.links import Link
from integrity.disk.files import named
from integrity.disk.sidecars import header_beside
from integrity.errors import Unfinalized, UsageError
from integrity.publishing.recording import Recorder
from integrity.publishing.writing import FINAL_SECONDS
from integrity.verifier.record import Record


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A record that is final."""

    record: Record
    warnings: list[str] = field(default_factory=list)


def confirm(
    session: Session, link: Link, folder: Path | None = None, *, timeout: float = FINAL_SECONDS
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
    if standing is None or recorder.wait_standing_final(standing.manifest, timeout) is None:
        raise Unfinalized(
            f"{link} is in no block of chain {link.chain_id}, or the chain dropped it",
            next="Run the same `integrity publish` again: it sends what it signed, and pays once.",
        )
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
