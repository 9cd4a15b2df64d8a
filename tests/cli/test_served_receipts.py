"""Receipts over HTTP, from whoever serves a release."""

from __future__ import annotations

import shutil
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from integrity.home import Home
from integrity.testing.serving import ServedHome

from .conftest import Release
from .running import User


def fetch(url: str, path: str) -> bytes:
    with urllib.request.urlopen(url + path, timeout=20) as answer:
        assert answer.headers["Content-Type"] == "application/json"
        body: bytes = answer.read()
    return body


def status(url: str, path: str) -> int:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url + path, timeout=20)
    with caught.value as error:
        return error.code


def place(release: Release) -> str:
    return f"/integrity/v1/{release.report['manifest']}/receipt"


def test_a_receipt_is_served_and_proves_the_record(
    release: Release, user: User, tmp_path: Path
) -> None:
    served = fetch(release.url, place(release))
    assert served == release.folder.with_name("tool.receipt").read_bytes()
    file = tmp_path / "fetched"
    file.write_bytes(served)
    named = ("--publisher", release.address, "--json")
    told = user.run("receipt", "check", file, *named).error("HeaderUntrusted", 3)
    block = "0x" + told["evidence"]["block_hash"].removeprefix("0x")
    checked = user.ok("receipt", "check", file, *named, "--checkpoint", block).json()
    assert checked["manifest"] == release.report["manifest"]


def test_what_has_no_receipt_is_not_found(release: Release) -> None:
    assert status(release.url, f"/integrity/v1/{'00' * 32}/receipt") == 404
    for odd in ("x", "0x" + "00" * 32, "AB" * 32, "..%2f" * 3):
        assert status(release.url, f"/integrity/v1/{odd}/receipt") == 400
    assert status(release.url, f"/integrity/v1/{'00' * 32}/else") == 404


def test_nothing_but_the_releases_own_receipt_is_served(
    release: Release, publisher: User, tmp_path: Path
) -> None:
    folder = publisher.place / "other"
    shutil.copytree(release.folder, folder)
    report = publisher.ok(
        "publish", folder, "--package", "other", "--version", "1.0.0", "--json"
    ).json()
    path = f"/integrity/v1/{report['manifest']}/receipt"
    own = folder.with_name("other.receipt")
    with ServedHome(Home.at(publisher.home)) as served:
        good = fetch(served.url, path)
        assert good == own.read_bytes()
        for odd in (release.folder.with_name("tool.receipt").read_bytes(), b"{}", good[:-1]):
            own.write_bytes(odd)
            assert status(served.url, path) == 404
        own.unlink()
        own.symlink_to("/etc/passwd")
        assert status(served.url, path) == 404
