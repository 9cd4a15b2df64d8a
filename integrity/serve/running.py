"""A gateway that runs until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from integrity.errors import UsageError
from integrity.serve.denying import Denylist, default_denylist
from integrity.serve.gateway import Gateway
from integrity.serve.guard import CONNECTIONS, HEAD_SECONDS, READ_SECONDS, Guards
from integrity.serve.hosts import Hosts
from integrity.serve.routing import Provider
from integrity.store.database import Store
from integrity.store.reading import BlockReader

_STOP_SECONDS = 5
_BACKLOG = 1024
_RELOAD_SECONDS = 2.0
_IDLE_SECONDS = 75.0
_OWN_FILES = 256

_log = logging.getLogger("integrity.serve")


@dataclass(frozen=True, slots=True)
class Serving:
    """How to serve. ``port`` 0 is any free one; ``announce`` is the URL under which others reach this
    server, if not the one it listens on; ``names`` are host names it answers to on loopback.
    """

    host: str = "127.0.0.1"
    port: int = 0
    announce: str | None = None
    names: tuple[str, ...] = ()
    denylist: Path | None = None
    head_seconds: float = HEAD_SECONDS
    read_seconds: float = READ_SECONDS
    connections: int = CONNECTIONS


def run(store: Store, how: Serving, ready: Callable[[str], None]) -> None:
    """Serve until INT or TERM; ``ready`` is given the URL once connections are accepted.

    Raises UsageError when the address cannot be listened on, or the denylist cannot be read.
    """
    asyncio.run(_run(store, how, ready))


async def _run(store: Store, how: Serving, ready: Callable[[str], None]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C arrives as an exception
            loop.add_signal_handler(number, stop.set)
    async with serving(store, how) as url:
        ready(url)
        await stop.wait()


def _is_our_fault(record: logging.LogRecord) -> bool:
    """Whether something is worth a line: not what strangers send, nor that they hang up."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, (HttpProcessingError, ConnectionError))


@contextlib.asynccontextmanager
async def serving(store: Store, how: Serving) -> AsyncIterator[str]:
    """A gateway on the running loop -> its URL; it is stopped at the end."""
    if not how.host:  # which asyncio takes for all addresses of this machine
        raise UsageError(
            "there is no address to listen on in an empty --host",
            next="As 127.0.0.1; 0.0.0.0 is every address of this machine.",
        )
    denylist = Denylist(how.denylist or default_denylist(store.path))
    denylist.refresh()
    provider = Provider(how.announce) if how.announce is not None else None
    names = (*how.names, provider.host) if provider else how.names
    gateway = Gateway(store, BlockReader(store), denylist, Hosts(how.host, names))
    gateway.provider = provider
    _log.addFilter(_is_our_fault)
    runner = web.AppRunner(
        gateway.app, access_log=None, logger=_log, shutdown_timeout=_STOP_SECONDS,
        keepalive_timeout=_IDLE_SECONDS,
    )  # fmt: skip
    await runner.setup()
    assert runner.server is not None
    guards = Guards(
        runner.server, limit=min(how.connections, _files_to_open() - _OWN_FILES),
        head_seconds=how.head_seconds, read_seconds=how.read_seconds,
    )  # fmt: skip
    gateway.guards = guards
    server = None
    tasks = [asyncio.create_task(guards.watch()), asyncio.create_task(_reload(denylist))]
    try:
        server = await _listen(guards, how)
        address = server.sockets[0].getsockname()
        shown = f"[{address[0]}]" if ":" in address[0] else address[0]
        url = f"http://{shown}:{address[1]}"
        if gateway.provider is None:
            gateway.provider = Provider(url)
        yield url
    finally:
        for task in tasks:
            task.cancel()
        if server is not None:
            server.close()
        await runner.cleanup()


async def _listen(guards: Guards, how: Serving) -> asyncio.Server:
    try:
        return await asyncio.get_running_loop().create_server(
            guards.make, how.host, how.port, backlog=_BACKLOG
        )
    except (OSError, UnicodeError) as error:  # a name that the IDNA codec does not take
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"cannot listen on {how.host!r} port {how.port}: {reason}",
            next="Choose another --host or --port; --port 0 takes any that is free.",
        ) from error


async def _reload(denylist: Denylist) -> None:
    said = ""
    while True:
        await asyncio.sleep(_RELOAD_SECONDS)
        try:
            await asyncio.to_thread(denylist.refresh)
            said = ""
        except UsageError as error:
            if error.message != said:
                _log.warning("%s; what was denied before still is", error.message)
            said = error.message


def _files_to_open() -> int:
    """How many files and connections this process may have open, after asking for as many as it may."""
    if sys.platform == "win32":
        return CONNECTIONS + _OWN_FILES
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + _OWN_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else soft
