"""One HTTP server as sources need it: few ways to answer, all of them limited.

Redirects are followed by hand, as they may lead a client to where only it can go: to an address that
is not public only if that is the very server the person named. Nothing that a request carries is
secret. Compressed answers are refused, and nothing is read beyond what was asked for.
"""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, ProtocolError

from integrity.errors import SourceError, UsageError
from integrity.net.answers import reason_of
from integrity.net.pool import limited, pool_manager

HEAD_SECONDS = 30.0
"""How long a server may take until its answer begins."""

BLOCK_SECONDS = 120.0
"""How long it may take to send a block: a source that is slower than 9 KB/s does not help anybody."""

_TIMEOUT = urllib3.Timeout(connect=10, read=30)
_REDIRECTS = 5
_REDIRECTED = frozenset((301, 302, 303, 307, 308))
_SHOWN = 200


class HttpServer:
    """One server; safe to use from several threads, which get a connection each. ``url`` is what the
    person named, without a slash at its end.
    """

    def __init__(
        self, url: str, connections: int, headers: Mapping[str, str] | None = None
    ) -> None:
        self.url = _checked(url)
        self._origin = _origin(self.url)
        options: dict[str, Any] = {
            "maxsize": connections, "block": False, "timeout": _TIMEOUT, "retries": False,
            "headers": {"accept-encoding": "identity", **(headers or {})},
        }  # fmt: skip
        self.named = pool_manager(HEAD_SECONDS, num_pools=2, **options)
        self._public = pool_manager(HEAD_SECONDS, num_pools=8, public_only=True, **options)

    def close(self) -> None:
        self.named.clear()
        self._public.clear()

    @contextlib.contextmanager
    def asked(self, path: str, headers: Mapping[str, str] | None = None) -> Iterator[Answer]:
        """The answer to a GET of ``url`` and ``path``, read as far as the caller reads it. Raises
        SourceError, also for what goes wrong with the connection meanwhile.
        """
        try:
            answer = self._followed(self.url + path, headers)
            try:
                yield answer
            finally:
                answer.close()
        except (HTTPError, http.client.HTTPException, OSError) as error:
            raise SourceError(f"{self.url}: {reason_of(error)}") from error

    def _followed(self, url: str, headers: Mapping[str, str] | None) -> Answer:
        for _ in range(_REDIRECTS + 1):
            response = self._request(url, headers)
            if response.status not in _REDIRECTED:
                return Answer(self.url, response)
            location = response.headers.get("location", "")
            response.close()
            url = self._target(url, location)
        raise SourceError(f"{self.url}: redirects more than {_REDIRECTS} times")

    def _target(self, url: str, location: str) -> str:
        try:
            return _checked(urljoin(url, location), keep=True)
        except (UsageError, ValueError) as error:
            raise SourceError(f"{self.url}: redirects to {location[:_SHOWN]!r}") from error

    def _request(self, url: str, headers: Mapping[str, str] | None) -> urllib3.BaseHTTPResponse:
        """Ask, and once more if the connection ended without an answer: one that was kept may have
        been closed meanwhile (RFC 9112, section 9.3.1).
        """
        pool = self.named if _origin(url) == self._origin else self._public
        sent = None if headers is None else {**pool.headers, **headers}
        options: dict[str, Any] = {
            "headers": sent, "preload_content": False, "decode_content": False, "redirect": False,
        }  # fmt: skip
        try:
            return pool.request("GET", url, **options)
        except ProtocolError:
            return pool.request("GET", url, **options)


class Answer:
    """What a server answers with; ``length`` are the bytes that it says are to come, if it does."""

    def __init__(self, name: str, response: urllib3.BaseHTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.name = name
        self._response = response
        # urllib3's own readinto reads into new bytes and copies them; http.client's does neither,
        # and a third of the time goes away with the copy.
        self._raw: http.client.HTTPResponse = response._original_response  # type: ignore[attr-defined] # noqa: SLF001
        self._connection = getattr(getattr(response, "connection", None), "sock", None)
        self.length: int | None = self._raw.length
        self._is_whole = self.length == 0
        self._encoding = response.headers.get("content-encoding", "identity")[:40]

    @property
    def may_be_cut(self) -> bool:
        """Whether nothing told where it ends, so that its end looks like a lost connection (RFC 9112,
        section 6.3).
        """
        return self.length is None and not self._raw.chunked

    def refused(self) -> SourceError:
        """Why an answer of this status is of no use."""
        reason = (self._response.reason or "")[:_SHOWN]
        return SourceError(f"{self.name}: answered {self.status} {reason}".rstrip())

    def read_into(self, buffer: memoryview) -> int:
        """Fill the buffer -> its bytes, fewer only at the end of the answer. Raises SourceError when
        that comes too soon, it takes more than BLOCK_SECONDS, or what comes is compressed.
        """
        self._check_encoding()
        got = 0
        with limited(self._connection, BLOCK_SECONDS):
            while got < len(buffer) and (more := self._raw.readinto(buffer[got:])):
                got += more
        self._note_end(ended=got < len(buffer))
        return got

    def read_some(self, most: int) -> bytes:
        """What has come so far, up to that many bytes; none at the end. Raises as :meth:`read_into`."""
        self._check_encoding()
        with limited(self._connection, BLOCK_SECONDS):
            data = self._raw.read1(most)
        self._note_end(ended=not data)
        return data

    def _check_encoding(self) -> None:
        if self._encoding.lower() != "identity":
            raise SourceError(
                f"{self.name}: sent {self._encoding!r} where no compression was asked"
            )

    def _note_end(self, *, ended: bool) -> None:
        left = self._raw.length
        if ended and left:
            raise SourceError(f"{self.name}: hung up with {left} bytes still to come")
        self._is_whole = ended or left == 0

    def close(self) -> None:
        """Keep the connection for the next request if the answer was read to its end."""
        if self._is_whole:
            self._response.release_conn()
        else:
            self._response.close()


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _checked(url: str, *, keep: bool = False) -> str:
    """A URL that may be asked. Raises UsageError."""
    example = "Name it as --from http://127.0.0.1:8080, for one."
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # brackets that hold no address, or a port that is none
        usable = None
    if not usable or not url.isprintable() or " " in url:
        raise UsageError(
            f"a source's URL begins with http:// or https:// and a host, and {url!r} does not",
            next=example,
        )
    if parts.username is not None or (not keep and (parts.query or parts.fragment)):
        raise UsageError(
            f"a source's URL has no user name, ? or #, and that of {parts.hostname} has",
            next=example,
        )
    return url if keep else url.rstrip("/")
