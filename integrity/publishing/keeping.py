"""A release kept in other places than this home, before it is recorded: an IPFS daemon, services."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from integrity.core.anycid import AnyCid, release_roots
from integrity.core.dagpb import BLOCK_LIMIT
from integrity.disk.building import ReleaseBuilder
from integrity.disk.hashing import Take
from integrity.errors import BlockMismatch, IpfsRefused, IpfsUnavailable
from integrity.ipfs.kubo import Kubo
from integrity.ipfs.pinning import PinningService
from integrity.publishing.uploading import Upload


class Keeper(Protocol):
    """Another place where a release is kept. Its methods are called in this order."""

    name: str
    fetches: bool
    """Whether it fetches the release from what this home serves."""

    def check(self) -> None:
        """Raises what is wrong with the place, before anything is hashed."""
        ...

    def receiving(self) -> AbstractContextManager[Take | None]:
        """Around all that follows: what is to be given every piece while it is hashed, if anything."""
        ...

    def keep(self, built: ReleaseBuilder) -> None:
        """Put the rest there, and return only once all of it can be had from there."""
        ...

    def settle(self) -> list[str]:
        """What the record need not wait for -> warnings."""
        ...


class DaemonKeeper:
    """A Kubo daemon: it is streamed every block, pins them, and is asked for the roots again."""

    def __init__(self, kubo: Kubo) -> None:
        self.name = f"ipfs {kubo.api}"
        self.fetches = False
        self._kubo = kubo
        self._upload: Upload
        self._roots: list[AnyCid] = []
        self._has_empty_files = False

    def check(self) -> None:
        self._kubo.version()

    @contextmanager
    def receiving(self) -> Iterator[Take]:
        with Upload(self._kubo.api) as self._upload:
            yield self._upload.take

    def keep(self, built: ReleaseBuilder) -> None:
        """Raises IpfsUnavailable, IpfsRefused, or BlockMismatch when it gives other bytes back than
        it was given.
        """
        self._upload.check()
        roots = roots_of(built)
        # A name that somebody gave a pin before is theirs, and pinning it anew wipes it.
        named = self._kubo.pin_names(roots)
        sent, taken = self._upload.finish(roots, built.nodes())
        if taken != sent:
            raise IpfsRefused(f"the daemon at {self._kubo.api} took {taken} blocks of {sent}")
        for cid in roots:
            self._kubo.name_pin(cid, named.get(cid) or _pin_name(built))
            self._read_back(cid)
        self._roots = roots
        self._has_empty_files = not all(entry.size for entry in built.entries())

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

    def settle(self) -> list[str]:
        """Tell the network, which finds a release by its roots."""
        warnings = []
        try:
            for cid in self._roots:
                self._kubo.provide(cid)
        except (IpfsRefused, IpfsUnavailable) as error:
            warnings.append(
                f"the release is kept there, but not announced to the network: {error.message}"
            )
        if self._has_empty_files:
            # Kubo's Bitswap takes a block of no bytes for one that it has not got.
            warnings.append(
                "the release has an empty file, which one Kubo node never gets from another; over "
                "HTTP it comes like any other (docs/ipfs.md)"
            )
        return warnings


class ServiceKeeper:
    """A pinning service, which fetches the release from ``daemon`` or from wherever it finds it."""

    def __init__(self, service: PinningService, daemon: Kubo | None = None) -> None:
        self.name = f"pinning {service.name}"
        self.fetches = daemon is None
        self._service = service
        self._daemon = daemon

    def check(self) -> None:
        self._service.check()

    def receiving(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext()

    def keep(self, built: ReleaseBuilder) -> None:
        """Raises IpfsUnavailable or IpfsRefused."""
        origins = self._daemon.addresses() if self._daemon else []
        connect = self._daemon.connect if self._daemon else None
        for cid in roots_of(built):
            self._service.pin(cid, _pin_name(built), origins, connect=connect)

    def settle(self) -> list[str]:
        return []


def _pin_name(built: ReleaseBuilder) -> str:
    return f"{built.header.package}@{built.header.version}"


def roots_of(built: ReleaseBuilder) -> list[AnyCid]:
    """The CIDs under which all of a release is found."""
    return release_roots(built.header.content, built.digest, built.manifest_size)
