"""``integrity trust``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from integrity_cli import output
from integrity_cli.options import Chain, Json, session

if TYPE_CHECKING:
    from integrity.trust import TrustedPublisher

app = typer.Typer(help="Say whom this home believes.", no_args_is_help=True, rich_markup_mode=None)


def _value(entry: TrustedPublisher) -> dict[str, Any]:
    return {"alias": entry.alias, "chain_id": entry.chain_id, "publisher": entry.publisher}


@app.command("add")
def add(
    who: Annotated[
        str,
        typer.Argument(
            metavar="ALIAS|SITE",
            help="Your own name for them, for alias/package links; or a web site, as example.org, which "
            "says who they are (/.well-known/integrity.json).",
        ),
    ],
    publisher: Annotated[
        str | None, typer.Argument(metavar="[PUBLISHER]", help="Their address, without a site.")
    ] = None,
    *,
    chain: Chain = None,
    alias: Annotated[
        str | None,
        typer.Option(
            "--as", metavar="ALIAS", help="Your own name for them, in the place of the site's."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask about what a site says.")] = False,
    as_json: Json = False,
) -> None:
    """Believe a publisher from now on.

    Compare the whole address with what they say themselves.
    """
    from integrity.core.names import parse_address
    from integrity.trust import TrustedPublisher

    given = session(chain=chain)
    if publisher is None:
        entries = _introduced(who, alias, chain, yes=yes)
    else:
        entries = [TrustedPublisher(alias or who, given.chosen_chain(), parse_address(publisher))]
    given.trust_store.add(*entries)
    if as_json:
        output.emit({"publishers": [_value(entry) for entry in entries]})
        return
    for entry in entries:
        output.say(f"{entry.alias} is now {entry.publisher} on chain {entry.chain_id}")


def _introduced(
    who: str, alias: str | None, chain: int | None, *, yes: bool
) -> list[TrustedPublisher]:
    """Those that a site names and the person agrees to. Raises Declined or UnknownPublisher, too."""
    from integrity.errors import Declined, UnknownPublisher, UsageError
    from integrity.trust.introduction import introduced, site_of

    site = site_of(who)
    found = [one for one in introduced(site, alias) if chain in {None, one.chain_id}]
    if not found:
        raise UsageError(f"{site.url} names no publisher on chain {chain}")
    if yes:
        return found
    lines = [f"{one.alias} is {one.publisher} on chain {one.chain_id}" for one in found]
    if not sys.stdin.isatty():
        raise UnknownPublisher(
            f"nobody here can be asked whether to believe {site.url}",
            causes=lines,
            next="With --yes it is believed unasked.",
        )
    output.note(f"{site.url} says:")
    for line in lines:
        output.note(f"  {line}")
    if not typer.confirm("Do you believe that, from now on?", err=True):
        raise Declined(f"what {site.url} says was not accepted")
    return found


@app.command("list")
def list_trusted(*, as_json: Json = False) -> None:
    """List whom this home believes, its own keys aside."""
    entries = session().trust.all()
    if as_json:
        output.emit({"publishers": [_value(entry) for entry in entries]})
        return
    for entry in entries:
        output.say(f"{entry.alias}  {entry.publisher}  chain {entry.chain_id}")
    if not entries:
        output.note("nobody yet; `integrity trust add ALIAS ADDRESS --chain ID` adds a publisher")


@app.command("remove")
def remove(
    alias: Annotated[str, typer.Argument(help="The alias to forget.")], *, as_json: Json = False
) -> None:
    """Believe a publisher no longer."""
    entry = session().trust_store.remove(alias)
    if as_json:
        output.emit(_value(entry))
    else:
        output.say(f"{alias} is forgotten; it was {entry.publisher} on chain {entry.chain_id}")
