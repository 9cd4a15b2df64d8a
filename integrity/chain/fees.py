"""What is bid for a place in a block, and how a bid is raised (EIP-1559, and chains before it)."""

from __future__ import annotations

from dataclasses import dataclass

from integrity.core.transactions import SignedTransaction
from integrity.errors import TransactionRefused

_RAISE = 9, 8
"""By 12.5 %: nodes refuse a transaction in the place of another one below 10 %, some below 12.5 %."""

GWEI = 10**9

TIP_LIMIT = 100 * GWEI
"""The tip, in wei for each unit of gas, up to which a node is believed without a limit of one's own."""


@dataclass(frozen=True, slots=True)
class Market:
    """What a chain asks now, in wei for each unit of gas: ``base_fee`` is None on a chain without one,
    and then ``price`` is its gas price, else the tip that is usual.
    """

    base_fee: int | None
    price: int


@dataclass(frozen=True, slots=True)
class Fees:
    """A bid, in wei for each unit of gas: ``cap`` is the most that is paid, ``tip`` what of it goes to
    whoever makes the block, None on a chain without a base fee.
    """

    cap: int
    tip: int | None = None

    @property
    def fields(self) -> dict[str, int]:
        """As a transaction has them."""
        if self.tip is None:
            return {"gasPrice": self.cap}
        return {"maxPriorityFeePerGas": self.tip, "maxFeePerGas": self.cap}


def fees_of(transaction: SignedTransaction) -> Fees:
    """What a transaction bids."""
    return Fees(transaction.cap, transaction.tip)


def first_bid(market: Market, limit: int | None) -> Fees:
    """The bid of a new transaction, below ``limit``. Raises TransactionRefused when the chain asks more."""
    asked = market.price if market.base_fee is None else market.base_fee
    if limit is not None and asked > limit:
        raise TransactionRefused(
            f"the chain asks {shown(asked)} for each unit of gas, and your limit is {shown(limit)}",
            next="Wait until it asks less, or raise max_fee (--max-fee, or config.toml).",
            evidence={"asked": asked, "max_fee": limit},
        )
    if market.base_fee is None:
        return Fees(market.price)
    if limit is None and market.price > max(TIP_LIMIT, 10 * market.base_fee):
        # All of a tip is paid, and a node's word is all that it rests on.
        raise TransactionRefused(
            f"the node calls a tip of {shown(market.price)} for each unit of gas usual, where the chain "
            f"itself asks {shown(market.base_fee)}",
            next="Ask another node with --rpc; or say with --max-fee what you will pay.",
            evidence={"tip": market.price, "base_fee": market.base_fee},
        )
    cap = _limited(2 * market.base_fee + market.price, limit)
    return Fees(cap, min(market.price, cap))


def expected(fees: Fees, market: Market) -> int:
    """What a unit of gas will cost about, in wei, bid so."""
    if fees.tip is None or market.base_fee is None:
        return fees.cap
    return min(fees.cap, market.base_fee + fees.tip)


def raised_bid(old: Fees, market: Market, limit: int | None) -> Fees | None:
    """A bid that nodes take in the place of ``old``, and that the chain takes now; None when there is none
    below ``limit``.
    """
    cap = _more(old.cap)
    if old.tip is None:
        # On a chain that has got a base fee since, the price is a cap and a tip at once.
        asked = market.price if market.base_fee is None else 2 * market.base_fee + market.price
        new = Fees(_limited(max(cap, asked), limit))
        return new if new.cap >= max(cap, market.base_fee or 0) else None
    base_fee = market.base_fee or 0
    tip = max(_more(old.tip), market.price)
    new = Fees(_limited(max(cap, 2 * base_fee + tip), limit), tip)
    if new.cap < max(cap, base_fee):
        return None
    tip = min(tip, new.cap)
    return Fees(new.cap, tip) if tip >= _more(old.tip) else None


def shown(wei: int) -> str:
    """A price for people."""
    whole, part = divmod(wei, GWEI)
    return f"{whole}.{part:09}".rstrip("0").rstrip(".") + " gwei"


def _more(value: int) -> int:
    return max(-(-value * _RAISE[0] // _RAISE[1]), value + 1)


def _limited(value: int, limit: int | None) -> int:
    return value if limit is None else min(value, limit)
