"""Hashing files on all cores, in order, each byte read once.

Large files are cut into pieces that any worker takes; whoever finishes a piece also feeds the
whole-file digest as far as pieces are there, so both digests cost one read and all cores share
them. Small files are hashed where they stand, since handing one over costs more than hashing it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from integrity.core.pieces import DIGEST_SIZE, PIECE_SIZE, piece_count, piece_length
from integrity.disk.system import Signature, read_at, read_whole, signature

Item = TypeVar("Item")

Take = Callable[[bytes, bytes, Callable[[], bool]], None]
"""Takes the (digest, bytes) of a piece that was read, on any thread and in any order, of a file that
turns out to have changed, too. It may keep its caller waiting, until the function says to stop. What
it raises ends the hashing.
"""

SMALL = 64 << 10
_LOOK_AHEAD = 1024


class NotTaken(Exception):
    """A :data:`Take` met an error of the system."""


Give = Callable[[bytes, bytes | memoryview], None]


@dataclass(slots=True)
class Job(Generic[Item]):
    """One open file; ``fd`` is closed by the hasher, and None when there is nothing to hash.

    ``item`` is the caller's own.
    """

    item: Item
    fd: int | None
    size: int


@dataclass(slots=True)
class Hashed(Generic[Item]):
    """``digests`` as they stand in a manifest, ``whole`` the SHA-256 of a file of several pieces.

    ``length`` is how much of ``size`` could be read; ``after`` tells the file's size at the end.
    ``error`` is set instead when it could not be read.
    """

    item: Item
    size: int
    length: int = 0
    digests: bytes = b""
    whole: bytes | None = None
    after: Signature | None = None
    error: OSError | None = None


class Hasher(Generic[Item]):
    """Use as a context manager; :meth:`run` may be called once. ``take`` is given every piece."""

    def __init__(
        self, *, whole: bool, workers: int | None = None, take: Take | None = None
    ) -> None:
        self._whole = whole
        self._take = take
        self._count = workers or os.cpu_count() or 2
        self._work: queue.SimpleQueue[tuple[_Large[Item], int] | None] = queue.SimpleQueue()
        # Last in, first out: the buffer used last is still in the cache.
        self._buffers: queue.LifoQueue[bytearray] = queue.LifoQueue()
        self._threads: list[threading.Thread] = []
        self._stop = False
        self.hashed_bytes = 0

    def __enter__(self) -> Hasher[Item]:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop = True
        for _thread in self._threads:
            self._work.put(None)
            self._buffers.put(bytearray(0))
        for thread in self._threads:
            thread.join()
        with contextlib.suppress(queue.Empty):
            while True:
                unit = self._work.get_nowait()
                if unit is not None:
                    unit[0].abandon()

    def run(self, jobs: Iterable[Job[Item]]) -> Iterator[Hashed[Item]]:
        """The results in the order of the jobs, holding a bounded number of them."""
        waiting: deque[Hashed[Item] | _Large[Item]] = deque()
        open_large = 0
        for job in jobs:
            if job.fd is None:
                waiting.append(Hashed(job.item, job.size))
            elif job.size <= SMALL:
                waiting.append(self._hash_small(job, job.fd))
            else:
                waiting.append(self._begin(job, job.fd))
                open_large += 1
            while waiting and (
                isinstance(waiting[0], Hashed)
                or waiting[0].finished.is_set()
                or len(waiting) > _LOOK_AHEAD
                or open_large > self._count
            ):
                head = waiting.popleft()
                open_large -= isinstance(head, _Large)
                yield self._result(head)
        for head in waiting:
            yield self._result(head)

    def _result(self, head: Hashed[Item] | _Large[Item]) -> Hashed[Item]:
        if isinstance(head, Hashed):
            return head
        head.finished.wait()
        return head.result()

    def _hash_small(self, job: Job[Item], fd: int) -> Hashed[Item]:
        result = Hashed(job.item, job.size)
        try:
            data = read_whole(fd, job.size)
            result.length = len(data)
            result.digests = hashlib.sha256(data).digest()
            self._give(result.digests, data)
            result.after = signature(os.fstat(fd))
            self.hashed_bytes += result.length
        except OSError as error:
            result.error = error
        finally:
            os.close(fd)
        return result

    def _give(self, digest: bytes, piece: bytes | memoryview) -> None:
        if self._take is not None:
            try:
                self._take(digest, bytes(piece), lambda: self._stop)
            except OSError as error:  # no word about the file that is hashed
                raise NotTaken(str(error)) from error

    def _begin(self, job: Job[Item], fd: int) -> _Large[Item]:
        if not self._threads:
            # Two buffers a worker: one being filled, one waiting for its turn in the whole digest.
            for _ in range(2 * self._count + 2):
                self._buffers.put(bytearray(PIECE_SIZE))
            for number in range(self._count):
                thread = threading.Thread(target=self._serve, name=f"hash-{number}", daemon=True)
                thread.start()
                self._threads.append(thread)
        large = _Large(job, fd, self._whole and piece_count(job.size) > 1, self._give)
        for index in range(piece_count(job.size)):
            self._work.put((large, index))
        return large

    def _serve(self) -> None:
        while not self._stop:
            # The buffer first: so the lowest piece taken always has one, and the work moves on.
            buffer = self._buffers.get()
            unit = self._work.get()
            if unit is None or self._stop:
                self._work.put(unit)
                return
            large, index = unit
            for freed in large.hash_piece(index, buffer):
                self._buffers.put(freed)
            self.hashed_bytes += piece_length(large.job.size, index)


class _Large(Generic[Item]):
    """A file whose pieces are hashed by several threads."""

    def __init__(self, job: Job[Item], fd: int, whole: bool, give: Give) -> None:
        self.job = job
        self._give = give
        self._fd = fd
        self.finished = threading.Event()
        self._digests = bytearray(piece_count(job.size) * DIGEST_SIZE)
        self._left = piece_count(job.size)
        self._lock = threading.Lock()
        self._error: OSError | None = None
        self._broken: BaseException | None = None
        self._length = job.size
        self._after: Signature | None = None
        self._whole = hashlib.sha256() if whole else None
        self._feeding = threading.Lock()
        self._next = 0
        self._ready: dict[int, tuple[bytearray, int]] = {}

    def hash_piece(self, index: int, buffer: bytearray) -> list[bytearray]:
        """Read and hash one piece -> the buffers that are free again."""
        length = 0
        if self._error is None and self._broken is None:
            try:
                view = memoryview(buffer)[: piece_length(self.job.size, index)]
                length = read_at(self._fd, view, index * PIECE_SIZE)
                if length < len(view):
                    self._length = min(self._length, index * PIECE_SIZE + length)
                digest = hashlib.sha256(view[:length]).digest()
                self._digests[index * DIGEST_SIZE : (index + 1) * DIGEST_SIZE] = digest
                self._give(digest, view[:length])
            except OSError as error:
                self._error = error
            except BaseException as error:  # noqa: BLE001 - raised again by result
                self._broken = error
        freed = [buffer] if self._whole is None else self._feed(index, buffer, length)
        with self._lock:
            self._left -= 1
            last = self._left == 0
        if last:
            self._close()
        return freed

    def _feed(self, index: int, buffer: bytearray, length: int) -> list[bytearray]:
        """Offer a piece to the whole digest, which takes them in order."""
        assert self._whole is not None
        freed: list[bytearray] = []
        self._ready[index] = (buffer, length)
        # Whoever holds the lock feeds for all; looked at again after it is let go, so that a piece
        # offered at the last moment is not left behind.
        while self._next in self._ready and self._feeding.acquire(blocking=False):
            try:
                while (item := self._ready.pop(self._next, None)) is not None:
                    self._whole.update(memoryview(item[0])[: item[1]])
                    self._next += 1
                    freed.append(item[0])
            finally:
                self._feeding.release()
        return freed

    def _close(self) -> None:
        try:
            self._after = signature(os.fstat(self._fd))
        except OSError as error:
            self._error = error
        finally:
            os.close(self._fd)
        self.finished.set()

    def abandon(self) -> None:
        """Let go of a file that nobody will finish; called once all workers have ended."""
        if not self.finished.is_set():
            os.close(self._fd)
            self.finished.set()

    def result(self) -> Hashed[Item]:
        """Raises what a :data:`Take` raised."""
        if self._broken is not None:
            raise self._broken
        whole = None if self._whole is None else self._whole.digest()
        return Hashed(
            self.job.item, self.job.size, self._length, bytes(self._digests), whole,
            self._after, self._error,
        )  # fmt: skip
