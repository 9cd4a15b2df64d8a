"""Runs slither over the contracts: every finding of medium impact or more is fixed or explained.

Slither needs another web3 than the project, so it lives in a virtual environment of its own,
.venv-slither, made here on first use. Explanations stand in allowed.json: "check: place" -> reason.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
REQUIREMENTS = HERE / "requirements.txt"
ALLOWED = HERE / "allowed.json"
VENV = ROOT / ".venv-slither"
PROGRAMS = VENV / ("Scripts" if os.name == "nt" else "bin")
NODE_PROGRAMS = ROOT / "node_modules" / ".bin"
IMPACTS = ("High", "Medium")


def main() -> int:
    """Print the findings that count -> exit code."""
    if not NODE_PROGRAMS.is_dir():
        raise SystemExit("hardhat is not installed: run npm ci")
    make_venv()
    findings = run_slither()
    allowed: dict[str, str] = json.loads(ALLOWED.read_text(encoding="utf-8"))
    found = {name_of(finding): finding for finding in findings if finding["impact"] in IMPACTS}
    unexplained = found.keys() - allowed.keys()
    outdated = allowed.keys() - found.keys()
    for name in sorted(unexplained):
        print(f"UNEXPLAINED {found[name]['impact']} {name}\n{found[name]['description']}")
    for name in sorted(outdated):
        print(f"NO LONGER FOUND {name}: remove it from {ALLOWED.name}")
    print(f"{len(findings)} findings, {len(found)} count, {len(unexplained)} unexplained")
    return 1 if unexplained or outdated else 0


def make_venv() -> None:
    """Install slither unless it is there in the version wanted."""
    stamp = VENV / "requirements.txt"
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return
    venv.create(VENV, with_pip=True, clear=True)
    pip = [str(PROGRAMS / "python"), "-m", "pip", "install", "--quiet", "--requirement"]
    subprocess.run([*pip, str(REQUIREMENTS)], check=True)
    stamp.write_text(wanted, encoding="utf-8")


def run_slither() -> list[dict[str, Any]]:
    """Compile with hardhat and analyse what came out -> findings."""
    subprocess.run([str(NODE_PROGRAMS / "hardhat"), "compile", "--force"], cwd=ROOT, check=True)
    path = os.pathsep.join((str(PROGRAMS), str(NODE_PROGRAMS), os.environ["PATH"]))
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "slither.json"
        command = [str(PROGRAMS / "slither"), ".", "--json", str(report), "--no-fail-pedantic"]
        command += ["--compile-force-framework", "hardhat", "--hardhat-ignore-compile"]
        command += ["--hardhat-artifacts-directory", "build/hardhat/artifacts"]
        environment = {**os.environ, "PATH": path}
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        if not report.is_file():
            raise SystemExit(f"slither wrote no report:\n{done.stdout}{done.stderr}")
        answer = json.loads(report.read_text(encoding="utf-8"))
    if not answer["success"]:
        raise SystemExit(f"slither failed: {answer['error']}")
    findings: list[dict[str, Any]] = answer["results"].get("detectors", [])
    if not findings:
        # It always has remarks on the use of time: none at all means that nothing was read.
        raise SystemExit("slither found nothing at all, so it did not see the contracts")
    return findings


def name_of(finding: dict[str, Any]) -> str:
    """The finding's check and place, without line numbers, which move."""
    element = finding["elements"][0]
    parent = element.get("type_specific_fields", {}).get("parent", {}).get("name")
    place = f"{parent}.{element['name']}" if parent else element["name"]
    return f"{finding['check']}: {place}"


if __name__ == "__main__":
    sys.exit(main())
