"""JSON-RPC 2.0 over HTTP, and nothing else of Ethereum: the light way to read a chain.

Importing web3 costs about a second, so it is left to those who write (integrity.chain.node).
"""

from __future__ import annotations

import base64
import itertools
import json
import re
from typing import Any
from urllib.parse import unquote, urlsplit

import urllib3

from integrity.core.nesting import is_nested_deeper
from integrity.errors import RpcAnswerInvalid, RpcUnavailable, UsageError
from integrity.net.answers import ask, reason_of
from integrity.net.pool import pool_manager

ANSWER_LIMIT = 32 << 20
"""Bytes of one answer: room for the logs of a busy package, none for an endless stream."""

SECONDS = 30.0
"""How long one answer may take as a whole: a node that dribbles is as good as one that is down."""

NESTING_LIMIT = 64
"""Levels of one answer, ten times what any has."""

_RETRIES = urllib3.Retry(total=0, redirect=0, raise_on_redirect=False)
_URL = re.compile(r"((?:[A-Za-z][A-Za-z0-9+.-]*:)?//)?(?:[^/?#]*@)?([^/?#]*)(.*)", re.DOTALL)


class RpcError(RpcUnavailable):
    """The node answered ``method`` with a JSON-RPC error; ``said``, ``code`` and ``data`` are its own."""

    def __init__(self, message: str, method: str, said: str, code: int, data: object) -> None:
        super().__init__(message)
        self.method = method
        self.said = said
        self.code = code
        self.data = data


def shown_url(url: str) -> str:
    """A URL as it may stand in messages: without the user names, passwords, paths and queries that
    hold the keys of most nodes that are rented.
    """
    match = _URL.fullmatch(url)
    assert match is not None, "the pattern fits every text"
    scheme, host, rest = match[1] or "", match[2], match[3]
    if "@" in rest:  # a password with a slash in it: where the host begins is anybody's guess
        return f"{scheme}…"
    return f"{scheme}{host[:100]}{'' if rest in ('', '/') else '/…'}"


class JsonRpc:
    """One node. Each :meth:`batch` is one round trip of at most ``seconds``."""

    def __init__(self, url: str, *, seconds: float = SECONDS) -> None:
        self.url = url
        self.name = shown_url(url)
        try:
            parts = urlsplit(url)
            parts.port  # noqa: B018 - raises ValueError when it is no number
            urllib3.util.parse_url(url)
        except (ValueError, urllib3.exceptions.LocationValueError):
            raise UsageError(f"not a URL: {self.name!r}") from None
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError(
                f"an RPC's URL begins with http:// or https://, and {self.name!r} does not",
                next="Write it as http://127.0.0.1:8545, for one.",
            )
        headers = {"content-type": "application/json", "accept-encoding": "identity"}
        if parts.username is not None:
            auth = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers["authorization"] = "Basic " + base64.b64encode(auth.encode()).decode()
        self._seconds = seconds
        self._pool = pool_manager(
            seconds,
            num_pools=1,
            maxsize=4,
            timeout=urllib3.Timeout(connect=min(10, seconds), read=seconds),
            retries=_RETRIES,
            headers=headers,
        )
        self._ids = itertools.count(1)

    def call(self, method: str, *params: Any) -> Any:
        """The result of one call. Raises RpcError, RpcUnavailable or RpcAnswerInvalid."""
        return self.batch([(method, params)])[0]

    def batch(self, calls: list[tuple[str, tuple[Any, ...]]]) -> list[Any]:
        """The results of several calls in one request, in their order."""
        requests = [
            {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}
            for method, params in calls
        ]
        answer = self._post(requests if len(requests) > 1 else requests[0])
        answers = answer if isinstance(answer, list) else [answer]
        by_id = {a["id"]: a for a in answers if isinstance(a, dict) and type(a.get("id")) is int}
        results = []
        for request in requests:
            found = by_id.get(request["id"])
            if found is None and _refuses_all(answer):
                found = answer
            if found is None:
                raise RpcAnswerInvalid(f"{self.name} left out the answer to {request['method']}")
            results.append(self._result(str(request["method"]), found))
        return results

    def _result(self, method: str, answer: dict[str, Any]) -> Any:
        error = answer.get("error")
        if error is not None:
            code, message, data = 0, str(error), None
            if isinstance(error, dict):
                message, data = str(error.get("message", "")), error.get("data")
                code = error["code"] if isinstance(error.get("code"), int) else 0
            shown = f"{self.name} refused {method}: {message[:500]}"
            raise RpcError(shown, method, message, code, data)
        if "result" not in answer:
            raise RpcAnswerInvalid(f"{self.name} answered {method} with neither result nor error")
        return answer["result"]

    def _post(self, body: object) -> Any:
        try:
            status, raw = ask(
                self._pool, "POST", self.url, seconds=self._seconds, limit=ANSWER_LIMIT,
                body=json.dumps(body).encode(),
            )  # fmt: skip
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            # Their text is kept as the cause; the errors themselves hold the whole URL.
            raise RpcUnavailable(
                f"the RPC {self.name} did not answer", causes=[f"{self.name}: {reason_of(error)}"]
            ) from None
        if len(raw) > ANSWER_LIMIT:
            raise RpcAnswerInvalid(f"{self.name} answered more than {ANSWER_LIMIT} bytes")
        if is_nested_deeper(raw, NESTING_LIMIT):
            raise RpcAnswerInvalid(f"{self.name} answered something nested too deep")
        try:
            return json.loads(bytes(raw).decode())
        except ValueError as error:
            raise RpcAnswerInvalid(
                f"{self.name} answered something that is not JSON (HTTP status {status})"
            ) from error


def _refuses_all(answer: object) -> bool:
    """Whether this is an error about the request as a whole, which has no id (JSON-RPC 2.0, 5)."""
    return isinstance(answer, dict) and answer.get("id") is None and answer.get("error") is not None
