"""Timing whole processes, alternately, and what they were like."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

BIN = Path(sys.executable).parent
INTEGRITY = str(BIN / "integrity")

# An installed package is compiled; a checkout should be so too from its first run on.
_ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


@dataclass(frozen=True)
class Sample:
    """One run: wall seconds, CPU seconds of the process and its children, peak memory in MiB."""

    seconds: float
    cpu: float
    memory: float


@dataclass(frozen=True)
class Row:
    """One line of the table. ``ratio`` is ours against the peer's as ``meaning`` says."""

    job: str
    ours: str
    peer: str
    ratio: float | None
    target: str


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    stdout: Path | None = None,
    cwd: Path | None = None,
) -> Sample:
    """Run a program to its end; it must succeed."""
    sink = stdout.open("wb") if stdout else subprocess.DEVNULL
    try:
        started = time.perf_counter()
        process = subprocess.Popen(
            [os.fspath(a) for a in argv], stdin=subprocess.DEVNULL, stdout=sink, cwd=cwd,
            stderr=subprocess.PIPE, env=_ENVIRONMENT | dict(env or {}),
        )  # fmt: skip
        assert process.stderr is not None
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        elapsed = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        if not isinstance(sink, int):
            sink.close()
    if process.returncode:
        raise RuntimeError(f"{argv}: exit {process.returncode}: {errors.decode()[-2000:]}")
    return Sample(elapsed, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def alternate(jobs: Mapping[str, Callable[[], Sample]], rounds: int) -> dict[str, Sample]:
    """Run all jobs in turn, ``rounds`` times -> the median of each, and its largest memory."""
    samples: dict[str, list[Sample]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            samples[name].append(job())
    return {
        name: Sample(
            statistics.median(s.seconds for s in taken),
            statistics.median(s.cpu for s in taken),
            max(s.memory for s in taken),
        )
        for name, taken in samples.items()
    }


def bound(size: int, threads: int) -> Sample:
    """SHA-256 alone, in a process of its own; only the hashing is timed."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bound", str(size), str(threads)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return Sample(float(done.stdout), 0, 0)


Show = Callable[[Sample], str]
"""How a run stands in the table."""


def seconds(sample: Sample) -> str:
    return f"{sample.seconds:.2f} s" if sample.seconds < 10 else f"{sample.seconds:.1f} s"


def speed(size: int) -> Show:
    """GB/s, or MB/s, for a run that handled ``size`` bytes."""

    def show(sample: Sample) -> str:
        rate = size / sample.seconds
        return f"{rate / 1e9:.2f} GB/s" if rate >= 1e8 else f"{rate / 1e6:.1f} MB/s"

    return show


def compared(
    job: str, ours: Sample, name: str, peer: Sample, target: str, show: Show = seconds
) -> Row:
    """How many times as fast as the peer of this name."""
    return Row(job, show(ours), f"{name} {show(peer)}", peer.seconds / ours.seconds, target)


def alone(job: str, ours: Sample, target: str, show: Show = seconds) -> Row:
    """A run that has no peer."""
    return Row(job, show(ours), "", None, target)


def processor(job: str, ours: Sample, name: str, peer: Sample, size: int) -> Row:
    """Processor seconds a GiB, of the two processes alone: what serves is not counted."""
    each = [f"{sample.cpu / (size / (1 << 30)):.2f} s/GiB" for sample in (ours, peer)]
    return Row(f"processor: {job}", each[0], f"{name} {each[1]}", peer.cpu / ours.cpu, "")


def memory(job: str, ours: Sample, mebibytes: int) -> Row:
    """The row of its largest memory, and what that must stay below."""
    return Row(f"memory: {job}", f"{ours.memory:.0f} MiB", "", None, f"≤ {mebibytes} MiB")
