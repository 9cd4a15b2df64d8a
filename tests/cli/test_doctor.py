"""``integrity doctor`` finds whatever would make another command fail, and says how to mend it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from integrity.devchain.chain import DevelopmentChain
from tests.chain.conftest import MakeRpc, kind, lying_rpc, shared

from .running import User

__all__ = ["kind", "lying_rpc", "shared"]

ALICE = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
ENTRY = f"[publishers.acme]\nchain = 31337\npublisher = '{ALICE}'\n"


def write(user: User, name: str, text: str) -> Path:
    path = user.home / name
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_text(text)
    return path


def bad(user: User, **environment: str) -> dict[str, tuple[str, str]]:
    """What is BAD: its name, and what is said of it."""
    found = user.run("doctor", "--json", stdin=b"", **environment)
    assert found.code in {0, 3}
    checks = found.json()["checks"]
    return {one["name"]: (one["detail"], one["next"]) for one in checks if not one["ok"]}


def good(user: User, name: str, **environment: str) -> str:
    checks = user.run("doctor", "--json", stdin=b"", **environment).json()["checks"]
    (one,) = [one for one in checks if one["name"] == name]
    assert one["ok"], one
    return str(one["detail"])


# --- settings ----------------------------------------------------------------------------------


def test_a_policy_that_no_command_takes_is_bad(user: User) -> None:
    trust = write(user, "trust.toml", "[policy]\nquorom = 2\n")
    (name, (said, _)), *others = bad(user).items()
    assert name == "trust store"
    assert f"{trust}: [policy] has the unknown setting 'quorom'" in said
    assert not others, "one broken thing is named once"


def test_a_policy_that_nobody_can_meet_is_bad(user: User) -> None:
    write(user, "trust.toml", f"{ENTRY}[publishers.acme.packages.tool]\nendorsements = 2\n")
    assert "asks for 2 endorsements, and names 0" in bad(user)["trust store"][0]


def test_where_the_trust_store_is_is_said(user: User) -> None:
    path = write(user, "trust.toml", ENTRY)
    assert str(path) in good(user, "trust store")
    path.unlink()
    assert str(path) in good(user, "trust store")


def test_what_is_followed_has_to_be_a_package_of_somebody(user: User) -> None:
    config = write(user, "config.toml", 'follow = ["acme/tool"]\n')
    said, what_next = bad(user)["follow"]
    assert said.startswith(f"{config}: follow: ")
    assert "'acme'" in said
    assert "trust add" in what_next
    who = user.run("who", "ab" * 32, "--json").error("UsageError", 2)
    assert who["message"] == said
    write(user, "config.toml", 'follow = ["not a link"]\n')
    assert bad(user)["follow"][0].startswith(f"{config}: follow: ")
    write(user, "config.toml", 'follow = ["acme/tool"]\n')
    write(user, "trust.toml", ENTRY)
    assert good(user, "follow") == "1 package"


def test_a_default_key_that_is_not_there_is_bad(user: User) -> None:
    config = write(user, "config.toml", 'default_key = "work"\n')
    said, _ = bad(user)["keys"]
    assert said.startswith(f"{config}: default_key: ")
    assert "'work'" in said


# --- keys --------------------------------------------------------------------------------------


def test_keys_elsewhere_are_mentioned(user: User) -> None:
    vault = f"[signers.vault]\nurl = 'http://127.0.0.1:8550'\naddress = '{ALICE}'\n"
    write(user, "config.toml", vault)
    said = good(user, "keys", INTEGRITY_PRIVATE_KEY="11" * 32)
    assert f"vault ({ALICE}) at http://127.0.0.1:8550" in said
    assert "INTEGRITY_PRIVATE_KEY (0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A)" in said
    assert "INTEGRITY_PRIVATE_KEY" in bad(user, INTEGRITY_PRIVATE_KEY="11")["keys"][0]
    write(user, "config.toml", vault.replace("http://127.0.0.1", "vault"))
    assert "[signers.vault]" in bad(user)["keys"][0]


# --- nodes -------------------------------------------------------------------------------------


def test_the_nodes_of_the_environment_are_asked(
    user: User, integrity_chain: DevelopmentChain
) -> None:
    rpc = integrity_chain.rpc
    assert "the registry stands" in good(user, f"rpc {rpc}", INTEGRITY_RPC=rpc)
    dead = "http://127.0.0.1:1"
    assert f"rpc {dead}" in bad(user, INTEGRITY_RPC=f"{rpc} {dead}")
    only = user.run("doctor", "--rpc", rpc, INTEGRITY_RPC=dead)
    assert dead not in only.text, "a flag comes before the environment"


def test_the_chains_of_the_settings_are_asked_at_their_own_nodes(
    publisher: User, integrity_chain: DevelopmentChain
) -> None:
    found = bad(publisher, INTEGRITY_RPC="http://127.0.0.1:1")
    assert list(found) == ["rpc http://127.0.0.1:1"]


@pytest.mark.parametrize(
    "policy",
    ["[policy]\nquorum = 2\n", f"{ENTRY}[publishers.acme.packages.tool]\nquorum = 2\n"],
    ids=["everybody's", "a package's"],
)
def test_a_quorum_of_more_nodes_than_are_known_is_bad(
    publisher: User, integrity_chain: DevelopmentChain, lying_rpc: MakeRpc, policy: str
) -> None:
    one, other = integrity_chain.rpc, lying_rpc(integrity_chain.rpc).url
    write(publisher, "trust.toml", policy)
    said, what_next = bad(publisher)["chain 31337"]
    assert "1 of 1 nodes of chain 31337 answer, and the policy asks for 2" in said
    assert "config.toml" in what_next
    said, what_next = bad(publisher, INTEGRITY_RPC=one)["quorum of chain 31337"]
    assert "asks for 2" in said
    write(publisher, "config.toml", f'[chains.31337]\nrpc = ["{one}", "{other}"]\n')
    # Both are names of this machine with a port of their own, so each has a vote.
    assert "2 of 2 nodes agree" in good(publisher, "chain 31337")
    said = good(publisher, "quorum of chain 31337", INTEGRITY_RPC=f"{one} {other}")
    assert "2 of 2 nodes agree" in said


def test_a_nodes_url_that_is_none_names_the_settings(user: User) -> None:
    config = write(user, "config.toml", '[chains.1]\nrpc = ["node.example:8545"]\n')
    said, what_next = bad(user)["chain 1"]
    assert said.startswith(f"{config}: [chains.1]: an RPC's URL begins with http")
    shown = user.run("show", f"integrity:1:{ALICE}/tool@1", "--publisher", ALICE, "--json")
    error = shown.error("UsageError", 2)
    assert (error["message"], error["next"]) == (said, what_next)
    assert "--rpc" not in what_next
    named = ("show", f"integrity:1:{ALICE}/tool@1", "--publisher", ALICE, "--json")
    of_environment = user.run(*named, INTEGRITY_RPC="x").error("UsageError", 2)
    assert of_environment["message"].startswith("INTEGRITY_RPC: ")


# --- the home ----------------------------------------------------------------------------------


def test_a_file_is_no_home(user: User) -> None:
    user.home.write_text("")
    assert "is no folder" in bad(user)["home"][0]


def test_a_mark_that_is_none_is_bad(user: User) -> None:
    assert good(user, "seen").startswith("nothing")
    mark = write(user, "seen/" + "ab" * 32, json.dumps({"count": 1, "updated_at": 5, "block": 7}))
    block = write(user, "seen/blocks/1-" + "cd" * 32, "checkpoint")
    assert str(user.home / "seen") in good(user, "seen")
    for path, text in ((mark, "{}"), (mark, "\0"), (block, "perhaps")):
        before = path.read_text()
        path.write_text(text)
        said, what_next = bad(user)["seen"]
        assert str(path) in said
        assert "backup" in what_next
        path.write_text(before)
    assert "2 files" in good(user, "seen")
    shutil.rmtree(user.home / "seen")
    write(user, "seen", "no folder")
    assert f"cannot read {user.home / 'seen'}" in bad(user)["seen"][0]


def test_a_damaged_database_says_how_it_is_made_anew(user: User) -> None:
    write(user, "store.db", "not a database at all" * 100)
    write(user, "index.db", "not a database at all" * 100)
    found = bad(user)
    assert "publish" in found["store"][1]
    assert "it is made anew" in found["index"][1]
    assert not any("doctor" in what_next for _, what_next in found.values())
