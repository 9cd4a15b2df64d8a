"""spec/vectors/manifests-good.json and manifests-bad.json (spec v1, section 3)."""

from __future__ import annotations

import hashlib

import pytest

from integrity import errors
from integrity.core.manifest import encode_file, encode_header
from integrity.core.pieces import PIECE_SIZE
from integrity.core.reading import ManifestDigest, check_manifest, iter_files, split_lines
from integrity.core.unixfs import leaves_of_root
from integrity.disk.temporary import TemporaryScratch
from integrity.errors import FormatError, ManifestInvalid
from integrity.verifier.content import step6_manifest

from . import honest, recipes
from .recipes import Case


@pytest.mark.parametrize("case", recipes.parameters("manifests-good"))
def test_a_good_manifest_is_accepted_for_what_it_is(case: Case) -> None:
    with TemporaryScratch() as scratch:
        header = check_manifest(recipes.expand(case["manifest"]), scratch)
    assert (str(header.content), header.files, header.size) == (
        case["content"], case["files"], case["size"],
    )  # fmt: skip


@pytest.mark.parametrize("case", recipes.parameters("manifests-good"))
def test_a_good_manifest_has_the_digest_that_kubo_gives_it(case: Case) -> None:
    blocks: dict[bytes, bytes] = {}
    digest = ManifestDigest(blocks.__setitem__)
    for chunk in recipes.expand(case["manifest"]):
        digest.update(chunk)
    recorded = digest.finish()
    assert recorded.hex() == case["digest"] == honest.binary(case["root"])[4:].hex()

    # A reader goes the other way: from the root block to the manifest.
    manifest = b"".join(recipes.expand(case["manifest"]))
    root = blocks[recorded]
    if len(manifest) <= PIECE_SIZE:
        assert root == manifest
        assert root[:1] == b"{"
    else:
        assert root[:1] == b"\x12"
        size, leaves = leaves_of_root(root)
        digests = [leaves[at : at + 32] for at in range(0, len(leaves), 32)]
        assert b"".join(blocks[leaf] for leaf in digests) == manifest
        assert size == len(manifest)


@pytest.mark.parametrize("case", recipes.parameters("manifests-good"))
def test_a_good_manifest_is_written_as_it_was_read(case: Case) -> None:
    with TemporaryScratch() as scratch:
        header = check_manifest(recipes.expand(case["manifest"]), scratch)
    manifest = b"".join(recipes.expand(case["manifest"]))
    written = hashlib.sha256(encode_header(header))
    for entry in iter_files([manifest]):
        written.update(encode_file(entry))
    assert written.digest() == hashlib.sha256(manifest).digest()


@pytest.mark.parametrize("case", recipes.parameters("manifests-good"))
def test_a_good_manifest_is_one_of_its_tree(case: Case) -> None:
    """The lines give the digests of the bytes that the recipe makes."""
    lines = split_lines(recipes.expand(case["manifest"]))
    next(lines)
    entries = {entry.path: entry for entry in iter_files(recipes.expand(case["manifest"]))}
    files = list(recipes.tree_files(case["tree"]))
    assert len(entries) == len(files) == case["files"] == sum(1 for _ in lines)
    for file in files:
        entry = entries[file.path]
        assert entry.size == file.size
        assert entry.digests == b"".join(recipes.digests(file))


@pytest.mark.parametrize("case", recipes.parameters("manifests-bad"))
def test_a_bad_manifest_is_refused_for_its_one_reason(case: Case) -> None:
    with TemporaryScratch() as scratch, pytest.raises(FormatError) as caught:
        check_manifest(recipes.expand(case["manifest"]), scratch)
    assert caught.value.name == case["reason"], caught.value.message
    assert caught.value.family == "malformed"
    assert len(caught.value.message) < 10_000


@pytest.mark.parametrize("case", recipes.parameters("manifests-bad"))
def test_a_recorded_bad_manifest_does_not_verify(case: Case) -> None:
    """Under the recorded digest the same manifest is evidence, and says why."""
    digest = ManifestDigest()
    for chunk in recipes.expand(case["manifest"]):
        digest.update(chunk)
    with TemporaryScratch() as scratch, pytest.raises(ManifestInvalid) as caught:
        step6_manifest(lambda: recipes.expand(case["manifest"]), digest.finish(), scratch)
    assert caught.value.evidence["reason"] == case["reason"]


@pytest.mark.parametrize("case", recipes.parameters("manifests-bad"))
def test_a_bad_manifest_is_wrong_in_nothing_else(case: Case) -> None:
    """Its header tells the truth about its lines, as far as they can be read, but for ``lies``."""
    manifest = b"".join(recipes.expand(case["manifest"]))
    header, _, body = manifest.partition(b"\n")
    totals = honest.true_totals(body)
    said = honest.declared(header.decode("utf-8", "replace"))
    lies = case.get("lies", [])
    if totals is None:
        assert lies == [] or case["reason"] != "TotalsMismatch"
        return
    for field, true in totals._asdict().items():
        if field in lies:
            assert said.get(field) != true, f"{field} does not lie"
        elif field in said or (header.endswith(b"}") and "without" not in case["name"]):
            assert said.get(field) == true, field


def test_every_reason_is_a_kind_of_malformed() -> None:
    reasons = {case["reason"] for case in recipes.load("manifests-bad")["cases"]}
    assert reasons == {
        "FormatError", "NonCanonical", "LimitExceeded", "HashUnsupported", "UnsafePath",
        "NameCollision", "TotalsMismatch", "AddressMalformed",
    }  # fmt: skip
    assert all(issubclass(getattr(errors, reason), FormatError) for reason in reasons)
