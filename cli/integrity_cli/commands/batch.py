"""``integrity publish-batch``: several releases in one transaction."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from integrity_cli import output
from integrity_cli.commands.publish import keepers_of, release_value
from integrity_cli.interrupting import interrupted
from integrity_cli.options import (
    Chain,
    InNameOf,
    Ipfs,
    IpfsApi,
    Json,
    Key,
    MaxFee,
    Pin,
    Rpc,
    Wait,
    session,
)
from integrity_cli.options import path as parse_path
from integrity_cli.progress import Form, Shown, shown
from integrity_cli.values import cost, transaction_value

if TYPE_CHECKING:
    from integrity.publishing.batching import PublishedMany
    from integrity.publishing.preparing import Draft

_KINDS: dict[str, type] = {
    "path": str, "package": str, "version": str, "meta": dict, "latest": bool,
    "follow_symlinks": bool, "also": bool,
}  # fmt: skip
_CALLED = {str: "a text", dict: "a table", bool: "true or false"}
_MEND = "docs/using.md shows such a file."
_NEEDED = ("path", "package", "version")


def publish_batch(
    file: Annotated[
        Path,
        typer.Argument(
            help="A TOML file with a [[release]] for each: path, package, version.",
            parser=parse_path,
        ),
    ],
    *,
    key: Key = None,
    publisher: InNameOf = None,
    rpc: Rpc = [],
    chain: Chain = None,
    max_fee: MaxFee = None,
    wait: Wait = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the digests, and what it would cost.")
    ] = False,
    sidecar: Annotated[
        bool, typer.Option(help="Write NAME.integrity and NAME.receipt beside each folder.")
    ] = True,
    ipfs: Ipfs = False,
    ipfs_api: IpfsApi = None,
    pin: Pin = [],
    progress: Shown = Form.AUTO,
    as_json: Json = False,
) -> None:
    """Publish several releases in one transaction.

    All of them or none; those that are recorded already, as by an earlier run, are left out.
    """
    from integrity.publishing.batching import is_batch, publish_many

    drafts = read(file)
    given = session(rpc=rpc, chain=chain, publisher=publisher, max_fee=max_fee)
    with contextlib.ExitStack() as stack:
        report = stack.enter_context(shown(progress, as_json=as_json))
        try:
            done = publish_many(
                given, drafts, key=key, wait=wait, dry_run=dry_run, sidecar=sidecar, report=report,
                make_keepers=lambda: stack.enter_context(
                    keepers_of(given, pin, ipfs_api, ipfs=ipfs or ipfs_api is not None)
                ),
            )  # fmt: skip
        except KeyboardInterrupt:
            raise interrupted(given, is_batch) from None
    if as_json:
        fields = {"already": done.already, "dry_run": done.dry_run, **transaction_value(done)}
        output.emit({"releases": [release_value(one) for one in done.releases], **fields})
    else:
        _tell(done)


def read(file: Path) -> list[Draft]:
    """The releases that a file lists; their paths are relative to its folder. Raises UsageError or
    FormatError.
    """
    from integrity.disk.settings import load_toml
    from integrity.errors import UsageError

    if not file.is_file():
        raise UsageError(f"{str(file)!r} is no file")
    value = load_toml(file, _MEND)
    entries = value.get("release")
    if set(value) != {"release"} or not isinstance(entries, list):
        raise _broken(file, "is not a list of [[release]], and nothing else")
    return [_draft(file, number, entry) for number, entry in enumerate(entries, 1)]


def _draft(file: Path, number: int, entry: Any) -> Draft:
    from integrity.publishing.preparing import Draft

    where = f"has a [[release]], number {number},"
    if not isinstance(entry, dict):
        raise _broken(file, f"{where} that is no table")
    for name in _NEEDED:
        if name not in entry:
            raise _broken(file, f"{where} without {name}")
    for name, item in entry.items():
        kind = _KINDS.get(name)
        if kind is None:
            raise _broken(file, f"{where} with the unknown {name[:40]!r}")
        if not isinstance(item, kind):
            raise _broken(file, f"{where} whose {name} is not {_CALLED[kind]}")
    _check_names(file, number, entry)
    meta = entry.get("meta", {})
    if not entry["path"] or "\0" in entry["path"]:
        raise _broken(file, f"{where} whose path is none: {entry['path'][:40]!r}")
    for name, text in meta.items():
        if not isinstance(text, str):
            raise _broken(file, f"{where} whose meta has {name[:40]!r}, which is not a text")
    return Draft(
        file.parent / entry["path"], entry["package"], entry["version"], meta,
        entry.get("latest", True), entry.get("follow_symlinks", False), entry.get("also", True),
    )  # fmt: skip


def _check_names(file: Path, number: int, entry: dict[str, Any]) -> None:
    from integrity.core.names import check_package, check_version
    from integrity.errors import FormatError

    try:
        check_package(entry["package"])
        check_version(entry["version"])
    except FormatError as error:
        raise error.about(f"{file}: [[release]], number {number}") from None


def _broken(file: Path, what: str) -> Exception:
    from integrity.errors import UsageError

    return UsageError(f"{file} {what}", next=_MEND)


def _tell(done: PublishedMany) -> None:
    verb = "would publish" if done.dry_run else "published"
    for one in done.releases:
        output.warn(one.warnings)
        before = "published before, the very same" if one.already else verb
        output.say(f"{before}  {one.link}", f"  manifest {one.manifest.hex()}")
    if done.block is not None and done.transaction is not None:
        state = "final" if done.final else "not waited for until it is final"
        output.say(
            f"in block {done.block.number} ({state}), transaction 0x{done.transaction.hex()}"
        )
    if (fee := cost(done)) is not None:
        output.say(f"fee {'about ' if done.dry_run else ''}{fee}")
