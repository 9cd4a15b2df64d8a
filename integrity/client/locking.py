"""Lock files: which release of each package is meant, to the byte, for pipelines and packagers.

``integrity.lock`` is text: a pinned link a line (spec v1, section 5), sorted, and comments that begin with
``#``, each of which stays above the link that it precedes. Whoever put it there names the publishers in it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from integrity.client.resolving import resolve
from integrity.client.session import Session
from integrity.core.links import AliasLink, Link, parse_link
from integrity.disk.files import locked as held
from integrity.disk.files import named, write_whole
from integrity.disk.sidecars import read_named
from integrity.disk.system import real_path
from integrity.errors import FormatError, UsageError
from integrity.home import Home

LOCK_LIMIT = 16 << 20
"""Bytes of a lock file."""

_LOCK_SECONDS = 30.0

_HEAD = "# Which releases are meant, to the byte; made by `integrity lock`."


@dataclass(frozen=True, slots=True)
class _Contents:
    """A lock file: lines at the top, links with the lines above each, lines at the end. All but the links
    are comments or empty.
    """

    top: tuple[str, ...] = ()
    entries: tuple[tuple[tuple[str, ...], Link], ...] = ()
    end: tuple[str, ...] = ()

    def with_links(self, links: Sequence[Link]) -> _Contents:
        """The same with these, each in the place of another one of its package."""
        entries = {link.of_package: (above, link) for above, link in self.entries}
        for link in links:
            above, _ = entries.get(link.of_package, ((), link))
            entries[link.of_package] = above, link
        return replace(self, entries=tuple(entries.values()))

    def text(self) -> str:
        top = self.top if _HEAD in self.top else (_HEAD, *self.top)
        lines = [*top]
        for above, link in sorted(self.entries, key=lambda entry: str(entry[1])):
            lines += [*above, str(link)]
        return "".join(f"{line}\n" for line in (*lines, *self.end))


def lock(asked: Sequence[tuple[Session, Link]], path: Path) -> list[Link]:
    """Resolve each link in its session, and put its release into the lock file in the place of another
    one of the same package -> the pinned links. Raises what resolving raises, and nothing is written
    then; UsageError for two versions of one package; UsageError or FormatError for a file that is no lock
    file, Locked, DiskError.
    """
    if not asked:
        return []
    whole = named(path)
    _read(path)  # a broken one is told before any node is asked
    pinned: dict[tuple[int, str, str], Link] = {}
    for session, link in asked:
        new = _pinned(session, link)
        other = pinned.setdefault(new.of_package, new)
        if other != new:
            raise UsageError(
                f"{replace(other, pin=None)} and {replace(new, pin=None)} are two releases of one package, "
                "and a lock file says which one is meant",
                next="Name one of them; another file (-o FILE) can have the other.",
            )
    links = list(pinned.values())
    with _changing(asked[0][0].home, whole):
        write_whole(whole, _read(path).with_links(links).text().encode())
    return links


def _changing(home: Home, path: Path) -> contextlib.AbstractContextManager[None]:
    """Around reading, changing and writing a lock file, one process of this home at a time. What they
    agree by is kept in the home: the file is in somebody's repository, where nothing else belongs.
    """
    place = os.path.join(real_path(path.parent), os.fsencode(path.name))
    name = hashlib.sha256(place).hexdigest()
    return held(home.data_folder / "locks" / name, _LOCK_SECONDS, f"is changing {path}")


def read_lock(path: Path) -> list[Link]:
    """The pinned links of a lock file. Raises UsageError when it cannot be read, FormatError or
    LimitExceeded.
    """
    data = read_named(path, LOCK_LIMIT, "a lock file", make="`integrity lock LINK` makes one.")
    return [link for _, link in _parse(data, path).entries]


def _read(path: Path) -> _Contents:
    """All that a lock file has, which is nothing when it is not there. Raises what read_lock does."""
    if not path.exists():
        return _Contents()
    return _parse(read_named(path, LOCK_LIMIT, "a lock file"), path)


def _parse(data: bytes, path: Path) -> _Contents:
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError as error:
        raise FormatError(f"the lock file {str(path)!r} is no text") from error
    top: list[str] = []
    entries: list[tuple[tuple[str, ...], Link]] = []
    above: list[str] = []
    for number, line in enumerate(lines, 1):
        if line.startswith("#") or not line.strip():
            above.append(line)
            continue
        if not entries:
            top, above = _split(above)
        link = _entry(line, f"{str(path)!r}, line {number}")
        entries.append((tuple(one for one in above if one != _HEAD), link))
        above = []
    if len({link.of_package for _, link in entries}) < len(entries):
        raise FormatError(f"the lock file {str(path)!r} has a package twice")
    if not entries:  # set off from what will come below, which they are not about
        more = [""] if above and above[-1].strip() and above[-1] != _HEAD else []
        return _Contents(_with_one_head([*above, *more]))
    end = tuple(line for line in above if line != _HEAD)
    return _Contents(_with_one_head(top), tuple(entries), end)


def _split(lines: list[str]) -> tuple[list[str], list[str]]:
    """What is above the first link: the lines at the top, and those that are about the link: below the
    program's own line, and below any empty one.
    """
    ends = [number for number, line in enumerate(lines, 1) if not line.strip() or line == _HEAD]
    at = max(ends, default=0)
    return lines[:at], lines[at:]


def _with_one_head(lines: list[str]) -> tuple[str, ...]:
    first = lines.index(_HEAD) if _HEAD in lines else 0
    return tuple(line for at, line in enumerate(lines) if line != _HEAD or at == first)


def locked(session: Session, text: str, path: Path) -> tuple[Session, Link]:
    """The release that the lock file says of a link's package, and a session that believes its
    publisher. Raises UsageError when there is none, or another version than the link's, LinkMalformed.
    """
    entries = read_lock(path)
    link = _link(session, text, entries)
    entry = next((one for one in entries if one.of_package == link.of_package), None)
    if entry is None:
        raise UsageError(
            f"{link} is not in the lock file {str(path)!r}",
            next=f"`integrity lock {link} -o {path}` adds it.",
        )
    if link.version not in {None, entry.version} or link.pin not in {None, entry.pin}:
        raise UsageError(
            f"the lock file {str(path)!r} has {entry.package}@{entry.version}, and not {link}",
            next=f"`integrity lock {link} -o {path}` changes that.",
        )
    named = replace(session, publisher=session.publisher or entry.publisher)
    return named, replace(entry, sources=link.sources)


def _link(session: Session, text: str, entries: Sequence[Link]) -> Link:
    """The link; an alias that this home does not have is told what the lock file knows, which has none."""
    _ = session.trust  # what is broken in itself is no fault of an alias
    try:
        return session.link(text)
    except UsageError as error:
        if not isinstance(named := parse_link(text), AliasLink):
            raise
        known = [
            str(replace(e, version=None, pin=None)) for e in entries if e.package == named.package
        ]
        if known:
            error.next = (
                f"The lock file knows that package as {' and as '.join(known)}: name it so."
            )
        raise


def _pinned(session: Session, link: Link) -> Link:
    record = resolve(session, link)
    return replace(record.link, pin=record.manifest)


def _entry(line: str, where: str) -> Link:
    try:
        link = parse_link(line.strip())
    except FormatError as error:
        raise error.about(where) from error
    if not isinstance(link, Link) or link.version is None or link.pin is None:
        raise FormatError(f"{where}: not a whole link with a version and a pin")
    return link
