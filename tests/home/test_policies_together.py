"""What several tables of trust.toml say together is looked at when the file is read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from integrity.errors import UsageError
from integrity.home import Home
from integrity.trust import TrustedPublisher, TrustStore

ALICE = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
BOB = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
WHO = f'chain = 1\npublisher = "{ALICE}"\n'
CODES = ("aa" * 32, "bb" * 32)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home.at(tmp_path / "home")
    home.config_folder.mkdir()
    return home


def written(home: Home, acme: str, again: str = "", whole: str = "") -> TrustStore:
    """A file of two entries for Alice; in each a header is that of a table inside the entry."""
    text = whole
    for alias, said in (("acme", acme), ("again", again)):
        own = re.sub(r"^\[", f"[publishers.{alias}.", said, flags=re.MULTILINE)
        text += f"[publishers.{alias}]\n{WHO}{own}\n"
    home.trust_file.write_text(text)
    return TrustStore(home)


def test_an_entry_for_a_package_never_loosens_what_another_asks_of_all(home: Home) -> None:
    trust = written(
        home,
        "[policy]\nquorum = 3\nendorsements = 1\n",
        '[packages.tool]\nquorum = 1\nendorsements = 0\nproofs = "optional"\n',
        f'[policy]\nendorsers = ["{BOB}"]\n',
    )
    with pytest.raises(UsageError, match=r"two entries of 0x\w+ say different things of \w+") as e:
        trust.read()
    assert "'tool'" in e.value.message


@pytest.mark.parametrize(
    ("acme", "again"),
    [
        ("[policy]\nquorum = 3", "[policy]\nquorum = 1"),
        ("[policy]\nquorum = 3", "[packages.tool]\nquorum = 1"),
        ("[policy]\nquorum = 1", "[packages.tool]\nquorum = 3"),
        ("[policy]\nquorum = 3\n[packages.tool]\nquorum = 1", "[policy]\nquorum = 3"),
        ("[policy]\nquorum = 3\n[packages.tool]\nquorum = 1", "[packages.tool]\nquorum = 3"),
        ("[policy]\nquorum = 3\n[packages.tool]\nquorum = 1", "[packages.other]\nquorum = 1"),
        ('[policy]\nfinality = "finalized"', "[packages.tool]\nconfirmations = 3"),
    ],
)
def test_two_entries_that_say_different_things_of_a_package_are_refused(
    home: Home, acme: str, again: str
) -> None:
    for one, other in ((acme, again), (again, acme)):
        with pytest.raises(UsageError, match="two entries"):
            written(home, one, other).read()


@pytest.mark.parametrize(
    ("acme", "again", "of_tool", "of_others"),
    [
        ("[policy]\nquorum = 3\n[packages.tool]\nquorum = 1", "", 1, 3),
        ("[policy]\nquorum = 3\n[packages.tool]\nquorum = 1", "[packages.tool]\nquorum = 1", 1, 3),
        ("[policy]\nquorum = 3", "[packages.tool]\nquorum = 3", 3, 3),
        ("[policy]\nquorum = 3", '[packages.tool]\nmax_age = "2 h"', 3, 3),
        ("[packages.other]\nquorum = 3", "[packages.tool]\nquorum = 2", 2, 1),
    ],
)
def test_an_entry_refines_its_own_policy_by_its_packages(
    home: Home, acme: str, again: str, of_tool: int, of_others: int
) -> None:
    for one, other in ((acme, again), (again, acme)):
        trust = written(home, one, other).read()
        assert trust.policy(1, ALICE, "tool").quorum == of_tool
        assert trust.policy(1, ALICE, "more").quorum == of_others


@pytest.mark.parametrize(
    ("acme", "again"),
    [
        (f'registry = "{ALICE}"', f'registry = "{BOB}"'),
        (
            f'registry = "{ALICE}"\nregistry_code = "{CODES[0]}"',
            f'registry = "{ALICE}"\nregistry_code = "{CODES[1]}"',
        ),
        (f'registry = "{ALICE}"\nregistry_code = "{CODES[0]}"', f'registry = "{ALICE}"'),
    ],
)
def test_two_registries_for_one_publisher_are_refused_at_reading(
    home: Home, acme: str, again: str
) -> None:
    for one, other in ((acme, again), (again, acme)):
        trust = written(home, one, other)
        with pytest.raises(UsageError, match="two registries are pinned for") as caught:
            trust.read()
        assert str(home.trust_file) in caught.value.message
        with pytest.raises(UsageError, match="two registries"):
            trust.add(TrustedPublisher("bob", 1, BOB))


def test_a_registry_that_one_entry_pins_goes_for_both(home: Home) -> None:
    code = f'registry = "{BOB}"\nregistry_code = "{CODES[0]}"'
    for one, other in ((code, ""), ("", code), (code, code)):
        trust = written(home, one, other).read()
        assert {entry.registry for entry in trust.all()} <= {BOB, None}


UNSHOWABLE = {
    "[policy]\nendorsements = 1\n": ("", ""),
    f'[policy]\nendorsements = 2\nendorsers = ["{BOB}", "{BOB.lower()}"]\n': ("", ""),
    "": ("[policy]\nendorsements = 3\n", ""),
    f'[policy]\nendorsers = ["{BOB}"]\n': ("[packages.tool]\nendorsements = 2\n", ""),
    f'[policy]\nendorsements = 1\nendorsers = ["{BOB}"]\n': ("[policy]\nendorsers = []\n", ""),
    "[policy]\nquorum = 2\n": ("[policy]\nendorsements = 1\n", "[packages.tool]\nendorsers = []\n"),
}


@pytest.mark.parametrize(("whole", "entries"), UNSHOWABLE.items(), ids=map(repr, UNSHOWABLE))
def test_endorsements_that_nobody_is_named_for_are_refused_at_reading(
    home: Home, whole: str, entries: tuple[str, str]
) -> None:
    trust = written(home, *entries, whole)
    with pytest.raises(UsageError, match=r"endorsements, and names \d endorsers") as caught:
        trust.read()
    assert str(home.trust_file) in caught.value.message


def test_endorsers_and_how_many_of_them_may_be_said_in_different_tables(home: Home) -> None:
    trust = written(
        home,
        "[policy]\nendorsements = 1\n",
        "[packages.tool]\nquorum = 2\n",
        f'[policy]\nendorsers = ["{BOB}"]\n',
    ).read()
    assert trust.policy(1, ALICE, "tool").endorsements == 1
    assert trust.policy(1, ALICE, "tool").endorsers == (BOB,)
    assert trust.policy(1).endorsements == 0
    trust = written(
        home, "[policy]\nendorsements = 2\n", f'[policy]\nendorsers = ["{BOB}", "{ALICE}"]\n'
    ).read()
    assert trust.policy(1, ALICE).endorsers == (BOB, ALICE)
