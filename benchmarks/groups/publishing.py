"""Publishing into IPFS, and the directory tree alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from benchmarks.measuring import Row, Sample, alternate, memory, run, speed
from benchmarks.setting import (
    GIB,
    Bench,
    chain,
    ipfs_add,
    kubo,
    manifest_of,
    published,
    random_file,
    small_files,
)
from tests.live.kubos import find_ipfs


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
                argv: list[str | Path] = [
                    find_ipfs(),
                    "add",
                    "-r",
                    "-H",
                    "-Q",
                    "--progress=false",
                    folder,
                ]
                return run(argv, env={"IPFS_PATH": str(node.folder)})

        found = alternate(
            {
                "publish": lambda: publish(large),
                "add": lambda: add(large),
                "publish-many": lambda: publish(many),
                "add-many": lambda: add(many),
            },
            bench.rounds,
        )
    ours, peer = found["publish"], found["add"]
    job = f"publish --ipfs of a {size / GIB:.2g} GiB file: manifest, store, daemon, final record"
    yield Row(
        job, f"{ours.seconds:.1f} s", f"ipfs add {peer.seconds:.1f} s",
        peer.seconds / ours.seconds, "≥ 0.9",
    )  # fmt: skip
    yield Row("memory: that publish", memory(ours), "", None, "≤ 200 MiB")
    ours, peer = found["publish-many"], found["add-many"]
    yield Row(
        f"publish --ipfs of {bench.count(20_000):,} files of 4 KiB", f"{ours.seconds:.1f} s",
        f"ipfs add -r {peer.seconds:.1f} s", peer.seconds / ours.seconds, "",
    )  # fmt: skip
    yield Row("memory: that publish", memory(ours), "", None, "≤ 200 MiB")
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
    peer = found["peer"]
    for name, what, target in (("plain", "no also", "≥ 2"), ("both", "with also", "≥ 1.1")):
        yield Row(
            f"manifest of a {size / GIB:.2g} GiB file, {what}", speed(size, found[name]),
            f"ipfs add --only-hash {speed(size, peer)}", peer.seconds / found[name].seconds, target,
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
    for shape, names in shapes.items():
        taken = []
        for _ in range(bench.rounds):
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.tree", str(entries), *names],
                check=True, capture_output=True, text=True, env={**os.environ, "TMPDIR": str(bench.work)},
            )  # fmt: skip
            taken.append(json.loads(done.stdout))
        seconds = sorted(t["seconds"] for t in taken)[len(taken) // 2]
        rate = entries / seconds
        job = f"the tree of {entries:,} entries, {shape}"
        yield Row(job, f"{rate:,.0f} /s", "", None, "≥ 100,000 /s")
        yield Row(f"memory: {job}", f"{max(t['memory'] for t in taken):.0f} MiB", "", None, "")
