"""What is downloaded, offered to others by this home: from its first piece on, if one says so."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from integrity.client.manifests import ManifestFile
from integrity.client.session import Session
from integrity.core.manifest import FileEntry, Header
from integrity.errors import StoreError
from integrity.store.database import Store
from integrity.verifier.record import Record


class Share:
    """One release in this home's store, whose files stand where they are downloaded to.

    Nothing is noted piece by piece: whoever reads a block out of the store hashes it first, and what
    has not arrived is as good as absent. What keeps a home from offering something is a warning.
    """

    def __init__(self, session: Session, warnings: list[str]) -> None:
        self._session = session
        self._warnings = warnings
        self._manifest: bytes | None = None

    def offer(
        self,
        file: ManifestFile,
        entries: Iterable[FileEntry],
        header: Header,
        record: Record,
        folder: Path,
    ) -> None:
        """Have these files served from ``folder``, as far as they are there. A release that this home
        serves already, from wherever, is left as it is.
        """
        base = os.fsencode(os.path.realpath(folder))
        try:
            with Store(self._session.home.store) as store:
                if any(known.manifest == record.manifest for known in store.releases()):
                    return
                files = ((entry, base + b"/" + entry.path.encode()) for entry in entries)
                store.add_release(
                    header, record.chain_id, record.manifest, base, files, file.nodes()
                )
            self._manifest = record.manifest
        except StoreError as error:
            self._warn(error)

    def moved(self, folder: Path) -> None:
        """What was offered stands in this folder now."""
        if self._manifest is None:
            return
        try:
            with Store(self._session.home.store) as store:
                store.move_release(self._manifest, os.fsencode(os.path.realpath(folder)))
        except StoreError as error:
            self._warn(error)

    def _warn(self, error: StoreError) -> None:
        self._warnings.append(f"this home does not offer the release: {error.message}")
