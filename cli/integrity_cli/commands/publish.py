"""``integrity publish`` and ``integrity manifest``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from integrity_cli import output
from integrity_cli.commands import request
from integrity_cli.interrupting import interrupted
from integrity_cli.options import (
    Chain,
    InNameOf,
    Ipfs,
    IpfsApi,
    Json,
    Key,
    LinkText,
    MaxFee,
    Pin,
    Rpc,
    session,
)
from integrity_cli.options import path as parse_path
from integrity_cli.progress import Form, Shown, shown
from integrity_cli.values import cost, record_link, record_value, rests_on, transaction_value

if TYPE_CHECKING:
    from integrity.client.session import Session
    from integrity.publishing.keeping import Keeper
    from integrity.publishing.publish import Published

PathArgument = Annotated[
    Path, typer.Argument(help="The folder, or the single file.", parser=parse_path)
]
Package = Annotated[
    str, typer.Option("--package", metavar="NAME", help="The package's name: a-z 0-9 . _ -")
]
Version = Annotated[
    str, typer.Option("--version", metavar="VERSION", help="The version, such as 1.0.0.")
]
Follow = Annotated[
    bool, typer.Option("--follow-symlinks", help="Take what symbolic links point at.")
]
Meta = Annotated[
    list[str],
    typer.Option(
        "--meta", metavar="KEY=VALUE", help="Into the manifest, as license=MIT; may be repeated."
    ),
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
    publisher: InNameOf = None,
    rpc: Rpc = [],
    chain: Chain = None,
    max_fee: MaxFee = None,
    latest: Annotated[bool, typer.Option(help="Make it the package's latest release.")] = True,
    follow_symlinks: Follow = False,
    meta: Meta = [],
    no_also: NoAlso = False,
    wait: Annotated[bool, typer.Option(help="Return once the record is final.")] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the manifest's digest, and what it would cost.")
    ] = False,
    sidecar: Annotated[
        bool, typer.Option(help="Write NAME.integrity and NAME.receipt beside the folder.")
    ] = True,
    ipfs: Ipfs = False,
    ipfs_api: IpfsApi = None,
    pin: Pin = [],
    sign_only: Annotated[
        bool,
        typer.Option("--sign-only", help="Write a signed request instead, for anybody to submit."),
    ] = False,
    target: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Where the request goes [default: NAME.request beside the folder].",
            parser=parse_path,
        ),
    ] = None,
    deadline: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="How long the request is good, as 12h [default: 7d]."),
    ] = None,
    signer: Annotated[
        str | None,
        typer.Option(
            metavar="0x…",
            help="Leave the request unsigned, for an account that signs elsewhere, as a Safe.",
        ),
    ] = None,
    progress: Shown = Form.AUTO,
    as_json: Json = False,
) -> None:
    """Hash a folder, keep it servable, record it on the chain."""
    from integrity.disk.sidecars import request_path
    from integrity.publishing.preparing import Draft
    from integrity.publishing.publish import publish as run
    from integrity.publishing.requesting import request as prepare

    draft = Draft(path, package, version, _meta(meta), latest, follow_symlinks, not no_also)
    _check_options(sign_only, target, signer, deadline, dry_run=dry_run)
    seconds = request.seconds(deadline or "7d")
    place = (target or request_path(path)).absolute()
    given = session(rpc=rpc, chain=chain, publisher=publisher, max_fee=max_fee)
    asked = None
    try:
        with (
            keepers_of(given, pin, ipfs_api, ipfs=ipfs or ipfs_api is not None) as keepers,
            shown(progress, as_json=as_json) as report,
        ):
            if sign_only:
                made = prepare(
                    given, draft, place, key=key, signer=signer, seconds=seconds, sidecar=sidecar,
                    keepers=keepers, report=report,
                )  # fmt: skip
                result, asked = made.release, made.request
            else:
                result = run(
                    given, path, package, version,
                    key=key, make_latest=latest, follow_symlinks=follow_symlinks, meta=draft.meta,
                    whole_digests=not no_also, wait=wait, dry_run=dry_run, sidecar=sidecar,
                    keepers=keepers, report=report,
                )  # fmt: skip
    except KeyboardInterrupt:
        from integrity.publishing.recording import is_for

        raise interrupted(given, lambda purpose: is_for(purpose, package, version)) from None
    if as_json:
        output.emit(release_value(result) | {"request": request.value(asked, place)})
        return
    _tell(result, "prepared" if asked else "would publish" if dry_run else "published")
    if sign_only:
        request.tell(asked, place)


def _check_options(
    sign_only: bool, target: Path | None, signer: str | None, deadline: str | None, *, dry_run: bool
) -> None:
    from integrity.errors import UsageError

    if sign_only and dry_run:
        raise UsageError("--sign-only records nothing, so there is no dry run of it")
    if not sign_only and any(option is not None for option in (target, signer, deadline)):
        raise UsageError("-o, --signer and --deadline are for the request that --sign-only writes")


def confirm(
    link: LinkText,
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="[PATH]",
            help="What was published: its receipt is put beside it.",
            parser=parse_path,
        ),
    ] = None,
    *,
    timeout: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="At the most.")] = 3600,
    rpc: Rpc = [],
    progress: Shown = Form.AUTO,
    as_json: Json = False,
) -> None:
    """Wait until a release's record is final.

    The second half of publish --no-wait. It asks of nobody to be trusted, and is no verdict on whom to
    believe: that is what get, verify and show say.
    """
    from integrity.publishing.confirming import confirm as run

    given = session(rpc=rpc)
    with shown(progress, as_json=as_json) as report:
        done = run(given, given.link(link), path, timeout=timeout, report=report)
    if as_json:
        output.emit({
            "link": record_link(done.record), "manifest": done.record.manifest.hex(),
            "sequence": done.record.sequence, **record_value(done.record), "warnings": done.warnings,
        })  # fmt: skip
        return
    output.warn(done.warnings)
    output.say(f"final  {record_link(done.record)}", f"  as of {rests_on(done.record)}")


def manifest(
    path: PathArgument,
    package: Package,
    version: Version,
    *,
    publisher: Annotated[
        str | None, typer.Option(metavar="0x…", help="Who publishes [default: the key's address].")
    ] = None,
    key: Key = None,
    follow_symlinks: Follow = False,
    meta: Meta = [],
    no_also: NoAlso = False,
    progress: Shown = Form.AUTO,
) -> None:
    """Print the manifest of a folder, without publishing it."""
    from integrity.disk.building import Naming, ReleaseBuilder

    given = session(publisher=publisher)
    who = given.named_publisher or given.key(key).address
    naming = Naming(who, package, version, _meta(meta))
    given.home.refuse_inside(path)
    builder = ReleaseBuilder(
        path, naming, given.home.scratch_folder(),
        follow_symlinks=follow_symlinks, whole_digests=not no_also,
    )  # fmt: skip
    with builder as built, shown(progress, as_json=False) as report:
        built.build(report)
        output.warn(built.warnings)
        output.emit_bytes(built.chunks())


@contextlib.contextmanager
def keepers_of(
    given: Session, pin: list[str], api: str | None, *, ipfs: bool
) -> Iterator[list[Keeper]]:
    """The places besides this home that are to keep the release, a daemon before those who fetch
    from it.
    """
    keepers: list[Keeper] = []
    if not ipfs and not pin:
        yield keepers
        return
    from integrity.ipfs.kubo import Kubo  # imports requests
    from integrity.publishing.keeping import DaemonKeeper, ServiceKeeper

    with contextlib.ExitStack() as stack:
        daemon = stack.enter_context(Kubo(api)) if ipfs else None
        if daemon is not None:
            keepers.append(DaemonKeeper(daemon))
        keepers += [ServiceKeeper(given.pinning_service(name), daemon) for name in pin]
        yield keepers


def _meta(items: list[str]) -> dict[str, str]:
    from integrity.errors import UsageError

    pairs = [item.partition("=") for item in items]
    for item, (key, equals, _) in zip(items, pairs, strict=True):
        if not key or not equals:
            raise UsageError(f"--meta takes KEY=VALUE, not {item!r}", next="As --meta license=MIT.")
    found = {key: value for key, _, value in pairs}
    if len(found) < len(pairs):
        raise UsageError("--meta names a key twice", next="Give each key one value.")
    return found


def release_value(result: Published) -> dict[str, Any]:
    """A release that was published, in JSON."""
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
        **transaction_value(result),
        "already": result.already,
        "dry_run": result.dry_run,
        "sidecar": str(result.sidecar) if result.sidecar else None,
        "kept": list(result.kept),
        "warnings": result.warnings,
    }


def _tell(result: Published, verb: str) -> None:
    output.warn(result.warnings)
    what = f"{output.number(result.files, 'file')}, {output.size(result.size)}"
    said = "published before, the very same" if result.already else verb
    output.say(f"{said}  {result.link}", f"  {what}")
    output.say(f"  manifest {result.manifest.hex()}", f"  content  {result.content}")
    if result.block is not None and result.transaction is not None:
        state = "final" if result.final else "not waited for until it is final"
        output.say(
            f"  record   release {result.sequence} in block {result.block.number} ({state}), "
            f"transaction 0x{result.transaction.hex()}"
        )
    for place in result.kept:
        output.say(f"  kept     {place}")
    if (fee := cost(result)) is not None:
        output.say(f"  fee      {'about ' if result.dry_run else ''}{fee}")
