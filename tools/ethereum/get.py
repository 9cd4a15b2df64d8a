"""Puts real programs of go-ethereum into build/: PATH's if they are new enough, else built by Go.

geth is the tests' second Ethereum node, of another make than anvil; Clef is a signer that keeps its keys
to itself.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

from tools.programs import Program  # noqa: E402 - found by the line above

MODULE = "github.com/ethereum/go-ethereum"


def program(name: str, title: str, where: str) -> Program:
    """One of them; ``where`` is the page that says how to install it."""
    return Program(
        title=title,
        name=name,
        module=MODULE,
        command=f"{MODULE}/cmd/{name}",
        folder=HERE,
        asked=("--version",),
        # What geth's development chain calls final, and how it is told to make a block, are as of this one.
        oldest=(1, 17, 0),
        help=f"""\
Install {title} 1.17 or newer, so that `{name}` is on PATH ({where}),
or Go (go.dev/dl), with which it is built here; then run make again.""",
    )


PROGRAMS = {
    "geth": program("geth", "geth", "geth.ethereum.org/docs/getting-started"),
    "clef": program("clef", "Clef", "geth.ethereum.org/docs/tools/clef"),
}

if __name__ == "__main__":
    wanted = [PROGRAMS[name] for name in sys.argv[1:]]
    sys.exit(max(one.get((one.from_path, one.from_go)) for one in wanted))
