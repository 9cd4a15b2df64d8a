"""Publishers, packages and versions: how a release is called (spec v1, section 2)."""

from __future__ import annotations

import re

from Crypto.Hash import keccak

from integrity.errors import AddressMalformed, FormatError

_PACKAGE = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~_-]{0,63}")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")

ZERO_ADDRESS = "0x" + "0" * 40


def keccak256(data: bytes) -> bytes:
    """Keccak-256 as Ethereum uses it (not FIPS 202's SHA3-256)."""
    return keccak.new(digest_bits=256, data=data).digest()


def check_package(text: str) -> str:
    """The package name itself; raises FormatError unless it is 1 to 64 of ``a-z 0-9 . _ -``."""
    if not _PACKAGE.fullmatch(text):
        raise FormatError(
            f"not a package name: {text[:80]!r}",
            next="Use 1 to 64 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit.",
        )
    return text


def check_version(text: str) -> str:
    """The version itself; raises FormatError unless it is 1 to 64 of ``A-Z a-z 0-9 . + ~ _ -``."""
    if not _VERSION.fullmatch(text):
        raise FormatError(
            f"not a version: {text[:80]!r}",
            next="Use 1 to 64 of letters, digits, '.', '+', '~', '_' and '-', "
            "beginning with a letter or digit.",
        )
    return text


def checksum_address(raw: bytes) -> str:
    """The EIP-55 spelling of the 20 bytes of an address."""
    text = raw.hex()
    digest = keccak256(text.encode()).hex()
    return "0x" + "".join(
        char.upper() if int(digest[i], 16) > 7 else char for i, char in enumerate(text)
    )


def parse_address(text: str) -> str:
    """Read an address and give its EIP-55 spelling.

    All lower case is accepted, as it claims no checksum; a mixed-case one must have the right
    checksum (EIP-55). Raises AddressMalformed.
    """
    if not _ADDRESS.fullmatch(text):
        raise AddressMalformed(f"not an address of 0x and 40 hex digits: {text[:80]!r}")
    spelled = checksum_address(bytes.fromhex(text[2:]))
    if text[2:] != text[2:].lower() and text != spelled:
        raise AddressMalformed(f"the EIP-55 checksum of the address {text} does not hold")
    return spelled
