"""trust.toml: whom one believes, under which name; private, and never changed by accident."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from integrity.client.session import Session
from integrity.errors import AddressMalformed, LinkMalformed, UsageError
from integrity.home import Home
from integrity.trust import TrustedPublisher, TrustStore

ALICE = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
BOB = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.at(tmp_path / "home")


@pytest.fixture
def trust(home: Home) -> TrustStore:
    return TrustStore(home)


def write(home: Home, text: str) -> None:
    home.config_folder.mkdir(parents=True, exist_ok=True)
    home.trust_file.write_text(text)


def test_nobody_is_trusted_at_first(home: Home, trust: TrustStore) -> None:
    assert trust.read().all() == []
    assert trust.read().alias_of(1, ALICE) is None
    assert not home.config_folder.exists()


def test_whom_one_adds_is_found_by_alias_and_by_address(home: Home, trust: TrustStore) -> None:
    bob, alice = TrustedPublisher("bob", 10, BOB), TrustedPublisher("alice", 1, ALICE)
    trust.add(bob)
    trust.add(alice)
    assert trust.read().all() == [alice, bob]
    assert trust.read().find("alice") == alice
    assert trust.read().alias_of(1, ALICE) == "alice"
    assert trust.read().alias_of(10, ALICE) is None
    assert trust.read().alias_of(1, BOB) is None
    link = Session(home).link("bob/tool@1.0.0")
    assert (link.chain_id, link.publisher, link.package, link.version) == (10, BOB, "tool", "1.0.0")
    assert trust.remove("alice") == alice
    assert trust.read().all() == [bob]
    with pytest.raises(UsageError, match="no alias 'alice'"):
        trust.read().find("alice")


def test_a_chain_goes_by_name_too(home: Home, trust: TrustStore) -> None:
    write(home, f'[publishers.alice]\nchain = "base"\npublisher = "{ALICE}"\n')
    assert trust.read().all() == [TrustedPublisher("alice", 8453, ALICE)]
    trust.add(TrustedPublisher("alice", 8453, ALICE))
    write(home, f'[publishers.alice]\nchain = "nowhere"\npublisher = "{ALICE}"\n')
    with pytest.raises(UsageError, match="needs chain") as caught:
        trust.read()
    assert "chain list" in caught.value.next


def test_the_file_is_its_owners_only_and_stays_so(home: Home, trust: TrustStore) -> None:
    trust.add(TrustedPublisher("alice", 1, ALICE))
    assert stat.S_IMODE(home.trust_file.stat().st_mode) == 0o600
    home.trust_file.chmod(0o644)
    trust.add(TrustedPublisher("bob", 1, BOB))
    assert stat.S_IMODE(home.trust_file.stat().st_mode) == 0o600
    home.trust_file.chmod(0o644)
    trust.remove("bob")
    assert stat.S_IMODE(home.trust_file.stat().st_mode) == 0o600
    names = {path.name for path in home.config_folder.iterdir()}
    assert names - {".trust.toml.lock"} == {"trust.toml"}


def test_comments_are_kept(home: Home, trust: TrustStore) -> None:
    text = (
        f"# mine\n\n[publishers.alice] # met in person\nchain = 1\npublisher = '{ALICE}' # hers\n"
    )
    write(home, text)
    trust.add(TrustedPublisher("bob", 1, BOB))
    for line in text.splitlines():
        assert line in home.trust_file.read_text()
    trust.remove("bob")
    for line in text.splitlines():
        assert line in home.trust_file.read_text()


def test_what_is_added_is_set_off_from_what_is_there(home: Home, trust: TrustStore) -> None:
    def entry(alias: str, address: str) -> str:
        return f'[publishers.{alias}]\nchain = 1\npublisher = "{address}"\n'

    policy = "[policy]\nquorum = 2\n"
    write(home, f"{entry('alice', ALICE)}\n{policy}")
    trust.add(TrustedPublisher("bob", 1, BOB))
    trust.add(TrustedPublisher("carol", 1, BOB), TrustedPublisher("dave", 1, BOB))
    tables = [entry("alice", ALICE), *(entry(who, BOB) for who in ("bob", "carol", "dave")), policy]
    assert home.trust_file.read_text() == "\n".join(tables)
    write(home, "")
    trust.add(TrustedPublisher("bob", 1, BOB))
    trust.add(TrustedPublisher("carol", 1, BOB))
    assert home.trust_file.read_text() == "\n".join(tables[1:3])
    trust.remove("carol")
    assert home.trust_file.read_text() == tables[1]
    write(home, policy)
    trust.add(TrustedPublisher("bob", 1, BOB))
    assert home.trust_file.read_text() == f"{policy}\n{tables[1]}"


def test_an_alias_never_comes_to_mean_somebody_else(home: Home, trust: TrustStore) -> None:
    trust.add(TrustedPublisher("alice", 1, ALICE))
    before = home.trust_file.read_bytes()
    for other in (TrustedPublisher("alice", 1, BOB), TrustedPublisher("alice", 10, ALICE)):
        with pytest.raises(UsageError, match=f"'alice' means {ALICE} on chain 1"):
            trust.add(other)
    trust.add(TrustedPublisher("alice", 1, ALICE))
    assert home.trust_file.read_bytes() == before


@pytest.mark.parametrize(
    "alias",
    [
        "",
        "Alice",
        "a b",
        "-a",
        ".a",
        "_a",
        "a/b",
        "a@b",
        "a:b",
        "é",
        "x" * 65,
        "a\n",
        "\x1b[2J",
        "аlice",  # noqa: RUF001 - a lookalike, on purpose
    ],
)
def test_an_alias_that_links_could_not_say_is_refused(
    home: Home, trust: TrustStore, alias: str
) -> None:
    with pytest.raises(UsageError, match="not an alias"):
        trust.add(TrustedPublisher(alias, 1, ALICE))
    assert not home.trust_file.exists()


@pytest.mark.parametrize("alias", ["a", "0", "a.b-c_d", "x" * 64, "integrity", "publishers"])
def test_an_alias_that_links_can_say_is_taken(home: Home, trust: TrustStore, alias: str) -> None:
    trust.add(TrustedPublisher(alias, 1, ALICE))
    assert Session(home).link(f"{alias}/tool").publisher == ALICE
    trust.remove(alias)
    assert trust.read().all() == []


def test_an_unknown_alias_in_a_link_says_how_to_add_it(home: Home) -> None:
    with pytest.raises(UsageError, match="no alias 'nobody'") as caught:
        Session(home).link("nobody/tool")
    assert "integrity trust add" in caught.value.next
    with pytest.raises(LinkMalformed):
        Session(home).link("Nobody/tool")


ENTRY = f"chain = 1\npublisher = '{ALICE}'\n"
BROKEN = {
    "[publishers": "is not TOML",
    "publishers = 1": "publishers",
    "publishers = []": "publishers",
    "[[publishers]]\nalias = 'x'": "publishers",
    "[publishers]\nalice = 1": "[publishers.alice]",
    f"[publishers.alice]\npublisher = '{ALICE}'": "[publishers.alice] needs chain",
    f"[publishers.alice]\nchain = '1'\npublisher = '{ALICE}'": "[publishers.alice] needs chain",
    f"[publishers.alice]\nchain = true\npublisher = '{ALICE}'": "[publishers.alice] needs chain",
    f"[publishers.alice]\nchain = 0\npublisher = '{ALICE}'": "[publishers.alice] needs chain",
    f"[publishers.alice]\nchain = -1\npublisher = '{ALICE}'": "[publishers.alice] needs chain",
    "[publishers.alice]\nchain = 1": "[publishers.alice]",
    "[publishers.alice]\nchain = 1\npublisher = 5": "[publishers.alice]",
    "[publishers.alice]\nchain = 1\npublisher = '0x12'": "[publishers.alice]",
    f"[publishers.alice]\nchain = 1\npublisher = '{ALICE.swapcase().replace('X', 'x')}'": "checksum",
    f"[publishers.alice]\n{ENTRY}compromised_sinse = 5": "the unknown setting 'compromised_sinse'",
    f"[publisher.alice]\n{ENTRY}": "the unknown setting 'publisher'",
    f"[publishers.Alice]\n{ENTRY}": "Alice",
}


@pytest.mark.parametrize(("text", "says"), BROKEN.items(), ids=map(repr, BROKEN))
def test_a_broken_file_trusts_nobody_and_names_the_fault(
    home: Home, trust: TrustStore, text: str, says: str
) -> None:
    write(home, text)
    with pytest.raises(UsageError) as caught:
        trust.read()
    assert str(home.trust_file) in caught.value.message
    assert says in caught.value.message
    with pytest.raises(UsageError):
        trust.add(TrustedPublisher("bob", 1, BOB))
    assert home.trust_file.read_text() == text


def test_threat_42_an_address_with_a_wrong_checksum_is_refused_in_links_too(home: Home) -> None:
    wrong = ALICE[:-1] + "D"
    for text in (f"integrity:1:{wrong}/tool", f"integrity:1:{wrong}/tool@1.0.0?from=http://x"):
        with pytest.raises(AddressMalformed, match="checksum") as caught:
            Session(home).link(text)
        assert wrong in caught.value.message, "the whole address is shown"
    assert Session(home).link(f"integrity:1:{ALICE.lower()}/tool").publisher == ALICE


def test_a_packages_policy_is_closer_than_its_publishers(home: Home, trust: TrustStore) -> None:
    who = f'chain = 1\npublisher = "{ALICE}"\n'
    own = f'[publishers.acme.policy]\nquorum = 1\ndelegates = ["{ALICE}"]\n'
    write(
        home,
        f"[publishers.acme]\n{who}{own}[publishers.acme.packages.tool]\nquorum = 3\ndelegates = []\n"
        f"[publishers.bcme]\n{who}",
    )
    theirs = trust.read().policy(1, ALICE, "tool")
    assert (theirs.quorum, theirs.delegates) == (3, ())
    assert trust.read().policy(1, ALICE, "other").quorum == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("policy]\nquorum = 2", "policy]\nquorum = 1"),
        ('policy]\nfinality = "finalized"', "policy]\nconfirmations = 3"),
        ("packages.tool]\ndelegates = []", f'packages.tool]\ndelegates = ["{BOB}"]'),
    ],
)
def test_of_two_entries_for_one_publisher_none_loosens_the_other(
    home: Home, trust: TrustStore, first: str, second: str
) -> None:
    who = f'chain = 1\npublisher = "{ALICE}"\n'
    acme = f"[publishers.acme]\n{who}[publishers.acme.{first}\n"
    for other, fits in ((first, True), (second, False)):
        write(home, f"{acme}[publishers.bcme]\n{who}[publishers.bcme.{other}\n")
        if fits:
            assert len(trust.read().all()) == 2
            continue
        with pytest.raises(UsageError, match="two entries"):
            trust.read()


def test_a_file_that_rests_is_parsed_once_and_any_change_of_it_is_seen(
    home: Home, trust: TrustStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integrity.trust.store._SETTLED_SECONDS", -1.0)
    write(home, f'[publishers.alice]\nchain = 1\npublisher = "{ALICE}"\n')
    assert trust.read() is trust.read()
    assert trust.read().policy(1, ALICE).quorum == 1
    before = home.trust_file.stat()
    time.sleep(0.02)  # longer than the steps of the system's clock for files
    write(home, f'[publishers.alice]\nchain = 7\npublisher = "{ALICE}"\n')
    os.utime(home.trust_file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert trust.read().alias_of(1, ALICE) is None
    assert trust.read().alias_of(7, ALICE) == "alice"
    trust.remove("alice")
    assert trust.read().all() == []


def test_a_file_that_was_just_changed_is_read_each_time(home: Home, trust: TrustStore) -> None:
    write(home, "")
    assert trust.read() is not trust.read()
