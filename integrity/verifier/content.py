"""Steps 6 and 7 of the verifier (spec v1, section 6): the manifest, then every piece."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

from integrity.core.manifest import Header
from integrity.core.reading import ManifestDigest, check_manifest
from integrity.core.sorting import Scratch
from integrity.errors import (
    FormatError,
    ManifestInvalid,
    ManifestMismatch,
    WrongRelease,
)
from integrity.verifier.verdict import at_step

Chunks = Callable[[], Iterable[bytes]]
"""Gives the manifest's bytes from the start, as often as it is called."""


def manifest_digest(chunks: Chunks) -> bytes:
    """The digest a registry would record for these bytes; FormatError if none can be recorded."""
    digest = ManifestDigest()
    for chunk in chunks():
        digest.update(chunk)
    return digest.finish()


@at_step(6)
def step6_manifest(
    chunks: Chunks,
    expected: bytes,
    scratch: Scratch,
    names: tuple[str, str, str] | None = None,
) -> Header:
    """6. The manifest has the recorded digest, is canonical and true to itself, and names the
    release: ``names`` is (publisher, package, version).

    Raises ManifestMismatch when the bytes are others, ManifestInvalid when they are the recorded
    ones and break the format, WrongRelease when they are of another release.
    """
    try:
        actual = manifest_digest(chunks)
    except FormatError as error:
        raise ManifestMismatch(error.message, evidence={"expected": expected.hex()}) from error
    if actual != expected:
        raise ManifestMismatch(
            "the manifest is not the recorded one",
            evidence={"expected": expected.hex(), "actual": actual.hex()},
        )
    try:
        header = check_manifest(chunks(), scratch)
    except FormatError as error:
        raise ManifestInvalid(
            f"the recorded manifest breaks the format: {error.message}",
            evidence={"reason": error.name, **error.evidence},
        ) from error
    if names is not None:
        check_names(header, names)
    return header


def check_names(header: Header, names: tuple[str, str, str]) -> None:
    """The manifest is of (publisher, package, version), and no other release's."""
    for what, expected, actual in zip(
        ("publisher", "package", "version"),
        names,
        (header.publisher, header.package, header.version),
        strict=True,
    ):
        if expected != actual:
            raise WrongRelease(
                f"the recorded manifest names the {what} {actual}, not {expected}",
                evidence={"expected": expected, "actual": actual},
            )


def step7_piece(data: memoryview, expected: bytes) -> bytes | None:
    """7. The piece's digest: None when it is the expected one, else the one the bytes have."""
    actual = hashlib.sha256(data).digest()
    return None if actual == expected else actual
