"""``get`` of one large file and of many small ones, from one honest source, against others that move
the same bytes.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from benchmarks.measuring import (
    Row,
    Sample,
    alone,
    alternate,
    compared,
    memory,
    processor,
    run,
    speed,
)
from benchmarks.peers import aria2, kubo, metalink, need, nginx, sendme
from benchmarks.setting import (
    GIB,
    Bench,
    answer,
    chain,
    digests_of,
    getting,
    published,
    random_file,
    serving,
    small_files,
)
from tests.live.kubos import Kubo, find_ipfs


def large_file(bench: Bench) -> Iterator[Row]:
    """From nginx, as a mirror has it; and once more into the folder that is whole."""
    need("nginx", "aria2c", "sendme")
    size = bench.size(2 * GIB)
    folder = random_file(bench.work / "large" / "file", size).parent
    with chain(bench) as env:
        published(env, folder)
        get = getting(bench, env, folder)
        with (
            nginx(bench, bench.work) as url, serving(env) as serve, kubo(bench) as node,
            sendme(bench, folder / "file") as offered,
        ):  # fmt: skip
            node.run("add", "-r", "-H", "-Q", "--progress=false", folder)
            description = metalink(
                bench.work / "file.meta4", "file", size, digests_of(folder), [f"{url}/large/file"]
            )
            out = bench.work / "out"

            def ours(source: str) -> Sample:
                _clear(out)
                return get(out, source)

            def curl() -> Sample:
                target = out / "curled"
                _clear(out)
                out.mkdir()
                return run(["curl", "-sS", "-f", "-o", target, f"{url}/large/file"])

            def aria() -> Sample:
                _clear(out)
                return aria2(description, out, 4)

            found = alternate(
                {
                    "ours": lambda: ours(f"{url}/large"),
                    "curl": curl,
                    "aria2": aria,
                    "sendme": lambda: _cleared(out, offered.receive(out)),
                    "serve": lambda: ours(serve),
                    "ipfs": lambda: _ipfs_get(bench, node, folder, out),
                },
                bench.rounds,
            )
            _clear(out)
            kept = bench.home()
            get(out, f"{url}/large", env=kept)
            again = alternate({"again": lambda: get(out, f"{url}/large", env=kept)}, bench.rounds)
    assert json.loads(out.with_suffix(".json").read_text())["fetched"] == 0
    job = f"get a {size / GIB:.2g} GiB file from nginx"
    for name, key, target in (
        ("curl -o, unchecked", "curl", "≥ 0.8"), ("aria2 with a Metalink", "aria2", "≥ 2.5"),
        ("sendme", "sendme", "≥ 4"), ("ipfs get, Kubo to Kubo", "ipfs", "≥ 6"),
    ):  # fmt: skip
        yield compared(job, found["ours"], name, found[key], target, speed(size))
    yield compared(
        f"get a {size / GIB:.2g} GiB file from serve",
        found["serve"], "curl -o from nginx", found["curl"], "", speed(size),
    )  # fmt: skip
    yield processor(job, found["ours"], "curl -o", found["curl"], size)
    yield processor(job, found["ours"], "aria2", found["aria2"], size)
    yield memory(job, found["ours"], 150)
    yield alone("the same again, when it is whole: nothing is fetched", again["again"], "< 1 s")
    _clear(out)
    shutil.rmtree(folder)


def small_ones(bench: Bench) -> Iterator[Row]:
    """From serve, as CARs. Each run has a folder of its own that stays until the end: a file system
    that has just deleted so many files is slow to make others. Kubo takes its 20 ms for each block,
    whatever the machine: one run of it is enough.
    """
    number = bench.count(20_000)
    folder = small_files(bench.work / "many", number, 4096, each=number // 40)
    outs = (bench.work / f"out-{at}" for at in count())
    with chain(bench) as env:
        published(env, folder)
        get = getting(bench, env, folder)

        def tar() -> Sample:
            out = next(outs)
            out.mkdir()
            return run(["sh", "-c", 'tar -C "$1" -cf - . | tar -C "$2" -xf -', "sh", folder, out])

        with serving(env) as url, kubo(bench) as node:
            node.run("add", "-r", "-H", "-Q", "--progress=false", folder)
            found = alternate({"ours": lambda: get(next(outs), url), "tar": tar}, bench.rounds)
            kubo_get = _ipfs_get(bench, node, folder, next(outs))
    job = f"get {number:,} files of 4 KiB in 40 folders from serve"
    yield compared(job, found["ours"], "tar into tar", found["tar"], "≥ 0.4")
    yield compared(job, found["ours"], "ipfs get, Kubo to Kubo, once", kubo_get, "≥ 50")
    yield memory(job, found["ours"], 150)
    for out in bench.work.glob("out-*"):
        _clear(out)
    shutil.rmtree(folder)


def huge_ones(bench: Bench) -> Iterator[Row]:
    """What the largest of releases need of memory: one of 100 GiB, simulated, and one of a million
    files, real. Each is run once.
    """
    size = bench.size(100 * GIB)
    simulated = [sys.executable, "-m", "benchmarks.simulated", str(size // GIB)]
    taken = Sample(**json.loads(subprocess.check_output(simulated)))
    yield memory(f"a file of {size // GIB} GiB from a simulated source", taken, 150)
    number = bench.count(1_000_000)
    folder = small_files(bench.work / "million", number, 100)
    out = bench.work / "out"
    with chain(bench) as env:
        published(env, folder)
        with serving(env) as url:
            got = getting(bench, env, folder)(out, url)
    job = f"get {number:,} files of 100 bytes from serve"
    yield alone(job, got, "")
    yield memory(job, got, 150)
    _clear(out)
    shutil.rmtree(folder)


def _ipfs_get(bench: Bench, node: Kubo, folder: Path, out: Path) -> Sample:
    """Into a daemon whose repository is new, which is connected to the one that has it."""
    addresses = subprocess.check_output(
        [find_ipfs(), "id", "-f", "<addrs>"], env={"IPFS_PATH": str(node.folder)}, text=True
    )
    with kubo(bench) as other:
        other.run("swarm", "connect", addresses.split()[0])
        started = time.perf_counter()
        argv: list[str | Path] = [
            find_ipfs(),
            "get",
            "--progress=false",
            "-o",
            out,
            answer(folder)["content"],
        ]
        sample = run(argv, env={"IPFS_PATH": str(other.folder)})
        # The daemon does the work; what it and the other one used is not counted.
        return Sample(time.perf_counter() - started, sample.cpu, sample.memory)


def _cleared(out: Path, sample: Sample) -> Sample:
    _clear(out)
    return sample


def _clear(out: Path) -> None:
    if out.is_dir():
        shutil.rmtree(out)
    else:
        out.unlink(missing_ok=True)
    out.with_suffix(".integrity").unlink(missing_ok=True)
