"""How far something long is, on stderr: a bar for people, lines for logs, events for programs."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from integrity_cli import output

if TYPE_CHECKING:
    from integrity.ports import Progress, Report

_LINE_SECONDS = 5.0
_EVENT_SECONDS = 0.5


class Form(StrEnum):
    """``auto`` is a bar on a terminal and lines elsewhere, and nothing beside ``--json``."""

    AUTO = "auto"
    BAR = "bar"
    PLAIN = "plain"
    JSON = "json"
    NONE = "none"


Shown = Annotated[
    Form,
    typer.Option(
        "--progress",
        help="How to show it on stderr: a bar, plain lines, JSON events, or none.",
        show_choices=True,
    ),
]


@contextlib.contextmanager
def shown(form: Form, *, as_json: bool) -> Iterator[Report | None]:
    """What a job is to report to."""
    if form == Form.AUTO:
        form = Form.NONE if as_json else Form.BAR if sys.stderr.isatty() else Form.PLAIN
    if form == Form.NONE:
        yield None
    elif form == Form.BAR:
        with _bar() as report:
            yield report
    elif form == Form.PLAIN:
        with _now_and_then(_LINE_SECONDS, lambda state: output.note(line(state))) as report:
            yield report
    else:
        told = _now_and_then(_EVENT_SECONDS, lambda state: output.note(json.dumps(event(state))))
        with told as report:
            yield report


def note(state: Progress) -> None:
    """A report of its own for what has one phase to tell of, and no ``--progress``."""
    output.note(line(state))


@contextlib.contextmanager
def _now_and_then(seconds: float, show: Callable[[Progress], None]) -> Iterator[Report]:
    """Shows where things are so often, and nothing at all of what is over before. A phase that reports
    itself once, as a wait does, is told of as long as it lasts.
    """
    latest: Progress | None = None
    over = threading.Event()

    def report(state: Progress) -> None:
        nonlocal latest
        latest = state

    def tell() -> None:
        while not over.wait(seconds):
            if latest is not None:
                show(latest)

    teller = threading.Thread(target=tell, name="progress", daemon=True)
    teller.start()
    try:
        yield report
    finally:
        over.set()
        teller.join()


def event(state: Progress) -> dict[str, Any]:
    """One line of ``--progress json`` (docs/json.md)."""
    return {
        "phase": state.phase,
        "done": state.done,
        "total": state.total,
        "unit": state.unit,
        "speed": round(state.speed),
        "eta": seconds_left(state),
        "sources": [
            {
                "source": source.name,
                "bytes": source.bytes,
                "speed": round(source.speed),
                "rejected": source.rejected,
            }
            for source in state.sources
        ],
    }


def seconds_left(state: Progress) -> int | None:
    """How long it will take at the speed of now; None when that cannot be told."""
    if state.total is None or state.speed < 1:
        return None
    return max(0, round((state.total - state.done) / state.speed))


def line(state: Progress) -> str:
    """The same for people."""
    text = state.phase
    if state.unit:
        text += f"  {amount(state, state.done)}"
    if state.total:
        text += f" of {amount(state, state.total)} ({state.done * 100 // state.total} %)"
    left = seconds_left(state)
    if state.speed:
        text += f", {output.size(round(state.speed))}/s"
    if left is not None:
        text += f", {left // 60}:{left % 60:02} left"
    return "; ".join([text, *_sources(state)])


def amount(state: Progress, count: int) -> str:
    """So many of what is counted."""
    return output.size(count) if state.unit == "bytes" else f"{count:,} {state.unit}"


def _sources(state: Progress) -> list[str]:
    return [
        f"{source.name} {output.size(round(source.speed))}/s"
        + (f", {source.rejected} REJECTED" if source.rejected else "")
        for source in state.sources
    ]


@contextlib.contextmanager
def _bar() -> Iterator[Report]:
    from rich.console import Console, RenderableType
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bars
    from rich.text import Text

    beside: list[str] = []

    class WithSources(Bars):
        def get_renderables(self) -> Iterator[RenderableType]:
            yield from super().get_renderables()
            yield from (Text(f"{'':>10} {output.escape(line)}") for line in beside)

    class Amount(DownloadColumn):
        def render(self, task: Task) -> Text:
            unit = task.fields["unit"]
            if not unit:
                return Text("")
            if unit == "bytes":
                return super().render(task)
            total = "" if task.total is None else f"/{round(task.total):,}"
            return Text(f"{round(task.completed):,}{total} {unit}")

    class Speed(TransferSpeedColumn):
        def render(self, task: Task) -> Text:
            return super().render(task) if task.fields["unit"] == "bytes" else Text("")

    bars = WithSources(
        TextColumn("{task.description:>10}"), BarColumn(), Amount(binary_units=True), Speed(),
        TimeRemainingColumn(),
        console=Console(stderr=True), transient=True,
    )  # fmt: skip
    with bars:
        tasks: dict[str, Any] = {}

        def report(state: Progress) -> None:
            if state.phase not in tasks:
                for old in tasks.values():
                    bars.update(old, visible=False)
                tasks[state.phase] = bars.add_task(state.phase, total=state.total, unit=state.unit)
            beside[:] = _sources(state)
            bars.update(tasks[state.phase], completed=state.done, total=state.total)

        yield report
