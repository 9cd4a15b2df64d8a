"""The manifest is the same bytes on every machine, and its digest is what publish records."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from .conftest import Release, fill
from .running import COMMAND, User

NAMES = ("--package", "tool", "--version", "1.0.0")


def test_its_digest_is_the_one_that_publish_records(release: Release, user: User) -> None:
    named = ("--publisher", release.address)
    manifest = user.ok("manifest", release.folder, *NAMES, *named)
    assert hashlib.sha256(manifest.out).hexdigest() == release.report["manifest"]
    assert manifest.err == b""
    assert release.folder.with_name("tool.integrity").read_bytes() == manifest.out
    line = f"{COMMAND} manifest {release.folder} {' '.join((*NAMES, *named))} | sha256sum"
    summed = subprocess.run(["sh", "-c", line], env=user.env(), capture_output=True, check=True)
    assert summed.stdout.split()[0].decode() == release.report["manifest"]


def test_two_homes_and_two_copies_give_the_same_bytes(release: Release, tmp_path: Path) -> None:
    copies = []
    for number in range(2):
        place = tmp_path / f"machine-{number}"
        place.mkdir()
        copy = place / f"called-otherwise-{number}"
        shutil.copytree(release.folder, copy)
        os.utime(copy / "README", (number, number))
        (copy / "README").chmod(0o604 if number else 0o640)
        user = User(place, TZ=["UTC", "Asia/Tokyo"][number], LC_ALL=["C", "C.UTF-8"][number])
        copies.append(user.ok("manifest", copy, *NAMES, "--publisher", release.address.lower()).out)
    assert copies[0] == copies[1]
    assert hashlib.sha256(copies[0]).hexdigest() == release.report["manifest"]


def test_it_records_and_keeps_nothing(release: Release, user: User) -> None:
    user.ok("manifest", release.folder, *NAMES, "--publisher", release.address)
    kept = [path for path in user.home.rglob("*") if path.is_file()]
    assert kept == []


def test_it_needs_a_publisher_and_takes_ones_own_key_for_one(publisher: User) -> None:
    fill(publisher.place / "tool")
    own = publisher.ok("manifest", "tool", *NAMES).text
    address = publisher.ok("key", "list", "--json").json()["keys"][0]["address"]
    assert f'"publisher":"{address}"' in own
    nobody = User(publisher.place, INTEGRITY_HOME=str(publisher.place / "nobody"))
    assert nobody.run("manifest", "tool", *NAMES).code == 2


def test_what_changes_the_release_changes_the_manifest(release: Release, user: User) -> None:
    named = ("--publisher", release.address)
    base = user.ok("manifest", release.folder, *NAMES, *named).out
    with_meta = user.ok("manifest", release.folder, *NAMES, *named, "--meta", "a=b=c").out
    assert b'"meta":{"a":"b=c"}' in with_meta
    without = user.ok("manifest", release.folder, *NAMES, *named, "--no-also").out
    assert b'"also"' in base
    assert b'"also"' not in without
    copy = user.place / "copy"
    shutil.copytree(release.folder, copy)
    (copy / "README").chmod(0o755)
    assert user.ok("manifest", copy, *NAMES, *named).out != base


def test_a_single_file_is_a_release_too(release: Release, user: User) -> None:
    (user.place / "one").write_text("only\n")
    named = ("--publisher", release.address)
    lines = user.ok("manifest", "one", *NAMES, *named).text.splitlines()
    assert len(lines) == 2
    assert '"path":"one"' in lines[1]


@pytest.mark.parametrize("name", ["größe", "with space", "-dash", "\x1b[2J"])
def test_the_folder_itself_may_have_any_name(release: Release, user: User, name: str) -> None:
    shutil.copytree(release.folder, user.place / name)
    done = user.ok("manifest", *NAMES, "--publisher", release.address, "--", name)
    assert hashlib.sha256(done.out).hexdigest() == release.report["manifest"]
