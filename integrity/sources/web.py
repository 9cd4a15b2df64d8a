"""A URL as a source: a trustless gateway if it answers as one, else a mirror of the files."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from integrity.ports import Order
from integrity.sources.gateway import GatewaySource
from integrity.sources.http import HttpServer
from integrity.sources.mirror import MirrorSource

_PROBE = "/ipfs/bafkqaaa?format=raw"
"""The empty block, which every gateway has (specs.ipfs.tech/http-gateways/trustless-gateway)."""


class WebSource:
    """Finds out with the first request. Safe to use from several threads."""

    is_local = False

    def __init__(self, url: str, connections: int = 4) -> None:
        self._probe = HttpServer(url, 1)
        self.name = self._probe.url
        self._most = connections
        self._lock = threading.Lock()
        self._source: GatewaySource | MirrorSource | None = None

    @property
    def connections(self) -> int:
        return self._most if self._source is None else self._source.connections

    @property
    def may_gain(self) -> bool:
        return self._source is None or self._source.may_gain

    def close(self) -> None:
        self._probe.close()
        if self._source is not None:
            self._source.close()

    def manifest(self) -> Iterator[bytes]:
        """See :meth:`MirrorSource.manifest`; a gateway has it as blocks."""
        source = self._found()
        return source.manifest() if isinstance(source, MirrorSource) else iter(())

    def fetch(self, order: Order) -> None:
        """See :class:`integrity.ports.Source`."""
        self._found().fetch(order)

    def _found(self) -> GatewaySource | MirrorSource:
        """Raises SourceError while the server cannot be asked."""
        with self._lock:
            if self._source is None:
                with self._probe.asked(_PROBE, {"accept": "application/vnd.ipld.raw"}) as answer:
                    if answer.status in {429, 502, 503, 504}:
                        raise answer.refused()
                    is_gateway = answer.status == 200 and not answer.read_into(
                        memoryview(bytearray(1))
                    )
                kind = GatewaySource if is_gateway else MirrorSource
                self._source = kind(self.name, self._most)
            return self._source
