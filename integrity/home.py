"""Where this user's things are kept."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from integrity.errors import DiskError, PathRefused

APP = "integrity"


@dataclass(frozen=True, slots=True)
class Home:
    """The folders of one user; ``INTEGRITY_HOME`` puts both into one place."""

    config_folder: Path
    data_folder: Path

    @classmethod
    def of_environment(cls, environ: Mapping[str, str] | None = None) -> Home:
        """The home that ``INTEGRITY_HOME`` names, or else the platform's own folders."""
        place = (os.environ if environ is None else environ).get("INTEGRITY_HOME")
        if place:
            return cls.at(Path(place))
        return cls(
            platformdirs.user_config_path(APP, appauthor=False),
            platformdirs.user_data_path(APP, appauthor=False),
        )

    @classmethod
    def at(cls, place: Path) -> Home:
        """A home of its own in one folder."""
        place = place.expanduser().absolute()
        return cls(place, place)

    @property
    def config_file(self) -> Path:
        return self.config_folder / "config.toml"

    @property
    def trust_file(self) -> Path:
        return self.config_folder / "trust.toml"

    @property
    def keys(self) -> Path:
        return self.data_folder / "keys"

    @property
    def store(self) -> Path:
        return self.data_folder / "store.db"

    @property
    def index(self) -> Path:
        """The index of registries' events; whoever deletes it has it made anew."""
        return self.data_folder / "index.db"

    @property
    def chain(self) -> Path:
        return self.data_folder / "chain"

    @property
    def journal(self) -> Path:
        return self.data_folder / "journal"

    def recorded_manifest(self, digest: bytes) -> Path:
        """Where a manifest is kept from before its transaction is sent until the store has it."""
        return self.journal / f"{digest.hex()}.integrity"

    def refuse_inside(self, root: Path) -> None:
        """Raises PathRefused when a folder to be published holds this home: its keys would go out."""
        top = Path(os.path.realpath(root))
        for own in (self.keys, self.data_folder, self.config_folder):
            if Path(os.path.realpath(own)).is_relative_to(top):
                raise PathRefused(
                    f"{str(root)!r} holds this home ({own}), with its keys and settings",
                    next="Publish another folder, or move the home with INTEGRITY_HOME.",
                )

    def scratch_folder(self) -> Path:
        """A folder for temporary data, beside the store so that it has the store's room. Raises
        DiskError.
        """
        folder = self.data_folder / "tmp"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DiskError(f"cannot use {folder}: {error.strerror or error}") from error
        return folder
