"""Headers and trie proofs, by py-trie and pyrlp; bad ones are good ones with a change that names itself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import rlp
from eth_utils.crypto import keccak

from tests.conformance import states
from tools.vectors.registry import unhexed
from tools.vectors.spelling import edited, relinked

_EMPTY_ROOT = keccak(rlp.encode(b""))
_LONG_RUN = re.compile(rb"(.)\1{499,}", re.DOTALL)


def fill_proofs(value: dict[str, Any]) -> None:
    """Every header, trie and account, and what each of them says."""
    _fill_headers(value["headers_good"], value["headers_bad"])
    _fill_tries(value["tries_good"], value["tries_bad"])
    for case in (*value["accounts_good"], *value["accounts_bad"]):
        _fill_account(case)


# --- headers -------------------------------------------------------------------------------------


def _fill_headers(good: list[dict[str, Any]], bad: list[dict[str, Any]]) -> None:
    plain: dict[str, bytes] = {}
    for case in good:
        told = case["block"]
        header = _edited(states.header(told, unhexed(told["state_root"])), case)
        plain[case["name"]] = header
        fields = rlp.decode(header)
        case["header"] = _recipe(header)
        case["number"], case["hash"] = int.from_bytes(fields[8], "big"), keccak(header).hex()
        case["time"], case["state_root"] = int.from_bytes(fields[11], "big"), fields[3].hex()
    for case in bad:
        case["header"] = _recipe(_edited(plain[case["of"]], case))


def _edited(header: bytes, case: Mapping[str, Any]) -> bytes:
    for how in case.get("change", ()):
        header = edited(header, how)
    return header


def _recipe(data: bytes) -> str | list[Any]:
    """Hex, or parts where one byte stands many times."""
    run = _LONG_RUN.search(data)
    if run is None:
        return data.hex()
    parts = {"hex": data[: run.start()].hex()}, {"hex": data[run.end() :].hex()}
    middle = {"hex": run[1].hex(), "times": len(run[0])}
    return [part for part in (parts[0], middle, parts[1]) if part["hex"]]


# --- tries ---------------------------------------------------------------------------------------


def _fill_tries(good: list[dict[str, Any]], bad: list[dict[str, Any]]) -> None:
    plain: dict[str, tuple[str, list[str]]] = {}
    for case in good:
        entries = {unhexed(key): unhexed(value) for key, value in case["entries"].items()}
        for number in range(case.get("others", 0)):
            entries[keccak(b"slot %d" % number)] = rlp.encode(number + 1)
        trie = states.Trie(entries)
        key = unhexed(case["key"])
        case["root"], case["nodes"] = _changed(trie.root.hex(), trie.proof(key), case)
        plain[case["name"]] = case["root"], case["nodes"]
        value = entries.get(key)
        case["value"] = None if value is None else value.hex()
        word = b"" if value is None else rlp.decode(value)
        case["word"] = bytes(word).rjust(32, b"\0").hex()
    keys = {case["name"]: case["key"] for case in good}
    for case in bad:
        case.setdefault("key", keys[case["of"]])
        case["root"], case["nodes"] = _changed(*plain[case["of"]], case)


def _changed(root: str, proof: Sequence[str], case: Mapping[str, Any]) -> tuple[str, list[str]]:
    """A proof with its changes. Where a node is another, those above it are made to name it."""
    nodes = [bytes.fromhex(node) for node in proof]
    for how in case.get("change", ()):
        if "order" in how:
            nodes = [nodes[at] for at in how["order"]]
        elif "given" in how:
            nodes = [bytes.fromhex(node) for node in how["given"]]
        elif "root" in how:
            root = how["root"]
        elif "listed" in how:  # the node within the last one
            nodes.append(rlp.encode(_within(nodes[-1], how["listed"])))
        else:
            nodes = _other_trie(nodes, how)
            root = keccak(nodes[0]).hex()
    return root, [node.hex() for node in nodes]


def _other_trie(nodes: list[bytes], how: Mapping[str, Any]) -> list[bytes]:
    if "above" in how:  # a node above the first, of this path
        return [rlp.encode([unhexed(how["above"]), keccak(nodes[0])]), *nodes]
    if "below" in how:  # a node below the last, which names it as its second item
        last = rlp.encode([unhexed(item) for item in how["below"]])
        upper = edited(nodes[-1], {"item": [1], "to": keccak(last).hex()})
        return [*relinked(nodes, len(nodes) - 1, upper), last]
    if "apart" in how:  # the node within the last one is named by its hash
        inner = rlp.encode(_within(nodes[-1], how["apart"]))
        upper = edited(nodes[-1], {"item": how["apart"], "to": keccak(inner).hex()})
        return [*relinked(nodes, len(nodes) - 1, upper), inner]
    if "within" in how:  # the last node stands in the one above it
        *rest, inner = nodes
        items = rlp.decode(rest[-1])
        assert items[how["within"][0]] == keccak(inner)
        items[how["within"][0]] = rlp.decode(inner)
        return relinked(rest, len(rest) - 1, rlp.encode(items))
    at = how.get("node", len(nodes) - 1)
    return relinked(nodes, at, edited(nodes[at], how))


def _within(node: bytes, at: Sequence[int]) -> Any:
    found = rlp.decode(node)
    for index in at:
        found = found[index]
    assert isinstance(found, list), "there is no node"
    return found


# --- accounts ------------------------------------------------------------------------------------


def _fill_account(case: dict[str, Any]) -> None:
    """Of a state with so many others; ``fields`` are those of the account's value, null if there is none."""
    entries = {
        keccak(b"account %d" % number)[12:]: rlp.encode([number, number, _EMPTY_ROOT, keccak(b"")])
        for number in range(case["others"])
    }
    address = unhexed(case["address"])
    if case["fields"] is not None:
        entries[address] = rlp.encode(_item(case["fields"]))
    trie = states.Trie(entries)
    case["root"], case["nodes"] = trie.root.hex(), trie.proof(address)


def _item(told: Any) -> Any:
    return [_item(one) for one in told] if isinstance(told, list) else unhexed(told)
