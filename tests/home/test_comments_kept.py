"""Taking an entry out of ``trust.toml`` takes no comment along that is not the entry's own."""

from __future__ import annotations

import tempfile
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrity.disk.settings import change_settings
from integrity.errors import UsageError
from integrity.home import Home
from integrity.trust import TrustStore
from tests.home.spellings import above_tables, spellings

ALICE = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
BOB = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
CAROL = "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB"

ACME = f"""\
[publishers.acme] # met in person
# on the main chain
chain = 1

# checksummed
publisher = "{ALICE}"
"""
BOBS = f"""\
# bob is our auditor; never remove
# [publishers.carol]  parked
[publishers.bob]
chain = 1
publisher = "{BOB}"
"""
POLICY = """\
# about the policy
[policy]
quorum = 1 # for now
"""


def removed(text: str, alias: str = "acme") -> str:
    """What is left of the file, byte for byte."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home.at(Path(folder))
        home.trust_file.write_bytes(text.encode())
        TrustStore(home).remove(alias)
        return home.trust_file.read_bytes().decode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"# top\n\n{ACME}\n{BOBS}\n{POLICY}", f"# top\n\n{BOBS}\n{POLICY}"),
        (f"# top\n{ACME}\n{BOBS}\n{POLICY}", f"# top\n\n{BOBS}\n{POLICY}"),
        (f"{ACME}\n\n{BOBS}", BOBS),
        (f"{POLICY}\n{ACME}\n{BOBS}", f"{POLICY}\n{BOBS}"),
        (f"{POLICY}{ACME}{BOBS}", f"{POLICY}{BOBS}"),
        (f"{BOBS}\n{POLICY}\n{ACME}", f"{BOBS}\n{POLICY}"),
        (f"{BOBS}\n{ACME}\n# the end\n", f"{BOBS}\n# the end\n"),
        (f"{BOBS}\n{ACME}# the end", f"{BOBS}\n# the end\n"),
        (f"{BOBS}\n# hers\n{ACME}{POLICY}", f"{BOBS}\n# hers\n\n{POLICY}"),
        (f"{BOBS}\n# hers\n{ACME}[policy]\n", f"{BOBS}\n# hers\n\n[policy]\n"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_comes_before_and_after_stays_as_it_is(before: str, after: str, end: str) -> None:
    got = removed(before.replace("\n", end))
    assert got.replace("\r\n", "\n").rstrip() == after.rstrip()
    assert got.count("\r") >= (end == "\r\n") * (after.count("\n") - 1)


def test_subtables_go_along_wherever_they_stand() -> None:
    text = f"""\
{ACME}
# strict
[publishers.acme.policy]
# two
quorum = 2

{BOBS}
[publishers.acme.packages."x.y"]
quorum = 3
# about all
[policy]
quorum = 1

[publishers . "acme" . 'packages'.tool]
delegates = [ # of these
    "{CAROL}", # ]
]
# the end
"""
    left = "# strict\n\n" + BOBS + "\n# about all\n[policy]\nquorum = 1\n\n# the end\n"
    assert removed(text) == left


IN_ONE = f'{{chain = 1, publisher = "{BOB}"}}'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('# a\npublishers.acme.chain = 1\n# its\npublishers.acme.publisher = "{a}"\n# z\n{bobs}',
         "# a\n\n# z\n{bobs}"),
        ("publishers.acme = {it} # hers\n\n# z\npolicy.quorum = 1\n", "# z\npolicy.quorum = 1\n"),
        ('[publishers]\nacme.chain = 1\nacme.publisher = "{a}"\n\n# z\nbob = {it}\n',
         "[publishers]\n\n# z\nbob = {it}\n"),
        ('[publishers]\n# a\nbob = {it}\n# b\n"acme" = {it}\n# c\n',
         "[publishers]\n# a\nbob = {it}\n# b\n\n# c\n"),
        ("# a\npublishers = {{bob = {it}, acme = {it}}} # b\n# c\n[policy]\n# d\nquorum = 1\n",
         "# a\npublishers = {{bob = {it}}} # b\n# c\n[policy]\n# d\nquorum = 1\n"),
    ],
    ids=["dotted", "inline", "dotted in a table", "inline in a table", "inline in an inline table"],
)  # fmt: skip
def test_it_is_so_however_an_entry_is_written(before: str, after: str) -> None:
    words = {"a": ALICE, "bobs": BOBS, "it": IN_ONE}
    got = removed(before.format(**words))
    assert got.replace(" }", "}") == after.format(**words)  # tomlkit may add one


@pytest.mark.parametrize("quotes", ['"""', "'''"])
def test_what_stands_in_a_text_of_several_lines_is_no_comment_and_no_table(
    tmp_path: Path, quotes: str
) -> None:
    other = quotes[0] * 2
    text = f"""\
[a]
x = {quotes}
# no comment
[b.c]
y = 1 {other}{quotes}
z = [ # of several lines
    [ "]", '"', '[', "\\"]" ], # one
]
[[d]]
[b.c]
x = {quotes}{other}# {quotes} # so
# still
[e]
[b]
# about b
x = {quotes}{quotes}
"""
    path = tmp_path / "some.toml"
    path.write_text(text)
    change_settings(path, bool, gone=("b", "c"))
    own = text[text.index("[b.c]\nx") : text.index("# still")]
    assert path.read_text() == text.replace(own, "")


def test_what_cannot_be_taken_out_without_losing_a_comment_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from integrity.disk import settings as module

    path = tmp_path / "some.toml"
    path.write_text(f"{ACME}\n{BOBS}")
    monkeypatch.setattr(module, "_WAYS", (module._in_place, module._around))
    with pytest.raises(UsageError, match="cannot be changed here"):
        change_settings(path, bool, gone=("publishers", "acme"))
    assert path.read_text() == f"{ACME}\n{BOBS}"


POLICIES = st.fixed_dictionaries({"quorum": st.integers(1, 2)})
ENTRY = st.fixed_dictionaries(
    {"chain": st.just(1)},
    optional={
        "policy": POLICIES,
        "packages": st.dictionaries(st.sampled_from(["tool", "x.y"]), POLICIES, max_size=2),
    },
)


def entry(address: str) -> st.SearchStrategy[dict[str, Any]]:
    return ENTRY.map(lambda said: {**said, "publisher": address})


TRUST = st.fixed_dictionaries(
    {
        "publishers": st.fixed_dictionaries(
            {"a": entry(ALICE), "b2": entry(BOB), "bob": entry(CAROL)}
        )
    },
    optional={"policy": POLICIES},
)


@settings(max_examples=200, deadline=None)
@given(TRUST.flatmap(spellings), st.permutations(["a", "b2", "bob"]))
def test_comments_above_other_tables_stay(text: str, aliases: list[str]) -> None:
    for alias in aliases:
        new = removed(text, alias)
        meant = tomllib.loads(text)
        del meant["publishers"][alias]
        assert {"publishers": {}, **tomllib.loads(new)} == meant
        assert above_tables(text, alias) <= above_tables(new)
        text = new
