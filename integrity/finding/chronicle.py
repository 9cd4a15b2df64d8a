"""A package's history with all that was said of its releases."""

from __future__ import annotations

from dataclasses import dataclass

from integrity.client.session import Session
from integrity.core.links import Link
from integrity.core.registry import REVOCATION_REASONS
from integrity.finding.endorsing import Endorsement, endorsements_of
from integrity.finding.history import History, history_at
from integrity.finding.indexing import brought_up, scope_of_view
from integrity.index.reading import LatestRow, RevocationRow, latest_changes, revocations
from integrity.ports import Report
from integrity.verifier.checks import check_publisher


@dataclass(frozen=True, slots=True)
class Chronicle:
    """``history`` and ``endorsements`` (by manifest) are as the state has them. ``revocations`` (by
    sequence) and ``latest`` are events: what they tell besides is kept in no state, as a revocation's text.
    """

    history: History
    revocations: dict[int, RevocationRow]
    latest: list[LatestRow]
    endorsements: dict[bytes, list[Endorsement]]
    warnings: list[str]


def chronicle(session: Session, link: Link, report: Report | None = None) -> Chronicle:
    """All of it at one finalized block. Raises what :func:`integrity.finding.history.history` raises."""
    check_publisher(link, session.named_publisher, session.trusts(link))
    view = session.view(link)
    with brought_up(session, view, link, report) as (index, warnings):
        found = history_at(session, index, view, link)
        names = (bytes.fromhex(link.publisher[2:]), link.package, view.block.number)
        revoked = {entry.sequence: entry.revoked for entry in found.releases}
        versions = {entry.sequence: entry.version for entry in found.releases}
        scope = scope_of_view(view)
        texts = {
            row.sequence: row
            for row in revocations(index, scope, *names)
            if revoked.get(row.sequence) == REVOCATION_REASONS.get(row.reason, str(row.reason))
        }
        changes = [
            row
            for row in latest_changes(index, scope, *names)
            if versions.get(row.sequence) == row.version
        ]
        said = endorsements_of(session, index, view, [entry.manifest for entry in found.releases])
    return Chronicle(found, texts, changes, said, warnings)
