"""Run groups of measurements, print their tables, and keep them in docs/performance.md."""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.groups import (
    disk,
    fetching,
    indexing,
    networks,
    publishing,
    recording,
    serving,
    starting,
    trusting,
)
from benchmarks.measuring import Row
from benchmarks.setting import Bench
from tests.live.kubos import find_ipfs

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "performance.md"
GROUPS = {
    "large": disk.large_file,
    "many": disk.many_files,
    "tree": publishing.tree,
    "ipfs": publishing.into_ipfs,
    "serve": serving.serve,
    "get": fetching.large_file,
    "get-many": fetching.small_ones,
    "get-huge": fetching.huge_ones,
    "several": networks.several,
    "far": networks.far_away,
    "start": starting.starting,
    "trust": trusting.trusting,
    "index": indexing.indexing,
    "gas": recording.recording,
}


def table(rows: list[Row]) -> str:
    lines = ["| job | here | peer | ratio | target |", "|---|---|---|---|---|"]
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        lines.append(f"| {row.job} | {row.ours} | {row.peer} | {ratio} | {row.target} |")
    return "\n".join(lines)


def machine() -> str:
    model = ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else ""
    return (
        f"{dt.datetime.now(dt.UTC):%Y-%m-%d}, {os.cpu_count()} cores ({model or platform.machine()}), "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    )


def write(group: str, rows: list[Row], where: str) -> None:
    """Put the table between the group's two marks, which the document has already."""
    begin, end = f"<!-- {group}: begin -->", f"<!-- {group}: end -->"
    head, _, rest = DOCUMENT.read_text().partition(begin)
    _, _, tail = rest.partition(end)
    body = f"{begin}\n{machine()}, {where}.\n\n{table(rows)}\n{end}"
    DOCUMENT.write_text(head + body + tail)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("groups", nargs="*", help=f"some of {', '.join(GROUPS)} [default: all]")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is run [5]")
    parser.add_argument("--scale", type=float, default=1, help="a fraction of the sizes [1]")
    parser.add_argument(
        "--work", type=Path, help="where to work [/dev/shm, else the temporary folder]"
    )
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended then, too
    base = given.work or (Path("/dev/shm") if Path("/dev/shm").is_dir() else None)
    print(subprocess.check_output([find_ipfs(), "version"], text=True).strip())
    for name in given.groups or GROUPS:
        with tempfile.TemporaryDirectory(prefix="integrity-bench-", dir=base) as folder:
            rows: list[Row] = []
            for row in GROUPS[name](Bench(Path(folder), given.rounds, given.scale)):
                print(table([row]).splitlines()[-1], flush=True)
                rows.append(row)
        if given.scale == 1:
            write(name, rows, "in memory (tmpfs)" if str(base) == "/dev/shm" else "on a disk")


if __name__ == "__main__":
    main()
