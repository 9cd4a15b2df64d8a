"""Following packages: each new release is fetched and offered, old and revoked ones are let go."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from integrity.client.session import Session
from integrity.core.links import Link
from integrity.disk.sidecars import receipt_path, sidecar_path
from integrity.disk.system import real_path
from integrity.downloading.getting import get, is_as_it_was
from integrity.downloading.sharing import is_whole
from integrity.errors import DiskError, IntegrityError, PathRefused, UsageError
from integrity.fetch.engine import Terms
from integrity.finding.history import history
from integrity.ports import Report, Source
from integrity.store.database import Store
from integrity.store.entries import StoredRelease
from integrity.store.upkeep import remove

_DEPTH = 4
"""Folders between a mirror's and a release's files."""

FETCHED, DROPPED, FAILED, LEFT = "fetched", "dropped", "failed", "left"


@dataclass(frozen=True, slots=True)
class Event:
    """What a round did with one release: ``fetched``, ``dropped``, ``failed`` (``error`` says why), or
    ``left``: it is offered no more, but its folder was changed by somebody and stays.
    """

    what: str
    link: Link
    folder: Path
    error: IntegrityError | None = None


@dataclass(frozen=True, slots=True)
class Mirror:
    """Keeps the newest ``keep`` releases of each link's package below ``folder``, or the one release
    that a link names.
    """

    session: Session
    links: Sequence[Link]
    folder: Path
    keep: int
    sources: Sequence[Source]
    terms: Terms | None = None

    def round(self, tell: Callable[[Event], None], report: Report | None = None) -> None:
        """Look once at every package. What fails is told, and tried again the next time."""
        for links in self._packages():
            try:
                self._follow(links, tell, report)
            except IntegrityError as error:
                tell(Event(FAILED, links[0], self.folder, error))

    def _packages(self) -> Iterable[list[Link]]:
        """The links of each package."""
        found: dict[tuple[int, str, str], list[Link]] = {}
        for link in self.links:
            found.setdefault(link.of_package, []).append(link)
        return found.values()

    def _follow(
        self, links: Sequence[Link], tell: Callable[[Event], None], report: Report | None
    ) -> None:
        any_version = Link(*links[0].of_package)
        named = {link.version: link for link in links}
        self._check_alone(any_version)
        wanted = self._wanted(any_version, set(named))
        for version in wanted:
            # A pin is of the release that its link names.
            link = named.get(version, replace(any_version, version=version))
            self._fetch(link, tell, report)
        for known in sorted(self._offered(any_version), key=lambda known: known.version):
            if known.version not in wanted and (None in named or known.version in named):
                self._drop(replace(any_version, version=known.version), known, tell)

    def _wanted(self, link: Link, named: set[str | None]) -> list[str]:
        """The versions to have, newest first; none that is revoked, or that this home takes from nobody."""
        found = [
            entry.version
            for entry in reversed(history(self.session, link).releases)
            if entry.revoked is None and entry.refused is None
        ]
        newest = found[: self.keep] if None in named else []
        return [version for version in found if version in newest or version in named]

    def _place(self, link: Link, version: str) -> Path:
        """No two releases may be in each other's way, whatever publishers call them."""
        name = f"{link.package}-{version}"
        return self.folder / link.publisher / link.package / version / name

    def _fetch(self, link: Link, tell: Callable[[Event], None], report: Report | None) -> None:
        place = self._place(link, str(link.version))
        if self._has(link, place):
            return
        try:
            _make(place.parent)
            get(
                self.session, link, place, sources=self.sources, terms=self.terms, share=True,
                report=report,
            )  # fmt: skip
        except IntegrityError as error:
            if isinstance(error, PathRefused):
                error.next = "Move that away; it is fetched the next time."
            tell(Event(FAILED, link, place, error))
        else:
            tell(Event(FETCHED, link, place))

    def _has(self, link: Link, place: Path) -> bool:
        """Whether it is offered already, from here or from elsewhere on this machine; whoever asks for
        a piece has it hashed.
        """
        here = real_path(place)
        for known in self._offered(link):
            if known.version == link.version and os.path.lexists(known.folder):
                with Store(self.session.home.store) as store:
                    if known.folder == here or is_whole(store, known):
                        return True
        return False

    def _check_alone(self, link: Link) -> None:
        """A home offers a release from one place: two mirrors of a package would never agree. Raises
        UsageError.
        """
        for known in self._offered(link):
            place = Path(os.fsdecode(known.folder))
            if len(place.parts) <= _DEPTH or not place.is_dir():
                continue
            other = replace(self, folder=place.parents[_DEPTH - 1])
            if (
                other._place(link, known.version) == place  # noqa: SLF001 - another one of these
                and real_path(other.folder) != real_path(self.folder)
            ):
                base = other.folder
                raise UsageError(
                    f"this home mirrors {link.package} in {str(base)!r} already",
                    next=f"Mirror it there (--folder {base}). To move it, stop the mirror and move that "
                    "folder; or set INTEGRITY_HOME to another home.",
                )

    def _offered(self, link: Link) -> list[StoredRelease]:
        """What this home offers of a package."""
        if not self.session.home.store.exists():
            return []
        with Store(self.session.home.store) as store:
            return [
                known
                for known in store.releases()
                if (known.chain_id, known.publisher, known.package) == link.of_package
            ]

    def _drop(self, link: Link, known: StoredRelease, tell: Callable[[Event], None]) -> None:
        """Let go of what this mirror fetched; what this home offers from elsewhere is not its own."""
        place = self._place(link, known.version)
        if known.folder != real_path(place):
            return
        mine = is_as_it_was(self.session, place)
        with Store(self.session.home.store) as store:
            remove(store, [known], [])
        if mine:
            shutil.rmtree(place, ignore_errors=True)
            for beside in (sidecar_path(place), receipt_path(place)):
                with contextlib.suppress(OSError):
                    beside.unlink()
            with contextlib.suppress(OSError):
                for above in place.parents[: _DEPTH - 1]:
                    above.rmdir()
        tell(Event(DROPPED if mine else LEFT, link, place))


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiskError(
            f"cannot make the folder {str(folder)!r}: {error.strerror or error}",
            next="Name another one with --folder, or mend what is in the way.",
        ) from error
