"""An upload into an IPFS daemon that begins while the release is still being hashed."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, wait

from integrity.client.beside import beside
from integrity.core.anycid import AnyCid, raw_cid_of_key
from integrity.core.car import car_parts, car_portions
from integrity.core.pieces import PIECE_SIZE
from integrity.ipfs.kubo import Kubo

_WAITING = 32
"""Pieces that may wait to be sent; whoever hashes them waits, too, when there are more."""

_PATIENCE = 0.2
_PATIENCE_AT_END = 5.0


class Upload:
    """Use as a context manager; leaving it before :meth:`finish` has returned breaks the upload off,
    and the daemon's garbage collection finds what it took.

    One request carries two CARs: the pieces in the order in which they are hashed, and then, when
    they are known, the nodes and the roots. The daemon collects no garbage in between.
    """

    def __init__(self, api: str) -> None:
        self._pieces: queue.Queue[tuple[bytes, bytes] | None] = queue.Queue(_WAITING)
        self._rest: Future[Iterator[bytes]] = Future()
        self._done: Future[int]
        self._broken_off = threading.Event()
        self._sent = 0
        self._api = api

    def __enter__(self) -> Upload:
        self._done = beside(self._run, "upload")
        return self

    def __exit__(self, *_: object) -> None:
        if not self._done.done():
            self._broken_off.set()
            self._rest.cancel()
            with contextlib.suppress(queue.Empty):
                while True:
                    self._pieces.get_nowait()
        self._offer(None)
        # A daemon that takes nothing more is not waited for: its connection ends by its own time.
        wait([self._done], _PATIENCE_AT_END)

    def take(self, digest: bytes, piece: bytes, stopped: Callable[[], bool]) -> None:
        """A :data:`integrity.disk.hashing.Take`. Raises as :meth:`finish` when the upload has failed."""
        self._offer((digest, piece), stopped)
        self.check()

    def check(self) -> None:
        """Raises what :meth:`finish` would, if the upload has failed by now."""
        if self._done.done():
            self._done.result()

    def _offer(
        self, item: tuple[bytes, bytes] | None, stopped: Callable[[], bool] = lambda: False
    ) -> None:
        offered = False
        while not offered and not self._done.done() and not stopped():
            with contextlib.suppress(queue.Full):
                self._pieces.put(item, timeout=_PATIENCE)
                offered = True

    def finish(
        self, roots: Sequence[AnyCid], nodes: Iterable[tuple[bytes, bytes]]
    ) -> tuple[int, int]:
        """Send the (digest, block) of all nodes, and the roots to be pinned -> how many blocks were
        sent, and how many the daemon says it took. Raises what :meth:`Kubo.import_cars` does.
        """
        self._rest.set_result(car_portions(roots, self._counted(nodes)))
        self._offer(None)
        taken = self._done.result()
        return self._sent, taken

    # --- on the upload's own thread ------------------------------------------------------------

    def _run(self) -> int:
        with Kubo(self._api) as kubo:
            return kubo.import_cars([self._first(), self._second()])

    def _first(self) -> Iterator[bytes]:
        for parts in car_parts([], self._counted(self._queued())):
            if parts and len(parts[-1]) == PIECE_SIZE:  # sent from where it is
                yield b"".join(parts[:-1])
                yield parts[-1]
            else:
                yield b"".join(parts)

    def _queued(self) -> Iterator[tuple[bytes, bytes]]:
        while (item := self._pieces.get()) is not None:
            self._refuse_to_go_on()
            yield item
        self._refuse_to_go_on()

    def _second(self) -> Iterator[bytes]:
        for portion in self._rest.result():
            self._refuse_to_go_on()
            yield portion

    def _refuse_to_go_on(self) -> None:
        """A request that lacks pieces must not look like a whole one."""
        if self._broken_off.is_set():
            raise CancelledError

    def _counted(self, blocks: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[AnyCid, bytes]]:
        """Block stores go by multihash, so a raw CID does for every kind of block."""
        for digest, block in blocks:
            self._sent += 1
            yield raw_cid_of_key(digest), block
