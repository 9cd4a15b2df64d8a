"""``integrity files``, and single files got by their names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from integrity.core.cid import raw_cid
from integrity.testing.liar import LyingSource

from .conftest import Release
from .running import User
from .schema import check, documented

FIELDS = documented()


def arguments(release: Release, *more: str | Path) -> tuple[str | Path, ...]:
    return (release.link, "--from", release.url, "--publisher", release.address, *more)


def test_a_releases_files_are_listed_without_any_of_them(release: Release, reader: User) -> None:
    listed = reader.ok("files", *arguments(release))
    names = {path.relative_to(release.folder).as_posix() for path in release.folder.rglob("*")}
    files = sorted(name for name in names if (release.folder / name).is_file())
    lines = listed.text.splitlines()
    assert [line.split(maxsplit=2)[2] for line in lines] == files
    assert [line.split()[2] for line in lines if line.startswith("x")] == ["program"]
    assert f"{len(files)} files" in listed.errors
    assert release.link in listed.errors
    told = [
        json.loads(line)
        for line in reader.ok("files", *arguments(release, "--json")).out.splitlines()
    ]
    for entry in told:
        check(entry, FIELDS["integrity files"])
    assert [(entry["path"], entry["size"]) for entry in told] == [
        (name, (release.folder / name).stat().st_size) for name in files
    ]
    assert list(reader.place.iterdir()) == [reader.home]


def test_some_of_them_are_listed_by_the_same_patterns(release: Release, reader: User) -> None:
    some = reader.ok("files", *arguments(release, "--only", "pro*"))
    assert [line.split()[2] for line in some.text.splitlines()] == ["program"]
    none = reader.run("files", *arguments(release, "--only", "nothing*"))
    assert none.code == 2
    assert "integrity files" in none.errors


def test_a_made_up_list_is_not_shown(release: Release, reader: User) -> None:
    with LyingSource(release.url) as liar:
        lie = reader.run("files", release.link, "--from", liar.url, "--publisher", release.address)
    assert lie.code == 4
    assert lie.out == b""


def test_a_file_goes_into_a_folder_that_is_made_and_over_another_only_if_told(
    release: Release, reader: User
) -> None:
    target = reader.place / "new" / "folder" / "program"
    one = ("get", *arguments(release, "--file", "program", "-o", target))
    reader.ok(*one)
    whole = (release.folder / "program").read_bytes()
    assert target.read_bytes() == whole
    target.write_bytes(b"mine")
    again = reader.run(*one)
    assert again.code != 0
    assert target.read_bytes() == b"mine"
    reader.ok(*one, "--replace")
    assert target.read_bytes() == whole
    assert [path.name for path in target.parent.iterdir()] == ["program"]


@pytest.mark.parametrize("option", ["-o", "--output"])
def test_a_url_is_no_place_to_put_a_release(release: Release, reader: User, option: str) -> None:
    refused = reader.run("get", *arguments(release, option, "https://example.org/x"))
    assert refused.code == 2
    assert "URL" in refused.errors
    assert list(reader.place.glob("https*")) == []


def test_a_shared_download_that_is_not_finished_is_no_fault_of_the_store(
    release: Release, reader: User
) -> None:
    """A source that has the manifest and nothing more."""

    manifest = str(raw_cid(bytes.fromhex(release.report["manifest"])))

    def act(path: str, body: bytes) -> bytes:
        return body if manifest in path else b""

    with LyingSource(release.url, act) as liar:
        got = reader.run(
            "get", release.link, "--from", liar.url, "--publisher", release.address, "--share"
        )
    assert got.code == 4
    listed = reader.ok("store", "list", "--json").json()
    check(listed, FIELDS["integrity store list"])
    assert [entry["unfinished"] for entry in listed["releases"]] == [True]
    assert "not all is there yet" in reader.ok("store", "list").text
    found = reader.ok("store", "check", "--json").json()
    check(found, FIELDS["integrity store check"])
    assert (found["faulty"], found["faults"]) == (0, [])
    assert found["awaited"] > 1
    assert "unfinished downloads" in reader.ok("store", "check").text
    reader.ok("get", *arguments(release, "--share"))
    assert not reader.ok("store", "list", "--json").json()["releases"][0]["unfinished"]
    assert reader.ok("store", "check", "--json").json()["awaited"] == 0
