"""``integrity demo``."""

from __future__ import annotations


def demo() -> None:
    """Run the main job on real files, on a chain of its own, and show what each command prints."""
    raise NotImplementedError
