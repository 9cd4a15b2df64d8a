"""What every call pays before its work begins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.measuring import INTEGRITY, Row, Sample, alone, alternate, run
from benchmarks.setting import Bench, chain, manifest_of, published, random_file, verified


def starting(bench: Bench) -> Iterator[Row]:
    """What every call pays before its work begins."""
    folder = random_file(bench.work / "tiny" / "file", 3).parent
    manifest_of(bench, folder)
    python = str(Path(INTEGRITY).parent / "python")
    found = alternate(
        {
            "python": lambda: run([python, "-c", "pass"]),
            "help": lambda: run([INTEGRITY, "--help"]),
            "verify": lambda: verified(bench, folder),
            "web3": lambda: run([python, "-c", "import web3"]),
        },
        2 * bench.rounds + 1,
    )

    yield Row(
        "integrity --help", _milliseconds(found["help"]), f"python -c pass {_milliseconds(found['python'])}",
        None, "≤ 150 ms",
    )  # fmt: skip
    yield alone("verify of a file of 3 bytes, manifest only", found["verify"], "", _milliseconds)
    yield alone("import web3 (publish pays it, nobody else)", found["web3"], "", _milliseconds)
    with chain(bench) as env:
        job = "publish of 3 bytes: web3, signing, a block, two more until final"
        yield alone(job, published(env, folder), "")


def _milliseconds(sample: Sample) -> str:
    return f"{sample.seconds * 1000:.0f} ms"
