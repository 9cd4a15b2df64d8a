"""What a search finds, and in which order."""

from __future__ import annotations

import os

import pytest

from integrity.core.cid import DAG_PB, Cid
from integrity.core.manifest import Header
from integrity.index.database import Index
from integrity.index.manifests import drop, held, note_header
from integrity.index.searching import RANKED, Hit, Hits, Query, Searching
from integrity.index.words import asked

from .chains import ACME, OTHER, SCOPE, Chain, Latest, Release, address, digest, synced


def search(
    index: Index, *words: str, called: dict[str, bytes] | None = None, **more: object
) -> Hits:
    wanted = asked(words)
    known = called or {}
    by_word = [[known[word.text]] if word.text in known else [] for word in wanted]
    return Searching(index, SCOPE).run(Query(wanted, by_word, **more))  # type: ignore[arg-type]


def packages(hits: Hits) -> list[str]:
    return [hit.package for hit in hits.hits]


def fill(index: Index, *releases: Release) -> None:
    chain = Chain()
    for release in releases:
        chain.mine([release])
    synced(index, chain)


def test_nothing_is_found_where_nothing_is(index: Index) -> None:
    assert search(index, "tool") == Hits([], is_ranked=True)
    fill(index, Release("lib"))
    assert search(index, "tool") == Hits([], is_ranked=True)


def test_all_words_have_to_match_whatever_their_case(index: Index) -> None:
    fill(index, Release("fast-image-tool"), Release("image"), Release("toolbox"))
    assert packages(search(index, "TOOL")) == ["toolbox", "fast-image-tool"]
    assert packages(search(index, "im", "too")) == ["fast-image-tool"]
    assert packages(search(index, "ool")) == [], "beginnings, not middles"


def test_what_is_meant_most_likely_comes_first(index: Index) -> None:
    fill(
        index, Release("my-tool"), Release("tool"), Release("toolkit"), Release("toolbox"),
        Release("tool-of-somebody-trusted", publisher=OTHER),
    )  # fmt: skip
    found = search(index, "tool", trusted=frozenset([OTHER]))
    assert packages(found) == ["tool-of-somebody-trusted", "tool", "toolbox", "toolkit", "my-tool"]
    assert found.is_ranked
    assert packages(search(index, "tool", limit=2)) == ["tool", "toolbox"]


def test_publishers_are_found_by_alias_and_address(index: Index) -> None:
    fill(index, Release("tool"), Release("acme-lib", publisher=OTHER), Release("lib"))
    aliases = {"acme": ACME}
    assert packages(search(index, "acme", called=aliases)) == ["acme-lib", "lib", "tool"]
    assert packages(search(index, "acme", "lib", called=aliases)) == ["lib", "acme-lib"]
    assert packages(search(index, "0xacacac")) == ["lib", "tool"]
    assert packages(search(index, "0xACA", "too")) == ["tool"], "half a byte, too"
    assert packages(search(index, address(OTHER))) == ["acme-lib"]
    assert packages(search(index, "0xdddddd")) == []
    assert packages(search(index, "l", only=OTHER)) == ["acme-lib"]
    assert packages(search(index, "l", only=b"\x99" * 20)) == []


def test_the_release_is_the_latest_one_as_events_tell_it(index: Index) -> None:
    chain = Chain()
    chain.mine(
        [
            Release("tool", "1.0", 1),
            Release("tool", "2.0", 2),
            Release("tool", "3.0-rc", 3, latest=False),
        ]
    )
    synced(index, chain)

    def only() -> Hit:
        (hit,) = search(index, "tool").hits
        return hit

    assert (only().version, only().sequence, only().releases) == ("2.0", 2, 3)
    chain.mine([Latest("tool", "1.0", 1)])
    synced(index, chain)
    assert only().version == "1.0"
    assert only().manifest == digest(f"{ACME.hex()}/tool@1.0")
    chain.mine([Release("tool", "4.0", 4)])
    synced(index, chain)
    assert only().version == "4.0"


def test_a_package_without_a_latest_is_shown_by_its_newest(index: Index) -> None:
    fill(index, Release("tool", "1-rc", 1, latest=False), Release("tool", "2-rc", 2, latest=False))
    (hit,) = search(index, "tool").hits
    assert hit.version == "2-rc"


def test_a_version_narrows_it(index: Index) -> None:
    fill(
        index, Release("tool", "1.2.0", 1), Release("tool", "1.2.1", 2), Release("tool", "2.0", 3),
        Release("toolbox", "12.0", 1), Release("lib", "1.2%_", 1),
    )  # fmt: skip
    assert [hit[1:3] for hit in search(index, "tool@1.2").hits] == [("tool", "1.2.1")]
    assert [hit[1:3] for hit in search(index, "tool@1").hits] == [
        ("tool", "1.2.1"), ("toolbox", "12.0"),
    ]  # fmt: skip
    assert packages(search(index, "@1.2")) == ["lib", "tool"]
    assert packages(search(index, "@1_")) == [], "no pattern of SQL"
    assert packages(search(index, "tool@9")) == []


def test_very_common_words_are_not_ranked_and_yet_lead_to_what_is_meant(index: Index) -> None:
    chain = Chain()
    chain.mine([Release("common"), Release("common-of-mine", publisher=OTHER)])
    chain.mine([Release(f"common-{number:05}") for number in range(RANKED + 500)])
    synced(index, chain)
    found = search(index, "common", trusted=frozenset([OTHER]), limit=4)
    assert not found.is_ranked
    newest = RANKED + 499
    assert packages(found) == [
        "common-of-mine",
        "common",
        f"common-{newest:05}",
        f"common-{newest - 1:05}",
    ]
    assert len(set(packages(search(index, "common", limit=1000)))) == 1000
    assert search(index, "common", "00001").is_ranked


@pytest.mark.parametrize("length", range(1, 20))
def test_beginnings_of_any_length_are_found(index: Index, length: int) -> None:
    fill(index, Release("abcdefghijklmnopqrst"), Release("abcdefghijklmnopqrsx-2"), Release("b"))
    found = packages(search(index, "abcdefghijklmnopqrst"[:length]))
    assert sorted(found) == ["abcdefghijklmnopqrst", "abcdefghijklmnopqrsx-2"]


def header(package: str, version: str, **meta: str) -> Header:
    content = Cid(DAG_PB, os.urandom(32))
    return Header(address(ACME), package, version, content, 1, 1, meta=meta)


def test_what_a_manifest_says_of_itself_is_found_while_it_is_here(index: Index) -> None:
    fill(index, Release("x1"), Release("x2"))
    for name in ("x1", "x3"):
        note_header(
            index,
            SCOPE.chain_id,
            digest(name),
            header(name, "1.0.0", title="Größere Bilder"),
            followed=False,
        )
    note_header(index, 5, digest("x2"), header("x2", "1.0.0", title="Bilder"), followed=False)
    assert packages(search(index, "BILD")) == ["x1"], "of this chain, and recorded on it"
    assert packages(search(index, "grösser", "x1")) == ["x1"]
    assert packages(search(index, "bilder", only=OTHER)) == []
    drop(index, [one.number for one in held(index)])
    assert packages(search(index, "bild")) == []
