"""An upload into an IPFS daemon that begins while the release is still being hashed."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future

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
        self._done: Future[int] = Future()
        self._sent = 0
        self._thread = threading.Thread(target=self._run, args=(api,), name="upload", daemon=True)

    def __enter__(self) -> Upload:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self._done.done():
            self._rest.cancel()
            with contextlib.suppress(queue.Empty):
                while True:
                    self._pieces.get_nowait()
        self._offer(None)
        # A daemon that takes nothing more is not waited for: its connection ends by its own time.
        self._thread.join(_PATIENCE_AT_END)

    def take(self, digest: bytes, piece: bytes, stopped: Callable[[], bool]) -> None:
        """A :data:`integrity.disk.hashing.Take`. What becomes of the upload is said at its end."""
        self._offer((digest, piece), stopped)

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

    def _run(self, api: str) -> None:
        try:
            with Kubo(api) as kubo:
                self._done.set_result(kubo.import_cars([self._first(), self._second()]))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            self._done.set_exception(error)

    def _first(self) -> Iterator[bytes]:
        for parts in car_parts([], self._counted(iter(self._pieces.get, None))):
            if parts and len(parts[-1]) == PIECE_SIZE:  # sent from where it is
                yield b"".join(parts[:-1])
                yield parts[-1]
            else:
                yield b"".join(parts)

    def _second(self) -> Iterator[bytes]:
        yield from self._rest.result()

    def _counted(self, blocks: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[AnyCid, bytes]]:
        """Block stores go by multihash, so a raw CID does for every kind of block."""
        for digest, block in blocks:
            self._sent += 1
            yield raw_cid_of_key(digest), block
