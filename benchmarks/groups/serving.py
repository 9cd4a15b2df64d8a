"""``integrity serve`` against nginx and Kubo's gateway, and with very many slow clients."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.measuring import Row, Sample, alternate, compared, run, speed
from benchmarks.peers import kubo, nginx
from benchmarks.setting import (
    GIB,
    Bench,
    answer,
    chain,
    digests_of,
    published,
    random_file,
    serving,
    small_files,
)
from integrity.core.cid import raw_cid

SLOW_CLIENTS = 1000


def serve(bench: Bench) -> Iterator[Row]:
    """Raw blocks, CARs, slow clients."""
    size = bench.size(2 * GIB)
    large = random_file(bench.work / "serve-large" / "file", size).parent
    many = small_files(bench.work / "serve-many", bench.count(20_000), 4096)
    with chain(bench) as env:
        published(env, large)
        published(env, many)
        with serving(env) as url:
            yield from _raw_blocks(bench, url, large, size)
            with kubo(bench) as node:
                for folder, job in (
                    (large, f"a CAR of a {size / GIB:.2g} GiB file"),
                    (many, f"a CAR of {bench.count(20_000):,} files of 4 KiB"),
                ):
                    node.run("add", "-r", "-H", "-Q", "--progress=false", folder)
                    yield _car(bench, url, node.gateway, folder, job)
            yield from _slow_clients(bench, url, large, size)
    shutil.rmtree(large)
    shutil.rmtree(many)


def _curl(*arguments: str | Path) -> Sample:
    return run(["curl", "-sS", "-f", *arguments])


def _raw_blocks(bench: Bench, url: str, folder: Path, size: int) -> Iterator[Row]:
    """The same file from nginx in ranges of a piece each, by curl over one connection and over four."""
    with nginx(bench, folder) as peer:
        ours_list, peer_list = bench.work / "ours.curl", bench.work / "peer.curl"
        asked = [f"{url}/ipfs/{cid}?format=raw" for cid in map(raw_cid, digests_of(folder))]
        ours_list.write_text("next\n".join(_entry(one) for one in asked))
        ranges = [f"{at}-{min(at + (1 << 20), size) - 1}" for at in range(0, size, 1 << 20)]
        peer_list.write_text("next\n".join(_entry(f"{peer}/file", r) for r in ranges))
        _curl("-K", ours_list)  # every piece was hashed once
        for connections in (1, 4):
            many = ["--parallel", "--parallel-max", str(connections)] if connections > 1 else []
            found = alternate(
                {
                    "ours": partial(_curl, *many, "-K", ours_list),
                    "peer": partial(_curl, *many, "-K", peer_list),
                },
                bench.rounds,
            )
            yield compared(
                f"serve raw blocks of 1 MiB, connections: {connections}",
                found["ours"], "nginx, ranges of the file", found["peer"], "≥ 0.7", speed(size),
            )  # fmt: skip


def _entry(url: str, span: str | None = None) -> str:
    """One transfer in a configuration of curl's."""
    ranged = f'range = "{span}"\n' if span else ""
    return f'url = "{url}"\n{ranged}output = "/dev/null"\nfail\n'


def _car(bench: Bench, url: str, gateway: str, folder: Path, job: str) -> Row:
    path = f"ipfs/{answer(folder)['content']}?format=car"
    found = alternate(
        {
            "ours": lambda: _curl(f"{url}/{path}", "-o", "/dev/null"),
            "peer": lambda: _curl(f"{gateway}/{path}", "-o", "/dev/null"),
        },
        bench.rounds,
    )
    return compared(job, found["ours"], "Kubo's gateway", found["peer"], "≥ 2")


def _slow_clients(bench: Bench, url: str, folder: Path, size: int) -> Iterator[Row]:
    """What is left of an honest client's throughput, for blocks and for a CAR."""
    car = f"{url}/ipfs/{answer(folder)['content']}?format=car"
    blocks = bench.work / "ours.curl"
    jobs: dict[str, Callable[[], Sample]] = {
        "a CAR": lambda: _curl(car, "-o", "/dev/null"),
        "raw blocks": lambda: _curl("-K", blocks),
    }
    alone = alternate(jobs, bench.rounds)
    with _many_slow(car):
        beside = alternate(jobs, bench.rounds)
    for name in jobs:
        yield compared(
            f"serve {name} beside {SLOW_CLIENTS:,} slow clients",
            beside[name], "alone", alone[name], "≥ 0.5", speed(size),
        )  # fmt: skip


@contextmanager
def _many_slow(url: str) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.slow", url, str(SLOW_CLIENTS)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"ready\n"
        yield
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
