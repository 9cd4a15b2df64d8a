"""A pinning service: all of the IPFS Pinning Service API 1.0.0, for tests to mutate.

What it pins is really pinned, in a Kubo node of its own, which fetches it from wherever it finds it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
from aiohttp import web

from integrity.testing.threaded import LoopServer

STATES = ("queued", "pinning", "pinned", "failed")
_JSON_TYPE = "application/json"
_DIAL_SECONDS = 10
_SLOTS = 4
_DATE = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_ORIGIN = re.compile(r"/[\x21-\x7e]+/p2p/[A-Za-z0-9]+")
_MATCHES: Mapping[str, Callable[[str, str], bool]] = {
    "exact": lambda wanted, name: wanted == name,
    "iexact": lambda wanted, name: wanted.casefold() == name.casefold(),
    "partial": lambda wanted, name: wanted in name,
    "ipartial": lambda wanted, name: wanted.casefold() in name.casefold(),
}


@dataclass(frozen=True, slots=True)
class Request:
    """What a client sent; ``path`` has no query."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def call(self) -> str:
        """Which call of the API it is, as ``GET /pins/{requestid}``."""
        return f"{self.method} {re.sub('^/pins/.*', '/pins/{requestid}', self.path)}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service says. Parts of a body that is no bytes are sent ``pause`` seconds apart; it may
    have no end.
    """

    status: int
    body: bytes | Iterable[bytes] = b""
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": _JSON_TYPE})
    pause: float = 0.0

    @property
    def value(self) -> Any:
        """The JSON in it."""
        assert isinstance(self.body, bytes)
        return json.loads(self.body)


Mutate = Callable[[Request, Answer], Answer]
"""Given a request that was served, and what would be answered -> what is answered."""


def honest(_: Request, answer: Answer) -> Answer:
    """Nothing is changed."""
    return answer


def said(value: object, status: int = 200) -> Answer:
    """An answer of JSON."""
    return Answer(status, json.dumps(value).encode())


def failure(status: int, reason: str, details: str | None = None) -> Answer:
    """An answer that says what is wrong."""
    return said({"error": {"reason": reason} | ({"details": details} if details else {})}, status)


class Failure(Exception):
    """``status``, ``reason`` and ``details`` of an answer."""


class NodeError(Exception):
    """The node could not do it."""


def bad(details: str) -> Failure:
    return Failure(400, "BAD_REQUEST", details)


@dataclass(slots=True)
class Pin:
    """What one request asked for. ``key`` is its CID in the one form in which the node has it."""

    owner: str
    key: str
    given: dict[str, Any]
    created: datetime
    request: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "queued"
    details: str = ""
    task: asyncio.Task[None] | None = None

    @property
    def is_alive(self) -> bool:
        return self.status != "failed"


class PinningService(LoopServer):
    """Use as a context manager; ``url`` is where it listens, ``requests`` what was asked so far.

    ``tokens`` tells whose each is: a user's pins are seen with any of their tokens. ``room`` is how
    many pins a user may have, ``patience`` how many seconds the node looks for what it is to pin. All
    may be changed at any time, as may ``mutate``. ``delegates`` are the node's addresses.
    """

    def __init__(
        self, node: str, tokens: Mapping[str, str], *, mutate: Mutate = honest,
        patience: float = 60.0, room: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.tokens = dict(tokens)
        self.mutate = mutate
        self.patience = patience
        self.room = room
        self.requests: list[Request] = []
        self._node_url = node
        self._pins: dict[str, Pin] = {}
        self._last = datetime.fromtimestamp(0, UTC)
        self.delegates: list[str] = []

    def calls(self, call: str) -> list[Request]:
        """The requests of one kind, as ``POST /pins``."""
        return [request for request in self.requests if request.call == call]

    # --- its thread ----------------------------------------------------------------------------

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        self._slots = asyncio.Semaphore(_SLOTS)
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        runner = web.ServerRunner(web.Server(self._serve), shutdown_timeout=0)
        patient = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(timeout=patient) as self._session:
            addresses = (await self._ask_node("id"))["Addresses"]
            self.delegates = [str(address) for address in addresses][:20]
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = "http://{}:{}".format(*runner.addresses[0][:2])
            yield
            await runner.cleanup()
            for pin in self._pins.values():
                await _ended(pin)

    async def _serve(self, asked: web.BaseRequest) -> web.StreamResponse:
        try:
            body, answer = await asked.read(), None
        except web.HTTPRequestEntityTooLarge:
            body, answer = b"", failure(413, "TOO_LARGE", "a pin is not as large as that")
        request = Request(asked.method, asked.path, dict(asked.query), asked.headers.copy(), body)
        self.requests.append(request)
        if answer is None:
            try:
                answer = await self._answer(request, asked)
            except Failure as wrong:
                answer = failure(*wrong.args)
            except NodeError as error:
                answer = failure(500, "INTERNAL_SERVER_ERROR", str(error))
        answer = self.mutate(request, answer)
        if isinstance(answer.body, bytes):
            return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        with suppress(ConnectionError):
            await response.prepare(asked)
            for part in answer.body:
                await response.write(part)
                await asyncio.sleep(answer.pause)
        return response

    # --- the calls -----------------------------------------------------------------------------

    async def _answer(self, request: Request, asked: web.BaseRequest) -> Answer:
        owner = self._owner(request)
        if any(len(asked.query.getall(name)) > 1 for name in asked.query):
            raise bad("a parameter is given twice")
        if request.path == "/pins":
            if request.method == "GET":
                return await self._list(owner, request.query)
            if request.method == "POST":
                return self._status(await self._add(owner, request), 202)
        elif match := re.fullmatch("/pins/([^/]+)", request.path):
            pin = self._pins.get(match[1])
            if pin is None or pin.owner != owner:
                raise Failure(404, "NOT_FOUND", "there is no such pin")
            if request.method == "GET":
                return self._status(pin, 200)
            if request.method == "POST":
                return self._status(await self._add(owner, request, pin), 202)
            if request.method == "DELETE":
                del self._pins[pin.request]
                await _ended(pin)
                await self._release(pin.key)
                return Answer(202, headers={})
        else:
            raise Failure(404, "NOT_FOUND", "there is nothing at that path")
        raise Failure(405, "METHOD_NOT_ALLOWED", "that is no call of the API")

    def _owner(self, request: Request) -> str:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        owner = self.tokens.get(token.strip())
        if scheme.lower() != "bearer" or owner is None:
            raise Failure(401, "UNAUTHORIZED", "the access token is missing or invalid")
        return owner

    async def _list(self, owner: str, query: Mapping[str, str]) -> Answer:
        limit = query.get("limit", "10")
        if not re.fullmatch("[0-9]{1,4}", limit) or not 1 <= int(limit) <= 1000:
            raise bad("limit goes from 1 to 1000")
        wanted = await self._filter(query)
        mine = [pin for pin in self._pins.values() if pin.owner == owner and wanted(pin)]
        mine.sort(key=lambda pin: pin.created, reverse=True)
        return said({"count": len(mine), "results": [self._told(p) for p in mine[: int(limit)]]})

    async def _filter(self, query: Mapping[str, str]) -> Callable[[Pin], bool]:
        tests: list[Callable[[Pin], bool]] = []
        states = _listed(query.get("status", "pinned"), len(STATES))
        if not set(states) <= set(STATES):
            raise bad("there is no such status")
        tests.append(lambda pin: pin.status in states)
        if "cid" in query:
            keys = {await self._key(cid) for cid in _listed(query["cid"], 10)}
            tests.append(lambda pin: pin.key in keys)
        matches = _MATCHES.get(query.get("match", "exact"))
        if matches is None:
            raise bad("there is no such match")
        if "name" in query:
            name = _name(query["name"])
            tests.append(lambda pin: matches(name, pin.given.get("name", "")))
        if "before" in query:
            before = _date(query["before"])
            tests.append(lambda pin: pin.created < before)
        if "after" in query:
            after = _date(query["after"])
            tests.append(lambda pin: pin.created > after)
        if "meta" in query:
            meta = _texts(_json(query["meta"]))
            tests.append(lambda pin: meta.items() <= pin.given.get("meta", {}).items())
        return lambda pin: all(test(pin) for test in tests)

    async def _add(self, owner: str, request: Request, old: Pin | None = None) -> Pin:
        if request.headers.get("Content-Type", "").partition(";")[0].strip() != _JSON_TYPE:
            raise Failure(415, "UNSUPPORTED_MEDIA_TYPE", "a pin is sent as JSON")
        given, origins = _pin(_json(request.body))
        key = await self._key(given["cid"])
        mine = sum(pin.owner == owner for pin in self._pins.values())
        if self.room is not None and old is None and mine >= self.room:
            raise Failure(409, "INSUFFICIENT_FUNDS", f"only {self.room} pins are paid for")
        if old is not None and self._pins.pop(old.request, None) is None:
            raise Failure(404, "NOT_FOUND", "there is no such pin")
        if old is not None and old.status != "pinned":
            await _ended(old)
        # Told apart by milliseconds, which is all that a client in JavaScript keeps of them.
        now = datetime.now(UTC)
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        self._last = max(now, self._last + timedelta(milliseconds=1))
        pin = Pin(owner, key, given, self._last)
        self._pins[pin.request] = pin
        pin.task = asyncio.create_task(self._carry_out(pin, origins, old))
        return pin

    def _status(self, pin: Pin, status: int) -> Answer:
        return said(self._told(pin), status)

    def _told(self, pin: Pin) -> dict[str, Any]:
        return {
            "requestid": pin.request,
            "status": pin.status,
            "created": pin.created.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "pin": pin.given,
            "delegates": self.delegates,
        } | ({"info": {"status_details": pin.details}} if pin.details else {})

    # --- pinning -------------------------------------------------------------------------------

    async def _carry_out(self, pin: Pin, origins: list[str], old: Pin | None) -> None:
        """Pin it; what it takes the place of is given up only then."""
        try:
            # The node is told of one CID's pins one after the other.
            async with self._turns[pin.key], self._slots:
                pin.status = "pinning"
                try:
                    async with asyncio.timeout(self.patience):
                        await self._fetch(pin.key, origins)
                    pin.status = "pinned"
                except TimeoutError:
                    pin.status, pin.details = "failed", "it was not found in time"
                except NodeError as error:
                    pin.status, pin.details = "failed", str(error)
        finally:
            if old is not None:
                await _ended(old)
                await self._release(old.key)

    async def _fetch(self, key: str, origins: list[str]) -> None:
        """As long as it takes; those who have it may come later, and a node asks around only now and
        then.
        """
        for turn in itertools.count(1):
            dials = [asyncio.create_task(self._ask_node("swarm/connect", arg=o)) for o in origins]
            with suppress(TimeoutError):
                async with asyncio.timeout(_DIAL_SECONDS):
                    await asyncio.gather(*dials, return_exceptions=True)
            with suppress(TimeoutError):
                async with asyncio.timeout(2**turn):
                    await self._ask_node("pin/add", arg=key)
                    return

    async def _release(self, key: str) -> None:
        """Let the node forget a CID that nobody pins any more."""
        if any(pin.key == key and pin.is_alive for pin in self._pins.values()):
            return
        async with self._turns[key]:
            if not any(pin.key == key and pin.is_alive for pin in self._pins.values()):
                with suppress(NodeError):  # it was never pinned
                    await self._ask_node("pin/rm", arg=key)

    async def _key(self, cid: str) -> str:
        try:
            read = await self._ask_node("cid/format", arg=cid, v="1", b="base32")
        except NodeError as error:
            raise bad(f"no CID: {error}") from error
        if read["ErrorMsg"] or not read["Formatted"]:
            raise bad(f"no CID: {read['ErrorMsg']}")
        return str(read["Formatted"])

    async def _ask_node(self, command: str, **options: str) -> dict[str, Any]:
        url = f"{self._node_url}/api/v0/{command}"
        try:
            async with self._session.post(url, params=options) as answer:
                value = json.loads(await answer.read())
        except (aiohttp.ClientError, ValueError) as error:
            raise NodeError(f"the node does not answer: {error}") from error
        if answer.status != 200:
            raise NodeError(value["Message"])
        return dict(value)


async def _ended(pin: Pin) -> None:
    """Break off what is done for it."""
    if pin.task is not None:
        pin.task.cancel()
        await asyncio.gather(pin.task, return_exceptions=True)


# --- what is sent --------------------------------------------------------------------------------


def _json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise bad(f"no JSON: {error}") from error


def _pin(value: Any) -> tuple[dict[str, Any], list[str]]:
    """(what is kept of a Pin object, its origins)."""
    if not isinstance(value, dict) or not isinstance(value.get("cid"), str):
        raise bad("a pin is an object with a cid")
    given = {"cid": value["cid"]}
    if "name" in value:
        given["name"] = _name(value["name"])
    if "meta" in value:
        given["meta"] = _texts(value["meta"])
    origins = value.get("origins", [])
    if (
        not isinstance(origins, list)
        or not all(isinstance(one, str) and _ORIGIN.fullmatch(one) for one in origins)
        or len(set(origins)) < len(origins)
        or len(origins) > 20
    ):
        raise bad("origins are up to 20 different multiaddrs that end in /p2p/{peerID}")
    return given, origins


def _name(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 255:
        raise bad("a name is a text of up to 255 characters")
    return value


def _texts(value: Any) -> dict[str, str]:
    if (
        not isinstance(value, dict)
        or not all(isinstance(text, str) for text in value.values())
        or len(value) > 1000
    ):
        raise bad("meta is an object of up to 1000 texts")
    return value


def _listed(text: str, most: int) -> list[str]:
    items = text.split(",")
    if not all(items) or len(set(items)) < len(items) or len(items) > most:
        raise bad(f"that is no list of up to {most} different ones")
    return items


def _date(text: str) -> datetime:
    if not _DATE.fullmatch(text):
        raise bad("a time is written as 2020-07-27T17:32:28.276Z")
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError as error:
        raise bad(f"there is no such time: {error}") from error
