"""What Ctrl-C leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from integrity.client.session import Session
    from integrity.errors import Interrupted


def interrupted(given: Session, is_meant: Callable[[str], bool]) -> Interrupted:
    """What Ctrl-C left behind: perhaps a transaction of this purpose that was signed and sent."""
    from integrity.chain.journal import Journal
    from integrity.errors import Interrupted

    for entry in Journal(given.home.journal).all():
        if is_meant(entry.purpose):
            return Interrupted(
                f"interrupted; the transaction {entry.hash} was signed, and may be recorded",
                next="Run the same command again: it goes on with that one, and pays for no second.",
                evidence={"transaction": entry.hash},
            )
    return Interrupted(
        "interrupted; no transaction is under way",
        next="Run the same command again; what is recorded already is not sent again.",
    )
