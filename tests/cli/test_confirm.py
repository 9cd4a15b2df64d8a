"""``publish --no-wait`` and ``confirm``: a pipeline's publish in two halves."""

from __future__ import annotations

import json

from tests.chain.anvils import Anvil

from .running import User
from .schema import check, documented

FIELDS = documented()
STRANGER = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


def begun(user: User) -> str:
    (user.place / "d").mkdir()
    (user.place / "d" / "a").touch()
    command = ("publish", "d", "--package", "tool", "--version", "1.0.0", "--no-wait", "--json")
    return str(user.ok(*command).json()["link"])


def test_a_publish_that_did_not_wait_is_confirmed_with_its_receipt(publisher: User) -> None:
    link = begun(publisher)
    assert not (publisher.place / "d.receipt").exists()
    done = publisher.ok("confirm", link, "d", "--json").json()
    check(done, FIELDS["integrity confirm"])
    assert (done["link"], done["sequence"], done["warnings"]) == (link, 1, [])
    assert json.loads((publisher.place / "d.receipt").read_bytes())["version"] == "1.0.0"
    assert not list(publisher.home.glob("journal/*.json"))
    assert publisher.ok("confirm", link).text.startswith(f"final  {link}\n")


def test_the_receipt_of_another_release_is_not_overwritten(publisher: User) -> None:
    link = begun(publisher)
    publisher.ok("confirm", link, "d")
    before = (publisher.place / "d.receipt").read_bytes()
    other = publisher.place / "e"
    other.mkdir()
    (other / "a").write_text("x")
    done = publisher.ok("publish", "e", "--package", "other", "--version", "2", "--json").json()
    error = publisher.run("confirm", done["link"], "d", "--json").error("UsageError", 2)
    assert "is of tool@1.0.0 of" in error["message"]
    assert (publisher.place / "d.receipt").read_bytes() == before


def test_what_is_not_final_in_time_or_not_recorded_could_not_be_confirmed(
    user: User, anvil: Anvil
) -> None:
    from integrity.testing.people import equip

    equip(user.own_home, anvil.url)  # a chain that stands still
    link = begun(user)
    error = user.run("confirm", link, "--timeout", "0.5", "--json").error("Unfinalized", 3)
    assert "not final after" in error["message"]
    absent = user.run("confirm", link.replace("1.0.0", "9.9.9"), "--json").error("Unfinalized", 3)
    assert "publish" in absent["next"]
    user.run("confirm", link.partition("@")[0], "--json").error("UsageError", 2)
    anvil.mine(3)
    assert user.ok("confirm", link, "--json").json()["sequence"] == 1
