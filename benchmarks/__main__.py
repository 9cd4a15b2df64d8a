"""Run every group, print the table, and keep it in docs/performance.md."""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measuring import Row
from benchmarks.rows import Bench, first_get, large_file, many_files, starting

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
GROUPS = {
    "large": large_file,
    "many": many_files,
    "get": first_get,
    "start": starting,
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


def write(rows: list[Row], where: str) -> None:
    text = DOCUMENT.read_text()
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    body = f"{BEGIN}\n{machine()}, {where}.\n\n{table(rows)}\n{END}"
    DOCUMENT.write_text(head + body + tail)


def kubo() -> Path:
    built = ROOT / "build" / "ipfs"
    found = str(built) if built.exists() else shutil.which("ipfs")
    if not found:
        sys.exit("no ipfs to measure against: run `make kubo` first")
    version = subprocess.run([found, "version"], capture_output=True, text=True, check=True)
    print(version.stdout.strip())
    return Path(found)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("groups", nargs="*", help=f"some of {', '.join(GROUPS)} [default: all]")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is run [5]")
    parser.add_argument("--scale", type=float, default=1, help="a fraction of the sizes [1]")
    parser.add_argument(
        "--work", type=Path, help="where to work [/dev/shm, else the temporary folder]"
    )
    given = parser.parse_args()
    base = given.work or (Path("/dev/shm") if Path("/dev/shm").is_dir() else None)
    ipfs = kubo()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="integrity-bench-", dir=base) as folder:
        bench = Bench(Path(folder), ipfs, given.rounds, given.scale)
        for name in given.groups or GROUPS:
            for row in GROUPS[name](bench):
                print(table([row]).splitlines()[-1], flush=True)
                rows.append(row)
    if not given.groups and given.scale == 1:
        write(rows, f"in {'memory (tmpfs)' if str(base) == '/dev/shm' else base}")


if __name__ == "__main__":
    main()
