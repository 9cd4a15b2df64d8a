"""``integrity mirror``: what the operator of a mirror runs all year."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from integrity_cli import output
from integrity_cli.options import (
    Announce,
    From,
    Host,
    IpfsApi,
    Json,
    LimitEach,
    LimitRate,
    Names,
    Port,
    Publisher,
    Rpc,
    session,
    terms,
)
from integrity_cli.options import path as parse_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from integrity.downloading.mirroring import Event, Mirror
    from integrity.ports import Progress

_LONGEST = 366 * 86_400


def mirror(
    links: Annotated[
        list[str],
        typer.Argument(
            metavar="LINK...", help="Packages to follow; with a version, that one release."
        ),
    ],
    *,
    folder: Annotated[
        Path,
        typer.Option(
            "-d", "--folder", metavar="FOLDER", parser=parse_path, help="Where to keep them."
        ),
    ],
    keep: Annotated[int, typer.Option(min=1, help="Releases to keep of each package.")] = 3,
    every: Annotated[
        float,
        typer.Option(
            min=1,
            max=_LONGEST,
            metavar="SECONDS",
            help="How often to look for new ones.",
        ),
    ] = 300,
    once: Annotated[
        bool, typer.Option("--once", help="Look once, serve nothing, and end.")
    ] = False,
    host: Host = "127.0.0.1",
    port: Port = 8770,
    announce: Announce = None,
    names: Names = [],
    sources: From = [],
    limit: LimitRate = None,
    limit_each: LimitEach = None,
    ipfs_api: IpfsApi = None,
    publisher: Publisher = None,
    rpc: Rpc = [],
    as_json: Json = False,
) -> None:
    """Follow packages: fetch each new release, and serve it.

    Until INT or TERM; then it stops at once, and goes on where it was the next time.
    """
    from integrity.downloading.mirroring import FAILED, Mirror
    from integrity.errors import UsageError
    from integrity.serve.running import Serving, run
    from integrity.sources.opening import opened
    from integrity.store.database import Store

    how = terms(limit, limit_each)
    given = session(rpc=rpc, publisher=publisher)
    if not sources:
        raise UsageError("no source is named to fetch releases from", next="Name one with --from.")
    parsed = [given.link(link) for link in links]
    failed: list[Event] = []
    told = 0

    def tell(event: Event) -> None:
        nonlocal told
        told += 1
        if event.what == FAILED:
            failed.append(event)
        _tell(event, as_json=as_json)

    with opened(sources, given.home.store, ipfs_api) as found, Store(given.home.store) as store:
        job = Mirror(given, parsed, folder.absolute(), keep, found, how)
        if once:
            job.round(tell)
            if not told and not as_json:
                output.say("nothing new")
            raise typer.Exit(max((e.error.exit_code for e in failed if e.error), default=0))
        follower = _Follower(job, every, tell)

        def ready(url: str) -> None:
            if as_json:
                output.emit(_value("serving", url=url))
            else:
                output.say(f"serving at {url}")
                output.finish()
            follower.start()

        try:
            run(store, Serving(host, port, announce, tuple(names)), ready)
        finally:
            follower.stop()
    if follower.crash is not None:
        raise follower.crash


def _value(
    event: str,
    link: str | None = None,
    path: str | None = None,
    *,
    url: str | None = None,
    error: dict[str, Any] | None = None,
) -> dict[str, Any]:
    return {"event": event, "url": url, "link": link, "path": path, "error": error}


def _tell(event: Event, *, as_json: bool) -> None:
    if as_json:
        error = output.error_value(event.error) if event.error else None
        output.emit(_value(event.what, str(event.link), str(event.folder), error=error))
        return
    output.say(f"{event.what}  {event.link}")
    if event.error is not None:
        output.fail(event.error, as_json=False)
    output.finish()


class _Stopped(BaseException):
    """Raised out of a download when it is to end."""


class _Follower:
    """Looks again and again, on a thread of its own. A mistake of the program ends all of it."""

    def __init__(self, job: Mirror, every: float, tell: Callable[[Event], None]) -> None:
        self.crash: BaseException | None = None
        self._job = job
        self._every = every
        self._tell = tell
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(10)

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                began = time.monotonic()
                self._job.round(self._tell, self._report)
                self._over.wait(max(0.0, self._every - (time.monotonic() - began)))
        except _Stopped:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            self.crash = error
            signal.raise_signal(signal.SIGTERM)

    def _report(self, _: Progress) -> None:
        if self._over.is_set():
            raise _Stopped
