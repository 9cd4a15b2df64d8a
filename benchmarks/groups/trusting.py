"""What it costs to believe a record."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.measuring import INTEGRITY, Row, alternate, run
from benchmarks.setting import Bench, answer, chain, published, random_file


def trusting(bench: Bench) -> Iterator[Row]:
    """Proofs, records and receipts."""
    folder = random_file(bench.work / "proven" / "file", 3).parent
    receipt = folder.with_suffix(".receipt")
    with chain(bench) as env:
        published(env, folder)
        link = answer(folder)["link"]
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.proving", env["INTEGRITY_HOME"], link, receipt],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        found = json.loads(done.stdout)
    own, peer = found["proof"], found["peer"]
    yield Row(
        "processor: a record's header, account and three slots proven", f"{own * 1000:.2f} ms",
        f"py-trie {peer * 1000:.2f} ms", peer / own, "≤ 2 ms",
    )  # fmt: skip
    yield Row(
        "resolve a link, node on loopback, after imports", f"{found['resolve'] * 1000:.0f} ms", "", None,
        "≤ 150 ms",
    )  # fmt: skip
    block = json.loads(
        subprocess.run(
            [INTEGRITY, "receipt", "check", receipt, "--json"],
            check=False, capture_output=True, text=True, env={**os.environ, **env},
        ).stdout
    )["error"]["evidence"]["block_hash"]  # fmt: skip
    command = [INTEGRITY, "receipt", "check", receipt, "--checkpoint", block]
    python = [sys.executable, "-c", "import web3"]
    taken = alternate(
        {"check": lambda: run(command, env=env), "web3": lambda: run(python)}, 2 * bench.rounds + 1
    )
    ours, theirs = taken["check"].seconds, taken["web3"].seconds
    yield Row(
        "receipt check, the whole process", f"{ours * 1000:.0f} ms", f"import web3 {theirs * 1000:.0f} ms",
        theirs / ours, "≤ 300 ms",
    )  # fmt: skip
