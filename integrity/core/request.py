"""Signed requests: a release that somebody else may record, and pay for (spec v1, section 4.6).

A request is one line of canonical JSON. What is signed is EIP-712's hash of every argument, for one chain,
one contract, one sequence and until a deadline; ``publishWithSignature`` checks the same.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from integrity.core.links import CHAIN_ID_LIMIT, Link
from integrity.core.names import check_package, check_version, keccak256, parse_address
from integrity.core.nesting import is_nested_deeper
from integrity.errors import FormatError, LimitExceeded, NonCanonical

FORMAT = "integrity-request/1"

REQUEST_LIMIT = 1 << 16
"""Bytes of a request: a contract account's signature has 65 bytes for each owner, and more for some."""

_COUNT_LIMIT = (1 << 48) - 1
_TIME_LIMIT = (1 << 53) - 1
_HEX = re.compile(r"(?:[0-9a-f]{2})*")
_ADDRESSES = ("publisher", "registry", "signer")
_DIGESTS = ("content", "manifest")
_KEYS = frozenset((
    *_ADDRESSES, *_DIGESTS, "chain", "count", "deadline", "format", "latest", "package", "signature",
    "version",
))  # fmt: skip

_DOMAIN = {"name": "ContentRegistry", "version": "1"}
_DOMAIN_FIELDS = (
    ("name", "string"), ("version", "string"), ("chainId", "uint256"), ("verifyingContract", "address"),
)  # fmt: skip
_FIELDS = (
    ("publisher", "address"), ("package", "string"), ("version", "string"), ("manifest", "bytes32"),
    ("content", "bytes32"), ("expectedCount", "uint256"), ("makeLatest", "bool"), ("signer", "address"),
    ("deadline", "uint256"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """``manifest`` and ``content`` are 32 bytes, ``count`` is how many releases the package has before,
    ``deadline`` Unix seconds, the last one in which it can be recorded. An empty ``signature`` is still to
    come.
    """

    chain_id: int
    registry: str
    publisher: str
    package: str
    version: str
    manifest: bytes
    content: bytes
    count: int
    make_latest: bool
    signer: str
    deadline: int
    signature: bytes = b""

    @property
    def link(self) -> Link:
        """The release."""
        return Link(self.chain_id, self.publisher, self.package, self.version)

    @property
    def publish_args(self) -> tuple[object, ...]:
        """The arguments of the registry's ``publish``, and the first ones of ``publishWithSignature``."""
        return (
            self.publisher, self.package, self.version, self.manifest, self.content, self.count,
            self.make_latest,
        )  # fmt: skip

    @property
    def typed_data(self) -> dict[str, Any]:
        """What is signed, as wallets are given it (``eth_signTypedData_v4``)."""
        message = dict(
            zip(
                (name for name, _ in _FIELDS),
                (*self.publish_args, self.signer, self.deadline),
                strict=True,
            )
        )
        message |= {name: "0x" + getattr(self, name).hex() for name in _DIGESTS}
        return {
            "domain": _DOMAIN | {"chainId": self.chain_id, "verifyingContract": self.registry},
            "types": {"EIP712Domain": _members(_DOMAIN_FIELDS), "Publish": _members(_FIELDS)},
            "primaryType": "Publish",
            "message": message,
        }

    @property
    def digest(self) -> bytes:
        """EIP-712's hash of it, 32 bytes."""
        domain = _hash(
            "EIP712Domain", _DOMAIN_FIELDS, (*_DOMAIN.values(), self.chain_id, self.registry)
        )
        message = _hash("Publish", _FIELDS, (*self.publish_args, self.signer, self.deadline))
        return keccak256(b"\x19\x01" + domain + message)


def encode(request: Request) -> bytes:
    """Its one canonical form: sorted keys, no spaces, hex in lower case, an LF at the end."""
    value: dict[str, Any] = {name: getattr(request, name) for name in _ADDRESSES}
    value |= {name: getattr(request, name).hex() for name in (*_DIGESTS, "signature")}
    value |= {
        "chain": request.chain_id, "count": request.count, "deadline": request.deadline,
        "format": FORMAT, "latest": request.make_latest, "package": request.package,
        "version": request.version,
    }  # fmt: skip
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def decode(data: bytes) -> Request:
    """Read a request; nothing is said of its signature by that. Raises FormatError, NonCanonical,
    LimitExceeded or AddressMalformed.
    """
    if len(data) > REQUEST_LIMIT:
        raise LimitExceeded(f"a request of more than {REQUEST_LIMIT} bytes")
    if is_nested_deeper(data, 1):
        raise FormatError("a request with something in its values")
    try:
        value = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise FormatError("a request that is no JSON") from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise FormatError(f"not a request of the format {FORMAT}")
    if set(value) != _KEYS:
        odd = min(set(value) ^ _KEYS)
        raise FormatError(f"a request {'with' if odd in value else 'without'} {odd[:40]!r}")
    if not isinstance(value["latest"], bool):
        raise FormatError("a request whose latest is neither true nor false")
    publisher, registry, signer = (parse_address(_text(value, name)) for name in _ADDRESSES)
    request = Request(
        _number(value, "chain", CHAIN_ID_LIMIT), registry, publisher,
        check_package(_text(value, "package")), check_version(_text(value, "version")),
        _bytes(value, "manifest", 32), _bytes(value, "content", 32),
        _number(value, "count", _COUNT_LIMIT), value["latest"], signer,
        _number(value, "deadline", _TIME_LIMIT), _bytes(value, "signature"),
    )  # fmt: skip
    if not request.chain_id:
        raise FormatError("a request whose chain is no chain id")
    if encode(request) != data:
        raise NonCanonical("a request that is not written in its canonical form")
    return request


def _members(fields: tuple[tuple[str, str], ...]) -> list[dict[str, str]]:
    return [{"name": name, "type": kind} for name, kind in fields]


def _hash(name: str, fields: tuple[tuple[str, str], ...], values: tuple[object, ...]) -> bytes:
    """EIP-712's hashStruct of a struct without others in it."""
    kind = f"{name}({','.join(f'{kind} {field}' for field, kind in fields)})"
    words = (_word(kind, value) for (_, kind), value in zip(fields, values, strict=True))
    return keccak256(keccak256(kind.encode()) + b"".join(words))


def _word(kind: str, value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, int):
        return value.to_bytes(32, "big")
    text = str(value)
    return bytes(12) + bytes.fromhex(text[2:]) if kind == "address" else keccak256(text.encode())


def _text(value: dict[str, Any], name: str) -> str:
    text = value[name]
    if not isinstance(text, str):
        raise FormatError(f"a request whose {name} is no text")
    return text


def _number(value: dict[str, Any], name: str, limit: int) -> int:
    number = value[name]
    if type(number) is not int or not 0 <= number <= limit:
        raise FormatError(f"a request whose {name} is no number from 0 to {limit}")
    return number


def _bytes(value: dict[str, Any], name: str, size: int | None = None) -> bytes:
    text = _text(value, name)
    if _HEX.fullmatch(text) is None or size not in {None, len(text) // 2}:
        raise FormatError(f"a request whose {name} is no hex in lower case, or not of its length")
    return bytes.fromhex(text)
