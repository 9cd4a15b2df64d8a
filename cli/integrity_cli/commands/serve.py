"""``integrity serve``."""

from __future__ import annotations

from integrity_cli import output
from integrity_cli.options import Announce, Host, Json, Names, Port, session


def serve(
    *,
    host: Host = "127.0.0.1",
    port: Port = 8770,
    announce: Announce = None,
    names: Names = [],
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
