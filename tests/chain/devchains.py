"""Development chains for tests, and the processes behind them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil

from integrity.devchain import ticker
from integrity.devchain.chain import ChainStatus, DevelopmentChain
from integrity.home import Home

PASSWORD = "correct horse"


class Chains:
    """Chains of homes below one folder; all are stopped at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: list[DevelopmentChain] = []

    def make(self, name: str = "home") -> tuple[Home, DevelopmentChain]:
        home = Home.at(self._folder / name)
        chain = DevelopmentChain(home, block_seconds=0.2, owner=os.getpid())
        self._made.append(chain)
        return home, chain

    def stop(self) -> None:
        for chain in self._made:
            chain.stop()


def anvils_of(home: Home) -> list[int]:
    """The processes that run with this home's state."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.fspath(home.chain / "state.json") in process.cmdline():
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def wait_for_the_state_file(home: Home) -> None:
    """Until anvil has written its state once more."""
    state = home.chain / "state.json"
    before = state.stat().st_mtime_ns if state.exists() else 0
    while not state.exists() or state.stat().st_mtime_ns == before:
        time.sleep(0.05)


def tickers_of(status: ChainStatus) -> list[psutil.Process]:
    """The processes that make blocks for this anvil."""
    found = []
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
        except psutil.Error:
            continue
        if ticker.__name__ in command and str(status.pid) in command and ticker.is_alive(process):
            found.append(process)
    return found
