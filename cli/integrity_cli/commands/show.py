"""``integrity show`` and ``integrity files``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from integrity_cli import output
from integrity_cli.options import (
    Checkpoint,
    From,
    IpfsApi,
    Json,
    LinkText,
    Only,
    Publisher,
    Rpc,
    Why,
    reading,
)
from integrity_cli.values import block_value, record_link, rests_on

if TYPE_CHECKING:
    from integrity.client.session import Session
    from integrity.core.links import Link


def show(
    link: LinkText,
    *,
    checkpoint: Checkpoint = None,
    publisher: Publisher = None,
    rpc: Rpc = [],
    why: Why = False,
    as_json: Json = False,
) -> None:
    """Show a release's record, and on what it rests."""
    from integrity.client.resolving import resolve

    given, parsed = reading(link, rpc, publisher, checkpoint)
    if why:
        _explain(given, parsed, as_json=as_json)
        return
    record = resolve(given, parsed)
    alias = given.trust.alias_of(record.chain_id, record.publisher)
    if as_json:
        output.emit({
            "link": record_link(record),
            "chain_id": record.chain_id,
            "registry": record.registry,
            "publisher": record.publisher,
            "alias": alias,
            "package": record.package,
            "version": record.version,
            "manifest": record.manifest.hex(),
            "sequence": record.sequence,
            "latest": record.is_latest,
            "releases": record.head.count,
            "published_at": record.published_at,
            "by": record.by,
            "block": block_value(record.block),
            "basis": record.basis,
        })  # fmt: skip
        return
    who = f"{record.publisher} ({alias})" if alias else record.publisher
    output.say(
        record_link(record),
        f"  publisher {who}",
        f"  manifest  {record.manifest.hex()}",
        f"  release   {record.sequence} of {record.head.count}"
        + (", the latest" if record.is_latest else ""),
        f"  published {output.moment(record.published_at)} by {record.by}",
        f"  as of     {rests_on(record)}",
    )


def _explain(given: Session, link: Link, *, as_json: bool) -> None:
    """Why a record is believed, or is not: step by step."""
    from integrity.client.resolving import explain

    verdict = explain(given, link)
    error = verdict.error
    if as_json:
        output.emit({
            "link": str(link),
            "verdict": "recorded" if error is None else error.family,
            "steps": output.steps_value(verdict.steps),
            "failed": verdict.failed,
            "error": None if error is None else output.error_value(error),
        })  # fmt: skip
    else:
        output.say(str(link), *output.steps_lines(verdict.steps))
        if error is not None:
            output.say(f"  {verdict.failed} {error.family}: {error.name}")
            output.fail(error, as_json=False)
    if error is not None:
        raise typer.Exit(error.exit_code)


def files(
    link: LinkText,
    *,
    only: Only = [],
    sources: From = [],
    ipfs_api: IpfsApi = None,
    publisher: Publisher = None,
    rpc: Rpc = [],
    as_json: Json = False,
) -> None:
    """List a release's files and their sizes.

    Its manifest is in this home's store, or is fetched.
    """
    from integrity.client.listing import listing
    from integrity.core.pieces import split_digests
    from integrity.core.selection import Selection
    from integrity.sources.opening import opened

    selection = Selection(only)
    given, parsed = reading(link, rpc, publisher)
    with (
        opened(sources, given.home.store, ipfs_api) as found,
        listing(given, parsed, sources=found, only=selection) as listed,
    ):
        for entry in listed.entries:
            if as_json:
                output.emit({
                    "path": entry.path, "size": entry.size, "executable": entry.executable,
                    "pieces": [digest.hex() for digest in split_digests(entry.digests)],
                })  # fmt: skip
            else:
                mark = "x" if entry.executable else "-"
                output.say(f"{mark} {entry.size:>14,}  {entry.path}")
    if not as_json:
        output.note(
            f"{output.number(listed.files, 'file')}, {output.size(listed.size)}, of "
            f"{record_link(listed.record)}, as of {rests_on(listed.record)}"
        )
