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
    as_json: Json = False,
) -> None:
    """Serve what this home published, as a trustless IPFS gateway, until INT or TERM."""
    from integrity.serve.running import run
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
        run(store, host, port, ready)
