"""Following packages: each new release is fetched and offered, old and revoked ones are let go."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from integrity.client.resolving import history
from integrity.client.session import Session
from integrity.core.links import Link
from integrity.disk.sidecars import sidecar_path
from integrity.disk.system import real_path
from integrity.downloading.getting import get, is_as_it_was
from integrity.errors import DiskError, IntegrityError, UsageError
from integrity.fetch.engine import Terms
from integrity.ports import Report, Source
from integrity.store.database import Store
from integrity.store.entries import StoredRelease
from integrity.store.upkeep import remove

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
        for link in self.links:
            try:
                self._check_alone(link)
                wanted = self._wanted(link)
                for version in wanted:
                    self._fetch(replace(link, version=version), tell, report)
                if link.version is None:
                    self._drop(link, wanted, tell)
            except IntegrityError as error:
                tell(Event(FAILED, link, self.folder, error))

    def _wanted(self, link: Link) -> list[str]:
        """The versions to have, newest first; a revoked one is none of them."""
        found = [
            entry.version
            for entry in reversed(history(self.session, link).releases)
            if entry.revoked is None and link.version in {None, entry.version}
        ]
        return found[: self.keep]

    def _place(self, link: Link) -> Path:
        """Publishers may call their packages alike."""
        return self.folder / link.publisher / f"{link.package}-{link.version}"

    def _fetch(self, link: Link, tell: Callable[[Event], None], report: Report | None) -> None:
        place = self._place(link)
        if self._has(link, place):
            return
        try:
            _make(place.parent)
            get(
                self.session, link, place, sources=self.sources, terms=self.terms, share=True,
                report=report,
            )  # fmt: skip
        except IntegrityError as error:
            tell(Event(FAILED, link, place, error))
        else:
            tell(Event(FETCHED, link, place))

    def _has(self, link: Link, place: Path) -> bool:
        """Whether it was fetched before and is offered; whoever asks for a piece has it hashed."""
        if not place.is_dir() or not self.session.home.store.exists():
            return False
        return any(known.version == link.version for known in self._offered(link, place.parent))

    def _check_alone(self, link: Link) -> None:
        """A home offers a release from one place: two mirrors of a package would never agree. Raises
        UsageError.
        """
        if not self.session.home.store.exists():
            return
        for known in self._offered(link, Path("/")):
            place = Path(os.fsdecode(known.folder))
            names = (link.publisher, f"{known.package}-{known.version}")
            base = place.parent.parent
            if (
                place.parts[-2:] == names
                and place.is_dir()
                and real_path(base) != real_path(self.folder)
            ):
                raise UsageError(
                    f"this home mirrors {link.package} in {str(base)!r} already",
                    next=f"Mirror it there (--folder {base}). To move it, stop the mirror and move that "
                    "folder; or set INTEGRITY_HOME to another home.",
                )

    def _offered(self, link: Link, folder: Path) -> list[StoredRelease]:
        """What this home offers of a package from below a folder."""
        base = real_path(folder).rstrip(b"/") + b"/"
        with Store(self.session.home.store) as store:
            return [
                known
                for known in store.releases()
                if known.folder.startswith(base)
                and (known.chain_id, known.publisher, known.package)
                == (link.chain_id, link.publisher, link.package)
            ]

    def _drop(self, link: Link, wanted: Sequence[str], tell: Callable[[Event], None]) -> None:
        if not self.session.home.store.exists():
            return
        for known in sorted(self._offered(link, self.folder), key=lambda known: known.version):
            if known.version in wanted:
                continue
            gone = replace(link, version=known.version)
            place = self._place(gone)
            mine = is_as_it_was(self.session, place)
            with Store(self.session.home.store) as store:
                remove(store, [known], [])
            if mine:
                shutil.rmtree(place, ignore_errors=True)
                with contextlib.suppress(OSError):
                    sidecar_path(place).unlink()
            tell(Event(DROPPED if mine else LEFT, gone, place))


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiskError(
            f"cannot make the folder {str(folder)!r}: {error.strerror or error}",
            next="Name another one with --folder, or mend what is in the way.",
        ) from error
