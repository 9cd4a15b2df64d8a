"""Signed requests, by eth_account, and who signed them, by eth_keys in plain Python."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from eth_account import Account
from eth_account.messages import SignableMessage, encode_defunct, encode_typed_data
from eth_keys.backends.native.main import NativeECCBackend
from eth_keys.datatypes import Signature
from eth_keys.exceptions import BadSignature
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError

from tools.vectors.registry import unhexed

_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_NO_POINT = 5  # no point of the curve has it for its x

_PUBLISH = (
    "address publisher,string package,string version,bytes32 manifest,bytes32 content,"
    "uint256 expectedCount,bool makeLatest,address signer,uint256 deadline"
)


def fill_requests(value: dict[str, Any]) -> None:
    """Every request, what is signed, and whose signature it has."""
    good = {case["name"]: case for case in value["good"]}
    for case in value["good"]:
        fields = case["fields"]
        if "key" in case:
            assert Account.from_key(case["key"]).address == fields["signer"], case["name"]
            _fill(case, fields, _signed(case["key"], _message(fields)))
        elif "signature" in case:  # so long that it is a recipe
            _fill(case, fields, b"")
            before, after = case["request"].split('"signature":"')
            case["request"] = [f'{before}"signature":"', case["signature"], after]
        else:
            _fill(case, fields, b"")
    for case in value["bad_signatures"]:
        of = good[case["of"]]
        _fill(case, of["fields"], _bad_signature(of, case))


def _fill(case: dict[str, Any], fields: Mapping[str, Any], signature: bytes) -> None:
    whole = {**fields, "format": "integrity-request/1", "signature": signature.hex()}
    case["request"] = json.dumps(whole, sort_keys=True, separators=(",", ":")) + "\n"
    digest = _hash(_message(fields))
    case["digest"] = digest.hex()
    case["recovered"] = _recovered(digest, signature)


def _message(fields: Mapping[str, Any]) -> SignableMessage:
    members = (member.split(" ") for member in _PUBLISH.split(","))
    return encode_typed_data(
        domain_data={
            "name": "ContentRegistry", "version": "1", "chainId": fields["chain"],
            "verifyingContract": fields["registry"],
        },
        message_types={"Publish": [{"name": name, "type": kind} for kind, name in members]},
        message_data={
            **{name: fields[name] for name in ("publisher", "package", "version", "signer", "deadline")},
            **{name: unhexed(fields[name]) for name in ("manifest", "content")},
            "expectedCount": fields["count"], "makeLatest": fields["latest"],
        },
    )  # fmt: skip


def _hash(message: SignableMessage) -> bytes:
    return keccak(b"\x19" + message.version + message.header + message.body)


def _signed(key: str, message: SignableMessage) -> bytes:
    return bytes(Account.sign_message(message, key).signature)


def _bad_signature(of: Mapping[str, Any], case: Mapping[str, Any]) -> bytes:
    if "signed" in case:  # the request with these fields instead
        return _signed(of["key"], _message({**of["fields"], **case["signed"]}))
    message = _message(of["fields"])
    if "key" in case:
        return _signed(case["key"], message)
    if case["form"] == "as a text":
        return _signed(of["key"], encode_defunct(primitive=_hash(message)))
    if case["form"] == "of the text of the request":
        return _signed(of["key"], encode_defunct(text=of["request"]))
    return _other_form(_signed(of["key"], message), case["form"])


def _other_form(signature: bytes, form: str) -> bytes:
    r, s, v = (
        int.from_bytes(signature[:32], "big"),
        int.from_bytes(signature[32:64], "big"),
        signature[64],
    )
    compact = (s | (v - 27) << 255).to_bytes(32, "big")  # EIP-2098
    return {
        "high s": _joined(r, _ORDER - s, 55 - v),
        "high s, v as it was": _joined(r, _ORDER - s, v),
        "s of half the order": _joined(r, _ORDER // 2, v),
        "s of half the order and one": _joined(r, _ORDER // 2 + 1, v),
        "v less 27": _joined(r, s, v - 27),
        "v of 26": _joined(r, s, 26),
        "v of 29": _joined(r, s, 29),
        "v of EIP-155 on chain 1": _joined(r, s, v - 27 + 37),
        "the other v": _joined(r, s, 55 - v),
        "a bit of r flipped": _joined(r ^ 1, s, v),
        "a bit of s flipped": _joined(r, s ^ 1, v),
        "r of 0": _joined(0, s, v),
        "s of 0": _joined(r, 0, v),
        "r of the order": _joined(_ORDER, s, v),
        "s of the order": _joined(r, _ORDER, v),
        "r of no point": _joined(_NO_POINT, s, v),
        "r of all ones": _joined(2**256 - 1, s, v),
        "r and s exchanged": _joined(s, r, v),
        "zeros": bytes(65),
        "compact": signature[:32] + compact,
        "without its end": signature[:64],
        "with a byte more": signature + b"\0",
        "v first": signature[64:] + signature[:64],
    }[form]


def _joined(r: int, s: int, v: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((v,))


def _recovered(digest: bytes, signature: bytes) -> str | None:
    """Whose signature it is, by section 4.6."""
    if len(signature) != 65 or signature[64] not in {27, 28}:
        return None
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    if not (0 < r < _ORDER and 0 < s <= _ORDER // 2):
        return None
    try:
        parsed = Signature(vrs=(signature[64] - 27, r, s))
        return NativeECCBackend().ecdsa_recover(digest, parsed).to_checksum_address()
    except (BadSignature, ValidationError):
        return None
