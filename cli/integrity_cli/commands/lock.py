"""``integrity lock``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from integrity_cli import output
from integrity_cli.options import Checkpoint, Json, Publisher, Rpc, known, session
from integrity_cli.options import path as parse_path


def lock(
    links: Annotated[
        list[str], typer.Argument(metavar="LINK...", help="Releases, or packages for their latest.")
    ],
    *,
    target: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            parser=parse_path,
            help="The lock file [default: integrity.lock].",
        ),
    ] = None,
    checkpoint: Checkpoint = None,
    publisher: Publisher = None,
    rpc: Rpc = [],
    as_json: Json = False,
) -> None:
    """Write down which releases are meant, to the byte.

    get and verify take nothing else with --lock.
    """
    from integrity.client.locking import lock as run

    target = target or Path("integrity.lock")
    given = session(rpc=rpc, publisher=publisher, checkpoint=checkpoint)
    parsed = [given.link(link) for link in links]
    pinned = run([(known(given, link), link) for link in parsed], target)
    if as_json:
        output.emit({"path": str(target.absolute()), "links": [str(link) for link in pinned]})
        return
    output.say(f"locked in {output.place(target)}", *(f"  {link}" for link in pinned))
