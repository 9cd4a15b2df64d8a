"""What each source did in a run, and what that says about pieces that nobody gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from integrity.errors import IntegrityError, SourcesLied, SourcesUnavailable
from integrity.ports import Source

_CAUSES = 20
_LACKS = 3


@dataclass(slots=True)
class SourceTally:
    """What one source did; ``lie`` is the evidence of the piece for which it was dropped."""

    source: Source
    bytes: int = 0
    pieces: int = 0
    rejected: int = 0
    failures: int = 0
    causes: list[str] = field(default_factory=list)
    lie: dict[str, object] | None = None
    lacks: set[str] = field(default_factory=set)

    def note(self, cause: str) -> None:
        """Keep why something failed, once."""
        if cause not in self.causes and len(self.causes) < _CAUSES:
            self.causes.append(cause)

    def note_lack(self, why: str) -> None:
        """Keep that it has not got something: a few of what may be as many as there are files."""
        if why in self.lacks:
            return
        if len(self.lacks) < _LACKS:
            self.lacks.add(why)
            self.note(why)
        else:
            self.note(f"{self.source.name}: has not got others either")


def failure(tallies: Sequence[SourceTally], what: str) -> IntegrityError:
    """Why ``what`` could not be fetched: SourcesLied with the evidence, or SourcesUnavailable."""
    lies = [tally.lie for tally in tallies if tally.lie is not None]
    causes = [cause for tally in tallies for cause in tally.causes]
    causes += [
        f"{lie['source']}: sent wrong bytes for {lie['path']} piece {lie['piece']}" for lie in lies
    ]
    if lies:
        liars = ", ".join(str(lie["source"]) for lie in lies)
        return SourcesLied(
            f"{what}: {liars} sent wrong bytes, and no honest source is left",
            evidence=lies[0],
            causes=causes,
        )
    return SourcesUnavailable(f"{what}: no source gave it", causes=causes)
