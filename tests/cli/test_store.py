"""``integrity import``, ``export car`` and ``store`` as a person uses them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from integrity.core.car import CarReader

from .conftest import Release
from .running import User
from .schema import check, documented

FIELDS = documented()


def exported(release: Release, target: Path) -> dict[str, Any]:
    done = release.publisher.ok("export", "car", release.link, "-o", target, "--json").json()
    check(done, FIELDS["integrity export car"])
    return done


def test_a_release_goes_to_another_home_in_a_car_and_is_got_from_its_store(
    release: Release, reader: User, tmp_path: Path
) -> None:
    car = tmp_path / "release.car"
    done = exported(release, car)
    assert done["size"] == car.stat().st_size
    with car.open("rb") as file:
        sections = CarReader(file.read)
        assert [str(root) for root in sections.roots] == done["roots"]
        assert all(section.cid.is_of(section.block) for section in sections)
    got = ("get", release.link, "-o", "out", "--from", "store", "--publisher", release.address)
    before = reader.run(*got)
    assert before.code == 3
    for already in (False, True):
        taken = reader.ok("import", car, "--json").json()
        check(taken, FIELDS["integrity import"])
        assert (taken["roots"], taken["already"]) == (done["roots"], already)
    result = reader.ok(*got, "--json").json()
    check(result, FIELDS["integrity get"])
    assert result["sources"][0]["source"] == "store"
    listed = reader.ok("store", "list", "--json").json()
    check(listed, FIELDS["integrity store list"])
    assert [entry["roots"] for entry in listed["imports"]] == [done["roots"]]
    removed = reader.ok("store", "remove", done["roots"][0], "--json").json()
    check(removed, FIELDS["integrity store remove"])
    assert removed["freed"] > 0
    assert reader.ok("store", "list", "--json").json() == {"releases": [], "imports": []}
    assert reader.run(*got[:3], "again", *got[4:]).code == 3


def test_a_car_goes_through_a_pipe(release: Release, reader: User, tmp_path: Path) -> None:
    car = tmp_path / "release.car"
    exported(release, car)
    piped = release.publisher.run("export", "car", release.link, "-o", "-")
    assert piped.out == car.read_bytes()
    assert reader.run("import", "-", stdin=car.read_bytes()).code == 0


def test_an_existing_file_is_never_written_over(release: Release, tmp_path: Path) -> None:
    car = tmp_path / "release.car"
    car.write_text("mine")
    result = release.publisher.run("export", "car", release.link, "-o", car)
    assert (result.code, car.read_text()) == (2, "mine")


def test_an_export_of_what_the_store_has_not_got_says_so_and_leaves_nothing(
    release: Release, reader: User, tmp_path: Path
) -> None:
    car = tmp_path / "release.car"
    result = reader.run("export", "car", release.link, "-o", car, "--publisher", release.address)
    assert result.code == 3
    assert os.listdir(tmp_path) == [] or not car.exists()


def test_a_damaged_car_changes_nothing(release: Release, reader: User, tmp_path: Path) -> None:
    car = tmp_path / "release.car"
    exported(release, car)
    data = bytearray(car.read_bytes())
    data[-1] ^= 1
    car.write_bytes(data)
    wrong = reader.run("import", car, "--json")
    assert (wrong.code, wrong.json()["error"]["name"]) == (4, "BlockMismatch")
    car.write_bytes(data[:-1])
    assert reader.run("import", car).code == 2
    assert reader.run("import", tmp_path).code == 2
    assert reader.run("import", tmp_path / "absent").code == 2
    assert reader.ok("store", "list", "--json").json() == {"releases": [], "imports": []}


def test_the_quota_holds(release: Release, reader: User, tmp_path: Path) -> None:
    car = tmp_path / "release.car"
    exported(release, car)
    config = reader.home / "config.toml"
    before = config.read_text() if config.exists() else ""
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text('store_quota = "1 KiB"\n' + before)
    full = reader.run("import", car, "--json")
    assert (full.code, full.json()["error"]["name"]) == (3, "StoreFull")
    config.write_text(f"store_quota = {car.stat().st_size}\n" + before)
    reader.ok("import", car)


def test_check_tells_what_changed_and_what_is_missing(publisher: User, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("changes", "goes", "stays"):
        (folder / name).write_text(name)
    publisher.ok("publish", folder, "--package", "p", "--version", "1")
    good = publisher.ok("store", "check", "--json").json()
    check(good, FIELDS["integrity store check"])
    assert good["faulty"] == 0
    (folder / "goes").unlink()
    missing = publisher.run("store", "check", "--json")
    assert (missing.code, missing.json()["faults"][0]["reason"]) == (3, "missing")
    (folder / "changes").write_text("changed")
    changed = publisher.run("store", "check", "--json")
    check(changed.json(), FIELDS["integrity store check"])
    faults = {Path(f["path"]).name: f["reason"] for f in changed.json()["faults"]}
    assert (changed.code, faults) == (4, {"goes": "missing", "changes": "changed"})
    words = publisher.run("store", "check")
    assert words.code == 4
    assert "2 faulty" in words.text


def test_gc_keeps_what_is_needed_and_takes_the_rest(publisher: User, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    links = []
    for version in ("1", "2"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for number in range(50):
            (folder / f"{version}-{number}").write_text(version * number)
        command = ("publish", folder, "--package", "p", "--version", version, "--json")
        links.append(publisher.ok(*command).json()["link"])
    before = publisher.ok("store", "check", "--json").json()
    nothing = publisher.ok("store", "gc", "--json").json()
    check(nothing, FIELDS["integrity store gc"])
    assert nothing["removed"] == 0
    publisher.ok("store", "remove", links[0])
    after = publisher.ok("store", "check", "--json").json()
    assert after["faulty"] == 0
    assert after["blocks"] < before["blocks"]
    listed = publisher.ok("store", "list", "--json").json()
    check(listed, FIELDS["integrity store list"])
    assert [entry["link"] for entry in listed["releases"]] == [links[1]]
    publisher.ok("store", "remove", listed["releases"][0]["manifest"])
    assert publisher.ok("store", "check", "--json").json()["blocks"] == 0
    assert publisher.run("store", "remove", links[1]).code == 2


def test_a_broken_car_is_named(user: User) -> None:
    (user.place / "broken.car").write_bytes(b"no car")
    assert "'broken.car': " in user.run("import", "broken.car").errors
    assert "the CAR on stdin: " in user.run("import", "-", stdin=b"no car").errors


def test_what_was_removed_is_named(release: Release, reader: User, tmp_path: Path) -> None:
    exported(release, tmp_path / "release.car")
    name = reader.ok("import", tmp_path / "release.car", "--json").json()["name"]
    assert f"removed  {name}\n" in reader.ok("store", "remove", name[:16]).text


def test_what_is_not_in_the_store_cannot_be_exported(release: Release, reader: User) -> None:
    known = ("--publisher", release.address)
    done = reader.run("export", "car", release.link, "-o", "x.car", *known)
    assert done.code == 3
    assert "published or imported" in done.errors
    assert "--from" not in done.errors
