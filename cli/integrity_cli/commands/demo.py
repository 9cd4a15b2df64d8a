"""``integrity demo``: the main job on real files, as a session that one could type."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from integrity_cli import output
from integrity_cli.options import path as parse_path


def demo(
    *,
    folder: Annotated[
        Path | None,
        typer.Option(
            help="Publish a copy of this folder [default: this Python's packages].",
            parser=parse_path,
        ),
    ] = None,
) -> None:
    """Run the main job on real files, and show it.

    Then catch a lie and a flipped byte.
    """
    from integrity.devchain.anvil import find_anvil

    find_anvil()  # before anything is copied
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: nothing stays
    source = folder or Path(sysconfig.get_path("purelib"))
    with tempfile.TemporaryDirectory(prefix="integrity-demo-") as work:
        _Session(Path(work)).run(source)


class _Session:
    """One demonstration in a folder of its own; whatever it starts, it ends."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._environment = dict(os.environ)
        for name in ("INTEGRITY_RPC", "INTEGRITY_CHAIN"):
            self._environment.pop(name, None)

    def run(self, source: Path) -> None:
        """All of it; anything unexpected ends the demonstration with exit code 1. Raises PathRefused
        when the folder cannot be copied.
        """
        from integrity.errors import PathRefused

        data = self._work / "packages"
        self._title("Some real files")
        self._show(f"cp -rL {source} packages")
        try:
            shutil.copytree(source, data)
        except (OSError, shutil.Error) as error:
            raise PathRefused(
                f"cannot copy {str(source)!r}: {getattr(error, 'strerror', None) or error}",
                next="Name a folder of ordinary files with --folder.",
            ) from error
        files = [path for path in data.rglob("*") if path.is_file()]
        if not files:
            raise PathRefused(f"no file is in {str(source)!r}", next="Name another with --folder.")
        total = sum(path.stat().st_size for path in files)
        output.say(f"{output.number(len(files), 'file')}, {output.size(total)}")

        self._title("A chain of our own, with the registry on it and a funded key")
        self._become("publisher")
        try:
            self._publish_and_get(json.loads(self._run("integrity chain start --json")))
        finally:
            self._title("That was all; nothing stays behind")
            self._become("publisher")
            self._run("integrity chain stop")

    def _publish_and_get(self, chain: dict[str, str]) -> None:
        self._title("Publish: hash every piece, write the manifest, record it, wait until final")
        self._run("integrity publish packages --package packages --version 1.0.0")
        link = f"integrity:{chain['chain_id']}:{chain['publisher']}/packages@1.0.0"

        self._title("Serve it")
        with self._background("integrity serve --port 0 --json") as first_line:
            honest = json.loads(first_line)["url"]
            self._title("Somebody else gets it: another home, which is told whom to believe")
            reader = f"--rpc {chain['rpc']} --publisher {chain['publisher']}"
            self._become("reader")
            self._run(f"integrity get {link} -o got --from {honest} {reader}")
            self._run(f"integrity verify got {link} {reader}")

            self._title("A source that lies: honest at first, then one bit wrong in every block")
            command = f"python -m integrity.testing.liar {honest}"
            with self._background(command) as line:
                liar = line.strip()
                self._run(f"integrity get {link} -o lied --from {liar} {reader}", expect=4)
                self._run("test ! -e lied && echo nothing wrong reached its final name")
                self._title("The liar beside an honest source: named, dropped, and done without")
                self._run(f"integrity get {link} -o both --from {liar} --from {honest} {reader}")

        self._title("One byte of the result is flipped: verify names file and piece")
        self._flip()
        self._run(f"integrity verify got {link} {reader}", expect=4)

    def _flip(self) -> None:
        largest = max(
            (path for path in (self._work / "got").rglob("*") if path.is_file()),
            key=lambda path: path.stat().st_size,
        )
        offset = largest.stat().st_size * 2 // 3
        self._show(f"(flip byte {offset} of {largest.relative_to(self._work)})")
        with largest.open("r+b") as file:
            file.seek(offset)
            old = file.read(1)
            file.seek(offset)
            file.write(bytes((old[0] ^ 1,)))

    def _become(self, who: str) -> None:
        """Go on with the home of somebody else."""
        self._environment["INTEGRITY_HOME"] = str(self._work / who)
        self._show(f"export INTEGRITY_HOME={who}")

    # --- running commands ----------------------------------------------------------------------

    def _title(self, text: str) -> None:
        output.say("", f"## {text}")

    def _show(self, command: str) -> None:
        output.say(f"$ {command}")
        sys.stdout.flush()

    def _arguments(self, command: str) -> list[str]:
        program, *rest = shlex.split(command)
        if program == "integrity":
            return [sys.executable, "-m", "integrity_cli", *rest]
        if program == "python":
            return [sys.executable, *rest]
        return ["sh", "-c", command]

    def _run(self, command: str, expect: int = 0) -> str:
        """Run a command that must end with ``expect``; what it prints is shown and returned."""
        self._show(command)
        done = subprocess.run(  # noqa: S603 - our own commands
            self._arguments(command), cwd=self._work, env=self._environment, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        output.say(*done.stdout.rstrip("\n").split("\n"))
        if expect:
            output.say(f"(exit code {done.returncode})")
        if done.returncode != expect:
            output.note(f"integrity demo: expected exit code {expect}, got {done.returncode}")
            raise typer.Exit(1)
        return done.stdout

    @contextlib.contextmanager
    def _background(self, command: str) -> Iterator[str]:
        """Run a command beside the others until the block ends -> its first line on stdout."""
        self._show(command + " &")
        process = subprocess.Popen(  # noqa: S603 - our own commands
            self._arguments(command), cwd=self._work, env=self._environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            output.say(line.rstrip("\n"))
            if not line:
                output.note(f"integrity demo: {command!r} ended at once")
                raise typer.Exit(1)
            yield line
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
