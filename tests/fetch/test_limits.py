"""How fast is fetched at the most."""

from __future__ import annotations

import pytest

from integrity.errors import UnsafePath
from integrity.fetch.engine import Fetcher, Terms
from integrity.fetch.limits import RateLimit
from tests.adversary.sources import AT_ONCE, MemorySource

from .doubles import Wanted
from .test_engine import pieces


def test_what_came_is_waited_for_afterwards() -> None:
    now = 100.0
    limit = RateLimit(1000, lambda: now)
    assert limit.delay() == 0
    limit.spend(600)
    assert limit.delay() == pytest.approx(0.5)  # a tenth of a second's worth was free
    limit.spend(1000)
    assert limit.delay() == pytest.approx(1.5)
    now += 1
    assert limit.delay() == pytest.approx(0.5)
    now += 1000
    assert limit.delay() == 0
    limit.spend(1100)
    assert limit.delay() == pytest.approx(1.0)


@pytest.mark.parametrize(
    "terms",
    [Terms(limit=1, policy=AT_ONCE.policy), Terms(limit_each=1, policy=AT_ONCE.policy)],
    ids=["together", "each"],
)
def test_a_limit_holds_for_all_connections_of_a_source(terms: Terms) -> None:
    wanted = Wanted(pieces(30, 1000), together=1)
    source = MemorySource(wanted.blocks, connections=4)
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += bool(wanted.kept)
        if looks == 5:
            raise UnsafePath("enough")

    with pytest.raises(UnsafePath, match="enough"):
        Fetcher([source], terms).run(wanted.batches, wanted, look)
    assert 1 <= len(source.asked) <= 4
