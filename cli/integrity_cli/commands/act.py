"""What a publisher does besides publishing: ``revoke``, ``latest``, ``endorse``, ``delegate``,
``controller``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from integrity_cli import output
from integrity_cli.options import (
    Chain,
    Json,
    Key,
    LinkText,
    MaxFee,
    Publisher,
    Rpc,
    Wait,
    known,
    session,
)
from integrity_cli.progress import note
from integrity_cli.values import as_of, block_value, cost, transaction_value

if TYPE_CHECKING:
    from integrity.client.session import Session
    from integrity.core.links import Link
    from integrity.publishing.acting import Acted, Actor

delegates = typer.Typer(
    help="Let other accounts publish in your name.", no_args_is_help=True, rich_markup_mode=None
)
controllers = typer.Typer(
    help="Hand a publisher over to another account.", no_args_is_help=True, rich_markup_mode=None
)

Publishers = Annotated[
    str | None,
    typer.Option(
        "--publisher",
        metavar="0x…",
        help="In whose name, if not the key's own [default: the key's].",
    ),
]
Package = Annotated[
    str, typer.Option("--package", metavar="NAME", help="This package alone [default: all].")
]


class Reason(StrEnum):
    """Why a release is revoked (spec v1, section 4.3)."""

    UNSPECIFIED = "unspecified"
    COMPROMISED = "compromised"
    DEFECTIVE = "defective"
    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"


class Kind(StrEnum):
    """What an endorser did with a release."""

    REBUILT = "rebuilt"
    AUDITED = "audited"
    SCANNED = "scanned"


@dataclass(frozen=True, slots=True)
class _Acting:
    """How a command acts: the options that all of them have."""

    given: Session
    key: str | None
    wait: bool
    as_json: bool

    def on(self, link: Link) -> Actor:
        """On the chain of a link."""
        return self._actor(link.chain_id)

    def here(self) -> Actor:
        """On the chain that was chosen."""
        return self._actor(self.given.chosen_chain())

    def _actor(self, chain_id: int) -> Actor:
        from integrity.publishing.acting import Actor

        return Actor(self.given, chain_id, self.key, self.wait, note)

    def tell(
        self,
        done: Acted,
        what: str,
        more: Mapping[str, Any] = MappingProxyType({}),
        *,
        already: str = "it stood so already; nothing was sent",
    ) -> None:
        """Say what was done, in the form that was asked for."""
        if self.as_json:
            fields = {"chain_id": done.chain_id, "by": done.by, "already": done.already}
            output.emit(fields | transaction_value(done) | dict(more))
            return
        output.say(what)
        if done.already:
            output.say(f"  {already}")
        elif done.transaction is not None and done.block is not None:
            state = "final" if done.final else "not final yet"
            output.say(
                f"  in block {done.block.number} ({state}), transaction 0x{done.transaction.hex()}",
                f"  fee {cost(done)}",
            )


def revoke(
    link: LinkText,
    *,
    reason: Annotated[Reason, typer.Option(help="Why.")],
    text: Annotated[
        str, typer.Option(help="More for people, 1,024 bytes at the most; it goes into the event.")
    ] = "",
    key: Key = None,
    rpc: Rpc = [],
    max_fee: MaxFee = None,
    wait: Wait = True,
    as_json: Json = False,
) -> None:
    """Revoke a release, for good.

    From then on it verifies for nobody.
    """
    from integrity.core.registry import REVOCATION_REASONS

    acting = _Acting(session(rpc=rpc, max_fee=max_fee), key, wait, as_json)
    parsed = acting.given.link(link)
    code = next(code for code, name in REVOCATION_REASONS.items() if name == reason.value)
    done = acting.on(parsed).revoke(parsed, code, text)
    acting.tell(done, f"revoked  {parsed} ({reason.value})")


def latest(
    link: LinkText,
    *,
    key: Key = None,
    rpc: Rpc = [],
    max_fee: MaxFee = None,
    wait: Wait = True,
    as_json: Json = False,
) -> None:
    """Choose what readers get who name no version."""
    acting = _Acting(session(rpc=rpc, max_fee=max_fee), key, wait, as_json)
    parsed = acting.given.link(link)
    acting.tell(acting.on(parsed).set_latest(parsed), f"latest   {parsed}")


def endorse(
    link: LinkText,
    *,
    kind: Annotated[Kind | None, typer.Option(help="What you did with it.")] = None,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take it back.")] = False,
    key: Key = None,
    publisher: Publisher = None,
    rpc: Rpc = [],
    max_fee: MaxFee = None,
    wait: Wait = True,
    as_json: Json = False,
) -> None:
    """Say in public that you rebuilt, audited or scanned it."""
    from integrity.core.registry import ENDORSEMENT_KINDS
    from integrity.errors import UsageError

    if (kind is None) != withdraw:
        raise UsageError("an endorsement has a --kind, or is taken back with --withdraw")
    given = session(rpc=rpc, publisher=publisher, max_fee=max_fee)
    parsed = given.link(link)
    _ = parsed.named_version  # what is said in public is of one release: else UsageError
    acting = _Acting(known(given, parsed), key, wait, as_json)
    code = next(
        (code for code, name in ENDORSEMENT_KINDS.items() if kind and name == kind.value), None
    )
    done = acting.on(parsed).endorse(parsed, code)
    if kind is None and done.already and done.transaction is None:
        acting.tell(done, f"not endorsed by {done.by}: {parsed}", already="nothing was sent")
        return
    what = "withdrawn" if kind is None else kind.value
    acting.tell(done, f"endorsed {parsed} ({what}) as {done.by}")


@delegates.command("add")
def add(
    delegate: Annotated[str, typer.Argument(metavar="ADDRESS", help="Who may publish.")],
    *,
    days: Annotated[float, typer.Option(min=0.001, max=36500, help="For how long.")],
    package: Package = "",
    publisher: Publishers = None,
    key: Key = None,
    chain: Chain = None,
    rpc: Rpc = [],
    max_fee: MaxFee = None,
    wait: Wait = True,
    as_json: Json = False,
) -> None:
    """Let an account publish, and nothing else, for some time."""
    from integrity.core.names import check_package, parse_address

    expiry = int((dt.datetime.now(dt.UTC) + dt.timedelta(days=days)).timestamp())
    acting = _Acting(session(rpc=rpc, chain=chain, max_fee=max_fee), key, wait, as_json)
    actor = acting.here()
    who, address = parse_address(publisher or actor.address), parse_address(delegate)
    done = actor.set_delegate(who, check_package(package) if package else "", address, expiry)
    right = f"{_packages([package])} of {who}"
    acting.tell(done, f"{address} may publish {right} until {output.moment(expiry)}")


@delegates.command("remove")
def remove(
    delegate: Annotated[str, typer.Argument(metavar="ADDRESS", help="Who may publish no longer.")],
    *,
    package: Annotated[
        str | None,
        typer.Option(
            "--package",
            metavar="NAME",
            help="This right alone; '' is the one for any package [default: all it has].",
        ),
    ] = None,
    publisher: Publishers = None,
    key: Key = None,
    chain: Chain = None,
    rpc: Rpc = [],
    max_fee: MaxFee = None,
    wait: Wait = True,
    as_json: Json = False,
) -> None:
    """Take its rights away, now."""
    from integrity.core.names import check_package, parse_address

    acting = _Acting(session(rpc=rpc, chain=chain, max_fee=max_fee), key, wait, as_json)
    actor = acting.here()
    who, address = parse_address(publisher or actor.address), parse_address(delegate)
    if package:
        check_package(package)
    had = actor.rights(who, address, package)
    done = actor.remove_delegate(who, address, package)
    left = had if done.already else actor.rights(who, address, package)
    removed = [one for one in had if one not in left]
    told = f"{address} had no such right of {who}"
    if removed:
        told = f"{address} has no right for {_packages(removed)} of {who} any more"
    if package is None:
        output.note(
            "note: rights for single packages are found by the registry's events, and a node can leave some "
            "out; those that you know of can be named with --package"
        )
    if left:
        output.note(
            f"warning: {address} may publish {package or 'for ' + who} still: it has the right for "
            f"{_packages(left)}"
            + ("; without --package all its rights are taken away" if package else "")
        )
    acting.tell(done, told, {"removed": removed, "left": left})


@delegates.command("list")
def list_delegates(
    publisher: Annotated[
        str | None,
        typer.Argument(metavar="[PUBLISHER]", help="Whose [default: your key's address]."),
    ] = None,
    *,
    key: Key = None,
    chain: Chain = None,
    rpc: Rpc = [],
    as_json: Json = False,
) -> None:
    """List who may publish in a publisher's name, for what, and until when.

    Each right is proven; that none was left out is the node's word.
    """
    from integrity.client.delegating import delegates as find
    from integrity.core.names import parse_address

    given = session(rpc=rpc, chain=chain)
    who = parse_address(publisher) if publisher else given.key(key).address
    chain_id = given.chosen_chain()
    found = find(given, chain_id, who)
    if as_json:
        output.emit({
            "chain_id": chain_id,
            "publisher": found.publisher,
            "controller": found.controller.address,
            "epoch": found.controller.epoch,
            "offered": found.offered,
            "delegates": [
                {
                    "address": one.address,
                    "package": one.package or None,
                    "expiry": one.expiry,
                    "active": one.is_active,
                }
                for one in found.delegates
            ],
            "block": block_value(found.block),
            "basis": found.basis,
        })  # fmt: skip
        return
    output.say(f"{found.publisher}, controlled by {found.controller.address}")
    if found.offered is not None:
        output.say(f"  OFFERED to {found.offered}, who acts for it from when they accept")
    for one in found.delegates:
        until = "until" if one.is_active else "EXPIRED"
        output.say(
            f"  {one.address}  {one.package or 'any package'}  {until} {output.moment(one.expiry)}"
        )
    if not found.delegates:
        output.note("no delegates")
    output.say(f"as of {as_of(found.block, chain_id, found.basis, found.finality)}")


def _packages(names: list[str]) -> str:
    return ", ".join(name or "any package" for name in names)


@controllers.command("offer")
def offer(
    to: Annotated[str, typer.Argument(metavar="ADDRESS", help="Who is to act from then on.")],
    *,
    publisher: Publishers = None,
    key: Key = None,
    chain: Chain = None,
    rpc: Rpc = [],
    max_fee: MaxFee = None,
    wait: Wait = True,
    as_json: Json = False,
) -> None:
    """Offer a publisher to another account.

    Nothing changes until that account accepts. To the address 0x0000000000000000000000000000000000000000 it
    takes an earlier offer back.
    """
    from integrity.core.names import ZERO_ADDRESS, parse_address

    acting = _Acting(session(rpc=rpc, chain=chain, max_fee=max_fee), key, wait, as_json)
    actor = acting.here()
    who, address = parse_address(publisher or actor.address), parse_address(to)
    done = actor.offer_control(who, address)
    told = f"{who} is offered to {address}, who has to accept"
    acting.tell(done, told if address != ZERO_ADDRESS else f"{who} is offered to nobody any more")


@controllers.command("accept")
def accept(
    publisher: Annotated[str, typer.Argument(metavar="PUBLISHER", help="Whom to act for.")],
    *,
    key: Key = None,
    chain: Chain = None,
    rpc: Rpc = [],
    max_fee: MaxFee = None,
    wait: Wait = True,
    as_json: Json = False,
) -> None:
    """Take over a publisher that was offered to your key.

    All its delegates lose their rights.
    """
    from integrity.core.names import parse_address

    acting = _Acting(session(rpc=rpc, chain=chain, max_fee=max_fee), key, wait, as_json)
    who = parse_address(publisher)
    done = acting.here().accept_control(who)
    acting.tell(done, f"{done.by} acts for {who} now")
