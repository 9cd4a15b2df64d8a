"""Everything that is printed, and nothing else prints.

With ``--json`` one object goes to stdout and nothing more; otherwise results go to stdout in words,
and progress, warnings and errors to stderr. Names from outside are escaped.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from integrity.errors import IntegrityError
    from integrity.verifier.verdict import Step


_gone: list[str] = []
"""Not empty once nobody takes what is written to stdout."""


def escape(text: str) -> str:
    """Text that moves no cursor and hides nothing: what is not printable is shown by its number."""
    return "".join(char if char.isprintable() else f"\\u{{{ord(char):x}}}" for char in text)


def prepare() -> None:
    """Show what the terminal's own encoding lacks by its number, rather than crash on it. Raises
    DiskError when stdout is closed: whatever was done would be told to nobody.
    """
    for number in range(3):  # else the next file that is opened takes the place of a closed one
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - as long as the process lives
    if sys.stdout is None:
        from integrity.errors import DiskError

        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        raise DiskError("stdout is closed", next="Run it again with somewhere to write to.")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def _reaching_someone() -> Iterator[None]:
    """Whatever writes to stdout: a result that reached nobody is no success (DiskError)."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        from integrity.errors import DiskError

        abandon()
        raise DiskError(f"cannot write the output: {error.strerror or error}") from error


def finish() -> None:
    """Write out what was said so far."""
    with _reaching_someone():
        sys.stdout.flush()


def abandon() -> None:
    """Let go of streams that take no more, so that nothing fails on them at the end."""
    _gone.append("stdout")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
            continue
        with contextlib.suppress(OSError, ValueError):
            os.dup2(nowhere, stream.fileno())


def say(*lines: str) -> None:
    """Lines for people, on stdout."""
    with _reaching_someone():
        for line in lines:
            sys.stdout.write(escape(line) + "\n")


def note(line: str) -> None:
    """A line for people on stderr: what is going on, or a warning. Nobody has to hear it."""
    with contextlib.suppress(OSError):
        sys.stderr.write(escape(line) + "\n")


def warn(warnings: Iterable[str]) -> None:
    """Each as a line of its own on stderr."""
    for warning in warnings:
        note(f"warning: {warning}")


def emit(value: Mapping[str, Any]) -> None:
    """The one JSON object of a command, at once."""
    with _reaching_someone():
        sys.stdout.write(json.dumps(value, ensure_ascii=True) + "\n")
    finish()


def emit_bytes(chunks: Iterator[bytes | memoryview]) -> None:
    """Bytes as they are, on stdout."""
    sys.stdout.flush()
    for chunk in chunks:
        left = memoryview(chunk)
        while left:  # unbuffered (PYTHONUNBUFFERED), one write may take a part only
            with _reaching_someone():
                left = left[sys.stdout.buffer.write(left) :]
    finish()


class Stdout:
    """Bytes as they are, on stdout, for whoever writes to a file."""

    def write(self, data: bytes) -> int:
        """All of it -> its length."""
        emit_bytes(iter((data,)))
        return len(data)


def fail(error: IntegrityError, *, as_json: bool) -> None:
    """Say what went wrong: to what, why, and what to do next."""
    if as_json:
        from integrity.errors import DiskError

        with contextlib.suppress(DiskError):
            if not _gone:  # stdout takes something
                passed = steps_value(error.passed or ())
                emit({"error": error_value(error) | {"steps": passed}})
                return
    note(f"integrity: {error.message}")
    for cause in error.causes:
        note(f"  - {cause}")
    if error.next:
        note(f"  -> {error.next}")


def error_value(error: IntegrityError) -> dict[str, Any]:
    """The JSON of an error (docs/json.md)."""
    return {
        "family": error.family,
        "name": error.name,
        "message": error.message,
        "next": error.next,
        "causes": error.causes,
        "evidence": error.evidence,
        "step": error.step,
    }


def steps_value(steps: Iterable[Step]) -> list[dict[str, Any]]:
    """The verifier's steps."""
    return [
        {"step": one.number, "name": one.name, "found": one.found, "evidence": dict(one.evidence)}
        for one in steps
    ]


def steps_lines(steps: Iterable[Step]) -> Iterator[str]:
    """The same for people."""
    for one in steps:
        yield f"  {one.number} {one.name:<12}  {one.found}"


@contextlib.contextmanager
def explaining(why: bool) -> Iterator[None]:
    """Around what tells the steps of the verifier: of a failure, those before it, and which one it was."""
    try:
        yield
    except Exception as error:
        from integrity.errors import IntegrityError

        if why and isinstance(error, IntegrityError) and error.step is not None:
            say(*steps_lines(error.passed or ()), f"  {error.step} {error.family}: {error.name}")
        raise


def fail_usage(message: str, *, as_json: bool) -> None:
    """A command line that is not one."""
    if as_json:
        emit({
            "error": {
                "family": "refused", "name": "UsageError", "message": message,
                "next": "Look at --help.", "causes": [], "evidence": {}, "step": None,
                "steps": [],
            }
        })  # fmt: skip
    elif message.startswith("Usage:"):
        # A group without a command: the message is the help itself.
        sys.stderr.write(message + "\n")
    else:
        note(f"integrity: {message}")
        note("  -> Look at --help.")


def moment(seconds: int) -> str:
    """A Unix time for people."""
    from integrity.core.times import moment as shown

    return shown(seconds)


def size(count: int) -> str:
    """A number of bytes for people."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError


def place(path: Path) -> str:
    """A path as a person in this folder would write it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def number(count: int, one: str, many: str | None = None) -> str:
    """``1 file``, ``2 files``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
