"""A gateway that runs until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from integrity.errors import UsageError
from integrity.serve.gateway import make_app
from integrity.store.database import Store
from integrity.store.reading import BlockReader

_STOP_SECONDS = 5


def run(store: Store, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve until INT or TERM; ``ready`` is given the URL once connections are accepted.

    ``port`` 0 is any free one. Raises UsageError when the address cannot be listened on.
    """
    asyncio.run(_run(store, host, port, ready))


def _is_our_fault(record: logging.LogRecord) -> bool:
    """Whether something is worth a line: not what strangers send, nor that they hang up."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, (HttpProcessingError, ConnectionError))


async def _run(store: Store, host: str, port: int, ready: Callable[[str], None]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C arrives as an exception
            loop.add_signal_handler(number, stop.set)
    logger = logging.getLogger("integrity.serve")
    logger.addFilter(_is_our_fault)
    runner = web.AppRunner(
        make_app(BlockReader(store)), access_log=None, logger=logger, shutdown_timeout=_STOP_SECONDS
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except (OSError, UnicodeError) as error:  # a name that the IDNA codec does not take
            reason = getattr(error, "strerror", None) or error
            raise UsageError(
                f"cannot listen on {host!r} port {port}: {reason}",
                next="Choose another --host or --port; --port 0 takes any that is free.",
            ) from error
        address = runner.addresses[0]
        shown = f"[{address[0]}]" if ":" in address[0] else address[0]
        ready(f"http://{shown}:{address[1]}")
        await stop.wait()
    finally:
        await runner.cleanup()
