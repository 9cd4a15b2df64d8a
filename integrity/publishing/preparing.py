"""A release up to its record: read and hashed, kept in other places, and servable from this home."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from integrity.client.beside import beside
from integrity.client.receipts import ship_receipt
from integrity.client.session import Session
from integrity.core.links import Link
from integrity.core.registry import Block
from integrity.disk.building import Naming, ReleaseBuilder
from integrity.disk.files import write_parts
from integrity.disk.hashing import Take
from integrity.disk.sidecars import write_sidecar
from integrity.errors import RefusedError, SourceChanged, StoreError
from integrity.ports import Report
from integrity.publishing.keeping import Keeper
from integrity.publishing.telling import say
from integrity.store.database import Store


@dataclass(frozen=True, slots=True)
class Draft:
    """A folder, or a single file, and what it is to be published as."""

    path: Path
    package: str
    version: str
    meta: Mapping[str, str] = field(default_factory=dict)
    make_latest: bool = True
    follow_symlinks: bool = False
    whole_digests: bool = True


@dataclass(frozen=True, slots=True)
class Published:
    """A release as it was published. ``fee`` is in wei and, like ``gas_used``, None when this call
    sent nothing for it alone; of a dry run both are estimates. ``already`` says that the very same
    release stood in the registry before; ``kept`` names the places that keep it besides this home.
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


@dataclass(frozen=True, slots=True)
class Preparation:
    """One draft that is being published as ``link``. Its methods are called in this order."""

    session: Session
    draft: Draft
    link: Link
    built: ReleaseBuilder

    @classmethod
    def begun(cls, session: Session, draft: Draft, link: Link) -> Preparation:
        """Its builder is a context manager, and not entered yet. Raises FormatError or PathRefused."""
        naming = Naming(link.publisher, draft.package, draft.version, draft.meta)
        session.home.refuse_inside(draft.path)
        builder = ReleaseBuilder(
            draft.path, naming, session.home.scratch_folder(),
            follow_symlinks=draft.follow_symlinks, whole_digests=draft.whole_digests,
        )  # fmt: skip
        return cls(session, draft, link, builder)

    def build(self, take: Take | None, report: Report | None) -> Published:
        """Read and hash everything. Raises what :meth:`ReleaseBuilder.build` raises."""
        header = self.built.build(report, take)
        return Published(
            self.link, self.built.digest, str(header.content), header.files, header.size,
            warnings=self.built.warnings,
        )  # fmt: skip

    @property
    def content(self) -> bytes:
        """The 32 bytes of the content root's digest."""
        return self.built.header.content.digest

    def keep(
        self, result: Published, keepers: Sequence[Keeper], report: Report | None
    ) -> Published:
        """Give the release to everyone else who is to keep it, if the files still are what was hashed."""
        say(report, "checking")
        for _ in self.built.unchanged_files():
            pass
        for keeper in keepers:
            say(report, f"uploading to {keeper.name}")
            keeper.keep(self.built)
        return replace(result, kept=tuple(keeper.name for keeper in keepers))

    @contextmanager
    def offering(self, warnings: list[str], *, early: bool) -> Iterator[Callable[[], None]]:
        """Gives what is to be called once the release is recorded: it has this home serve it, which
        serves nothing else. With ``early`` it is served at once, and no more if it is not recorded
        after all.
        """
        recorded = False

        def serve() -> None:
            nonlocal recorded
            recorded = True
            self._store(warnings)

        with Store(self.session.home.store) as store:
            early = early and all(known.manifest != self.built.digest for known in store.releases())
        if early:
            self._store(warnings)
        try:
            yield serve
        except BaseException:
            if early and not recorded:
                with Store(self.session.home.store) as store:
                    store.remove_release(self.built.digest)
            raise

    def _store(self, warnings: list[str]) -> None:
        """Have this home serve it. What keeps it from that is a warning, as the record stands."""
        built = self.built
        try:
            with Store(self.session.home.store) as store:
                displaced = _displaced(store, built)
                store.add_release(
                    built.header, self.link.chain_id, built.digest, built.place,
                    built.unchanged_files(), built.nodes(),
                )  # fmt: skip
            warnings.extend(displaced)
            with suppress(OSError):
                self.session.home.recorded_manifest(built.digest).unlink(missing_ok=True)
        except (SourceChanged, StoreError) as error:
            warnings.append(
                "this home does not serve the release; once that is mended, the same command again "
                f"does it, and what is recorded is not paid for again: {error.message}"
            )

    @contextmanager
    def held_fast(self, is_signed: Callable[[], bool]) -> Iterator[None]:
        """Keeps the manifest in this home while it is recorded: what is paid for must not be lost with
        this process, or with the folder. The store takes over from there. ``is_signed`` tells whether
        there is a transaction that may record it yet.
        """
        place = self.session.home.recorded_manifest(self.built.digest)
        write_parts(place, self.built.chunks(), private=True)
        try:
            yield
        except RefusedError:
            # A node may refuse what it, or another one, has taken before.
            if not is_signed():
                place.unlink(missing_ok=True)
            raise

    def ship(self, result: Published) -> Published:
        """Put the manifest and the record's proofs beside the folder. The record stands without them:
        what goes wrong is a warning.
        """
        sidecar = write_sidecar(self.draft.path, self.built.chunks(), result.warnings)
        if result.final:
            own = replace(self.session, publisher=self.link.publisher)
            ship_receipt(own, self.link, self.draft.path, result.warnings)
        return replace(result, sidecar=sidecar)


@contextmanager
def receiving(keepers: Sequence[Keeper]) -> Iterator[Take | None]:
    """What every piece is given to, for all who want it."""
    with ExitStack() as stack:
        all_of = [stack.enter_context(keeper.receiving()) for keeper in keepers]
        takes = [take for take in all_of if take is not None]

        def give(digest: bytes, piece: bytes, stopped: Callable[[], bool]) -> None:
            for take in takes:
                take(digest, piece, stopped)

        yield give if takes else None


@contextmanager
def settling(keepers: Sequence[Keeper], warnings: list[str]) -> Iterator[None]:
    """Let the keepers do beside the recording what it need not wait for."""
    # Nobody who gives up, or cannot record, waits for the network to be told.
    settled = beside(lambda: [w for keeper in keepers for w in keeper.settle()], "settle")
    yield
    warnings.extend(settled.result())


def _displaced(store: Store, built: ReleaseBuilder) -> list[str]:
    """What can no longer be served once this is published from the folder of an earlier release."""
    content = built.header.content.digest
    return [
        f"{old.package}@{old.version} was published from this folder too, and is served no longer "
        "where they differ: keep a folder for each version"
        for old in store.releases()
        if old.folder == built.place and old.content != content
    ]
