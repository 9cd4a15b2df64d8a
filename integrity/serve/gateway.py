"""The trustless gateway over the embedded store: raw blocks by CID (specs.ipfs.tech), aiohttp.

What it gives out was published by this home and is hashed before it is first sent; a file that
changed since is as good as absent. Nothing is looked up by name, so no path leads out of the store.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from aiohttp import web

from integrity.core.cid import Cid, parse_cid
from integrity.core.dagpb import BLOCK_LIMIT
from integrity.errors import FormatError, StoreError
from integrity.store.reading import Block, BlockReader, InFile, InMemory

_T = TypeVar("_T")

RAW = "application/vnd.ipld.raw"
PROBE = "bafkqaaa"
"""The CID of no bytes (identity hash): what clients ask for to learn whether this is a gateway."""

_PORTION = 256 << 10
"""Bytes that a slow reader makes the server hold."""

_RANGE = re.compile(r"bytes=(?P<first>[0-9]{0,19})-(?P<last>[0-9]{0,19})")
_READER: web.AppKey[BlockReader] = web.AppKey("reader", BlockReader)
_POOL: web.AppKey[ThreadPoolExecutor] = web.AppKey("pool", ThreadPoolExecutor)


def make_app(reader: BlockReader, *, threads: int = 4) -> web.Application:
    """The application; ``threads`` hash and look up beside the event loop."""
    app = web.Application(client_max_size=0)
    app[_READER] = reader
    app[_POOL] = ThreadPoolExecutor(threads, thread_name_prefix="serve")
    app.router.add_get("/ipfs/{cid}", _block, allow_head=True)
    app.on_cleanup.append(_stop_pool)
    return app


async def _stop_pool(app: web.Application) -> None:
    app[_POOL].shutdown(wait=False, cancel_futures=True)


async def _block(request: web.Request) -> web.StreamResponse:
    text = request.match_info["cid"]
    if not _wants_raw(request):
        return _text(406, "this gateway gives raw blocks: ask with ?format=raw")
    if text == PROBE:
        return web.Response(body=b"", headers=_headers(PROBE, PROBE))
    try:
        cid = parse_cid(text)
    except FormatError as error:
        return _text(400, error.message)
    etag = f'"{cid}.raw"'
    known = request.headers.get("if-none-match", "").strip()
    if _matches(known, etag):
        return web.Response(status=304, headers=_headers(text, str(cid)))
    try:
        block = await _off(request, lambda: request.app[_READER].open(cid.digest))
    except StoreError as error:
        return _text(500, error.message)
    if block is None:
        return _text(404, f"{cid} is not here")
    try:
        if known == "*":  # any version the client has is the one that is here
            return web.Response(status=304, headers=_headers(text, str(cid)))
        return await _answer(request, cid, block)
    finally:
        block.close()


def _wants_raw(request: web.Request) -> bool:
    """By ``format``, which wins, or by Accept (trustless gateway specification, section 3)."""
    named = request.query.get("format")
    if named is not None:
        return named == "raw"
    return RAW in request.headers.get("accept", "")


def _matches(header: str, etag: str) -> bool:
    return etag in {tag.strip().removeprefix("W/") for tag in header.split(",")}


def _headers(name: str, cid: str) -> dict[str, str]:
    return {
        "Content-Type": RAW,
        "Cache-Control": "public, max-age=29030400, immutable",
        "Content-Disposition": f'attachment; filename="{name}.bin"',
        "Etag": f'"{cid}.raw"',
        "X-Content-Type-Options": "nosniff",
        "X-Ipfs-Path": f"/ipfs/{cid}",
        "Accept-Ranges": "bytes",
    }


async def _answer(request: web.Request, cid: Cid, block: Block) -> web.StreamResponse:
    if block.length > BLOCK_LIMIT:
        return _text(410, f"{cid} is larger than a block may be")
    # A range is defined for GET alone (RFC 9110, section 14.2).
    asked = request.headers.get("range") if request.method == "GET" else None
    if request.headers.get("if-range", f'"{cid}.raw"').strip() != f'"{cid}.raw"':
        asked = None  # of something else than what the client has (RFC 9110, section 13.1.5)
    span = _span(asked, block.length)
    headers = _headers(str(cid), str(cid))
    if span is None:
        headers["Content-Range"] = f"bytes */{block.length}"
        return web.Response(status=416, headers=headers)
    first, length, status = span
    if status == 206:
        headers["Content-Range"] = f"bytes {first}-{first + length - 1}/{block.length}"
    if isinstance(block, InMemory) or status == 206:
        data = block.data if isinstance(block, InMemory) else await _off(request, block.checked)
        if data is None:
            return _text(404, f"{cid} is not here")
        return web.Response(status=status, body=data[first : first + length], headers=headers)
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = length
    await response.prepare(request)
    sent = request.method == "HEAD" or await _send(request, response, block)
    if sent:
        await response.write_eof()
    elif request.transport is not None:
        request.transport.abort()
    return response


async def _send(request: web.Request, response: web.StreamResponse, block: InFile) -> bool:
    """The block in portions; the last one only if all of them have the digest together.

    So bytes that were overwritten never make up a complete answer. They are copied and not handed to
    ``sendfile``, which gives the socket the file's own pages: what is written to the file then still
    reaches a client who has not read them yet, long after anybody could look.
    """
    sha256 = hashlib.sha256()
    sent = 0

    def portion() -> bytes:
        try:
            data = block.read(sent, min(_PORTION, block.length - sent))
        except OSError:
            return b""
        sha256.update(data)
        return data

    while sent < block.length:
        data = await _off(request, portion)
        sent += len(data)
        if not data or (sent == block.length and sha256.digest() != block.digest):
            return False
        try:
            await response.write(data)
        except ConnectionError:  # the client has gone
            return False
    return True


async def _off(request: web.Request, work: Callable[[], _T]) -> _T:
    """Do what reads and hashes beside the event loop."""
    return await asyncio.get_running_loop().run_in_executor(request.app[_POOL], work)


def _span(header: str | None, length: int) -> tuple[int, int, int] | None:
    """(first byte, how many, status) of a Range header (RFC 9110, section 14); None is a 416.

    Several ranges, and units other than bytes, are answered in full, as the RFC allows.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or not (match["first"] or match["last"]):
        return 0, length, 200
    if not match["first"]:
        wanted = min(int(match["last"]), length)
        return (length - wanted, wanted, 206) if wanted else None
    first = int(match["first"])
    last = min(int(match["last"]), length - 1) if match["last"] else length - 1
    if match["last"] and int(match["last"]) < first:
        return 0, length, 200
    return (first, last - first + 1, 206) if first <= last else None


def _text(status: int, message: str) -> web.Response:
    return web.Response(status=status, text=message + "\n")
