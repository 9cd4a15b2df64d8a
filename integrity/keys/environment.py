"""A private key in the environment, for machines that get their secrets that way."""

from __future__ import annotations

import os
import re
from pathlib import Path

from integrity.errors import KeyRefused
from integrity.keys.keystore import KeyInfo, Signer, address_of_secret

VARIABLE = "INTEGRITY_PRIVATE_KEY"

_SECRET = re.compile(r"(?:0x)?([0-9a-fA-F]{64})")


def environment_signer() -> Signer | None:
    """What signs with the key of the environment, None when there is none there. Raises KeyRefused, which
    shows nothing of what stands there.
    """
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return None
    match = _SECRET.fullmatch(text)
    if match is None:
        raise KeyRefused(
            f"{VARIABLE} holds no private key: that is 64 hex digits",
            next="Mend the variable or remove it; then a key of this home is used.",
        )
    secret = bytes.fromhex(match[1])
    where = Path(VARIABLE)
    return Signer(KeyInfo(VARIABLE, address_of_secret(where, secret), False, where), secret)
