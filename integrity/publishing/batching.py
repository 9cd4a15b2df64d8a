"""Several releases of one publisher, recorded by one transaction."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from integrity.chain.calls import encode_call, registry_call
from integrity.chain.journal import Journal
from integrity.client.beside import beside
from integrity.client.session import Session
from integrity.client.viewing import View
from integrity.core.links import Link
from integrity.core.names import parse_address
from integrity.core.registry import (
    Block,
    decode_head,
    decode_release,
    head_slot,
    manifest_slot,
    release_slot,
)
from integrity.errors import (
    ReleaseExists,
    RpcAnswerInvalid,
    TransactionRefused,
    Unfinalized,
    UsageError,
)
from integrity.ports import Report, Signer
from integrity.publishing.keeping import Keeper
from integrity.publishing.landing import check_same
from integrity.publishing.preparing import (
    Draft,
    Preparation,
    Published,
    receiving,
    settling,
)
from integrity.publishing.recording import Standing
from integrity.publishing.telling import say, say_waiting
from integrity.publishing.writing import (
    FINAL_SECONDS,
    check_funds,
    import_writer,
    open_writer,
)
from integrity.verifier.policy import FINALIZED

if TYPE_CHECKING:
    from integrity.chain.journal import Entry
    from integrity.chain.transactions import Call, Mined
    from integrity.chain.writer import ChainWriter

BATCH_LIMIT = 150
"""Releases: a transaction may use 16,777,216 gas (EIP-7825), and a first release takes about 80,000."""

_POLL_SECONDS = 0.25
_RELEASES_OF = " releases of "


@dataclass(frozen=True, slots=True)
class PublishedMany:
    """Releases as they were published by one transaction. ``fee`` is in wei and, like ``gas_used``, None when
    this call sent nothing; of a dry run both are estimates. ``already`` says that all of them stood before.
    """

    releases: tuple[Published, ...]
    transaction: bytes | None = None
    block: Block | None = None
    gas_used: int | None = None
    fee: int | None = None
    final: bool = False
    already: bool = False
    dry_run: bool = False


def publish_many(
    session: Session,
    drafts: Sequence[Draft],
    *,
    key: str | None = None,
    wait: bool = True,
    dry_run: bool = False,
    sidecar: bool = True,
    make_keepers: Callable[[], Sequence[Keeper]] = tuple,
    report: Report | None = None,
) -> PublishedMany:
    """Publish folders as :func:`integrity.publish` does, all of them or none: what is recorded already, as
    by an earlier run, is left out of the transaction. ``make_keepers`` is asked for each of them.

    Raises UsageError when two have one name, and what publishing raises.
    """
    info = session.key(key)
    publisher = parse_address(session.named_publisher or info.address)
    chain_id = session.chosen_chain()
    links = [Link(chain_id, publisher, draft.package, draft.version) for draft in drafts]
    _check_names(links)
    many = [
        Preparation.begun(session, draft, link) for draft, link in zip(drafts, links, strict=True)
    ]
    signer = session.signer(info)
    batch = _Batch(session, links)
    if None in batch.standing():
        beside(import_writer, "import")
    for keeper in () if dry_run else make_keepers():
        keeper.check()
    with ExitStack() as stack:
        all_keepers: list[Keeper] = []
        serves: list[Callable[[], None]] = []
        results: list[Published] = []
        for one in many:
            keepers = () if dry_run else make_keepers()
            result, serve = _built(stack, one, keepers, report, dry_run=dry_run)
            results.append(result)
            serves.append(serve)
            all_keepers += keepers
        batch.contents = [
            (result.manifest, one.content, one.draft.make_latest)
            for result, one in zip(results, many, strict=True)
        ]
        before = batch.checked(results)
        missing = [one for one, known in zip(many, before, strict=True) if known is None]
        done = PublishedMany(tuple(results), already=not missing, dry_run=dry_run, final=wait)
        writer = open_writer(session, chain_id)
        if missing:
            cost = writer.estimate(batch.make_call, info.address)
            done = replace(done, gas_used=cost.gas, fee=cost.fee)
            check_funds(cost, info.address, results[0].warnings, dry_run=dry_run)
        if dry_run:
            return batch.told(replace(done, final=False), before, None)
        with settling(all_keepers, results[0].warnings), ExitStack() as held:
            say(report, "recording")
            for one in missing:
                held.enter_context(one.held_fast(lambda: batch.entry() is not None))
            mined = _land(writer, signer, batch, results, serves, wait=wait, report=report)
        done = replace(
            done, transaction=mined.hash if mined else None, block=mined.block if mined else None,
            # What an earlier run paid is told of that one alone.
            gas_used=mined.gas_used if mined and missing else None,
            fee=mined.fee if mined and missing else None,
            already=done.already or mined is None,
        )  # fmt: skip
        done = batch.told(done, before, mined)
        if sidecar:
            shipped = (one.ship(r) for one, r in zip(many, done.releases, strict=True))
            done = replace(done, releases=tuple(shipped))
        return done


def _built(
    stack: ExitStack, one: Preparation, keepers: Sequence[Keeper], report: Report | None, *,
    dry_run: bool,
) -> tuple[Published, Callable[[], None]]:  # fmt: skip
    """Hash one release and, unless it is a dry run, have it kept -> it, and what has this home serve it."""
    stack.enter_context(one.built)
    with receiving(keepers) as take:
        result = one.build(take, report)
        if dry_run:
            return result, lambda: None
        early = any(keeper.fetches for keeper in keepers)
        serve = stack.enter_context(one.offering(result.warnings, early=early))
        return one.keep(result, keepers, report), serve


def _land(
    writer: ChainWriter, signer: Signer, batch: _Batch, results: Sequence[Published],
    serves: Sequence[Callable[[], None]], *, wait: bool, report: Report | None,
) -> Mined | None:  # fmt: skip
    """Record what is missing and wait for it -> by which transaction; None when others, or an earlier run
    that was final before, did all of it.
    """
    try:
        if None in batch.standing():
            mined: Mined | None = writer.send(signer, batch.make_call)
        else:
            entry = batch.entry()
            mined = writer.look_up(entry) if entry is not None else None
        for serve in serves:
            serve()
        if wait:
            say_waiting(report)
        if mined is not None:
            return writer.wait_final(mined, signer, FINAL_SECONDS) if wait else mined
    except (ReleaseExists, TransactionRefused):
        # Perhaps another machine with the same key was faster.
        if None in batch.checked(results):
            raise
        for serve in serves:
            serve()
    if wait:
        batch.wait_final(results)
    return None


class _Batch:
    """What the registry has of some releases of one publisher, and the call that records the rest.
    ``contents`` are each one's manifest and content, 32 bytes each, and whether it becomes the latest.
    """

    def __init__(self, session: Session, links: Sequence[Link]) -> None:
        self._session = session
        self._links = links
        self.contents: list[tuple[bytes, bytes, bool]] = []

    @property
    def _purpose(self) -> str:
        """The same for the same releases, whichever of them stand."""
        named = (
            f"{link} {manifest.hex()}"
            for link, (manifest, _, _) in zip(self._links, self.contents, strict=True)
        )
        lines = [*sorted(named), self._registry]
        digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        return f"publish {len(self._links)}{_RELEASES_OF}{self._links[0].publisher} {digest}"

    @property
    def _registry(self) -> str:
        first = self._links[0]
        return self._session.registry(first.chain_id, first.publisher).address

    def entry(self) -> Entry | None:
        """The journal's, if an earlier run has signed this batch."""
        return Journal(self._session.home.journal).find(self._purpose)

    def standing(self, *, final: bool = False) -> list[Standing | None]:
        """What there is of each at the newest block (or at the finalized one)."""
        try:
            view = self._session.view(self._links[0], FINALIZED) if final else self._newest()
        except Unfinalized:  # nothing is yet
            return [None] * len(self._links)
        names = [(link.publisher, link.package, str(link.version)) for link in self._links]
        words = view.words([release_slot(*name) for name in names])
        found = [decode_release(word).sequence for word in words]
        there = [
            manifest_slot(*name[:2], number) for name, number in zip(names, found, strict=True) if number
        ]  # fmt: skip
        manifests = iter(view.words(there) if there else [])
        return [Standing(number, next(manifests)) if number else None for number in found]

    def _newest(self) -> View:
        return self._session.newest(self._links[0].chain_id, self._links[0].publisher)

    def checked(
        self, results: Sequence[Published], *, final: bool = False
    ) -> list[Standing | None]:
        """The same; raises ReleaseExists when one stands with another manifest."""
        standing = self.standing(final=final)
        for known, result in zip(standing, results, strict=True):
            if known is not None:
                kept = self._session.home.recorded_manifest(known.manifest)
                check_same(known, result, kept)
        return standing

    def make_call(self) -> Call:
        """Records what is not there yet, each after as many others of its package as there are then. Raises
        ReleaseExists when nothing is left.
        """
        missing = [at for at, known in enumerate(self.standing()) if known is None]
        if not missing:
            raise ReleaseExists("all releases of the batch are recorded already")
        packages = sorted({self._links[at].package for at in missing})
        publisher = self._links[0].publisher
        view = self._newest()
        heads = view.words([head_slot(publisher, package) for package in packages])
        counts = Counter(
            {
                package: decode_head(head).count
                for package, head in zip(packages, heads, strict=True)
            }
        )
        calls = []
        for at in missing:
            link, (manifest, content, latest) = self._links[at], self.contents[at]
            names = publisher, link.package, str(link.version)
            calls.append(
                encode_call("publish", *names, manifest, content, counts[link.package], latest)
            )
            counts[link.package] += 1
        return registry_call(self._registry, "multicall", (calls,), self._purpose)

    def wait_final(self, results: Sequence[Published]) -> None:
        """Until all of them are final. Raises Unfinalized or ReleaseExists."""
        deadline = time.monotonic() + FINAL_SECONDS
        while None in self.checked(results, final=True):
            if time.monotonic() > deadline:
                raise Unfinalized(
                    f"the batch is not final after {FINAL_SECONDS:.0f} seconds",
                    next="Run the same command again: it goes on waiting, and sends nothing twice.",
                )
            time.sleep(_POLL_SECONDS)
        entry = self.entry()
        if entry is not None:
            Journal(self._session.home.journal).remove(entry)

    def told(
        self, done: PublishedMany, before: Sequence[Standing | None], mined: Mined | None
    ) -> PublishedMany:
        """With where each release stands now; ``before`` is what stood before this call."""
        now = self.checked(done.releases, final=done.final)
        if done.final and None in now:
            raise RpcAnswerInvalid(
                "the RPC says that the batch is final, and has no record of all of it",
                next="Run the same command again; nothing is recorded twice.",
            )
        releases = tuple(
            replace(
                result, sequence=known.sequence if known else None, final=done.final,
                already=old is not None, dry_run=done.dry_run,
                transaction=mined.hash if mined is not None and old is None else None,
                block=mined.block if mined is not None and old is None else None,
            )
            for result, known, old in zip(done.releases, now, before, strict=True)
        )  # fmt: skip
        return replace(done, releases=releases)


def is_batch(purpose: str) -> bool:
    """Whether a transaction of this purpose is a batch's."""
    return _RELEASES_OF in purpose


def _check_names(links: Sequence[Link]) -> None:
    """Raises UsageError unless there are some, not too many, and no two with one name."""
    if not 0 < len(links) <= BATCH_LIMIT:
        raise UsageError(
            f"a batch of {len(links)} releases; 1 to {BATCH_LIMIT} go into one transaction",
            next="Make several batches of it.",
        )
    link, times = Counter(links).most_common(1)[0]
    if times > 1:
        raise UsageError(f"the batch has {link.package}@{link.version} {times} times")
