"""Publish verified files, and verify what anybody sends you, against a record on a blockchain.

All that a program needs::

    from integrity import Session, get, publish, resolve, verify

Each takes a :class:`Session` first: a home, its settings, and what the call itself says. Names are
imported when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from integrity.client.resolving import resolve as resolve
    from integrity.client.session import Session as Session
    from integrity.client.verifying import Verification as Verification
    from integrity.client.verifying import verify as verify
    from integrity.core.links import Link as Link
    from integrity.core.links import parse_link as parse_link
    from integrity.downloading.getting import Got as Got
    from integrity.downloading.getting import get as get
    from integrity.errors import IntegrityError as IntegrityError
    from integrity.home import Home as Home
    from integrity.ports import Progress as Progress
    from integrity.publishing.batching import PublishedMany as PublishedMany
    from integrity.publishing.batching import publish_many as publish_many
    from integrity.publishing.preparing import Draft as Draft
    from integrity.publishing.publish import Published as Published
    from integrity.publishing.publish import publish as publish
    from integrity.verifier.record import Record as Record

__version__ = "0.1.0"

_PLACES = {
    "Draft": "publishing.preparing",
    "Got": "downloading.getting",
    "Home": "home",
    "IntegrityError": "errors",
    "Link": "core.links",
    "Progress": "ports",
    "Published": "publishing.publish",
    "PublishedMany": "publishing.batching",
    "Record": "verifier.record",
    "Session": "client.session",
    "Verification": "client.verifying",
    "get": "downloading.getting",
    "parse_link": "core.links",
    "publish": "publishing.publish",
    "publish_many": "publishing.batching",
    "resolve": "client.resolving",
    "verify": "client.verifying",
}

__all__ = [*sorted(_PLACES), "__version__"]  # noqa: PLE0604 - strings all the same


def __getattr__(name: str) -> object:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{place}"), name)
