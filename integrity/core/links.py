"""Links: what people send each other (spec v1, section 5).

``integrity:<chain id>:<publisher>/<package>[@<version>][?<hints>][#<manifest digest>]``
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from integrity.core.cid import parse_digest
from integrity.core.names import check_package, check_version, parse_address
from integrity.errors import FormatError, LimitExceeded, LinkMalformed, UsageError

SCHEME = "integrity"

LINK_LIMIT = 8192
"""Bytes of a whole link: what browsers, chats and QR readers still carry."""

HINT_LIMIT = 32
"""Hints of a link: each may cost a connection, so a link cannot ask for more."""

CHAIN_ID_LIMIT = 2**53 - 1
"""Chain ids are read by programs whose integers are doubles (RFC 7493)."""

_LINK = re.compile(
    r"(?P<chain>[1-9][0-9]{0,15}):(?P<publisher>0x[0-9a-fA-F]{40})/(?P<package>[^@?#/]+)"
    r"(?:@(?P<version>[^?#/@]+))?(?:\?(?P<query>[!-\"$-~]*))?(?:#(?P<pin>.*))?",
    re.DOTALL,
)
_ALIAS = r"(?!0x[0-9a-f]{40}(?:/|\Z))[a-z0-9][a-z0-9._-]{0,63}"
IS_ALIAS = re.compile(_ALIAS)
"""Matches what can be an alias: a package's name, but nothing that looks like a publisher."""

_ALIASED = re.compile(rf"(?P<alias>{_ALIAS})/(?P<package>[^@?#/]+)(?:@(?P<version>[^?#/@]+))?")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Link:
    """A release, or a package's latest one when ``version`` is None.

    ``sources`` and ``btmh`` are hints for finding; ``pin`` is the 32 bytes a manifest must have.
    """

    chain_id: int
    publisher: str
    package: str
    version: str | None = None
    sources: tuple[str, ...] = ()
    btmh: tuple[str, ...] = ()
    pin: bytes | None = None

    @property
    def named_version(self) -> str:
        """The version, where there has to be one. Raises UsageError."""
        if self.version is None:
            raise UsageError(f"{self} names no version", next="Add it, as @1.0.0.")
        return self.version

    @property
    def of_package(self) -> tuple[int, str, str]:
        """Which package it is of: chain, publisher, name."""
        return self.chain_id, self.publisher, self.package

    def __str__(self) -> str:
        text = f"{SCHEME}:{self.chain_id}:{self.publisher}/{self.package}"
        if self.version is not None:
            text += "@" + self.version
        hints = [("from", s) for s in self.sources] + [("btmh", h) for h in self.btmh]
        if hints:
            text += "?" + "&".join(f"{key}={quote(value, safe='/:@+,~')}" for key, value in hints)
        if self.pin is not None:
            text += "#" + self.pin.hex()
        return text


@dataclass(frozen=True, slots=True)
class AliasLink:
    """``alias/package[@version]``: the alias is looked up in the trust store."""

    alias: str
    package: str
    version: str | None


def parse_link(text: str) -> Link | AliasLink:
    """Read either form; raises LinkMalformed, AddressMalformed, or LimitExceeded."""
    if not text.isascii():
        raise LinkMalformed(f"a link with characters that are not ASCII: {text[:200]!r}")
    if len(text) > LINK_LIMIT:
        raise LimitExceeded(f"a link of more than {LINK_LIMIT} bytes")
    scheme, colon, rest = text.partition(":")
    if colon and scheme.lower() == SCHEME:
        return _parse_full(text, rest)
    match = _ALIASED.fullmatch(text)
    if not match:
        raise LinkMalformed(f"not an integrity link: {text[:200]!r}")
    package, version = _names(match, text)
    return AliasLink(match["alias"], package, version)


def _parse_full(text: str, rest: str) -> Link:
    match = _LINK.fullmatch(rest)
    if not match:
        raise LinkMalformed(f"not an integrity link: {text[:200]!r}")
    chain_id = int(match["chain"])
    if chain_id > CHAIN_ID_LIMIT:
        raise LinkMalformed(f"the chain id {chain_id} is larger than 2^53 - 1")
    publisher = parse_address(match["publisher"])
    package, version = _names(match, text)
    hints = _hints(match["query"] or "", text)
    try:
        pin = parse_digest(match["pin"]) if match["pin"] is not None else None
    except FormatError as error:
        raise LinkMalformed(f"what stands after # is no manifest digest: {text[:200]!r}") from error
    link = Link(
        chain_id,
        publisher,
        package,
        version,
        tuple(value for key, value in hints if key == "from"),
        tuple(value for key, value in hints if key == "btmh"),
        pin,
    )
    if len(str(link)) > LINK_LIMIT:  # escapes can make it longer, and it has to be read again
        raise LimitExceeded(f"a link of more than {LINK_LIMIT} bytes when written out")
    return link


def _names(match: re.Match[str], text: str) -> tuple[str, str | None]:
    try:
        package = check_package(_decode(match["package"], text))
        version = match["version"]
        return package, None if version is None else check_version(_decode(version, text))
    except FormatError as error:
        raise LinkMalformed(f"{error.message}, in the link {text[:200]!r}") from error


def _hints(query: str, text: str) -> list[tuple[str, str]]:
    """Pairs of the query, percent-decoded (RFC 3986: ``+`` is itself); unknown ones are kept."""
    items = [item for item in query.split("&") if item]
    if len(items) > HINT_LIMIT:
        raise LimitExceeded(f"a link with more than {HINT_LIMIT} hints")
    pairs = [item.partition("=") for item in items]
    return [(_decode(key, text), _decode(value, text)) for key, _, value in pairs]


def _decode(text: str, link: str) -> str:
    if _ESCAPE.search(text):
        raise LinkMalformed(f"a % without two hex digits in the link {link[:200]!r}")
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError as error:
        raise LinkMalformed(f"the link {link[:200]!r} does not decode to UTF-8") from error
