"""Other people's programs that this one is measured against, or that it fetches from."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from xml.sax.saxutils import escape

from benchmarks.measuring import Sample, run
from benchmarks.setting import Bench
from tests.live.kubos import Kubo

_HINTS = {
    "nginx": "on Debian: apt-get install nginx-light",
    "aria2c": "on Debian: apt-get install aria2",
    "sendme": "cargo install sendme --version 0.37.1 --locked",
}
_NGINX_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def need(*names: str) -> list[str]:
    """Where these programs are; ends the process with how to install one that is nowhere."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:{Path.home()}/.cargo/bin"
    found = []
    for name in names:
        where = shutil.which(name, path=path)
        if where is None:
            sys.exit(
                f"no {name} to measure against: install it ({_HINTS.get(name, 'it is needed')})"
            )
        found.append(where)
    return found


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
def nginx(
    bench: Bench, folder: Path, *, host: str = "127.0.0.1", inside: Sequence[str] = ()
) -> Iterator[str]:
    """nginx with one worker and sendfile, that serves a folder -> its URL. ``inside`` goes before
    its command: how to run a program in another network.
    """
    (program,) = need("nginx")
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
        f"server {{ listen {host}:{port}; root {folder}; }} }}\n"
    )
    process = subprocess.Popen([*inside, program, "-c", configuration], stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            if (base / "pid").exists():
                break
            time.sleep(0.05)
        yield f"http://{host}:{port}"
    finally:
        process.terminate()
        process.wait()
        with suppress(FileNotFoundError):
            (base / "pid").unlink()


# --- aria2 ------------------------------------------------------------------------------------------

ARIA2 = (
    "--no-conf", "--no-netrc", "--disable-ipv6=true", "--realtime-chunk-checksum=true",
    "--auto-file-renaming=false", "--file-allocation=none", "--min-split-size=1M",
    "--summary-interval=0", "--show-console-readout=false", "--console-log-level=error",
    "--download-result=hide",
)  # fmt: skip
"""``--realtime-chunk-checksum`` is what makes it check the pieces; without, it looks at none."""


def metalink(
    path: Path, name: str, size: int, digests: Sequence[bytes], urls: Sequence[str]
) -> Path:
    """A Metalink (RFC 5854) with the SHA-256 of every MiB."""
    pieces = "".join(f"<hash>{digest.hex()}</hash>\n" for digest in digests)
    where = "".join(f"<url>{escape(url)}</url>\n" for url in urls)
    path.write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<metalink xmlns="urn:ietf:params:xml:ns:metalink">\n'
        f'<file name="{escape(name)}"><size>{size}</size>\n'
        f'<pieces length="{1 << 20}" type="sha-256">\n{pieces}</pieces>\n{where}</file>\n</metalink>\n'
    )
    return path


def aria2(description: Path, folder: Path, connections: int, inside: Sequence[str] = ()) -> Sample:
    """Fetch what a Metalink describes into a folder, so many connections to a server."""
    (program,) = need("aria2c")
    shutil.rmtree(folder, ignore_errors=True)
    many = [f"--split={connections}", f"--max-connection-per-server={connections}"]
    return run(
        [*inside, program, *ARIA2, *many, f"--metalink-file={description}", f"--dir={folder}"]
    )


# --- sendme -----------------------------------------------------------------------------------------

_SENDME = (
    "--relay", "disabled", "--no-progress",
    "--magic-ipv4-addr", "127.0.0.1:0", "--magic-ipv6-addr", "[::1]:0",
)  # fmt: skip


class Sendme:
    """iroh's sendme, that offers one file; in a network of its own, as it asks public name servers
    wherever there is a route to any.
    """

    def __init__(self, process: subprocess.Popen[str], ticket: str) -> None:
        self._process = process
        self._ticket = ticket

    def receive(self, folder: Path) -> Sample:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        inside = ["nsenter", "-t", str(self._process.pid), "-n"]
        return run([*inside, *need("sendme"), "receive", *_SENDME, self._ticket], cwd=folder)


@contextmanager
def sendme(bench: Bench, file: Path) -> Iterator[Sendme]:
    (program,) = need("sendme")
    work = bench.work / "sendme"
    work.mkdir()
    command = [program, "send", *_SENDME, "--ticket-type", "addresses", os.fspath(file)]
    process = subprocess.Popen(
        ["unshare", "-n", "sh", "-c", 'ip link set lo up; exec "$@"', "sh", *command],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        cwd=work,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        said = ""
        for line in process.stdout:
            said += line
            if line.startswith("sendme receive "):
                break
        else:
            raise RuntimeError(f"sendme offers nothing: {said}")
        yield Sendme(process, line.split()[-1])
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()
        process.stdout.close()
        shutil.rmtree(work)
