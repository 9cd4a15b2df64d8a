"""Signed requests as files: one spelling each, everything else malformed; and the hash that wallets sign."""

from __future__ import annotations

import contextlib
import json
from dataclasses import fields, replace
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from integrity.core.names import checksum_address
from integrity.core.request import REQUEST_LIMIT, Request, decode, encode
from integrity.core.signatures import signer_of_65
from integrity.errors import FormatError, LimitExceeded, NonCanonical

KEY = bytes.fromhex("c0ffee" * 10 + "1234")

addresses = st.binary(min_size=20, max_size=20).map(checksum_address)
digests = st.binary(min_size=32, max_size=32)
names = st.from_regex(r"(0x)?[a-z0-9][a-z0-9._-]{0,38}", fullmatch=True)
requests = st.builds(
    Request, st.integers(1, 10**12), addresses, addresses, names, names, digests, digests,
    st.integers(0, 2**48 - 1), st.booleans(), addresses, st.integers(0, 2**50), st.binary(max_size=200),
)  # fmt: skip
A = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
ONE = Request(31337, A, A, "tool", "1.0.0", b"\1" * 32, b"\2" * 32, 4, True, A, 2**33, b"\3" * 65)


@given(requests)
def test_a_request_has_one_spelling(request: Request) -> None:
    assert decode(encode(request)) == request
    assert encode(request).isascii()


@given(requests)
def test_what_is_signed_is_what_wallets_sign(request: Request) -> None:
    signed = Account.sign_typed_data(KEY, full_message=request.typed_data)
    assert signer_of_65(request.digest, bytes(signed.signature)) == Account.from_key(KEY).address
    seen = encode_typed_data(full_message=json.loads(json.dumps(request.typed_data)))
    assert bytes(Account.sign_message(seen, KEY).signature) == bytes(signed.signature)


def other(value: Any) -> Any:
    """A value of the same kind that is not this one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, bytes):
        return bytes((value[0] ^ 1,)) + value[1:]
    if len(value) == 42:
        return "0x" + ("22" if value != "0x" + "22" * 20 else "33") * 20
    return ("x" if value[0] != "x" else "y") + value[1:]


@given(requests)
def test_every_field_but_the_signature_is_signed(request: Request) -> None:
    assert replace(request, signature=b"").digest == request.digest
    for field in fields(Request):
        if field.name == "signature":
            continue
        changed = replace(request, **{field.name: other(getattr(request, field.name))})
        assert changed.digest != request.digest, field.name


@given(st.binary(max_size=400) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_anything_else_is_malformed(data: bytes) -> None:
    with pytest.raises(FormatError):
        decode(data)


values: st.SearchStrategy[object] = (
    st.none() | st.booleans() | st.integers() | st.text() | st.just([]) | st.just({}) | st.floats()
)


@given(st.sampled_from(sorted(json.loads(encode(ONE)))), values)
def test_a_field_with_another_value_is_read_or_malformed(name: str, value: object) -> None:
    given_ = json.loads(encode(ONE)) | {name: value}
    text = json.dumps(given_, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    with contextlib.suppress(FormatError):
        assert encode(decode(text)) == text


@given(st.integers(0, len(encode(ONE)) - 1), st.integers(1, 255))
def test_a_flipped_bit_is_malformed_or_another_request(at: int, flip: int) -> None:
    data = bytearray(encode(ONE))
    data[at] ^= flip
    with contextlib.suppress(FormatError):
        assert decode(bytes(data)) != ONE


def test_other_spellings_missing_and_unknown_fields_are_refused() -> None:
    text = encode(ONE)
    value = json.loads(text)
    for other in (text[:-1], text + b"\n", b" " + text, json.dumps(value).encode() + b"\n"):
        with pytest.raises(NonCanonical):
            decode(other)
    with pytest.raises(NonCanonical):
        decode(text.replace(A.encode(), A.lower().encode(), 1))
    for name in value:
        with pytest.raises(FormatError, match=r"without|not a request"):
            decode(json.dumps({k: v for k, v in value.items() if k != name}).encode())
    with pytest.raises(FormatError, match="with 'more'"):
        decode(json.dumps(value | {"more": 1}).encode())
    with pytest.raises(LimitExceeded):
        decode(encode(replace(ONE, signature=bytes(REQUEST_LIMIT))))
