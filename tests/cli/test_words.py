"""What the commands say to people, and where their settings come from."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from integrity.devchain.chain import DevelopmentChain
from integrity.keys.keystore import Keystore

from .conftest import Release
from .running import COMMAND, User


def test_publish_tells_what_to_send_to_others(publisher: User) -> None:
    (publisher.place / "data").mkdir()
    (publisher.place / "data" / "a").write_text("x")
    command = ("publish", "data", "--package", "tool", "--version", "1.0.0")
    dry = publisher.ok(*command, "--dry-run").text
    assert dry.startswith("would publish  integrity:31337:0x")
    assert " gas)" in dry
    done = publisher.ok(*command)
    assert done.text.startswith("published  integrity:31337:0x")
    assert "1 file, 1 B" in done.text
    assert "release 1 in block" in done.text
    assert "(final)" in done.text
    assert done.err == b""
    again = publisher.ok(*command).text
    assert again.startswith("published before, the very same  integrity:31337:0x")
    (publisher.place / "data" / "a").write_text("y")
    exists = publisher.run(*command)
    assert exists.code == 2
    assert exists.errors.count("manifest is") == 1
    assert "publish under a new version" in exists.errors


def test_show_log_and_verify_say_on_what_they_rest(release: Release, reader: User) -> None:
    named = ("--publisher", release.address)
    shown = reader.ok("show", release.link, *named).text
    assert shown.startswith(release.link + "\n")
    assert release.report["manifest"] in shown
    assert "release   1 of 1, the latest" in shown
    assert "(one rpc, proven)" in shown
    assert f"by {release.address}" in shown
    line, basis = reader.ok("log", release.link, *named).text.splitlines()
    assert basis.endswith("(one rpc, proven)")
    assert line.split()[:2] == ["1", "1.0.0"]
    assert line.endswith(f"{release.report['manifest']}  latest")
    beside = release.folder.with_name("tool.integrity")
    alone = reader.ok("verify", release.folder, "--manifest", beside).text
    assert alone.startswith("verified  ")
    assert "no chain was asked whether that is so" in alone
    reader.ok("trust", "add", "acme", release.address, "--chain", "31337")
    assert f"{release.address} (acme)" in reader.ok("show", "acme/tool").text
    recorded = reader.ok("verify", release.folder, "acme/tool@1.0.0").text
    assert "(one rpc, proven)" in recorded


def test_keys_and_trust_are_listed(publisher: User) -> None:
    (line,) = publisher.ok("key", "list").text.splitlines()
    assert line.endswith("  dev  development  default")
    assert publisher.ok("trust", "list").errors.startswith("nobody yet")
    address = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    assert (
        f"acme is now {address} on chain 31337"
        in publisher.ok("trust", "add", "acme", address).text
    )
    assert publisher.ok("trust", "list").text == f"acme  {address}  chain 31337\n"
    assert address in publisher.ok("trust", "remove", "acme").text


def test_a_chain_that_does_not_run_says_so(user: User) -> None:
    assert user.ok("chain", "status").text == "the development chain is not running\n"
    assert user.ok("chain", "stop").text == "the development chain is not running\n"
    missing = user.run("chain", "start", INTEGRITY_ANVIL="/nowhere/anvil")
    assert missing.code == 3
    assert "/nowhere/anvil" in missing.errors
    assert "npm install" in missing.errors
    assert user.run("chain", "start", "--json", INTEGRITY_ANVIL="/nowhere/anvil").error(
        "ChainToolMissing", 3
    )


def test_doctor_names_what_is_broken_and_how_to_mend_it(publisher: User) -> None:
    healthy = publisher.ok("doctor").text
    assert "BAD" not in healthy
    assert "ok   chain 31337: " in healthy
    assert "ok   index: nothing searched from here yet" in healthy
    publisher.run("search", "anything")
    assert ": chain 31337 up to block " in publisher.ok("doctor").text
    (publisher.home / "keys" / "dev.json").chmod(0o644)
    (publisher.home / "trust.toml").write_text("[publishers")
    (publisher.home / "store.db").write_bytes(b"not a database at all" * 100)
    (publisher.home / "index.db").write_bytes(b"not a database at all" * 100)
    ill = publisher.run("doctor")
    assert ill.code == 3
    bad = [line.split(":")[0] for line in ill.text.splitlines() if line.startswith("BAD")]
    assert bad == ["BAD  keys", "BAD  trust store", "BAD  store", "BAD  index"]
    assert "chmod 600" in ill.text
    (publisher.home / "config.toml").write_text("default_chain = 'x'\n")
    worse = publisher.run("doctor")
    assert worse.code == 3
    assert "BAD  settings" in worse.text


def test_a_flag_comes_before_the_environment_and_that_before_the_settings(
    release: Release, reader: User, integrity_chain: DevelopmentChain
) -> None:
    dead = "http://127.0.0.1:1"
    reader.home.mkdir()
    (reader.home / "config.toml").write_text(f"[chains.31337]\nrpc = ['{dead}']\n")
    show = ("show", release.link, "--publisher", release.address, "--json")
    reader.ok(*show)
    reader.run(*show, INTEGRITY_RPC="").error("RpcUnavailable", 3)
    reader.run(*show, "--rpc", dead).error("RpcUnavailable", 3)
    reader.ok(*show, "--rpc", integrity_chain.rpc, INTEGRITY_RPC=dead)
    reader.ok(*show, "--rpc", dead, "--rpc", integrity_chain.rpc)


@pytest.mark.parametrize(
    "command",
    [
        ("key", "new"),
        ("trust", "add", "a", "0x" + "11" * 20, "--chain", "1"),
        ("manifest", ".", "--package", "p", "--version", "1", "--publisher", "0x" + "11" * 20),
        ("publish", ".", "--package", "p", "--version", "1"),
        ("verify", ".", "--manifest", "x"),
        ("serve", "--port", "0"),
        ("chain", "start"),
        ("doctor",),
    ],
    ids=" ".join,
)
def test_a_home_that_cannot_be_one_is_no_crash(user: User, command: tuple[str, ...]) -> None:
    user.home.write_text("in the way")
    done = user.run(*command, INTEGRITY_PASSWORD="x")
    assert done.code in {2, 3}
    assert str(user.home) in done.errors + done.text


@pytest.mark.parametrize(
    ("more", "name", "code"),
    [
        (("--rpc", "http://127.0.0.1:1"), "RpcUnavailable", 3),
        (("--chain", "5", "--rpc", "{rpc}"), "ChainMismatch", 3),
        (("--publisher", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"), "TransactionRefused", 2),
        (("--key", "poor"), "TransactionRefused", 2),
    ],
    ids=["no node", "another chain", "another publisher", "no ether"],
)
def test_a_publish_that_cannot_be_recorded_says_why_and_keeps_nothing(
    publisher: User, integrity_chain: DevelopmentChain, more: tuple[str, ...], name: str, code: int
) -> None:
    Keystore(publisher.home / "keys").create_development("poor")
    (publisher.place / "data").mkdir()
    (publisher.place / "data" / "a").write_text("x")
    arguments = [argument.format(rpc=integrity_chain.rpc) for argument in more]
    command = ("publish", "data", "--package", "p", "--version", "1", *arguments, "--json")
    error = publisher.run(*command).error(name, code)
    assert error["next"]
    assert not (publisher.home / "store.db").exists()
    assert not list(publisher.place.glob("*.integrity"))
    assert not list(publisher.home.glob("journal/*.json"))


def test_a_dry_run_of_who_cannot_pay_shows_the_fee_and_says_so(publisher: User) -> None:
    Keystore(publisher.home / "keys").create_development("poor")
    (publisher.place / "data").mkdir()
    (publisher.place / "data" / "a").write_text("x")
    command = ("publish", "data", "--package", "p", "--version", "1", "--key", "poor")
    done = publisher.ok(*command, "--dry-run", "--json")
    report = done.json()
    assert int(report["fee"]) > 0
    assert "not enough ether" in report["warnings"][0]
    assert not (publisher.home / "store.db").exists()


def test_a_key_of_ones_own_publishes_once_it_is_funded(user: User) -> None:
    assert user.run("chain", "fund", "0x" + "11" * 20, "--json").error("RpcUnavailable", 3)["next"]
    user.ok("chain", "start")
    try:
        made = user.run("key", "new", "--name", "mine", INTEGRITY_PASSWORD="x")
        assert "publish with --key mine" in made.errors
        address = made.text.split()[4]
        (user.place / "data").mkdir()
        (user.place / "data" / "a").write_text("x")
        command = ("publish", "data", "--package", "p", "--version", "1", "--key", "mine")
        poor = user.run(*command, INTEGRITY_PASSWORD="x")
        assert poor.code == 2
        assert f"integrity chain fund {address}" in poor.errors
        user.ok("chain", "fund", address)
        assert user.run(*command, INTEGRITY_PASSWORD="x").code == 0
    finally:
        assert user.ok("chain", "stop").text.startswith("stopped the development chain")
    gone = user.run(*command, INTEGRITY_PASSWORD="x")
    assert gone.code == 3
    assert "`integrity chain start`" in gone.errors


def test_a_second_version_out_of_the_same_folder_is_warned_of(publisher: User) -> None:
    (publisher.place / "data").mkdir()
    (publisher.place / "data" / "a").write_text("x")
    publisher.ok("publish", "data", "--package", "p", "--version", "1")
    again = publisher.ok("publish", "data", "--package", "p", "--version", "1", "--no-wait")
    assert "(final)" in again.text
    assert "warning" not in again.errors
    dry = publisher.ok("publish", "data", "--package", "p", "--version", "1", "--dry-run").text
    assert dry.startswith("published before, the very same")
    (publisher.place / "data" / "a").write_text("y")
    done = publisher.ok("publish", "data", "--package", "p", "--version", "2")
    assert "warning: p@1 was published from this folder too" in done.errors


def test_doctor_asks_the_node_that_is_named_to_it(
    user: User, integrity_chain: DevelopmentChain
) -> None:
    good = user.ok("doctor", "--rpc", integrity_chain.rpc).text
    assert f"ok   rpc {integrity_chain.rpc}: " in good
    dead = user.run("doctor", "--rpc", "http://127.0.0.1:1")
    assert dead.code == 3
    assert "BAD  rpc http://127.0.0.1:1" in dead.text


def test_doctor_asks_for_no_anvil_where_no_development_chain_is(user: User) -> None:
    assert (
        "only `integrity chain start` needs it"
        in user.ok("doctor", INTEGRITY_ANVIL="/nowhere/anvil").text
    )


def test_a_link_without_a_version_says_which_release_is_beside_the_data(
    publisher: User, reader: User
) -> None:
    for folder, version in (("older", "1.0.0"), ("newer", "1.1.0")):
        (publisher.place / folder).mkdir()
        (publisher.place / folder / "file").write_text(version)
        done = publisher.ok(
            "publish", folder, "--package", "two", "--version", version, "--json"
        ).json()
    link = done["link"].removesuffix("@1.1.0")
    verify = ("verify", publisher.place / "older", link, "--publisher", done["publisher"])
    elsewhere = str(reader.place / "elsewhere")
    for told, code in (
        (reader.run(*verify), 4),
        (reader.run(*verify, INTEGRITY_HOME=elsewhere), 3),
    ):
        assert told.code == code
        assert (
            "means the latest release; the manifest beside the data calls it 1.0.0" in told.errors
        )
        assert f"name {link}@1.0.0" in told.errors


def test_the_manifest_of_somebody_else_beside_the_data_gives_no_advice(
    publisher: User, reader: User
) -> None:
    for folder, package in (("mine", "one"), ("theirs", "other")):
        (publisher.place / folder).mkdir()
        (publisher.place / folder / "file").write_text(folder)
        done = publisher.ok(
            "publish", folder, "--package", package, "--version", f"1-{package}", "--json"
        )
    link = done.json()["link"].replace("/other@1-other", "/one")
    (publisher.place / "mine" / "file").write_text("changed")
    (publisher.place / "theirs.integrity").rename(publisher.place / "mine.integrity")
    told = reader.run(
        "verify", publisher.place / "mine", link, "--publisher", done.json()["publisher"]
    )
    assert told.code == 4
    assert "Do not use this data" in told.errors
    assert "1-other" not in told.errors


def test_what_answers_and_is_no_node_is_not_called_a_chain_that_does_not_run(
    release: Release, reader: User
) -> None:
    show = ("show", release.link, "--publisher", release.address, "--rpc")
    told = reader.run(*show, release.url)
    assert told.code == 3
    assert "chain start" not in told.errors
    assert "check --rpc" in told.errors
    assert "chain start" in reader.run(*show, "http://127.0.0.1:1").errors


def test_the_manifest_of_another_release_beside_the_data_is_called_that(
    release: Release, reader: User
) -> None:
    (reader.place / "data").mkdir()
    (reader.place / "data.integrity").write_text("another")
    done = reader.run("verify", "data", release.link, "--publisher", release.address)
    assert done.code == 3
    assert "data.integrity' is another one" in done.errors
    damaged = reader.run("verify", "data", "--manifest", "data.integrity")
    assert damaged.code == 2
    assert "'data.integrity' is no well-formed manifest" in damaged.errors


def test_publishers_added_at_once_are_all_there(user: User) -> None:
    def add(number: int) -> int:
        return user.run("trust", "add", f"p{number}", f"0x{number:040x}", "--chain", "1").code

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(add, range(1, 7))) == [0] * 6
    assert len(user.ok("trust", "list").text.splitlines()) == 6


@pytest.mark.parametrize(
    "command",
    [
        ("publish", "", "--package", "p", "--version", "1", "--dry-run"),
        ("manifest", "", "--package", "p", "--version", "1"), ("verify", "", "--manifest", "x"),
        ("verify", ".", "--manifest", ""), ("get", "a/b", "-o", ""),
    ],
    ids=" ".join,
)  # fmt: skip
def test_an_empty_path_is_not_this_folder(user: User, command: tuple[str, ...]) -> None:
    done = user.run(*command)
    assert done.code == 2
    assert "an empty path" in done.errors


@pytest.mark.parametrize("command", ["publish", "manifest"])
def test_a_folder_that_holds_the_home_is_refused(publisher: User, command: str) -> None:
    done = publisher.run(command, ".", "--package", "p", "--version", "1")
    assert done.code == 2
    assert "holds this home" in done.errors
    assert done.out == b""


@pytest.mark.parametrize("command", [("--version",), ("trust", "list"), ("key", "list", "--json")])
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_crash(user: User, command: tuple[str, ...], closed: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", COMMAND, *command],
        cwd=user.place, env=user.env(), capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == (3 if " >&-" in f" {closed}" else 0), done
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [("trust", "list", "--json"), ("show", "x", "--json")])
def test_json_that_cannot_be_written_is_said_in_words(
    user: User, arguments: tuple[str, ...]
) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [COMMAND, *arguments], cwd=user.place, env=user.env(), stdout=full,
            stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
    assert done.returncode in {2, 3}
    assert b"Traceback" not in done.stderr
    assert done.stderr.startswith(b"integrity: ")


def test_settings_nested_without_end_are_refused(user: User) -> None:
    user.home.mkdir()
    (user.home / "config.toml").write_text("x = " + "[" * 100_000)
    done = user.run("key", "list")
    assert done.code == 2
    assert "config.toml" in done.errors


def test_a_pipe_among_the_keys_is_not_waited_for(publisher: User) -> None:
    os.mkfifo(publisher.home / "keys" / "pipe.json")
    assert "pipe.json" in publisher.ok("key", "list").errors
    done = publisher.run("key", "export", "other")
    assert done.code == 2
    assert "pipe.json" in done.errors


@pytest.mark.parametrize("folder", ["nowhere", "file", "empty", "socket"])
def test_a_demo_of_nothing_is_refused(user: User, folder: str) -> None:
    (user.place / "file").write_text("x")
    (user.place / "empty").mkdir()
    (user.place / "socket").mkdir()
    os.mkfifo(user.place / "socket" / "pipe")
    assert user.run("demo", "--folder", folder).code == 2


def test_doctor_looks_at_what_is_not_served_and_at_pinning_services(user: User) -> None:
    user.home.mkdir(mode=0o700)
    (user.home / "denylist").write_text("/ipfs/no-cid\n")
    (user.home / "config.toml").write_text(
        '[pinning.far]\nurl = "https://pin.example"\ntoken_file = "/nowhere/token"\n'
    )
    told = user.run("doctor").errors + user.run("doctor").text
    assert "denylist" in told
    assert "line 1" in told
    assert "/nowhere/token" in told


def test_the_help_shows_every_command_in_one_line_each(user: User) -> None:
    for group in ((), ("chain",), ("key",), ("store",), ("trust",), ("export",), ("receipt",)):
        assert "...\n" not in user.ok(*group, "--help").text.partition("Commands:")[2]
    assert "INTEGRITY_HOME" in user.ok("--help").text


def test_get_takes_a_part_of_a_release(release: Release, reader: User) -> None:
    known = ("--from", release.url, "--publisher", release.address)
    told = reader.ok("get", release.link, "-o", "some", "--only", "docs/**", *known).text
    assert "1 file of 4, 5.9 KiB" in told
    assert [path.name for path in (reader.place / "some").iterdir()] == ["docs"]
    checked = reader.ok("verify", "some", release.link, "--only", "docs", *known).text
    assert checked.startswith("verified  some\n  1 file, 5.9 KiB")
    wrong = reader.run("get", release.link, "-o", "x", "--only", "none*", *known)
    assert wrong.code == 2
    assert "'none*'" in wrong.errors


def test_get_streams_a_file_and_a_span_of_it(release: Release, reader: User) -> None:
    known = ("--from", release.url, "--publisher", release.address)
    data = (release.folder / "program").read_bytes()
    get = ("get", release.link, "--file", "program", *known)
    assert reader.ok(*get, "-o", "-").out == data
    assert reader.ok(*get, "-o", "-", "--range", "1048570-1048580").out == data[1048570:1048581]
    told = reader.ok(*get, "-o", "alone", "--range", "100-").text
    assert told.startswith("verified  alone\n")
    assert (reader.place / "alone").read_bytes() == data[100:]
    assert reader.run(*get, "-o", "alone").code == 2
    assert (reader.place / "alone").read_bytes() == data[100:]


@pytest.mark.parametrize(
    "wrong",
    [
        ("--range", "0-5"), ("--file", "program"), ("--file", "program", "-o", "-", "--json"),
        ("--file", "program", "-o", "-", "--only", "x"), ("--limit-rate", "fast"), ("--limit-each", "0"),
        ("--file", "program", "-o", "-", "--range", "5-4"), ("--from", ""), ("--from", "./nowhere"),
        ("--from", "ftp://x/"), ("--from", "http://a\x1b[2J/"), ("--only", ""),
    ],
)  # fmt: skip
def test_what_get_cannot_do_is_refused(
    release: Release, reader: User, wrong: tuple[str, ...]
) -> None:
    done = reader.run(
        "get", release.link, "--from", release.url, "--publisher", release.address, *wrong
    )
    assert done.code == 2
    assert "Traceback" not in done.errors
    assert "\x1b" not in done.errors


def test_repair_mends_what_is_damaged_and_says_how_much(release: Release, reader: User) -> None:
    known = ("--from", release.url, "--publisher", release.address)
    reader.ok("get", release.link, "-o", "out", *known)
    assert "nothing was damaged" in reader.ok("repair", "out", release.link, *known).text
    (reader.place / "out" / "README").write_text("a t00l\n")
    assert "1 piece mended, 7 B" in reader.ok("repair", "out", release.link, *known).text
    assert (reader.place / "out" / "README").read_text() == "a tool\n"


def test_a_limit_holds(release: Release, reader: User) -> None:
    known = ("--from", release.url, "--publisher", release.address)
    reader.ok(
        "get", release.link, "-o", "out", *known, "--limit-rate", "100M", "--limit-each", "5 MiB"
    )


@pytest.mark.parametrize("way", ["--share", "config.toml", "--no-share", "nothing"])
def test_what_is_downloaded_is_offered_only_if_one_says_so(
    release: Release, reader: User, way: str
) -> None:
    reader.home.mkdir(exist_ok=True)
    if way in {"config.toml", "--no-share"}:
        (reader.home / "config.toml").write_text("share = true\n")
    known = ("--from", release.url, "--publisher", release.address)
    flags = [way] if way.startswith("--") else []
    reader.ok("get", release.link, "-o", "out", *known, *flags)
    listed = reader.ok("store", "list", "--json").json()["releases"]
    shared = [entry["folder"] for entry in listed]
    assert shared == ([str(reader.place / "out")] if way in {"--share", "config.toml"} else [])
