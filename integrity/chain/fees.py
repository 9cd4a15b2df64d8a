"""What is bid for a place in a block, and how a bid is raised (EIP-1559, and chains before it)."""

from __future__ import annotations

from dataclasses import dataclass

from integrity.core.transactions import SignedTransaction
from integrity.errors import TransactionRefused

_RAISE = 9, 8
"""By 12.5 %: nodes refuse a transaction in the place of another one below 10 %, some below 12.5 %."""

GWEI = 10**9

PRICE_LIMIT = 10_000 * GWEI
"""Without a limit of one's own no more than this is bid for a unit of gas, in wei, and no gas price or base
fee above it is believed: Ethereum's base fee has been some thousands of gwei, and chains whose coin is
cheap ask as much.
"""

TIP_LIMIT = 1_000 * GWEI
"""The same for a tip, of which all is paid: geth by itself recommends 500 gwei at most, and the tips of
chains whose coin is cheap have been 700.
"""

TIP_ALWAYS_BELIEVED = 100 * GWEI
"""Whatever the base fee; above it a tip is believed up to ten times the base fee."""


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
    """The bid of a new transaction, below ``limit``. Raises TransactionRefused when the chain asks more, and
    without a limit when what the node says of the market is not believed.
    """
    if limit is None:
        doubt = _doubt(market)
        if doubt is not None:
            raise doubt
        limit = PRICE_LIMIT
    asked = market.price if market.base_fee is None else market.base_fee
    if asked > limit:
        raise TransactionRefused(
            f"the chain asks {shown(asked)} for each unit of gas, and your limit is {shown(limit)}",
            next="Wait until it asks less, or raise max_fee (--max-fee, or config.toml).",
            evidence={"asked": asked, "max_fee": limit},
        )
    if market.base_fee is None:
        return Fees(market.price)
    cap = min(2 * market.base_fee + market.price, limit)
    return Fees(cap, min(market.price, cap))


def _doubt(market: Market) -> TransactionRefused | None:
    """Why what a node says of the market is not believed without a limit of one's own, if it is not. A gas
    price and a tip are paid whole, and its word is all that they rest on; by its base fee a tip is judged.
    """
    base_fee, price = market.base_fee, market.price
    if base_fee is None and price > PRICE_LIMIT:
        said, evidence = f"a gas price of {shown(price)}", {"gas_price": price}
    elif base_fee is not None and base_fee > PRICE_LIMIT:
        said, evidence = f"a base fee of {shown(base_fee)}", {"base_fee": base_fee}
    elif base_fee is not None and price > _believed_tip(base_fee):
        said = f"a tip of {shown(price)} beside a base fee of {shown(base_fee)}"
        evidence = {"tip": price, "base_fee": base_fee}
    else:
        return None
    return TransactionRefused(
        f"for each unit of gas the node names {said}, which is more than is paid on its word alone",
        next="Ask another node with --rpc; or say with --max-fee (or max_fee in config.toml) what you will "
        "pay.",
        evidence=evidence,
    )


def _believed_tip(base_fee: int) -> int:
    return min(max(TIP_ALWAYS_BELIEVED, 10 * base_fee), TIP_LIMIT)


def expected(fees: Fees, market: Market) -> int:
    """What a unit of gas will cost about, in wei, bid so."""
    if fees.tip is None or market.base_fee is None:
        return fees.cap
    return min(fees.cap, market.base_fee + fees.tip)


def raised_bid(old: Fees, market: Market, limit: int | None) -> Fees | None:
    """A bid that nodes take in the place of ``old``, and that the chain takes now; None when there is none
    below ``limit``, or without one below what is ever bid then, and when the node is not believed.
    """
    if old.tip is not None and market.base_fee is None:
        market = Market(0, market.price)  # the price would be paid as a tip
    if limit is None and _doubt(market) is not None:
        return None
    most = PRICE_LIMIT if limit is None else limit
    cap, base_fee = _more(old.cap), market.base_fee or 0
    if old.tip is None:
        # On a chain that has got a base fee since, the price is a cap and a tip at once.
        new = Fees(min(max(cap, 2 * base_fee + market.price), most))
        return new if new.cap >= max(cap, base_fee) else None
    tip = max(_more(old.tip), market.price)
    new = Fees(min(max(cap, 2 * base_fee + tip), most))
    if new.cap < max(cap, base_fee):
        return None
    tip = min(tip, new.cap, TIP_LIMIT if limit is None else limit)
    return Fees(new.cap, tip) if tip >= _more(old.tip) else None


def shown(wei: int) -> str:
    """A price for people."""
    whole, part = divmod(wei, GWEI)
    return f"{whole}.{part:09}".rstrip("0").rstrip(".") + " gwei"


def _more(value: int) -> int:
    return max(-(-value * _RAISE[0] // _RAISE[1]), value + 1)
