"""spec/vectors/registry.json: keys, slots, words and addresses (spec v1, section 4).

The vectors are made with eth_abi and eth_utils; the contract's own layout is read from what its
compiler says.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from integrity.core import registry
from integrity.core.links import Link
from integrity.core.names import keccak256
from integrity.core.registry import Block
from integrity.errors import IntegrityError
from integrity.verifier.checks import Registry
from integrity.verifier.record import RecordVerifier
from integrity.verifier.state import ONE_NODE, Vouched

from . import recipes
from .recipes import Case

ADDRESS = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def compiled() -> dict[str, Any]:
    """The artifact that ships."""
    path = ROOT / "integrity" / "chain" / "ContentRegistry.json"
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


@pytest.mark.parametrize("case", recipes.parameters("registry", "keys"))
def test_keys_and_slots(case: Case) -> None:
    names = (case["publisher"], case["package"])
    release = (*names, case["version"])
    assert "0x" + registry.package_key(*names).hex() == case["package_key"]
    assert "0x" + registry.release_key(*release).hex() == case["release_key"]
    assert "0x" + registry.head_slot(*names).hex() == case["head_slot"]
    assert "0x" + registry.manifest_slot(*names, case["sequence"]).hex() == case["manifest_slot"]
    assert "0x" + registry.release_slot(*release).hex() == case["release_slot"]


@pytest.mark.parametrize("case", recipes.parameters("registry", "keys"))
def test_the_vectors_are_what_eth_abi_gives(case: Case) -> None:
    package = keccak(encode(["address", "string"], [case["publisher"], case["package"]]))
    release = keccak(encode(["bytes32", "string"], [package, case["version"]]))
    assert case["package_key"] == "0x" + package.hex()
    assert case["release_key"] == "0x" + release.hex()
    publisher = bytes.fromhex(case["publisher"][2:]).rjust(32, b"\0")
    assert case["publisher_slot"] == "0x" + keccak(publisher + bytes(32)).hex()
    assert case["head_slot"] == "0x" + keccak(package + bytes(31) + b"\x02").hex()
    assert case["release_slot"] == "0x" + keccak(release + bytes(31) + b"\x04").hex()
    of_package = keccak(package + bytes(31) + b"\x03")
    sequence = case["sequence"].to_bytes(32, "big")
    assert case["manifest_slot"] == "0x" + keccak(sequence + of_package).hex()


@pytest.mark.parametrize("case", recipes.parameters("registry", "heads"))
def test_a_head_is_read_from_its_word(case: Case) -> None:
    head = registry.decode_head(bytes.fromhex(case["word"][2:]))
    assert head == registry.Head(case["count"], case["latest"], case["updated_at"])


@pytest.mark.parametrize("case", recipes.parameters("registry", "releases"))
def test_a_release_is_read_from_its_word(case: Case) -> None:
    release = registry.decode_release(bytes.fromhex(case["word"][2:]))
    assert release == registry.ReleaseSlot(
        case["sequence"], case["published_at"], case["revocation"], case["by"]
    )


@pytest.mark.parametrize("case", recipes.parameters("registry", "controllers"))
def test_a_publishers_slots_and_word(case: Case) -> None:
    publisher = case["publisher"]
    assert "0x" + registry.publisher_slot(publisher).hex() == case["publisher_slot"]
    assert "0x" + registry.pending_slot(publisher).hex() == case["pending_slot"]
    told = case["controller"] if int(case["controller"], 16) else publisher
    read = registry.decode_controller(bytes.fromhex(case["word"][2:]), publisher)
    assert read == registry.Controller(told, case["epoch"])


@pytest.mark.parametrize("case", recipes.parameters("registry", "endorsements"))
def test_an_endorsements_slot_and_word(case: Case) -> None:
    manifest = bytes.fromhex(case["manifest"][2:])
    assert "0x" + registry.endorsement_slot(case["endorser"], manifest).hex() == case["slot"]
    read = registry.decode_endorsement(bytes.fromhex(case["word"][2:]))
    assert read == registry.Endorsement(case["endorsed_at"], case["kind"])


@pytest.mark.parametrize("case", recipes.parameters("registry", "delegates"))
def test_a_delegates_slot_and_word(case: Case) -> None:
    package = registry.ALL_PACKAGES if case["package"] is None else case["package"]
    slot = registry.delegate_slot(case["publisher"], case["epoch"], package, case["delegate"])
    assert "0x" + slot.hex() == case["slot"]
    assert registry.decode_expiry(bytes.fromhex(case["word"][2:])) == case["expiry"]


@pytest.mark.parametrize("case", recipes.parameters("registry", "verdicts"))
def test_words_of_storage_give_one_verdict(case: Case) -> None:
    pin = None if case["pin"] is None else bytes.fromhex(case["pin"])
    link = Link(31337, ADDRESS, "tool", "1.2.0", pin=pin)
    registered = Registry(ADDRESS, keccak256(b"code"))
    verifier = RecordVerifier(link, registered)
    verifier.step1_publisher(None, trusted=True)
    verifier.step2_block(31337, Block(7, bytes(32), 1_700_000_000), Vouched(ONE_NODE))
    verifier.step3_account(keccak256(b"code"), proven=True)
    words = (case["head"]["word"], case["release"]["word"], case["manifest"])
    head, release, manifest = (bytes.fromhex(word[2:]) for word in words)
    if case["verdict"] is None:
        record = verifier.step4_record("1.2.0", head, release, manifest)
        assert record.manifest == manifest
        assert record.sequence == case["release"]["sequence"]
        assert record.is_latest == (case["head"]["latest"] == record.sequence)
        assert record.by.lower() == case["release"]["by"]
        return
    with pytest.raises(IntegrityError) as caught:
        verifier.step4_record("1.2.0", head, release, manifest)
    assert caught.value.name == case["verdict"]


@pytest.mark.parametrize("case", recipes.parameters("registry", "create2"))
def test_an_address_follows_from_salt_and_code(case: Case) -> None:
    salt, code = (bytes.fromhex(case[key][2:]) for key in ("salt", "init_code_hash"))
    assert registry.create2_address(salt, code) == case["address"]


def test_the_proxy_is_the_one_of_the_vectors() -> None:
    assert recipes.load("registry")["deployer"] == registry.CREATE2_PROXY


@pytest.mark.parametrize("case", recipes.parameters("registry", "events"))
def test_an_event_has_its_topic_and_is_one_of_the_contract(
    case: Case, compiled: dict[str, Any]
) -> None:
    assert "0x" + keccak256(case["signature"].encode()).hex() == case["topic"]
    signatures = {
        f"{item['name']}({','.join(i['type'] for i in item['inputs'])})"
        for item in compiled["abi"]
        if item["type"] == "event"
    }
    assert case["signature"] in signatures


def test_threat_51_a_moved_boundary_between_names_is_another_key() -> None:
    one = {case["name"]: case for case in recipes.load("registry")["keys"]}
    moved, straight = one["the boundary between names moved"], one["a release"]
    assert moved["package"] + moved["version"] == straight["package"] + straight["version"]
    assert moved["release_slot"] != straight["release_slot"]


# --- the contract that ships -----------------------------------------------------------------------


def test_the_deployment_is_that_of_the_compiled_contract(compiled: dict[str, Any]) -> None:
    """If this fails the contract has changed, and readers of the old address see nothing of it:
    run tools/make_vectors.py and put the new values into section 4.5 of spec/v1.md.
    """
    vector = recipes.load("registry")["deployment"]
    code, init_code = (bytes.fromhex(compiled[k][2:]) for k in ("deployedBytecode", "bytecode"))
    assert vector == {
        "salt": compiled["create2"]["salt"],
        "init_code_hash": "0x" + keccak256(init_code).hex(),
        "code_hash": "0x" + keccak256(code).hex(),
        "address": compiled["create2"]["address"],
    }
    salt = bytes.fromhex(vector["salt"][2:])
    assert vector["address"] == registry.create2_address(salt, keccak256(init_code))
    text = (ROOT / "spec" / "v1.md").read_text(encoding="utf-8")
    assert all(value in text for value in vector.values())


@pytest.mark.parametrize(
    ("variable", "slot"),
    [
        ("publishers", 0),
        ("pendingControllers", 1),
        ("heads", 2),
        ("manifests", 3),
        ("releases", 4),
        ("endorsements", 5),
        ("delegates", 6),
    ],
)
def test_the_compiler_puts_each_variable_where_the_specification_does(
    compiled: dict[str, Any], variable: str, slot: int
) -> None:
    layout = {entry["label"]: entry for entry in compiled["storageLayout"]["storage"]}
    assert (layout[variable]["slot"], layout[variable]["offset"]) == (str(slot), 0)


@pytest.mark.parametrize(
    ("struct", "fields"),
    [
        ("Publisher", [("controller", 0), ("epoch", 20)]),
        ("Head", [("count", 0), ("latest", 6), ("updatedAt", 12)]),
        ("Release", [("sequence", 0), ("publishedAt", 6), ("revocation", 11), ("by", 12)]),
        ("Endorsement", [("endorsedAt", 0), ("kind", 5)]),
    ],
)
def test_the_compiler_packs_each_struct_as_the_specification_does(
    compiled: dict[str, Any], struct: str, fields: list[tuple[str, int]]
) -> None:
    members = compiled["storageLayout"]["types"][f"t_struct({struct})_storage"]["members"]
    assert [(member["label"], member["offset"]) for member in members] == fields
    assert {member["slot"] for member in members} == {"0"}
