"""Kubo nodes for the tests beside this file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from .kubos import Kubo, Settings


def _running(folder: Path) -> Iterator[Kubo]:
    node = Kubo(folder)
    node.start()
    yield node
    node.stop()


@pytest.fixture(scope="session")
def kubo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubo]:
    """A running node for the whole session."""
    yield from _running(tmp_path_factory.mktemp("kubo") / "repo")


@pytest.fixture(scope="session")
def other_kubo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubo]:
    """A second running node, which knows nothing of the first."""
    yield from _running(tmp_path_factory.mktemp("other-kubo") / "repo")


@pytest.fixture
def new_kubo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Kubo]]:
    """Makes nodes for one test: ``new_kubo(settings)`` is not yet started."""
    with ExitStack() as stack:

        def make(settings: Settings | None = None) -> Kubo:
            node = Kubo(tmp_path_factory.mktemp("new-kubo") / "repo", settings)
            stack.callback(node.kill)
            return node

        yield make
