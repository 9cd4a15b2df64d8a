"""What stands beside the data: ``NAME.integrity``, the manifest of the folder NAME, and
``NAME.receipt``, its record's proofs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from integrity.core.manifest import Header
from integrity.core.reading import read_header
from integrity.disk.files import absolute, read_chunks, read_small, write_parts
from integrity.errors import DiskError, FormatError, LimitExceeded, UsageError

SUFFIX = ".integrity"


def sidecar_path(folder: Path) -> Path:
    """Where the manifest of a folder stands."""
    whole = absolute(folder)
    return whole.parent / (whole.name + SUFFIX)


def receipt_path(folder: Path) -> Path:
    """Where the receipt of a folder stands."""
    return sidecar_path(folder).with_suffix(".receipt")


def request_path(folder: Path) -> Path:
    """Where the signed request of a folder stands."""
    return sidecar_path(folder).with_suffix(".request")


def read_named(path: Path, limit: int, what: str, *, make: str = "") -> bytes:
    """A file that the user named and that should be ``what``, whole. ``make`` says how one is made.
    Raises UsageError when it cannot be read, LimitExceeded above ``limit`` bytes.
    """
    try:
        return read_small(path, limit)
    except LimitExceeded as error:
        raise LimitExceeded(f"{error.message}: too large for {what}", next=error.next) from None
    except OSError as error:
        raise UsageError(
            f"cannot read {what} from {str(path)!r}: {error.strerror or error}", next=make or None
        ) from error


def write_sidecar(folder: Path, chunks: Iterable[bytes], warnings: list[str]) -> Path | None:
    """Write the manifest beside its folder, in one step. Never over something that is no manifest,
    and never an error: what could not be done is added to ``warnings``.
    """
    path = sidecar_path(folder)
    try:
        if os.path.lexists(path) and _header(path) is None:
            warnings.append(f"{str(path)!r} is not a manifest; it was left alone")
            return None
        write_parts(path, chunks)
    except DiskError as error:
        warnings.append(f"the manifest was not written: {error.message}")
        return None
    except OSError as error:
        warnings.append(f"the manifest was not written to {str(path)!r}: {error.strerror or error}")
        return None
    return path


def header_beside(folder: Path) -> Header | None:
    """What the manifest beside a folder says that it is of; None without one. Raises OSError."""
    return _header(sidecar_path(folder))


def _header(path: Path) -> Header | None:
    if path.is_symlink() or not path.is_file():
        return None
    try:
        return read_header(read_chunks(path))
    except FormatError:
        return None
