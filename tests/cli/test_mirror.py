"""``integrity mirror`` as its operator runs it: it starts, follows, stops cleanly, and goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

from integrity.core.cid import raw_cid

from .conftest import Release
from .running import COMMAND, User
from .schema import check, documented

FIELDS = documented()["integrity mirror"]


def publish(publisher: User, version: str) -> dict[str, Any]:
    folder = publisher.place / f"mirrored-{version}"
    folder.mkdir()
    (folder / "file").write_text(f"mirrored {version}")
    command = ("publish", folder, "--package", "mirrored", "--version", version, "--json")
    return dict(publisher.ok(*command).json())


def start(reader: User, link: str, release: Release, *more: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            COMMAND, "mirror", link, "--folder", "mirror", "--from", release.url, "--publisher",
            release.address, "--port", "0", "--every", "1", "--json", *more,
        ],
        cwd=reader.place, env=reader.env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def told(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.stderr and process.stderr.read()
    value = json.loads(line)
    check(value, FIELDS)
    return dict(value)


def stop(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert errors == b""


def test_a_mirror_follows_a_package_and_goes_on_after_a_restart(
    release: Release, reader: User
) -> None:
    first = publish(release.publisher, "1.0.0")
    package = first["link"].partition("@")[0]
    running = start(reader, package, release, "--keep", "1")
    url = told(running)["url"]
    assert told(running)["event"] == "fetched"
    with urllib.request.urlopen(
        f"{url}/ipfs/{raw_cid(bytes.fromhex(first['manifest']))}?format=raw"
    ):
        pass
    second = publish(release.publisher, "2.0.0")
    events = [told(running) for _ in range(2)]
    assert [(event["event"], event["link"]) for event in events] == [
        ("fetched", second["link"]), ("dropped", first["link"]),
    ]  # fmt: skip
    place = Path(events[0]["path"])
    assert (place / "file").read_text() == "mirrored 2.0.0"
    assert not Path(events[1]["path"]).exists()
    stop(running, signal.SIGTERM)
    again = start(reader, package, release, "--keep", "1")
    assert told(again)["event"] == "serving"
    third = publish(release.publisher, "3.0.0")
    assert told(again)["link"] == third["link"]
    stop(again, signal.SIGINT)
    assert place.parents[1].is_dir()


def test_once_looks_once_and_says_what_failed(release: Release, reader: User) -> None:
    known = ("--folder", "once", "--publisher", release.address, "--once")
    dead = reader.run("mirror", release.link, *known, "--from", "http://127.0.0.1:9")
    assert dead.code == 3
    assert dead.text == f"failed  {release.link}\n"
    assert "cannot connect" in dead.errors
    fine = reader.ok("mirror", release.link, *known, "--from", release.url)
    assert fine.text == f"fetched  {release.link}\n"
    assert reader.ok("mirror", release.link, *known, "--from", release.url).text == "nothing new\n"


def test_a_mirror_below_a_file_is_refused_in_words(release: Release, reader: User) -> None:
    (reader.place / "file").touch()
    below = reader.run(
        "mirror", release.link, "--folder", "file", "--publisher", release.address, "--once",
        "--from", release.url,
    )  # fmt: skip
    assert below.code == 3
    assert "cannot make the folder" in below.errors
    assert "Traceback" not in below.errors


def test_a_mirror_without_a_source_or_links_is_refused(release: Release, reader: User) -> None:
    assert reader.run("mirror", release.link, "--folder", "x").code == 2
    assert reader.run("mirror", "--folder", "x").code == 2
    assert reader.run("mirror", release.link, "--from", release.url).code == 2
