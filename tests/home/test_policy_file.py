"""trust.toml is checked as a whole when it is read: what it says of any publisher, and of any package."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from integrity.errors import UsageError
from integrity.home import Home
from integrity.trust import TrustedPublisher, TrustStore

ALICE = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
BOB = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
ENTRIES = (
    f"[publishers.alice]\nchain = 1\npublisher = '{ALICE}'\n"
    f"[publishers.bob]\nchain = 10\npublisher = '{BOB}'\n"
)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home.at(tmp_path / "home")
    home.config_folder.mkdir()
    return home


BROKEN = {
    "[policy]\nquorom = 2": "[policy] has the unknown setting 'quorom'",
    "[policy]\nquorum = 0": "[policy]: quorum = 0",
    "policy = 3": "[policy] is no table",
    "[policy]\nendorsers = ['nobody']": "[policy]: endorsers names 'nobody'",
    "[policy]\ndelegates = ['0x12']": "[policy]: delegates: not an address of 0x and 40 hex digits: '0x12'",
    f"[policy]\nendorsers = ['{ALICE[:-1]}D']": "checksum",
    "[policy]\nfinality = 'latest'\nconfirmations = 5": "both finality and confirmations",
    "[publishers.alice.policy]\nquorom = 2": "[publishers.alice.policy] has the unknown setting",
    "[publishers.alice.policy]\nendorsers = ['bob']": "'bob', which is an account of chain 10",
    "[publishers.bob]\npolicy = 3": "[publishers.bob.policy] is no table",
    "[publishers.bob]\npackages = 3": "[publishers.bob.packages] is no table",
    "[publishers.bob.packages.x]\nquorom = 2": "[publishers.bob.packages.x] has the unknown",
    "[publishers.bob.packages.x]\ndelegates = ['carol']": "[publishers.bob.packages.x]: delegates",
    "[publishers.bob.packages]\nx = 3": "[publishers.bob.packages.x] is no table",
    "[publishers.bob.packages.'Bad Name']\nquorum = 2": "'Bad Name'",
}


@pytest.mark.parametrize(("text", "says"), BROKEN.items(), ids=map(repr, BROKEN))
def test_a_policy_that_is_not_understood_is_refused_whoever_it_is_about(
    home: Home, text: str, says: str
) -> None:
    head, _, rest = text.partition("\n")
    whole = f"{text}\n{ENTRIES}" if "publishers" not in text else f"{ENTRIES}{text}\n"
    if head == "[publishers.bob]":  # its table is there, and goes on
        whole = f"{ENTRIES}{rest}\n"
    home.trust_file.write_text(whole)
    trust = TrustStore(home)
    with pytest.raises(UsageError) as caught:
        trust.read()
    assert str(home.trust_file) in caught.value.message
    assert says in caught.value.message
    with pytest.raises(UsageError):
        trust.add(TrustedPublisher("carol", 1, ALICE))
    assert home.trust_file.read_text() == whole


def test_what_each_table_may_say_is_taken(home: Home) -> None:
    home.trust_file.write_text(
        f"[policy]\nendorsers = ['bob', '{ALICE}']\nconfirmations = 5\n{ENTRIES}"
        "[publishers.bob.policy]\nfinality = 'safe'\nendorsers = ['bob']\n"
        "[publishers.bob.packages.'x.y-z_1']\nconfirmations = 7\ndelegates = []\n"
    )
    trust = TrustStore(home).read()
    assert trust.policy(10, BOB).reads_at == "safe"
    assert trust.policy(10, BOB, "x.y-z_1").reads_at == "7 confirmations"
    with pytest.raises(UsageError, match="'bob', which is an account of chain 10"):
        trust.policy(1, ALICE)


def test_whom_a_policy_names_is_not_forgotten(home: Home) -> None:
    text = f"[policy]\nendorsers = ['bob']\n{ENTRIES}"
    home.trust_file.write_text(text)
    trust = TrustStore(home)
    with pytest.raises(UsageError, match="'bob' is named by a policy"):
        trust.remove("bob")
    assert home.trust_file.read_text() == text
    trust.remove("alice")
    assert [entry.alias for entry in trust.read().all()] == ["bob"]


def test_the_example_of_the_documentation_is_taken(home: Home) -> None:
    page = Path(__file__).parents[2] / "docs" / "trust.md"
    (example,) = re.findall(r"```toml\n(\[policy\].*?)```", page.read_text("utf-8"), re.DOTALL)
    home.trust_file.write_text(example, "utf-8")
    policy = TrustStore(home).read().policy(1, ALICE, "tool")
    assert (policy.quorum, policy.max_age, policy.delegates, len(policy.endorsers)) == (
        3, 1800, (), 2,
    )  # fmt: skip
