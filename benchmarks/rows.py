"""What is measured: each group gives rows of the table."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import (
    INTEGRITY,
    Row,
    Sample,
    alternate,
    bound,
    memory,
    run,
    speed,
)

GIB = 1 << 30
CORES = os.cpu_count() or 2
_PUBLISHER = "0x" + "11" * 20
_BLOCK = 16 << 20


@dataclass(frozen=True)
class Bench:
    """Where it happens: ``work`` is a folder of its own, ``ipfs`` a Kubo, ``rounds`` how often."""

    work: Path
    ipfs: Path
    rounds: int
    scale: float

    def size(self, size: int) -> int:
        """A size in whole pieces, smaller in a quick run."""
        return max(2 << 20, int(size * self.scale) >> 20 << 20)

    def count(self, count: int) -> int:
        return max(100, int(count * self.scale))

    def home(self) -> dict[str, str]:
        """The environment of a new home."""
        return {"INTEGRITY_HOME": str(self.work / f"home-{os.urandom(4).hex()}")}


def random_file(path: Path, size: int) -> Path:
    """A file of ``size`` random bytes; as good as it gets at not being compressible or sparse."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        left = size
        while left:
            left -= file.write(os.urandom(min(_BLOCK, left)))
    return path


def small_files(folder: Path, count: int, size: int) -> Path:
    """``count`` files of ``size`` random bytes, a thousand in each folder."""
    for number in range(count):
        place = folder / f"{number // 1000:04}"
        if number % 1000 == 0:
            place.mkdir(parents=True)
        (place / f"{number:07}.bin").write_bytes(os.urandom(size))
    return folder


def manifest_of(bench: Bench, folder: Path, *options: str) -> Sample:
    names = ["--package", "bench", "--version", "1", "--publisher", _PUBLISHER]
    argv: list[str | Path] = [INTEGRITY, "manifest", folder, *names, *options]
    return run(argv, env=bench.home(), stdout=folder.with_suffix(".manifest"))


def verified(bench: Bench, folder: Path) -> Sample:
    argv: list[str | Path] = [
        INTEGRITY,
        "verify",
        folder,
        "--manifest",
        folder.with_suffix(".manifest"),
    ]
    return run(argv, env=bench.home())


def ipfs_add(bench: Bench, folder: Path, *, only_hash: bool = False) -> Sample:
    """``ipfs add`` into a repository of its own, made before the clock starts."""
    repository = bench.work / "ipfs"
    shutil.rmtree(repository, ignore_errors=True)
    env = {"IPFS_PATH": str(repository)}
    run([bench.ipfs, "init", "--profile=test,unixfs-v1-2025"], env=env)
    flags = ["--only-hash"] if only_hash else []
    return run([bench.ipfs, "add", "-r", "-H", "-Q", *flags, folder], env=env)


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


@contextmanager
def chain(bench: Bench) -> Iterator[dict[str, str]]:
    """A development chain in a home of its own."""
    env = bench.home()
    run([INTEGRITY, "chain", "start"], env=env)
    try:
        yield env
    finally:
        run([INTEGRITY, "chain", "stop"], env=env)


def published(env: dict[str, str], folder: Path) -> Sample:
    argv: list[str | Path] = [
        INTEGRITY,
        "publish",
        folder,
        "--package",
        folder.name,
        "--version",
        "1",
        "--json",
    ]
    return run(argv, env=env, stdout=folder.with_suffix(".json"))


@contextmanager
def serving(env: dict[str, str]) -> Iterator[str]:
    process = subprocess.Popen(
        [INTEGRITY, "serve", "--port", "0", "--json"],
        env={**os.environ, **env}, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield str(json.loads(process.stdout.readline())["url"])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def first_get(bench: Bench) -> Iterator[Row]:
    """get of one large file from one serve, against curl of the same blocks from the same serve."""
    size = bench.size(4 * GIB)
    folder = random_file(bench.work / "fetch" / "file", size).parent
    with chain(bench) as env:
        whole = published(env, folder)
        yield Row(
            f"memory: whole publish of a {size / GIB:.2g} GiB file",
            memory(whole),
            "",
            None,
            "≤ 150 MiB",
        )
        link = json.loads(folder.with_suffix(".json").read_text())["link"]
        status = subprocess.run(
            [INTEGRITY, "chain", "status", "--json"], env={**os.environ, **env},
            check=True, capture_output=True,
        )  # fmt: skip
        state = json.loads(status.stdout)
        with serving(env) as url:
            config = block_list(folder, url, bench.work / "urls")
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
        yield Row(
            f"get a {size / GIB:.2g} GiB file from one serve", speed(size, found["get"]),
            f"curl, the same blocks {speed(size, found['curl'])}",
            found["curl"].seconds / found["get"].seconds, "≥ 0.6",
        )  # fmt: skip
        yield Row("memory: that get", memory(found["get"]), "", None, "≤ 150 MiB")
        check = run([INTEGRITY, "verify", out, link, *trust], env=bench.home())
        yield Row("memory: verify of it", memory(check), "", None, "≤ 150 MiB")
    shutil.rmtree(out)
    shutil.rmtree(folder)


def block_list(folder: Path, url: str, path: Path) -> Path:
    """A curl configuration that asks for every piece of the folder's one file, in order."""
    from integrity.client.sidecars import read_chunks, sidecar_path
    from integrity.core.cid import raw_cid
    from integrity.core.pieces import split_digests
    from integrity.core.reading import iter_files

    (entry,) = iter_files(read_chunks(sidecar_path(folder)))
    lines = [f'url = "{url}/ipfs/{raw_cid(d)}?format=raw"\n' for d in split_digests(entry.digests)]
    path.write_text("".join(lines))
    return path


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
