"""Which names this server answers to.

A page of anybody's can make a browser ask ``http://its-own-name:8770/`` and have that name mean
127.0.0.1 (DNS rebinding), and so read what only this machine should. So a server that listens on
loopback answers to the names of loopback, and to those it was told.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from integrity.errors import UsageError
from integrity.net.hosts import is_loopback

_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")


class Hosts:
    """``listens_on`` is the address that the server is bound to, ``names`` are more to answer to. Raises
    UsageError for a name that no request can have.
    """

    def __init__(self, listens_on: str, names: Iterable[str] = ()) -> None:
        self._names = {_checked(name).lower().rstrip(".") for name in names}
        self._any = not is_loopback(listens_on)

    def allows(self, header: str) -> bool:
        """Whether a request with this Host header is answered."""
        if self._any:
            return True
        try:
            host = urlsplit(f"//{header}").hostname or ""
        except ValueError:
            return False
        return is_loopback(host) or host.rstrip(".") in self._names


def _checked(name: str) -> str:
    """Raises UsageError unless it is a host's name, or an address."""
    try:
        is_address = bool(ipaddress.ip_address(name))
    except ValueError:
        is_address = False
    if not is_address and _NAME.fullmatch(name) is None:
        raise UsageError(
            f"{name[:80]!r} is no host's name",
            next="As files.example.org: without http:// and port, and in ASCII (xn--…).",
        )
    return name
