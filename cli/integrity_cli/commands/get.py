"""``integrity get`` and ``integrity repair``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from integrity_cli import output
from integrity_cli.options import (
    Checkpoint,
    From,
    IpfsApi,
    Json,
    LimitEach,
    LimitRate,
    LinkText,
    Lock,
    Only,
    Publisher,
    Rpc,
    reading,
    terms,
)
from integrity_cli.options import path as parse_path
from integrity_cli.progress import Form, Shown, shown
from integrity_cli.values import record_link, record_value, rests_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from integrity.downloading.getting import Got
    from integrity.downloading.repairing import Repaired
    from integrity.fetch.tallies import SourceTally


def get(
    link: LinkText,
    *,
    target: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            parser=parse_path,
            help="The release's folder [default: PACKAGE-VERSION]; with --file a file, - is stdout.",
        ),
    ] = None,
    sources: From = [],
    only: Only = [],
    file: Annotated[
        str | None,
        typer.Option("--file", metavar="PATH", help="Only this one file, as bytes in their order."),
    ] = None,
    span: Annotated[
        str | None,
        typer.Option(
            "--range", metavar="FIRST-LAST", help="Of that file only these bytes, from 0."
        ),
    ] = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Exchange what stands there, in one step."),
    ] = False,
    share: Annotated[
        bool | None,
        typer.Option(
            "--share/--no-share",
            show_default=False,
            help="Offer it to others, by integrity serve, from its first piece on [default: what "
            "config.toml says].",
        ),
    ] = None,
    limit: LimitRate = None,
    limit_each: LimitEach = None,
    ipfs_api: IpfsApi = None,
    lock: Lock = None,
    checkpoint: Checkpoint = None,
    publisher: Publisher = None,
    rpc: Rpc = [],
    sidecar: Annotated[
        bool, typer.Option(help="Write NAME.integrity and NAME.receipt beside the folder.")
    ] = True,
    progress: Shown = Form.AUTO,
    as_json: Json = False,
) -> None:
    """Download a release, every piece of it checked.

    The folder appears whole or not at all.
    """
    from integrity.core.selection import Selection
    from integrity.downloading.getting import get as run
    from integrity.errors import UsageError
    from integrity.sources.opening import opened

    if file is not None:
        if only or as_json or lock is not None:
            raise UsageError("--file goes with neither --only, --lock nor --json")
        _stream(
            link, file, span, target, sources, ipfs_api, (rpc, publisher), (limit, limit_each),
            replace=replace,
        )  # fmt: skip
        return
    if str(target) == "-":
        raise UsageError(
            "- is stdout, and a release is a folder", next="Name one file with --file."
        )
    if span is not None:
        raise UsageError("--range is of one file", next="Name it with --file.")
    selection, how = Selection(only), terms(limit, limit_each)
    given, parsed = reading(link, rpc, publisher, checkpoint, lock)
    with (
        opened(sources, given.home.store, ipfs_api) as found,
        shown(progress, as_json=as_json) as report,
        _going_on(),
    ):
        result = run(
            given, parsed, target, sources=found, terms=how, only=selection, replace=replace,
            share=given.config.share if share is None else share, sidecar=sidecar, report=report,
        )  # fmt: skip
    if as_json:
        output.emit(_value(result))
    else:
        _tell(result)


@contextlib.contextmanager
def _going_on() -> Iterator[None]:
    """Say on Ctrl-C that nothing is lost."""
    from integrity.errors import Interrupted

    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(
            "interrupted; what was verified so far is kept",
            next="Run the same command again: it goes on where it stopped.",
        ) from None


def _stream(
    link: str,
    file: str,
    span: str | None,
    target: Path | None,
    sources: list[str],
    ipfs_api: str | None,
    who: tuple[list[str], str | None],
    limits: tuple[str | None, str | None],
    *,
    replace: bool,
) -> None:
    from integrity.disk.files import write_new
    from integrity.downloading.streaming import parse_span, stream
    from integrity.errors import UsageError
    from integrity.sources.opening import opened

    if target is None:
        raise UsageError("with --file the output is named", next="As -o FILE, or -o - for stdout.")
    wanted, how = parse_span(span), terms(*limits)
    given, parsed = reading(link, *who)
    with opened(sources, given.home.store, ipfs_api) as found:
        parts = stream(given, parsed, file, wanted, sources=found, terms=how)
        if str(target) == "-":
            output.emit_bytes(parts)
        else:
            size = write_new(target, parts, replace=replace)
            output.say(f"verified  {output.place(target)}", f"  {output.size(size)} of {file}")


def _value(result: Got) -> dict[str, Any]:
    return {
        "verdict": result.verdict,
        "path": str(result.path),
        "link": record_link(result.record),
        "manifest": result.record.manifest.hex(),
        "content": str(result.header.content),
        "files": result.files,
        "size": result.size,
        "present": result.present,
        "fetched": result.fetched,
        "sources": _sources(result.sources),
        **record_value(result.record),
        "steps": output.steps_value(result.steps),
        "warnings": result.warnings,
    }


def _sources(tallies: Sequence[SourceTally]) -> list[dict[str, Any]]:
    return [
        {
            "source": tally.source.name,
            "bytes": tally.bytes,
            "pieces": tally.pieces,
            "rejected": tally.rejected,
            "failures": tally.failures,
            "causes": tally.causes,
        }
        for tally in tallies
    ]


def _tell(result: Got) -> None:
    output.warn(result.warnings)
    some = "" if result.files == result.header.files else f" of {result.header.files:,}"
    output.say(
        f"{result.verdict}  {output.place(result.path)}",
        f"  {output.number(result.files, 'file')}{some}, {output.size(result.size)}, "
        f"of {record_link(result.record)}",
        f"  against its record as of {rests_on(result.record)}",
    )
    if result.sources and result.present:
        output.say(f"  in place before: {output.size(result.present)}")
    _tell_sources(result.sources)


def _tell_sources(tallies: Sequence[SourceTally]) -> None:
    for tally in tallies:
        line = f"  from {tally.source.name}: {output.number(tally.pieces, 'piece')}, "
        line += output.size(tally.bytes)
        if tally.lie is not None:
            lie = tally.lie
            line += f"; DROPPED: it sent wrong bytes for {lie['path']} piece {lie['piece']}"
        elif tally.failures:
            line += f"; it failed {output.number(tally.failures, 'time')}: {tally.causes[0]}"
        output.say(line)


def repair(
    path: Annotated[Path, typer.Argument(help="The folder to mend.", parser=parse_path)],
    link: LinkText,
    *,
    sources: From = [],
    limit: LimitRate = None,
    limit_each: LimitEach = None,
    ipfs_api: IpfsApi = None,
    publisher: Publisher = None,
    rpc: Rpc = [],
    progress: Shown = Form.AUTO,
    as_json: Json = False,
) -> None:
    """Fetch again exactly what is damaged or missing in a folder."""
    from integrity.downloading.repairing import repair as run
    from integrity.sources.opening import opened

    how = terms(limit, limit_each)
    given, parsed = reading(link, rpc, publisher)
    with (
        opened(sources, given.home.store, ipfs_api) as found,
        shown(progress, as_json=as_json) as report,
        _going_on(),
    ):
        result = run(given, path, parsed, sources=found, terms=how, report=report)
    if as_json:
        output.emit(_repaired(result))
        return
    output.warn(result.warnings)
    mended = []
    if result.pieces:
        pieces = output.number(result.pieces, "piece")
        mended.append(f"{pieces} mended, {output.size(result.bytes)}")
    if result.mended:
        mended.append(
            f"{output.number(result.mended, 'length or execute bit', 'lengths or execute bits')} put right"
        )
    output.say(
        f"verified  {output.place(result.path)}",
        f"  {'; '.join(mended) or 'nothing was damaged'}",
        f"  against its record as of {rests_on(result.record)}",
    )
    _tell_sources(result.sources)
    for extra in result.extra:
        output.say(f"  extra, not part of the release, left alone: {extra}")


def _repaired(result: Repaired) -> dict[str, Any]:
    return {
        "verdict": "verified",
        "path": str(result.path),
        "link": record_link(result.record),
        "manifest": result.record.manifest.hex(),
        "pieces": result.pieces,
        "bytes": result.bytes,
        "mended": result.mended,
        "sources": _sources(result.sources),
        "extra": result.extra,
        "warnings": result.warnings,
        **record_value(result.record),
    }
