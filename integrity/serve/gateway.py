"""The trustless gateway over the embedded store (specs.ipfs.tech/http-gateways), on aiohttp.

What it gives out was published or imported by this home, and is checked on its way; a piece
that changed since is as good as absent. Nothing is looked up by name, so no path leads out of the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from integrity.core.anycid import AnyCid, parse_any_cid
from integrity.core.cid import parse_digest, raw_cid
from integrity.core.dag import BlockMissing, NoSuchPath, checked_load
from integrity.errors import FormatError, IntegrityError
from integrity.serve.answering import CORS, etag, headers, is_known, span_of, text
from integrity.serve.asking import RAW, Asked, Refused, parse, parse_root
from integrity.serve.budget import Budget
from integrity.serve.cars import CarAnswer
from integrity.serve.denying import Denylist
from integrity.serve.guard import Guards
from integrity.serve.hosts import Hosts
from integrity.serve.receipts import stored_receipt
from integrity.serve.routing import FOUND_SECONDS, NOT_FOUND_SECONDS, Provider
from integrity.store.database import Store
from integrity.store.reading import BlockReader

_T = TypeVar("_T")

_WALKERS = 2
_SLICE = 16 << 10
"""Bytes at a time for readers who are served while memory is short."""


class Gateway:
    """Made on the event loop that serves ``app``. ``provider`` is None until it is known where this
    server can be reached, ``guards`` until its connections are looked after.
    """

    def __init__(
        self,
        store: Store,
        reader: BlockReader,
        denylist: Denylist,
        hosts: Hosts,
        *,
        threads: int = 4,
    ) -> None:
        self.provider: Provider | None = None
        self.guards: Guards | None = None
        self._store = store
        self._reader = reader
        self._denylist = denylist
        self._hosts = hosts
        self._budget = Budget()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="serve")
        # Walks of their own threads, so that nobody who asks for a block stands behind them.
        self._walkers = ThreadPoolExecutor(_WALKERS, thread_name_prefix="walk")
        self.app = web.Application(client_max_size=0, middlewares=[self._around()])
        self.app.router.add_get("/ipfs/{tail:.+}", self._ipfs, allow_head=True)
        self.app.router.add_get("/routing/v1/providers/{cid}", self._providers, allow_head=True)
        self.app.router.add_get("/integrity/v1/{manifest}/receipt", self._receipt, allow_head=True)
        self.app.router.add_get("/routing/v1/{tail:.*}", self._unknown)
        self.app.router.add_get("/", self._welcome, allow_head=True)
        self.app.on_response_prepare.append(self._add_cors)
        self.app.on_cleanup.append(self._stop)

    async def _stop(self, _: web.Application) -> None:
        for pool in (self._pool, self._walkers):
            pool.shutdown(wait=False, cancel_futures=True)

    def _around(self) -> Middleware:
        @web.middleware
        async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
            guards = self.guards
            with guards.working(request.transport) if guards else contextlib.nullcontext():
                return await self._answered(request, handler)

        return around

    async def _answered(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self._hosts.allows(request.headers.get("host", "")):
            return text(
                403, "this server is not the host that was asked for (--name NAME adds one)"
            )
        if request.method == "OPTIONS":
            return web.Response(status=204, headers={"Allow": "GET, HEAD, OPTIONS"})
        try:
            return await handler(request)
        except Refused as refused:
            return text(refused.status, refused.message)
        except (NoSuchPath, BlockMissing) as missing:
            return text(404, str(missing))
        except FormatError as error:
            return text(502, f"a block on the way is malformed: {error.message}")
        except IntegrityError as error:
            return text(500, error.message)

    async def _add_cors(self, _: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(CORS)

    async def _welcome(self, _: web.Request) -> web.StreamResponse:
        return text(200, "an IPFS trustless gateway: /ipfs/CID?format=raw or /ipfs/CID?format=car")

    async def _unknown(self, _: web.Request) -> web.StreamResponse:
        return text(501, "this server tells providers of blocks, and nothing else")

    async def _off(self, work: Callable[[], _T], pool: ThreadPoolExecutor | None = None) -> _T:
        """Do what reads and hashes beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(pool or self._pool, work)

    # --- /ipfs/ --------------------------------------------------------------------------------

    async def _ipfs(self, request: web.Request) -> web.StreamResponse:
        path = request.rel_url.raw_path
        root = parse_root(path)
        self._refuse_denied(root)
        cached_only = "only-if-cached" in request.headers.get("cache-control", "")
        if cached_only and root.inlined is None and not await self._has(root):
            return web.Response(status=412)
        asked = parse(path, request.query, ",".join(request.headers.getall("accept", ())))
        return await (self._raw if asked.media == RAW else self._car)(request, asked)

    async def _has(self, cid: AnyCid) -> bool:
        """Whether a block is here, as far as the store's index tells."""
        if cid.inlined is not None or self._denylist.status(cid):
            return False
        return await self._off(lambda: self._reader.has(cid.key))

    def _refuse_denied(self, cid: AnyCid) -> None:
        status = self._denylist.status(cid)
        if status is not None:
            raise Refused(status, f"{cid} is not served here")

    def _read(self, cid: AnyCid) -> bytes | None:
        self._refuse_denied(cid)
        return self._reader.read(cid.key)

    async def _raw(self, request: web.Request, asked: Asked) -> web.StreamResponse:
        tag = etag(asked)
        block = await self._block(asked.cid)
        named = headers(request, asked)
        if is_known(request, tag):
            return web.Response(status=304, headers=named)
        span = span_of(request, tag, len(block))
        if span is None:
            named["Content-Range"] = f"bytes */{len(block)}"
            return web.Response(status=416, headers=named)
        first, length, status = span
        if status == 206:
            named["Content-Range"] = f"bytes {first}-{first + length - 1}/{len(block)}"
        response = web.StreamResponse(status=status, headers=named)
        response.content_length = length
        await response.prepare(request)
        if request.method != "HEAD":
            if request.transport is not None and self._budget.has_room(length):
                with self._budget.holding(length, request.transport):
                    await response.write(memoryview(block)[first : first + length])
            else:
                del block
                await self._send_slowly(request, response, asked.cid, range(first, first + length))
        await response.write_eof()
        return response

    async def _block(self, cid: AnyCid) -> bytes | memoryview:
        at_once = self._reader.read_at_once(cid.key)
        if at_once is not None:
            return at_once
        return await self._off(lambda: checked_load(self._read)(cid))

    async def _send_slowly(
        self, request: web.Request, response: web.StreamResponse, cid: AnyCid, span: range
    ) -> None:
        """In slices, for each of which the block is read and checked again: nothing is held."""
        for at in range(span.start, span.stop, _SLICE):
            end = min(at + _SLICE, span.stop)

            def cut(at: int = at, end: int = end) -> bytes | None:
                block = self._read(cid)
                return None if block is None else block[at:end]

            try:
                data = await self._off(cut)
            except Refused:  # denied since the answer was begun
                data = None
            if data is None:
                _cut_off(request)
                return
            await response.write(data)

    async def _car(self, request: web.Request, asked: Asked) -> web.StreamResponse:
        ahead = self._reader.lookahead()

        def read(cid: AnyCid) -> bytes | None:
            self._refuse_denied(cid)
            return ahead.read(cid.key)

        answer = await self._off(
            lambda: CarAnswer(asked, checked_load(read), ahead.expect), self._walkers
        )
        named = headers(request, asked)
        if is_known(request, etag(asked)):
            return web.Response(status=304, headers=named)
        response = web.StreamResponse(headers=named)
        await response.prepare(request)
        if request.method != "HEAD":
            try:
                await self._stream(request, response, answer.portions())
            except (BlockMissing, Refused, IntegrityError):
                _cut_off(request)  # so that the client does not take it for the whole
        await response.write_eof()
        return response

    async def _stream(
        self, request: web.Request, response: web.StreamResponse, portions: Iterator[bytes]
    ) -> None:
        """Write one portion while the next one is found."""
        loop = asyncio.get_running_loop()

        def find() -> asyncio.Future[bytes | None]:
            return loop.run_in_executor(self._walkers, next, portions, None)

        coming = find()
        try:
            while (data := await coming) is not None and request.transport is not None:
                coming = find()
                with self._budget.holding(len(data), request.transport):
                    await response.write(data)
        finally:
            coming.cancel()

    # --- /integrity/v1/ ------------------------------------------------------------------------

    async def _receipt(self, request: web.Request) -> web.StreamResponse:
        try:
            manifest = parse_digest(request.match_info["manifest"])
        except FormatError as error:
            return text(400, error.message)
        self._refuse_denied(parse_any_cid(str(raw_cid(manifest))))
        receipt = await self._off(lambda: stored_receipt(self._store, manifest))
        if receipt is None:
            return text(404, "there is no receipt of that manifest's record here")
        # A newer one, of a later block, may take its place.
        named = {"Cache-Control": "public, max-age=300", "Content-Type": "application/json"}
        return web.Response(body=receipt, headers=named)

    # --- /routing/v1/ --------------------------------------------------------------------------

    async def _providers(self, request: web.Request) -> web.StreamResponse:
        try:
            cid = parse_any_cid(request.match_info["cid"])
        except FormatError as error:
            return text(422, error.message)
        provider = self.provider if await self._has(cid) else None
        records = provider.records(request.query) if provider else []
        seconds = FOUND_SECONDS if records else NOT_FOUND_SECONDS
        named = {
            "Cache-Control": f"public, max-age={seconds}",
            "Vary": "Accept",
            "Content-Type": "application/json",
        }
        if "application/x-ndjson" in request.headers.get("accept", ""):
            named["Content-Type"] = "application/x-ndjson"
            body = "".join(json.dumps(record) + "\n" for record in records)
        else:
            body = json.dumps({"Providers": records})
        return web.Response(text=body, headers=named)


def _cut_off(request: web.Request) -> None:
    """End the connection without the end of the answer, once what was found of it is sent."""
    if request.transport is not None:
        request.transport.close()
