"""``integrity verify``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from integrity_cli import output
from integrity_cli.options import (
    EitherCheckpoint,
    EitherRpc,
    From,
    IpfsApi,
    Json,
    Lock,
    Only,
    Publisher,
    Why,
    known,
    session,
)
from integrity_cli.options import path as parse_path
from integrity_cli.options import receipt as read_receipt
from integrity_cli.progress import Form, Shown, shown
from integrity_cli.values import record_link, record_value, rests_on

if TYPE_CHECKING:
    from integrity.client.verifying import Verification

_SHOWN = 20
_EXIT = {"verified": 0, "failed": 4, "unknown": 3}


def verify(
    path: Annotated[Path, typer.Argument(help="The folder to check.", parser=parse_path)],
    link: Annotated[
        str | None, typer.Argument(metavar="[LINK]", help="The release it should be.")
    ] = None,
    *,
    manifest: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            parser=parse_path,
            help="Check against this manifest file, without any chain.",
        ),
    ] = None,
    receipt: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            parser=parse_path,
            help="Take the record from this receipt; ask no chain.",
        ),
    ] = None,
    lock: Lock = None,
    checkpoint: EitherCheckpoint = None,
    sources: From = [],
    ipfs_api: IpfsApi = None,
    only: Only = [],
    publisher: Publisher = None,
    rpc: EitherRpc = [],
    why: Why = False,
    progress: Shown = Form.AUTO,
    as_json: Json = False,
) -> None:
    """Hash a folder and hold it against a release's record.

    Or, with --manifest, against a manifest alone.
    """
    from integrity.client.locking import locked
    from integrity.client.verifying import verify as run
    from integrity.core.selection import Selection
    from integrity.errors import UsageError
    from integrity.sources.opening import opened

    if manifest is not None and receipt is not None:
        raise UsageError("--manifest and --receipt are two different things to check against")
    if manifest is not None and publisher is not None:
        raise UsageError(
            "--publisher says whom to believe, and a manifest file alone proves nothing about that",
            next="Name the release's link, or leave --publisher out.",
        )
    given = session(rpc=rpc, publisher=publisher, checkpoint=checkpoint)
    parsed = None if link is None or lock is not None else given.link(link)
    if lock is not None:
        if link is None:
            raise UsageError("--lock says which release of a package; name the package, too")
        given, parsed = locked(given, link, lock)
    data, told = (None, None) if receipt is None else read_receipt(receipt)
    meant = parsed or told
    if meant is not None:
        given = known(given, meant)
    with (
        output.explaining(why and not as_json),
        opened(sources, given.home.store, ipfs_api) as found,
        shown(progress, as_json=as_json) as report,
    ):
        result = run(
            given, path, parsed, manifest=manifest, receipt=data, sources=tuple(found), only=Selection(only),
            report=report,
        )  # fmt: skip
    if as_json:
        output.emit(_value(result))
    else:
        _tell(result, path, why=why)
    raise typer.Exit(_EXIT[result.verdict])


def _value(result: Verification) -> dict[str, Any]:
    return {
        "verdict": result.verdict,
        "against": result.against,
        "link": record_link(result.record) if result.record else None,
        "manifest": result.manifest.hex(),
        "content": str(result.header.content),
        "files": result.files,
        "size": result.size,
        "problems": [
            {
                "path": problem.path,
                "piece": problem.piece,
                "expected": problem.expected,
                "actual": problem.actual,
                "reason": problem.reason,
            }
            for problem in result.problems
        ],
        "extra": result.extra,
        **record_value(result.record),
        "steps": output.steps_value(result.steps),
    }


def _tell(result: Verification, path: Path, *, why: bool) -> None:
    output.say(f"{result.verdict}  {path}")
    output.say(f"  {output.number(result.files, 'file')}, {output.size(result.size)}")
    if result.record is not None:
        output.say(f"  against its record as of {rests_on(result.record)}")
    else:
        header = result.header
        output.say(
            f"  against a manifest alone: {header.package}@{header.version}, which calls "
            f"{header.publisher} its publisher; no chain was asked whether that is so"
        )
    if why:
        output.say(*output.steps_lines(result.steps))
    for problem in result.problems[:_SHOWN]:
        where = problem.path if problem.piece is None else f"{problem.path} piece {problem.piece}"
        output.say(f"  {where}: {problem.reason}")
        if problem.expected is not None:
            output.say(f"    expected {problem.expected}", f"    actual   {problem.actual}")
    if len(result.problems) > _SHOWN:
        output.say(f"  and {len(result.problems) - _SHOWN} problems more (--json has them all)")
    for extra in result.extra[:_SHOWN]:
        output.say(f"  extra, not part of the release: {extra}")
    if len(result.extra) > _SHOWN:
        output.say(f"  and {len(result.extra) - _SHOWN} extra files more (--json has them all)")
    if result.verdict == "failed":
        output.note(f"  -> {_advice(result)}")
    if result.hint:
        output.note(f"  -> {result.hint}")


def _advice(result: Verification) -> str:
    if all(problem.reason == "missing" for problem in result.problems):
        return (
            "Nothing that is there is wrong: `integrity repair` fetches what is missing. If only a part of "
            "the release is meant to be here, name that part with --only, as get was told it."
        )
    return "Do not use this data; `integrity repair` mends it, or get it into another folder."
