"""config.toml: what it may say, what overrules it, and that nothing of the user's is lost."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from integrity.client.session import Session
from integrity.config import Config, set_config
from integrity.errors import DiskError, IntegrityError, NoRpc, UsageError
from integrity.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.at(tmp_path / "home")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("INTEGRITY_")]:
        monkeypatch.delenv(name)


def write(home: Home, text: str | bytes) -> None:
    home.config_folder.mkdir(parents=True, exist_ok=True)
    home.config_file.write_bytes(text.encode() if isinstance(text, str) else text)


# --- reading -----------------------------------------------------------------------------------


def test_without_a_file_nothing_is_set(home: Home) -> None:
    config = Config.load(home)
    assert (config.default_chain, config.default_key, config.rpc) == (None, None, {})
    assert not home.config_folder.exists(), "looking makes nothing"


def test_what_is_set_is_read(home: Home) -> None:
    write(
        home,
        'default_chain = 10\ndefault_key = "release"\n'
        '[chains.1]\nrpc = ["https://a.example", "https://b.example"]\n'
        '[chains.10]\nrpc = "https://c.example"\n[chains.5]\n',
    )
    config = Config.load(home)
    assert (config.default_chain, config.default_key) == (10, "release")
    assert config.rpc == {
        1: ("https://a.example", "https://b.example"),
        10: ("https://c.example",),
        5: (),
    }


def test_chains_go_by_name_too(home: Home) -> None:
    text = 'default_chain = "base"\n[chains.base]\nrpc = "http://a"\nmax_fee = 2\nfirst_block = 7\n'
    write(home, text)
    config = Config.load(home)
    assert config.default_chain == Session(home).chosen_chain() == 8453
    assert (config.rpc, config.first_block) == ({8453: ("http://a",)}, {8453: 7})
    assert config.max_fee == {8453: 2 * 10**9}
    set_config(home, {"chains": {8453: {"rpc": ["http://b"]}, 1: {"rpc": ["http://c"]}}})
    assert Config.load(home).rpc == {8453: ("http://b",), 1: ("http://c",)}
    assert "[chains.8453]" not in home.config_file.read_text()


def test_a_limit_for_fees_is_in_gwei_and_a_calls_own_comes_first(home: Home) -> None:
    write(home, "[chains.1]\nmax_fee = 0.5\n[chains.10]\nmax_fee = 40\n[chains.5]\n")
    assert Config.load(home).max_fee == {1: 5 * 10**8, 10: 40 * 10**9}
    assert [Session(home).fee_limit(chain) for chain in (1, 10, 5)] == [5 * 10**8, 40 * 10**9, None]
    assert Session(home, max_fee=7).fee_limit(1) == 7


BROKEN = {
    "[chains.1]\nmax_fee = 0": "no number of gwei",
    "[chains.1]\nmax_fee = true": "no number of gwei",
    "[chains.1]\nmax_fee = nan": "no number of gwei",
    '[chains.1]\nmax_fee = "40 gwei"': "no number of gwei",
    "default_chain = ": "is not TOML",
    "[chains.1": "is not TOML",
    "a = 1\na = 2\n": "is not TOML",
    b"default_key = '\xff'": "cannot read",
    b"\x00": "is not TOML",
    "default_chain = '1'": "a default_chain that is no",
    "default_chain = 1.0": "a default_chain that is no",
    "default_chain = true": "a default_chain that is no",
    "default_chain = 0": "a default_chain that is no",
    "default_chain = -1": "a default_chain that is no",
    "default_chain = 9007199254740992": "a default_chain that is no",
    "default_key = 7": "a default_key that is no string",
    "default_key = ['a']": "a default_key that is no string",
    "chains = 1": "chains that are no table",
    "[[chains]]\nrpc = 'x'": "chains that are no table",
    "[chains]\nnowhere = {rpc = 'x'}": "[chains.nowhere], which is no chain id",
    "[chains.base]\n[chains.8453]": "has a chain twice",
    "default_chain = 'nowhere'": "a default_chain that is no",
    "[chains]\n-1 = {rpc = 'x'}": "[chains.-1]",
    "[chains]\n'1_0' = {rpc = 'x'}": "[chains.1_0]",
    "[chains]\n'²' = {rpc = 'x'}": "[chains.²]",
    "[chains]\n01 = {rpc = 'x'}": "[chains.01]",
    "[chains]\n0 = {rpc = 'x'}": "[chains.0]",
    "[chains]\n1 = 'x'": "[chains.1]",
    "[chains.1]\nrpc = 5": "rpc is no list of URLs",
    "[chains.1]\nrpc = ['x', 5]": "rpc is no list of URLs",
    "[chains.1]\nrpc = {a = 'b'}": "rpc is no list of URLs",
    "[chains.1]\nrcp = ['x']": "the unknown setting 'rcp'",
    "[chains.1]\nfirst_block = -1": "first_block is no block's number",
    "[chains.1]\nfirst_block = '5'": "first_block is no block's number",
    "[chains.1]\nfirst_block = true": "first_block is no block's number",
    "[chains.1]\nfirst_block = 9007199254740992": "first_block is no block's number",
    "follow = 'acme/tool'": "a follow that is no list of links",
    "follow = [1]": "a follow that is no list of links",
    "rpc = ['x']": "the unknown setting 'rpc'",
    "share = true\ndefault_chian = 1": "the unknown setting 'default_chian'",
}


def test_what_the_index_is_told_is_read(home: Home) -> None:
    write(home, "follow = ['acme/tool']\n[chains.1]\nfirst_block = 7\n[chains.5]\nrpc = 'x'\n")
    config = Config.load(home)
    assert config.follow == ("acme/tool",)
    assert config.first_block == {1: 7, 5: 0}
    assert config.rpc == {1: (), 5: ("x",)}


@pytest.mark.parametrize(("text", "says"), BROKEN.items(), ids=map(repr, BROKEN))
def test_a_broken_file_is_a_usage_error_that_names_file_and_fault(
    home: Home, text: str | bytes, says: str
) -> None:
    write(home, text)
    with pytest.raises(UsageError) as caught:
        Config.load(home)
    assert caught.value.exit_code == 2
    assert str(home.config_file) in caught.value.message
    assert says in caught.value.message
    if "cannot read" not in says:
        assert "Mend the file" in caught.value.next


def test_a_folder_in_the_place_of_the_file_is_a_usage_error(home: Home) -> None:
    home.config_file.mkdir(parents=True)
    with pytest.raises(UsageError, match=r"cannot read .*config\.toml"):
        Config.load(home)


# --- what overrules what -----------------------------------------------------------------------


def test_a_flag_comes_before_the_environment_and_that_before_the_file(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(home, "default_chain = 3\n[chains.3]\nrpc = ['http://file']\n")
    config = Config.load(home)
    assert config.nodes(3) == ("http://file",)
    monkeypatch.setenv("INTEGRITY_RPC", " http://one  http://two ")
    assert config.nodes(3) == ("http://one", "http://two")
    assert config.nodes(3, ("http://flag",)) == ("http://flag",)

    assert Session(home).chosen_chain() == 3
    monkeypatch.setenv("INTEGRITY_CHAIN", "2")
    assert Session(home).chosen_chain() == 2
    assert Session(home, chain_id=1).chosen_chain() == 1


def test_an_empty_environment_variable_says_nothing(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(home, "default_chain = 3\n[chains.3]\nrpc = ['http://file']\n")
    monkeypatch.setenv("INTEGRITY_RPC", "")
    monkeypatch.setenv("INTEGRITY_CHAIN", "")
    assert Config.load(home).nodes(3) == ("http://file",)
    assert Session(home).chosen_chain() == 3


@pytest.mark.parametrize("text", ["x", "1.0", "-1", "²", "٣", "0", " ", "1 2", str(2**53)])
def test_a_chain_in_the_environment_that_is_no_number_is_a_usage_error(
    home: Home, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("INTEGRITY_CHAIN", text)
    with pytest.raises(UsageError, match="INTEGRITY_CHAIN"):
        Session(home).chosen_chain()


@pytest.mark.parametrize("chain_id", [0, -1, 2**53])
def test_a_chain_id_that_is_none_is_a_usage_error(home: Home, chain_id: int) -> None:
    with pytest.raises(UsageError, match=str(chain_id)):
        Session(home, chain_id=chain_id).chosen_chain()


def test_without_a_chain_or_a_node_what_to_add_is_said(home: Home) -> None:
    with pytest.raises(UsageError, match="no chain is named") as chain:
        Session(home).chosen_chain()
    assert "integrity chain start" in chain.value.next
    assert str(home.config_file) in chain.value.next
    with pytest.raises(NoRpc, match="chain 5") as node:
        Config.load(home).nodes(5)
    assert node.value.exit_code == 3
    assert "[chains.5]" in node.value.next


def test_integrity_home_moves_everything(tmp_path: Path) -> None:
    home = Home.of_environment({"INTEGRITY_HOME": str(tmp_path / "a" / ".." / "b")})
    for path in (
        home.config_file,
        home.trust_file,
        home.keys,
        home.store,
        home.chain,
        home.journal,
    ):
        assert path.is_relative_to(home.data_folder)
        assert path.is_absolute()
    assert Home.of_environment({"INTEGRITY_HOME": "~/x"}).data_folder == Path.home() / "x"
    assert Home.of_environment({"INTEGRITY_HOME": "x"}).data_folder == Path.cwd() / "x"
    elsewhere = Home.of_environment({})
    assert Home.of_environment({"INTEGRITY_HOME": ""}) == elsewhere
    assert elsewhere.config_file.name == "config.toml"


# --- writing -----------------------------------------------------------------------------------

COMMENTED = """# my settings

default_chain = 1   # the main one

[chains.1]   # paid for
# the first is faster
rpc = [
  "https://a.example", # one
  'https://b.example',
]

[chains.10]
rpc = ["https://c.example"]
"""


def test_what_is_not_changed_stays_to_the_letter(home: Home) -> None:
    write(home, COMMENTED)
    set_config(home, {"default_key": "release", "chains": {31337: {"rpc": ["http://127.0.0.1:1"]}}})
    text = home.config_file.read_text()
    for line in COMMENTED.splitlines():
        assert line in text
    config = Config.load(home)
    assert config.default_key == "release"
    assert config.rpc[1] == ("https://a.example", "https://b.example")
    assert config.rpc[31337] == ("http://127.0.0.1:1",)
    set_config(home, {"chains": {31337: {"rpc": ["http://127.0.0.1:2"]}}})
    assert Config.load(home).rpc[31337] == ("http://127.0.0.1:2",)
    assert home.config_file.read_text().count("31337") == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "chains.31337.rpc = ['http://old']\n",
        "chains = {31337 = {rpc = ['http://old']}}\n",
        "[chains]\n31337 = {rpc = 'http://old'}\n",
        "[chains.31337]\n\n[chains.1]\nrpc='http://x'\n",
        "chains = {}\n",
        "chains = {5 = {rpc = 'http://x'}}\n",
        "# only a comment",
        "default_chain = 1",
    ],
)
def test_every_way_to_write_a_table_can_be_changed(home: Home, text: str) -> None:
    write(home, text)
    before = Config.load(home)
    changes: dict[str, Any] = {"default_key": "k", "chains": {31337: {"rpc": ["http://new"]}}}
    set_config(home, changes)
    after = Config.load(home)
    assert after.rpc == {**before.rpc, 31337: ("http://new",)}
    assert (after.default_key, after.default_chain) == ("k", before.default_chain)


def test_a_broken_file_is_not_written_over(home: Home) -> None:
    write(home, "default_chain = \n# mine\n")
    with pytest.raises(UsageError, match="is not TOML"):
        set_config(home, {"default_chain": 5})
    assert home.config_file.read_text() == "default_chain = \n# mine\n"


def test_a_home_that_is_no_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("in the way")
    with pytest.raises((UsageError, DiskError), match="home"):
        set_config(Home.at(tmp_path / "home"), {"default_chain": 5})


def test_the_file_is_its_owners_only_since_urls_hold_keys(home: Home) -> None:
    set_config(home, {"chains": {1: {"rpc": ["https://node.example/v3/secret"]}}})
    assert stat.S_IMODE(home.config_file.stat().st_mode) == 0o600
    set_config(home, {"default_chain": 1})
    assert stat.S_IMODE(home.config_file.stat().st_mode) == 0o600


def test_a_link_to_the_file_stays_a_link(home: Home, tmp_path: Path) -> None:
    kept = tmp_path / "dotfiles.toml"
    kept.write_text("default_chain = 1\n")
    home.config_folder.mkdir(parents=True)
    home.config_file.symlink_to(kept)
    set_config(home, {"default_chain": 5})
    assert home.config_file.is_symlink()
    assert "default_chain = 5" in kept.read_text()


def test_nothing_temporary_is_left(home: Home) -> None:
    set_config(home, {"default_chain": 5})
    names = {path.name for path in home.config_folder.iterdir()}
    assert names - {".config.toml.lock"} == {"config.toml"}


def test_every_error_here_is_of_this_library(home: Home) -> None:
    for error in (UsageError, NoRpc, DiskError):
        assert issubclass(error, IntegrityError)
