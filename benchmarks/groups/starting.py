"""What every call pays before its work begins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.measuring import INTEGRITY, Row, alternate, run
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

    def milliseconds(name: str) -> str:
        return f"{found[name].seconds * 1000:.0f} ms"

    yield Row(
        "integrity --help",
        milliseconds("help"),
        f"python -c pass {milliseconds('python')}",
        None,
        "≤ 150 ms",
    )
    yield Row("verify of a file of 3 bytes, manifest only", milliseconds("verify"), "", None, "")
    yield Row("import web3 (publish pays it, nobody else)", milliseconds("web3"), "", None, "")
    with chain(bench) as env:
        whole = published(env, folder)
        yield Row(
            "publish of 3 bytes: web3, signing, a block, two more until final",
            f"{whole.seconds:.1f} s",
            "",
            None,
            "",
        )
