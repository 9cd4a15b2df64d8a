"""Bringing the index up to a block, and back from one that the chain has dropped."""

from __future__ import annotations

from dataclasses import dataclass, field

from integrity.core.registry import Block
from integrity.errors import RpcAnswerInvalid
from integrity.index.database import Index, Mark, Scope
from integrity.ports import EventSource, Progress, Report

_TRIES = 8
_TAIL = 64
"""Blocks before the one that is read up to, which are a step of their own while none of them is final."""


@dataclass(slots=True)
class Synced:
    """What a run did: ``events`` that were put in, and what is to be told to people."""

    events: int = 0
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Sync:
    """One registry's events, brought in from a source. ``first`` is the block to begin with, ``final``
    whether the blocks up to which it is asked to go are ones that stay.
    """

    index: Index
    source: EventSource
    scope: Scope
    first: int = 0
    final: bool = True
    report: Report | None = None

    def run(self, to: Block) -> Synced:
        """Read on from where the index is, up to a block. Raises RpcUnavailable, when the source cannot
        or contradicts itself, or StoreError; what was read before is kept.
        """
        done = Synced()
        for _ in range(_TRIES):
            mark = self._common(to, done)
            if mark is not None and mark.number >= to.number:
                return done
            if self._go_on(mark, to, done):
                return done
        raise RpcAnswerInvalid(
            f"the blocks that {self.source.name} tells of change as they are read, or another process "
            "reads others into the same index"
        )

    def _go_on(self, mark: Mark | None, to: Block, done: Synced) -> bool:
        """Step by step -> False when somebody else did a step meanwhile."""
        begin = self.first if mark is None else mark.number + 1
        start = begin
        ends = [to]
        if not self.final and to.number - _TAIL >= begin:
            before = to.number - _TAIL
            ends.insert(0, Block(before, self.source.hash_at(before), 0))
        for end in ends:
            if end.number < begin:
                continue
            for step in self.source.events(self.scope.address, begin, end):
                if not self.index.add(self.scope, mark, step, final=self.final):
                    return False
                mark = Mark(step.last, step.hash, self.final)
                done.events += len(step.events)
                self._tell(step.last - start + 1, to.number - start + 1)
            begin = end.number + 1
        return True

    def _tell(self, blocks: int, total: int) -> None:
        if self.report:
            self.report(Progress("indexing", blocks, total, "blocks"))

    def _common(self, to: Block, done: Synced) -> Mark | None:
        """The newest mark that the source's chain has as well, up to the block; what the index has beyond
        a dropped one is taken out.
        """
        marks = self.index.marks(self.scope)
        there = [mark for mark in marks if mark.number <= to.number]
        if not there:  # the source is far behind, if there is anything: nothing can be said then
            return marks[0] if marks else None
        if self._stands(there[0], to):
            if len(there) == len(marks) or self._is_ahead(marks[0]):
                return marks[0]
            done.warnings.append(
                f"the index was read up to block {marks[0].number}, of which {self.source.name} knows "
                f"nothing; it is read anew from block {there[0].number}"
            )
            self.index.roll_back(self.scope, marks[0], there[0])
            return self.index.mark(self.scope)
        # A chain's blocks are common up to somewhere, and none is after it.
        low, high = 1, len(there)
        while low < high:
            middle = (low + high) // 2
            if self._stands(there[middle], to):
                high = middle
            else:
                low = middle + 1
        common = there[low] if low < len(there) else None
        dropped = there[low - 1]
        if dropped.final:
            done.warnings.append(
                f"{self.source.name} contradicts what was final: its block {dropped.number} is not "
                f"0x{dropped.hash.hex()}, which the index was read up to. It is read anew from there; "
                "find out which of your nodes is right"
            )
        self.index.roll_back(self.scope, marks[0], common)
        return self.index.mark(self.scope)

    def _is_ahead(self, mark: Mark) -> bool:
        """Whether the source has a mark's block as well, though it does not call it final yet."""
        try:
            return self.source.hash_at(mark.number) == mark.hash
        except RpcAnswerInvalid:
            return False

    def _stands(self, mark: Mark, to: Block) -> bool:
        found = to.hash if mark.number == to.number else self.source.hash_at(mark.number)
        return found == mark.hash
