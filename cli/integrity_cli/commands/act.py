"""What a publisher does besides publishing: ``revoke``, ``latest``, ``endorse``, ``delegate``,
``controller``.
"""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from integrity_cli import output
from integrity_cli.options import Chain, Json, Key, LinkText, Publisher, Rpc, known, session
from integrity_cli.values import block_value

if TYPE_CHECKING:
    from integrity.client.session import Session
    from integrity.publishing.acting import Acted, Actor

delegates = typer.Typer(
    help="Let other accounts publish in your name.", no_args_is_help=True, rich_markup_mode=None
)
controllers = typer.Typer(
    help="Hand a publisher over to another account.", no_args_is_help=True, rich_markup_mode=None
)

Wait = Annotated[bool, typer.Option(help="Return once it is final.")]
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


def revoke(
    link: LinkText,
    *,
    reason: Annotated[Reason, typer.Option(help="Why.")],
    text: Annotated[str, typer.Option(help="More for people; it goes into the event.")] = "",
    key: Key = None,
    rpc: Rpc = [],
    wait: Wait = True,
    as_json: Json = False,
) -> None:
    """Revoke a release, for good.

    From then on it verifies for nobody.
    """
    from integrity.core.registry import REVOCATION_REASONS

    given = session(rpc=rpc)
    parsed = given.link(link)
    code = next(code for code, name in REVOCATION_REASONS.items() if name == reason.value)
    done = _actor(given, parsed.chain_id, key, wait=wait).revoke(parsed, code, text)
    _tell(done, f"revoked  {parsed} ({reason.value})", as_json=as_json)


def latest(
    link: LinkText,
    *,
    key: Key = None,
    rpc: Rpc = [],
    wait: Wait = True,
    as_json: Json = False,
) -> None:
    """Make a release the one that readers get who name no version."""
    given = session(rpc=rpc)
    parsed = given.link(link)
    done = _actor(given, parsed.chain_id, key, wait=wait).set_latest(parsed)
    _tell(done, f"latest   {parsed}", as_json=as_json)


def endorse(
    link: LinkText,
    *,
    kind: Annotated[Kind | None, typer.Option(help="What you did with it.")] = None,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take it back.")] = False,
    key: Key = None,
    publisher: Publisher = None,
    rpc: Rpc = [],
    wait: Wait = True,
    as_json: Json = False,
) -> None:
    """Say in public that you rebuilt, audited or scanned a release."""
    from integrity.core.registry import ENDORSEMENT_KINDS
    from integrity.errors import UsageError

    if (kind is None) != withdraw:
        raise UsageError("an endorsement has a --kind, or is taken back with --withdraw")
    given = session(rpc=rpc, publisher=publisher)
    parsed = given.link(link)
    given = known(given, parsed)
    code = next(
        (code for code, name in ENDORSEMENT_KINDS.items() if kind and name == kind.value), None
    )
    done = _actor(given, parsed.chain_id, key, wait=wait).endorse(parsed, code)
    what = "withdrawn" if kind is None else kind.value
    _tell(done, f"endorsed {parsed} ({what}) as {done.by}", as_json=as_json)


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
    wait: Wait = True,
    as_json: Json = False,
) -> None:
    """Let an account publish, and nothing else, for some time."""
    expiry = int((dt.datetime.now(dt.UTC) + dt.timedelta(days=days)).timestamp())
    _delegate(delegate, package, publisher, (key, chain, rpc), expiry, wait=wait, as_json=as_json)


@delegates.command("remove")
def remove(
    delegate: Annotated[str, typer.Argument(metavar="ADDRESS", help="Who may publish no longer.")],
    *,
    package: Package = "",
    publisher: Publishers = None,
    key: Key = None,
    chain: Chain = None,
    rpc: Rpc = [],
    wait: Wait = True,
    as_json: Json = False,
) -> None:
    """Take the right away, now."""
    _delegate(delegate, package, publisher, (key, chain, rpc), 0, wait=wait, as_json=as_json)


def _delegate(
    delegate: str,
    package: str,
    publisher: str | None,
    how: tuple[str | None, int | None, list[str]],
    expiry: int,
    *,
    wait: bool,
    as_json: bool,
) -> None:
    from integrity.core.names import check_package, parse_address

    key, chain, rpc = how
    given = session(rpc=rpc, chain=chain)
    actor = _actor(given, given.chosen_chain(), key, wait=wait)
    who = parse_address(publisher or actor.address)
    address = parse_address(delegate)
    done = actor.set_delegate(who, check_package(package) if package else "", address, expiry)
    right = f"{package or 'any package'} of {who}"
    if expiry:
        until = dt.datetime.fromtimestamp(expiry, dt.UTC)
        _tell(
            done, f"{address} may publish {right} until {until:%Y-%m-%d %H:%M UTC}", as_json=as_json
        )
    else:
        _tell(done, f"{address} may not publish {right}", as_json=as_json)


@controllers.command("offer")
def offer(
    to: Annotated[str, typer.Argument(metavar="ADDRESS", help="Who is to act from then on.")],
    *,
    publisher: Publishers = None,
    key: Key = None,
    chain: Chain = None,
    rpc: Rpc = [],
    wait: Wait = True,
    as_json: Json = False,
) -> None:
    """Offer a publisher to another account.

    Nothing changes until that account accepts.
    """
    from integrity.core.names import parse_address

    given = session(rpc=rpc, chain=chain)
    actor = _actor(given, given.chosen_chain(), key, wait=wait)
    who, address = parse_address(publisher or actor.address), parse_address(to)
    done = actor.offer_control(who, address)
    _tell(done, f"{who} is offered to {address}, who has to accept", as_json=as_json)


@controllers.command("accept")
def accept(
    publisher: Annotated[str, typer.Argument(metavar="PUBLISHER", help="Whom to act for.")],
    *,
    key: Key = None,
    chain: Chain = None,
    rpc: Rpc = [],
    wait: Wait = True,
    as_json: Json = False,
) -> None:
    """Take over a publisher that was offered to your key.

    All its delegates lose their rights.
    """
    from integrity.core.names import parse_address

    given = session(rpc=rpc, chain=chain)
    actor = _actor(given, given.chosen_chain(), key, wait=wait)
    who = parse_address(publisher)
    done = actor.accept_control(who)
    _tell(done, f"{done.by} acts for {who} now", as_json=as_json)


def _actor(given: Session, chain_id: int, key: str | None, *, wait: bool) -> Actor:
    from integrity.publishing.acting import Actor

    return Actor(given, chain_id, key, wait)


def _tell(done: Acted, what: str, *, as_json: bool) -> None:
    if as_json:
        output.emit(_value(done))
        return
    output.say(what)
    if done.already:
        output.say("  it stood so already; nothing was sent")
    elif done.transaction is not None and done.block is not None and done.fee is not None:
        state = "final" if done.final else "not final yet"
        output.say(
            f"  in block {done.block.number} ({state}), transaction 0x{done.transaction.hex()}",
            f"  fee {done.fee / 10**18:.6f} ether ({done.gas_used:,} gas)",
        )


def _value(done: Acted) -> dict[str, Any]:
    return {
        "chain_id": done.chain_id,
        "by": done.by,
        "already": done.already,
        "transaction": None if done.transaction is None else "0x" + done.transaction.hex(),
        "block": block_value(done.block),
        "gas_used": done.gas_used,
        "fee": None if done.fee is None else str(done.fee),
        "final": done.final,
    }
