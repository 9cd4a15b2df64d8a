"""Delegated routing: whoever asks is told whether this server has a block.

https://specs.ipfs.tech/routing/http-routing-v1/
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import libipld

from integrity.errors import UsageError
from integrity.net.hosts import tcp_multiaddr

PROTOCOL = "transport-ipfs-gateway-http"
"""The multicodec's name for what a trustless gateway speaks."""

FOUND_SECONDS = 300
NOT_FOUND_SECONDS = 15

_PROTOCOLS = re.compile(r"/(ip4|ip6|dns|tcp|tls|http)(?=/|$)")
"""The protocols in our own multiaddrs, and not the values behind them."""

_SHA2_256_HEAD = b"\x12\x20"


class Provider:
    """This server as others see it, at ``url``."""

    def __init__(self, url: str) -> None:
        self._address = multiaddr(url)
        self.host = urlsplit(url).hostname or ""
        # A server without a libp2p identity has no key that an ID could be made of; one that is
        # made of its address stays the same, and nobody can be mistaken for it.
        digest = hashlib.sha256(url.encode()).digest()
        self._id = libipld.encode_multibase("z", _SHA2_256_HEAD + digest)[1:]

    def records(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """The answer's records for a block that is here, after the filters of IPIP-484."""
        protocols = _words(query.get("filter-protocols"))
        if protocols and PROTOCOL not in protocols:
            return []
        if not _passes(self._address, _words(query.get("filter-addrs"))):
            return []
        return [{
            "Schema": "peer", "ID": self._id, "Addrs": [self._address], "Protocols": [PROTOCOL],
        }]  # fmt: skip


def _words(text: str | None) -> list[str]:
    return [word.strip().lower() for word in (text or "").split(",") if word.strip()]


def _passes(address: str, filters: list[str]) -> bool:
    names = set(_PROTOCOLS.findall(address))
    unwanted = [word[1:] for word in filters if word.startswith("!")]
    wanted = [word for word in filters if not word.startswith("!")]
    return not names.intersection(unwanted) and (not wanted or bool(names.intersection(wanted)))


def multiaddr(url: str) -> str:
    """The multiaddr of an HTTP server's URL, which has no path. Raises UsageError."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        parts, port = urlsplit(""), 0
    host = parts.hostname
    if parts.scheme not in {"http", "https"} or not host or parts.path.strip("/") or parts.query:
        raise UsageError(
            f"{url!r} is not the URL of a server",
            next="Name it as https://files.example.org, without a path.",
        )
    return tcp_multiaddr(host, port) + ("/tls/http" if parts.scheme == "https" else "/http")
