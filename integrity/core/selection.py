"""Which files of a release are meant: patterns over their paths."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from integrity.core.manifest import FileEntry
from integrity.errors import UsageError

_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|[^*?]+")
_MEANING = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
_LIMIT = 4096


class Selection:
    """Files that match one of the patterns; all files if there is none.

    ``*`` and ``?`` stand for characters of one part of a path, ``**`` for any number of parts. Each
    pattern is of the whole path, and what it matches may be a folder: then all below it is meant.
    """

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self.patterns = tuple(patterns)
        self._matches = [re.compile(_expression(pattern), re.DOTALL) for pattern in patterns]

    @property
    def is_all(self) -> bool:
        return not self.patterns

    def has(self, path: str) -> bool:
        return not self._matches or any(match.fullmatch(path) for match in self._matches)

    def of(self, entries: Iterable[FileEntry]) -> Iterator[FileEntry]:
        """Those entries that are meant, in their order."""
        return (entry for entry in entries if self.has(entry.path))

    def check(self, entries: Iterable[FileEntry]) -> tuple[int, int]:
        """How many files are meant, and their bytes. Raises UsageError for a pattern that matches none,
        which is a mistake more often than not.
        """
        unused = dict(zip(self.patterns, self._matches, strict=True))
        files = size = 0
        for entry in entries:
            if self.has(entry.path):
                files += 1
                size += entry.size
                unused = {p: m for p, m in unused.items() if not m.fullmatch(entry.path)}
        if unused:
            raise UsageError(
                f"no file of the release matches {next(iter(unused))!r}",
                next="Patterns are of whole paths, as 'docs/**' or '**/*.txt'; `integrity files` lists them.",
            )
        return files, size


def _expression(pattern: str) -> str:
    """As a regular expression. Raises UsageError."""
    given = pattern.strip("/")
    if not given or len(given) > _LIMIT:
        raise UsageError(f"{pattern[:80]!r} is no pattern of a path", next="As --only 'docs/**'.")
    tokens = _TOKEN.findall(given)
    return "".join(_MEANING.get(token) or re.escape(token) for token in tokens) + "(?:/.*)?"
