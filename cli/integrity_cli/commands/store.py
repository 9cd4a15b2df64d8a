"""``integrity store``: what this home keeps and offers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from integrity_cli import output
from integrity_cli.options import Json, session
from integrity_cli.progress import Form, Shown, shown

if TYPE_CHECKING:
    from integrity.store.entries import StoredImport, StoredRelease
    from integrity.store.upkeep import Fault

_SHOWN = 20

app = typer.Typer(
    help="Look after what this home keeps and serves.", no_args_is_help=True, rich_markup_mode=None
)


def _release(entry: StoredRelease) -> dict[str, Any]:
    from integrity.core.cid import DAG_PB, Cid
    from integrity.core.links import Link
    from integrity.disk.staging import is_unfinished

    return {
        "link": str(Link(entry.chain_id, entry.publisher, entry.package, entry.version)),
        "manifest": entry.manifest.hex(),
        "content": str(Cid(DAG_PB, entry.content)),
        "folder": os.fsdecode(entry.folder),
        "files": entry.files,
        "size": entry.size,
        "unfinished": is_unfinished(entry.folder),
    }


def _import(entry: StoredImport) -> dict[str, Any]:
    from integrity.store.importing import decode_roots

    return {
        "name": entry.name,
        "roots": [str(root) for root in decode_roots(entry.roots)],
        "blocks": entry.blocks,
        "size": entry.size,
    }


@app.command("list")
def list_all(*, as_json: Json = False) -> None:
    """List what is offered from here: published, shared or imported."""
    from integrity.store.database import Store

    with Store(session().home.store) as store:
        releases = [_release(entry) for entry in store.releases()]
        imports = [_import(entry) for entry in store.imports()]
    if as_json:
        output.emit({"releases": releases, "imports": imports})
        return
    for entry in releases:
        what = f"{output.number(entry['files'], 'file')}, {output.size(entry['size'])}"
        if entry["unfinished"]:
            what += ", of which not all is there yet"
        output.say(f"{entry['link']}", f"  {what}, in {output.escape(entry['folder'])}")
    for entry in imports:
        what = f"{output.number(entry['blocks'], 'block')}, {output.size(entry['size'])}"
        output.say(f"import {entry['name'][:16]}", f"  {what}", *(f"  {r}" for r in entry["roots"]))
    if not releases and not imports:
        output.note("nothing yet; `integrity publish` and `integrity import` put things in")


@app.command("check")
def check(*, progress: Shown = Form.AUTO, as_json: Json = False) -> None:
    """Hash everything again, and name what is no more what it was."""
    from integrity.store.database import Store
    from integrity.store.upkeep import CHANGED
    from integrity.store.upkeep import check as run

    with Store(session().home.store) as store, shown(progress, as_json=as_json) as report:
        found = run(store, report)
    if as_json:
        output.emit({
            "blocks": found.blocks, "size": found.size, "faulty": found.faulty,
            "awaited": found.awaited,
            "faults": [_fault(fault) for fault in found.faults],
        })  # fmt: skip
    else:
        output.say(
            f"{output.number(found.blocks, 'block')}, {output.size(found.size)}: {found.faulty} faulty"
        )
        if found.awaited:
            output.say(
                f"  {output.number(found.awaited, 'block')} of unfinished downloads not there yet"
            )
        for fault in found.faults[:_SHOWN]:
            value = _fault(fault)
            place = "in the database" if value["path"] is None else output.escape(value["path"])
            output.say(f"  {value['cid']}: {value['reason']}, {place} at byte {fault.offset}")
        if found.faulty > _SHOWN:
            output.say(f"  and {found.faulty - _SHOWN:,} more (--json names a thousand)")
        if found.faulty:
            output.say(
                "  -> What is faulty is not served. Publish or import it again, or remove it."
            )
    if any(fault.reason == CHANGED for fault in found.faults):
        raise typer.Exit(4)
    raise typer.Exit(3 if found.faulty else 0)


def _fault(fault: Fault) -> dict[str, Any]:
    from integrity.core.anycid import raw_cid_of_key

    return {
        "cid": str(raw_cid_of_key(fault.key)),
        "path": None if fault.path is None else os.fsdecode(fault.path),
        "offset": fault.offset,
        "reason": fault.reason,
    }


@app.command("gc")
def collect(*, as_json: Json = False) -> None:
    """Take away what nothing needs any more, and give the room back."""
    from integrity.store.database import Store
    from integrity.store.upkeep import collect as run

    with Store(session().home.store) as store:
        removed, freed = run(store)
    _tell_freed(removed, freed, as_json=as_json)


def _tell_freed(removed: int, freed: int, *, as_json: bool) -> None:
    if as_json:
        output.emit({"removed": removed, "freed": freed})
    else:
        output.say(f"{removed} removed, {output.size(freed)} freed")


@app.command("remove")
def remove(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT", help="A link, a manifest digest, or a root CID or name of an import."
        ),
    ],
    *,
    as_json: Json = False,
) -> None:
    """Stop serving a release or an import.

    Published files are left alone; an import's copy goes.
    """
    from integrity.errors import UsageError
    from integrity.store.database import Store
    from integrity.store.upkeep import remove as run

    with Store(session().home.store) as store:
        releases = [e for e in store.releases() if what in _names(_release(e))]
        imports = [e for e in store.imports() if what in _import_names(_import(e))]
        if not releases and not imports:
            raise UsageError(
                f"the store has nothing that is called {what!r}",
                next="`integrity store list` tells what there is.",
            )
        removed, freed = run(store, releases, imports)
    if not as_json:
        for name in (*(_release(e)["link"] for e in releases), *(e.name for e in imports)):
            output.say(f"removed  {name}")
    _tell_freed(removed, freed, as_json=as_json)


def _names(entry: dict[str, Any]) -> set[str]:
    return {entry["link"], entry["manifest"], entry["content"]}


def _import_names(entry: dict[str, Any]) -> set[str]:
    return {entry["name"], entry["name"][:16], *entry["roots"]}
