"""Puts somebody else's program at build/: PATH's if it is new enough, else one made here.

What is common to the scripts beside the programs' go.mod. Standard library alone: they run before
anything is installed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Refusal(Exception):
    """Why one of the ways does not go."""


@dataclass(frozen=True, slots=True)
class Program:
    """What is wanted. ``name`` is its name on PATH and in build/, ``command`` its Go package, ``folder``
    where the go.mod is that says of which version, ``asked`` the arguments on which it says its own.
    """

    title: str
    name: str
    module: str
    command: str
    folder: Path
    asked: tuple[str, ...]
    oldest: tuple[int, ...]
    help: str

    @property
    def path(self) -> Path:
        """Where it is put."""
        return ROOT / "build" / self.name

    def get(self, ways: Sequence[Callable[[], str]]) -> int:
        """Go the first of these ways that goes, and say in a line which -> exit code. Does nothing if
        the program is there and works.
        """
        if self.works():
            return 0
        self.path.parent.mkdir(exist_ok=True)
        self.path.unlink(missing_ok=True)
        refusals: list[str] = []
        for way in ways:
            try:
                came_from = way()
            except Refusal as refusal:
                refusals.append(str(refusal))
                continue
            why = f" ({'; '.join(refusals)})" if refusals else ""
            found = text(self.version(self.path))
            print(f"build/{self.name}: {self.title} {found}, {came_from}{why}")
            return 0
        print(f"no {self.name} to be had:", *refusals, self.help, sep="\n", file=sys.stderr)
        return 1

    def works(self) -> bool:
        """Whether it runs, and is new enough; one that was made here is of the version wanted."""
        found = self.version(self.path)
        return found is not None and (
            found >= self.oldest if self.path.is_symlink() else found == self.wanted()
        )

    def version(self, program: Path) -> tuple[int, ...] | None:
        """The version of such a program, None if it does not run."""
        try:
            done = subprocess.run(
                [program, *self.asked], capture_output=True, text=True, timeout=60, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return None
        found = re.search(r"\b(\d+)\.(\d+)\.(\d+)", done.stdout)
        return found and tuple(int(number) for number in found.groups())

    def wanted(self) -> tuple[int, ...]:
        """The version that go.mod names."""
        named = re.escape(self.module) + r" v(\d+)\.(\d+)\.(\d+)"
        found = re.search(named, (self.folder / "go.mod").read_text())
        assert found is not None
        return tuple(int(number) for number in found.groups())

    # --- the ways that there are for each ----------------------------------------------------------

    def from_path(self) -> str:
        """A link to the user's own."""
        found = shutil.which(self.name)
        if found is None:
            raise Refusal(f"no {self.name} on PATH")
        number = self.version(Path(found))
        if number is None:
            raise Refusal(f"the {self.name} on PATH does not run")
        if number < self.oldest:
            raise Refusal(
                f"the {self.name} on PATH is {text(number)}, older than {text(self.oldest)}"
            )
        self.path.symlink_to(found)
        return "the one on PATH"

    def from_go(self) -> str:
        """Built from its source."""
        go = shutil.which("go")
        if go is None:
            raise Refusal("no Go")
        print(f"building {self.title} with Go, which takes some minutes", flush=True)
        built = self.path.with_name(f"{self.name}.built")
        # Its own output goes to the terminal: a build that fails is for people to read.
        command = [go, "build", "-trimpath", "-o", str(built), self.command]
        if subprocess.run(command, cwd=self.folder, check=False).returncode:
            raise Refusal("Go could not build it")
        return self.keep(built, "built by Go")

    def keep(self, program: Path, came_from: str) -> str:
        """Move it to its place, if it works."""
        if self.version(program) is None:
            raise Refusal(f"the {self.name} {came_from} does not run")
        program.replace(self.path)
        return came_from


def text(number: tuple[int, ...] | None) -> str:
    """A version as people write it."""
    return ".".join(map(str, number or ()))
