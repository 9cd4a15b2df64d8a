"""Threat 40: keystores whose opening would eat the machine, and those of other forms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from eth_keyfile.keyfile import create_keyfile_json
from hypothesis import given, settings
from hypothesis import strategies as st

from integrity.errors import IntegrityError, KeyRefused, LimitExceeded
from integrity.keys.keystore import Keystore
from integrity.keys.v3 import checked_keystore

from .conftest import ADDRESS, PASSWORD, SECRET, Change, MakeFile

LIGHT: dict[str, Any] = create_keyfile_json(SECRET, PASSWORD.encode(), 3, "scrypt", 2)
LIGHT_PBKDF2: dict[str, Any] = create_keyfile_json(SECRET, PASSWORD.encode(), 3, "pbkdf2", 2)


def never(name: str) -> str:
    raise AssertionError(f"the password of {name} was asked for")


def params(**change: Any) -> Change:
    return lambda value: value["crypto"]["kdfparams"].update(change)


def upper(name: str, number: int) -> Change:
    """The parameter under its name in capitals, which the library below would take just so."""

    def change(value: dict[str, Any]) -> None:
        value["crypto"]["kdfparams"].pop(name)
        value["crypto"]["kdfparams"][name.upper()] = number

    return change


def beside(change: Change) -> Change:
    """A harmless ``crypto`` beside a costly ``Crypto``."""

    def both(value: dict[str, Any]) -> None:
        costly = json.loads(json.dumps(value))
        change(costly)
        value["Crypto"] = costly["crypto"]

    return both


TOO_MUCH: dict[str, Change] = {
    "n of 2^30": params(n=1 << 30),
    "n of 2^21 with r of 8": params(n=1 << 21),
    "n of 2^1000": params(n=1 << 1000),
    "r of 2^30": params(n=2, r=1 << 30),
    "p of 2^30": params(p=1 << 30),
    "p of 17": params(p=17),
    "N in capitals": upper("n", 1 << 30),
    "R in capitals": upper("r", 1 << 40),
    "P in capitals": upper("p", 1 << 30),
}


@pytest.mark.parametrize("change", TOO_MUCH.values(), ids=TOO_MUCH.keys())
def test_threat_40_a_scrypt_that_costs_too_much_is_refused_before_the_password_is_asked_for(
    keystore: Keystore, make_file: MakeFile, change: Change
) -> None:
    with pytest.raises(LimitExceeded, match="more memory or time than the limits allow") as caught:
        keystore.import_file("mine", make_file(change), never)
    assert caught.value.exit_code == 2
    assert keystore.list() == []


@pytest.mark.parametrize("c", [10_000_001, 1 << 40, 1 << 100])
@pytest.mark.parametrize("name", ["c", "C"])
def test_threat_40_a_pbkdf2_that_costs_too_much_is_refused(
    keystore: Keystore, make_file: MakeFile, name: str, c: int
) -> None:
    change = params(c=c) if name == "c" else upper("c", c)
    with pytest.raises(LimitExceeded):
        keystore.import_file("mine", make_file(change, LIGHT_PBKDF2), never)


def version4(value: dict[str, Any]) -> None:
    """EIP-2335, whose costs stand elsewhere."""
    value["version"] = 4
    kdf = {"function": "scrypt", "params": value["crypto"]["kdfparams"] | {"n": 1 << 30}}
    value["crypto"]["kdf"] = kdf


REFUSED: dict[str, Change] = {
    "a harmless crypto beside a costly Crypto": beside(params(n=1 << 30)),
    "n twice": params(N=1 << 30),
    "version 4": version4,
    "version 1": lambda v: v.update(version=1),
    "version '3'": lambda v: v.update(version="3"),
    "version true": lambda v: v.update(version=True),
    "no version": lambda v: v.pop("version"),
    "n as a float": params(n=1073741824.0),
    "n as a text": params(n="1073741824"),
    "n as true": params(n=True),
    "n that is no power of two": params(n=1000),
    "n of 1": params(n=1),
    "n of 0": params(n=0),
    "n of -2": params(n=-2),
    "r of 0": params(r=0),
    "p of -1": params(p=-1),
    "no n": lambda v: v["crypto"]["kdfparams"].pop("n"),
    "a key of 2^31 bytes": params(dklen=1 << 31),
    "a key of 31 bytes": params(dklen=31),
    "a key in DKLEN": params(DKLEN=1 << 31),
    "a salt that is no hex": params(salt="zz"),
    "half a byte of salt": params(salt="abc"),
    "a salt that is a number": params(salt=7),
    "another derivation": lambda v: v["crypto"].update(kdf="argon2id"),
    "a derivation that is a list": lambda v: v["crypto"].update(kdf=["scrypt"]),
    "another cipher": lambda v: v["crypto"].update(cipher="aes-256-gcm"),
    "crypto that is a list": lambda v: v.update(crypto=[]),
    "crypto that is null": lambda v: v.update(crypto=None),
    "no crypto": lambda v: v.pop("crypto"),
    "parameters that are a list": lambda v: v["crypto"].update(kdfparams=[]),
    "no cipher parameters": lambda v: v["crypto"].pop("cipherparams"),
    "an iv of 17 bytes": lambda v: v["crypto"]["cipherparams"].update(iv="00" * 17),
    "an iv that is no hex": lambda v: v["crypto"]["cipherparams"].update(iv="zz" * 16),
    "a ciphertext of 31 bytes": lambda v: v["crypto"].update(ciphertext="00" * 31),
    "an endless ciphertext": lambda v: v["crypto"].update(ciphertext="00" * 20_000),
    "a mac of 31 bytes": lambda v: v["crypto"].update(mac="00" * 31),
    "no mac": lambda v: v["crypto"].pop("mac"),
}


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED.keys())
def test_threat_40_a_keystore_of_another_form_is_refused_before_any_work(
    keystore: Keystore, make_file: MakeFile, change: Change
) -> None:
    with pytest.raises(KeyRefused, match=r"given\.json"):
        keystore.import_file("mine", make_file(change), never)
    assert keystore.list() == []


@pytest.mark.parametrize("prf", ["hmac-sha1", "hmac-sha512", "hmac-", "sha256", None, 7])
def test_a_pbkdf2_with_another_function_is_refused(
    keystore: Keystore, make_file: MakeFile, prf: object
) -> None:
    with pytest.raises(KeyRefused, match="prf"):
        keystore.import_file("mine", make_file(params(prf=prf), LIGHT_PBKDF2), never)


def capitals(value: dict[str, Any]) -> None:
    value["Crypto"] = {key.upper(): item for key, item in value.pop("crypto").items()}


ACCEPTED: dict[str, Change] = {
    "as eth_account writes it": lambda _: None,
    "an address without 0x, as geth writes it": lambda v: v.update(address=ADDRESS[2:].lower()),
    "an address with 0x": lambda v: v.update(address=ADDRESS),
    "an address in lower case": lambda v: v.update(address=ADDRESS.lower()),
    "Crypto, as old wallets write it": capitals,
    "hex with 0x": lambda v: v["crypto"].update(mac="0x" + v["crypto"]["mac"]),
    "what is unknown is left alone": lambda v: v.update({"x-ethers": {"client": "ethers.js"}}),
}


@pytest.mark.parametrize("base", [LIGHT, LIGHT_PBKDF2], ids=["scrypt", "pbkdf2"])
@pytest.mark.parametrize("change", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_keystores_as_wallets_write_them_are_taken_in_as_they_are(
    keystore: Keystore, make_file: MakeFile, change: Change, base: dict[str, Any]
) -> None:
    path = make_file(change, base)
    info = keystore.import_file("mine", path, lambda _: PASSWORD)
    assert info.address == ADDRESS
    assert json.loads(info.path.read_text()) == json.loads(path.read_text())
    assert keystore.open(info, lambda _: PASSWORD).address == ADDRESS


@pytest.mark.parametrize(
    "address",
    [
        "0x" + "11" * 20,
        "",
        None,
        7,
        "0x",
        ADDRESS[:-1],
        ADDRESS + "0",
        ADDRESS.swapcase(),
        "x" * 40,
    ],
)
def test_threat_42_a_keystore_that_names_another_address_is_refused(
    keystore: Keystore, make_file: MakeFile, address: object
) -> None:
    path = make_file(lambda value: value.update(address=address), LIGHT)
    with pytest.raises(KeyRefused, match=r"given\.json"):
        keystore.import_file("mine", path, lambda _: PASSWORD)
    assert keystore.list() == []


def test_a_key_whose_file_was_exchanged_signs_nothing(
    keystore: Keystore, make_file: MakeFile
) -> None:
    info = keystore.import_file("mine", make_file(None, LIGHT), lambda _: PASSWORD)
    other = create_keyfile_json(bytes(reversed(SECRET)), PASSWORD.encode(), 3, "scrypt", 2)
    info.path.write_text(json.dumps(other | {"address": ADDRESS}))
    with pytest.raises(KeyRefused, match="names another address than its key has"):
        keystore.open(keystore.find("mine"), lambda _: PASSWORD)


def test_every_flipped_digit_of_the_secret_parts_is_noticed(
    keystore: Keystore, make_file: MakeFile
) -> None:
    for name in ("ciphertext", "mac"):
        for at in range(0, 64, 7):
            text = LIGHT["crypto"][name]
            flipped = text[:at] + format(int(text[at], 16) ^ 1, "x") + text[at + 1 :]
            path = make_file(lambda v, n=name, t=flipped: v["crypto"].update({n: t}), LIGHT)
            with pytest.raises(KeyRefused):
                keystore.import_file("mine", path, lambda _: PASSWORD)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=12,
)
names = st.sampled_from(
    [
        "version", "crypto", "Crypto", "address", "kdf", "kdfparams", "n", "r", "p", "c", "dklen",
        "salt", "cipher", "cipherparams", "iv", "ciphertext", "mac", "prf", "N", "DKLEN",
    ]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(names, json_values, st.sampled_from([LIGHT, LIGHT_PBKDF2]))
def test_a_keystore_with_anything_anywhere_is_opened_or_refused(
    name: str, value: object, base: dict[str, Any]
) -> None:
    changed = json.loads(json.dumps(base))
    for part in (changed, changed["crypto"], changed["crypto"]["kdfparams"]):
        if isinstance(part, dict):
            part[name] = value
        try:
            checked = checked_keystore(Path("given.json"), changed)
        except IntegrityError:
            continue
        derivation = checked["crypto"]["kdfparams"]
        assert 128 * derivation.get("n", 2) * derivation.get("r", 1) <= 1 << 30
        assert derivation.get("c", 1) <= 10_000_000
        assert derivation["dklen"] == 32
