"""``integrity log``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integrity_cli import output
from integrity_cli.options import Json, LinkText, Publisher, Rpc, reading
from integrity_cli.progress import Form, Shown, shown
from integrity_cli.values import (
    as_of,
    block_value,
    endorsement_lines,
    endorsement_value,
    place_value,
)

if TYPE_CHECKING:
    from integrity.core.links import Link
    from integrity.finding.chronicle import Chronicle
    from integrity.finding.history import HistoryEntry


def log(
    link: LinkText,
    *,
    publisher: Publisher = None,
    rpc: Rpc = [],
    progress: Shown = Form.AUTO,
    as_json: Json = False,
) -> None:
    """List a package's releases, and what was said of them.

    Oldest first: revocations with their text, endorsements, changes of the latest. Found in an index of the
    registry's events, which is brought up to date first, and held against the chain's state.
    """
    from integrity.finding.chronicle import chronicle

    given, parsed = reading(link, rpc, publisher)
    with shown(progress, as_json=as_json) as report:
        found = chronicle(given, parsed, report)
    if as_json:
        output.emit(_value(parsed, found))
        return
    output.warn(found.warnings)
    _tell(parsed, found)


def _value(link: Link, found: Chronicle) -> dict[str, Any]:
    return {
        "chain_id": link.chain_id,
        "publisher": link.publisher,
        "package": link.package,
        "count": found.history.count,
        "releases": [_release(entry, found) for entry in found.history.releases],
        "latest_changes": [
            {
                "version": row.version,
                "sequence": row.sequence,
                "block": place_value(row.block, row.block_hash),
                "transaction": "0x" + row.transaction.hex(),
            }
            for row in found.latest
        ],
        "block": block_value(found.history.block),
        "basis": found.history.basis,
        "warnings": found.warnings,
    }


def _release(entry: HistoryEntry, found: Chronicle) -> dict[str, Any]:
    said = found.revocations.get(entry.sequence)
    return {
        "version": entry.version,
        "sequence": entry.sequence,
        "manifest": entry.manifest.hex(),
        "published_at": entry.published_at,
        "by": entry.by,
        "revoked": entry.revoked,
        "refused": entry.refused.name if entry.refused else None,
        "revocation": None
        if said is None
        else {
            "text": said.text,
            "block": place_value(said.block, said.block_hash),
            "transaction": "0x" + said.transaction.hex(),
        },
        "endorsements": [endorsement_value(one) for one in found.endorsements[entry.manifest]],
        "latest": entry.latest,
        "block": block_value(entry.block),
        "transaction": "0x" + entry.transaction.hex(),
    }


def _tell(link: Link, found: Chronicle) -> None:
    width = max((len(entry.version) for entry in found.history.releases), default=0)
    for entry in found.history.releases:
        marks = ("  latest" if entry.latest else "") + (
            f"  REVOKED ({entry.revoked})" if entry.revoked else ""
        )
        marks += f"  REFUSED here ({entry.refused.name})" if entry.refused else ""
        output.say(
            f"{entry.sequence:>5}  {entry.version:<{width}}  {output.moment(entry.published_at)}  "
            f"{entry.manifest.hex()}{marks}"
        )
        said = found.revocations.get(entry.sequence)
        if said is not None:
            text = f", in the publisher's words: {said.text}" if said.text else ""
            output.say(f"       revoked in block {said.block}{text}")
        for row in found.latest:
            if row.sequence == entry.sequence:
                output.say(f"       made the latest in block {row.block}")
        for line in endorsement_lines(found.endorsements[entry.manifest]):
            output.say(f"       {line}")
    history = found.history
    output.say(f"as of {as_of(history.block, link.chain_id, history.basis, history.finality)}")
