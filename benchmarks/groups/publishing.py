"""Publishing into IPFS, and the directory tree alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path

from benchmarks.measuring import Row, Sample, alone, alternate, compared, memory, speed
from benchmarks.peers import kubo
from benchmarks.setting import (
    GIB,
    Bench,
    chain,
    ipfs_add,
    ipfs_added,
    manifest_of,
    published,
    random_file,
    small_files,
)


def into_ipfs(bench: Bench) -> Iterator[Row]:
    """``publish --ipfs`` and ``ipfs add``, both into a daemon whose repository is new."""
    size = bench.size(2 * GIB)
    large = random_file(bench.work / "ipfs-large" / "file", size).parent
    many = small_files(bench.work / "ipfs-many", bench.count(20_000), 4096)
    versions = count(1)
    with chain(bench) as env:

        def publish(folder: Path) -> Sample:
            with kubo(bench) as node:
                options = ("--ipfs", "--ipfs-api", node.api)
                return published(env, folder, *options, version=str(next(versions)))

        def add(folder: Path) -> Sample:
            with kubo(bench) as node:
                return ipfs_added(folder, {"IPFS_PATH": str(node.folder)})

        found = alternate(
            {
                "publish": lambda: publish(large),
                "add": lambda: add(large),
                "publish-many": lambda: publish(many),
                "add-many": lambda: add(many),
            },
            bench.rounds,
        )
    job = f"publish --ipfs of a {size / GIB:.2g} GiB file: manifest, store, daemon, final record"
    yield compared(job, found["publish"], "ipfs add", found["add"], "≥ 0.9")
    yield memory("that publish", found["publish"], 200)
    job = f"publish --ipfs of {bench.count(20_000):,} files of 4 KiB"
    yield compared(job, found["publish-many"], "ipfs add -r", found["add-many"], "")
    yield memory("that publish", found["publish-many"], 200)
    shutil.rmtree(many)
    manifest_of(bench, large)
    found = alternate(
        {
            "plain": lambda: manifest_of(bench, large, "--no-also"),
            "both": lambda: manifest_of(bench, large),
            "peer": lambda: ipfs_add(bench, large, only_hash=True),
        },
        bench.rounds,
    )
    for name, what, target in (("plain", "no also", "≥ 2"), ("both", "with also", "≥ 1.1")):
        yield compared(
            f"manifest of a {size / GIB:.2g} GiB file, {what}",
            found[name], "ipfs add --only-hash", found["peer"], target, speed(size),
        )  # fmt: skip
    shutil.rmtree(large)


def tree(bench: Bench) -> Iterator[Row]:
    """The UnixFS tree of many entries, without reading a file."""
    entries = bench.count(1_000_000)
    shapes = {
        "a thousand in each folder": ("1000", "bin"),
        "all in one folder, sharded": (str(entries), "bin"),
        "sharded, with capital letters": (str(entries), "BIN"),
    }
    found = alternate(
        {shape: partial(_tree, bench, entries, *names) for shape, names in shapes.items()},
        bench.rounds,
    )
    for shape, sample in found.items():
        job = f"the tree of {entries:,} entries, {shape}"
        yield alone(job, sample, "≥ 100,000 /s", lambda s: f"{entries / s.seconds:,.0f} /s")
        yield memory(job, sample, 150)


def _tree(bench: Bench, entries: int, *names: str) -> Sample:
    """Built in a process of its own; only the building is timed."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.tree", str(entries), *names],
        check=True, capture_output=True, text=True, env={**os.environ, "TMPDIR": str(bench.work)},
    )  # fmt: skip
    taken = json.loads(done.stdout)
    return Sample(taken["seconds"], 0, taken["memory"])
