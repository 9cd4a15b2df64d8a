"""Who may publish in a publisher's name."""

from __future__ import annotations

from dataclasses import dataclass

from integrity.client.session import Session
from integrity.core.links import Link
from integrity.core.names import ZERO_ADDRESS, checksum_address
from integrity.core.registry import (
    ALL_PACKAGES,
    Block,
    Controller,
    decode_controller,
    decode_expiry,
    delegate_slot,
    pending_slot,
    publisher_slot,
)
from integrity.verifier.state import basis


@dataclass(frozen=True, slots=True)
class Delegate:
    """An account that may publish one package, or any for :data:`ALL_PACKAGES`, until ``expiry`` (Unix
    seconds: the first in which the right is gone). ``is_active`` says that this is still to come.
    """

    address: str
    package: str
    expiry: int
    is_active: bool


@dataclass(frozen=True, slots=True)
class Delegates:
    """A publisher's controller and delegates at one block; ``basis`` says who vouches for that. What is
    there is proven; whoever hides an event hides a delegate. ``offered`` is the account to which the
    publisher is offered, and which may accept.
    """

    publisher: str
    controller: Controller
    delegates: tuple[Delegate, ...]
    block: Block
    basis: str
    finality: str
    offered: str | None = None


def delegates(session: Session, chain_id: int, publisher: str) -> Delegates:
    """Those whose rights were not taken away, nor ended with an earlier controller. Raises what
    :meth:`Session.view` and reading raise.
    """
    view = session.view(Link(chain_id, publisher, "all"))
    word, pending = view.words([publisher_slot(publisher), pending_slot(publisher)])
    controller, offered = decode_controller(word, publisher), checksum_address(pending[12:])
    first = session.config.first_block.get(chain_id, 0)
    told = sorted(
        view.delegates(publisher, first), key=lambda one: (one[1] != ALL_PACKAGES, one[1], one[0])
    )
    slots = [delegate_slot(publisher, controller.epoch, package, who) for who, package in told]
    expiries = map(decode_expiry, view.words(slots) if slots else [])
    found = tuple(
        Delegate(who, package, expiry, expiry > view.block.timestamp)
        for (who, package), expiry in zip(told, expiries, strict=True)
        if expiry
    )
    how = basis(view.vouched, proven=view.is_proven)
    return Delegates(
        publisher, controller, found, view.block, how, view.vouched.finality,
        None if offered == ZERO_ADDRESS else offered,
    )  # fmt: skip
