"""What a publisher is told while something goes on that has no measure."""

from __future__ import annotations

from integrity.ports import Progress, Report


def say(report: Report | None, phase: str) -> None:
    """Tell of a phase that has no measure."""
    if report:
        report(Progress(phase, 0, unit=""))


def say_waiting(report: Report | None) -> None:
    """Before a wait that takes a quarter of an hour on some chains."""
    say(report, "waiting until it is final")
