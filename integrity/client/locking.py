"""Lock files: which release of each package is meant, to the byte, for pipelines and packagers.

``integrity.lock`` is text: a pinned link a line (spec v1, section 5), sorted, and comments that begin with
``#``. Whoever put it there names the publishers in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from integrity.client.resolving import resolve
from integrity.client.session import Session
from integrity.core.links import AliasLink, Link, parse_link
from integrity.disk.files import write_whole
from integrity.disk.sidecars import read_named
from integrity.errors import FormatError, UsageError

LOCK_LIMIT = 16 << 20
"""Bytes of a lock file."""

_HEAD = "# Which releases are meant, to the byte; made by `integrity lock`.\n"


def lock(asked: Sequence[tuple[Session, Link]], path: Path) -> list[Link]:
    """Resolve each link in its session, and put its release into the lock file in the place of another
    one of the same package -> the pinned links. Raises what resolving raises, and nothing is written
    then; UsageError for two versions of one package; UsageError or FormatError for a file that is no lock
    file, DiskError.
    """
    known = read_lock(path) if path.exists() else []
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
    every = [link for link in known if link.of_package not in pinned] + [*pinned.values()]
    write_whole(path.absolute(), (_HEAD + _lines(every)).encode())
    return list(pinned.values())


def read_lock(path: Path) -> list[Link]:
    """The pinned links of a lock file. Raises UsageError when it cannot be read, FormatError or
    LimitExceeded.
    """
    data = read_named(path, LOCK_LIMIT, "a lock file", make="`integrity lock LINK` makes one.")
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError as error:
        raise FormatError(f"the lock file {str(path)!r} is no text") from error
    found = [
        _entry(line, f"{str(path)!r}, line {number}")
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.startswith("#")
    ]
    if len({link.of_package for link in found}) < len(found):
        raise FormatError(f"the lock file {str(path)!r} has a package twice")
    return found


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


def _lines(links: Iterable[Link]) -> str:
    return "".join(sorted(f"{link}\n" for link in links))
