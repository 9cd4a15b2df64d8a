"""A release kept in other places than this home, before it is recorded: an IPFS daemon, services."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import Protocol

from integrity.core.anycid import AnyCid, raw_cid_of_key, release_roots
from integrity.core.car import car_portions
from integrity.core.dagpb import BLOCK_LIMIT
from integrity.core.manifest import FileEntry
from integrity.core.pieces import PIECE_SIZE, piece_count, piece_length, split_digests
from integrity.disk.building import ReleaseBuilder, changed
from integrity.disk.system import open_read, read_from
from integrity.errors import BlockMismatch, IpfsRefused, IpfsUnavailable
from integrity.ipfs.kubo import Kubo
from integrity.ipfs.pinning import PinningService
from integrity.ports import Progress, Report

_REPORT_EVERY = 64


class Keeper(Protocol):
    """Another place where a release is kept."""

    name: str

    def check(self) -> None:
        """Raises what is wrong with the place, before anything is hashed."""
        ...

    def keep(self, built: ReleaseBuilder, report: Report | None) -> list[str]:
        """Put the release there, and return only once it can be had from there -> warnings."""
        ...


class DaemonKeeper:
    """A Kubo daemon: it is streamed every block, pins them, and is asked for the roots again."""

    def __init__(self, kubo: Kubo) -> None:
        self.name = f"ipfs {kubo.api}"
        self._kubo = kubo

    def check(self) -> None:
        self._kubo.version()

    def keep(self, built: ReleaseBuilder, report: Report | None) -> list[str]:
        """Raises IpfsUnavailable, IpfsRefused, SourceChanged, or
        BlockMismatch when it gives other bytes back than it was given.
        """
        sent = 0
        roots = roots_of(built)

        def counted() -> Iterator[tuple[AnyCid, bytes]]:
            nonlocal sent
            for block in _blocks(built, report):
                sent += 1
                yield block

        named = self._kubo.pin_names(roots)
        taken = self._kubo.import_car(car_portions(roots, counted()))
        if taken != sent:
            raise IpfsRefused(f"the daemon at {self._kubo.api} took {taken} blocks of {sent}")
        for cid in roots:
            # A name that somebody gave a pin before is theirs, and pinning anew has wiped it.
            name = f"{built.header.package}@{built.header.version}"
            self._kubo.name_pin(cid, named.get(cid) or name)
            self._read_back(cid)
        return self._announce(roots) + _warn_of_empty_files(built)

    def _read_back(self, cid: AnyCid) -> None:
        buffer = memoryview(bytearray(BLOCK_LIMIT + 1))
        got = self._kubo.block(cid, buffer)
        if not cid.is_of(bytes(buffer[:got])):
            raise BlockMismatch(
                f"the daemon at {self._kubo.api} gives other bytes for {cid} than it was given",
                evidence={
                    "cid": str(cid), "length": got,
                    "sha256": hashlib.sha256(buffer[:got]).hexdigest(),
                },
                next="Mend the daemon's repository (`ipfs repo verify`); nothing was recorded.",
            )  # fmt: skip

    def _announce(self, cids: list[AnyCid]) -> list[str]:
        """Others find a release by its roots; that is no part of its being kept."""
        try:
            for cid in cids:
                self._kubo.provide(cid)
        except (IpfsRefused, IpfsUnavailable) as error:
            return [f"the release is kept there, but not announced to the network: {error.message}"]
        return []


class ServiceKeeper:
    """A pinning service, which fetches the release from ``daemon`` or from wherever it finds it."""

    def __init__(self, service: PinningService, daemon: Kubo | None = None) -> None:
        self.name = f"pinning {service.name}"
        self._service = service
        self._daemon = daemon

    def check(self) -> None:
        self._service.check()

    def keep(self, built: ReleaseBuilder, report: Report | None) -> list[str]:
        """Raises IpfsUnavailable or IpfsRefused."""
        if report:
            report(Progress("pinning", 0))
        origins = self._daemon.addresses() if self._daemon else []
        connect = self._daemon.connect if self._daemon else None
        name = f"{built.header.package}@{built.header.version}"
        for cid in roots_of(built):
            self._service.pin(cid, name, origins, connect=connect)
        return []


def _warn_of_empty_files(built: ReleaseBuilder) -> list[str]:
    """Kubo's Bitswap takes a block of no bytes for one that it has not got."""
    if all(entry.size for entry in built.entries()):
        return []
    warning = (
        "the release has an empty file, which one Kubo node never gets from another; over HTTP it "
        "comes like any other (docs/ipfs.md)"
    )
    return [warning]


def roots_of(built: ReleaseBuilder) -> list[AnyCid]:
    """The CIDs under which all of a release is found."""
    return release_roots(built.header.content, built.digest, built.manifest_size)


def _blocks(built: ReleaseBuilder, report: Report | None) -> Iterator[tuple[AnyCid, bytes]]:
    """All blocks of a release, read from where its files are. Raises SourceChanged when a file is no
    more what was hashed, as far as its stat and length tell.

    Block stores go by multihash, so a raw CID does for every kind of block.
    """
    done = 0
    for number, (entry, path) in enumerate(built.unchanged_files()):
        for digest, piece in zip(split_digests(entry.digests), _pieces(entry, path), strict=True):
            done += len(piece)
            yield raw_cid_of_key(digest), piece
            if report and (number % _REPORT_EVERY == 0 or len(piece) == PIECE_SIZE):
                report(Progress("uploading", done, built.header.size))
    for digest, block in built.nodes():
        yield raw_cid_of_key(digest), block


def _pieces(entry: FileEntry, path: bytes) -> Iterator[bytes]:
    try:
        fd = open_read(path, follow=True)
        try:
            for index in range(piece_count(entry.size)):
                length = piece_length(entry.size, index)
                piece = read_from(fd, length, index * PIECE_SIZE)
                if len(piece) != length:
                    raise changed(entry.path)
                yield piece
        finally:
            os.close(fd)
    except OSError as error:
        raise changed(entry.path) from error
