"""What spec/v1.md says in numbers and examples is what the code and the vectors say."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from integrity.core import dagpb, jsonlines, links, manifest, paths, pieces, reading, unixfs
from integrity.core.cid import DAG_PB, Cid
from integrity.core.links import Link, parse_link
from integrity.core.reading import check_manifest
from integrity.disk.temporary import TemporaryScratch
from integrity.errors import FormatError, IntegrityError, UnavailableError, VerificationError
from integrity.verifier import proofs, receipt

from . import recipes

SPEC = (Path(__file__).resolve().parents[2] / "spec" / "v1.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (\d+)\. .*?\n(.*?)(?=^## |\Z)", SPEC, re.MULTILINE | re.DOTALL))
EXAMPLE = SECTIONS["9"]


@pytest.mark.parametrize(
    ("row", "value"),
    [
        ("piece", pieces.PIECE_SIZE),
        ("line (LINE_LIMIT)", manifest.LINE_LIMIT),
        ("header line (HEADER_LIMIT)", manifest.HEADER_LIMIT),
        ("`meta` (META_LIMIT)", manifest.META_LIMIT),
        ("manifest (MANIFEST_LIMIT)", reading.MANIFEST_LIMIT),
        ("integers (INTEGER_LIMIT)", jsonlines.INTEGER_LIMIT),
        ("path (PATH_LIMIT)", paths.PATH_LIMIT),
        ("part of a path (PART_LIMIT)", paths.PART_LIMIT),
        ("link (LINK_LIMIT)", links.LINK_LIMIT),
        ("hints (HINT_LIMIT)", links.HINT_LIMIT),
        ("chain id", links.CHAIN_ID_LIMIT),
        ("block (BLOCK_LIMIT)", dagpb.BLOCK_LIMIT),
        ("links of a file node", unixfs.FANOUT),
        ("shard threshold", unixfs.SHARD_THRESHOLD),
        ("header of a block", proofs.HEADER_LIMIT),
        ("receipt (RECEIPT_LIMIT)", receipt.RECEIPT_LIMIT),
    ],
)
def test_a_limit_is_the_one_in_the_code(row: str, value: int) -> None:
    cells = re.search(rf"^\| {re.escape(row)} \| ([0-9,^]+)( - 1)?", SECTIONS["7"], re.MULTILINE)
    assert cells is not None
    base, _, power = cells[1].replace(",", "").partition("^")
    assert int(base) ** int(power or 1) - (1 if cells[2] else 0) == value


def test_the_characters_that_nobody_sees_are_the_ones_in_the_code() -> None:
    text = re.search(r"Default_Ignorable_Code_Point: U\+(.*?)\. \(", SECTIONS["3"], re.DOTALL)
    assert text is not None
    unseen: set[int] = set()
    for item in re.split(r",\s+", text[1]):
        first, _, last = item.partition("..")
        unseen.update(range(int(first, 16), int(last or first, 16) + 1))
    assert len(unseen) > 4000
    visible = [point for point in range(0x110000) if not 0xD800 <= point < 0xE000]
    assert {point for point in visible if paths.fold(f"a{chr(point)}b") == "ab"} == unseen


def example_manifest() -> str:
    return "".join(line + "\n" for line in EXAMPLE.splitlines() if line.startswith("{"))


def test_the_worked_example_is_a_manifest_and_a_vector() -> None:
    text = example_manifest()
    with TemporaryScratch() as scratch:
        header = check_manifest([text.encode()], scratch)
    assert header.files == 2
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert EXAMPLE.count(digest) == 3
    cases = {case["name"]: case for case in recipes.load("manifests-good")["cases"]}
    case = cases["the worked example of the specification"]
    assert recipes.text(case["manifest"]) == text
    assert case["digest"] == digest


def test_the_blocks_of_the_worked_example_have_the_digests_it_gives() -> None:
    """Every block that is spelled out, here and in section 8.5, is linked to or named by its CID."""
    blocks = re.findall(r"```\n((?:12|0a) .*?)```", SECTIONS["8"] + EXAMPLE, re.DOTALL)
    assert len(blocks) == 4
    text = re.sub(r"\s", "", SPEC)
    for block in blocks:
        lines = [line.partition('"')[0].partition("bits")[0] for line in block.splitlines()]
        raw = bytes.fromhex("".join("".join(lines).split()))
        digest = hashlib.sha256(raw).digest()
        cid = str(Cid(DAG_PB, digest))
        assert cid in text or digest.hex() in text
        assert f"{len(raw)} bytes" in SPEC


def test_the_words_of_the_worked_example_are_those_of_the_vectors() -> None:
    vectors = recipes.load("registry")
    keys = next(case for case in vectors["keys"] if case["name"] == "a release")
    for name in ("package_key", "release_key", "head_slot", "release_slot", "manifest_slot"):
        assert keys[name][2:] in EXAMPLE
    head = next(case for case in vectors["heads"] if case["name"] == "one release")
    release = next(case for case in vectors["releases"] if case["name"] == "a release")
    assert head["word"][2:] in EXAMPLE
    assert release["word"][2:] in EXAMPLE
    assert all(event["topic"] in SECTIONS["4"] for event in vectors["events"])


def test_the_links_in_the_text_are_links() -> None:
    found = re.findall(r"^    (integrity:\S+)$", SPEC, re.MULTILINE)
    assert len(found) == 2
    for text in found:
        link = parse_link(text)
        assert isinstance(link, Link)
        assert str(link) == text
    pinned = parse_link(found[1])
    assert isinstance(pinned, Link)
    assert pinned.pin == hashlib.sha256(example_manifest().encode()).digest()


@pytest.mark.parametrize(
    ("family", "title"),
    [
        (FormatError, "malformed"),
        (VerificationError, "does not verify"),
        (UnavailableError, "could not check"),
    ],
)
def test_a_reason_in_the_text_is_of_its_family(family: type[IntegrityError], title: str) -> None:
    paragraph = re.search(
        rf"^- \*\*{title}\*\*.*?(?=^- |^$)", SECTIONS["6"], re.MULTILINE | re.DOTALL
    )
    assert paragraph is not None
    names = re.findall(r"`([A-Z]\w+)`", paragraph[0])
    kinds = {kind.__name__ for kind in _all_kinds(family)} | {family.__name__}
    assert names
    assert set(names) <= kinds


def _all_kinds(kind: type[IntegrityError]) -> list[type[IntegrityError]]:
    below = [inner for sub in kind.__subclasses__() for inner in _all_kinds(sub)]
    return [*kind.__subclasses__(), *below]
