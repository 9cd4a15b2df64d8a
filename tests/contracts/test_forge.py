"""Runs the tests written in Solidity, against the shipped bytecode."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

SUITES = {
    "AdversaryTest",
    "DelegationTest",
    "EndorsingTest",
    "InvariantsTest",
    "MulticallTest",
    "NamesTest",
    "PublishingTest",
    "ReadingTest",
    "SignaturesTest",
}
INVARIANTS = {
    "invariant_a_written_release_never_changes_and_revocation_is_final",
    "invariant_endorsements_are_what_their_endorsers_said_last",
    "invariant_nobody_writes_under_anothers_name",
    "invariant_sequences_never_skip",
}


def forge_test(forge: str, root: Path, profile: str, *options: str) -> str:
    """Run all of forge's tests -> what it printed. Its last lines tell of a failure."""
    environment = {**os.environ, "FOUNDRY_PROFILE": profile, "NO_COLOR": "1"}
    done = subprocess.run(
        [forge, "test", *options],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    tail = "\n".join((done.stdout + done.stderr).splitlines()[-40:])
    assert done.returncode == 0, tail
    ran = set(re.findall(r"^Ran \d+ tests? for \S+:(\w+)$", done.stdout, re.MULTILINE))
    assert ran == SUITES, tail
    assert re.search(r" tests passed, 0 failed, 0 skipped ", done.stdout), tail
    return done.stdout


def calls_of_invariants(output: str) -> dict[str, int]:
    found = re.findall(
        r"^\[PASS\] (invariant_\w+)\(\) \(runs: \d+, calls: (\d+)", output, re.MULTILINE
    )
    return {name: int(calls) for name, calls in found}


def test_the_contract_does_what_its_tests_in_solidity_say(
    root: Path, node_tool: Callable[[str], str]
) -> None:
    # Always the same random values here; others with each long run.
    output = forge_test(node_tool("forge"), root, "default", "--fuzz-seed", "1")
    assert set(calls_of_invariants(output)) == INVARIANTS


@pytest.mark.long
def test_the_invariants_hold_over_a_hundred_thousand_random_calls(
    root: Path, node_tool: Callable[[str], str]
) -> None:
    calls = calls_of_invariants(forge_test(node_tool("forge"), root, "long"))
    assert set(calls) == INVARIANTS
    assert all(count >= 100_000 for count in calls.values()), calls
