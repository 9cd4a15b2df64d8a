"""The verdict: which of the verifier's steps (spec v1, section 6.2) were passed, and what each one found."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from integrity.core.manifest import Header
from integrity.errors import IntegrityError

NAMES = {
    1: "who",
    2: "header",
    3: "account",
    4: "storage",
    5: "rollback",
    6: "manifest",
    7: "pieces",
    8: "completeness",
}
"""The steps, as the specification calls them."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step that was passed: ``found`` says in a sentence what was found, ``evidence`` is the same for
    programs, a flat map of numbers, texts (digests and hashes in hex) and lists of texts.
    """

    number: int
    found: str
    evidence: Mapping[str, Any]

    @property
    def name(self) -> str:
        """As the specification calls it."""
        return NAMES[self.number]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The steps that were passed, in their order, and why the next one was not, if one failed."""

    steps: tuple[Step, ...]
    error: IntegrityError | None = None

    @property
    def failed(self) -> int | None:
        """The number of the step that said no."""
        if self.error is None:
            return None
        return self.error.step or len(self.steps) + 1


@contextlib.contextmanager
def at_step(number: int) -> Iterator[None]:
    """Around a step: an error out of it says which one it was, unless it says that already."""
    try:
        yield
    except IntegrityError as error:
        if error.step is None:
            error.step = number
        raise


@contextlib.contextmanager
def after(steps: Sequence[Step]) -> Iterator[None]:
    """Around what comes after these steps: an error out of it says that they were passed, those before its
    own step, unless it says which were already.
    """
    try:
        yield
    except IntegrityError as error:
        if error.passed is None:
            last = error.step or len(NAMES) + 1
            error.passed = tuple(step for step in steps if step.number < last)
        raise


def manifest_step(header: Header, manifest: bytes) -> Step:
    """That step 6 was passed."""
    return Step(
        6,
        f"the manifest has the recorded digest and the canonical form, and is of "
        f"{header.package}@{header.version}: {header.files} files, {header.size} bytes",
        {
            "manifest": manifest.hex(), "content": str(header.content), "files": header.files,
            "size": header.size,
        },
    )  # fmt: skip


def pieces_step(files: int, size: int, *, hashed: bool = True) -> Step:
    """That step 7 was passed, by hashing now or when these very files were verified before."""
    how = "every piece has the manifest's digest"
    if not hashed:
        how = "every file was verified before, and no file's stat has changed since"
    return Step(7, f"{how}: {size} bytes in {files} files", {"size": size, "hashed": hashed})


def completeness_step(files: int, of: int, extra: int = 0) -> Step:
    """That step 8 was passed for ``files`` files out of ``of``, beside ``extra`` ones."""
    what = (
        f"all {of} files are there"
        if files == of
        else f"the {files} files of {of} asked for are there"
    )
    more = f", beside {extra} that are not part of the release" if extra else ""
    return Step(8, what + more, {"files": files, "of": of, "extra": extra})
