"""What is downloaded, offered to others by this home: from its first piece on, if one says so."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from integrity.client.manifests import ManifestFile
from integrity.client.session import Session
from integrity.core.manifest import FileEntry, Header
from integrity.disk.staging import is_unfinished
from integrity.disk.system import real_path
from integrity.errors import StoreError
from integrity.store.database import Store
from integrity.store.entries import StoredRelease
from integrity.verifier.record import Record


class Share:
    """What this home's store says of the folder ``place`` while a release is downloaded there.

    Nothing is noted piece by piece: whoever reads a block out of the store hashes it first, and what
    has not arrived is as good as absent. What keeps a home from offering something is a warning.
    """

    def __init__(self, session: Session, place: Path, warnings: list[str]) -> None:
        self._session = session
        self._place = real_path(place)
        self._warnings = warnings

    def offer(
        self, file: ManifestFile, entries: Iterable[FileEntry], header: Header, record: Record
    ) -> None:
        """Have these files served from the folder, as far as they are there, and with them what else of
        the release this folder was said to have. A release that this home serves whole from somewhere
        else is left as it is.
        """
        base = self._place
        files = ((entry, base + b"/" + entry.path.encode()) for entry in entries)
        with self._warned(), Store(self._session.home.store) as store:
            known = store.release(record.manifest)
            if known is not None and not os.path.lexists(known.folder):  # somebody moved it
                store.move_release(known.manifest, base)
                known = store.release(record.manifest)
            if known is not None and known.folder == base:
                if store.count_files(base) < header.files:
                    store.add_files(files)
            elif known is None or not is_whole(store, known):
                store.add_release(
                    header, record.chain_id, record.manifest, base, files, file.nodes()
                )

    def moved(self, manifest: bytes, folder: Path) -> None:
        """What was offered from the folder, by this run or one before it, stands in another one now."""

        def move(store: Store, known: bytes) -> None:
            if known == manifest:
                store.move_release(known, real_path(folder))
            elif not os.path.isdir(self._place):  # of an earlier one, which was never finished
                store.remove_release(known)

        self._each(move)

    def withdraw(self) -> None:
        """Offer nothing more of what is in the folder."""
        self._each(Store.remove_release)

    def _each(self, do: Callable[[Store, bytes], None]) -> None:
        """Do something with the manifest of every release that is offered from the folder."""
        if not self._session.home.store.is_file():
            return
        with self._warned(), Store(self._session.home.store) as store:
            for known in store.releases():
                if known.folder == self._place:
                    do(store, known.manifest)

    @contextlib.contextmanager
    def _warned(self) -> Iterator[None]:
        try:
            yield
        except StoreError as error:
            self._warnings.append(f"this home does not offer the release: {error.message}")


def is_whole(store: Store, known: StoredRelease) -> bool:
    """Whether a release is offered with all its files, and nobody is still fetching them."""
    return not is_unfinished(known.folder) and store.count_files(known.folder) >= known.files
