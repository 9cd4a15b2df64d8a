"""Patterns over a release's paths."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrity.core.manifest import FileEntry
from integrity.core.selection import Selection
from integrity.errors import UsageError

PATHS = ["README", "docs/a.txt", "docs/deep/b.txt", "docs.txt", "src/docs/c", "x[1].c", "a+b"]


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("docs/**", ["docs/a.txt", "docs/deep/b.txt"]),
        ("docs", ["docs/a.txt", "docs/deep/b.txt"]),
        ("docs/", ["docs/a.txt", "docs/deep/b.txt"]),
        ("docs/*", ["docs/a.txt", "docs/deep/b.txt"]),  # deep is a folder that it matches
        ("docs/*.txt", ["docs/a.txt"]),
        ("**/*.txt", ["docs/a.txt", "docs/deep/b.txt", "docs.txt"]),
        ("*.txt", ["docs.txt"]),
        ("**", PATHS),
        ("*", PATHS),
        ("**/docs", ["docs/a.txt", "docs/deep/b.txt", "src/docs/c"]),
        ("src/**/c", ["src/docs/c"]),
        ("src/docs/**/c", ["src/docs/c"]),
        ("READM?", ["README"]),
        ("x[1].c", ["x[1].c"]),
        ("a+b", ["a+b"]),
        ("d?cs/?.txt", ["docs/a.txt"]),
    ],
)
def test_what_a_pattern_means(pattern: str, meant: list[str]) -> None:
    selection = Selection([pattern])
    assert [path for path in PATHS if selection.has(path)] == meant


def test_several_patterns_mean_what_any_of_them_means() -> None:
    entries = [FileEntry(path, 10, bytes(32)) for path in PATHS]
    selection = Selection(["README", "docs/**"])
    assert [entry.path for entry in selection.of(entries)] == [
        "README", "docs/a.txt", "docs/deep/b.txt",
    ]  # fmt: skip
    assert selection.check(entries) == (3, 30)
    assert Selection().is_all
    assert Selection().check(entries) == (7, 70)


@pytest.mark.parametrize("unused", ["nothing", "docs/x", "README/x", "ocs/**"])
def test_a_pattern_that_means_nothing_is_a_mistake(unused: str) -> None:
    entries = [FileEntry(path, 10, bytes(32)) for path in PATHS]
    with pytest.raises(UsageError, match=unused.replace("*", ".")):
        Selection(["README", unused]).check(entries)


@pytest.mark.parametrize("pattern", ["", "/", "//", "x" * 5000])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError):
        Selection([pattern])


@given(st.text(alphabet="ab*?/[.\\(^$é\n", min_size=1, max_size=30), st.text(max_size=20))
def test_any_pattern_means_a_path_or_does_not(pattern: str, path: str) -> None:
    if pattern.strip("/"):
        Selection([pattern]).has(path)


@given(st.text(alphabet="ab/[.\\(^$é\n+{", min_size=1, max_size=30))
def test_a_path_without_stars_means_itself_and_what_is_below(path: str) -> None:
    if path == path.strip("/"):
        selection = Selection([path])
        assert selection.has(path)
        assert selection.has(path + "/x")
        assert not selection.has(path + "x")
        assert not selection.has("x" + path)
