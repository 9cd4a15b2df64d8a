"""What a home asks of a release, beyond that it is recorded; and why a record is believed, step by step."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Release
from .running import User
from .schema import check, documented

FIELDS = documented()
STRANGER = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


def trust(user: User, release: Release, policy: str) -> None:
    user.own_home.trust_file.parent.mkdir(parents=True, exist_ok=True)
    user.own_home.trust_file.write_text(
        f'[publishers.acme]\nchain = 31337\npublisher = "{release.address}"\n'
        f'[publishers.auditor]\nchain = 31337\npublisher = "{STRANGER}"\n'
        f"[publishers.acme.policy]\n{policy}\n"
    )


@pytest.fixture
def endorser(release: Release, publisher: User) -> str:
    """Somebody else's account, which endorsed the release."""
    (key,) = publisher.ok("key", "list", "--json").json()["keys"]
    publisher.ok("endorse", release.link, "--kind", "rebuilt", "--publisher", release.address)
    return str(key["address"])


def test_a_policy_asks_for_endorsements(
    release: Release, reader: User, endorser: str, tmp_path: Path
) -> None:
    show = ("show", "acme/tool@1.0.0", "--json")
    trust(reader, release, 'endorsements = 1\nendorsers = ["auditor"]')
    missing = reader.run(*show).error("NotEndorsed", 4)
    assert missing["evidence"]["missing"] == [STRANGER]
    assert missing["step"] == 4
    trust(reader, release, f'endorsements = 1\nendorsers = ["auditor", "{endorser}"]')
    assert reader.ok(*show).json()["sequence"] == 1
    storage = reader.ok(*show, "--why").json()["steps"][3]
    assert storage["evidence"]["endorsed_by"] == [endorser]
    # A receipt that this home takes carries what its endorsers say, so another one need ask nobody.
    receipt = tmp_path / "receipt"
    reader.ok("receipt", "export", "acme/tool@1.0.0", "-o", receipt)
    block = "0x" + storage["evidence"]["manifest"]
    told = reader.run("receipt", "check", receipt, "--checkpoint", block, "--json")
    block = "0x" + told.error("HeaderUntrusted", 3)["evidence"]["actual"]
    checked = reader.ok("receipt", "check", receipt, "--checkpoint", block, "--json").json()
    assert checked["steps"][3]["evidence"]["endorsed_by"] == [endorser]
    bare = tmp_path / "bare"
    trust(reader, release, "")
    reader.ok("receipt", "export", "acme/tool@1.0.0", "-o", bare)
    trust(reader, release, f'endorsements = 1\nendorsers = ["{endorser}"]')
    reader.run("receipt", "check", bare, "--checkpoint", block, "--json").error("RecordUnproven", 3)
    trust(reader, release, "")
    reader.ok(
        "receipt", "export", "acme/tool@1.0.0", "-o", tmp_path / "named", "--endorser", endorser
    )


def test_a_policy_names_who_may_publish(release: Release, reader: User) -> None:
    trust(reader, release, "delegates = []")
    assert reader.ok("show", "acme/tool@1.0.0", "--json").json()["by"] == release.address


@pytest.mark.parametrize(
    ("policy", "word"),
    [
        ("endorsements = 1", "endorsers"),
        ('endorsements = 1\nendorsers = ["nobody"]', "nobody"),
        ('endorsers = ["0x12"]', "0x12"),
        (f"endorsers = {[f'0x{n:040x}' for n in range(65)]}", "at most 64"),
        ('endorsement_kinds = ["blessed"]', "blessed"),
        ('delegates = "auditor"', "delegates"),
    ],
)
def test_a_policy_that_cannot_be_kept_is_refused(
    release: Release, reader: User, policy: str, word: str
) -> None:
    trust(reader, release, policy)
    refused = reader.run("show", "acme/tool@1.0.0", "--json").error("UsageError", 2)
    assert word in refused["message"]


# --- why -----------------------------------------------------------------------------------------


def test_a_verdict_tells_its_steps(release: Release, reader: User) -> None:
    named = ("--publisher", release.address)
    why = reader.ok("show", release.link, *named, "--why", "--json").json()
    check(why, FIELDS["integrity show --why"])
    assert [step["name"] for step in why["steps"]] == [
        "who", "header", "account", "storage", "rollback",
    ]  # fmt: skip
    assert (why["verdict"], why["failed"], why["error"]) == ("recorded", None, None)
    lines = reader.ok("show", release.link, *named, "--why").text
    assert "1 who" in lines
    assert f"the publisher {release.address} was named for this call" in lines
    folder = ("verify", release.folder, release.link, *named, "--why")
    assert "8 completeness" in reader.ok(*folder).text


def test_a_verdict_tells_where_it_ends(release: Release, reader: User) -> None:
    absent = reader.run(
        "show",
        release.link.replace("1.0.0", "9.9.9"),
        "--publisher",
        release.address,
        "--why",
        "--json",
    )
    assert absent.code == 4
    told = absent.json()
    check(told, FIELDS["integrity show --why"])
    assert [step["step"] for step in told["steps"]] == [1, 2, 3]
    assert (told["verdict"], told["failed"]) == ("does not verify", 4)
    assert told["error"]["name"] == "ReleaseNotFound"
    unknown = reader.run("show", release.link, "--why")
    assert unknown.code == 3
    assert "1 could not check: UnknownPublisher" in unknown.text
    nobody = reader.run(
        "show", release.link, "--publisher", release.address, "--why", "--json",
        INTEGRITY_RPC="http://127.0.0.1:9",
    )  # fmt: skip
    assert (nobody.code, nobody.json()["failed"]) == (3, 2)
