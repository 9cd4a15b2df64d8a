"""JSON-RPC 2.0 over HTTP, and nothing else of Ethereum: the light way to read a chain.

Importing web3 costs about a second, so it is left to those who write (integrity.chain.writer).
"""

from __future__ import annotations

import itertools
import json
from typing import Any
from urllib.parse import urlsplit

import urllib3

from integrity.errors import RpcAnswerInvalid, RpcUnavailable, UsageError

ANSWER_LIMIT = 32 << 20
"""Bytes of one answer: room for the logs of a busy package, none for an endless stream."""

_TIMEOUT = urllib3.Timeout(connect=10, read=30)
_RETRIES = urllib3.Retry(total=0, redirect=0, raise_on_redirect=False)


class RpcError(RpcUnavailable):
    """The node answered with a JSON-RPC error; ``code`` and ``data`` are its own."""

    def __init__(self, message: str, code: int, data: object, **rest: Any) -> None:
        super().__init__(message, **rest)
        self.code = code
        self.data = data


def shown_url(url: str) -> str:
    """A URL without user names, passwords and keys in its query, as it may stand in messages."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{host}{port}{parts.path}"


class JsonRpc:
    """One node. Each :meth:`batch` is one round trip."""

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            parts.port  # noqa: B018 - raises ValueError when it is no number
        except ValueError as error:
            raise UsageError(f"not a URL: {url!r}") from error
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError(
                f"an RPC's URL begins with http:// or https://, and {url!r} does not",
                next="Name it as --rpc http://127.0.0.1:8545, for one.",
            )
        self.url = url
        self.name = shown_url(url)
        headers = {"content-type": "application/json", "accept-encoding": "identity"}
        if parts.username:
            auth = f"{parts.username}:{parts.password or ''}"
            headers |= urllib3.make_headers(basic_auth=auth)
        self._pool = urllib3.PoolManager(
            num_pools=1, maxsize=4, timeout=_TIMEOUT, retries=_RETRIES, headers=headers
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
        by_id = {a.get("id"): a for a in answers if isinstance(a, dict)}
        results = []
        for request in requests:
            found = by_id.get(request["id"])
            if found is None and len(requests) == len(answers) == 1 and isinstance(answer, dict):
                found = answer  # an error about the request as a whole has no id
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
            raise RpcError(f"{self.name} refused {method}: {message[:500]}", code, data)
        if "result" not in answer:
            raise RpcAnswerInvalid(f"{self.name} answered {method} with neither result nor error")
        return answer["result"]

    def _post(self, body: object) -> Any:
        try:
            response = self._pool.request(
                "POST", self.url, body=json.dumps(body).encode(), preload_content=False
            )
            try:
                raw = response.read(ANSWER_LIMIT + 1)
            finally:
                # What is left of an answer over the limit is never read.
                response.close()
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise RpcUnavailable(
                f"the RPC {self.name} did not answer", causes=[f"{self.name}: {_reason(error)}"]
            ) from error
        if len(raw) > ANSWER_LIMIT:
            raise RpcAnswerInvalid(f"{self.name} answered more than {ANSWER_LIMIT} bytes")
        try:
            return json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise RpcAnswerInvalid(
                f"{self.name} answered something that is not JSON (HTTP status {response.status})"
            ) from error


def _reason(error: Exception) -> str:
    """The innermost reason of a urllib3 error, which wraps several times."""
    reason = getattr(error, "reason", None)
    inner = reason if isinstance(reason, Exception) else error
    return f"{type(inner).__name__}: {inner}"
