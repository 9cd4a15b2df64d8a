"""Servers for the tests of what a hostile source may send."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from integrity.sources.gateway import GatewaySource

from .servers import RawServer, Script

Serve = Callable[[Script], RawServer]
Open = Callable[[RawServer], GatewaySource]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers that end with the test."""
    with ExitStack() as stack:
        yield lambda script: stack.enter_context(RawServer(script))


@pytest.fixture
def source_of() -> Iterator[Open]:
    """Opens sources over servers, closed with the test."""
    with ExitStack() as stack:

        def make(server: RawServer) -> GatewaySource:
            source = GatewaySource(server.url)
            stack.callback(source.close)
            return source

        yield make
