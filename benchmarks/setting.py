"""What measurements are made of: files, releases, and the programs that serve them."""

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

from benchmarks.measuring import INTEGRITY, Sample, run
from tests.live.kubos import find_ipfs

GIB = 1 << 30
CORES = os.cpu_count() or 2
_PUBLISHER = "0x" + "11" * 20
_BLOCK = 16 << 20


@dataclass(frozen=True)
class Bench:
    """Where it happens: ``work`` is a folder of its own, ``rounds`` how often."""

    work: Path
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


def small_files(folder: Path, count: int, size: int, each: int = 1000) -> Path:
    """``count`` files of ``size`` random bytes, ``each`` in a folder."""
    for number in range(count):
        place = folder / f"{number // each:04}"
        if number % each == 0:
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
    run([find_ipfs(), "init", "--profile=test,unixfs-v1-2025"], env=env)
    return ipfs_added(folder, env, *(["--only-hash"] if only_hash else []))


def ipfs_added(folder: Path, env: dict[str, str], *flags: str) -> Sample:
    """``ipfs add`` of a whole folder, to the daemon if one runs on that repository."""
    argv: list[str | Path] = [find_ipfs(), "add", "-r", "-H", "-Q", "--progress=false"]
    return run([*argv, *flags, folder], env=env)


@contextmanager
def chain(bench: Bench, inside: tuple[str, ...] = ()) -> Iterator[dict[str, str]]:
    """A development chain in a home of its own. ``inside`` goes before the command: how to run it in
    another network.
    """
    env = bench.home()
    run([*inside, INTEGRITY, "chain", "start"], env=env)
    try:
        yield env
    finally:
        run([*inside, INTEGRITY, "chain", "stop"], env=env)


def published(
    env: dict[str, str],
    folder: Path,
    *options: str,
    version: str = "1",
    inside: tuple[str, ...] = (),
) -> Sample:
    names = ["--package", folder.name, "--version", version]
    argv: list[str | Path] = [*inside, INTEGRITY, "publish", folder, *names, *options, "--json"]
    return run(argv, env=env, stdout=folder.with_suffix(".json"))


def answer(folder: Path) -> dict[str, str]:
    """What :func:`published` printed."""
    found: dict[str, str] = json.loads(folder.with_suffix(".json").read_text())
    return found


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


def digests_of(folder: Path) -> list[bytes]:
    """The SHA-256 of every piece of a published folder's one file, in order."""
    from integrity.core.pieces import split_digests
    from integrity.core.reading import iter_files
    from integrity.disk.files import read_chunks
    from integrity.disk.sidecars import sidecar_path

    (entry,) = iter_files(read_chunks(sidecar_path(folder)))
    return list(split_digests(entry.digests))


@dataclass(frozen=True)
class Getting:
    """``integrity get`` of one release by people who were never here: each time with a new home."""

    bench: Bench
    link: str
    trust: tuple[str, ...]
    inside: tuple[str, ...] = ()

    def __call__(self, out: Path, *sources: str, env: dict[str, str] | None = None) -> Sample:
        """Into a folder, from these sources; what it printed is beside the folder, as NAME.json."""
        asked = [argument for source in sources for argument in ("--from", source)]
        argv: list[str | Path] = [*self.inside, INTEGRITY, "get", self.link, "-o", out]
        argv += [*self.trust, *asked, "--json"]
        return run(argv, env=env or self.bench.home(), stdout=out.with_suffix(".json"))


def getting(
    bench: Bench, env: dict[str, str], folder: Path, inside: tuple[str, ...] = ()
) -> Getting:
    """How to get what was published out of a folder, on the development chain of ``env``."""
    status = subprocess.run(
        [*inside, INTEGRITY, "chain", "status", "--json"], env={**os.environ, **env},
        check=True, capture_output=True,
    )  # fmt: skip
    state = json.loads(status.stdout)
    trust = ("--rpc", state["rpc"], "--publisher", state["publisher"])
    return Getting(bench, answer(folder)["link"], trust, inside)
