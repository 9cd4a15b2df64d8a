"""What the live tests share: a folder worth publishing, and whether two folders are the same."""

from __future__ import annotations

import hashlib
from pathlib import Path

from integrity.client.session import Session
from integrity.core.links import Link
from integrity.publishing.recording import Recorder

MIB = 1 << 20


def fill(folder: Path, many: int = 1500) -> Path:
    """Files of every kind, one of several pieces, and a directory that is sharded by default."""
    (folder / "docs" / "tief" / "über").mkdir(parents=True)
    (folder / "README").write_text("a tool\n")
    (folder / ".hidden").write_text("dot\n")
    (folder / "empty").touch()
    (folder / "docs" / "tief" / "über" / "größe.txt").write_text("notes\n" * 1000)
    (folder / "program").write_bytes(bytes(range(251)) * 20_000)
    (folder / "many").mkdir()
    for number in range(many):  # long names, so that the block would be larger than 256 KiB
        (folder / "many" / f"{number:05}-{'x' * 180}").write_text(str(number))
    return folder


def content_of(folder: Path) -> dict[str, bytes]:
    """Every file's digest by its path."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).digest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def is_recorded(session: Session, version: str, package: str = "tool") -> bool:
    """Whether the session's own key has recorded that version."""
    link = Link(session.chosen_chain(), session.key(None).address, package, version)
    return Recorder(session, link, version).standing() is not None
