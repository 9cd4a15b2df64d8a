"""The directory tree of a release, built from its files in the order of the manifest.

Files arrive sorted by the UTF-8 bytes of their paths, so a directory is complete as soon as a path
outside it arrives, and only the directories above the current file are held. A directory of many
entries puts them down in a scratch, sorted; so memory stays bounded whatever the release's size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from integrity.core.dagpb import decode_link, encode_link
from integrity.core.paths import PATH_LIMIT, check_part, fold
from integrity.core.sorting import ExternalSorter, Scratch
from integrity.core.unixfs import (
    SHARD_THRESHOLD,
    Emit,
    Node,
    directory_node,
    drop,
    name_hash,
    plain_directory_size,
    sharded_directory_node,
)
from integrity.errors import LimitExceeded, NameCollision, NonCanonical

_CID_SIZE = 36
_TSIZE_SIZE = 8
_HASH_SIZE = 8
_TAIL = _CID_SIZE + _TSIZE_SIZE
_FOLD, _FOLDED, _UNFOLDED = b"\0", b"\1", b"\2"


class TreeBuilder:
    """Feed every file with :meth:`add`, then ask :meth:`finish` for the content root.

    Refuses unsafe paths, paths out of order or given twice, and names that collide.
    """

    def __init__(self, scratch: Scratch, emit: Emit = drop) -> None:
        self._scratch = scratch
        self._emit = emit
        self._last = b""
        self._prefix = ""
        self._open = [_Directory("", scratch)]

    def add(self, path: str, node: Node) -> None:
        """Add the file ``path``, whose root is ``node``.

        Raises UnsafePath, NameCollision, LimitExceeded, or NonCanonical when out of order.
        """
        raw = path.encode("utf-8", "surrogatepass")
        if len(raw) > PATH_LIMIT:
            raise LimitExceeded(f"a path of more than {PATH_LIMIT} bytes: {path[:80]!r}…")
        if raw <= self._last:
            what = "twice" if raw == self._last else "out of order"
            raise NonCanonical(f"the path {path[:200]!r} stands {what}; paths are sorted by bytes")
        self._last = raw
        while not path.startswith(self._prefix):
            self._close()
        rest = path[len(self._prefix) :]
        if "/" in rest:
            *folders, rest = rest.split("/")
            for name in folders:
                check_part(name, path)
                self._open.append(_Directory(name, self._scratch))
                self._prefix += name + "/"
        check_part(rest, path)
        self._open[-1].add(rest, node)

    def _close(self) -> None:
        directory = self._open.pop()
        node = directory.finish(self._prefix, self._emit)
        self._prefix = self._prefix[: len(self._prefix) - len(directory.name) - 1]
        self._open[-1].add(directory.name, node)

    def finish(self) -> Node:
        """Close everything that is open; the root directory's node."""
        while len(self._open) > 1:
            self._close()
        return self._open[0].finish("", self._emit)


class _Directory:
    """The entries of one open directory: by name while it is small, by hash once it is sharded.

    Names collide when their folded forms are the same; then at least one of them is not its own
    folded form. Each such one is put down a second time, under the hash of its folded form, which is
    where it meets whatever it collides with.
    """

    def __init__(self, name: str, scratch: Scratch) -> None:
        self.name = name
        self._scratch = scratch
        self._small: list[bytes] = []
        self._link_sizes = 0
        self._below = 0
        self._by_hash: ExternalSorter | None = None

    def add(self, name: str, node: Node) -> None:
        raw = name.encode()
        self._below += node.tsize
        if self._by_hash is not None:
            _put(self._by_hash, raw, bytes(node.cid), node.tsize)
            return
        link = encode_link(bytes(node.cid), raw, node.tsize)
        # NUL sorts below every byte of a name, so these sort as their names do.
        self._small.append(raw + b"\0" + link)
        self._link_sizes += len(link)
        if plain_directory_size(self._link_sizes) > SHARD_THRESHOLD:
            self._shard()

    def _shard(self) -> None:
        self._by_hash = ExternalSorter(self._scratch)
        small, self._small = self._small, []
        for record in small:
            raw, _, link = record.partition(b"\0")
            cid, _, tsize = decode_link(link)
            _put(self._by_hash, raw, bytes(cid), tsize)

    def finish(self, prefix: str, emit: Emit) -> Node:
        if self._by_hash is not None:
            return sharded_directory_node(_entries(self._by_hash, prefix), emit)
        self._small.sort()
        names = [record[: record.index(0)] for record in self._small]
        # The common case in one step: as many folded names as names.
        if len({_folded(name) for name in names}) < len(names):
            folds: dict[bytes, bytes] = {}
            for name in names:
                _note(folds, _folded(name), name, prefix)
        links = [record[len(name) + 1 :] for record, name in zip(self._small, names, strict=True)]
        return directory_node(links, self._below, emit)


def _put(records: ExternalSorter, raw: bytes, cid: bytes, tsize: int) -> None:
    folded = _folded(raw)
    kind = _FOLDED if folded == raw else _UNFOLDED
    records.add(name_hash(raw) + kind + raw + cid + tsize.to_bytes(_TSIZE_SIZE, "big"))
    if folded != raw:
        records.add(name_hash(folded) + _FOLD + raw)


def _entries(records: Iterable[bytes], prefix: str) -> Iterator[tuple[bytes, bytes, bytes, int]]:
    """The entries of a sharded directory by their hashes; raises NameCollision."""
    at = b""
    folds: dict[bytes, bytes] = {}
    for record in records:
        hashed, kind = record[:_HASH_SIZE], record[_HASH_SIZE]
        if hashed != at:
            at = hashed
            folds.clear()
        if kind == _FOLD[0]:
            name = record[_HASH_SIZE + 1 :]
            _note(folds, _folded(name), name, prefix)
            continue
        name = record[_HASH_SIZE + 1 : -_TAIL]
        # An unfolded name is met by its equals alone here; no name has a NUL.
        _note(folds, name if kind == _FOLDED[0] else b"\0" + name, name, prefix)
        tsize = int.from_bytes(record[-_TSIZE_SIZE:], "big")
        yield hashed, name, record[-_TAIL:-_TSIZE_SIZE], tsize


def _note(folds: dict[bytes, bytes], folded: bytes, name: bytes, prefix: str) -> None:
    """Note a name under its folded form; NameCollision when there is one already."""
    other = folds.get(folded)
    if other is None:
        folds[folded] = name
        return
    paths = sorted((prefix + name.decode(), prefix + other.decode()))
    if name == other:
        message = f"the path {paths[0]!r} is a file and a folder at once"
    else:
        message = f"the paths {paths[0]!r} and {paths[1]!r} differ only in case or Unicode form"
    raise NameCollision(message, evidence={"paths": paths})


def _folded(raw: bytes) -> bytes:
    return raw.lower() if raw.isascii() else fold(raw.decode()).encode()
