"""A release that is prepared and signed here, and recorded by somebody else, who pays for it."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from integrity.client.session import Session
from integrity.core.links import Link
from integrity.core.names import parse_address
from integrity.core.request import REQUEST_LIMIT, Request, decode, encode
from integrity.core.signatures import signer_of_65
from integrity.disk.files import write_whole
from integrity.disk.sidecars import read_named
from integrity.errors import FormatError, KeyRefused, UsageError
from integrity.ports import Report
from integrity.publishing.keeping import Keeper
from integrity.publishing.landing import check_same
from integrity.publishing.preparing import (
    Draft,
    Preparation,
    Published,
    receiving,
    settling,
)
from integrity.publishing.recording import Recorder
from integrity.publishing.telling import say

WEEK = 7 * 86_400


@dataclass(frozen=True, slots=True)
class Requested:
    """A release that is kept and served as if it were recorded, and the request to record it; None when it
    stands already.
    """

    release: Published
    request: Request | None


def request(
    session: Session,
    draft: Draft,
    place: Path | None = None,
    *,
    key: str | None = None,
    signer: str | None = None,
    seconds: int = WEEK,
    sidecar: bool = True,
    keepers: Sequence[Keeper] = (),
    report: Report | None = None,
) -> Requested:
    """Do all that publishing does but the recording, and sign that for whoever will pay for it, who has to
    within ``seconds``.

    ``signer`` is an account whose signature is to be added elsewhere, as that of a Safe; no key is needed
    then, and it is the publisher if none is named. With ``place`` the request is written there, over nothing
    but an earlier one of the same release. Raises what :func:`integrity.publish` raises; nothing is sent.
    """
    deadline = int(time.time()) + seconds
    info = session.key(key) if signer is None else None
    address = parse_address(signer or "") if info is None else info.address
    publisher = parse_address(session.named_publisher or address)
    link = Link(session.chosen_chain(), publisher, draft.package, draft.version)
    if place is not None:
        _check_place(place, link)
    preparation = Preparation.begun(session, draft, link)
    signs = None if info is None else session.signer(info)
    recorder = Recorder(session, link, draft.version)
    for keeper in keepers:
        keeper.check()
    with preparation.built, receiving(keepers) as take:
        result = preparation.build(take, report)
        standing = recorder.standing()
        if standing is not None:
            check_same(standing, result)
        else:
            make_call = recorder.publishing(
                result.manifest, preparation.content, make_latest=draft.make_latest
            )
            recorder.estimate(make_call, address)  # raises what it would be refused with
        early = any(keeper.fetches for keeper in keepers)
        with preparation.offering(result.warnings, early=early) as serve:
            result = preparation.keep(result, keepers, report)
            with settling(keepers, result.warnings):
                made = None
                if standing is None:
                    say(report, "signing")
                    made = Request(
                        link.chain_id, recorder.registry, publisher, draft.package,
                        draft.version, result.manifest, preparation.content, recorder.count(),
                        draft.make_latest, address, deadline,
                    )  # fmt: skip
                if made is not None and signs is not None:
                    made = replace(made, signature=signs.sign_typed_data(made.typed_data))
                    _check_own(made)
                if made is not None and place is not None:
                    write_whole(place, encode(made))
                serve()
        result = replace(result, already=standing is not None)
        if sidecar:
            result = preparation.ship(result)
    return Requested(result, made)


def read_request(path: Path) -> Request:
    """The request in a file. Raises UsageError when it cannot be read, and what :func:`decode` raises, about
    the file.
    """
    data = read_named(path, REQUEST_LIMIT, "a request", make="`publish --sign-only` writes one.")
    try:
        return decode(data)
    except FormatError as error:
        raise error.about(str(path)) from None


def _check_place(place: Path, link: Link) -> None:
    """Raises UsageError when something stands there that is no request of this release."""
    if not os.path.lexists(place):
        return
    try:
        found = read_request(place).link
    except (FormatError, UsageError):
        raise UsageError(
            f"{str(place)!r} is there, and is no request",
            next="Name another file with -o; nothing was overwritten.",
        ) from None
    if found != link:
        raise UsageError(
            f"{str(place)!r} is the request for another release, {found}",
            next="Name another file with -o, or remove that one; nothing was overwritten.",
        )


def _check_own(made: Request) -> None:
    """A signer that is another program may answer anything."""
    found = signer_of_65(made.digest, made.signature)
    if found != made.signer:
        raise KeyRefused(
            f"what came back is no signature of {made.signer} over this release, but of {found}",
            next="Look at the signer in config.toml: it signed something else, or with another key.",
        )
