"""What is missing, cut into batches: nothing twice, nothing left out, little at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from integrity.core.cid import DAG_PB, Cid
from integrity.core.manifest import FileEntry
from integrity.core.pieces import PIECE_SIZE, piece_count
from integrity.fetch.plan import Lack, batches
from integrity.fetch.pool import Batch

ROOT = Cid(DAG_PB, bytes(32))
KIB = 1 << 10


def entry(path: str, size: int) -> FileEntry:
    seed = path.encode()
    digests = b"".join(
        hashlib.sha256(seed + bytes((n % 256,))).digest() for n in range(piece_count(size))
    )
    return FileEntry(path, size, digests)


def lacking(sizes: dict[str, int], present: set[str] = frozenset()) -> list[Lack]:  # type: ignore[assignment]
    found, first = [], 0
    for path in sorted(sizes, key=str.encode):
        one = entry(path, sizes[path])
        count = piece_count(one.size)
        found.append(Lack(one, first, [] if path in present else list(range(count))))
        first += count
    return found


def trees(sizes: dict[str, int], present: set[str] = frozenset()) -> list[str]:  # type: ignore[assignment]
    made = batches(lacking(sizes, present), ROOT)
    return [batch.tree.removeprefix(str(ROOT)) for batch in made if batch.tree is not None]


def small(folder: str, count: int, size: int = KIB) -> dict[str, int]:
    return {f"{folder}/{number:05}": size for number in range(count)}


def test_a_small_release_is_asked_for_as_a_whole() -> None:
    assert trees(small("a", 20) | small("b/c", 3)) == [""]


def test_each_folder_is_asked_for_when_all_together_are_too_many() -> None:
    sizes: dict[str, int] = {}
    for number in range(40):
        sizes |= small(f"d{number:02}", 500)
    assert trees(sizes) == [f"/d{number:02}" for number in range(40)]


def test_a_large_folder_without_others_is_one() -> None:
    assert trees(small("flat", 10_000)) == ["/flat"]


def test_a_folder_beyond_what_may_be_held_is_taken_file_by_file() -> None:
    assert trees(small("flat", 20_000)) == []


def test_a_folder_beside_a_large_file_is_asked_for_without_it() -> None:
    assert trees(small("docs", 50) | {"model.bin": 10 << 20, "README": 5}) == ["/docs"]


def test_a_folder_with_a_large_file_in_it_is_taken_file_by_file() -> None:
    assert trees(small("docs", 50) | {"docs/film": 10 << 20}) == []


def test_few_files_are_asked_for_one_by_one() -> None:
    assert trees(small("a", 5)) == []


def test_a_folder_of_which_most_is_there_is_taken_file_by_file() -> None:
    sizes = small("a", 100)
    assert trees(sizes, set(list(sizes)[:50])) == []
    assert trees(sizes, set(list(sizes)[:10])) == [""]


def test_without_a_root_nothing_is_asked_for_as_a_whole() -> None:
    assert all(batch.tree is None for batch in batches(lacking(small("a", 50))))


names = st.lists(st.sampled_from(["a", "b", "a-b", "zz"]), min_size=1, max_size=4).map("/".join)
sizes_of = st.sampled_from([0, 1, KIB, 256 * KIB, 256 * KIB + 1, PIECE_SIZE + 1, 70 * PIECE_SIZE])


@given(st.dictionaries(names, st.tuples(sizes_of, st.booleans()), max_size=40), st.booleans())
@settings(max_examples=150, deadline=None)
def test_every_missing_piece_is_in_one_batch_and_its_tree_holds_it(
    files: dict[str, tuple[int, bool]], rooted: bool
) -> None:
    sizes = {path + ".f": size for path, (size, _) in files.items()}
    present = {path + ".f" for path, (_, there) in files.items() if there}
    lacks = lacking(sizes, present)
    made = list(batches(lacks, ROOT if rooted else None))
    numbers = [piece.number for batch in made for piece in batch.pieces]
    expected = [lack.first + index for lack in lacks for index in lack.indexes]
    assert sorted(numbers) == expected
    for batch in made:
        assert batch.pieces
        check(batch)


def check(batch: Batch) -> None:
    paths = {piece.path for piece in batch.pieces}
    if batch.tree is None:
        assert len(batch.pieces) <= 64
        return
    below = batch.tree.removeprefix(str(ROOT)).removeprefix("/")
    assert all(path.startswith(below) for path in paths)
    assert all(piece.size <= 256 * KIB for piece in batch.pieces)


def test_no_more_is_held_than_a_window() -> None:
    """A million files in a million folders' worth of a release go by as a stream."""
    read = 0

    def stream() -> Iterator[Lack]:
        nonlocal read
        for number in range(300_000):
            read += 1
            yield Lack(entry(f"{number // 100:05}/{number:07}", KIB), number, [0])

    made = batches(stream(), ROOT)
    given_out = 0
    for _ in range(50):
        given_out += len(next(made).pieces)
        assert read - given_out < 5000
