"""What measurements are made of: files, releases, and the programs that serve them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import INTEGRITY, Sample, run
from tests.live.kubos import Kubo, find_ipfs

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
    run([find_ipfs(), "init", "--profile=test,unixfs-v1-2025"], env=env)
    return ipfs_added(folder, env, *(["--only-hash"] if only_hash else []))


def ipfs_added(folder: Path, env: dict[str, str], *flags: str) -> Sample:
    """``ipfs add`` of a whole folder, to the daemon if one runs on that repository."""
    argv: list[str | Path] = [find_ipfs(), "add", "-r", "-H", "-Q", "--progress=false"]
    return run([*argv, *flags, folder], env=env)


@contextmanager
def chain(bench: Bench) -> Iterator[dict[str, str]]:
    """A development chain in a home of its own."""
    env = bench.home()
    run([INTEGRITY, "chain", "start"], env=env)
    try:
        yield env
    finally:
        run([INTEGRITY, "chain", "stop"], env=env)


def published(env: dict[str, str], folder: Path, *options: str, version: str = "1") -> Sample:
    names = ["--package", folder.name, "--version", version]
    argv: list[str | Path] = [INTEGRITY, "publish", folder, *names, *options, "--json"]
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


@contextmanager
def kubo(bench: Bench) -> Iterator[Kubo]:
    """A daemon whose repository is new."""
    with tempfile.TemporaryDirectory(prefix="kubo-", dir=bench.work) as folder:
        node = Kubo(Path(folder) / "repo")
        node.start()
        try:
            yield node
        finally:
            node.stop()


@contextmanager
def nginx(bench: Bench, folder: Path) -> Iterator[str]:
    """nginx with one worker and sendfile, that serves a folder."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        sys.exit("no nginx to measure against: install it (on Debian: apt-get install nginx-light)")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    base = bench.work / "nginx"
    base.mkdir(exist_ok=True)
    configuration = base / "nginx.conf"
    temporary = " ".join(f"{kind}_temp_path {base}/{kind};" for kind in _NGINX_TEMPORARY)
    configuration.write_text(
        f"user root; worker_processes 1; daemon off; pid {base}/pid; error_log {base}/errors;\n"
        "events { worker_connections 2048; }\n"
        f"http {{ access_log off; sendfile on; keepalive_requests 1000000; {temporary}\n"
        f"server {{ listen 127.0.0.1:{port}; root {folder}; }} }}\n"
    )
    process = subprocess.Popen([program, "-c", configuration], stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


_NGINX_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def pieces_of(folder: Path) -> list[str]:
    """The CIDs of every piece of a published folder's one file, in order."""
    from integrity.core.cid import raw_cid
    from integrity.core.pieces import split_digests
    from integrity.core.reading import iter_files
    from integrity.disk.sidecars import read_chunks, sidecar_path

    (entry,) = iter_files(read_chunks(sidecar_path(folder)))
    return [str(raw_cid(digest)) for digest in split_digests(entry.digests)]
