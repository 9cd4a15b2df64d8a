"""A trustless gateway as a source: raw blocks by CID (specs.ipfs.tech/http-gateways)."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

import urllib3

from integrity.core.cid import raw_cid
from integrity.errors import SourceError, UsageError
from integrity.net.answers import reason_of
from integrity.net.pool import limited, pool_manager

_RAW = "application/vnd.ipld.raw"
_TIMEOUT = urllib3.Timeout(connect=10, read=30)
_SHOWN = 200

HEAD_SECONDS = 30.0
"""How long a gateway may take until its answer begins."""

BLOCK_SECONDS = 120.0
"""How long it may take to send a block: a source that is slower than 9 KB/s does not help anybody."""


class GatewaySource:
    """One gateway; safe to use from several threads, which get a connection each.

    Redirects are not followed, compressed answers are refused, and nothing is read past the end of
    the caller's buffer: the connection is closed instead, and the full buffer shows it.
    """

    def __init__(self, url: str, connections: int = 4) -> None:
        try:
            parts = urlsplit(url)
            usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        except ValueError:  # brackets that hold no address, or a port that is none
            usable = None
        if not usable or not url.isprintable() or " " in url:
            raise UsageError(
                f"a source's URL begins with http:// or https:// and a host, and {url!r} does not",
                next="Name it as --from http://127.0.0.1:8080, for one.",
            )
        if parts.username is not None or parts.query or parts.fragment:
            raise UsageError(
                f"a source's URL has no user name, ? or #, and that of {parts.hostname} has",
                next="Name it as --from http://127.0.0.1:8080, for one.",
            )
        self.name = url.rstrip("/")
        self._pool = pool_manager(
            HEAD_SECONDS, num_pools=1, maxsize=connections, block=False, timeout=_TIMEOUT, retries=False,
            headers={"accept": _RAW, "accept-encoding": "identity"},
        )  # fmt: skip

    def close(self) -> None:
        self._pool.clear()

    def read(self, digest: bytes, buffer: memoryview) -> int:
        """See :class:`integrity.ports.Source`. A raw CID is asked for whatever the block is, since
        block stores go by multihash.
        """
        url = f"{self.name}/ipfs/{raw_cid(digest)}?format=raw"
        try:
            response = self._request(url)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise SourceError(f"{self.name}: {reason_of(error)}") from error
        whole = False
        try:
            self._check_head(response)
            connection = getattr(response, "connection", None)
            with limited(getattr(connection, "sock", None), BLOCK_SECONDS):
                got, left = _read_into(response, buffer)
            whole = got < len(buffer) and not left
            if left and got < len(buffer):
                raise SourceError(f"{self.name}: hung up with {left} bytes still to come")
            return got
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
            raise SourceError(f"{self.name}: {reason_of(error)}") from error
        finally:
            if whole:
                response.release_conn()
            else:
                response.close()

    def _request(self, url: str) -> urllib3.BaseHTTPResponse:
        """Ask, and once more if the connection ended without an answer: one that was kept may have
        been closed meanwhile (RFC 9112, section 9.3.1).
        """
        try:
            return self._pool.request("GET", url, preload_content=False, decode_content=False)
        except urllib3.exceptions.ProtocolError:
            return self._pool.request("GET", url, preload_content=False, decode_content=False)

    def _check_head(self, response: urllib3.BaseHTTPResponse) -> None:
        if response.status != 200:
            reason = (response.reason or "")[:_SHOWN]
            raise SourceError(f"{self.name}: answered {response.status} {reason}".rstrip())
        encoding = response.headers.get("content-encoding", "identity")
        if encoding.lower() != "identity":
            raise SourceError(f"{self.name}: sent {encoding[:40]!r} where no compression was asked")


def _read_into(response: urllib3.BaseHTTPResponse, buffer: memoryview) -> tuple[int, int]:
    """Fill the buffer with the body -> (bytes read, bytes that the answer's length still owes)."""
    # urllib3's own readinto reads into new bytes and copies them; http.client's does neither, and
    # a third of the time goes away with the copy.
    raw: http.client.HTTPResponse = response._original_response  # type: ignore[attr-defined] # noqa: SLF001
    got = 0
    while got < len(buffer) and (more := raw.readinto(buffer[got:])):
        got += more
    return got, raw.length or 0
