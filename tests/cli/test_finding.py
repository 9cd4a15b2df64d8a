"""``search``, ``who`` and ``log``: found in the index, proven or marked, and safe to look at."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from integrity.config import set_config
from integrity.core.registry import REVOCATION_REASONS
from integrity.testing.people import equip
from tests.chain.anvils import Anvil

from .conftest import Release, fill
from .running import User
from .schema import check, documented

FIELDS = documented()
DEAD = ("--rpc", "http://127.0.0.1:1")


@pytest.fixture
def acquainted(release: Release, reader: User) -> User:
    """A reader who trusts the release's publisher."""
    reader.ok("trust", "add", "acme", release.address, "--chain", "31337")
    return reader


# --- search ------------------------------------------------------------------------------------


def test_a_search_finds_proves_and_says_as_of_when(release: Release, acquainted: User) -> None:
    found = acquainted.ok("search", "acme", "TOO", "--json").json()
    check(found, FIELDS["integrity search"])
    assert (found["synced"], found["ranked"], found["problem"]) == (True, True, None)
    (one,) = found["results"]
    assert one["link"] == release.link
    assert (one["alias"], one["trusted"], one["verdict"]) == ("acme", True, "verified")
    assert (one["sequence"], one["releases"], one["latest"]) == (1, 1, True)
    assert one["manifest"] == release.report["manifest"]
    assert one["block"]["number"] == found["indexed"]["number"] >= release.report["block"]["number"]
    told = acquainted.ok("search", "acme", "too")
    assert told.text.splitlines()[0] == release.link
    assert "publisher acme" in told.text
    assert "(one rpc, proven)" in told.text
    assert "NOT" not in told.text


def test_a_stranger_is_shown_and_marked(release: Release, reader: User) -> None:
    words = (release.address, "tool", "--chain", "31337")
    (one,) = reader.ok("search", *words, "--json").json()["results"]
    assert (one["alias"], one["trusted"], one["verdict"]) == (None, False, "verified")
    told = reader.ok("search", *words)
    assert "its publisher is NOT in your trust store" in told.text


def test_a_publisher_is_named_by_alias_or_address(release: Release, acquainted: User) -> None:
    for who in ("acme", release.address, release.address.lower()):
        found = acquainted.ok("search", "t", "--publisher", who, "--json").json()["results"]
        assert [one["link"] for one in found] == [release.link]
    other = "0x" + "11" * 20
    found = acquainted.ok("search", "t", "--publisher", other, "--json").json()
    assert found["results"] == []
    acquainted.run("search", "t", "--publisher", "nobody", "--json").error("UsageError", 2)


def test_a_version_is_asked_for_with_at(release: Release, acquainted: User) -> None:
    assert acquainted.ok("search", "acme/tool@1.0", "--json").json()["results"]
    nothing = acquainted.ok("search", "acme/tool@7", "--json")
    check(nothing.json(), FIELDS["integrity search"])
    assert nothing.json()["results"] == []


def test_nothing_found_is_said_as_of_a_block(release: Release, acquainted: User) -> None:
    done = acquainted.ok("search", "no-such-thing")
    assert done.out == b""
    assert "nothing has all these words, up to block " in done.errors


def test_without_an_index_and_without_a_node_nothing_is_said(acquainted: User) -> None:
    error = acquainted.run("search", "tool", *DEAD, "--json").error("RpcUnavailable", 3)
    assert "127.0.0.1:1" in error["causes"][0]
    offline = acquainted.run("search", "tool", "--no-sync", "--json")
    assert "--no-sync" in offline.error("UnavailableError", 3)["next"]


def test_without_a_node_the_index_answers_and_says_so(release: Release, acquainted: User) -> None:
    now = acquainted.ok("search", "acme", "--json").json()
    later = acquainted.ok("search", "acme", *DEAD, "--json").json()
    check(later, FIELDS["integrity search"])
    assert (later["synced"], later["indexed"]) == (False, now["indexed"])
    assert later["problem"]["name"] == "RpcUnavailable"
    (one,) = later["results"]
    assert (one["verdict"], one["block"], one["basis"]) == ("unknown", None, None)
    assert one["problem"]["name"] == "RpcUnavailable"
    told = acquainted.ok("search", "acme", *DEAD)
    assert "NOT PROVEN: " in told.text
    assert f"warning: the index goes up to block {now['indexed']['number']} of chain" in told.errors
    absent = acquainted.run("search", "absent", *DEAD, "--json").error("UnavailableError", 3)
    assert "127.0.0.1:1" in absent["causes"][0]
    offline = acquainted.ok("search", "acme", "--no-sync", "--json").json()
    check(offline, FIELDS["integrity search"])
    assert (offline["synced"], offline["problem"]) == (False, None)
    assert offline["results"][0]["verdict"] == "unknown"
    assert "nobody was asked (--no-sync)" in acquainted.ok("search", "acme", "--no-sync").text
    assert acquainted.ok("search", "absent", "--no-sync", "--json").json()["results"] == []


@pytest.mark.parametrize("words", [("",), ("*",), ('"', "'"), ("@",)])
def test_no_word_is_refused(acquainted: User, words: tuple[str, ...]) -> None:
    acquainted.run("search", *words, "--json").error("UsageError", 2)


@pytest.mark.parametrize(
    "word", ['"', 'tool"', "tool OR x", "NEAR(tool)", "tool*", "-tool", "a:b", "\udcff", "^", "tool\x1b[2J"]
)  # fmt: skip
def test_no_word_is_a_query_language(acquainted: User, word: str) -> None:
    done = acquainted.run("search", "--no-sync", "--json", "--", word)
    assert done.code in {2, 3}, "refused, or nothing is indexed; and no crash"


def test_a_chain_that_is_not_named_is_the_only_one_that_is_known(
    release: Release, reader: User
) -> None:
    reader.run("search", "tool", "--json").error("UsageError", 2)
    reader.ok("trust", "add", "acme", release.address, "--chain", "31337")
    assert reader.ok("search", "tool", "--json").json()["chain_id"] == 31337
    other = reader.run("search", "tool", "--chain", "5", "--json")
    other.error("ChainMismatch", 3)


def test_what_a_manifest_here_says_is_searched_for(publisher: User, tmp_path: Path) -> None:
    fill(tmp_path / "nameless")
    meta = "title=Rock-solid GRÖßE"
    command = ("publish", "nameless", "--package", "x", "--version", "1", "--meta", meta, "--json")
    report = publisher.ok(*command).json()
    (one,) = publisher.ok("search", "solid", "grösse", "--json").json()["results"]
    assert (one["link"], one["trusted"], one["alias"]) == (report["link"], True, None)
    publisher.ok("store", "remove", report["link"])
    assert publisher.ok("search", "solid", "grösse", "--json").json()["results"] == []


# --- who ---------------------------------------------------------------------------------------


def test_who_has_this_file(release: Release) -> None:
    here, folder = release.publisher, release.folder
    for name, by in (("README", "sha256"), ("program", "pieces"), ("empty", "sha256")):
        known = here.ok("who", folder / name, "--json").json()
        check(known, FIELDS["integrity who"])
        one = next(r for r in known["releases"] if r["link"] == release.link)
        assert (one["path"], one["matched"], one["verdict"]) == (name, by, "verified")
        assert one["size"] == (folder / name).stat().st_size
        assert (one["trusted"], one["endorsements"]) == (True, [])
    told = here.ok("who", folder / "program").text
    assert "has it as program, 2.2 MiB, by its pieces" in told


def test_who_has_a_file_of_this_digest(release: Release) -> None:
    data = (release.folder / "program").read_bytes()
    known = release.publisher.ok("who", hashlib.sha256(data).hexdigest(), "--json").json()
    check(known, FIELDS["integrity who"])
    assert [(one["path"], one["matched"]) for one in known["releases"]] == [
        ("program", "also.sha256")
    ]
    told = release.publisher.ok("who", hashlib.sha256(data).hexdigest()).text
    assert "only a file's pieces prove that it is the same" in told
    small = hashlib.sha256((release.folder / "README").read_bytes()).hexdigest()
    known = release.publisher.ok("who", small, "--json").json()
    assert [one["matched"] for one in known["releases"]] == ["sha256"]


def test_who_has_something_else(release: Release, tmp_path: Path) -> None:
    other = tmp_path / "other"
    data = bytearray((release.folder / "program").read_bytes())
    data[2**20] ^= 1
    other.write_bytes(data)
    for what in (str(other), "00" * 32, "00" * 20, "00" * 16, "A" * 39):
        known = release.publisher.ok("who", what, "--json").json()
        assert (known["releases"], known["manifests"]) == ([], 1)
    done = release.publisher.ok("who", other)
    assert (
        "looked through 1 manifest that this home knows: none has it, by its pieces" in done.errors
    )


@pytest.mark.parametrize("what", ["nowhere", ".", "", "00" * 31])
def test_who_of_nothing_is_refused(user: User, what: str) -> None:
    user.run("who", what, "--json").error("UsageError", 2)


def test_who_without_a_node_says_what_is_not_proven(release: Release, tmp_path: Path) -> None:
    file = release.folder / "README"
    for options in (DEAD, ("--no-sync",)):
        known = release.publisher.ok("who", file, *options, "--json").json()
        check(known, FIELDS["integrity who"])
        (one,) = known["releases"]
        assert (one["link"], one["verdict"], one["block"]) == (release.link, "unknown", None)


def test_who_of_a_package_that_is_followed(release: Release, acquainted: User) -> None:
    file = release.folder / "program"
    assert acquainted.ok("who", file, "--json").json()["manifests"] == 0
    set_config(acquainted.own_home, {"follow": ["acme/tool"]})
    waiting = acquainted.run("who", file, "--json").error("UnavailableError", 3)
    assert "1 manifests of integrity:31337:" in waiting["causes"][0]
    known = acquainted.ok("who", file, "--from", release.url, "--json").json()
    check(known, FIELDS["integrity who"])
    assert (known["warnings"], known["manifests"]) == ([], 1)
    (one,) = known["releases"]
    assert (one["link"], one["alias"], one["verdict"]) == (release.link, "acme", "verified")
    assert acquainted.ok("who", file, "--json").json()["releases"], "it is known from then on"
    set_config(acquainted.own_home, {"follow": []})
    assert acquainted.ok("who", file, "--json").json()["manifests"] == 0


def test_who_says_what_it_does_not_look_at(release: Release, acquainted: User) -> None:
    acquainted.ok("get", "acme/tool", "--from", release.url)
    file = acquainted.place / "tool-1.0.0" / "program"
    after = acquainted.ok("who", file, "--from", release.url).errors
    assert "looked through 0 manifests" in after
    assert "not what only lies beside a folder" in after
    assert "`follow` in config.toml names no package, so --from was not asked" in after
    set_config(acquainted.own_home, {"follow": ["acme/tool"]})
    assert acquainted.ok("who", file, "--from", release.url).errors == ""


def test_what_is_wrong_with_a_follow_is_told(user: User) -> None:
    user.home.mkdir()
    (user.place / "f").write_text("x")
    for follow, name in (
        ('"x"', "UsageError"),
        ("[1]", "UsageError"),
        ('["no link at all"]', "LinkMalformed"),
    ):
        (user.home / "config.toml").write_text(f"follow = {follow}\n")
        user.run("who", "f", "--json").error(name, 2)


# --- log ---------------------------------------------------------------------------------------


def test_a_log_tells_revocations_endorsements_and_changes(anvil: Anvil, user: User) -> None:
    address = equip(user.own_home, anvil.url)
    fill(user.place / "d")
    links = []
    for version in ("1.0", "2.0"):
        (user.place / "d" / "README").write_text(version)
        done = user.ok(
            "publish", "d", "--package", "tool", "--version", version, "--no-wait", "--json"
        )
        links.append(str(done.json()["link"]))
    anvil.mine(3)
    user.ok("endorse", links[0], "--kind", "rebuilt", "--no-wait")
    stranger = "0x" + "77" * 20
    anvil.fund(stranger)
    anvil.as_sender(
        stranger,
        "endorse",
        bytes.fromhex(user.ok("show", links[0], "--json").json()["manifest"]),
        2,
    )
    user.ok("latest", links[0], "--no-wait")
    text = "stolen\x1b[2J\u202e key\n"
    user.ok("revoke", links[1], "--reason", "compromised", "--text", text, "--no-wait")
    anvil.mine(3)
    log = user.ok("log", links[0], "--json").json()
    check(log, FIELDS["integrity log"])
    first, second = log["releases"]
    assert (second["revoked"], second["revocation"]["text"]) == ("compromised", text)
    assert first["revocation"] is None
    said = {(one["endorser"], one["kind"], one["trusted"]) for one in first["endorsements"]}
    assert said == {(address, "rebuilt", True), (stranger, "audited", False)}
    assert [one["version"] for one in log["latest_changes"]] == ["1.0"]
    assert (first["latest"], second["latest"]) == (True, False)
    told = user.ok("log", links[0]).text
    assert "\x1b" not in told
    assert "\u202e" not in told
    assert "in the publisher's words: stolen\\u{1b}[2J\\u{202e} key\\u{a}" in told
    assert f"endorsed (rebuilt) by {address}, " in told
    assert "endorsed by 1 account that nobody here knows" in told
    assert "made the latest in block " in told
    assert "REVOKED (compromised)" in told
    assert REVOCATION_REASONS[2] == "compromised"
    (one,) = user.ok("search", "tool@2", "--json").json()["results"]
    assert (one["verdict"], one["problem"]["name"]) == ("failed", "Revoked")
    assert "FAILED: tool@2.0 of " in user.ok("search", "tool@2").text


def test_who_could_not_look_everywhere_says_so(release: Release, user: User) -> None:
    user.own_home.config_file.parent.mkdir(parents=True, exist_ok=True)
    package = release.link.partition("@")[0]
    user.own_home.config_file.write_text(f'follow = ["{package}"]\n')
    dead = user.run("who", "ab" * 32, "--json", INTEGRITY_RPC="http://127.0.0.1:1")
    assert any(
        "could not be followed" in why for why in dead.error("UnavailableError", 3)["causes"]
    )
    assert user.ok("who", "ab" * 32, "--no-sync", "--json").json()["releases"] == []
