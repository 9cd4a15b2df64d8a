"""The store looked after: everything hashed again, and what nobody needs taken away."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from integrity.core.anycid import any_cid, is_key_of
from integrity.core.cid import DAG_PB, Cid
from integrity.core.dag import links_of
from integrity.core.pieces import split_digests
from integrity.core.reading import manifest_leaves
from integrity.disk.staging import is_unfinished
from integrity.disk.system import open_read, read_from
from integrity.errors import FormatError
from integrity.ports import Progress, Report
from integrity.store.database import Store
from integrity.store.entries import Place, StoredImport, StoredRelease

MISSING, CHANGED = "missing", "changed"

_TOGETHER = 256
_LEFT_SECONDS = 3600
_PROBLEMS = 1000


@dataclass(frozen=True, slots=True)
class Fault:
    """A block that is not what the store says: ``reason`` is ``changed``, ``missing``, or why it could
    not be read; ``path`` is None for one inside the database.
    """

    key: bytes
    path: bytes | None
    offset: int
    reason: str


@dataclass(slots=True)
class Examined:
    """What :func:`check` found; of the faults the first thousand. ``awaited`` blocks are not there yet,
    of downloads that are shared before they are finished.
    """

    blocks: int = 0
    size: int = 0
    faulty: int = 0
    awaited: int = 0
    faults: list[Fault] = field(default_factory=list)


def check(store: Store, report: Report | None = None) -> Examined:
    """Hash every block again, wherever it stands. Raises StoreError."""
    found = Examined()
    growing = tuple(r.folder + b"/" for r in store.releases() if is_unfinished(r.folder))
    for digest, block in store.each_node():
        fault = None if is_key_of(digest, block) else Fault(digest, None, 0, CHANGED)
        _count(found, len(block), fault)
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        places = store.each_place()
        while batch := list(itertools.islice(places, _TOGETHER)):
            for (_, place), fault in zip(batch, pool.map(_look, batch), strict=True):
                if fault is not None and place.path.startswith(growing):
                    found.awaited += 1
                else:
                    _count(found, place.length, fault)
            if report:
                report(Progress("checking", found.size))
    return found


def _count(found: Examined, size: int, fault: Fault | None) -> None:
    found.blocks += 1
    found.size += size
    if fault is not None:
        found.faulty += 1
        if len(found.faults) < _PROBLEMS:
            found.faults.append(fault)


def _look(item: tuple[bytes, Place]) -> Fault | None:
    key, place = item
    try:
        fd = open_read(place.path, follow=True)
        try:
            block = read_from(fd, place.length, place.offset)
        finally:
            os.close(fd)
    except FileNotFoundError:
        return Fault(key, place.path, place.offset, MISSING)
    except OSError as error:
        return Fault(key, place.path, place.offset, error.strerror or str(error))
    if len(block) == place.length and is_key_of(key, block):
        return None
    return Fault(key, place.path, place.offset, CHANGED)


def remove(
    store: Store, releases: Iterable[StoredRelease], imports: Iterable[StoredImport]
) -> tuple[int, int]:
    """Forget these releases and imports, then everything that nothing else needs -> (how many things
    went, bytes of disk freed).
    """
    before = _size(store)
    gone = 0
    for release in releases:
        store.remove_release(release.manifest)
        gone += 1
    for imported in imports:
        store.remove_import(imported.id)
        gone += 1
    gone += store.collect(lambda node: _needed(store, node)) + _sweep(store)
    store.shrink()
    return gone, max(0, before - _size(store))


def collect(store: Store) -> tuple[int, int]:
    """Take away what no release and no import needs; as :func:`remove`."""
    return remove(store, (), ())


def _needed(store: Store, node: Callable[[bytes], bytes | None]) -> Iterator[bytes]:
    """The digests of all nodes that a release consists of."""
    for release in store.releases():
        yield release.manifest
        with contextlib.suppress(FormatError):
            leaves = manifest_leaves(node(release.manifest) or b"")
            yield from () if leaves is None else split_digests(leaves[1])
        waiting = [any_cid(Cid(DAG_PB, release.content))]
        while waiting:
            cid = waiting.pop()
            yield cid.key
            with contextlib.suppress(FormatError):
                below = links_of(cid, node(cid.key) or b"")
                waiting += [link for link in below if link.codec == DAG_PB]


def _sweep(store: Store) -> int:
    """Files that an import left behind which was killed; one that is going on is younger."""
    known = {entry.name for entry in store.imports()}
    gone = 0
    folder = store.imports_folder
    for entry in folder.iterdir() if folder.is_dir() else ():
        with contextlib.suppress(OSError):
            if entry.name not in known and time.time() - entry.stat().st_mtime > _LEFT_SECONDS:
                entry.unlink()
                gone += 1
    return gone


def _size(store: Store) -> int:
    """Bytes of the database and of the imports."""
    total = 0
    folder = store.imports_folder
    for path in (store.path, *(folder.iterdir() if folder.is_dir() else ())):
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total
