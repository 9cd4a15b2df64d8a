"""Indexes of one's own, and the chains of tests/chain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from integrity.index.database import Index
from tests.chain.conftest import anvil, bare_anvil, canned, kind, lying_rpc, shared

__all__ = ["anvil", "bare_anvil", "canned", "kind", "lying_rpc", "shared"]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with Index(tmp_path / "home" / "index.db") as opened:
        yield opened
