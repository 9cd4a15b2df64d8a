"""``integrity trust``."""

from __future__ import annotations

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
    alias: Annotated[str, typer.Argument(help="Your own name for them, for alias/package links.")],
    publisher: Annotated[str, typer.Argument(metavar="PUBLISHER", help="Their address.")],
    *,
    chain: Chain = None,
    as_json: Json = False,
) -> None:
    """Believe a publisher from now on.

    Compare the whole address with what they say themselves.
    """
    from integrity.core.names import parse_address
    from integrity.trust import TrustedPublisher

    given = session(chain=chain)
    entry = TrustedPublisher(alias, given.chosen_chain(), parse_address(publisher))
    given.trust.add(entry)
    if as_json:
        output.emit(_value(entry))
    else:
        output.say(f"{alias} is now {entry.publisher} on chain {entry.chain_id}")


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
    entry = session().trust.remove(alias)
    if as_json:
        output.emit(_value(entry))
    else:
        output.say(f"{alias} is forgotten; it was {entry.publisher} on chain {entry.chain_id}")
