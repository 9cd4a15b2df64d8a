"""``integrity serve``."""

from __future__ import annotations

from typing import Annotated

import typer

from integrity_cli import output
from integrity_cli.options import Json, session


def serve(
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port; 0 is any free one.")
    ] = 8770,
    announce: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Where others reach this server, if not there."),
    ] = None,
    names: Annotated[
        list[str],
        typer.Option("--name", metavar="HOST", help="A host name to answer to; may be repeated."),
    ] = [],
    as_json: Json = False,
) -> None:
    """Serve what this home published as a trustless IPFS gateway.

    Until INT or TERM.
    """
    from integrity.serve.running import Serving, run
    from integrity.store.database import Store

    def ready(url: str) -> None:
        if as_json:
            output.emit({"url": url})
        else:
            count = len(store.releases())
            output.say(f"serving {output.number(count, 'release')} at {url}")
            if not count:
                output.note("nothing was published from this home yet; what is, is served at once")

    with Store(session().home.store) as store:
        run(store, Serving(host, port, announce, tuple(names)), ready)
