"""Chain profiles: names, defaults, and what they advise."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrity.chain.profiles import duration, parse_chain, profile_of, profiles, seconds
from integrity.core.links import CHAIN_ID_LIMIT
from integrity.errors import UsageError
from integrity.home import Home
from integrity.keys.keystore import DEVELOPMENT_CHAIN
from integrity.trust import TrustStore


def test_every_profile_has_a_name_and_a_number_of_its_own() -> None:
    every = list(profiles().values())
    assert len({profile.name for profile in every}) == len(every)
    assert [parse_chain(profile.name) for profile in every] == list(profiles())
    for profile in every:
        assert profile.lag > 0
        assert profile.title
        assert not profile.name.isdigit()
    assert parse_chain("dev") == DEVELOPMENT_CHAIN
    assert parse_chain("MAINNET") == 1


@given(st.integers(1, CHAIN_ID_LIMIT))
def test_a_chain_goes_by_its_number(number: int) -> None:
    assert parse_chain(str(number)) == number


@given(st.text(max_size=30))
def test_what_is_neither_a_name_nor_a_number_is_refused(text: str) -> None:
    try:
        assert 0 < parse_chain(text) <= CHAIN_ID_LIMIT
    except UsageError:
        assert text.lower() not in {profile.name for profile in profiles().values()}


@given(st.integers(0, 10**9), st.sampled_from(["s", "min", "h", "d"]))
def test_times_are_read(count: int, unit: str) -> None:
    times = {"s": 1, "min": 60, "h": 3600, "d": 86400}
    if count < 10**9:
        assert seconds(f"{count} {unit}") == seconds(f"{count}{unit}") == count * times[unit]


@pytest.mark.parametrize("value", [None, 7, "", "1", "1 y", "-1 s", "1.5 h", " 1 s", "1 s\n"])
def test_what_is_no_time_is_none(value: object) -> None:
    assert seconds(value) is None


@pytest.mark.parametrize(
    ("time", "text"), [(0, "0 s"), (90, "90 s"), (120, "2 min"), (7200, "2 h"), (200_000, "2 d")]
)
def test_times_are_told_in_the_largest_unit_that_fits(time: float, text: str) -> None:
    assert duration(time) == text


def test_the_advice_fits_the_chain() -> None:
    advice = {name: profiles()[parse_chain(name)].remedy for name in ("mainnet", "base", "zksync")}
    assert "another node" in advice["mainnet"]
    assert 'proofs = "optional"' not in advice["mainnet"]
    assert "archive node" in advice["base"]
    assert "cannot be proven" in advice["zksync"]
    assert 'proofs = "optional"' in advice["zksync"]


def test_a_known_chain_that_stands_still_is_stale_unless_trust_toml_says_otherwise(
    tmp_path: Path,
) -> None:
    home = Home.at(tmp_path)
    trust = TrustStore(home).read()
    known = profile_of(1)
    assert known is not None
    assert trust.policy(1).max_age == known.max_age == 86400
    assert trust.policy(DEVELOPMENT_CHAIN).max_age is None  # it rests when nothing happens
    assert trust.policy(4242).max_age is None
    home.trust_file.write_text('[policy]\nmax_age = "2 h"\n')
    assert TrustStore(home).read().policy(1).max_age == 7200
