"""Signed requests: a release that somebody else may record, and pay for (spec v1, section 4.6).

A request is one line of canonical JSON. What is signed is EIP-712's hash of every argument, for one chain,
one contract, one sequence and until a deadline; ``publishWithSignature`` checks the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from integrity.core.documents import Document
from integrity.core.links import CHAIN_ID_LIMIT, Link
from integrity.core.names import check_package, check_version, keccak256, parse_address
from integrity.errors import FormatError

REQUEST_LIMIT = 1 << 16
"""Bytes of a request: a contract account's signature has 65 bytes for each owner, and more for some."""

_COUNT_LIMIT = (1 << 48) - 1
_TIME_LIMIT = (1 << 53) - 1
_ADDRESSES = ("publisher", "registry", "signer")
_DIGESTS = ("content", "manifest")
_KEYS = (
    *_ADDRESSES, *_DIGESTS, "chain", "count", "deadline", "latest", "package", "signature", "version",
)  # fmt: skip
_DOCUMENT = Document("request", "integrity-request/1", frozenset(_KEYS), REQUEST_LIMIT)

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
        "latest": request.make_latest, "package": request.package, "version": request.version,
    }  # fmt: skip
    return _DOCUMENT.write(value)


def decode(data: bytes) -> Request:
    """Read a request; nothing is said of its signature by that. Raises FormatError, NonCanonical,
    LimitExceeded or AddressMalformed.
    """
    value = _DOCUMENT.read(data)
    texts = {
        name: _DOCUMENT.text(value[name], name) for name in (*_ADDRESSES, "package", "version")
    }
    numbers = {
        name: _DOCUMENT.number(value[name], name, limit, first)
        for name, limit, first in (
            ("chain", CHAIN_ID_LIMIT, 1), ("count", _COUNT_LIMIT, 0), ("deadline", _TIME_LIMIT, 0),
        )
    }  # fmt: skip
    if not isinstance(value["latest"], bool):
        raise FormatError("a request whose latest is neither true nor false")
    publisher, registry, signer = (parse_address(texts[name]) for name in _ADDRESSES)
    manifest, content = (_DOCUMENT.hex(value[name], name, 32) for name in ("manifest", "content"))
    request = Request(
        numbers["chain"], registry, publisher, check_package(texts["package"]),
        check_version(texts["version"]), manifest, content, numbers["count"], value["latest"], signer,
        numbers["deadline"], _DOCUMENT.hex(value["signature"], "signature"),
    )  # fmt: skip
    _DOCUMENT.check_canonical(data, encode(request))
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
