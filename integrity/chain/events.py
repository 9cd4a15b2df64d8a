"""The logs of a range of blocks, in portions that a node is willing to give.

Each node has its own limit, by blocks, by logs, by bytes or by time, and its own words for it. So a range
that it does not give is asked for again, halved, down to one block; and the next range is as wide as the last
ones say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from integrity.chain.rpc import JsonRpc, RpcError
from integrity.core.events import Event, Place, decode_event
from integrity.errors import FormatError, RpcAnswerInvalid, RpcUnavailable
from integrity.ports import EventStep

_FIRST = 16
"""Blocks of the first range: few enough for the busiest chain; twenty doublings are any chain's length."""

_FEW, _ENOUGH = 2_000, 8_000
"""Logs of an answer: below the one the next range is wider, above the other narrower. Each is a KiB."""

_PATIENCE = 3
"""Ranges that may fail one after another without the node saying a word about them."""

_AGAIN = 16
"""Ranges given without a fault, after which the node's limit is tried once more."""

_POSITIONS = 1 << 32
"""Logs of a block: more than any has, and what a database holds."""


class Ranges:
    """How wide the next range is to be, by what became of those before."""

    def __init__(self) -> None:
        self._width = _FIRST
        self._limit: int | None = None
        self._given = 0

    def end(self, first: int, last: int) -> int:
        """The last block of the next range."""
        return min(last, first + self._width - 1)

    def given(self, width: int, logs: int) -> None:
        """A range of so many blocks was given, with so many logs."""
        self._given += 1
        if self._given % _AGAIN == 0:
            self._limit = None
        if logs > _ENOUGH:
            self._width = max(1, width * _ENOUGH // logs)
        elif logs < _FEW and width >= self._width:
            self._width = 2 * width if self._limit is None else min(2 * width, self._limit)

    def refused(self, width: int) -> None:
        """A range of so many blocks was not; halve it."""
        self._given = 0
        self._width = self._limit = max(1, width // 2)


class EventLogs:
    """The registry's events as one node gives them."""

    def __init__(self, rpc: JsonRpc) -> None:
        self._rpc = rpc

    def steps(
        self, address: str, topics: list[Any], first: int, last: int, before: Callable[[int], bytes]
    ) -> Iterator[EventStep]:
        """Those with these topics, of one range of blocks after the other. ``before`` gives a block's
        hash, and is asked before the logs up to that block are. Raises RpcUnavailable.
        """
        ranges = Ranges()
        while first <= last:
            end, known, logs = self._range(ranges, address, topics, first, last, before)
            asked = frozenset([topics[0]] if isinstance(topics[0], str) else topics[0])
            events = _decoded(self._rpc.name, address, asked, logs, first, end, known)
            yield EventStep(end, known, events)
            first = end + 1

    def _range(
        self,
        ranges: Ranges,
        address: str,
        topics: list[Any],
        first: int,
        last: int,
        before: Callable[[int], bytes],
    ) -> tuple[int, bytes, list[Any]]:
        """(its last block, that block's hash, the logs) of the widest range that the node gives."""
        silent = 0
        while True:
            end = ranges.end(first, last)
            known = before(end)
            query = {
                "address": address, "topics": topics, "fromBlock": hex(first), "toBlock": hex(end),
            }  # fmt: skip
            try:
                logs = self._rpc.call("eth_getLogs", query)
            except RpcUnavailable as error:
                silent += not isinstance(error, RpcError)
                if end == first or silent == _PATIENCE:
                    raise
                ranges.refused(end - first + 1)
                continue
            if not isinstance(logs, list):
                raise RpcAnswerInvalid(f"{self._rpc.name} answered eth_getLogs with no list")
            ranges.given(end - first + 1, len(logs))
            return end, known, logs


def _decoded(
    name: str,
    address: str,
    asked: frozenset[str],
    logs: list[Any],
    first: int,
    last: int,
    known: bytes,
) -> list[Event]:
    """The events of an answer, which must be of these blocks and in their order, and of the kinds that were
    ``asked`` for. Raises RpcAnswerInvalid.
    """
    events: list[Event] = []
    here, block, told, block_hash, position = address.lower(), first, "", b"", -1
    try:
        for log in logs:
            number, index = int(log["blockNumber"], 16), int(log["logIndex"], 16)
            if (
                log["address"].lower() != here
                or log.get("removed")
                or log["topics"][0].lower() not in asked
            ):
                raise FormatError("a log that was not asked for")
            if number != block or not told:
                if not block <= number <= last:
                    raise FormatError("a log out of its order, or of another block")
                block, told, position = number, log["blockHash"], -1
                block_hash = _bytes(told, 32)
                if number == last and known and block_hash != known:
                    raise FormatError("a log of another block than the chain's")
            if not position < index < _POSITIONS or log["blockHash"] != told:
                raise FormatError("a log out of its order, or of another block")
            position = index
            time = int(log.get("blockTimestamp") or "0x0", 16)
            place = Place(number, block_hash, index, _bytes(log["transactionHash"], 32), time)
            topics = [_bytes(topic, 32) for topic in log["topics"]]
            events.append(decode_event(topics, _bytes(log["data"]), place))
    except (FormatError, LookupError, TypeError, ValueError, AttributeError) as error:
        why = f": {error.message}" if isinstance(error, FormatError) else ""
        raise RpcAnswerInvalid(f"{name} sent a log that does not decode{why}") from error
    return events


def _bytes(text: str, size: int | None = None) -> bytes:
    """Raises ValueError or TypeError unless it is hex with 0x, of so many bytes."""
    raw = bytes.fromhex(text[2:])
    if text[:2] != "0x" or len(raw) * 2 != len(text) - 2 or size not in {None, len(raw)}:
        raise ValueError(text[:80])
    return raw
