"""``integrity publish`` and ``integrity manifest``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from integrity_cli import output
from integrity_cli.options import Chain, Json, Key, Publisher, Rpc, session
from integrity_cli.values import block_value

if TYPE_CHECKING:
    from integrity.client.publishing import Published

PathArgument = Annotated[Path, typer.Argument(help="The folder, or the single file, to publish.")]
Package = Annotated[str, typer.Option("--package", help="The package's name: a-z 0-9 . _ -")]
Version = Annotated[str, typer.Option("--version", help="The version; never used before.")]
Follow = Annotated[
    bool, typer.Option("--follow-symlinks", help="Take what symbolic links point at.")
]
Meta = Annotated[
    list[str], typer.Option("--meta", metavar="KEY=VALUE", help="A line of description.")
]
NoAlso = Annotated[
    bool, typer.Option("--no-also", help="Leave out the whole-file SHA-256 of large files.")
]


def publish(
    path: PathArgument,
    package: Package,
    version: Version,
    *,
    key: Key = None,
    publisher: Annotated[
        str | None, typer.Option(metavar="0x…", help="Who publishes, if not the key itself.")
    ] = None,
    rpc: Rpc = [],
    chain: Chain = None,
    latest: Annotated[bool, typer.Option(help="Make it the package's latest release.")] = True,
    follow_symlinks: Follow = False,
    meta: Meta = [],
    no_also: NoAlso = False,
    wait: Annotated[bool, typer.Option(help="Return once the record is final.")] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show manifest, gas and fee; send nothing.")
    ] = False,
    sidecar: Annotated[bool, typer.Option(help="Write NAME.integrity beside the folder.")] = True,
    as_json: Json = False,
) -> None:
    """Publish a folder: hash it, keep it servable, and record it on the chain."""
    from integrity.client.publishing import publish as run

    with output.progress(quiet=as_json) as report:
        result = run(
            session(rpc=rpc, chain=chain, publisher=publisher), path, package, version,
            key=key, make_latest=latest, follow_symlinks=follow_symlinks, meta=_meta(meta),
            whole_digests=not no_also, wait=wait, dry_run=dry_run, sidecar=sidecar, report=report,
        )  # fmt: skip
    if as_json:
        output.emit(_value(result))
    else:
        _tell(result)


def manifest(
    path: PathArgument,
    package: Package,
    version: Version,
    *,
    publisher: Publisher = None,
    key: Key = None,
    follow_symlinks: Follow = False,
    meta: Meta = [],
    no_also: NoAlso = False,
) -> None:
    """Print the manifest of a folder, byte for byte, without publishing anything."""
    from integrity.disk.building import Naming, ReleaseBuilder

    given = session(publisher=publisher)
    who = given.named_publisher or given.key(key).address
    naming = Naming(who, package, version, _meta(meta))
    builder = ReleaseBuilder(
        path, naming, given.home.scratch_folder(),
        follow_symlinks=follow_symlinks, whole_digests=not no_also,
    )  # fmt: skip
    with builder as built, output.progress(quiet=False) as report:
        built.build(report)
        for name in built.empty_folders:
            output.note(f"warning: the folder {name!r} has no file in it and is left out")
        output.emit_bytes(built.chunks())


def _meta(items: list[str]) -> dict[str, str]:
    from integrity.errors import UsageError

    pairs = [item.partition("=") for item in items]
    for item, (key, equals, _) in zip(items, pairs, strict=True):
        if not key or not equals:
            raise UsageError(f"--meta takes KEY=VALUE, not {item!r}")
    return {key: value for key, _, value in pairs}


def _value(result: Published) -> dict[str, Any]:
    link = result.link
    return {
        "link": str(link),
        "chain_id": link.chain_id,
        "publisher": link.publisher,
        "package": link.package,
        "version": link.version,
        "manifest": result.manifest.hex(),
        "content": result.content,
        "files": result.files,
        "size": result.size,
        "sequence": result.sequence,
        "transaction": "0x" + result.transaction.hex() if result.transaction else None,
        "block": block_value(result.block),
        "gas_used": result.gas_used,
        "fee": None if result.fee is None else str(result.fee),
        "final": result.final,
        "already": result.already,
        "dry_run": result.dry_run,
        "sidecar": str(result.sidecar) if result.sidecar else None,
        "warnings": result.warnings,
    }


def _tell(result: Published) -> None:
    for warning in result.warnings:
        output.note(f"warning: {warning}")
    what = f"{output.number(result.files, 'file')}, {output.size(result.size)}"
    if result.dry_run:
        output.say(f"would publish  {result.link}", f"  {what}")
    elif result.already:
        output.say(f"published before, the very same  {result.link}", f"  {what}")
    else:
        output.say(f"published  {result.link}", f"  {what}")
    output.say(f"  manifest {result.manifest.hex()}", f"  content  {result.content}")
    if result.block is not None and result.transaction is not None:
        state = "final" if result.final else "not final yet"
        output.say(
            f"  record   release {result.sequence} in block {result.block.number} ({state}), "
            f"transaction 0x{result.transaction.hex()}"
        )
    if result.gas_used is not None and result.fee is not None:
        output.say(f"  fee      {result.fee / 10**18:.6f} ether ({result.gas_used:,} gas)")
