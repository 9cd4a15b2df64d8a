"""spec/vectors/requests.json: signed requests, and whose signature they have (spec v1, section 4.6).

The vectors are made with eth_account and eth_keys, which share no code with what is tested here.
"""

from __future__ import annotations

import pytest

from integrity.core.request import REQUEST_LIMIT, Request, decode, encode
from integrity.core.signatures import signer_of_65
from integrity.errors import FormatError

from . import recipes
from .recipes import Case

GOOD = {case["name"]: case for case in recipes.load("requests")["good"]}


def read(case: Case) -> Request:
    return decode(b"".join(recipes.expand(case["request"])))


@pytest.mark.parametrize("case", recipes.parameters("requests", "good"))
def test_a_request_is_read_and_written_as_it_was(case: Case) -> None:
    data = b"".join(recipes.expand(case["request"]))
    assert len(data) <= REQUEST_LIMIT
    request = decode(data)
    told = case["fields"]
    assert request == Request(
        told["chain"], told["registry"], told["publisher"], told["package"], told["version"],
        bytes.fromhex(told["manifest"]), bytes.fromhex(told["content"]), told["count"], told["latest"],
        told["signer"], told["deadline"], request.signature,
    )  # fmt: skip
    assert encode(request) == data


@pytest.mark.parametrize("case", recipes.parameters("requests", "good"))
def test_a_request_has_its_digest_and_its_signer(case: Case) -> None:
    request = read(case)
    assert request.digest.hex() == case["digest"]
    assert signer_of_65(request.digest, request.signature) == case["recovered"]
    assert case["recovered"] == (request.signer if "key" in case else None)


def test_the_digest_of_the_worked_example() -> None:
    """As a constant, which neither the tool nor the code can change."""
    digest = "eed0b938a53c3892ae5233d9d4e8465e5035be4773f32a1e7305fd4253c4d6ff"
    assert GOOD["the release of the worked example"]["digest"] == digest


@pytest.mark.parametrize("case", recipes.parameters("requests", "bad"))
def test_what_is_no_request_is_malformed(case: Case) -> None:
    with pytest.raises(FormatError) as caught:
        decode(recipes.document(case, GOOD, "request"))
    assert caught.value.name == case["reason"]


@pytest.mark.parametrize("case", recipes.parameters("requests", "bad_signatures"))
def test_what_is_no_signature_of_the_signer_recovers_nobody_or_another(case: Case) -> None:
    request = read(case)
    assert request.signer == GOOD[case["of"]]["fields"]["signer"]
    assert request.digest.hex() == case["digest"]
    assert signer_of_65(request.digest, request.signature) == case["recovered"]
    assert case["recovered"] != request.signer
