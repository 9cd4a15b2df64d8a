"""Receipts (spec v1, section 6.6), which stand beside the folders of what is served."""

from __future__ import annotations

import os
from pathlib import Path

from integrity.disk.sidecars import read_named, receipt_path
from integrity.errors import IntegrityError
from integrity.store.database import Store
from integrity.verifier.receipt import RECEIPT_LIMIT, decode


def stored_receipt(store: Store, manifest: bytes) -> bytes | None:
    """The receipt of the release with this manifest; None when there is none, or it is another one's.
    Whether it proves anything is for whoever asks to check. Raises StoreError.
    """
    release = store.release(manifest)
    if release is None:
        return None
    try:
        data = read_named(
            receipt_path(Path(os.fsdecode(release.folder))), RECEIPT_LIMIT, "a receipt"
        )
        told = decode(data)
    except IntegrityError:
        return None
    names = (release.chain_id, release.publisher, release.package, release.version)
    return data if names == (told.chain_id, told.publisher, told.package, told.version) else None
