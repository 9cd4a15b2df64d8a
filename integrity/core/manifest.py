"""One line of a manifest at a time: bytes to values and back (spec v1, section 3).

A manifest is UTF-8 text, one canonical JSON object (RFC 8785) a line, each ended by LF: a header,
then the files sorted by the bytes of their paths. The lines' shape is fixed, so a file's line is
matched as a whole; only a line that does not match is looked at closely, to say what is wrong.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import rfc8785

from integrity.core.cid import DAG_PB, Cid, parse_cid
from integrity.core.jsonlines import INTEGER_LIMIT, parse_object
from integrity.core.names import check_package, check_version, parse_address
from integrity.core.paths import PATH_LIMIT, check_path
from integrity.core.pieces import DIGEST_SIZE, PIECE_SIZE, piece_count
from integrity.errors import (
    AddressMalformed,
    FormatError,
    HashUnsupported,
    LimitExceeded,
    NonCanonical,
    TotalsMismatch,
)

FORMAT = "integrity/1"

LINE_LIMIT = 16 << 20
"""Bytes of a line with its LF: the digests of a file of 384 GiB; no reader must hold more."""

HEADER_LIMIT = 64 << 10
"""Bytes of the header's line: all of its fields at their longest, 16 KiB of meta among them."""

META_LIMIT = 16 << 10
"""Bytes of the meta map in canonical JSON: a description, not a payload."""

_LOOK_LIMIT = 1 << 20
"""Bytes of a broken line that is parsed to say why: parsed, JSON can take 25 times its size."""

# Levels of a line, far beyond the two that any has, so that it can still be said what is wrong.
_NESTING_LIMIT = 64

EMPTY_DIGEST = hashlib.sha256(b"").digest()

# Spellings of the digests by which other networks know the same bytes.
FILE_ALSO = {
    "ed2k": re.compile(r"[0-9a-f]{32}"),
    "sha1": re.compile(r"[0-9a-f]{40}"),
    "sha256": re.compile(r"[0-9a-f]{64}"),
    "tth": re.compile(r"[A-Z2-7]{39}"),
}
RELEASE_ALSO = {
    "btih": re.compile(r"[0-9a-f]{40}"),
    "btmh": re.compile(r"1220[0-9a-f]{64}"),
}
_FILE_KEYS = {"also", "executable", "path", "pieces", "sha256", "size"}
_HEADER_KEYS = {
    "also", "content", "files", "format", "meta", "package", "publisher", "size", "version",
}  # fmt: skip

_LINE = re.compile(
    rb'\{(?:"also":\{(?P<also>"[a-z0-9]{3,6}":"[A-Za-z0-9]{1,72}"'
    rb'(?:,"[a-z0-9]{3,6}":"[A-Za-z0-9]{1,72}"){0,3})\},)?'
    rb'(?P<executable>"executable":true,)?"path":"(?P<path>(?:[^"\\\x00-\x1f]|\\"){1,%d}+)",'
    rb'(?:"pieces":"(?P<pieces>[A-Za-z0-9_-]++)"|"sha256":"(?P<sha256>[0-9a-f]{64})"),'
    rb'"size":(?P<size>0|[1-9][0-9]{0,15})\}\n' % PATH_LIMIT
)


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file: ``digests`` are its pieces' SHA-256, 32 bytes each, one after another."""

    path: str
    size: int
    digests: bytes
    executable: bool = False
    also: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Header:
    """The first line: what the release is called, its content root and its totals."""

    publisher: str
    package: str
    version: str
    content: Cid
    files: int
    size: int
    also: Mapping[str, str] = field(default_factory=dict)
    meta: Mapping[str, str] = field(default_factory=dict)


# --- writing -----------------------------------------------------------------------------------


def encode_file(entry: FileEntry) -> bytes:
    """The canonical line of a file, with its LF. The path must be safe already.

    Written out rather than through a JSON library, as there is one line for each of a million
    files; a property test holds it against rfc8785.
    """
    also = ""
    if entry.also:
        pairs = ",".join(f'"{key}":"{entry.also[key]}"' for key in sorted(entry.also))
        also = f'"also":{{{pairs}}},'
    executable = '"executable":true,' if entry.executable else ""
    if entry.size > PIECE_SIZE:
        digests = '"pieces":"' + encode_pieces(entry.digests) + '"'
    else:
        digests = '"sha256":"' + entry.digests.hex() + '"'
    path = entry.path.replace('"', '\\"')
    line = f'{{{also}{executable}"path":"{path}",{digests},"size":{entry.size}}}\n'.encode()
    if len(line) > LINE_LIMIT:
        raise LimitExceeded(f"the file {entry.path!r} is too large for one line of a manifest")
    return line


def encode_pieces(digests: bytes) -> str:
    """base64url without padding (RFC 4648, section 5)."""
    return base64.urlsafe_b64encode(digests).decode("ascii").rstrip("=")


def encode_header(header: Header) -> bytes:
    """The canonical header line, with its LF; raises FormatError for values no reader accepts."""
    value: dict[str, Any] = {
        "content": str(header.content),
        "files": header.files,
        "format": FORMAT,
        "package": header.package,
        "publisher": header.publisher,
        "size": header.size,
        "version": header.version,
    }
    if header.also:
        value["also"] = dict(header.also)
    if header.meta:
        value["meta"] = dict(header.meta)
    line = _canonical(value) + b"\n"
    decode_header(line)
    return line


# --- reading -----------------------------------------------------------------------------------


def decode_file(line: bytes) -> FileEntry:
    """Read one file's line, LF included. The path's safety is the tree's business, not the line's.

    Raises NonCanonical, HashUnsupported, TotalsMismatch, LimitExceeded or another FormatError.
    """
    match = _LINE.fullmatch(line)
    if match is None:
        raise _why_not(line)
    also_text, executable, raw_path, pieces, sha256, raw_size = match.groups()
    try:
        path = raw_path.decode("utf-8").replace('\\"', '"')
    except UnicodeDecodeError as error:
        raise FormatError(f"a path that is not UTF-8: {raw_path[:80]!r}") from error
    size = int(raw_size)
    if size > INTEGER_LIMIT:
        raise LimitExceeded(f"the size {size} of {path!r} is larger than 2^53 - 1")
    several = pieces is not None
    digests = (_decode_pieces if several else _decode_single)(pieces or sha256, size, path)
    also: Mapping[str, str] = {}
    if also_text:
        also = _decode_also(json.loads(b"{" + also_text + b"}"), also_text, FILE_ALSO, path)
        if "sha256" in also and pieces is None:
            raise NonCanonical(f"{path!r} says its sha256 twice")
    return FileEntry(path, size, digests, executable is not None, also)


def _decode_pieces(text: bytes, size: int, path: str) -> bytes:
    if size <= PIECE_SIZE:
        raise NonCanonical(f"{path!r} has at most one piece, so it must have sha256, not pieces")
    try:
        digests = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except binascii.Error as error:
        raise NonCanonical(f"the pieces of {path!r} are not base64url") from error
    if encode_pieces(digests).encode() != text:
        raise NonCanonical(f"the pieces of {path!r} are not in the one spelling of base64url")
    if len(digests) % DIGEST_SIZE:
        raise HashUnsupported(f"the pieces of {path!r} end within a digest of 32 bytes")
    if len(digests) // DIGEST_SIZE != piece_count(size):
        raise TotalsMismatch(
            f"{path!r} of {size} bytes has {piece_count(size)} pieces, "
            f"but {len(digests) // DIGEST_SIZE} digests are given"
        )
    return digests


def _decode_single(text: bytes, size: int, path: str) -> bytes:
    if size > PIECE_SIZE:
        raise NonCanonical(f"{path!r} has more than one piece, so it must have pieces, not sha256")
    digest = bytes.fromhex(text.decode("ascii"))
    if size == 0 and digest != EMPTY_DIGEST:
        raise TotalsMismatch(f"{path!r} is empty, but its digest is not that of no bytes")
    return digest


def _decode_also(
    value: dict[str, str], text: bytes, known: Mapping[str, re.Pattern[str]], where: str
) -> Mapping[str, str]:
    if rfc8785.dumps(value)[1:-1] != text:
        raise NonCanonical(f"the keys of also in {where!r} are not sorted, or stand twice")
    for key, digest in value.items():
        if key not in known:
            raise HashUnsupported(f"also in {where!r} has the unknown digest {key[:80]!r}")
        if not known[key].fullmatch(digest):
            raise HashUnsupported(f"also in {where!r}: not a {key} digest: {digest[:80]!r}")
    return value


def decode_header(line: bytes) -> Header:
    """Read the header's line, LF included; raises as decode_file does."""
    if len(line) > HEADER_LIMIT:
        raise LimitExceeded(f"a header of more than {HEADER_LIMIT} bytes")
    value = _load(line, _HEADER_KEYS)
    for key in ("content", "format", "package", "publisher", "version"):
        if not isinstance(value.get(key), str):
            raise FormatError(f"the header's {key} is missing or not a string")
    if value["format"] != FORMAT:
        raise FormatError(
            f"the manifest's format is {value['format'][:40]!r}, not {FORMAT!r}",
            next="A newer release of this program may know it.",
        )
    content = parse_cid(value["content"])
    if content.codec != DAG_PB:
        raise FormatError("the content root is not a directory (dag-pb)")
    if parse_address(value["publisher"]) != value["publisher"]:
        raise AddressMalformed("the header's publisher is not in its EIP-55 spelling")
    files, size = (_integer(value, key, f"the header's {key}") for key in ("files", "size"))
    if files < 1:
        raise TotalsMismatch("a release without files")
    also = value.get("also", {})
    if "also" in value:
        _check_map(also, "the header's also")
        _decode_also(also, rfc8785.dumps(also)[1:-1], RELEASE_ALSO, "the header")
    return Header(
        value["publisher"],
        check_package(value["package"]),
        check_version(value["version"]),
        content,
        files,
        size,
        also,
        _meta(value),
    )


def _meta(value: dict[str, Any]) -> Mapping[str, str]:
    if "meta" not in value:
        return {}
    meta: dict[str, str] = value["meta"]
    _check_map(meta, "the header's meta")
    if not all(key.isascii() and key.isprintable() and key for key in meta):
        raise FormatError("a key of meta is not printable ASCII")
    if len(rfc8785.dumps(meta)) > META_LIMIT:
        raise LimitExceeded(f"meta has more than {META_LIMIT} bytes")
    return meta


def _check_map(value: object, what: str) -> None:
    if not isinstance(value, dict) or not value:
        raise FormatError(f"{what} must be a map that is not empty")
    if not all(isinstance(item, str) for item in value.values()):
        raise FormatError(f"{what} must have strings for values")


def _integer(value: dict[str, Any], key: str, what: str) -> int:
    number = value.get(key)
    if type(number) is not int:
        raise FormatError(f"{what} is missing or not an integer")
    if not 0 <= number <= INTEGER_LIMIT:
        raise LimitExceeded(f"{what} is not between 0 and 2^53 - 1")
    return number


def _load(line: bytes, known: set[str]) -> dict[str, Any]:
    """Parse a line as canonical JSON with known keys only."""
    if not line.endswith(b"\n"):
        raise NonCanonical("the last line does not end with LF")
    value = parse_object(line[:-1], "a line", _NESTING_LIMIT)
    unknown = sorted(set(value) - known)
    if unknown:
        raise FormatError(f"a line with the unknown key {unknown[0][:80]!r}")
    if _canonical(value) != line[:-1]:
        raise NonCanonical("a line that is not canonical JSON (RFC 8785)")
    return value


def _canonical(value: dict[str, Any]) -> bytes:
    """RFC 8785; raises LimitExceeded or FormatError for what it cannot write."""
    try:
        return rfc8785.dumps(value)
    except (rfc8785.IntegerDomainError, rfc8785.FloatDomainError, RecursionError) as error:
        raise LimitExceeded(f"a value that canonical JSON cannot hold: {error}") from error
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise FormatError("a text with half of a surrogate pair is not Unicode") from error


def _why_not(line: bytes) -> FormatError:
    """The reason why a file's line has not the one shape it may have."""
    if len(line) > LINE_LIMIT:
        return LimitExceeded(f"a line of more than {LINE_LIMIT} bytes")
    if len(line) > _LOOK_LIMIT:
        return FormatError("a long line that has not the shape of a file's line")
    try:
        value = _load(line, _FILE_KEYS)
        if not isinstance(value.get("path"), str):
            return FormatError("a file's line without a path")
        check_path(value["path"])
        return _wrong_value(value, value["path"])
    except FormatError as error:
        return error


def _wrong_value(value: dict[str, Any], path: str) -> FormatError:
    """What is wrong with a canonical line's values, its path apart; some are raised."""
    if ("pieces" in value) == ("sha256" in value):
        return FormatError(f"{path[:200]!r} must have either sha256 or pieces")
    _integer(value, "size", f"the size of {path[:200]!r}")
    if value.get("executable", True) is not True:
        return NonCanonical(f"executable of {path[:200]!r} may only be true, or left out")
    if "also" in value:
        _check_map(value["also"], f"also of {path[:200]!r}")
        _decode_also(value["also"], rfc8785.dumps(value["also"])[1:-1], FILE_ALSO, path)
    digests = value.get("pieces", value.get("sha256"))
    if not isinstance(digests, str):
        return FormatError(f"the digests of {path[:200]!r} are no string")
    if "pieces" in value:
        return NonCanonical(f"the pieces of {path[:200]!r} are not base64url without padding")
    return HashUnsupported(
        f"the sha256 of {path[:200]!r} is not 64 lower-case hex digits: {digests[:80]!r}"
    )
