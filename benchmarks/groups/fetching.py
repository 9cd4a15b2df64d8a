"""``get`` over HTTP."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator

from benchmarks.measuring import INTEGRITY, Row, Sample, alternate, compared, memory, run, speed
from benchmarks.setting import GIB, Bench, answer, chain, pieces_of, published, random_file, serving


def first_get(bench: Bench) -> Iterator[Row]:
    """get of one large file from one serve, against curl of the same blocks from the same serve."""
    size = bench.size(4 * GIB)
    folder = random_file(bench.work / "fetch" / "file", size).parent
    with chain(bench) as env:
        whole = published(env, folder)
        yield memory(f"whole publish of a {size / GIB:.2g} GiB file", whole, 150)
        link = answer(folder)["link"]
        status = subprocess.run(
            [INTEGRITY, "chain", "status", "--json"], env={**os.environ, **env},
            check=True, capture_output=True,
        )  # fmt: skip
        state = json.loads(status.stdout)
        with serving(env) as url:
            config = bench.work / "urls"
            config.write_text(
                "".join(f'url = "{url}/ipfs/{cid}?format=raw"\n' for cid in pieces_of(folder))
            )
            out = bench.work / "out"
            trust = ["--rpc", state["rpc"], "--publisher", state["publisher"], "--from", url]

            def get() -> Sample:
                shutil.rmtree(out, ignore_errors=True)
                return run([INTEGRITY, "get", link, "-o", out, *trust], env=bench.home())

            def curl() -> Sample:
                (bench.work / "curled").unlink(missing_ok=True)
                return run(["curl", "-sS", "-f", "-K", config], stdout=bench.work / "curled")

            curl()  # the server has hashed every piece once
            found = alternate({"get": get, "curl": curl}, bench.rounds)
        assert (bench.work / "curled").stat().st_size == size
        yield compared(
            f"get a {size / GIB:.2g} GiB file from one serve",
            found["get"], "curl, the same blocks", found["curl"], "≥ 0.6", speed(size),
        )  # fmt: skip
        yield memory("that get", found["get"], 150)
        check = run([INTEGRITY, "verify", out, link, *trust], env=bench.home())
        yield memory("verify of it", check, 150)
    shutil.rmtree(out)
    shutil.rmtree(folder)
