"""Puts a real Kubo at build/ipfs: PATH's if it is new enough, else npm's, else built by Go.

npm's package is no more than an installer, which downloads a release. Where that is refused, Go
builds the same version from the module proxy. Does nothing if build/ipfs works already.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
IPFS = ROOT / "build" / "ipfs"
PACKAGE = ROOT / "build" / "kubo-npm"

# The first version with the profile unixfs-v1-2025.
OLDEST = (0, 40, 0)
RELEASES = "https://github.com/ipfs/kubo/releases"
PROBE_SECONDS = 5
DOWNLOAD_SECONDS = 300

HELP = """\
Install Kubo 0.40 or newer, so that `ipfs` is on PATH (docs.ipfs.tech/install/command-line),
or Go (go.dev/dl), with which it is built here; then run make again."""


def main() -> int:
    """Get it, and say in a line where from -> exit code."""
    if works():
        return 0
    IPFS.parent.mkdir(exist_ok=True)
    IPFS.unlink(missing_ok=True)
    refusals: list[str] = []
    for get in (from_path, from_npm, from_go):
        try:
            came_from = get()
        except Refusal as refusal:
            refusals.append(str(refusal))
            continue
        why = f" ({'; '.join(refusals)})" if refusals else ""
        print(f"build/ipfs: Kubo {text(version(IPFS))}, {came_from}{why}")
        return 0
    print("no ipfs to be had:", *refusals, HELP, sep="\n", file=sys.stderr)
    return 1


class Refusal(Exception):
    """Why one of the ways does not go."""


def works() -> bool:
    """Whether build/ipfs runs, and is new enough; one that was made here is of the version wanted."""
    found = version(IPFS)
    return found is not None and (found >= OLDEST if IPFS.is_symlink() else found == wanted())


def version(program: Path) -> tuple[int, ...] | None:
    """The version of an ipfs, None if it does not run."""
    try:
        done = subprocess.run(
            [program, "version", "--number"], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", done.stdout)
    return found and tuple(int(number) for number in found.groups())


def wanted() -> tuple[int, ...]:
    """The version that go.mod names."""
    found = re.search(r"github\.com/ipfs/kubo v(\d+)\.(\d+)\.(\d+)", (HERE / "go.mod").read_text())
    assert found is not None
    return tuple(int(number) for number in found.groups())


def text(number: tuple[int, ...] | None) -> str:
    """A version as people write it."""
    return ".".join(map(str, number or ()))


# --- the three ways ------------------------------------------------------------------------------


def from_path() -> str:
    """A link to the user's own ipfs."""
    found = shutil.which("ipfs")
    if found is None:
        raise Refusal("no ipfs on PATH")
    number = version(Path(found))
    if number is None:
        raise Refusal("the ipfs on PATH does not run")
    if number < OLDEST:
        raise Refusal(f"the ipfs on PATH is {text(number)}, older than {text(OLDEST)}")
    IPFS.symlink_to(found)
    return "the one on PATH"


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
        return keep(kubo / "kubo" / "ipfs", "from npm's kubo")
    finally:
        shutil.rmtree(PACKAGE)


def from_go() -> str:
    """Built from its source."""
    go = shutil.which("go")
    if go is None:
        raise Refusal("no Go")
    print("building Kubo with Go, which takes some minutes", flush=True)
    built = IPFS.with_name("ipfs.built")
    # Its own output goes to the terminal: a build that fails is for people to read.
    command = [go, "build", "-trimpath", "-o", str(built), "github.com/ipfs/kubo/cmd/ipfs"]
    if subprocess.run(command, cwd=HERE, check=False).returncode:
        raise Refusal("Go could not build it")
    return keep(built, "built by Go")


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


def keep(program: Path, came_from: str) -> str:
    """Move it to its place, if it works."""
    if version(program) is None:
        raise Refusal(f"the ipfs {came_from} does not run")
    program.replace(IPFS)
    return came_from


if __name__ == "__main__":
    sys.exit(main())
