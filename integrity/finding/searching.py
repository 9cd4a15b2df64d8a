"""Packages by words: found in the index, then proven one by one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from integrity.client.resolving import begin, read_record
from integrity.client.session import Session
from integrity.client.viewing import View
from integrity.core.links import Link
from integrity.core.names import checksum_address
from integrity.core.registry import head_slot, manifest_slot, release_slot
from integrity.errors import (
    IntegrityError,
    RpcAnswerInvalid,
    RpcUnavailable,
    UnavailableError,
    UsageError,
)
from integrity.finding.holding import note_headers
from integrity.finding.indexing import bring_up, chain_view, open_index, scope_of, searched_chain
from integrity.finding.knowing import Acquaintance
from integrity.index.database import Mark
from integrity.index.searching import Hit, Query, Searching
from integrity.index.words import asked
from integrity.ports import Report
from integrity.verifier.checks import Registry
from integrity.verifier.policy import Policy
from integrity.verifier.record import Record

LIMIT = 20


@dataclass(frozen=True, slots=True)
class Match:
    """A release that was found. ``record`` is what was proven of it; None when nothing was, and ``problem``
    then says why. ``trusted`` says that its publisher is in this home's trust store, or is its own.
    ``releases`` is how many the package has, as the events tell it.
    """

    link: Link
    sequence: int
    manifest: bytes
    releases: int
    alias: str | None
    trusted: bool
    record: Record | None = None
    problem: IntegrityError | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """``mark`` is the block up to which the index goes. ``problem`` is why it could not be brought up to
    date; None when it was, or was not asked to be. ``is_ranked`` says that everything was looked at; else
    there is too much that has these words, and these are the newest.
    """

    chain_id: int
    matches: list[Match]
    mark: Mark
    is_ranked: bool
    synced: bool
    problem: IntegrityError | None = None
    warnings: list[str] = field(default_factory=list)


def search(
    session: Session,
    words: Sequence[str],
    *,
    limit: int = LIMIT,
    sync: bool = True,
    report: Report | None = None,
) -> Found:
    """The packages that have all these words: in their name, as their publisher's address or alias, or in
    what a manifest held here says of them; ``name@1.2`` also wants a version that begins so. Only those of
    ``session.publisher``, if one is named.

    The index is brought up to the block that the policy says first; if no node can be asked, it answers as
    it is. Raises UsageError, StoreError, and UnavailableError with every cause when nothing was found and
    that may be because nothing could be asked.
    """
    wanted = asked(words)
    chain_id = searched_chain(session)
    scope, known = scope_of(session, chain_id), Acquaintance.of(session, chain_id)
    only = session.named_publisher
    view, problem, warnings = None, None, list[str]()
    with open_index(session) as index:
        note_headers(session, index)
        if sync:
            try:
                view = chain_view(session, chain_id)
                warnings = bring_up(session, index, view, report=report)
            except UnavailableError as error:
                problem = error
        mark = index.mark(scope)
        if mark is None:
            raise problem or _nothing_indexed(chain_id)
        query = Query(
            wanted, [known.called(word.text) for word in wanted], frozenset(known.raw),
            None if only is None else bytes.fromhex(only[2:]), limit,
        )  # fmt: skip
        hits = Searching(index, scope).run(query)
    if problem is not None and not hits.hits:
        raise UnavailableError(
            f"nothing was found up to block {mark.number} of chain {chain_id}, and what came after it "
            "could not be read",
            causes=problem.reasons, next=problem.next,
        )  # fmt: skip
    matches = [_match(hit, chain_id, known) for hit in hits.hits]
    if view is not None:
        matches = list(Prover(session, view).prove(matches))
    elif problem is not None:
        matches = [replace(match, problem=problem) for match in matches]
    done = sync and problem is None
    return Found(chain_id, matches, mark, hits.is_ranked, done, problem, warnings)


def _nothing_indexed(chain_id: int) -> UnavailableError:
    return UnavailableError(
        f"nothing of chain {chain_id} was read into the index yet",
        next="Search once without --no-sync.",
    )


def _match(hit: Hit, chain_id: int, known: Acquaintance) -> Match:
    publisher = checksum_address(hit.publisher)
    link = Link(chain_id, publisher, hit.package, hit.version)
    return Match(
        link, hit.sequence, hit.manifest, hit.releases, known.aliases.get(publisher),
        known.knows(publisher),
    )  # fmt: skip


class Prover:
    """Holds what was found against the state, at one block for all whose policy and registry are the same."""

    def __init__(self, session: Session, view: View) -> None:
        self._session = session
        self._chain_id = view.chain_id
        at = (session.policy(view.chain_id), view.registry)
        self._views: dict[tuple[Policy, Registry], View | IntegrityError] = {at: view}

    def prove(self, matches: Sequence[Match]) -> Iterable[Match]:
        """The same, each with its record or why there is none. Who could not be asked once is not asked
        again.
        """
        self._prepare(matches)
        for match in matches:
            policy = self._session.policy(self._chain_id, match.link)
            at = policy, self._session.registry(self._chain_id, match.link.publisher)
            view = self._view(at, match.link)
            if isinstance(view, IntegrityError):
                yield replace(match, problem=view)
                continue
            try:
                yield replace(match, record=self._record(view, match))
            except RpcAnswerInvalid as error:
                yield replace(match, problem=error)
            except RpcUnavailable as error:
                self._views[at] = error
                yield replace(match, problem=error)
            except UsageError:
                raise
            except IntegrityError as error:
                yield replace(match, problem=error)

    def _view(self, at: tuple[Policy, Registry], link: Link) -> View | IntegrityError:
        if at not in self._views:
            try:
                self._views[at] = self._session.view(link)
            except UnavailableError as error:
                self._views[at] = error
        return self._views[at]

    def _prepare(self, matches: Sequence[Match]) -> None:
        """Have all words that will be asked for proven in few round trips; what fails is asked for again."""
        (view,) = self._views.values()
        assert isinstance(view, View), "it was given so"
        slots = []
        for match in matches:
            names = (match.link.publisher, match.link.package)
            slots += [head_slot(*names), release_slot(*names, str(match.link.version))]
            slots += [manifest_slot(*names, match.sequence)] if match.sequence else []
        try:
            for at in range(0, len(slots), _SLOTS):
                view.words(slots[at : at + _SLOTS])
        except IntegrityError:
            return

    def _record(self, view: View, match: Match) -> Record:
        # That nobody here knows the publisher is told beside; what they recorded can be proven all the same.
        named = replace(self._session, publisher=match.link.publisher)
        verifier, _ = begin(named, match.link, view=view)
        record = read_record(named, verifier, view, match.link, str(match.link.version))
        if record.manifest != match.manifest:
            raise RpcAnswerInvalid(
                f"the event of {match.link} names another manifest than the state: {match.manifest.hex()}"
            )
        return record


_SLOTS = 90
