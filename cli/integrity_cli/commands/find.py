"""``integrity search`` and ``integrity who``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from integrity_cli import output
from integrity_cli.options import Chain, From, IpfsApi, Json, Rpc, session
from integrity_cli.progress import Form, Shown, shown
from integrity_cli.values import (
    endorsement_lines,
    endorsement_value,
    place_value,
    record_value,
    rests_on,
)

if TYPE_CHECKING:
    from integrity.client.session import Session
    from integrity.finding.containing import Containing, Known
    from integrity.finding.searching import Found, Match


def _file_or_digest(text: str) -> str:
    """A file's name may be any bytes; the empty one is none, and Python would take it for this folder."""
    if not text:
        raise typer.BadParameter("an empty path")
    return text


NoSync = Annotated[
    bool, typer.Option("--no-sync", help="Ask nobody: answer from what was read before.")
]


def search(
    words: Annotated[
        list[str], typer.Argument(metavar="WORDS...", help="What to look for; all have to match.")
    ],
    *,
    publisher: Annotated[
        str | None,
        typer.Option("--publisher", metavar="WHO", help="Only theirs: an alias or an address."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Packages to show.")] = 20,
    no_sync: NoSync = False,
    chain: Chain = None,
    rpc: Rpc = [],
    progress: Shown = Form.AUTO,
    as_json: Json = False,
) -> None:
    """Find packages by words, and prove what is found.

    A word is a part of a package's name or its beginning, its publisher's alias or address, or what a
    manifest kept here says of it. NAME@1.2 wants a version that begins so. Each result is proven against
    the chain, or marked if it is not.
    """
    from integrity.finding.searching import search as run

    given = _of_publisher(session(rpc=rpc, chain=chain), publisher)
    with shown(progress, as_json=as_json) as report:
        found = run(given, words, limit=limit, sync=not no_sync, report=report)
    if as_json:
        output.emit(_found_value(found))
        return
    output.warn(found.warnings)
    for match in found.matches:
        _tell_match(match)
    _tell_found(found)


def _of_publisher(given: Session, who: str | None) -> Session:
    """The session whose person names this publisher: an address, or an alias."""
    if who is None or who.lower().startswith("0x"):
        return replace(given, publisher=who)
    entry = given.trust.find(who)
    chain = entry.chain_id if given.chain_id is None else given.chain_id
    return replace(given, publisher=entry.publisher, chain_id=chain)


def _found_value(found: Found) -> dict[str, Any]:
    return {
        "chain_id": found.chain_id,
        "results": [
            _match_value(match) | {"sequence": match.sequence, "releases": match.releases}
            for match in found.matches
        ],
        "ranked": found.is_ranked,
        "synced": found.synced,
        "indexed": place_value(found.mark.number, found.mark.hash),
        "problem": None if found.problem is None else output.error_value(found.problem),
        "warnings": found.warnings,
    }


def _match_value(match: Match) -> dict[str, Any]:
    return {
        "link": str(match.link),
        "publisher": match.link.publisher,
        "alias": match.alias,
        "trusted": match.trusted,
        "package": match.link.package,
        "version": match.link.version,
        "manifest": match.manifest.hex(),
        "verdict": _verdict(match),
        "problem": None if match.problem is None else output.error_value(match.problem),
        "latest": match.record.is_latest if match.record else None,
        "published_at": match.record.published_at if match.record else None,
        **record_value(match.record),
    }


def _verdict(match: Match) -> str:
    """``failed`` when there is evidence, ``unknown`` when nothing could be checked."""
    if match.record is not None:
        return "verified"
    return "failed" if match.problem and match.problem.exit_code == 4 else "unknown"


def _tell_match(match: Match) -> None:
    output.say(str(match.link))
    for line in _match_lines(match):
        output.say(f"  {line}")


def _match_lines(match: Match) -> list[str]:
    lines = ["its publisher is NOT in your trust store"]
    if match.trusted:
        lines = [f"publisher {match.alias or 'of a key of this home'}"]
    record = match.record
    if record is not None:
        which = f"release {record.sequence} of {record.head.count}"
        which += ", the latest" if record.is_latest else ""
        lines.append(f"{which}, published {output.moment(record.published_at)}")
        lines.append(f"as of {rests_on(record)}")
    elif match.problem is None:
        lines.append("NOT PROVEN: nobody was asked (--no-sync)")
    else:
        how = "FAILED" if _verdict(match) == "failed" else "NOT PROVEN"
        lines.append(f"{how}: {match.problem.message}")
    return lines


def _tell_found(found: Found) -> None:
    where = f"up to block {found.mark.number} of chain {found.chain_id}"
    if found.problem is not None:
        output.note(f"warning: the index goes {where} only: {found.problem.message}")
        for cause in found.problem.causes:
            output.note(f"  - {cause}")
    if not found.matches:
        output.note(f"nothing has all these words, {where}")
    elif not found.is_ranked:
        output.note(f"very many have these words, {where}; these are the newest: add a word")


def who(
    what: Annotated[
        str,
        typer.Argument(
            metavar="FILE|DIGEST",
            parser=_file_or_digest,
            help="A file here, or a SHA-256, SHA-1, eD2k or TTH digest.",
        ),
    ],
    *,
    sources: From = [],
    no_sync: NoSync = False,
    ipfs_api: IpfsApi = None,
    rpc: Rpc = [],
    progress: Shown = Form.AUTO,
    as_json: Json = False,
) -> None:
    """Say which releases have a file, and who vouches for them.

    Over the manifests that this home keeps, and those of the packages under `follow` in config.toml, which
    --from says where to fetch. A file named like a digest is ./NAME.
    """
    from integrity.finding.containing import who as run
    from integrity.sources.opening import opened

    given = session(rpc=rpc)
    with (
        opened(sources, given.home.store, ipfs_api) as opened_sources,
        shown(progress, as_json=as_json) as report,
    ):
        found = run(given, what, sources=opened_sources, sync=not no_sync, report=report)
    if as_json:
        output.emit(_known_value(found))
        return
    output.warn(found.warnings)
    for one in found.releases:
        _tell_containing(one)
    if not found.releases:
        looked = output.number(found.manifests, "manifest")
        output.note(
            f"looked through {looked} that this home knows: none has it, by its {found.how}"
        )
        if not given.config.follow:
            output.note(
                "  -> It knows those of its store, and those of the packages that `follow` in config.toml "
                "names; not what only lies beside a folder."
            )
    if sources and not given.config.follow:
        output.note("warning: `follow` in config.toml names no package, so --from was not asked")


def _known_value(found: Known) -> dict[str, Any]:
    return {
        "by": found.how,
        "releases": [
            _match_value(one.match)
            | {
                "path": one.path,
                "size": one.size,
                "matched": one.by,
                "endorsements": [endorsement_value(said) for said in one.endorsements],
            }
            for one in found.releases
        ],
        "manifests": found.manifests,
        "warnings": found.warnings,
    }


def _tell_containing(one: Containing) -> None:
    output.say(str(one.match.link))
    output.say(f"  has it as {one.path}, {output.size(one.size)}, by its {one.by}")
    if one.by.startswith("also."):
        output.say(
            "  which is its publisher's word: only a file's pieces prove that it is the same"
        )
    for line in (*_match_lines(one.match), *endorsement_lines(one.endorsements)):
        output.say(f"  {line}")
