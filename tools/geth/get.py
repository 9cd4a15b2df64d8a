"""Puts a real geth at build/geth: PATH's if it is new enough, else built by Go.

The tests' second Ethereum node, of another make than anvil.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

from tools.programs import Program  # noqa: E402 - found by the line above

GETH = Program(
    title="geth",
    name="geth",
    module="github.com/ethereum/go-ethereum",
    command="github.com/ethereum/go-ethereum/cmd/geth",
    folder=HERE,
    asked=("--version",),
    # What its development chain calls final, and how it is told to make a block, are as of this one.
    oldest=(1, 17, 0),
    help="""\
Install geth 1.17 or newer, so that `geth` is on PATH (geth.ethereum.org/docs/getting-started), or Go
(go.dev/dl), with which it is built here; then run make again.""",
)

if __name__ == "__main__":
    sys.exit(GETH.get((GETH.from_path, GETH.from_go)))
