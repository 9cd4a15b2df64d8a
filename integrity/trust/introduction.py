"""What a web site says of its own publishers: ``/.well-known/integrity.json`` (spec v1, section 6.7).

It is as good as the site's certificate, and is asked for once: what was found is pinned.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import urllib3

from integrity.chain.profiles import is_chain_id, profile_of
from integrity.core.jsonlines import parse_object
from integrity.core.links import IS_ALIAS
from integrity.core.names import parse_address
from integrity.errors import (
    AddressMalformed,
    FormatError,
    LimitExceeded,
    SourcesUnavailable,
    UsageError,
)
from integrity.net.answers import ask, reason_of
from integrity.net.hosts import is_loopback
from integrity.net.pool import pool_manager
from integrity.trust.reading import TrustedPublisher

FORMAT = "integrity-publishers/1"
PATH = "/.well-known/integrity.json"
LIMIT = 64 << 10
"""Bytes of the file."""

_ENTRIES = 64
_NESTING_LIMIT = 16
_SECONDS = 20.0
_PLACE = re.compile(r"(?:(https?)://)?([A-Za-z0-9.-]{1,253}|\[[0-9a-fA-F:]+\])(?::([0-9]{1,5}))?/?")


@dataclass(frozen=True, slots=True)
class Site:
    """Where to ask; ``alias`` is what its publisher is called here unless the person says otherwise."""

    url: str
    alias: str


def site_of(text: str) -> Site:
    """A site out of ``example.org`` or ``https://example.org``. Raises UsageError; plain HTTP is for
    this machine alone.
    """
    match = _PLACE.fullmatch(text)
    if match is None or ("." not in match[2] and match[1] is None):
        raise UsageError(
            f"{text[:80]!r} is not the name of a web site",
            next="As `integrity trust add example.org`, or with an address: `integrity trust add ALIAS 0x…`.",
        )
    scheme, host, port = match[1] or "https", match[2].lower(), match[3]
    if scheme == "http" and not is_loopback(host.strip("[]")):
        raise UsageError(
            f"what {host} says over plain HTTP could come from anybody",
            next=f"Ask https://{host}.",
        )
    alias = re.sub(r"[^a-z0-9._-]", "", host)
    return Site(f"{scheme}://{host}" + (f":{port}" if port else "") + PATH, alias)


def introduced(site: Site, alias: str | None = None) -> list[TrustedPublisher]:
    """Who a site says that its publishers are, under the aliases that they would get. Raises
    SourcesUnavailable, FormatError, AddressMalformed or UsageError.
    """
    pool = pool_manager(_SECONDS, retries=False)
    try:
        answer = ask(
            pool,
            "GET",
            site.url,
            seconds=_SECONDS,
            limit=LIMIT,
            headers={"Accept": "application/json"},
        )
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise SourcesUnavailable(
            f"{site.url} cannot be read",
            causes=[reason_of(error)],
            next="Check the name, or ask again later.",
        ) from error
    finally:
        pool.clear()
    if answer.status != 200:
        redirected = " (a redirect is not followed: name the site that it leads to)"
        raise SourcesUnavailable(
            f"{site.url} answers {answer.status}{redirected if 300 <= answer.status < 400 else ''}",
            next="Ask the publisher for their address, and compare it: `integrity trust add ALIAS 0x…`.",
        )
    try:
        return parse_introduction(answer.body, alias or site.alias)
    except FormatError as error:
        raise error.about(site.url.removesuffix(PATH)) from None


def parse_introduction(data: bytes, alias: str) -> list[TrustedPublisher]:
    """Read the file: one entry is called ``alias``, of several each ``alias-NAME``, or by its chain.
    Raises FormatError or AddressMalformed; UsageError when it makes no alias.
    """
    if len(data) > LIMIT:
        raise LimitExceeded(f"the site's {PATH} has more than {LIMIT} bytes")
    value = parse_object(data, f"the site's {PATH}: a document", _NESTING_LIMIT, any_numbers=True)
    if value.get("format") != FORMAT:
        raise FormatError(f"the site's {PATH} is not of the format {FORMAT}")
    entries = value.get("publishers")
    if not isinstance(entries, list) or not 0 < len(entries) <= _ENTRIES:
        raise FormatError(f"the site's {PATH} has no list of 1 to {_ENTRIES} publishers")
    found = [_entry(entry, alias, alone=len(entries) == 1) for entry in entries]
    if len({entry.alias for entry in found}) < len(found):
        raise FormatError(f"the site's {PATH} gives two publishers one name")
    return found


def _entry(entry: object, alias: str, *, alone: bool) -> TrustedPublisher:
    if not isinstance(entry, dict) or not is_chain_id(entry.get("chain")):
        raise FormatError(f"the site's {PATH} has a publisher without a chain")
    chain_id, address = entry["chain"], entry.get("publisher")
    if not isinstance(address, str):
        raise FormatError(f"the site's {PATH} has a publisher without an address")
    known = profile_of(chain_id)
    name = entry.get("name", known.name if known else str(chain_id))
    if not isinstance(name, str) or not IS_ALIAS.fullmatch(name):
        raise FormatError(f"the site's {PATH} has a publisher whose name is no alias")
    full = alias if alone else f"{alias}-{name}"
    if not IS_ALIAS.fullmatch(full):
        raise UsageError(
            f"{full[:80]!r} cannot be an alias",
            next="Choose the beginning with --as, as --as acme.",
        )
    try:
        return TrustedPublisher(full, chain_id, parse_address(address))
    except AddressMalformed as error:
        raise error.about(f"the site's {PATH}") from None
