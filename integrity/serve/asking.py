"""What a request to a trustless gateway asks for: its path, its query, and its Accept header.

https://specs.ipfs.tech/http-gateways/trustless-gateway/, "HTTP Request". Pure: text in, an
:class:`Asked` out, or a :class:`Refused` with the status that the specification has for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from integrity.core.anycid import AnyCid, parse_any_cid
from integrity.core.dag import Scope, Span
from integrity.errors import FormatError

RAW = "application/vnd.ipld.raw"
CAR = "application/vnd.ipld.car"
_FORMATS = {"raw": RAW, "car": CAR}

PATH_LIMIT = 256
"""Names in one path; each can cost a directory's block or more."""

_SPAN = re.compile(r"(-?[0-9]{1,18}):(\*|-?[0-9]{1,18})")
_QUALITY = re.compile(r"[01](\.[0-9]{0,3})?")


class Refused(Exception):
    """The request gets this status and message, and nothing else."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Asked:
    """``names`` lead from the block of ``cid`` to what is asked for; the rest is about CARs."""

    cid: AnyCid
    names: tuple[str, ...]
    media: str
    scope: Scope = Scope.ALL
    span: Span | None = None
    dups: bool = False
    filename: str | None = None


def parse(raw_path: str, query: Mapping[str, str], accept: str | None) -> Asked:
    """Read a request for ``/ipfs/{cid}[/path]``; ``raw_path`` as it stood on the request line. What
    the URL says comes before what the Accept header says (IPIP-523).

    Raises Refused: 400 for what cannot be read, 406 for a format that is not given out here.
    """
    rest = _parts(raw_path)[1:]
    media, parameters = _media(query.get("format"), accept)
    cid = parse_root(raw_path)
    filename = query.get("filename")
    if media == RAW:
        if rest:
            raise Refused(400, "a raw block has no path below it; ask for a CAR (?format=car)")
        return Asked(cid, (), media, filename=filename)
    names = _resolved(_decoded(part) for part in rest)
    if len(names) > PATH_LIMIT:
        raise Refused(400, f"a path of more than {PATH_LIMIT} names")
    _one_of("version", query.get("car-version", parameters.get("version")), {"1"})
    _one_of("order", query.get("car-order", parameters.get("order")), {"dfs", "unk"})
    dups = _one_of("dups", query.get("car-dups", parameters.get("dups")), {"y", "n"}) == "y"
    span = _span(query.get("entity-bytes"))
    scope = _one_of("dag-scope", query.get("dag-scope"), {"block", "entity", "all"})
    if span is not None:
        scope = scope if scope == "block" else "entity"
    return Asked(cid, names, media, Scope(scope or "all"), span, dups, filename)


def parse_root(raw_path: str) -> AnyCid:
    """The CID at the beginning of a path. Raises Refused."""
    try:
        return parse_any_cid(_decoded(_parts(raw_path)[0]))
    except FormatError as error:
        raise Refused(400, error.message) from error


def _parts(raw_path: str) -> list[str]:
    return raw_path.removeprefix("/ipfs/").split("/")


def _resolved(parts: Iterable[str]) -> tuple[str, ...]:
    """Names without ``.`` and ``..``, which no directory has as its entries (specs.ipfs.tech/unixfs)."""
    names: list[str] = []
    for part in parts:
        if part == "..":
            if not names:
                raise Refused(400, "a path that leads above its root")
            names.pop()
        elif part not in {"", "."}:
            names.append(part)
    return tuple(names)


def _decoded(part: str) -> str:
    try:
        return unquote_to_bytes(part).decode()
    except UnicodeError as error:
        raise Refused(400, "a path that is not UTF-8") from error


def _media(named: str | None, accept: str | None) -> tuple[str, dict[str, str]]:
    """The media type to answer with, and its parameters in Accept. The URL's ``format`` wins; of the
    types in Accept the one of the highest quality does, and the first of those.
    """
    offers = _offers(accept or "")
    if named is not None:
        if named == "ipns-record":
            raise Refused(400, "a CID has no IPNS record")
        if named not in _FORMATS:
            raise Refused(406, "this gateway gives raw blocks and CARs: ?format=raw or ?format=car")
        media = _FORMATS[named]
        return media, next((p for _, m, p in offers if m == media), {})
    if not accept:
        raise Refused(400, "say what to send: ?format=raw or ?format=car, or an Accept header")
    usable = [offer for offer in offers if offer[1] in {RAW, CAR} and offer[0] > 0]
    if not usable:
        raise Refused(
            406, f"this gateway gives {RAW} and {CAR}: ask with ?format=raw or ?format=car"
        )
    _, media, parameters = max(usable, key=lambda offer: offer[0])
    return media, parameters


def _offers(accept: str) -> list[tuple[float, str, dict[str, str]]]:
    """(quality, media type, parameters) of an Accept header's elements (RFC 9110, section 12.5.1)."""
    found = []
    for element in accept.split(","):
        media, *rest = (part.strip() for part in element.split(";"))
        pairs = (part.partition("=") for part in rest)
        parameters = {k.strip().lower(): v.strip().strip('"') for k, _, v in pairs}
        quality = parameters.pop("q", "1")
        found.append((
            float(quality) if _QUALITY.fullmatch(quality) else 0.0, media.lower(), parameters,
        ))  # fmt: skip
    return found


def _one_of(what: str, value: str | None, known: set[str]) -> str | None:
    if value is not None and value not in known:
        raise Refused(400, f"{what} is one of {', '.join(sorted(known))}")
    return value


def _span(text: str | None) -> Span | None:
    if text is None:
        return None
    match = _SPAN.fullmatch(text)
    if match is None:
        raise Refused(400, "entity-bytes is FIRST:LAST, as 0:99, -100:* or 5:-5")
    first, last = int(match[1]), None if match[2] == "*" else int(match[2])
    if last is not None and first > last and (first < 0) == (last < 0):
        raise Refused(400, "entity-bytes ends before it begins")
    return Span(first, last)
