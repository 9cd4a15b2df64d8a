"""``integrity chain``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from integrity_cli import output
from integrity_cli.options import Chain, Json, Key, Rpc, session
from integrity_cli.progress import note

if TYPE_CHECKING:
    from integrity.devchain.chain import ChainStatus, DevelopmentChain

app = typer.Typer(
    help="Run a development chain; deploy the registry anywhere.",
    no_args_is_help=True, rich_markup_mode=None,
)  # fmt: skip


def _chain() -> DevelopmentChain:
    from integrity.devchain.chain import DevelopmentChain

    return DevelopmentChain(session().home)


def _tell(status: ChainStatus, *, as_json: bool) -> None:
    if as_json:
        output.emit(_value(status))
        return
    if not status.running:
        output.say("the development chain is not running")
        return
    output.say(
        f"the development chain runs at {status.rpc}",
        f"  chain     {status.chain_id}, block {status.block}, finalized {status.finalized}",
        f"  registry  {status.registry}",
        f"  publisher {status.publisher} (a key of this home)",
    )


def _value(status: ChainStatus) -> dict[str, Any]:
    return {
        "running": status.running,
        "rpc": status.rpc or None,
        "chain_id": status.chain_id,
        "registry": status.registry,
        "publisher": status.publisher or None,
        "accounts": list(status.accounts),
        "block": status.block,
        "finalized": status.finalized,
        "pid": status.pid,
    }


@app.command("start")
def start(*, as_json: Json = False) -> None:
    """Start it in the background, and return when it is ready.

    It is anvil, with the registry on it and two funded keys.
    """
    _tell(_chain().start(), as_json=as_json)


@app.command("status")
def status(*, as_json: Json = False) -> None:
    """Say whether it runs, and where."""
    _tell(_chain().status(), as_json=as_json)


@app.command("stop")
def stop(*, as_json: Json = False) -> None:
    """Stop it; its state is kept for the next start."""
    chain = _chain()
    ran = chain.running
    status = chain.stop()
    if ran and not as_json:
        place = output.place(session().home.chain)
        output.say(f"stopped the development chain; its state is kept in {place}")
    else:
        _tell(status, as_json=as_json)


@app.command("fund")
def fund(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="Whom to give it.")],
    *,
    ether: Annotated[int, typer.Option(min=1, max=10**9, help="How much it then has.")] = 1000,
    as_json: Json = False,
) -> None:
    """Give an account ether on the development chain."""
    from integrity.core.names import parse_address

    account = parse_address(address)
    _chain().fund(account, ether * 10**18)
    if as_json:
        output.emit({"address": account, "balance": str(ether * 10**18)})
    else:
        output.say(f"{account} has {ether:,} ether on the development chain now")


@app.command("list")
def list_known(*, as_json: Json = False) -> None:
    """List the chains that have a name here."""
    from integrity.chain.profiles import duration, profiles

    configured = session().config.rpc
    if as_json:
        output.emit({
            "chains": [
                {
                    "name": one.name, "chain_id": one.chain_id, "title": one.title,
                    "final_seconds": int(one.lag), "provable": one.is_provable,
                    "nodes": len(configured.get(one.chain_id, ())),
                }
                for one in profiles().values()
            ]
        })  # fmt: skip
        return
    for one in profiles().values():
        nodes = len(configured.get(one.chain_id, ()))
        proves = "most nodes" if one.is_provable else "archive nodes" if one.proofs else "nobody"
        output.say(
            f"{one.name:<10} {one.chain_id:>9}  {one.title}",
            f"{'':<20}  final after {duration(one.lag)}; {proves} can prove that state; "
            f"{output.number(nodes, 'node')} configured",
        )


@app.command("deploy")
def deploy(
    *,
    rpc: Rpc = [],
    chain: Chain = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Put the registry at its one address on a chain.

    It returns once that is final.
    """
    from integrity.publishing.deploying import deploy as run

    result = run(session(rpc=rpc, chain=chain), key, note)
    if as_json:
        output.emit({
            "registry": result.registry,
            "chain_id": result.chain_id,
            "transaction": "0x" + result.transaction.hex() if result.transaction else None,
            "already": result.transaction is None,
        })  # fmt: skip
    elif result.transaction is None:
        output.say(f"the registry stands at {result.registry} on chain {result.chain_id} already")
    else:
        output.say(f"deployed the registry to {result.registry} on chain {result.chain_id}")
