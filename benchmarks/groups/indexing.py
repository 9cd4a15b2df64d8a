"""Searching a registry's index, and reading the events into it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.measuring import Row
from benchmarks.setting import Bench
from tests.chain.anvils import Anvil, running_anvil, with_registry

VERSIONS, BATCH, BATCHES = 10, 120, 8
"""Releases of each package, releases in each transaction, transactions in each block."""


def indexing(bench: Bench) -> Iterator[Row]:
    """A million releases searched; a hundred thousand events read from a node."""
    count = bench.count(1_000_000)
    file = bench.work / "index.db"
    filled = _run("fill", file, count)
    for kind, taken in _run("search", file).items():
        worst = f"{taken['median']:.1f} ms (slowest of 31: {taken['slowest']:.1f} ms)"
        yield Row(f"search {count:,} releases: {kind}", worst, "", None, "≤ 50 ms")
    yield Row(
        f"put {count:,} releases into the index, each of a new package",
        f"{count / filled['seconds']:,.0f} /s, {filled['size'] >> 20} MiB", "", None, "",
    )  # fmt: skip
    events = bench.count(100_000)
    with running_anvil(bench.work, "--disable-block-gas-limit", "--hardfork", "prague") as anvil:
        with_registry(anvil)
        publish(anvil, events)
        taken = [
            _run("sync", bench.work / f"home-{number}", anvil.url) for number in range(bench.rounds)
        ]
    assert all(one["events"] >= events for one in taken)
    taken.sort(key=lambda one: one["seconds"])
    median = taken[len(taken) // 2]
    job = f"read {median['events']:,.0f} events from a node on loopback"
    speed = median["events"] / median["seconds"]
    yield Row(job, f"{speed:,.0f} /s", "", None, "≥ 10,000 /s")
    each = median["cpu"] / median["events"] * 1e6
    yield Row(f"processor: {job}", f"{each:.0f} µs an event", "", None, "")
    most = max(one["memory"] for one in taken)
    yield Row(f"memory: {job}", f"{most:.0f} MiB", "", None, "≤ 200 MiB")


def publish(anvil: Anvil, events: int) -> None:
    """So many releases on a chain, and final."""
    from web3 import Web3

    from integrity.chain.artifact import load_artifact

    artifact = load_artifact()
    contract = Web3().eth.contract(abi=artifact.abi)
    sender = Web3.to_checksum_address("0x" + "a1" * 20)
    anvil.fund(sender, 10**30)
    anvil.call("anvil_impersonateAccount", sender)
    anvil.hold()
    made = 0
    while made < events:
        for _ in range(BATCHES):
            calls = []
            for number in range(made, made + BATCH):
                names = (sender, f"package-{number // VERSIONS:07}", f"1.{number % VERSIONS}.0")
                digest = Web3.keccak(text=f"{number}")
                args = [*names, digest, digest, number % VERSIONS, True]
                calls.append(contract.encode_abi("publish", args))
            data = contract.encode_abi("multicall", [calls])
            gas = hex(200_000 * BATCH)
            anvil.call(
                "eth_sendTransaction",
                {"from": sender, "to": artifact.address, "data": data, "gas": gas},
            )
            made += BATCH
        anvil.mine()
    anvil.mine(3)
    filter_ = {"address": artifact.address, "fromBlock": "latest", "toBlock": "latest"}
    assert anvil.call("eth_getLogs", filter_) == []


def _run(*arguments: str | int | Path) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.indexing", *map(str, arguments)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return json.loads(done.stdout)
