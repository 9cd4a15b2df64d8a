"""Signed transactions read from their bytes: what a wallet signs, and nothing that is spelt otherwise."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from integrity.core.rlp import decode_list, encode, encode_integer
from integrity.core.signatures import signer_of_65
from integrity.core.transactions import read_signed
from integrity.errors import FormatError

KEY = bytes.fromhex("c0ffee" * 10 + "1234")
ADDRESS = Account.from_key(KEY).address
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

amounts = st.integers(0, 2**96)
calls = st.fixed_dictionaries({
    "chainId": st.integers(1, 2**50), "nonce": st.integers(0, 2**63), "gas": st.integers(21_000, 2**30),
    "to": st.none() | st.binary(min_size=20, max_size=20), "value": amounts, "data": st.binary(max_size=200),
})  # fmt: skip


def signed(call: dict[str, Any], **fees: int) -> Any:
    to = Account.from_key(KEY).address if call["to"] is None else call["to"]
    return Account.sign_transaction(call | {"to": to} | fees, KEY)


@given(calls, amounts, amounts)
def test_what_a_wallet_signs_is_read_back(call: dict[str, Any], cap: int, tip: int) -> None:
    for fees in ({"maxFeePerGas": cap, "maxPriorityFeePerGas": tip}, {"gasPrice": cap}):
        made = signed(call, **fees)
        read = read_signed(bytes(made.raw_transaction))
        assert (read.sender, read.hash) == (ADDRESS, bytes(made.hash))
        again = read.call | fees
        assert bytes(Account.sign_transaction(again, KEY).raw_transaction) == made.raw_transaction
        assert (read.cap, read.tip) == (cap, fees.get("maxPriorityFeePerGas"))


@given(st.binary(max_size=300), st.integers(0, 299), st.integers(1, 255))
def test_other_bytes_are_malformed_or_of_another_sender(junk: bytes, at: int, flip: int) -> None:
    with contextlib.suppress(FormatError):
        read_signed(junk)
    call = {"chainId": 1, "nonce": 2, "gas": 90_000, "to": None, "value": 3, "data": bytes(150)}
    raw = bytearray(signed(call, maxFeePerGas=9, maxPriorityFeePerGas=5).raw_transaction)
    raw[at % len(raw)] ^= flip
    with contextlib.suppress(FormatError):
        assert read_signed(bytes(raw)).sender != ADDRESS


def test_an_s_in_the_upper_half_and_a_chain_for_all_are_refused() -> None:
    call = {"chainId": 1, "nonce": 0, "gas": 90_000, "to": None, "value": 0, "data": b""}
    raw = bytes(signed(call, maxFeePerGas=9, maxPriorityFeePerGas=5).raw_transaction)
    fields = decode_list(raw[1:])
    parity, s = fields[9], fields[11]
    assert isinstance(parity, bytes)
    assert isinstance(s, bytes)
    other = encode_integer(ORDER - int.from_bytes(s, "big"))
    high = [*fields[:9], b"" if parity else b"\1", fields[10], other]
    with pytest.raises(FormatError, match="nobody's"):
        read_signed(b"\2" + encode(high))
    legacy = decode_list(bytes(signed(call, gasPrice=9).raw_transaction))
    with pytest.raises(FormatError, match="every chain"):
        read_signed(encode([*legacy[:6], b"\x1b", *legacy[7:]]))


@given(st.binary(min_size=32, max_size=32), st.integers(0, 255))
def test_65_bytes_are_a_signature_in_one_spelling(digest: bytes, v: int) -> None:
    made = Account.unsafe_sign_hash(digest, KEY)
    rs = made.r.to_bytes(32, "big") + made.s.to_bytes(32, "big")
    assert signer_of_65(digest, rs + bytes((made.v,))) == ADDRESS
    if v != made.v:
        assert signer_of_65(digest, rs + bytes((v,))) != ADDRESS
    high = rs[:32] + (ORDER - made.s).to_bytes(32, "big") + bytes((55 - made.v,))
    assert signer_of_65(digest, high) is None
    assert signer_of_65(digest, rs) is None
