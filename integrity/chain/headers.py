"""A block header's RLP out of the fields that a node answers with.

``eth_getBlockByNumber`` gives a header taken apart, so it is put together again, and is believed no
more than its hash. Order and names of the fields are those of the Yellow Paper (section 4.4) and of
the EIPs that added some: 1559, 4895, 4844, 4788, 7685, 7928.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from integrity.core import rlp
from integrity.core.names import keccak256

_FIELDS = (
    "parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom",
    "difficulty", "number", "gasLimit", "gasUsed", "timestamp", "extraData", "mixHash", "nonce",
)  # fmt: skip
_LATER = (
    "baseFeePerGas", "withdrawalsRoot", "blobGasUsed", "excessBlobGas", "parentBeaconBlockRoot",
    "requestsHash", "blockAccessListHash", "slotNumber",
)  # fmt: skip
_NUMBERS = frozenset((
    "difficulty", "number", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas", "blobGasUsed",
    "excessBlobGas", "slotNumber",
))  # fmt: skip


def header_rlp(
    block: Mapping[str, Any], quantity: Callable[[object], int], data: Callable[[object], bytes]
) -> bytes | None:
    """The RLP whose Keccak-256 is the block's ``hash``; None when no way of putting the fields together
    has it. ``quantity`` and ``data`` read a number and bytes, or raise.
    """
    present = [name for name in _FIELDS if name in block]
    if len(present) < len(_FIELDS):
        return None
    items: list[rlp.Item] = [_item(block, name, quantity, data) for name in _FIELDS]
    wanted = data(block.get("hash"))
    raw = rlp.encode(items)
    for name in _LATER:
        if keccak256(raw) == wanted:
            return raw
        if block.get(name) is not None:
            items.append(_item(block, name, quantity, data))
            raw = rlp.encode(items)
    return raw if keccak256(raw) == wanted else None


def _item(
    block: Mapping[str, Any],
    name: str,
    quantity: Callable[[object], int],
    data: Callable[[object], bytes],
) -> bytes:
    value = block[name]
    return rlp.encode_integer(quantity(value)) if name in _NUMBERS else data(value)
