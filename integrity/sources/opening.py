"""A source by what the person called it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from integrity.errors import UsageError
from integrity.ports import Source

DAEMON = "ipfs"
STORE = "store"


@contextlib.contextmanager
def opened(names: Sequence[str], store: Path, api: str | None = None) -> Iterator[list[Source]]:
    """The sources of these names, closed at the end: ``ipfs`` is the Kubo daemon whose API is at
    ``api`` (None: where it is found), ``store`` this home's own store, a URL a gateway or a mirror,
    anything else a folder.

    Raises UsageError, or StoreError.
    """
    with contextlib.ExitStack() as stack:
        sources = []
        for name in names:
            source = _open(name, store, api)
            stack.callback(source.close)
            sources.append(source)
        yield sources


def _open(name: str, store: Path, api: str | None) -> Source:
    if name == DAEMON:
        from integrity.sources.daemon import DaemonSource  # imports requests

        return DaemonSource(api)
    if name == STORE:
        from integrity.sources.own import StoreSource

        return StoreSource(store)
    if "://" in name:
        from integrity.sources.web import WebSource

        return WebSource(name)
    folder = Path(name)
    if not name or not folder.is_dir():
        raise UsageError(
            f"{name!r} is no source: neither a folder, nor a URL, nor `ipfs`, nor `store`",
            next="Name a gateway or mirror as --from https://host/, a folder as --from ./folder.",
        )
    from integrity.sources.folder import FolderSource

    return FolderSource(folder)
