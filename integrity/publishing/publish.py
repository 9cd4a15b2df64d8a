"""Publishing: disk -> pieces -> manifest -> store -> record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from integrity.client.session import Session
from integrity.core.links import Link
from integrity.core.names import parse_address
from integrity.errors import ReleaseExists
from integrity.ports import Report
from integrity.publishing.keeping import Keeper
from integrity.publishing.landing import check_same, found_standing, land
from integrity.publishing.preparing import (
    Draft,
    Preparation,
    Published,
    receiving,
    settling,
)
from integrity.publishing.recording import Recorder
from integrity.publishing.telling import say
from integrity.publishing.writing import check_funds

if TYPE_CHECKING:
    from integrity.chain.transactions import Call

__all__ = ["Published", "publish"]


def publish(
    session: Session,
    path: Path,
    package: str,
    version: str,
    *,
    key: str | None = None,
    make_latest: bool = True,
    follow_symlinks: bool = False,
    meta: Mapping[str, str] | None = None,
    whole_digests: bool = True,
    wait: bool = True,
    dry_run: bool = False,
    sidecar: bool = True,
    keepers: Sequence[Keeper] = (),
    report: Report | None = None,
) -> Published:
    """Publish a folder, or a single file, under a version that was never used before.

    ``session.publisher`` is who publishes, when that is not the key itself. Returns once the record
    is final, or with ``wait`` False once it is in a block. The same release again sends nothing.
    Each of ``keepers`` has it, and has given its roots back, before anything is recorded.
    Raises ReleaseExists, SourceChanged, PathRefused, UnsafePath, KeyRefused, TransactionRefused,
    ChainMismatch, RegistryMismatch, RpcUnavailable or Unfinalized.
    """
    info = session.key(key)
    publisher = parse_address(session.named_publisher or info.address)
    draft = Draft(path, package, version, meta or {}, make_latest, follow_symlinks, whole_digests)
    link = Link(session.chosen_chain(), publisher, package, version)
    preparation = Preparation.begun(session, draft, link)
    signer = session.signer(info)
    recorder = Recorder(session, link, version)
    for keeper in keepers:
        keeper.check()
    if recorder.standing() is None:
        recorder.prepare()
    with preparation.built, receiving([] if dry_run else keepers) as take:
        result = preparation.build(take, report)
        make_call = recorder.publishing(
            result.manifest, preparation.content, make_latest=make_latest
        )
        standing = recorder.standing()
        if standing is None:
            try:
                result = _with_cost(recorder, signer.address, result, make_call, dry_run=dry_run)
            except ReleaseExists:
                # Another process, or another machine, was faster by a moment.
                standing = recorder.standing()
                if standing is None:
                    raise
        if standing is not None:
            check_same(standing, result, session.home.recorded_manifest(standing.manifest))
        if dry_run:
            return replace(result, dry_run=True, already=standing is not None)
        early = any(keeper.fetches for keeper in keepers)
        with preparation.offering(result.warnings, early=early) as serve:
            result = preparation.keep(result, keepers, report)
            with settling(keepers, result.warnings):
                say(report, "recording")
                stands = None
                if standing is not None:
                    stands = found_standing(
                        recorder, standing, result, serve, wait=wait, report=report
                    )
                if stands is None:
                    with preparation.held_fast(lambda: recorder.is_signed(result.manifest)):
                        stands = land(
                            recorder, signer, result, make_call, serve, wait=wait, report=report
                        )
                result = stands
        return preparation.ship(result) if sidecar else result


def _with_cost(
    recorder: Recorder, sender: str, result: Published, make_call: Callable[[], Call], *,
    dry_run: bool,
) -> Published:  # fmt: skip
    """With what recording would cost. Raises TransactionRefused when the key has less, unless it
    is a dry run.
    """
    cost = recorder.estimate(make_call, sender)
    check_funds(cost, sender, result.warnings, dry_run=dry_run)
    return replace(result, gas_used=cost.gas, fee=cost.fee)
