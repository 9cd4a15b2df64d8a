"""The index of a home, brought up to the block that a view reads at."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from integrity.client.beside import beside
from integrity.client.session import Session
from integrity.client.viewing import View
from integrity.core.links import Link
from integrity.core.names import ZERO_ADDRESS
from integrity.core.registry import Block
from integrity.errors import IntegrityError, RpcUnavailable, UnavailableError, UsageError
from integrity.ports import EventSource, EventStep, ReleasedEvent, Report
from integrity.verifier.policy import FINALIZED

if TYPE_CHECKING:
    from integrity.index.database import Index, Scope


def open_index(session: Session) -> Index:
    """The home's index, made if there is none yet. Raises StoreError."""
    from integrity.index.database import Index  # only who searches needs SQLite

    return Index(session.home.index)


def scope_of(session: Session, chain_id: int) -> Scope:
    """The registry at its one address on a chain."""
    from integrity.index.database import Scope

    return Scope(chain_id, session.registry(chain_id).address)


def scope_of_view(view: View) -> Scope:
    """The registry that a view is of."""
    from integrity.index.database import Scope

    return Scope(view.chain_id, view.registry.address)


def chain_view(session: Session, chain_id: int) -> View:
    """The registry at the block that this home's policy for everybody says. Raises what
    :meth:`Session.view` raises.
    """
    return session.view(Link(chain_id, ZERO_ADDRESS, "all"))


def searched_chain(session: Session) -> int:
    """The chain to search: as for publishing, else the only one that this home knows of."""
    try:
        return session.chosen_chain()
    except (UsageError, UnavailableError):
        # None is named, and the node does not say which it serves.
        known = set(session.config.rpc) | {entry.chain_id for entry in session.trust.all()}
        named = session.chain_id is not None or os.environ.get("INTEGRITY_CHAIN")
        if named or len(known) != 1:
            raise
        return known.pop()


def bring_up(
    session: Session,
    index: Index,
    view: View,
    link: Link | None = None,
    report: Report | None = None,
) -> list[str]:
    """Read the registry's events up to the block of a view (a link's, or the chain's) into the index ->
    what is to be told to people.

    The nodes are asked in their order until one gives all. Raises RpcUnavailable, with why each of them did
    not, StoreError, or UsageError when config.toml has it begin after that block; what was read is kept.
    """
    from integrity.chain.reader import RpcReader
    from integrity.index.syncing import Sync

    chain_id = view.chain_id
    policy = session.policy(chain_id, link)
    final = policy.finality == FINALIZED and policy.confirmations is None
    first = session.config.first_block.get(chain_id, 0)
    if first > view.block.number and index.mark(scope_of_view(view)) is None:
        raise UsageError(
            f"{session.home.config_file} has first_block = {first} for chain {chain_id}, which is read at "
            f"block {view.block.number}: no event would be found",
            next="Mend it: it is the block in which the registry was deployed there; or take it out.",
        )
    failed: list[RpcUnavailable] = []
    # Two of one server have one vote, and may keep different histories all the same.
    for url in dict.fromkeys(session.config.nodes(chain_id, session.rpc)):
        reader = RpcReader(url)
        try:
            if reader.hash_at(view.block.number) != view.block.hash:
                raise RpcUnavailable(f"{reader.name} has another block {view.block.number}")
            scope = scope_of_view(view)
            return Sync(index, _Ahead(reader), scope, first, final, report).run(view.block).warnings
        except RpcUnavailable as error:
            failed.append(error)
    if len(failed) == 1:
        raise failed[0]
    causes = [cause for error in failed for cause in error.reasons]
    raise RpcUnavailable(f"no node gives the events of chain {chain_id}", causes=causes)


@contextmanager
def brought_up(
    session: Session, view: View, link: Link, report: Report | None = None
) -> Iterator[tuple[Index, list[str]]]:
    """The home's index, brought up to the block of a view, and what is to be told to people; an error tells
    it as well. Raises what :func:`bring_up` raises.
    """
    with open_index(session) as index:
        warnings = bring_up(session, index, view, link, report)
        try:
            yield index, warnings
        except IntegrityError as error:
            error.causes += warnings
            raise


def released_events(index: Index, view: View, link: Link) -> list[ReleasedEvent]:
    """The Released events of a link's package up to the view's block, in the order of their sequence, out
    of the index, which goes up to that block: hints. Raises StoreError.
    """
    from integrity.index.reading import releases

    publisher = bytes.fromhex(link.publisher[2:])
    rows = releases(index, scope_of_view(view), publisher, link.package, view.block.number)
    return [
        ReleasedEvent(
            link.publisher, link.package, row.version, row.sequence, row.manifest,
            Block(row.block, row.block_hash, 0), row.transaction,
        )
        for row in rows
    ]  # fmt: skip


class _Ahead:
    """A source whose next step is fetched while the one before is put in."""

    def __init__(self, source: EventSource) -> None:
        self.name = source.name
        self._source = source

    def hash_at(self, number: int) -> bytes:
        return self._source.hash_at(number)

    def events(self, address: str, first: int, last: Block) -> Iterator[EventStep]:
        steps = iter(self._source.events(address, first, last))
        coming = beside(lambda: next(steps, None), "events")
        while (step := coming.result()) is not None:
            coming = beside(lambda: next(steps, None), "events")
            yield step
