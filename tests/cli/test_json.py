"""docs/json.md and what the commands really print cannot drift apart."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

import integrity
from integrity.devchain.chain import DevelopmentChain
from integrity.errors import IntegrityError
from integrity.testing.people import equip
from integrity_cli.main import app
from tests.chain.anvils import Anvil

from .conftest import Release
from .running import User
from .schema import check, documented, documented_errors, is_of, sections

FIELDS = documented()


def commands() -> Iterator[tuple[str, Any]]:
    """Every command there is, with its full name."""

    def below(group: Any, name: str) -> Iterator[tuple[str, Any]]:
        for part, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from below(command, f"{name} {part}")
            else:
                yield f"{name} {part}", command

    yield from below(typer.main.get_command(app), "integrity")


def test_every_command_with_json_is_documented_and_no_other() -> None:
    with_json = {name for name, command in commands() if "--json" in str(option_names(command))}
    assert with_json == set(FIELDS) - {"Errors", "--progress json", "integrity show --why"}
    without = {name for name, _ in commands()} - with_json
    introduction = json.dumps(open_document())
    assert without == {"integrity manifest", "integrity key export", "integrity demo"}
    assert all(f"`{name}`" in introduction for name in without)


def option_names(command: Any) -> list[str]:
    return [name for parameter in command.params for name in parameter.opts]


def open_document() -> str:
    from .schema import DOCUMENT

    return DOCUMENT.read_text("utf-8")


def test_every_error_is_documented_with_its_family_and_exit_code() -> None:
    for module in pkgutil.walk_packages(integrity.__path__, "integrity."):
        importlib.import_module(module.name)

    def below(kind: type[IntegrityError]) -> Iterator[type[IntegrityError]]:
        for one in kind.__subclasses__():
            yield one
            yield from below(one)

    real = {(one.__name__, one.family, one.exit_code) for one in below(IntegrityError)}
    assert documented_errors() == {item for item in real if item[2] != 1}


def test_every_documented_type_is_explained() -> None:
    explained = set(re.findall(r"^\| ([a-z ]+?)(?: …)? \|", sections()["Types"], re.MULTILINE))
    used = {
        part.removeprefix("list of ")
        for fields in FIELDS.values()
        for kind in fields.values()
        for part in kind.split(" or ")
    }
    assert used - {"null"} <= explained


def test_the_types_tell_right_from_wrong() -> None:
    assert is_of("ab" * 32, "digest")
    assert not is_of("AB" * 32, "digest")
    assert not is_of("0x" + "ab" * 32, "digest")
    assert not is_of(True, "number")
    assert not is_of(-1, "number")
    assert is_of(None, "number or null")
    assert not is_of(0, "text or null")
    assert not is_of("0x" + "aB" * 20, "address")
    assert not is_of(["a", 1], "list of text")


def test_publish_prints_what_is_documented(publisher: User, tmp_path: Path) -> None:
    fields = FIELDS["integrity publish"]
    (tmp_path / "data" / "hollow").mkdir(parents=True)
    (tmp_path / "data" / "a").write_text("a")
    command = ("publish", "data", "--package", "p", "--version", "1", "--json")
    dry = publisher.ok(*command, "--dry-run").json()
    check(dry, fields)
    nulls = [name for name, value in dry.items() if value is None]
    assert nulls == ["sequence", "transaction", "block", "sidecar", "request"]
    assert dry["gas_used"] > 0
    done = publisher.ok(*command).json()
    check(done, fields)
    assert [name for name, value in done.items() if value is None] == ["request"]
    assert (done["final"], done["sequence"], done["files"], done["size"]) == (True, 1, 1, 1)
    assert done["warnings"] == ["the folder 'hollow' has no file in it and is left out"]
    assert done["manifest"] == dry["manifest"]
    again = publisher.ok(*command, "--no-sidecar", "--no-wait").json()
    check(again, fields)
    assert [name for name, value in again.items() if value is None] == [
        "gas_used",
        "fee",
        "sidecar",
        "request",
    ]
    assert (again["already"], again["transaction"]) == (True, done["transaction"])


def test_get_and_verify_print_what_is_documented(release: Release, reader: User) -> None:
    command = ("get", release.link, "-o", "out", "--from", release.url, "--json")
    trusting = (*command, "--publisher", release.address)
    got = reader.ok(*trusting).json()
    check(got, FIELDS["integrity get"])
    assert (got["verdict"], got["path"]) == ("verified", str(reader.place / "out"))
    assert got["sources"][0]["source"] == release.url
    assert got["fetched"] == sum(source["bytes"] for source in got["sources"]) > got["size"]
    again = reader.ok(*trusting).json()
    check(again, FIELDS["integrity get"])
    assert (again["verdict"], again["fetched"]) == ("unchanged", 0)

    (reader.place / "out" / "README").write_text("damaged")
    repaired = reader.ok(
        "repair",
        "out",
        *command[1:2],
        "--from",
        release.url,
        "--json",
        "--publisher",
        release.address,
    ).json()
    check(repaired, FIELDS["integrity repair"])
    assert (repaired["pieces"], repaired["sources"][0]["pieces"]) == (1, 1)

    fields = FIELDS["integrity verify"]
    verify = ("verify", "out", release.link, "--publisher", release.address, "--json")
    good = reader.ok(*verify).json()
    check(good, fields)
    assert (good["verdict"], good["against"], good["problems"]) == ("verified", "record", [])
    alone = reader.ok("verify", "out", "--manifest", "out.integrity", "--json").json()
    check(alone, fields)
    assert [name for name, value in alone.items() if value is None] == ["link", "basis", "block"]
    assert (alone["verdict"], alone["against"]) == ("verified", "manifest")

    out = reader.place / "out"
    (out / "README").unlink()
    (out / "extra\x1b").write_text("more")
    (out / "empty").write_text("not any more")
    (out / "docs" / "größe.txt").chmod(0o700)
    with (out / "program").open("r+b") as file:
        file.seek(2**20)
        file.write(b"!")
    failed = reader.run(*verify)
    assert failed.code == 4
    check(failed.json(), fields)
    problems = {problem["path"]: problem for problem in failed.json()["problems"]}
    assert {path: p["reason"] for path, p in problems.items()} == {
        "README": "missing", "docs/größe.txt": "executable", "empty": "size", "program": "digest",
    }  # fmt: skip
    assert problems["program"]["piece"] == 1
    assert is_of(problems["program"]["expected"], "digest")
    assert is_of(problems["program"]["actual"], "digest")
    assert (problems["empty"]["expected"], problems["empty"]["actual"]) == (0, 12)
    assert failed.json()["extra"] == ["extra\x1b"]


def test_show_and_log_print_what_is_documented(release: Release, reader: User) -> None:
    named = ("--publisher", release.address, "--json")
    package = release.link.partition("@")[0]
    for link in (release.link, package):
        shown = reader.ok("show", link, *named).json()
        check(shown, FIELDS["integrity show"])
        assert shown["link"] == release.link
        assert shown["alias"] is None
    log = reader.ok("log", package, *named).json()
    check(log, FIELDS["integrity log"])
    assert (log["count"], len(log["releases"])) == (1, 1)
    assert log["releases"][0]["transaction"] == release.report["transaction"]
    assert log["releases"][0]["revoked"] is None
    reader.ok("trust", "add", "acme", release.address, "--chain", "31337")
    aliased = reader.ok("show", "acme/tool", "--json").json()
    check(aliased, FIELDS["integrity show"])
    assert aliased["alias"] == "acme"


def test_serve_prints_what_is_documented(release: Release) -> None:
    process = release.publisher.start("serve", "--port", "0", "--json")
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    check(first, FIELDS["integrity serve"])
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, b"", b"")


def test_key_commands_print_what_is_documented(user: User, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("correct horse\n")
    (tmp_path / "hex").write_text("11" * 32)
    user.environment["INTEGRITY_PASSWORD_FILE"] = str(tmp_path / "password")
    assert user.ok("key", "list", "--json").json() == {
        "keys": [], "signers": [], "warnings": [],
    }  # fmt: skip
    made = user.ok("key", "new", "--name", "mine", "--json").json()
    check(made, FIELDS["integrity key new"])
    taken = user.ok("key", "import", "hex", "--json").json()
    check(taken, FIELDS["integrity key import"])
    assert taken["name"] == taken["address"]
    listed = user.ok("key", "list", "--json").json()
    check(listed, FIELDS["integrity key list"])
    assert [key["default"] for key in listed["keys"]] == [False, False]
    (user.home / "config.toml").write_text(
        'default_key = "vault"\n[signers.vault]\nurl = "http://127.0.0.1:8550/secret"\n'
        f'address = "{"0x" + "22" * 20}"\n'
    )
    user.environment["INTEGRITY_PRIVATE_KEY"] = "33" * 32
    listed = user.ok("key", "list", "--json").json()
    check(listed, FIELDS["integrity key list"])
    assert [key["default"] for key in listed["keys"]] == [False, False]
    told = [(one["name"], one["default"]) for one in listed["signers"]]
    assert told == [("INTEGRITY_PRIVATE_KEY", True), ("vault", False)]
    del user.environment["INTEGRITY_PRIVATE_KEY"]
    lines = user.ok("key", "list").text.splitlines()
    assert lines[-1] == f"0x{'22' * 20}  vault  elsewhere  default"
    assert "secret" not in "".join(lines)


def test_the_only_key_is_the_default(user: User, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("correct horse\n")
    user.environment["INTEGRITY_PASSWORD_FILE"] = str(tmp_path / "password")
    user.ok("key", "new", "--name", "mine")
    (key,) = user.ok("key", "list", "--json").json()["keys"]
    assert key["default"]


def test_trust_commands_print_what_is_documented(user: User) -> None:
    address = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    added = user.ok("trust", "add", "acme", address.lower(), "--chain", "1", "--json").json()
    check(added, FIELDS["integrity trust add"])
    entry = {"alias": "acme", "chain_id": 1, "publisher": address}
    assert added == {"publishers": [entry]}
    listed = user.ok("trust", "list", "--json").json()
    check(listed, FIELDS["integrity trust list"])
    assert listed == added
    removed = user.ok("trust", "remove", "acme", "--json").json()
    check(removed, FIELDS["integrity trust remove"])
    assert user.ok("trust", "list", "--json").json() == {"publishers": []}


def test_chain_commands_and_doctor_print_what_is_documented(user: User) -> None:
    idle = user.ok("chain", "status", "--json").json()
    check(idle, FIELDS["integrity chain status"])
    nulls = [name for name, value in idle.items() if value is None]
    assert nulls == ["rpc", "publisher", "block", "finalized", "pid"]
    try:
        started = user.ok("chain", "start", "--json").json()
        check(started, FIELDS["integrity chain start"])
        check(user.ok("chain", "list", "--json").json(), FIELDS["integrity chain list"])
        assert user.ok("chain", "list").text.splitlines()[1].endswith("1 node configured")
        assert None not in started.values()
        deployed = user.ok("chain", "deploy", "--json").json()
        check(deployed, FIELDS["integrity chain deploy"])
        assert (deployed["already"], deployed["transaction"]) == (True, None)
        funded = user.ok("chain", "fund", "0x" + "11" * 20, "--ether", "3", "--json").json()
        check(funded, FIELDS["integrity chain fund"])
        assert funded["balance"] == str(3 * 10**18)
        examined = user.ok("doctor", "--json").json()
        check(examined, FIELDS["integrity doctor"])
        assert examined["ok"] is True
        assert all(finding["ok"] for finding in examined["checks"])
        assert "chain 31337" in [finding["name"] for finding in examined["checks"]]
    finally:
        stopped = user.ok("chain", "stop", "--json").json()
    check(stopped, FIELDS["integrity chain stop"])
    assert [name for name, value in stopped.items() if value is None] == nulls[2:]
    broken = user.run("doctor", "--json")
    assert broken.code == 3
    check(broken.json(), FIELDS["integrity doctor"])
    (bad,) = [finding for finding in broken.json()["checks"] if not finding["ok"]]
    assert bad["name"] == "chain 31337"
    assert bad["next"]


def test_a_deployment_prints_its_transaction(
    user: User, bare_anvil: Any, integrity_chain: DevelopmentChain
) -> None:

    node: Anvil = bare_anvil("--block-time", "1")
    equip(user.own_home, node.url)
    done = user.ok("chain", "deploy", "--json").json()
    check(done, FIELDS["integrity chain deploy"])
    assert done["already"] is False
    assert node.receipt(done["transaction"])["status"] == "0x1"
    assert len(node.call("eth_getCode", done["registry"], "latest")) > 1000


def test_errors_print_what_is_documented(user: User) -> None:
    for arguments in (
        ("show", "not a link", "--json"),
        ("show", "integrity:1:0x" + "11" * 20 + "/tool", "--json"),
        ("publish", "nowhere", "--json"),
        ("--json",),
    ):
        result = user.run(*arguments)
        assert result.code in {2, 3}
        assert result.err == b""
        check(result.json(), FIELDS["Errors"])
        assert result.json()["error"]["message"]
