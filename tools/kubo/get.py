"""Puts a real Kubo at build/ipfs: PATH's if it is new enough, else npm's, else built by Go.

npm's package is no more than an installer, which downloads a release. Where that is refused, Go
builds the same version from the module proxy. Does nothing if build/ipfs works already.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

from tools.programs import Program, Refusal  # noqa: E402 - found by the line above

RELEASES = "https://github.com/ipfs/kubo/releases"
PROBE_SECONDS = 5
DOWNLOAD_SECONDS = 300

KUBO = Program(
    title="Kubo",
    name="ipfs",
    module="github.com/ipfs/kubo",
    command="github.com/ipfs/kubo/cmd/ipfs",
    folder=HERE,
    asked=("version", "--number"),
    oldest=(0, 40, 0),  # the first version with the profile unixfs-v1-2025
    help="""\
Install Kubo 0.40 or newer, so that `ipfs` is on PATH (docs.ipfs.tech/install/command-line),
or Go (go.dev/dl), with which it is built here; then run make again.""",
)
PACKAGE = KUBO.path.with_name("kubo-npm")


def from_npm() -> str:
    """A copy of what npm's kubo downloads."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        raise Refusal("no npm")
    # Its installer gives up late, or not at all, where nothing answers.
    releases = urlsplit(os.environ.get("KUBO_RELEASES_URL", RELEASES))
    try:
        address = releases.hostname or "", releases.port or 443
        socket.create_connection(address, PROBE_SECONDS).close()
    except OSError:
        raise Refusal(f"npm's kubo downloads from {releases.hostname}: out of reach") from None
    shutil.rmtree(PACKAGE, ignore_errors=True)
    PACKAGE.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, PACKAGE)
    try:
        # npm runs no install scripts unless it is told to, from version 12 on: one way for all.
        run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], PACKAGE)
        kubo = PACKAGE / "node_modules" / "kubo"
        run([node, "src/post-install.js"], kubo)
        return KUBO.keep(kubo / "kubo" / "ipfs", "from npm's kubo")
    finally:
        shutil.rmtree(PACKAGE)


def run(command: list[str], folder: Path) -> None:
    """Run quietly in a folder. Raises Refusal with its last line that says something."""
    # What npm and make pass on about another package would lead the installer astray.
    environment = {name: value for name, value in os.environ.items() if name != "INIT_CWD"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=DOWNLOAD_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise Refusal(f"npm's kubo could not be installed: {error}") from error
    if done.returncode:
        lines = [line.strip() for line in done.stdout.splitlines() if "rror" in line]
        raise Refusal(f"npm's kubo could not be installed: {lines[0] if lines else 'no reason'}")


if __name__ == "__main__":
    sys.exit(KUBO.get((KUBO.from_path, from_npm, KUBO.from_go)))
