"""Makes the blocks of a development chain on which nothing happens: a process beside anvil.

anvil mines a transaction at once, but a block becomes final only when others follow it. Its own
interval mining is not used: it keeps every state it passes in memory and in the state file (ADR 6).
So this process mines a few blocks after whatever happened, one now and then otherwise, and ends
with anvil. It is run as ``python -m integrity.devchain.ticker RPC ANVIL_PID SECONDS OWNER_PID``.
"""

from __future__ import annotations

import contextlib
import sys
import time

import psutil

from integrity.chain.rpc import JsonRpc
from integrity.errors import UnavailableError

BLOCKS_TO_FINAL = 2
"""How far anvil's finalized block is behind its latest one, with slots of one block."""

IDLE_SECONDS = 30.0
"""Time between two blocks when nothing happens: the clock of the chain moves, its size hardly."""


class Pace:
    """Decides when a block is due, from the heights that are seen. Does no I/O."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._height = -1
        self._owed = 0
        self._last = float("-inf")

    def is_due(self, height: int, now: float) -> bool:
        """Whether to mine a block now, which is then taken to be done; ``height`` is the latest
        block's number, ``now`` the seconds of any steady clock.
        """
        if height != self._height:  # somebody else's block, with transactions in it
            self._height = height
            self._owed = BLOCKS_TO_FINAL
        pause = self._seconds if self._owed else max(self._seconds, IDLE_SECONDS)
        if now - self._last < pause:
            return False
        self._last = now
        self._height += 1
        self._owed = max(0, self._owed - 1)
        return True


def is_alive(process: psutil.Process) -> bool:
    """Whether this very process runs still, and not another with its number."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def run(rpc: JsonRpc, anvil: psutil.Process, owner: psutil.Process | None, seconds: float) -> None:
    """Mine until anvil has ended; end it when ``owner``, if there is one, has."""
    pace = Pace(seconds)
    while is_alive(anvil):
        if owner is not None and not is_alive(owner):
            anvil.send_signal(2)  # INT, on which it writes its state
            owner = None
        with contextlib.suppress(UnavailableError):  # busy, or about to end
            if pace.is_due(int(rpc.call("eth_blockNumber"), 16), time.monotonic()):
                rpc.call("evm_mine")
        time.sleep(seconds / 2)


def _process(text: str) -> psutil.Process:
    return psutil.Process(int(text))


if __name__ == "__main__":
    _url, _anvil, _seconds, _owner = sys.argv[1:]
    with contextlib.suppress(psutil.NoSuchProcess, KeyboardInterrupt):
        run(
            JsonRpc(_url),
            _process(_anvil),
            _process(_owner) if int(_owner) else None,
            float(_seconds),
        )
