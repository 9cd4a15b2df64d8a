"""Puts a real Clef, go-ethereum's signer, at build/clef: PATH's if it is new enough, else built by Go."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

from tools.programs import Program  # noqa: E402 - found by the line above

CLEF = Program(
    title="Clef",
    name="clef",
    module="github.com/ethereum/go-ethereum",
    command="github.com/ethereum/go-ethereum/cmd/clef",
    folder=HERE,
    asked=("--version",),
    oldest=(1, 17, 0),
    help="""\
Install Clef 1.17 or newer, so that `clef` is on PATH (geth.ethereum.org/docs/tools/clef), or Go
(go.dev/dl), with which it is built here; then run make again.""",
)

if __name__ == "__main__":
    sys.exit(CLEF.get((CLEF.from_path, CLEF.from_go)))
