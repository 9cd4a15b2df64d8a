"""The second half of a publish that did not wait: until the record is final."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from integrity.client.receipts import ship_receipt
from integrity.client.resolving import resolve
from integrity.client.session import Session
from integrity.core.links import Link
from integrity.disk.files import named
from integrity.errors import Unfinalized, UsageError
from integrity.ports import Report
from integrity.publishing.recording import Recorder
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

    Raises UsageError for a link without a version and when nothing is at ``folder``, Unfinalized after
    ``timeout`` seconds or when there is no record to wait for, and what resolving raises.
    """
    if folder is not None and not named(folder).exists():
        raise UsageError(
            f"there is nothing at {str(folder)!r} to put a receipt beside",
            next="Name what was published, or leave it out; `integrity receipt export` writes it anywhere.",
        )
    recorder = Recorder(session, link, link.named_version)
    standing = recorder.standing()
    say_waiting(report)
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
