"""``get`` from several sources at once, from some that die, stall and lie, and over a bad network."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.lossy import ADDRESSES, SPACES
from benchmarks.measuring import Row, Sample, alternate, compared, speed
from benchmarks.peers import aria2, metalink, need, nginx
from benchmarks.setting import Bench, chain, digests_of, getting, published, random_file

MIB = 1 << 20
EACH = 50_000_000
"""Bytes a second of a limited source."""

TROUBLES = ("die", "stall", "lie")
AFTER = 64 * MIB
DELAY = 25
LOSS = 0.01
RATE = 25_000_000


def several(bench: Bench) -> Iterator[Row]:
    """Four mirrors that are limited to 50 MB/s each; and three of four in trouble."""
    need("nginx")
    size = bench.size(2048 * MIB)
    folder = random_file(bench.work / "several" / "file", size).parent
    out = bench.work / "out"
    samples: dict[str, list[float]] = {"good": [], "bad": []}
    with chain(bench) as env, nginx(bench, bench.work) as url:
        published(env, folder)
        get = getting(bench, env, folder)
        for _ in range(bench.rounds):
            for name, troubles in (("good", ()), ("bad", TROUBLES)):
                shutil.rmtree(out, ignore_errors=True)
                with ExitStack() as stack:
                    ways = [
                        stack.enter_context(
                            _limited(url, troubles[at] if at < len(troubles) else "")
                        )
                        for at in range(4)
                    ]
                    sample = get(out, *(f"{way}/several" for way in ways))
                samples[name].append(_best(out, size, troubles) / sample.seconds)
    for name, job, target in (
        ("good", "four sources of 50 MB/s each", "≥ 0.9"),
        ("bad", "of four such one dies, one stalls, one lies", "≥ 0.8"),
    ):
        ratio = sorted(samples[name])[bench.rounds // 2]
        yield Row(
            f"get a {size / MIB / 1024:.2g} GiB file, {job}", f"{ratio:.0%} of what they can give",
            "", ratio, target,
        )  # fmt: skip
    shutil.rmtree(out)
    shutil.rmtree(folder)


def _best(out: Path, size: int, troubles: tuple[str, ...]) -> float:
    """Seconds that it takes at the least: all at once, or what those in trouble did not give from
    the one that is left.
    """
    if not troubles:
        return size / (4 * EACH)
    sources = json.loads(out.with_suffix(".json").read_text())["sources"]
    given: int = sum(source["bytes"] for source in sources[: len(troubles)])
    return (size - given) / EACH


@contextmanager
def _limited(url: str, trouble: str) -> Iterator[str]:
    port = str(urlsplit(url).port)
    argv = [sys.executable, "-m", "benchmarks.throttle", port, str(EACH)]
    process = subprocess.Popen(
        [*argv, *([trouble, str(AFTER)] if trouble else [])], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def far_away(bench: Bench) -> Iterator[Row]:
    """50 ms there and back, one packet of a hundred lost, against aria2 with as many connections. The
    line has a rate that the processor is not the limit of.
    """
    need("nginx", "aria2c", "ip")
    size = bench.size(512 * MIB)
    folder = random_file(bench.work / "far" / "file", size).parent
    near, far = (("ip", "netns", "exec", space) for space in SPACES)
    with (
        _lossy(), chain(bench, near) as env,
        nginx(bench, bench.work, host=ADDRESSES[1], inside=far) as url,
    ):  # fmt: skip
        published(env, folder, inside=near)
        get = getting(bench, env, folder, near)
        description = metalink(
            bench.work / "far.meta4", "file", size, digests_of(folder), [f"{url}/far/file"]
        )
        out = bench.work / "out"

        def ours() -> Sample:
            shutil.rmtree(out, ignore_errors=True)
            return get(out, f"{url}/far")

        found = alternate(
            {"ours": ours, "aria2": lambda: aria2(description, out, 4, near)}, bench.rounds
        )
    congestion = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    line = f"{RATE * 8 // 10**6} Mbit/s, {2 * DELAY} ms, {LOSS:.0%} lost, TCP {congestion}"
    yield compared(
        f"get a {size // MIB} MiB file over {line}",
        found["ours"], "aria2, 4 connections too", found["aria2"], "≥ 0.9", speed(size),
    )  # fmt: skip
    shutil.rmtree(out)
    shutil.rmtree(folder)


@contextmanager
def _lossy() -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.lossy", str(DELAY), str(LOSS), str(RATE)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        if process.stdout.readline() != b"ready\n":
            sys.exit("no network namespaces can be made here: this measurement needs root")
        yield
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()
