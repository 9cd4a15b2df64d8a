"""Publishing: disk -> pieces -> manifest -> store -> record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from integrity.client.recording import Recorder, Standing
from integrity.client.session import Session
from integrity.client.sidecars import write_sidecar
from integrity.core.links import Link
from integrity.core.names import parse_address
from integrity.core.registry import Block
from integrity.disk.building import Naming, ReleaseBuilder
from integrity.errors import ReleaseExists
from integrity.ports import Progress, Report, Signer
from integrity.store.database import Store

FINAL_SECONDS = 3600.0
"""How long a publisher waits for finality, in seconds: Ethereum takes 15 minutes when all is well."""


@dataclass(frozen=True, slots=True)
class Published:
    """A release as it was published. ``fee`` is in wei and, like ``gas_used``, None when this call
    sent nothing; of a dry run both are estimates. ``already`` says that the very same release
    stood in the registry before.
    """

    link: Link
    manifest: bytes
    content: str
    files: int
    size: int
    sequence: int | None = None
    transaction: bytes | None = None
    block: Block | None = None
    gas_used: int | None = None
    fee: int | None = None
    final: bool = False
    already: bool = False
    dry_run: bool = False
    sidecar: Path | None = None
    warnings: list[str] = field(default_factory=list)


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
    report: Report | None = None,
) -> Published:
    """Publish a folder, or a single file, under a version that was never used before.

    ``session.publisher`` is who publishes, when that is not the key itself. Returns once the record
    is final, or with ``wait`` False once it is in a block. The same release again sends nothing.
    Raises ReleaseExists, SourceChanged, PathRefused, UnsafePath, KeyRefused, TransactionRefused,
    ChainMismatch, RegistryMismatch, RpcUnavailable or Unfinalized.
    """
    info = session.key(key)
    publisher = parse_address(session.named_publisher or info.address)
    naming = Naming(publisher, package, version, meta or {})
    link = Link(session.publishing_chain(), publisher, package, version)
    signer = session.keystore.open(info, session.password)
    recorder = Recorder(session, link, version)
    with ReleaseBuilder(
        path, naming, session.home.scratch_folder(),
        follow_symlinks=follow_symlinks, whole_digests=whole_digests,
    ) as built:  # fmt: skip
        header = built.build(report)
        result = Published(
            link, built.digest, str(header.content), header.files, header.size,
            warnings=[f"the folder {n!r} has no file in it and is left out" for n in built.empty_folders],
        )  # fmt: skip
        standing = recorder.standing()
        if standing is not None and standing.manifest != built.digest:
            raise _exists(link, standing, built.digest)
        content = header.content.digest
        if standing is None:
            cost = recorder.estimate(signer.address, built.digest, content, make_latest=make_latest)
            result = replace(result, gas_used=cost.gas, fee=cost.fee)
        if dry_run:
            return replace(result, dry_run=True, already=standing is not None)
        _say(report, "storing")
        with Store(session.home.store) as store:
            store.add_release(
                header, link.chain_id, built.digest, built.place,
                built.unchanged_files(), built.nodes(),
            )  # fmt: skip
        _say(report, "recording")
        if standing is None:
            result = _record(recorder, signer, result, content, make_latest=make_latest, wait=wait)
        else:
            result = _stands(recorder, standing, result, wait=wait)
        if sidecar:
            result = replace(result, sidecar=write_sidecar(path, built.chunks(), result.warnings))
    return result


def _record(
    recorder: Recorder, signer: Signer, result: Published, content: bytes, *,
    make_latest: bool, wait: bool,
) -> Published:  # fmt: skip
    mined = recorder.record(signer, result.manifest, content, make_latest=make_latest)
    if wait:
        mined = recorder.wait_final(mined, FINAL_SECONDS)
    standing = recorder.standing()
    return replace(
        result,
        sequence=standing.sequence if standing else None,
        transaction=mined.hash,
        block=Block(mined.block_number, mined.block_hash, mined.block_time),
        gas_used=mined.gas_used,
        fee=mined.fee,
        final=wait,
    )


def _stands(recorder: Recorder, standing: Standing, result: Published, *, wait: bool) -> Published:
    """The same release is recorded already: find out by which transaction, and send nothing."""
    if wait:
        recorder.wait_standing_final(result.manifest, FINAL_SECONDS)
    event = recorder.event()
    return replace(
        result,
        sequence=standing.sequence,
        transaction=event.transaction if event else None,
        block=event.block if event else None,
        final=wait,
        already=True,
    )


def _exists(link: Link, standing: Standing, digest: bytes) -> ReleaseExists:
    return ReleaseExists(
        f"{link.package}@{link.version} is recorded already, with another content: "
        f"the recorded manifest is {standing.manifest.hex()}, this one {digest.hex()}",
        evidence={"recorded": standing.manifest.hex(), "given": digest.hex()},
    )


def _say(report: Report | None, phase: str) -> None:
    if report:
        report(Progress(phase, 0))
