"""Host names and what they mean."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import suppress
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether a name or address means this machine alone."""
    if host.rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def place_of(url: str) -> tuple[str, int | None]:
    """(host, port) of a URL, the same for all spellings of one server; all names of this machine are one,
    and so are the usual ports of HTTP and HTTPS.
    """
    try:
        parts = urlsplit(url)
        host, port = _spelt_out((parts.hostname or url).rstrip(".")), parts.port
    except ValueError:
        return url, None
    usual = {"http": 80, "https": 443}.get(parts.scheme.lower())
    return host, 443 if (port or usual) == 80 else port or usual


def _spelt_out(host: str) -> str:
    """One spelling of a host: an address as it is written in full, whatever means this machine as
    ``localhost``, a name in ASCII.
    """
    with suppress(
        OSError, UnicodeError
    ):  # as a connection reads them: 127.1, 2130706433, 0x7f000001
        host = socket.inet_ntoa(socket.inet_aton(host))
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        if host.endswith(".localhost"):  # RFC 6761
            return "localhost"
        with suppress(UnicodeError):
            host = host.encode("idna").decode()
        return "localhost" if is_loopback(host) else host
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return "localhost" if ip.is_loopback or ip.is_unspecified else str(ip)


def is_public(address: str) -> bool:
    """Whether an IP address is one that everybody on the internet may mean (IANA's special-purpose
    registries), also behind IPv4-mapped and 6to4 addresses.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


def tcp_multiaddr(host: str, port: int) -> str:
    """A host and a port as a multiaddr begins: /ip4/…/tcp/…, /ip6/…, or /dns/… for a name."""
    try:
        kind = f"ip{ipaddress.ip_address(host).version}"
    except ValueError:
        kind = "dns"
    return f"/{kind}/{host}/tcp/{port}"
