"""Threat 39: a private key and its password are in no output, file, argument or environment."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest
from eth_account import Account
from eth_keyfile.keyfile import create_keyfile_json

from integrity.config import set_config
from integrity.home import Home
from integrity.keys.keystore import DEVELOPMENT_CHAIN, Keystore
from tests.chain.anvils import Anvil
from tests.chain.conftest import MakeRpc
from tests.chain.lying_rpc import Call, Forward

from .running import User

SECRET = bytes.fromhex("c0ffee" * 10 + "1234")
STRANGER = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
PASSWORD = "tr0ub4dor-and-3-staples"
PUBLISH = ("publish", "data", "--package", "tool", "--version", "1.0.0", "--key", "mine")


def spellings(secret: bytes) -> list[bytes]:
    """How a key could stand somewhere."""
    return [
        secret,
        secret[::-1],
        secret.hex().encode(),
        secret.hex().upper().encode(),
        base64.b64encode(secret).rstrip(b"="),
        base64.urlsafe_b64encode(secret).rstrip(b"="),
        str(int.from_bytes(secret, "big")).encode(),
        repr(secret)[2:-1].encode(),
        json.dumps(list(secret)).encode(),
    ]


def all_processes() -> bytes:
    """Arguments and environments of everything that runs."""
    seen = b""
    for process in psutil.process_iter():
        for name in ("cmdline", "environ"):
            try:
                seen += Path(f"/proc/{process.pid}/{name}").read_bytes()
            except OSError:
                continue
    return seen


def files_of(folder: Path, *but: Path) -> bytes:
    kept = [
        p for p in folder.rglob("*") if p.is_file() and not any(p.is_relative_to(b) for b in but)
    ]
    return b"\0".join(path.read_bytes() for path in kept)


@pytest.fixture
def rich(user: User, anvil: Anvil) -> User:
    """Somebody with an encrypted key that has ether, and its password in a file."""
    (user.place / "given").mkdir()
    (user.place / "given" / "key.txt").write_text(SECRET.hex())
    light = create_keyfile_json(SECRET, PASSWORD.encode(), 3, "scrypt", 2)
    (user.place / "given" / "light.json").write_text(json.dumps(light))
    (user.place / "given" / "password").write_text(PASSWORD + "\n")
    (user.place / "data").mkdir()
    (user.place / "data" / "a").write_text("x")
    user.environment["INTEGRITY_PASSWORD_FILE"] = str(user.place / "given" / "password")
    chains = {DEVELOPMENT_CHAIN: {"rpc": [anvil.url]}}
    set_config(Home.at(user.home), {"default_chain": DEVELOPMENT_CHAIN, "chains": chains})
    return user


def test_threat_39_a_key_is_nowhere_but_in_its_own_file(
    rich: User, anvil: Anvil, lying_rpc: MakeRpc
) -> None:
    seen = b""
    made = rich.ok("key", "import", "given/key.txt", "--name", "mine")
    seen += made.out + made.err
    keystore = rich.home / "keys" / "mine.json"
    assert keystore.stat().st_mode & 0o077 == 0
    seen += keystore.read_bytes()  # encrypted
    (info,) = Keystore(rich.home / "keys").list()
    anvil.fund(info.address)

    rpc = lying_rpc(anvil.url)
    looked = threading.Event()

    def look(call: Call, forward: Forward) -> dict[str, Any]:
        nonlocal seen
        seen += json.dumps(call).encode()
        if call["method"] == "eth_sendRawTransaction":
            seen += all_processes() + files_of(rich.place, rich.place / "given")
            looked.set()
        return forward()

    rpc.act = look
    for arguments in (
        (*PUBLISH, "--no-wait"),
        ("key", "list"),
        ("key", "export", "mine"),
        ("key", "export", "mine", "-o", "backup.json"),
        ("manifest", "data", "--package", "tool", "--version", "1.0.0", "--key", "mine"),
    ):
        more = ("--rpc", rpc.url) if arguments[0] == "publish" else ()
        done = rich.ok(*arguments, *more)
        seen += done.out + done.err
    assert looked.is_set()
    wrong = rich.run(
        *PUBLISH, "--json", INTEGRITY_PASSWORD_FILE="", INTEGRITY_PASSWORD=PASSWORD[:-1]
    )
    wrong.error("KeyRefused", 2)
    seen += wrong.out + wrong.err
    seen += files_of(rich.place, rich.place / "given")
    seen += b"".join(json.dumps(dict(fields)).encode() for fields in rpc.headers)
    assert [spelled for spelled in spellings(SECRET) if spelled in seen] == []
    assert PASSWORD.encode() not in seen
    assert PASSWORD[:-1].encode() not in wrong.out + wrong.err


def test_threat_39_a_key_of_the_environment_is_nowhere_else(
    rich: User, anvil: Anvil, lying_rpc: MakeRpc
) -> None:
    anvil.fund(str(Account.from_key(SECRET).address))
    rpc = lying_rpc(anvil.url)
    seen = b""
    looked = threading.Event()

    def look(call: Call, forward: Forward) -> dict[str, Any]:
        nonlocal seen
        seen += json.dumps(call).encode()
        if call["method"] == "eth_sendRawTransaction":
            for process in psutil.process_iter():
                with contextlib.suppress(OSError):
                    seen += Path(f"/proc/{process.pid}/cmdline").read_bytes()
            seen += files_of(rich.place, rich.place / "given")
            looked.set()
        return forward()

    rpc.act = look
    own = {"INTEGRITY_PRIVATE_KEY": SECRET.hex()}
    plain = ("publish", "data", "--package", "tool", "--version")
    for command in (
        (*plain, "1.0.0", "--no-wait", "--rpc", rpc.url),
        (*plain, "2.0.0", "--sign-only", "--json"),
        ("submit", "data.request", "--no-wait"),
        ("delegate", "add", STRANGER, "--days", "1", "--no-wait"),
    ):
        done = rich.ok(*command, **own)
        seen += done.out + done.err
    assert looked.is_set()
    for wrong in (SECRET.hex()[:-1], SECRET.hex() + "00"):
        bad = rich.run(*plain, "3.0.0", "--json", INTEGRITY_PRIVATE_KEY=wrong)
        bad.error("KeyRefused", 2)
        assert wrong.encode() not in bad.out + bad.err
    seen += files_of(rich.place, rich.place / "given")
    assert [spelled for spelled in spellings(SECRET) if spelled in seen] == []


def test_threat_39_a_key_on_the_command_line_is_not_even_taken(rich: User) -> None:
    done = rich.run("key", "import", SECRET.hex())
    assert done.code == 2
    assert "cannot read the key file" in done.errors
    for option in ("--private-key", "--password"):
        done = rich.run("key", "new", option + "=" + SECRET.hex())
        assert done.code == 2
        assert SECRET.hex() not in done.errors


@pytest.mark.parametrize(
    ("environment", "works"),
    [
        ({"INTEGRITY_PASSWORD": PASSWORD, "INTEGRITY_PASSWORD_FILE": ""}, True),
        ({"INTEGRITY_PASSWORD": "wrong"}, True),
        ({"INTEGRITY_PASSWORD_FILE": "/nowhere", "INTEGRITY_PASSWORD": PASSWORD}, False),
        ({"INTEGRITY_PASSWORD_FILE": "", "INTEGRITY_PASSWORD": ""}, False),
        ({"INTEGRITY_PASSWORD_FILE": ""}, False),
    ],
    ids=["the variable", "the file comes first", "a file that is not there", "empty", "neither"],
)
def test_where_a_password_comes_from(rich: User, environment: dict[str, str], works: bool) -> None:
    rich.ok("key", "import", "given/light.json", "--name", "mine")
    elsewhere = User(rich.place, INTEGRITY_HOME=str(rich.place / "elsewhere"))
    settings = {
        "INTEGRITY_PASSWORD_FILE": rich.environment["INTEGRITY_PASSWORD_FILE"]
    } | environment
    settings = {key: value for key, value in settings.items() if value or key in environment}
    command = ("key", "import", rich.home / "keys" / "mine.json", "--name", "copy", "--json")
    if works:
        elsewhere.ok(*command, **settings)
    else:
        elsewhere.run(*command, stdin=b"", **settings).error("KeyRefused", 2)
        assert not list((rich.place / "elsewhere").glob("keys/*.json"))


def test_threat_40_a_key_that_others_may_read_publishes_nothing(rich: User) -> None:
    rich.ok("key", "import", "given/light.json", "--name", "mine")
    keystore = rich.home / "keys" / "mine.json"
    keystore.chmod(0o644)
    error = rich.run(*PUBLISH, "--json").error("KeyRefused", 2)
    assert f"chmod 600 {keystore}" in error["next"]


def test_an_export_never_overwrites(rich: User) -> None:
    rich.ok("key", "import", "given/light.json", "--name", "mine")
    (rich.place / "taken").write_text("mine")
    done = rich.run("key", "export", "mine", "-o", "taken")
    assert done.code == 2
    assert (rich.place / "taken").read_text() == "mine"
    rich.ok("key", "export", "mine", "-o", "fresh")
    assert (rich.place / "fresh").stat().st_mode & 0o077 == 0
    assert (rich.place / "fresh").read_bytes() == rich.ok("key", "export", "mine").out


def test_secrets_of_an_rpc_url_are_never_shown(rich: User, anvil: Anvil) -> None:
    url = "http://us3r:s3cr3t@127.0.0.1:1/v3/k3y?token=t0k3n"
    link = "integrity:31337:0x" + "11" * 20 + "/tool"
    named = ("--publisher", "0x" + "11" * 20)
    for command in (
        ("show", link, *named, "--rpc", url),
        ("show", link, *named, "--rpc", url, "--json"),
        ("show", link, *named, "--rpc", "wss" + url[4:], "--json"),
        ("doctor", "--rpc", url),
        ("doctor", "--json", "--rpc", url),
        ("publish", "data", "--package", "p", "--version", "1", "--rpc", url),
    ):
        done = rich.run(*command)
        assert done.code in {2, 3}
        for secret in (b"us3r", b"s3cr3t", b"k3y", b"t0k3n"):
            assert secret not in done.out + done.err, command
