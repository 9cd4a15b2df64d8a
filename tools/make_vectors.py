"""Fills in what spec/vectors expects, by tools that share no code with integrity.

``python tools/make_vectors.py --ipfs PATH`` reads each file's recipes and writes the expected
values beside them: content roots, CIDs and manifest digests by Kubo (any version with the profile
``unixfs-v1-2025``), storage keys by eth_abi and eth_utils, receipts and proofs by py-trie and pyrlp,
signed requests by eth_account, and the true headers of broken manifests by the tests' plain reference.
``--check`` writes nothing and fails if a file would change. To add a case, write its recipe with any
values expected, and run this.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VECTORS = ROOT / "spec" / "vectors"
sys.path.insert(0, str(ROOT))

from tests.conformance import honest, recipes  # noqa: E402 - found by the line above
from tests.core import plain_unixfs as plain  # noqa: E402
from tools.vectors.proofs import fill_proofs  # noqa: E402
from tools.vectors.publishers import fill_publishers  # noqa: E402
from tools.vectors.receipts import fill_receipts  # noqa: E402
from tools.vectors.registry import fill_registry  # noqa: E402
from tools.vectors.requests import fill_requests  # noqa: E402

PROFILE = "test,unixfs-v1-2025"

# A case of more files than this lists no CIDs but the root's.
LISTED = 20


def main() -> int:
    """Write the files or check them -> exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--ipfs", default="ipfs", help="the Kubo program (default: on PATH)")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    arguments = parser.parse_args()
    program = shutil.which(arguments.ipfs)
    if program is None:
        parser.error(f"no Kubo at {arguments.ipfs}: name it with --ipfs")
    changed = []
    with tempfile.TemporaryDirectory(prefix="vectors-") as folder:
        kubo = Kubo(os.path.abspath(program), Path(folder))
        topics: dict[str, Callable[[dict[str, Any]], None]] = {
            "unixfs": lambda value: fill_unixfs(value, kubo),
            "manifests-good": lambda value: fill_good(value, kubo),
            "manifests-bad": fill_bad,
            "registry": fill_registry,
            "receipts": fill_receipts,
            "proofs": fill_proofs,
            "requests": fill_requests,
            "publishers": fill_publishers,
        }
        for topic, fill in topics.items():
            path = VECTORS / f"{topic}.json"
            before = path.read_text(encoding="utf-8")
            value = json.loads(before)
            fill(value)
            after = json.dumps(value, indent=1) + "\n"
            if after != before:
                changed.append(path.name)
                if not arguments.check:
                    path.write_text(after, encoding="utf-8", newline="\n")
    print("unchanged" if not changed else f"changed: {', '.join(changed)}")
    return 1 if changed and arguments.check else 0


# --- UnixFS and good manifests: Kubo -------------------------------------------------------------


class Kubo:
    """A Kubo with a repository of its own, which is asked for CIDs and keeps no block."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._folder = folder
        self._environment = os.environ | {"IPFS_PATH": str(folder / "repository")}
        self._run("init", f"--profile={PROFILE}")

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [self._program, *arguments],
            env=self._environment,
            cwd=self._folder,
            check=True,
            capture_output=True,
        )
        return done.stdout.decode("utf-8")

    def tree(self, files: list[recipes.TreeFile]) -> dict[str, str]:
        """Make the files, add their folder -> the CID of every path, and of the folder as ""."""
        folder = self._folder / "tree"
        folder.mkdir()
        for file in files:
            _make(folder, file)
        listed = self._run("add", "-r", "-H", "--only-hash", "tree")
        shutil.rmtree(folder)
        # "added CID tree/PATH", a line each
        found = [line.split(" ", 2) for line in listed.split("\n") if line]
        return {name.partition("/")[2]: cid for _, cid, name in found}

    def file(self, chunks: list[bytes]) -> str:
        """The CID of one file."""
        path = self._folder / "file"
        path.write_bytes(b"".join(chunks))
        return self._run("add", "-Q", "--only-hash", "file").strip()


def _make(folder: Path, file: recipes.TreeFile) -> None:
    path = folder / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as handle:
        if file.fill == "zeros":
            handle.truncate(file.size)
        else:
            for index in range(-(-file.size // recipes.PIECE)):
                handle.write(recipes.piece(file, index))


def fill_unixfs(value: dict[str, Any], kubo: Kubo) -> None:
    """Every tree's content root, and the CIDs in it when they are few."""
    for case in value["cases"]:
        cids = kubo.tree(list(recipes.tree_files(case["tree"])))
        case["content"] = cids.pop("")
        case.pop("cids", None)
        if len(cids) <= LISTED:
            case["cids"] = dict(sorted(cids.items()))


def fill_good(value: dict[str, Any], kubo: Kubo) -> None:
    """Every good manifest's header and digest; its lines must be those of its tree."""
    for case in value["cases"]:
        files = list(recipes.tree_files(case["tree"]))
        case["content"] = _by_reference(files) if case.get("reference") else kubo.tree(files)[""]
        case["files"] = len(files)
        case["size"] = sum(file.size for file in files)
        _fill_header(case["manifest"], {field: str(case[field]) for field in honest.FIELDS})
        manifest = list(recipes.expand(case["manifest"]))
        _check_lines(case["name"], b"".join(manifest), files)
        case["root"] = kubo.file(manifest)
        case["digest"] = honest.binary(case["root"])[4:].hex()


def _by_reference(files: list[recipes.TreeFile]) -> str:
    """The content root of what is too large to be handed to Kubo."""
    roots = ((file, plain.file(file.size, recipes.digests(file))) for file in files)
    return str(plain.tree((file.path.encode("utf-8"), root) for file, root in roots))


def _fill_header(parts: list[Any], fields: Mapping[str, str]) -> None:
    """Put fields into the header, which ends with the first LF in a part."""
    for number, part in enumerate(parts):
        if not isinstance(part, str):
            continue
        header, line_end, rest = part.partition("\n")
        for field, text in fields.items():
            header = honest.replaced(header, field, text)
        parts[number] = header + line_end + rest
        if line_end:
            return


def _check_lines(name: str, manifest: bytes, files: list[recipes.TreeFile]) -> None:
    """Stop unless each line gives the digests that its file's bytes have."""
    wanted = {file.path: recipes.digests(file) for file in files}
    for line in manifest.splitlines()[1:]:
        entry = json.loads(line)
        digests = wanted.pop(entry["path"])
        whole = "sha256" in entry
        text = digests[0].hex() if whole else _base64url(b"".join(digests))
        if entry["sha256" if whole else "pieces"] != text:
            raise SystemExit(f"{name}: the line of {entry['path']!r} must have {text}")
    if wanted:
        raise SystemExit(f"{name}: no line of {min(wanted)!r}")


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


# --- bad manifests: the plain reference ----------------------------------------------------------


def fill_bad(value: dict[str, Any]) -> None:
    """Every broken manifest's header made true, but for the fields that are to lie."""
    for case in value["cases"]:
        manifest = b"".join(recipes.expand(case["manifest"]))
        totals = honest.true_totals(manifest.partition(b"\n")[2])
        if totals is not None:
            lies = case.get("lies", ())
            true = {field: text for field, text in totals._asdict().items() if field not in lies}
            _fill_header(case["manifest"], true)


if __name__ == "__main__":
    sys.exit(main())
