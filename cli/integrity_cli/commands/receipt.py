"""``integrity receipt``: records with their proofs, in files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from integrity_cli import output
from integrity_cli.options import (
    Chain,
    Checkpoint,
    Json,
    LinkText,
    Publisher,
    Rpc,
    VouchingCheckpoint,
    VouchingRpc,
    Why,
    known,
    reading,
    session,
)
from integrity_cli.options import path as parse_path
from integrity_cli.options import receipt as read_receipt
from integrity_cli.values import record_link, record_value, rests_on

app = typer.Typer(
    help="Take records along with their proofs.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("export")
def export(
    link: LinkText,
    *,
    target: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="FILE", parser=parse_path, help="- is stdout."),
    ],
    endorsers: Annotated[
        list[str],
        typer.Option(
            "--endorser",
            metavar="0x…",
            help="Put in what this account says of the manifest, too; may be repeated. Those that your "
            "policy names are in it anyhow.",
        ),
    ] = [],
    checkpoint: Checkpoint = None,
    publisher: Publisher = None,
    rpc: Rpc = [],
    as_json: Json = False,
) -> None:
    """Write a release's receipt: its record, proven as of one block."""
    from integrity.client.receipts import take_receipt
    from integrity.core.names import parse_address
    from integrity.disk.files import write_new
    from integrity.errors import UsageError
    from integrity.verifier.receipt import encode

    if as_json and str(target) == "-":
        raise UsageError("with --json the receipt needs a file of its own", next="As -o FILE.")
    given, parsed = reading(link, rpc, publisher, checkpoint)
    receipt = take_receipt(given, parsed, [parse_address(one) for one in endorsers])
    data = encode(receipt)
    if str(target) == "-":
        output.emit_bytes(iter((data,)))
        return
    write_new(target, [data])
    if as_json:
        output.emit({
            "path": str(target.absolute()), "link": str(receipt.link), "size": len(data),
            "block_hash": "0x" + receipt.block_hash.hex(),
        })  # fmt: skip
    else:
        output.say(
            f"{output.place(target)}  {output.size(len(data))}, of {receipt.link}",
            f"  whoever believes the block 0x{receipt.block_hash.hex()} need ask nobody else",
        )


@app.command("check")
def check(
    file: Annotated[Path, typer.Argument(help="The receipt.", parser=parse_path)],
    link: Annotated[
        str | None, typer.Argument(metavar="[LINK]", help="The release that it should be of.")
    ] = None,
    *,
    checkpoint: VouchingCheckpoint = None,
    chain: Chain = None,
    publisher: Publisher = None,
    rpc: VouchingRpc = [],
    why: Why = False,
    as_json: Json = False,
) -> None:
    """Check a receipt: with no network, unless nodes are named."""
    from integrity.client.receipts import check_receipt

    data, told = read_receipt(file)
    given = session(rpc=rpc, chain=chain, publisher=publisher, checkpoint=checkpoint)
    parsed = None if link is None else given.link(link)
    given = known(given, parsed or told)
    with output.explaining(why and not as_json):
        record = check_receipt(given, data, parsed)
    if as_json:
        output.emit({
            "link": record_link(record), "manifest": record.manifest.hex(),
            "sequence": record.sequence, "published_at": record.published_at,
            **record_value(record), "steps": output.steps_value(record.steps),
        })  # fmt: skip
        return
    output.say(
        f"verified  {record_link(record)}",
        f"  manifest  {record.manifest.hex()}",
        f"  not revoked as of {rests_on(record)}",
        *(output.steps_lines(record.steps) if why else ()),
    )
