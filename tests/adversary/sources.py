"""Sources out of memory, which do all that the port asks of one; a test says how they lie or fail."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from integrity.core.pieces import PIECE_SIZE
from integrity.errors import SourceError
from integrity.fetch.engine import Terms
from integrity.fetch.scheduler import Policy
from integrity.sources.blockwise import Blockwise, NotHere

AttackerAct = Callable[[bytes, bytes], bytes]
"""Given the digest asked for and the true block; gives what is sent, raises, or does anything else."""

AT_ONCE = Terms(policy=Policy(pause=0.001, longest=0.01))
"""As a reader who has no time to wait for anybody."""


def honest(_: bytes, block: bytes) -> bytes:
    return block


def flip(_: bytes, block: bytes) -> bytes:
    return block[:-1] + bytes((block[-1] ^ 1,)) if block else b"!"


def longer(_: bytes, block: bytes) -> bytes:
    return block + b"!"


def endless(_: bytes, block: bytes) -> bytes:
    return block + bytes(10 * PIECE_SIZE)


def shorter(_: bytes, block: bytes) -> bytes:
    return block[:-1] if block else b"!"


def nothing(_: bytes, block: bytes) -> bytes:
    return b"" if block else b"!"


def another(_: bytes, block: bytes) -> bytes:
    """The right length, and the bytes of something else."""
    return bytes(len(block)) if any(block) else b"\1" * (len(block) or 1)


def html(_: bytes, block: bytes) -> bytes:
    return b"<!doctype html><title>Sign in</title>"


LIES: list[AttackerAct] = [flip, longer, endless, shorter, nothing, another, html]


def refuse(_: bytes, block: bytes) -> bytes:
    raise SourceError("refused")


class MemorySource(Blockwise):
    """Use it from any number of threads; ``asked`` is every digest it was asked for, in order."""

    def __init__(
        self,
        blocks: Mapping[bytes, bytes],
        attacker_act: AttackerAct = honest,
        *,
        name: str = "memory",
        connections: int = 4,
    ) -> None:
        self.name = name
        self.attacker_act = attacker_act
        self.connections = connections
        self.asked: list[bytes] = []
        self.blocks = dict(blocks)
        self.closed = False
        self._lock = threading.Lock()

    def read(self, digest: bytes, buffer: memoryview) -> int:
        with self._lock:
            self.asked.append(digest)
        if digest not in self.blocks:
            raise NotHere(f"{self.name}: has not got it")
        try:
            data = self.attacker_act(digest, self.blocks[digest])
        except SourceError as error:
            raise type(error)(f"{self.name}: {error.message}") from error
        count = min(len(data), len(buffer))
        buffer[:count] = data[:count]
        return count

    def close(self) -> None:
        self.closed = True
