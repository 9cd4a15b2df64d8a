"""Puts a real Clef, go-ethereum's signer, at build/clef: built by Go from the module proxy.

Does nothing if build/clef is of the version that go.mod names already.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CLEF = HERE.parent.parent / "build" / "clef"


def main() -> int:
    """Build it -> exit code."""
    if version() == wanted():
        return 0
    go = shutil.which("go")
    if go is None:
        print("Clef is built by Go: install it (go.dev/dl), then run make again.", file=sys.stderr)
        return 1
    print("building Clef with Go, which takes some minutes", flush=True)
    CLEF.parent.mkdir(exist_ok=True)
    built = CLEF.with_name("clef.built")
    command = [
        go,
        "build",
        "-trimpath",
        "-o",
        str(built),
        "github.com/ethereum/go-ethereum/cmd/clef",
    ]
    if subprocess.run(command, cwd=HERE, check=False).returncode:
        return 1
    built.replace(CLEF)
    print(f"build/clef: {version()}, built by Go")
    return 0


def version() -> str | None:
    """That of build/clef, None if it does not run."""
    try:
        done = subprocess.run(
            [CLEF, "--version"], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"(\d+\.\d+\.\d+)", done.stdout)
    return found and found[1]


def wanted() -> str:
    """The version that go.mod names."""
    found = re.search(r"go-ethereum v(\d+\.\d+\.\d+)", (HERE / "go.mod").read_text())
    assert found is not None
    return found[1]


if __name__ == "__main__":
    sys.exit(main())
