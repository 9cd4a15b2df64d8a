"""Receipts of made-up states, by py-trie and pyrlp, and what is put into good ones to break them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import rlp
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from tests.conformance import states
from tools.vectors import registry
from tools.vectors.registry import unhexed


def fill_receipts(value: dict[str, Any]) -> None:
    """Every receipt of a state, its block, and what is put into a good one to break it."""
    good = {case["name"]: case for case in value["good"]}
    for case in (*value["good"], *value["bad"]):
        if "state" in case:
            receipt = _receipt(value["publisher"], case["state"])
            for key, how in case.get("change", {}).items():
                receipt[key] = _changed(receipt, key, how)
            case["receipt"] = _canonical(receipt)
            case["checkpoint"] = keccak(hexstr=receipt["header"]).hex()
        elif "change" in case:
            receipt = json.loads(good[case["of"]]["receipt"])
            case["with"] = {key: _changed(receipt, key, how) for key, how in case["change"].items()}
        if "of" in case and case["reason"] != "HeaderUntrusted":
            header = case.get("with", {}).get("header")
            of = good[case["of"]]["checkpoint"]
            case["checkpoint"] = of if header is None else keccak(hexstr=header).hex()
        if "vouched" in case:
            of_state = case if "state" in case else good[case["of"]]
            case["checkpoint"] = _other_block(json.loads(of_state["receipt"]), case["vouched"])
    for case in value["good"]:
        told = case["state"]["header"]
        case["block"] = {
            "number": told["number"], "hash": case["checkpoint"], "time": told["time"],
        }  # fmt: skip


def _receipt(publisher: str, state: Mapping[str, Any]) -> dict[str, Any]:
    artifact = registry.artifact()
    address = state.get("registry", artifact["create2"]["address"])
    release = state["release"]
    names = {name: state[name] for name in ("package", "version")} | {"publisher": publisher}
    keys = registry.keys(names | {"sequence": release["sequence"]})
    told = {
        "head": registry.head(state["head"]), "release": registry.release(release),
        "manifest": state["manifest"],
    }  # fmt: skip
    words = {name: (unhexed(keys[f"{name}_slot"]), unhexed(word)) for name, word in told.items()}
    said = dict(state.get("endorsements", {}))
    said |= {_endorser(number): None for number in range(state.get("endorsers", 0))}
    for endorser, endorsement in said.items():
        slot = registry.endorsement_slot(endorser, state["manifest"])
        words[endorser] = slot, _endorsement(endorsement)
    code = keccak(hexstr=state.get("code", artifact["deployedBytecode"]))
    proven = states.proofs(address, code, words, state)
    if said:
        proven["endorsements"] = {endorser: proven.pop(endorser) for endorser in said}
    fixed = {"chain": state["chain"], "format": "integrity-receipt/1", "registry": address}
    return names | fixed | proven


def _endorser(number: int) -> str:
    return to_checksum_address(keccak(b"endorser %d" % number)[12:])


def _endorsement(told: Mapping[str, Any] | None) -> bytes:
    return bytes(32) if told is None else unhexed(registry.endorsement(told))


def _canonical(receipt: Mapping[str, Any]) -> str:
    return json.dumps(receipt, sort_keys=True, separators=(",", ":")) + "\n"


def _changed(receipt: Mapping[str, Any], key: str, how: str) -> object:
    """A proof, or the header, as a bad case has it changed."""
    if how in receipt:  # the proof of something else
        return receipt[how]
    if key == "header":
        whole = str(receipt[key])
        digits = {"without its end": whole[:-2], "of another root": whole.replace("a0", "a1", 1)}
        extra = b"vector".hex()
        digits["of another block"] = whole.replace(extra, b"wector".hex())
        return digits[how]
    if key == "endorsements" and how.startswith("0x"):  # of another account
        return {how: receipt[key][min(receipt[key])]}
    if key == "endorsements":
        return {one: _other_nodes(nodes, how) for one, nodes in receipt[key].items()}
    return _other_nodes(receipt[key], how)


def _other_nodes(nodes: list[str], how: str) -> list[str]:
    last = nodes[-1][:-1] + ("0" if nodes[-1][-1] != "0" else "1")
    return {
        "flipped": [*nodes[:-1], last], "without its root": nodes[1:], "without its leaf": nodes[:-1],
        "reversed": nodes[::-1], "with a node too many": [*nodes, nodes[-1]], "empty": [],
        "of 66 nodes": [nodes[0]] * 66, "with a node of no bytes": [*nodes, ""],
    }[how]  # fmt: skip


def _other_block(receipt: Mapping[str, Any], which: str) -> str:
    """The hash of a block that is not the receipt's own."""
    header = unhexed(receipt["header"])
    fields = list(rlp.decode(header))
    if which == "the parent":
        return bytes(fields[0]).hex()
    if which == "a child":
        number = int.from_bytes(fields[8], "big") + 1
        child = rlp.encode([keccak(header), *fields[1:8], number, *fields[9:]])
        return keccak(child).hex()
    assert which == "another block", which
    return keccak(b"another block").hex()
