"""Publishing: disk -> pieces -> manifest -> store -> record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from integrity.client.beside import beside
from integrity.client.receipts import ship_receipt
from integrity.client.session import Session
from integrity.core.links import Link
from integrity.core.names import parse_address
from integrity.core.registry import Block
from integrity.disk.building import Naming, ReleaseBuilder
from integrity.disk.files import write_parts
from integrity.disk.hashing import Take
from integrity.disk.sidecars import write_sidecar
from integrity.errors import (
    RefusedError,
    ReleaseExists,
    RpcAnswerInvalid,
    SourceChanged,
    StoreError,
    TransactionRefused,
)
from integrity.ports import Progress, Report, Signer
from integrity.publishing.keeping import Keeper
from integrity.publishing.recording import Recorder, Standing
from integrity.publishing.writing import FINAL_SECONDS
from integrity.store.database import Store
from integrity.verifier.policy import FINALIZED, LATEST


@dataclass(frozen=True, slots=True)
class Published:
    """A release as it was published. ``fee`` is in wei and, like ``gas_used``, None when this call
    sent nothing; of a dry run both are estimates. ``already`` says that the very same release
    stood in the registry before; ``kept`` names the places that keep it besides this home.
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
    kept: tuple[str, ...] = ()
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
    naming = Naming(publisher, package, version, meta or {})
    link = Link(session.chosen_chain(), publisher, package, version)
    session.home.refuse_inside(path)
    signer = session.signer(info)
    recorder = Recorder(session, link, version)
    for keeper in keepers:
        keeper.check()
    if recorder.standing() is None:
        recorder.prepare()
    builder = ReleaseBuilder(
        path, naming, session.home.scratch_folder(),
        follow_symlinks=follow_symlinks, whole_digests=whole_digests,
    )  # fmt: skip
    with builder as built, _receiving([] if dry_run else keepers) as take:
        header = built.build(report, take)
        result = Published(
            link, built.digest, str(header.content), header.files, header.size,
            warnings=built.warnings,
        )  # fmt: skip
        content = header.content.digest
        standing = recorder.standing()
        if standing is None:
            try:
                result = _estimated(recorder, signer, result, content, make_latest, dry_run=dry_run)
            except ReleaseExists:
                # Another process, or another machine, was faster by a moment.
                standing = recorder.standing()
                if standing is None:
                    raise
        if standing is not None:
            _check_same(standing, result, session.home.recorded_manifest(standing.manifest))
        if dry_run:
            return replace(result, dry_run=True, already=standing is not None)
        early = any(keeper.fetches for keeper in keepers)
        with _offering(session, built, result, early=early) as serve:
            result = _keep(built, result, keepers, report)
            with _settling(keepers, result.warnings):
                _say(report, "recording")
                stands = _stands(recorder, standing, result, serve, wait=wait) if standing else None
                if stands is None:
                    with _held_fast(session.home.recorded_manifest(built.digest), built):
                        stands = _record(
                            recorder, signer, result, content, serve,
                            make_latest=make_latest, wait=wait,
                        )  # fmt: skip
                result = stands
        return _ship(session, path, built, result) if sidecar else result


def _ship(session: Session, path: Path, built: ReleaseBuilder, result: Published) -> Published:
    """Put the manifest and the record's proofs beside the folder. The record stands without them: what
    goes wrong is a warning.
    """
    result = replace(result, sidecar=write_sidecar(path, built.chunks(), result.warnings))
    if result.final:
        ship_receipt(session, result.link, path, result.warnings)
    return result


@contextmanager
def _held_fast(place: Path, built: ReleaseBuilder) -> Iterator[None]:
    """Keeps the manifest in this home while it is recorded: what is paid for must not be lost with this
    process, or with the folder. The store takes over from there.
    """
    write_parts(place, built.chunks(), private=True)
    try:
        yield
    except RefusedError:  # nothing was recorded
        place.unlink(missing_ok=True)
        raise


def _estimated(
    recorder: Recorder, signer: Signer, result: Published, content: bytes, make_latest: bool, *,
    dry_run: bool,
) -> Published:  # fmt: skip
    """With what recording would cost. Raises TransactionRefused when the key has less, unless it
    is a dry run.
    """
    cost = recorder.estimate(signer.address, result.manifest, content, make_latest=make_latest)
    if cost.balance < cost.fee:
        from integrity.chain.refusals import no_funds  # imports eth_abi

        error = no_funds(signer.address)
        if not dry_run:
            raise error
        result.warnings.append(error.message)
    return replace(result, gas_used=cost.gas, fee=cost.fee)


@contextmanager
def _receiving(keepers: Sequence[Keeper]) -> Iterator[Take | None]:
    """What every piece is given to, for all who want it."""
    with ExitStack() as stack:
        all_of = [stack.enter_context(keeper.receiving()) for keeper in keepers]
        takes = [take for take in all_of if take is not None]

        def give(digest: bytes, piece: bytes, stopped: Callable[[], bool]) -> None:
            for take in takes:
                take(digest, piece, stopped)

        yield give if takes else None


@contextmanager
def _settling(keepers: Sequence[Keeper], warnings: list[str]) -> Iterator[None]:
    """Let the keepers do beside the recording what it need not wait for."""
    # Nobody who gives up, or cannot record, waits for the network to be told.
    settled = beside(lambda: [w for keeper in keepers for w in keeper.settle()], "settle")
    yield
    warnings.extend(settled.result())


def _keep(
    built: ReleaseBuilder, result: Published, keepers: Sequence[Keeper], report: Report | None
) -> Published:
    """Give the release to everyone else who is to keep it, if the files still are what was hashed."""
    _say(report, "checking")
    for _ in built.unchanged_files():
        pass
    for keeper in keepers:
        _say(report, f"uploading to {keeper.name}")
        keeper.keep(built)
    return replace(result, kept=tuple(keeper.name for keeper in keepers))


@contextmanager
def _offering(
    session: Session, built: ReleaseBuilder, result: Published, *, early: bool
) -> Iterator[Callable[[], None]]:
    """Gives what is to be called once the release is recorded: it has this home serve it, which serves
    nothing else. With ``early`` it is served at once, and no more if it is not recorded after all.
    """
    recorded = False

    def serve() -> None:
        nonlocal recorded
        recorded = True
        _store(session, built, result)

    with Store(session.home.store) as store:
        early = early and all(known.manifest != built.digest for known in store.releases())
    if early:
        _store(session, built, result)
    try:
        yield serve
    except BaseException:
        if early and not recorded:
            with Store(session.home.store) as store:
                store.remove_release(built.digest)
        raise


def _store(session: Session, built: ReleaseBuilder, result: Published) -> None:
    """Have this home serve the release. What keeps it from that is a warning, as the record stands."""
    try:
        with Store(session.home.store) as store:
            displaced = _displaced(store, built)
            store.add_release(
                built.header, result.link.chain_id, built.digest, built.place,
                built.unchanged_files(), built.nodes(),
            )  # fmt: skip
        result.warnings.extend(displaced)
        with suppress(OSError):
            session.home.recorded_manifest(built.digest).unlink(missing_ok=True)
    except (SourceChanged, StoreError) as error:
        result.warnings.append(
            "this home does not serve the release; once that is mended, the same command again does "
            f"it, and what is recorded is not paid for again: {error.message}"
        )


def _record(
    recorder: Recorder, signer: Signer, result: Published, content: bytes, serve: Callable[[], None],
    *, make_latest: bool, wait: bool,
) -> Published:  # fmt: skip
    try:
        mined = recorder.record(signer, result.manifest, content, make_latest=make_latest)
        serve()
        if wait:
            mined = recorder.wait_final(mined, signer, FINAL_SECONDS)
    except (ReleaseExists, TransactionRefused):
        # Perhaps another machine with the same key was faster.
        standing = recorder.standing()
        stands = _stands(recorder, standing, result, serve, wait=wait) if standing else None
        if stands is None:
            raise
        return stands
    standing = recorder.standing(FINALIZED if wait else LATEST)
    if standing is not None:
        _check_same(standing, result)
    elif wait:
        raise RpcAnswerInvalid(
            f"the RPC says that the transaction 0x{mined.hash.hex()} is final, and has no record of it",
            next="Run the same command again; nothing is recorded twice.",
        )
    return replace(
        result,
        sequence=standing.sequence if standing else None,
        transaction=mined.hash,
        block=Block(mined.block_number, mined.block_hash, mined.block_time),
        gas_used=mined.gas_used,
        fee=mined.fee,
        final=wait,
    )


def _stands(
    recorder: Recorder, standing: Standing, result: Published, serve: Callable[[], None], *,
    wait: bool,
) -> Published | None:  # fmt: skip
    """The same release is recorded already: find out by which transaction, and send nothing. None
    when a reorganisation drops it while it is waited for.
    """
    _check_same(standing, result)
    serve()
    if wait:
        final = recorder.wait_standing_final(result.manifest, FINAL_SECONDS)
        if final is None:
            return None
        _check_same(final, result)
    elif (final := recorder.standing(FINALIZED)) is not None:
        _check_same(final, result)
    event = recorder.event()
    return replace(
        result,
        sequence=standing.sequence,
        transaction=event.transaction if event else None,
        block=event.block if event else None,
        gas_used=None,
        fee=None,
        final=final is not None,
        already=True,
    )


def _displaced(store: Store, built: ReleaseBuilder) -> list[str]:
    """What can no longer be served once this is published from the folder of an earlier release."""
    content = built.header.content.digest
    return [
        f"{old.package}@{old.version} was published from this folder too, and is served no longer "
        "where they differ: keep a folder for each version"
        for old in store.releases()
        if old.folder == built.place and old.content != content
    ]


def _check_same(standing: Standing, result: Published, kept: Path | None = None) -> None:
    """Raises ReleaseExists when the version stands with another manifest than the one built; ``kept`` is
    where that may have been put before it was recorded.
    """
    if standing.manifest != result.manifest:
        recorded, given = standing.manifest.hex(), result.manifest.hex()
        more = {}
        if kept is not None and kept.is_file():
            more["next"] = (
                f"The manifest that is recorded is kept in {str(kept)!r}: restore the folder as it was, "
                "and run the same command again; or choose another version."
            )
        raise ReleaseExists(
            f"{result.link.package}@{result.link.version} is recorded already, with another "
            f"content: the recorded manifest is {recorded}, this one {given}",
            evidence={"recorded": recorded, "given": given},
            **more,
        )


def _say(report: Report | None, phase: str) -> None:
    if report:
        report(Progress(phase, 0))
