"""``integrity publish-batch``: a file of releases, one transaction."""

from __future__ import annotations

from pathlib import Path

import pytest

from .running import User
from .schema import check, documented

FIELDS = documented()["integrity publish-batch"]
GOOD = """
[[release]]
path = "a"
package = "tool"
version = "1.0.0"
meta = { license = "MIT" }

[[release]]
path = "b"
package = "tool"
version = "0.9.1"
latest = false
"""


@pytest.fixture
def listed(publisher: User) -> Path:
    """A file in a folder of its own, which its paths are relative to."""
    place = publisher.place / "lists"
    for name in ("a", "b"):
        (place / name).mkdir(parents=True)
        (place / name / name).write_text(name)
    (place / "releases.toml").write_text(GOOD)
    return place / "releases.toml"


def test_a_batch_prints_what_is_documented(publisher: User, listed: Path) -> None:
    dry = publisher.ok("publish-batch", listed, "--dry-run", "--json").json()
    check(dry, FIELDS)
    assert (dry["dry_run"], dry["transaction"]) == (True, None)
    done = publisher.ok("publish-batch", listed, "--json").json()
    check(done, FIELDS)
    assert [one["version"] for one in done["releases"]] == ["1.0.0", "0.9.1"]
    assert [one["sequence"] for one in done["releases"]] == [1, 2]
    assert [one["manifest"] for one in done["releases"]] == [
        one["manifest"] for one in dry["releases"]
    ]
    assert (listed.parent / "a.receipt").exists()
    again = publisher.ok("publish-batch", listed, "--json").json()
    check(again, FIELDS)
    assert (again["already"], again["fee"]) == (True, None)
    package = done["releases"][0]["link"].partition("@")[0]
    assert publisher.ok("show", package, "--json").json()["version"] == "1.0.0"


def test_people_are_told_of_a_batch(publisher: User, listed: Path) -> None:
    told = publisher.ok("publish-batch", listed, "--no-wait").text
    assert told.count("published  integrity:31337:0x") == 2
    assert "fee " in told
    again = publisher.ok("publish-batch", listed, "--no-wait", "--json").json()
    check(again, FIELDS)
    assert (again["already"], again["fee"], again["gas_used"]) == (True, None, None)
    told = publisher.ok("publish-batch", listed).text
    assert told.count("published before, the very same") == 2
    assert "fee" not in told


@pytest.mark.parametrize(
    "text",
    [
        "", "[release]", 'release = "a"', "[[release]]", GOOD + "\nother = 1", "[[release", GOOD + GOOD,
        GOOD.replace('"b"', '""'), GOOD.replace('"b"', "7"), GOOD.replace('"MIT"', "7"),
        GOOD.replace("tool", "Not A Name"), GOOD.replace("false", '"no"'), GOOD.replace('"b"', '"nowhere"'),
        GOOD.replace('"b"', '"b\\u0000"'),
    ],
)  # fmt: skip
def test_what_is_no_batch_is_refused(publisher: User, listed: Path, text: str) -> None:
    listed.write_text(text)
    done = publisher.run("publish-batch", listed, "--json")
    assert done.code == 2, done.out
    assert "error" in done.json()
