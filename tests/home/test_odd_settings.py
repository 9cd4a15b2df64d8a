"""Whatever TOML can write in the place of any setting: it is read, or refused by name."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from integrity.config import Config
from integrity.disk.settings import load_toml
from integrity.errors import UsageError
from integrity.home import Home
from integrity.trust import TrustStore
from integrity.verifier.checks import Registry

ALICE = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
NUMBERS = ["0", "-1", "1", "2", "100", "9007199254740992", "9" * 40, "9" * 5000, "0x" + "f" * 5000]
OTHERS = [
    "0.5", "-0.0", "1e999", "nan", "-inf", "true", "false", "''", "'x'", f"'{ALICE}'", "'0x12'", "'safe'",
    "'required'", "'2 h'", "'999999999 d'", r"'''\0'''", r'"\u0000"', f"'{'9' * 5000}'", f"'{'x' * 5000}'",
    "2026-11-01T00:00:00Z", "2026-11-01T00:00:00", "2026-11-01", "00:00:00", "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
]  # fmt: skip
DEEP = "{a" + ".a" * 1500 + " = 1}"
VALUES = st.recursive(
    st.sampled_from([*NUMBERS, *OTHERS]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2).map(lambda parts: f"[{', '.join(parts)}]"),
        inner.map(lambda part: f"{{a = {part}}}"),
        st.just("{}"),
    ),
    max_leaves=3,
)
POLICY = [
    "finality", "confirmations", "quorum", "max_age", "proofs", "endorsements", "endorsers",
    "endorsement_kinds", "delegates", "unknown",
]  # fmt: skip
TABLES = ["policy", "publishers.a.policy", "publishers.a.packages.tool"]
ENTRY = [
    "chain",
    "publisher",
    "registry",
    "registry_code",
    "compromised_since",
    "policy",
    "packages",
]
TRUST = [
    *(f"{table}.{name}" for table in TABLES for name in POLICY),
    *(f"publishers.a.{name}" for name in ENTRY),
    "policy", "publishers", "publishers.a", "publishers.a.packages.tool", "unknown",
]  # fmt: skip
CONFIG = [
    "chains", "default_chain", "default_key", "follow", "pinning", "share", "signers", "store_quota",
    "unknown", "chains.1", "chains.1.rpc", "chains.1.first_block", "chains.1.max_fee", "pinning.a",
    "signers.a", "signers.a.url", "signers.a.address", "pinning.a.url", "pinning.a.token",
    "pinning.a.token_file",
]  # fmt: skip


def home_at(folder: Path) -> Home:
    home = Home.at(folder)
    home.config_folder.mkdir(exist_ok=True)
    return home


def read_trust(folder: Path, setting: str, value: str) -> None:
    """The whole file is read, or refused with its name; so is what it says of somebody."""
    lines = {"publishers.a.chain": "1", "publishers.a.publisher": f"'{ALICE}'"}
    if setting.endswith("registry_code"):
        lines["publishers.a.registry"] = f"'{ALICE}'"
    lines = {name: it for name, it in lines.items() if not name.startswith(setting)}
    if not setting.startswith("publishers.a") and setting != "publishers":
        lines |= {"publishers.a.policy": "{quorum = 2}"}
    lines[setting] = value
    home = home_at(folder)
    home.trust_file.write_text("".join(f"{name} = {it}\n" for name, it in lines.items()))
    try:
        trust = TrustStore(home).read()
        trust.quorum(1)
        for entry in trust.all():
            trust.policy(entry.chain_id, entry.publisher, "tool")
            trust.registry(entry.chain_id, entry.publisher, Registry(ALICE, bytes(32)))
            since = trust.compromised_since(entry.chain_id, entry.publisher)
            assert since is None or 0 <= since < 1 << 40
    except UsageError as error:
        said = error.message
    else:
        return
    assert str(home.trust_file) in said
    assert len(said) < 1000 + len(str(home.trust_file))


def read_config(folder: Path, setting: str, value: str) -> None:
    home = home_at(folder)
    home.config_file.write_text(f"{setting} = {value}\n")
    try:
        Config.load(home)
    except UsageError as error:
        said = error.message
    else:
        return
    assert str(home.config_file) in said


@pytest.mark.parametrize("setting", TRUST)
def test_each_setting_of_trust_is_read_or_refused(tmp_path: Path, setting: str) -> None:
    for value in (*NUMBERS, *OTHERS, "[]", "{}", '["x"]', "[[]]", "[{}]", "[1]", "{a = 1}", DEEP):
        read_trust(tmp_path / "home", setting, value)


@pytest.mark.parametrize("setting", CONFIG)
def test_each_setting_of_config_is_read_or_refused(tmp_path: Path, setting: str) -> None:
    for value in (*NUMBERS, *OTHERS, "[]", "{}", '["x"]', "[[]]", "[{}]", "[1]", "{a = 1}", DEEP):
        read_config(tmp_path / "home", setting, value)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(TRUST), st.sampled_from(CONFIG), VALUES)
@example("policy.finality", "share", '["x"]')
@example("policy.proofs", "share", "{}")
def test_any_value_of_any_setting_is_read_or_refused(
    of_trust: str, of_config: str, it: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        read_trust(Path(folder) / "home", of_trust, it)
        read_config(Path(folder) / "home", of_config, it)


@pytest.mark.parametrize(
    "number", ["9" * 5000, "0x" + "f" * 5000, str(1 << 63), str(-(1 << 63) - 1)]
)
def test_a_number_that_toml_does_not_know_is_refused_wherever_it_stands(
    tmp_path: Path, number: str
) -> None:
    path = tmp_path / "batch.toml"
    for text in (f"a = {number}", f"[[b]]\na = [[{number}]]", f"b = [{{a = {number}}}]"):
        path.write_text(text)
        with pytest.raises(UsageError, match="a number of more than 64 bits") as caught:
            load_toml(path, "Mend it.")
        assert str(path) in caught.value.message
        assert caught.value.next == "Mend it."
    path.write_text(f"a = [{(1 << 63) - 1}, {-(1 << 63)}]")
    assert load_toml(path) == {"a": [(1 << 63) - 1, -(1 << 63)]}


@pytest.mark.parametrize(
    "text", [f"a = {DEEP}", "a = " + "[" * 1500 + "]" * 1500, f"[{'a.' * 1500}a]"]
)
def test_a_file_that_is_nested_deep_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "some.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match="is nested too deep"):
        load_toml(path)
