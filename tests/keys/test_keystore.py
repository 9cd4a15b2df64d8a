"""The keys of a home: made, taken in, given out, and never lost or shown."""

from __future__ import annotations

import json
import os
import pickle
import stat
import threading
import traceback
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_keyfile.keyfile import create_keyfile_json

from integrity.errors import DiskError, IntegrityError, KeyRefused, LimitExceeded
from integrity.keys.keystore import KeyInfo, Keystore

from .conftest import ADDRESS, PASSWORD, SECRET, MakeFile

TRANSACTION: dict[str, Any] = {
    "chainId": 1, "nonce": 0, "to": "0x" + "11" * 20, "value": 0, "gas": 21000, "gasPrice": 1, "data": "0x",
}  # fmt: skip


def never(name: str) -> str:
    raise AssertionError(f"the password of {name} was asked for")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- the round trip ----------------------------------------------------------------------------


def test_a_new_key_is_encrypted_private_and_signs(keystore: Keystore) -> None:
    info = keystore.create("release", PASSWORD)
    assert keystore.list() == [info]
    assert (info.name, info.development) == ("release", False)
    assert mode(info.path) == 0o600
    assert mode(info.path.parent) == 0o700
    text = info.path.read_text()
    assert "private" not in text
    assert json.loads(text)["crypto"]["kdfparams"]["n"] == 262144
    raw, tx_hash = keystore.open(info, lambda _: PASSWORD).sign_transaction(TRANSACTION)
    assert Account.recover_transaction(raw) == info.address
    assert len(tx_hash) == 32
    assert keystore.find("release") == keystore.find(info.address) == info
    assert keystore.find(info.address.lower()) == info


def test_two_new_keys_are_two_keys(keystore: Keystore) -> None:
    made = {keystore.create_development(f"dev-{index}").address for index in range(5)}
    assert len(made) == 5


def test_an_exported_key_can_be_imported_elsewhere(
    keystore: Keystore, make_file: MakeFile, tmp_path: Path
) -> None:
    info = keystore.import_file("mine", make_file(), lambda _: PASSWORD)
    (tmp_path / "backup.json").write_bytes(keystore.export("mine"))
    elsewhere = Keystore(tmp_path / "elsewhere")
    other = elsewhere.import_file(None, tmp_path / "backup.json", lambda _: PASSWORD)
    assert other.address == info.address == ADDRESS
    assert other.name == ADDRESS
    signed = elsewhere.open(other, lambda _: PASSWORD).sign_transaction(TRANSACTION)
    assert signed == keystore.open(info, lambda _: PASSWORD).sign_transaction(TRANSACTION)
    assert mode(other.path) == 0o600


@pytest.mark.parametrize(
    "text",
    [SECRET.hex(), f"  0x{SECRET.hex().upper()} \r\n"],
)
def test_a_file_of_64_hex_digits_is_encrypted_when_it_is_taken_in(
    keystore: Keystore, tmp_path: Path, text: str
) -> None:
    source = tmp_path / "key.txt"
    source.write_bytes(text.encode())
    info = keystore.import_file("mine", source, lambda _: PASSWORD)
    assert info.address == ADDRESS
    assert not info.development
    assert SECRET.hex() not in info.path.read_text().lower()
    assert keystore.open(info, lambda _: PASSWORD).address == ADDRESS
    assert source.read_bytes() == text.encode(), "the source is the user's own"


@pytest.mark.parametrize(
    "secret",
    ["0" * 64, "f" * 64, "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"],
    ids=["zero", "all ones", "the order of the curve"],
)
def test_hex_digits_that_are_no_key_are_refused(
    keystore: Keystore, tmp_path: Path, secret: str
) -> None:
    (tmp_path / "key.txt").write_text(secret)
    with pytest.raises(KeyRefused, match="no valid private key") as caught:
        keystore.import_file("mine", tmp_path / "key.txt", lambda _: PASSWORD)
    assert secret not in "".join(traceback.format_exception(caught.value))
    assert keystore.list() == []


def test_a_development_key_is_not_exported(keystore: Keystore) -> None:
    keystore.create_development("dev")
    with pytest.raises(KeyRefused, match="development chain"):
        keystore.export("dev")


# --- passwords ---------------------------------------------------------------------------------


def test_threat_40_a_wrong_password_opens_nothing_and_is_not_repeated(
    keystore: Keystore, make_file: MakeFile
) -> None:
    info = keystore.import_file("mine", make_file(), lambda _: PASSWORD)
    for wrong in ("", "correct", "correct horse ", "Correct horse", "a" * 100_000, "é", "\ud800"):
        with pytest.raises(KeyRefused, match="password is wrong, or the file is damaged") as caught:
            keystore.open(info, lambda _, wrong=wrong: wrong)  # type: ignore[misc]
        assert caught.value.exit_code == 2
        shown = "".join(traceback.format_exception(caught.value))
        assert len(wrong) < 10 or wrong not in shown


def test_threat_40_a_wrong_password_takes_no_key_in(
    keystore: Keystore, make_file: MakeFile
) -> None:
    with pytest.raises(KeyRefused):
        keystore.import_file("mine", make_file(), lambda _: "wrong")
    assert keystore.list() == []


@pytest.mark.parametrize("password", ["", "\ud800"], ids=["empty", "half a character"])
def test_a_new_key_with_a_password_that_is_none_is_refused(
    keystore: Keystore, password: str, tmp_path: Path
) -> None:
    (tmp_path / "key.txt").write_text(SECRET.hex())
    with pytest.raises(KeyRefused, match="password"):
        keystore.create("mine", password)
    with pytest.raises(KeyRefused, match="password"):
        keystore.import_file("mine", tmp_path / "key.txt", lambda _: password)
    assert keystore.list() == []


@pytest.mark.parametrize("password", ["пароль", "パスワード", " ", "\n", "\x00\x01", "🔑" * 100])
def test_a_password_can_be_any_text(keystore: Keystore, tmp_path: Path, password: str) -> None:
    value = create_keyfile_json(SECRET, password.encode(), 3, "pbkdf2", 2)
    (tmp_path / "given.json").write_text(json.dumps(value))
    info = keystore.import_file("mine", tmp_path / "given.json", lambda _: password)
    assert keystore.open(info, lambda _: password).address == ADDRESS


# --- names -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../evil",
        "a/b",
        "a\\b",
        ".hidden",
        "-x",
        "a b",
        "é",
        "a\x00b",
        "x" * 65,
        "a\n",
    ],
)
def test_a_name_that_is_no_name_is_refused(keystore: Keystore, name: str) -> None:
    with pytest.raises(KeyRefused, match="not a name for a key"):
        keystore.create_development(name)
    folder = keystore._folder
    assert not folder.exists() or not [p for p in folder.rglob("*") if p.name != ".lock"]
    assert not (folder.parent / "evil.json").exists()


def test_an_existing_name_is_never_overwritten(
    keystore: Keystore, make_file: MakeFile, tmp_path: Path
) -> None:
    info = keystore.import_file("mine", make_file(), lambda _: PASSWORD)
    before = info.path.read_bytes()
    (tmp_path / "key.txt").write_text(bytes(reversed(SECRET)).hex())
    with pytest.raises(KeyRefused, match="already"):
        keystore.create_development("mine")
    with pytest.raises(KeyRefused, match="already"):
        keystore.import_file("mine", tmp_path / "key.txt", lambda _: PASSWORD)
    assert info.path.read_bytes() == before


def test_the_same_key_is_not_kept_under_two_names(keystore: Keystore, make_file: MakeFile) -> None:
    keystore.import_file("mine", make_file(), lambda _: PASSWORD)
    with pytest.raises(KeyRefused, match=f"has the key {ADDRESS} already, as 'mine'"):
        keystore.import_file("again", make_file(), lambda _: PASSWORD)


def test_a_name_cannot_pass_for_the_address_of_another_key(
    keystore: Keystore, make_file: MakeFile
) -> None:
    keystore.import_file("mine", make_file(), lambda _: PASSWORD)
    for name in (ADDRESS, ADDRESS.lower(), "0x" + "ab" * 20):
        with pytest.raises(KeyRefused, match="the address of another key"):
            keystore.create_development(name)
    assert keystore.find(ADDRESS).name == "mine"


def test_of_several_new_keys_with_one_name_at_once_one_is_kept(keystore: Keystore) -> None:
    made: list[KeyInfo] = []
    refused: list[IntegrityError] = []

    def make() -> None:
        try:
            made.append(keystore.create_development("dev"))
        except KeyRefused as error:
            refused.append(error)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(refused)) == (1, 7)
    assert keystore.list() == made


def test_a_name_that_a_dangling_link_has_is_taken(keystore: Keystore, tmp_path: Path) -> None:
    keystore.create_development("dev")
    (keystore._folder / "other.json").symlink_to(tmp_path / "nowhere")
    with pytest.raises(KeyRefused, match="already"):
        keystore.create_development("other")
    assert not (tmp_path / "nowhere").exists()


def test_a_key_that_is_not_there_is_refused_with_the_remedy(keystore: Keystore) -> None:
    with pytest.raises(KeyRefused, match="no key 'nobody'") as caught:
        keystore.find("nobody")
    assert "integrity key new" in caught.value.next


# --- files -------------------------------------------------------------------------------------


def test_a_broken_file_is_in_the_way_of_no_other_key(keystore: Keystore, tmp_path: Path) -> None:
    info = keystore.create_development("dev")
    info.path.with_name("broken.json").write_text("[]")
    assert keystore.find("dev") == keystore.find(info.address) == info
    for name in ("broken", "nobody"):
        with pytest.raises(KeyRefused, match=r"broken\.json is no keystore"):
            keystore.find(name)


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660, 0o644, 0o620, 0o610])
def test_threat_40_a_key_that_others_may_read_is_refused(keystore: Keystore, bits: int) -> None:
    info = keystore.create_development("dev")
    info.path.chmod(bits)
    for look in (keystore.list, lambda: keystore.find("dev"), lambda: keystore.export("dev")):
        with pytest.raises(KeyRefused, match="can be read by others") as caught:
            look()
        assert f"chmod 600 {info.path}" in caught.value.next
    info.path.chmod(0o600)
    assert keystore.find("dev") == info


def test_a_keystore_in_the_way_of_a_file_is_a_disk_error(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(DiskError, match="home"):
        Keystore(tmp_path / "home" / "keys").create_development("dev")


def test_what_is_no_json_file_is_not_taken_for_a_key(keystore: Keystore) -> None:
    info = keystore.create_development("dev")
    for name in ("notes.txt", ".dev.json.0a1b2c3d", "dev.json~", "README"):
        (keystore._folder / name).write_text("not a key")
    assert keystore.list() == [info]


def test_threat_39_what_holds_a_key_shows_none_of_it(
    keystore: Keystore, make_file: MakeFile
) -> None:
    info = keystore.import_file("mine", make_file(), lambda _: PASSWORD)
    signer = keystore.open(info, lambda _: PASSWORD)
    shown = f"{signer!r} {signer} {info!r} {keystore!r}"
    assert repr(signer) == f"Signer({ADDRESS})"
    try:
        signer.sign_transaction(TRANSACTION | {"gas": "much"})
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not show the key
        shown += "".join(traceback.format_exception(error))
    for secret in (SECRET.hex(), repr(SECRET), str(int.from_bytes(SECRET, "big")), PASSWORD):
        assert secret not in shown
    with pytest.raises(TypeError, match="Signer"):
        pickle.dumps(signer)


def test_a_broken_development_key_is_refused(keystore: Keystore) -> None:
    info = keystore.create_development("dev")
    value = json.loads(info.path.read_text())
    changes: list[dict[str, Any]] = [
        {"private_key": None}, {"private_key": "0x12"}, {"private_key": "0x" + "00" * 32},
        {"private_key": "0x" + "ff" * 32}, {"private_key": "0x" + SECRET.hex()}, {"private_key": 5},
    ]  # fmt: skip
    for change in changes:
        info.path.write_text(json.dumps(value | change))
        with pytest.raises(KeyRefused) as caught:
            keystore.open(keystore.find("dev"), never)
        assert SECRET.hex() not in "".join(traceback.format_exception(caught.value))


GARBAGE = {
    "nothing": b"",
    "zeros": bytes(100),
    "noise": bytes(range(256)) * 4,
    "a list": b"[]",
    "a string": b'"0x00"',
    "null": b"null",
    "deep": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "deep and open": b"[" * 60_000,
    "a long number": b'{"version":' + b"9" * 5000 + b"}",
    "no address": b'{"version":3}',
    "63 hex digits": b"a" * 63,
    "65 hex digits": b"a" * 65,
    "a PEM file": b"-----BEGIN EC PRIVATE KEY-----\nMHcCAQ\n-----END EC PRIVATE KEY-----\n",
    "words": b"test test test test test test test test test test test junk",
}


@pytest.mark.parametrize("raw", GARBAGE.values(), ids=GARBAGE.keys())
def test_threat_40_garbage_is_refused_by_name(
    keystore: Keystore, tmp_path: Path, raw: bytes
) -> None:
    source = tmp_path / "garbage.json"
    source.write_bytes(raw)
    with pytest.raises(KeyRefused, match=r"garbage\.json"):
        keystore.import_file("mine", source, never)
    keystore.create_development("dev")
    planted = keystore._folder / "garbage.json"
    planted.write_bytes(raw)
    planted.chmod(0o600)
    with pytest.raises(KeyRefused, match=r"garbage\.json"):
        keystore.list()
    assert len(keystore.addresses()) == 1, "whom one trusts does not depend on it"


def test_threat_40_a_file_of_any_size_is_not_read_whole(keystore: Keystore, tmp_path: Path) -> None:
    huge = tmp_path / "huge.json"
    with huge.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(LimitExceeded, match="more than 65,536 bytes"):
        keystore.import_file("mine", huge, never)


@pytest.mark.parametrize("source", ["nowhere", "."])
def test_a_file_that_cannot_be_read_is_named(
    keystore: Keystore, tmp_path: Path, source: str
) -> None:
    with pytest.raises(KeyRefused, match="cannot read the key file") as caught:
        keystore.import_file("mine", tmp_path / source, never)
    assert str(tmp_path) in caught.value.message


def test_a_key_can_come_through_a_pipe(keystore: Keystore, make_file: MakeFile) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, make_file().read_bytes())
    os.close(write_end)
    info = keystore.import_file("mine", Path(f"/dev/fd/{read_end}"), lambda _: PASSWORD)
    os.close(read_end)
    assert info.address == ADDRESS
