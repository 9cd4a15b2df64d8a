"""Fills in what spec/vectors expects, by tools that share no code with integrity.

``python tools/make_vectors.py --ipfs PATH`` reads each file's recipes and writes the expected
values beside them: content roots, CIDs and manifest digests by Kubo (any version with the profile
``unixfs-v1-2025``), storage keys by eth_abi and eth_utils, receipts by py-trie and pyrlp, and the true
headers of broken manifests by the tests' plain reference. ``--check`` writes nothing and fails if a
file would change. To add a case, write its recipe with any values expected, and run this.
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

from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

ROOT = Path(__file__).resolve().parent.parent
VECTORS = ROOT / "spec" / "vectors"
ARTIFACT = ROOT / "integrity" / "chain" / "ContentRegistry.json"
sys.path.insert(0, str(ROOT))

from tests.conformance import honest, recipes, states  # noqa: E402 - found by the line above
from tests.core import plain_unixfs as plain  # noqa: E402

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


# --- the registry: eth_abi and eth_utils ---------------------------------------------------------


def fill_registry(value: dict[str, Any]) -> None:
    """Keys, slots, words and addresses."""
    for case in value["keys"]:
        case.update(_keys(case))
    for case in value["heads"]:
        case["word"] = _head(case)
    for case in value["releases"]:
        case["word"] = _release(case)
    for case in value["verdicts"]:
        case["head"]["word"] = _head(case["head"])
        case["release"]["word"] = _release(case["release"])
    for case in value["create2"]:
        case["address"] = _create2(value["deployer"], case["salt"], case["init_code_hash"])
    artifact = json.loads(ARTIFACT.read_text(encoding="utf-8"))
    value["deployment"] = {
        "salt": artifact["create2"]["salt"],
        "init_code_hash": _hex(keccak(hexstr=artifact["bytecode"])),
        "code_hash": _hex(keccak(hexstr=artifact["deployedBytecode"])),
    }
    value["deployment"]["address"] = _create2(
        value["deployer"], value["deployment"]["salt"], value["deployment"]["init_code_hash"]
    )
    for event in value["events"]:
        event["topic"] = _hex(keccak(text=event["signature"]))


def _keys(case: Mapping[str, Any]) -> dict[str, str]:
    publisher, package, version = case["publisher"], case["package"], case["version"]
    package_key = keccak(encode(["address", "string"], [publisher, package]))
    release_key = keccak(encode(["bytes32", "string"], [package_key, version]))
    of_package = keccak(encode(["bytes32", "uint256"], [package_key, 3]))
    return {
        "package_key": _hex(package_key),
        "release_key": _hex(release_key),
        "publisher_slot": _hex(keccak(encode(["address", "uint256"], [publisher, 0]))),
        "head_slot": _hex(keccak(encode(["bytes32", "uint256"], [package_key, 2]))),
        "manifest_slot": _hex(
            keccak(encode(["uint256", "bytes32"], [case["sequence"], of_package]))
        ),
        "release_slot": _hex(keccak(encode(["bytes32", "uint256"], [release_key, 4]))),
    }


def _head(fields: Mapping[str, Any]) -> str:
    unnamed = (int(fields.get("unnamed", "0x0"), 16), 120)
    return _packed(
        [(fields["count"], 48), (fields["latest"], 48), (fields["updated_at"], 40), unnamed]
    )


def _release(fields: Mapping[str, Any]) -> str:
    return _packed([
        (fields["sequence"], 48), (fields["published_at"], 40), (fields["revocation"], 8),
        (int(fields["by"], 16), 160),
    ])  # fmt: skip


def _packed(fields: list[tuple[int, int]]) -> str:
    """A struct of one word: the first field has the lowest bits."""
    word = offset = 0
    for number, width in fields:
        word |= number << offset
        offset += width
    return _hex(word.to_bytes(32, "big"))


def _create2(deployer: str, salt: str, init_code_hash: str) -> str:
    parts = [bytes.fromhex(part[2:]) for part in (deployer, salt, init_code_hash)]
    return to_checksum_address(keccak(b"\xff" + b"".join(parts))[12:])


# --- receipts: py-trie and pyrlp -----------------------------------------------------------------


def fill_receipts(value: dict[str, Any]) -> None:
    """Every receipt of a state, its block, and what is put into a good one to break it."""
    good = {case["name"]: case for case in value["good"]}
    for case in (*value["good"], *value["bad"]):
        if "state" in case:
            receipt = _receipt(value["publisher"], case["state"])
            case["receipt"] = _canonical(receipt)
            case["checkpoint"] = keccak(hexstr=receipt["header"]).hex()
        elif "change" in case:
            receipt = json.loads(good[case["of"]]["receipt"])
            case["with"] = {key: _changed(receipt, key, how) for key, how in case["change"].items()}
        if "of" in case and case["reason"] != "HeaderUntrusted":
            header = case.get("with", {}).get("header")
            of = good[case["of"]]["checkpoint"]
            case["checkpoint"] = of if header is None else keccak(hexstr=header).hex()
    for case in value["good"]:
        told = case["state"]["header"]
        case["block"] = {
            "number": told["number"], "hash": case["checkpoint"], "time": told["time"],
        }  # fmt: skip


def _receipt(publisher: str, state: Mapping[str, Any]) -> dict[str, Any]:
    artifact = json.loads(ARTIFACT.read_text(encoding="utf-8"))
    registry = artifact["create2"]["address"]
    release = state["release"]
    names = {name: state[name] for name in ("package", "version")} | {"publisher": publisher}
    keys = _keys(names | {"sequence": release["sequence"]})
    told = {
        "head": _head(state["head"]), "release": _release(release), "manifest": state["manifest"],
    }  # fmt: skip
    words = {name: (_bytes(keys[f"{name}_slot"]), _bytes(word)) for name, word in told.items()}
    said = state.get("endorsements", {})
    for endorser, endorsement in said.items():
        words[endorser] = _endorsement_slot(endorser, state["manifest"]), _endorsement(endorsement)
    code = keccak(hexstr=state.get("code", artifact["deployedBytecode"]))
    proven = states.proofs(registry, code, words, state)
    if said:
        proven["endorsements"] = {endorser: proven.pop(endorser) for endorser in said}
    fixed = {"chain": state["chain"], "format": "integrity-receipt/1", "registry": registry}
    return names | fixed | proven


def _endorsement_slot(endorser: str, manifest: str) -> bytes:
    """``endorsements[endorser][manifest]``, in the contract's slot 5."""
    return keccak(_bytes(manifest) + keccak(encode(["address", "uint256"], [endorser, 5])))


def _endorsement(told: Mapping[str, Any] | None) -> bytes:
    value = 0 if told is None else told["endorsed_at"] | told["kind"] << 40
    return value.to_bytes(32, "big")


def _canonical(receipt: Mapping[str, Any]) -> str:
    return json.dumps(receipt, sort_keys=True, separators=(",", ":")) + "\n"


def _changed(receipt: Mapping[str, Any], key: str, how: str) -> object:
    """A proof, or the header, as a bad case has it changed."""
    if how in receipt:  # the proof of something else
        return receipt[how]
    if key == "header":
        whole = str(receipt[key])
        digits = {"without its end": whole[:-2], "of another root": whole.replace("a0", "a1", 1)}
        extra = b"vector".hex()
        digits["of another block"] = whole.replace(extra, b"wector".hex())
        return digits[how]
    if key == "endorsements":  # of another account
        return {how: receipt[key][min(receipt[key])]}
    nodes = list(receipt[key])
    last = nodes[-1][:-1] + ("0" if nodes[-1][-1] != "0" else "1")
    return {
        "flipped": [*nodes[:-1], last], "without its root": nodes[1:], "without its leaf": nodes[:-1],
        "reversed": nodes[::-1], "with a node too many": [*nodes, nodes[-1]], "empty": [],
        "of 66 nodes": [nodes[0]] * 66,
    }[how]  # fmt: skip


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


if __name__ == "__main__":
    sys.exit(main())
