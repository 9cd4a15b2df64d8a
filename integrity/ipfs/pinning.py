"""A pinning service, by the IPFS Pinning Service API 1.0.0 (ipfs.github.io/pinning-services-api-spec)."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import urllib3

from integrity.core.anycid import AnyCid, parse_any_cid
from integrity.core.nesting import is_nested_deeper
from integrity.errors import FormatError, IpfsRefused, IpfsUnavailable, UsageError
from integrity.net.answers import Answer, ask, reason_of
from integrity.net.hosts import is_loopback
from integrity.net.pool import pool_manager

ANSWER_SECONDS = 60.0
ANSWER_LIMIT = 1 << 20
PIN_SECONDS = 1800.0
"""How long a service may take to fetch a release."""

NAME_LIMIT = 255
ORIGINS_LIMIT = 20

_NESTING = 32
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0
_SHOWN = 300
_STATES = ("queued", "pinning", "pinned", "failed")
_URL = re.compile(r"(?i:https?)://[\x21\x22\x24-\x3e\x40-\x7e]+")
_REQUEST = re.compile(r"[\x21-\x7e]{1,255}")
_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")


@dataclass(frozen=True, slots=True)
class PinStatus:
    """What a service says of one pin; ``details`` is why it failed, if it says."""

    request: str
    status: str
    cid: str
    details: str


def _is_endpoint(url: str) -> bool:
    """Whether it is a plain https URL, or one of plain http on this machine."""
    if not _URL.fullmatch(url):
        return False
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0 and parts.username is None
    except ValueError:
        return False
    return usable and (parts.scheme == "https" or is_loopback(parts.hostname or ""))


class PinningService:
    """One service. Errors are IpfsUnavailable when it does not answer as one, and IpfsRefused when
    it refuses. The token never stands in them.
    """

    def __init__(self, name: str, endpoint: str, token: str) -> None:
        self.name = name
        self._endpoint = endpoint.rstrip("/")
        self._token = token
        if not _is_endpoint(endpoint):
            raise UsageError(
                f"the pinning service {name!r} has no usable URL",
                next="It begins with https://, as the token must not be read on the way, and has no "
                "user name, ? or #.",
            )
        if not _TOKEN.fullmatch(token):
            raise UsageError(
                f"the pinning service {name!r} has no usable token",
                next="It is one line of visible ASCII characters, as the service gave it to you.",
            )
        self._pool = pool_manager(
            ANSWER_SECONDS, num_pools=1, maxsize=2,
            timeout=urllib3.Timeout(connect=10, read=ANSWER_SECONDS),
            # A redirect would carry the token to whoever it names.
            retries=urllib3.Retry(total=0, redirect=0, raise_on_redirect=False),
            headers={
                "accept": "application/json", "accept-encoding": "identity",
                "authorization": f"Bearer {token}",
            },
        )  # fmt: skip

    def pin(
        self,
        cid: AnyCid,
        name: str,
        origins: Sequence[str] = (),
        *,
        seconds: float = PIN_SECONDS,
        connect: Callable[[Sequence[str]], None] | None = None,
    ) -> PinStatus:
        """Have the DAG pinned, and return once it is. ``origins`` are multiaddrs of who has it;
        ``connect`` is given those of the service's own nodes, for whoever can connect to them.

        A pin of that CID that the service has already, or works on, is not asked for again.
        """
        status, delegates = self._find(cid) or self._ask(cid, name, origins)
        status = self._of(cid, status)
        if connect is not None and delegates and status.status != "pinned":
            connect(delegates)
        deadline = time.monotonic() + seconds
        pause = _FIRST_PAUSE
        while status.status in {"queued", "pinning"}:
            if time.monotonic() > deadline:
                raise IpfsUnavailable(
                    f"the pinning service {self.name} has {cid} {status.status} after {seconds:g} seconds",
                    next="It goes on there; run the same command again later. It must be able to "
                    "fetch the release from somewhere: from a daemon (--ipfs) or a public gateway.",
                )
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            answer = self._call("GET", f"/pins/{quote(status.request, safe='')}", 200)
            status = self._of(cid, self._status(answer)[0])
        if status.status == "failed":
            with contextlib.suppress(IpfsRefused, IpfsUnavailable):  # why it failed matters more
                self._call("DELETE", f"/pins/{quote(status.request, safe='')}", 202, 200, 404)
            raise IpfsRefused(
                f"the pinning service {self.name} could not pin {cid}: {status.details or 'no reason given'}",
                next="It must be able to fetch the release from somewhere: from a daemon (--ipfs) or "
                "a public gateway. Then run the same command again.",
            )
        return status

    def _of(self, cid: AnyCid, status: PinStatus) -> PinStatus:
        """The status, if it is of this CID, however it is spelled."""
        try:
            other = parse_any_cid(status.cid)
        except FormatError:
            other = None
        if other is None or (other.codec, other.multihash) != (cid.codec, cid.multihash):
            raise self._nonsense(f"the pin of another CID than {cid}")
        return status

    def check(self) -> None:
        """Whether it answers, and takes the token."""
        self._results(self._call("GET", "/pins?limit=1", 200))

    def _find(self, cid: AnyCid) -> tuple[PinStatus, list[str]] | None:
        query = urlencode({"cid": str(cid), "status": "queued,pinning,pinned", "limit": "1"})
        found = self._results(self._call("GET", f"/pins?{query}", 200))
        return self._status(found[0]) if found else None

    def _ask(self, cid: AnyCid, name: str, origins: Sequence[str]) -> tuple[PinStatus, list[str]]:
        body = {
            "cid": str(cid),
            "name": name[:NAME_LIMIT],
            "origins": list(dict.fromkeys(origins))[:ORIGINS_LIMIT],
        }
        return self._status(self._call("POST", "/pins", 202, 200, body=body))

    # --- answers -------------------------------------------------------------------------------

    def _results(self, value: Any) -> list[Any]:
        results = value.get("results") if isinstance(value, dict) else None
        if not isinstance(results, list):
            raise self._nonsense("a list of pins without results")
        return results

    def _status(self, value: Any) -> tuple[PinStatus, list[str]]:
        """(the status, the delegates) of a PinStatus object."""
        if not isinstance(value, dict) or not isinstance(value.get("pin"), dict):
            raise self._nonsense("something that is no pin's status")
        request, state, cid = value.get("requestid"), value.get("status"), value["pin"].get("cid")
        if not isinstance(request, str) or not _REQUEST.fullmatch(request) or state not in _STATES:
            raise self._nonsense("something that is no pin's status")
        info, delegates = value.get("info"), value.get("delegates")
        details = info.get("status_details", "") if isinstance(info, dict) else ""
        texts = [d for d in delegates if isinstance(d, str)] if isinstance(delegates, list) else []
        return PinStatus(request, str(state), str(cid), self._shown(str(details))), texts[
            :ORIGINS_LIMIT
        ]

    def _call(
        self, method: str, path: str, *good: int, body: Mapping[str, object] | None = None
    ) -> Any:
        sent = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"} if sent else None
        try:
            answer = ask(
                self._pool, method, self._endpoint + path, seconds=ANSWER_SECONDS,
                limit=ANSWER_LIMIT, body=sent,
                headers={**self._pool.headers, **(headers or {})},
            )  # fmt: skip
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise IpfsUnavailable(
                f"the pinning service {self.name} does not answer",
                causes=[f"{self.name}: {reason_of(error)[:_SHOWN]}"],
                next="Try again later; nothing was recorded.",
            ) from None
        value = self._decoded(answer)
        if answer.status not in good:
            raise self._refused(answer.status, value)
        if value is None and method != "DELETE":
            raise self._nonsense("something that is not JSON")
        return value

    def _decoded(self, answer: Answer) -> Any:
        """The JSON of an answer; None when it is none, or larger or deeper than any should be."""
        if len(answer.body) > ANSWER_LIMIT or is_nested_deeper(answer.body, _NESTING):
            return None
        try:
            return json.loads(answer.body.decode())
        except ValueError:
            return None

    def _refused(self, status: int, value: Any) -> IpfsRefused | IpfsUnavailable:
        error = value.get("error") if isinstance(value, dict) else None
        reason = ""
        if isinstance(error, dict):
            reason = self._shown(
                " ".join(str(error.get(key, "")) for key in ("reason", "details")).strip()
            )
        said = f"the pinning service {self.name} answered {status}{f': {reason}' if reason else ''}"
        if status == 401:
            return IpfsRefused(
                said, next="Look at its token in config.toml: the service does not take it."
            )
        if status == 429 or status >= 500:
            return IpfsUnavailable(said, next="Try again later; nothing was recorded.")
        return IpfsRefused(said)

    def _shown(self, text: str) -> str:
        """What the service says, without the token, which it knows and may say."""
        return text.replace(self._token, "…")[:_SHOWN]

    def _nonsense(self, what: str) -> IpfsUnavailable:
        return IpfsUnavailable(
            f"the pinning service {self.name} answered with {what}",
            next="Look at its URL in config.toml: it ends before /pins.",
        )
