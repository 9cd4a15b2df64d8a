"""What programs write into files of settings changes nothing else that they say, or is not written."""

from __future__ import annotations

import copy
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrity.config import Config, set_config
from integrity.disk.settings import SETTINGS_LIMIT, change_settings
from integrity.errors import UsageError
from integrity.home import Home
from integrity.trust import TrustedPublisher, TrustStore
from tests.home.spellings import above_tables, spellings

ALICE = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
BOB = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
CAROL = "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB"
NEW = (TrustedPublisher("bob", 1, BOB), TrustedPublisher("carol", 10, CAROL))

POLICIES = st.fixed_dictionaries(
    {},
    optional={
        "quorum": st.integers(1, 3),
        "finality": st.sampled_from(["safe", "latest"]),
        "delegates": st.just([ALICE]),
    },
)
ENTRIES = st.fixed_dictionaries(
    {"chain": st.sampled_from([1, 10, "base"]), "publisher": st.sampled_from([ALICE, CAROL])},
    optional={
        "policy": POLICIES,
        "packages": st.dictionaries(st.sampled_from(["tool", "x.y"]), POLICIES, max_size=2),
    },
).map(lambda entry: {name: value for name, value in entry.items() if value != {}})
TRUST = st.fixed_dictionaries(
    {},
    optional={
        "policy": POLICIES,
        "publishers": st.dictionaries(st.sampled_from(["a", "b2", "bob"]), ENTRIES, max_size=3),
    },
)
CHAINS = st.fixed_dictionaries(
    {"rpc": st.just(["http://a.example"])},
    optional={"max_fee": st.integers(1, 9), "first_block": st.integers(0, 9)},
)
CONFIG = st.fixed_dictionaries(
    {},
    optional={
        "share": st.booleans(),
        "default_chain": st.sampled_from([1, "base"]),
        "default_key": st.just("mine"),
        "chains": st.dictionaries(st.sampled_from(["1", "base", "31337"]), CHAINS, max_size=3),
        "pinning": st.just({"p": {"url": "https://p.example", "token": "t"}}),
        "signers": st.just({"s": {"url": "https://s.example", "address": ALICE}}),
    },
)


def home_with(text: str, name: str) -> tuple[Home, Path]:
    home = Home.at(Path(tempfile.mkdtemp()) / "home")
    home.config_folder.mkdir()
    path = home.config_folder / name
    path.write_bytes(text.encode())
    return home, path


@pytest.mark.parametrize(
    "rest", ["policy.quorum=2", "policy={quorum=2}", "[policy]\nquorum=2", "'policy'.quorum=2"]
)
@pytest.mark.parametrize(
    "entry",
    [
        f'publishers.a={{chain=1,publisher="{ALICE}"}}',
        f'publishers.a.chain=1\npublishers.a.publisher="{ALICE}"',
        f'publishers={{a={{chain=1,publisher="{ALICE}"}}}}',
    ],
)
def test_whom_one_adds_loosens_no_policy(entry: str, rest: str) -> None:
    home, path = home_with(f"# mine\n{entry}\n{rest}\n", "trust.toml")
    trust = TrustStore(home)
    trust.add(*NEW)
    assert trust.read().policy(1, ALICE).quorum == trust.read().policy(1).quorum == 2
    assert [one.alias for one in trust.read().all()] == ["a", "bob", "carol"]
    for line in (*entry.splitlines(), *rest.splitlines(), "# mine"):
        assert line.rstrip("}") in path.read_text()
    trust.remove("bob")
    trust.remove("a")
    assert trust.read().policy(1).quorum == 2
    assert [one.alias for one in trust.read().all()] == ["carol"]


def test_a_chain_that_is_set_takes_no_setting_from_the_file() -> None:
    home, _ = home_with('chains.1={rpc="http://x"}\nshare=true\n', "config.toml")
    set_config(home, {"chains": {31337: {"rpc": ["http://a"]}}, "default_key": "k"})
    config = Config.load(home)
    assert config.share
    assert config.default_key == "k"
    assert config.rpc == {1: ("http://x",), 31337: ("http://a",)}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_adding_and_removing_change_what_they_mean_to_or_nothing(data: st.DataObject) -> None:
    text = data.draw(TRUST.flatmap(spellings))
    before = tomllib.loads(text)
    home, path = home_with(text, "trust.toml")
    trust = TrustStore(home)
    try:
        trust.add(*NEW)
    except UsageError:
        assert path.read_bytes() == text.encode()
        return
    meant = copy.deepcopy(before)
    for one in NEW:
        entry = {"chain": one.chain_id, "publisher": one.publisher}
        meant.setdefault("publishers", {}).setdefault(one.alias, entry)
    assert tomllib.loads(path.read_text()) == meant
    assert above_tables(path.read_text()) == above_tables(text)
    for alias in data.draw(st.permutations(sorted(meant["publishers"]))):
        kept = path.read_bytes()
        try:
            trust.remove(alias)
        except UsageError:
            assert path.read_bytes() == kept
            return
        del meant["publishers"][alias]
        new = path.read_text()
        assert {"publishers": {}, **tomllib.loads(new)} == meant
        assert above_tables(kept.decode(), alias) <= above_tables(new)


@settings(max_examples=150, deadline=None)
@given(
    st.data(),
    st.fixed_dictionaries(
        {},
        optional={
            "default_chain": st.integers(1, 5),
            "follow": st.just(["acme/tool"]),
            "default_key": st.just("k"),
            "chains": st.dictionaries(st.sampled_from([1, 8453, 5]), CHAINS, max_size=2),
        },
    ),
)
def test_what_is_configured_changes_that_or_nothing(
    data: st.DataObject, changes: dict[str, Any]
) -> None:
    text = data.draw(CONFIG.flatmap(spellings))
    home, path = home_with(text, "config.toml")
    meant = tomllib.loads(text)
    for name, value in changes.items():
        if name != "chains":
            meant[name] = value
    for chain, said in changes.get("chains", {}).items():
        chains = meant.setdefault("chains", {})
        called = "base" if chain == 8453 and "base" in chains else str(chain)
        chains.setdefault(called, {}).update(said)
    try:
        set_config(home, changes)
    except UsageError:
        assert path.read_bytes() == text.encode()
        return
    found = tomllib.loads(path.read_text())
    if changes.get("chains") == {}:
        found.setdefault("chains", {})
        meant.setdefault("chains", {})
    assert found == meant
    assert above_tables(path.read_text()) == above_tables(text)


def test_what_cannot_be_written_rightly_is_not_and_the_error_gives_the_lines() -> None:
    text = "x = nan\n[publishers.a]\nchain = 1\n"  # of which nobody can tell whether it is the same
    _, path = home_with(text, "some.toml")
    with pytest.raises(UsageError, match=r"some\.toml") as caught:
        change_settings(path, bool, {("publishers", "b"): {"chain": 2, "publisher": BOB}})
    assert "rite it yourself" in caught.value.next
    assert f'publishers.b.chain = 2; publishers.b.publisher = "{BOB}"' in caught.value.next
    with pytest.raises(UsageError, match=r"some\.toml") as caught:
        change_settings(path, bool, gone=("publishers", "a"))
    assert "publishers.a" in caught.value.next
    assert path.read_text() == text


def test_a_file_never_grows_beyond_what_is_read() -> None:
    text = f"share = true\n#{'x' * (SETTINGS_LIMIT - 20)}\n"
    home, path = home_with(text, "config.toml")
    with pytest.raises(UsageError, match="would have more than"):
        set_config(home, {"default_key": "k" * 40})
    assert path.read_text() == text


def test_a_setting_that_could_not_be_read_again_is_not_written() -> None:
    home, path = home_with("share = true\n", "config.toml")
    for changes in ({"default_chain": 0}, {"shore": True}, {"chains": {1: {"rpc": 5}}}):
        with pytest.raises(UsageError, match=r"config\.toml"):
            set_config(home, changes)
    assert path.read_text() == "share = true\n"
