"""What the registry's events say, out of a log's topics and data (spec v1, section 4.4).

Decoded by hand, with slices: an index reads millions of them. The contract encodes its strings in the one
way that Solidity does, so whatever is encoded otherwise is not its own, and refused.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from integrity.core.names import keccak256
from integrity.core.registry import ENDORSEMENT_KINDS, package_key
from integrity.errors import FormatError

TEXT_LIMIT = 16 << 10
"""Characters of a revocation's text that are kept."""

_SEQUENCE_LIMIT = 1 << 48
_PACKAGE = re.compile(rb"[a-z0-9][a-z0-9._-]{0,63}")
_VERSION = re.compile(rb"[A-Za-z0-9][A-Za-z0-9.+~_-]{0,63}")
_ZEROS = bytes(32)


class Place(NamedTuple):
    """Where on the chain: the log's number in its block, hashes of 32 bytes; ``time`` is the block's, 0 when
    the node does not tell it with the log.
    """

    block: int
    block_hash: bytes
    position: int
    transaction: bytes
    time: int = 0


class Released(NamedTuple):
    """A release was recorded. Addresses are 20 bytes, digests 32."""

    place: Place
    publisher: bytes
    package: str
    version: str
    sequence: int
    manifest: bytes
    by: bytes
    latest: bool


class LatestChanged(NamedTuple):
    """Another release became the one that readers get who name no version."""

    place: Place
    publisher: bytes
    package: str
    version: str
    sequence: int


class Revoked(NamedTuple):
    """A release was revoked; ``text`` is the publisher's, cut at :data:`TEXT_LIMIT`."""

    place: Place
    publisher: bytes
    package: str
    version: str
    sequence: int
    reason: int
    text: str


class Endorsed(NamedTuple):
    """Somebody endorsed a manifest, or took that back (``kind`` 0)."""

    place: Place
    endorser: bytes
    manifest: bytes
    kind: int


class DelegateSet(NamedTuple):
    """An account got or lost the right to publish; ``package`` is empty for all of them."""

    place: Place
    publisher: bytes
    delegate: bytes
    package: str


Event = Released | LatestChanged | Revoked | Endorsed | DelegateSet


def _topic(signature: str) -> bytes:
    return keccak256(signature.encode())


RELEASED = _topic("Released(address,bytes32,bytes32,string,string,bytes32,uint256,address,bool)")
LATEST_CHANGED = _topic("LatestChanged(address,bytes32,string,string,uint256)")
REVOKED = _topic("Revoked(address,bytes32,string,string,uint256,uint8,string)")
ENDORSED = _topic("Endorsed(address,bytes32,uint8)")
WITHDRAWN = _topic("EndorsementWithdrawn(address,bytes32)")
DELEGATE_SET = _topic("DelegateSet(address,address,string,uint256,uint40)")

TOPICS = (RELEASED, LATEST_CHANGED, REVOKED, ENDORSED, WITHDRAWN)
"""Topic 0 of every event of releases; the others are about who may publish."""


def decode_event(topics: list[bytes], data: bytes, place: Place) -> Event:
    """The event of a log; topics are of 32 bytes each. Raises FormatError."""
    kind = topics[0] if topics else b""
    if kind == RELEASED and len(topics) == 4:
        return _released(topics, data, place)
    if kind in {ENDORSED, WITHDRAWN} and len(topics) == 3:
        return _endorsed(topics, data, place)
    if kind == LATEST_CHANGED and len(topics) == 3:
        publisher, package, version, sequence, end = _named(topics, data, 3, 2)
        _check_end(data, end)
        return LatestChanged(place, publisher, package, version, sequence)
    if kind == REVOKED and len(topics) == 3:
        publisher, package, version, sequence, end = _named(topics, data, 5, 2)
        reason = _number(data[96:128], 1 << 8)
        raw, end = _string(data, 4, end)
        _check_end(data, end)
        text = raw.decode("utf-8", "replace")[:TEXT_LIMIT]
        return Revoked(place, publisher, package, version, sequence, reason, text)
    if kind == DELEGATE_SET and len(topics) == 3:
        scope, end = _string(data, 0, 96)
        if scope and not _PACKAGE.fullmatch(scope):
            raise FormatError(f"a name that no package has: {scope[:80]!r}")
        _check_end(data, end)
        return DelegateSet(place, _address(topics[1]), _address(topics[2]), scope.decode("ascii"))
    raise FormatError("a log of no event of the registry")


def _released(topics: list[bytes], data: bytes, place: Place) -> Released:
    publisher, package, version, sequence, end = _named(topics, data, 6, 3)
    _check_end(data, end)
    return Released(
        place, publisher, package, version, sequence, data[64:96], _address(data[128:160]),
        _number(data[160:192], 2) == 1,
    )  # fmt: skip


def _endorsed(topics: list[bytes], data: bytes, place: Place) -> Endorsed:
    kind = 0
    if topics[0] == ENDORSED:
        kind = _number(data[:32], 1 << 8)
        if kind not in ENDORSEMENT_KINDS or len(data) != 32:
            raise FormatError("an endorsement of no kind")
    elif data:
        raise FormatError("data in an event that has none")
    return Endorsed(place, _address(topics[1]), topics[2], kind)


def _named(
    topics: list[bytes], data: bytes, words: int, sequence_at: int
) -> tuple[bytes, str, str, int, int]:
    """(publisher, package, version, sequence, where what follows them begins) of data whose head has so
    many words, the first two of them for package and version.
    """
    publisher = _address(topics[1])
    raw_package, end = _string(data, 0, 32 * words)
    raw_version, end = _string(data, 1, end)
    if not _PACKAGE.fullmatch(raw_package) or not _VERSION.fullmatch(raw_version):
        raise FormatError(f"names that no release has: {raw_package[:80]!r}, {raw_version[:80]!r}")
    package = raw_package.decode("ascii")
    if _package_key(publisher, package) != topics[2]:
        raise FormatError(f"an event of {package} under the key of another package")
    at = 32 * sequence_at
    sequence = _number(data[at : at + 32], _SEQUENCE_LIMIT)
    if sequence == 0:
        raise FormatError(f"a release of {package} with the sequence 0")
    return publisher, package, raw_version.decode("ascii"), sequence, end


@lru_cache(maxsize=4096)
def _package_key(publisher: bytes, package: str) -> bytes:
    return package_key("0x" + publisher.hex(), package)


def _string(data: bytes, word: int, at: int) -> tuple[bytes, int]:
    """The string whose offset stands in this word of the head; it must begin at ``at`` -> its bytes, and
    where the next one begins.
    """
    length = _number(data[at : at + 32], len(data) + 1)
    begin = at + 32
    end = begin + length
    after = end + -length % 32
    if _number(data[32 * word : 32 * word + 32], len(data)) != at or after > len(data):
        raise FormatError("a string that does not stand where the registry puts it")
    if data[end:after] != _ZEROS[: after - end]:
        raise FormatError("a string that is not filled up with zeros")
    return data[begin:end], after


def _number(word: bytes, limit: int) -> int:
    """The number of a whole word; FormatError unless it is below the limit."""
    if len(word) != 32:
        raise FormatError("data that ends within a word")
    value = int.from_bytes(word, "big")
    if value >= limit:
        raise FormatError("a number that is too large for what it says")
    return value


def _address(word: bytes) -> bytes:
    if len(word) != 32 or word[:12] != _ZEROS[:12]:
        raise FormatError("a word that is no address")
    return word[12:]


def _check_end(data: bytes, end: int) -> None:
    if len(data) != end:
        raise FormatError("more data than the event has")
