"""The parts of an answer that all formats share: headers, conditions, ranges, and refusals."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import quote

from aiohttp import web

from integrity.core.dag import Scope
from integrity.serve.asking import RAW, Asked

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "Content-Type, Range, User-Agent, X-Requested-With",
    "Access-Control-Expose-Headers": (
        "Content-Length, Content-Range, X-Chunked-Output, X-Ipfs-Path, X-Ipfs-Roots, X-Stream-Output"
    ),
}
"""So that pages of anybody's may read what anybody may read (path gateway, "CORS")."""

CAR_TYPE = "application/vnd.ipld.car; version=1; order=dfs; dups={}"
_SUFFIX_LIMIT = 200
_PLAIN_NAME = re.compile(r"[A-Za-z0-9._ -]{1,200}")
_RANGE = re.compile(r"bytes=(?P<first>[0-9]{0,19})-(?P<last>[0-9]{0,19})")


def etag(asked: Asked) -> str:
    """Strong, as the same request has the same answer, byte for byte."""
    if asked.media == RAW:
        return f'"{asked.cid}.raw"'
    parts = (asked.names, asked.scope.value, asked.span, asked.dups)
    if parts == ((), Scope.ALL.value, None, False):
        return f'"{asked.cid}.car"'
    mark = hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
    return f'"{asked.cid}.car.{asked.scope.value}.{mark}"'


def headers(request: web.Request, asked: Asked) -> dict[str, str]:
    """The headers of 200, 206 and 304 alike (trustless gateway, "Response Headers")."""
    is_raw = asked.media == RAW
    path = quote("/".join(("", "ipfs", str(asked.cid), *asked.names)))
    return {
        "Content-Type": RAW if is_raw else CAR_TYPE.format("y" if asked.dups else "n"),
        "Cache-Control": "public, max-age=29030400, immutable",
        "Content-Disposition": _disposition(asked, "bin" if is_raw else "car"),
        "Etag": etag(asked),
        "Vary": "Accept",
        "X-Content-Type-Options": "nosniff",
        "X-Ipfs-Path": path,
        "X-Ipfs-Roots": str(asked.cid),
        "Content-Location": _location(request, asked),
        "Accept-Ranges": "bytes" if is_raw else "none",
    }


def _disposition(asked: Asked, suffix: str) -> str:
    """RFC 6266; a name of other characters is given in the form of RFC 8187 as well."""
    name = asked.filename or f"{asked.cid}.{suffix}"
    if _PLAIN_NAME.fullmatch(name):
        return f'attachment; filename="{name}"'
    plain = re.sub(r"[^A-Za-z0-9._ -]", "_", name)[:_SUFFIX_LIMIT]
    encoded = quote(name[:_SUFFIX_LIMIT], safe="", errors="replace")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"


def _location(request: web.Request, asked: Asked) -> str:
    """Where exactly this answer is, whatever a client accepts (trustless gateway): the URL, with what
    only the Accept header said.
    """
    query = dict(request.query)
    query["format"] = "raw" if asked.media == RAW else "car"
    if asked.dups:
        query["car-dups"] = "y"
    return request.rel_url.with_query(query).raw_path_qs


def is_known(request: web.Request, tag: str) -> bool:
    """Whether the client has it already (RFC 9110, section 13.1.2: compared weakly)."""
    known = request.headers.get("if-none-match", "").strip()
    return known == "*" or tag in {item.strip().removeprefix("W/") for item in known.split(",")}


def span_of(request: web.Request, tag: str, length: int) -> tuple[int, int, int] | None:
    """(first byte, how many, status) of a request's Range (RFC 9110, section 14); None is a 416.

    Several ranges, and units other than bytes, are answered in full, as the RFC allows.
    """
    # A range is defined for GET alone (section 14.2); one of something else is none (13.1.5).
    asked = request.headers.get("range") if request.method == "GET" else None
    if request.headers.get("if-range", tag).strip() != tag:
        asked = None
    match = _RANGE.fullmatch(asked.strip()) if asked else None
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


def text(status: int, message: str, **more: str) -> web.Response:
    """A refusal in words."""
    named = {name.replace("_", "-"): value for name, value in more.items()}
    return web.Response(status=status, text=message + "\n", headers=named)
