"""Hashing what is on a disk, for ``publish`` and ``verify``."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from benchmarks.measuring import Row, alternate, bound, memory, run, speed
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

    def row(job: str, ours: str, peer: str, shown: str, target: str) -> Row:
        ratio = found[peer].seconds / found[ours].seconds
        return Row(
            job, speed(size, found[ours]), f"{shown} {speed(size, found[peer])}", ratio, target
        )

    gib = f"{size / GIB:.2g} GiB file"
    yield row(f"publish: hash {gib}, with also", "manifest", "bound2", "two-hash bound", "≥ 0.9")
    yield row(f"publish: hash {gib}, with also", "manifest", "ipfs", "ipfs add", "≥ 2.5")
    yield row(
        f"publish: hash {gib}, with also", "manifest", "ipfs-hash", "ipfs add --only-hash", ""
    )
    yield row(f"publish: hash {gib}, no also", "plain", "ipfs-hash", "ipfs add --only-hash", "")
    yield row(f"verify {gib}", "verify", "bound1", "one-hash bound", "≥ 0.9")
    yield row(f"verify {gib}", "verify", "sha256sum", "sha256sum", "")
    yield Row(f"memory: publish: hash {gib}", memory(found["manifest"]), "", None, "≤ 150 MiB")
    yield Row(f"memory: verify {gib}", memory(found["verify"]), "", None, "≤ 150 MiB")
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
    yield Row(
        f"publish: hash {job}", f"{ours.seconds:.1f} s", f"ipfs add -r {peer.seconds:.1f} s",
        peer.seconds / ours.seconds, "≥ 3",
    )  # fmt: skip
    yield Row(f"verify {job}", f"{check.seconds:.1f} s", "", None, "")
    yield Row(f"memory: manifest of {job}", memory(ours), "", None, "≤ 150 MiB")
    yield Row(f"memory: verify {job}", memory(check), "", None, "≤ 150 MiB")
    with chain(bench) as env:
        whole = published(env, folder)
        yield Row(
            f"whole publish of {job}: store, web3, final", f"{whole.seconds:.1f} s",
            f"ipfs add -r {peer.seconds:.1f} s", peer.seconds / whole.seconds, "",
        )  # fmt: skip
        yield Row(f"memory: whole publish of {job}", memory(whole), "", None, "≤ 150 MiB")
    shutil.rmtree(folder)
