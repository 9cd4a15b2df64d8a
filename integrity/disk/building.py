"""A folder read once, from disk to pieces to a manifest; nothing is kept in memory that grows."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from integrity.core.manifest import FileEntry, Header, encode_file, encode_header
from integrity.core.names import check_package, check_version, parse_address
from integrity.core.pieces import PIECE_SIZE
from integrity.core.reading import ManifestDigest, iter_files
from integrity.core.tree import TreeBuilder
from integrity.core.unixfs import file_node
from integrity.disk.files import read_chunks
from integrity.disk.hashing import Hashed, Hasher, Job, Take
from integrity.disk.spooling import NodeSpool
from integrity.disk.system import Signature, real_path, signature
from integrity.disk.temporary import TemporaryFolder, TemporaryScratch
from integrity.disk.walk import Found, Walker
from integrity.errors import (
    DiskError,
    FormatError,
    LimitExceeded,
    PathRefused,
    SourceChanged,
    UnsafePath,
)
from integrity.ports import Progress, Report

_SIGNATURE = struct.Struct("<QqqQQ")
_REPORT_EVERY = 256


@dataclass(frozen=True, slots=True)
class Naming:
    """What a release is to be called. Checked when it is made: FormatError, AddressMalformed."""

    publisher: str
    package: str
    version: str
    meta: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "publisher", parse_address(self.publisher))
        check_package(self.package)
        check_version(self.version)


class ReleaseBuilder:
    """Use as a context manager; its temporary files are gone at the end.

    After :meth:`build`: the header, the manifest's digest, its bytes by :meth:`chunks`, and what a
    store needs to serve the release from where it is.
    """

    def __init__(
        self,
        root: Path,
        naming: Naming,
        scratch_folder: Path | None = None,
        *,
        follow_symlinks: bool = False,
        whole_digests: bool = True,
    ) -> None:
        self.root = root
        self.header: Header
        self.digest = b""
        self._naming = naming
        self._walker = Walker(root, follow_symlinks=follow_symlinks)
        self._follow = follow_symlinks
        self._whole = whole_digests
        self._temporary = TemporaryFolder(scratch_folder)

    def __enter__(self) -> ReleaseBuilder:
        self._temporary.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._temporary.__exit__(kind, error, tb)

    @property
    def _nodes(self) -> NodeSpool:
        return NodeSpool(self._path("nodes"))

    @property
    def place(self) -> bytes:
        """Where the files are: the root's absolute path, without links."""
        return real_path(self.root)

    @property
    def manifest_size(self) -> int:
        """Bytes of the manifest."""
        return self._path("manifest").stat().st_size

    @property
    def warnings(self) -> list[str]:
        """What a publisher may not have meant."""
        return [
            f"the folder {name!r} has no file in it and is left out" for name in self.empty_folders
        ]

    @property
    def empty_folders(self) -> list[str]:
        """Folders that were left out because no file is in them."""
        return self._walker.empty

    # --- building ------------------------------------------------------------------------------

    def build(self, report: Report | None = None, take: Take | None = None) -> Header:
        """Read, hash and write the manifest; ``take`` is given every piece on the way.

        Raises PathRefused, UnsafePath, NameCollision, SourceChanged, FormatError or DiskError.
        """
        try:
            with (
                self._open("body", "wb") as body,
                self._open("signatures", "wb") as signatures,
                self._nodes.writing() as emit,
                TemporaryScratch(self._temporary.path) as scratch,
            ):
                tree = TreeBuilder(scratch, emit)
                files = size = 0
                for entry, stat_when_read in self._entries(report, take):
                    tree.add(entry.path, file_node(entry.size, entry.digests, emit))
                    body.write(encode_file(entry))
                    signatures.write(_SIGNATURE.pack(*stat_when_read))
                    files += 1
                    size += entry.size
                if not files:
                    raise PathRefused(f"no file is in {str(self.root)!r}, so there is no release")
                root = tree.finish()
            self.header = Header(
                self._naming.publisher, self._naming.package, self._naming.version,
                root.cid, files, size, meta=self._naming.meta,
            )  # fmt: skip
            self._assemble()
        except OSError as error:
            raise DiskError(f"no room for temporary data: {error.strerror or error}") from error
        except UnsafePath as error:
            raise error.advising("Rename it, and run the same command again.") from error.__cause__
        except LimitExceeded as error:
            raise error.advising("Make it shorter, and run the same command again.") from None
        except FormatError as error:
            raise error.advising("Mend that, and run the same command again.") from None
        return self.header

    def _entries(
        self, report: Report | None, take: Take | None
    ) -> Iterator[tuple[FileEntry, Signature]]:
        total = self._total() if report else None
        with Hasher[tuple[str, bool, Signature]](whole=self._whole, take=take) as hasher:
            for number, hashed in enumerate(hasher.run(self._jobs())):
                yield self._entry(hashed)
                if report and (number % _REPORT_EVERY == 0 or hashed.size > PIECE_SIZE):
                    report(Progress("hashing", hasher.hashed_bytes, total))
            if report:
                report(Progress("hashing", hasher.hashed_bytes, total))

    def _total(self) -> int:
        walker = Walker(self.root, follow_symlinks=self._follow)
        return sum(found.info.st_size for found in walker)

    def _jobs(self) -> Iterator[Job[tuple[str, bool, Signature]]]:
        for found in self._walker:
            item = (found.path, found.executable, signature(found.info))
            yield Job(item, _open_found(found), found.info.st_size)

    def _entry(self, hashed: Hashed[tuple[str, bool, Signature]]) -> tuple[FileEntry, Signature]:
        path, executable, before = hashed.item
        if hashed.error is not None:
            raise PathRefused(f"cannot read {path!r}: {hashed.error.strerror or hashed.error}")
        if hashed.after != before or hashed.length != hashed.size:
            raise changed(path)
        also = {} if hashed.whole is None else {"sha256": hashed.whole.hex()}
        return FileEntry(path, hashed.size, hashed.digests, executable, also), before

    def _assemble(self) -> None:
        """Put the header before the body, and take the digest of both."""
        with self._open("manifest", "wb") as manifest, self._nodes.writing() as emit:
            digest = ManifestDigest(emit)
            for chunk in chain((encode_header(self.header),), read_chunks(self._path("body"))):
                manifest.write(chunk)
                digest.update(chunk)
            self.digest = digest.finish()
        self._path("body").unlink()

    # --- what was built ------------------------------------------------------------------------

    def chunks(self) -> Iterator[bytes]:
        """The manifest's bytes."""
        return read_chunks(self._path("manifest"))

    def entries(self) -> Iterator[FileEntry]:
        """Every file, as the manifest has it."""
        return iter_files(self.chunks())

    def unchanged_files(self) -> Iterator[tuple[FileEntry, bytes]]:
        """Every file with its absolute path, looked at once more: SourceChanged if any file was
        touched since it was hashed.
        """
        base = self.place
        single = os.path.isfile(base)
        with self._open("signatures", "rb") as signatures:
            for entry in self.entries():
                before = _SIGNATURE.unpack(signatures.read(_SIGNATURE.size))
                path = base if single else base + b"/" + entry.path.encode()
                try:
                    now = signature(os.stat(path, follow_symlinks=self._follow or single))
                except OSError as error:
                    raise changed(entry.path) from error
                if now != before:
                    raise changed(entry.path)
                yield entry, path

    def nodes(self) -> Iterator[tuple[bytes, bytes]]:
        """(digest, block) of every directory and file node, and of the manifest."""
        return iter(self._nodes)

    def _path(self, name: str) -> Path:
        return self._temporary.path / name

    def _open(self, name: str, mode: str) -> BinaryIO:
        return self._path(name).open(mode)  # type: ignore[return-value]


def _open_found(found: Found) -> int:
    try:
        return found.open()
    except OSError as error:
        raise PathRefused(
            f"cannot read {found.path!r}: {error.strerror or error}",
            next="Mend its permissions, then publish again.",
            evidence={"path": found.path},
        ) from error


def changed(path: str) -> SourceChanged:
    """The error for a file that is not what was hashed."""
    return SourceChanged(f"{path!r} changed while it was read", evidence={"path": path})
