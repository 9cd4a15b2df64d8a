"""Times for people."""

from __future__ import annotations

import datetime as dt


def moment(seconds: int) -> str:
    """A Unix time in UTC, as ``2026-11-01 00:00:00 UTC``; contracts can say times that no calendar has."""
    try:
        return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):  # no calendar goes that far
        return f"{seconds} seconds after 1970"
