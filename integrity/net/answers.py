"""A whole answer over HTTP, of limited size and within a limited time."""

from __future__ import annotations

import http.client
import time
from collections.abc import Mapping
from typing import NamedTuple

import urllib3

from integrity.net.pool import limited

_CHUNK = 64 << 10
_SHOWN = 200


class Answer(NamedTuple):
    """``body`` has one byte more than the limit when there was more."""

    status: int
    body: bytes


def ask(
    pool: urllib3.PoolManager,
    method: str,
    url: str,
    *,
    seconds: float,
    limit: int,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send a request and read its answer, of ``limit`` bytes and one more at most.

    Raises urllib3's HTTPError, OSError (TimeoutError among them) or ValueError.
    """
    deadline = time.monotonic() + seconds
    response = pool.request(
        method, url, body=body, headers=headers, preload_content=False,
        decode_content=False,  # nothing compressed was asked for
    )  # fmt: skip
    try:
        raw = bytearray()
        connection = getattr(response, "connection", None)
        left = max(0.0, deadline - time.monotonic())
        with limited(getattr(connection, "sock", None), left):
            while len(raw) <= limit:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the answer was not whole after {seconds:g} seconds")
                chunk = response.read1(min(_CHUNK, limit + 1 - len(raw)))
                if not chunk:
                    break
                raw += chunk
        return Answer(response.status, bytes(raw))
    finally:
        response.close()  # what is left of an answer over the limit is never read


def reason_of(error: Exception) -> str:
    """What went wrong, in words for people: urllib3 wraps the system's error several times."""
    reason = getattr(error, "reason", None)
    inner = reason if isinstance(reason, Exception) else error
    cause = inner.__cause__
    if isinstance(inner, urllib3.exceptions.NameResolutionError):
        return "its name does not resolve"
    if isinstance(inner, urllib3.exceptions.NewConnectionError) and isinstance(cause, OSError):
        return f"cannot connect: {cause.strerror or cause}"
    if isinstance(inner, urllib3.exceptions.ConnectTimeoutError):
        return "no connection in time"
    if isinstance(inner, urllib3.exceptions.ReadTimeoutError):
        return "no answer in time"
    if isinstance(inner, http.client.IncompleteRead | urllib3.exceptions.IncompleteRead):
        return "hung up in the middle of an answer"
    return f"{type(inner).__name__}: {str(inner)[:_SHOWN]}"
