"""Hashing what is on a disk, for ``publish`` and ``verify``."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from benchmarks.measuring import Row, alone, alternate, bound, compared, memory, run, speed
from benchmarks.setting import (
    CORES,
    GIB,
    Bench,
    chain,
    ipfs_add,
    manifest_of,
    published,
    random_file,
    small_files,
    verified,
)


def large_file(bench: Bench) -> Iterator[Row]:
    """publish (its manifest) and verify of one large file."""
    size = bench.size(4 * GIB)
    folder = random_file(bench.work / "large" / "file", size).parent
    manifest_of(bench, folder)
    found = alternate(
        {
            "manifest": lambda: manifest_of(bench, folder),
            "bound2": lambda: bound(2 * size, CORES),
            "plain": lambda: manifest_of(bench, folder, "--no-also"),
            "verify": lambda: verified(bench, folder),
            "bound1": lambda: bound(size, CORES),
            "ipfs": lambda: ipfs_add(bench, folder),
            "ipfs-hash": lambda: ipfs_add(bench, folder, only_hash=True),
            "sha256sum": lambda: run(["sha256sum", folder / "file"]),
        },
        bench.rounds,
    )

    def row(job: str, ours: str, name: str, peer: str, target: str) -> Row:
        return compared(job, found[ours], name, found[peer], target, speed(size))

    gib = f"{size / GIB:.2g} GiB file"
    hashed, plain, check = (
        f"publish: hash {gib}, with also",
        f"publish: hash {gib}, no also",
        f"verify {gib}",
    )
    yield row(hashed, "manifest", "two-hash bound", "bound2", "≥ 0.9")
    yield row(hashed, "manifest", "ipfs add", "ipfs", "≥ 2.5")
    yield row(hashed, "manifest", "ipfs add --only-hash", "ipfs-hash", "")
    yield row(plain, "plain", "ipfs add --only-hash", "ipfs-hash", "")
    yield row(check, "verify", "one-hash bound", "bound1", "≥ 0.9")
    yield row(check, "verify", "sha256sum", "sha256sum", "")
    yield memory(hashed, found["manifest"], 150)
    yield memory(check, found["verify"], 150)
    shutil.rmtree(folder)


def many_files(bench: Bench) -> Iterator[Row]:
    """200,000 files of 1 KiB."""
    count = bench.count(200_000)
    folder = small_files(bench.work / "many", count, 1024)
    rounds = max(1, bench.rounds // 2)
    found = alternate(
        {
            "manifest": lambda: manifest_of(bench, folder),
            "ipfs": lambda: ipfs_add(bench, folder),
            "verify": lambda: verified(bench, folder),
        },
        rounds,
    )
    ours, peer, check = found["manifest"], found["ipfs"], found["verify"]
    job = f"{count:,} files of 1 KiB"
    yield compared(f"publish: hash {job}", ours, "ipfs add -r", peer, "≥ 3")
    yield alone(f"verify {job}", check, "")
    yield memory(f"manifest of {job}", ours, 150)
    yield memory(f"verify of {job}", check, 150)
    with chain(bench) as env:
        whole = published(env, folder)
        job = f"whole publish of {job}: store, web3, final"
        yield compared(job, whole, "ipfs add -r", peer, "")
        yield memory(job, whole, 150)
    shutil.rmtree(folder)
