"""Entries out of the database's rows, whose values may be of any kind once it is damaged."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from integrity.core.pieces import PIECE_SIZE, piece_length
from integrity.errors import StoreError
from integrity.store.entries import Place

_T = TypeVar("_T")

_BATCH = 4096
_NO_NUMBER = "a number that is none"
RELEASE = (bytes, int, str, str, str, bytes, bytes, int, int)
IMPORT = (int, str, bytes, int, int)


def checked(row: tuple[Any, ...], kinds: tuple[type, ...]) -> tuple[Any, ...]:
    """The row; TypeError when its values are of other kinds than they were put in with."""
    if tuple(map(type, row)) != kinds:
        raise TypeError("a row of the wrong kind")
    return row


def piece_place(path: bytes, number: int, size: int) -> Place:
    """Where a piece of a file of ``size`` bytes stands; raises TypeError."""
    if type(number) is not int or type(size) is not int:
        raise TypeError(_NO_NUMBER)
    return Place(path, number * PIECE_SIZE, piece_length(size, number))


def block_place(folder: Path, name: str, offset: int, length: int) -> Place:
    """Where a block of an import stands; raises TypeError."""
    if type(offset) is not int or type(length) is not int:
        raise TypeError(_NO_NUMBER)
    return Place(os.fsencode(folder / name), offset, length)


@contextlib.contextmanager
def of_kind(path: Path) -> Iterator[None]:
    """Around what makes entries of rows, whose values may be of any kind once a database is damaged."""
    try:
        yield
    except (TypeError, ValueError, OverflowError) as error:
        raise StoreError(
            f"the store {path} is damaged: {error}",
            next="Move it away and publish your folders again: the same releases cost nothing.",
        ) from error


def batches(items: Iterable[_T]) -> Iterator[list[_T]]:
    """Rows that are put in together."""
    batch: list[_T] = []
    for item in items:
        batch.append(item)
        if len(batch) >= _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
