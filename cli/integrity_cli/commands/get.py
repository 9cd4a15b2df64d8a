"""``integrity get``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from integrity_cli import output
from integrity_cli.options import From, IpfsApi, Json, LinkText, Publisher, Rpc, reading
from integrity_cli.options import path as parse_path
from integrity_cli.values import record_link, record_value, rests_on

if TYPE_CHECKING:
    from integrity.client.getting import Got


def get(
    link: LinkText,
    *,
    target: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            parser=parse_path,
            help="The release's folder [default: PACKAGE-VERSION].",
        ),
    ] = None,
    sources: From = [],
    ipfs_api: IpfsApi = None,
    publisher: Publisher = None,
    rpc: Rpc = [],
    sidecar: Annotated[bool, typer.Option(help="Write NAME.integrity beside the folder.")] = True,
    as_json: Json = False,
) -> None:
    """Download a release, every piece of it checked.

    The folder appears whole or not at all.
    """
    from integrity.client.getting import get as run
    from integrity.errors import Interrupted
    from integrity.sources.opening import opened

    given, parsed = reading(link, rpc, publisher)
    with (
        opened(sources, given.home.store, ipfs_api) as found,
        output.progress(quiet=as_json) as report,
    ):
        try:
            result = run(given, parsed, target, sources=found, sidecar=sidecar, report=report)
        except KeyboardInterrupt:
            raise Interrupted(
                "interrupted; what was verified so far is kept",
                next="Run the same command again: it goes on where it stopped.",
            ) from None
    if as_json:
        output.emit(_value(result))
    else:
        _tell(result)


def _value(result: Got) -> dict[str, Any]:
    return {
        "verdict": result.verdict,
        "path": str(result.path),
        "link": record_link(result.record),
        "manifest": result.record.manifest.hex(),
        "content": str(result.header.content),
        "files": result.header.files,
        "size": result.header.size,
        "fetched": result.fetched,
        "sources": [
            {
                "source": tally.source.name,
                "bytes": tally.bytes,
                "pieces": tally.pieces,
                "rejected": tally.rejected,
            }
            for tally in result.sources
        ],
        **record_value(result.record),
        "warnings": result.warnings,
    }


def _tell(result: Got) -> None:
    for warning in result.warnings:
        output.note(f"warning: {warning}")
    header = result.header
    output.say(
        f"{result.verdict}  {output.place(result.path)}",
        f"  {output.number(header.files, 'file')}, {output.size(header.size)}, "
        f"of {record_link(result.record)}",
        f"  against its record as of {rests_on(result.record)}",
    )
    for tally in result.sources:
        line = f"  from {tally.source.name}: {output.number(tally.pieces, 'piece')}, "
        line += output.size(tally.bytes)
        if tally.rejected:
            line += f", {tally.rejected} REJECTED (it sent wrong bytes)"
        output.say(line)
