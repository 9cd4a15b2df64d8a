"""Three kinds of no, and a refusal: never blurred (spec v1, section 6.3)."""

from __future__ import annotations

import inspect

import pytest

from integrity import errors
from integrity.errors import (
    FormatError,
    IntegrityError,
    RefusedError,
    UnavailableError,
    VerificationError,
)

FAMILIES: dict[type[IntegrityError], tuple[str, int]] = {
    FormatError: ("malformed", 2),
    VerificationError: ("does not verify", 4),
    UnavailableError: ("could not check", 3),
    RefusedError: ("refused", 2),
}

EVERY = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, IntegrityError) and kind is not IntegrityError
]


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_an_error_is_of_one_family(kind: type[IntegrityError]) -> None:
    families = [family for family in FAMILIES if issubclass(kind, family)]
    assert len(families) == 1
    family, exit_code = FAMILIES[families[0]]
    error = kind("what happened", evidence={"piece": 3}, causes=["one", "two"])
    assert error.family == family
    if kind is errors.Interrupted:
        exit_code = 130
    assert error.exit_code == exit_code
    assert error.name == kind.__name__
    assert (str(error), error.evidence, error.causes) == (
        "what happened",
        {"piece": 3},
        ["one", "two"],
    )


MEANT = {
    FormatError: ["NonCanonical", "LimitExceeded", "HashUnsupported", "UnsafePath", "NameCollision",
                  "TotalsMismatch", "LinkMalformed", "AddressMalformed"],
    VerificationError: ["ManifestMismatch", "ManifestInvalid", "WrongRelease", "PieceMismatch",
                        "PublisherMismatch", "RegistryMismatch", "ReleaseNotFound", "ProofInvalid",
                        "Rollback", "PublisherCompromised", "Revoked"],
    UnavailableError: ["ChainMismatch", "RecordUnproven", "Unfinalized", "UnknownPublisher",
                       "ProofUnavailable", "HeaderUntrusted", "NoQuorum", "StaleBlock",
                       "SourcesUnavailable", "RpcUnavailable", "RpcAnswerInvalid"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("family", "name"), [(family, name) for family, names in MEANT.items() for name in names]
)
def test_the_errors_of_the_specification_are_of_its_families(
    family: type[IntegrityError], name: str
) -> None:
    assert issubclass(getattr(errors, name), family)


def test_a_message_says_what_to_do_next() -> None:
    assert errors.AddressMalformed("x").next != ""
    assert FormatError("x", next="do this").next == "do this"
    assert FormatError("x", next="").next == ""
