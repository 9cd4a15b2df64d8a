"""The lock file: no entry of another run and no comment of a person gets lost."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from integrity.client import locking
from integrity.client.locking import lock, read_lock
from integrity.client.session import Session
from integrity.disk.files import locked
from integrity.errors import FormatError, Locked
from integrity.home import Home
from integrity.publishing.publish import Published

from .conftest import MakeRpc, Releases
from .lying_rpc import Call, Forward, LyingRpc

HEAD = "# Which releases are meant, to the byte; made by `integrity lock`.\n"
ALICE = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


@pytest.fixture
def rpc(lying_rpc: MakeRpc) -> LyingRpc:
    return lying_rpc()


@pytest.fixture
def session(releases: Releases, rpc: LyingRpc, tmp_path: Path) -> Session:
    return Session(Home.at(tmp_path / "home"), rpc=(rpc.url,), publisher=releases.address)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    return folder / "integrity.lock"


def entry(release: Published) -> str:
    return f"{replace(release.link, pin=release.manifest)}\n"


def foreign(package: str) -> str:
    """An entry that no test resolves."""
    return f"integrity:1:{ALICE}/{package}@1#{'ab' * 32}\n"


def test_what_another_run_wrote_while_this_one_asked_its_node_is_kept(
    releases: Releases, rpc: LyingRpc, session: Session, path: Path
) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def act(call: Call, forward: Forward) -> dict[str, Any]:
        if call["method"] == "eth_getProof" and not inside.is_set():
            inside.set()
            go_on.wait(60)
        return forward()

    lock([(session, releases.first.link)], path)
    rpc.act = act
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(lock, [(session, releases.second.link)], path)
        try:
            assert inside.wait(60)
            lock([(session, releases.other.link)], path)
        finally:
            go_on.set()
        slow.result()
    assert path.read_text() == HEAD + entry(releases.other) + entry(releases.second)


def test_one_run_writes_at_a_time_and_nothing_is_left_beside_the_file(
    releases: Releases, session: Session, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock([(session, releases.first.link)], path)
    before = path.read_bytes()
    assert list(path.parent.iterdir()) == [path]
    (held,) = (session.home.data_folder / "locks").iterdir()
    monkeypatch.setattr(locking, "_LOCK_SECONDS", 0.1)
    monkeypatch.chdir(path.parent)
    with locked(held, 0, "is here already"):
        for name in (path, Path(path.name), Path("..", path.parent.name, path.name)):
            with pytest.raises(Locked, match="is changing"):
                lock([(session, releases.second.link)], name)
        lock([(session, releases.second.link)], path.with_name("another.lock"))
    assert path.read_bytes() == before
    lock([(session, releases.second.link)], Path(path.name))
    assert read_lock(path) == read_lock(path.with_name("another.lock"))


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_broken_file_is_left_alone_and_no_node_is_asked_for_it(
    releases: Releases, rpc: LyingRpc, session: Session, path: Path, when: str
) -> None:
    def act(_: Call, forward: Forward) -> dict[str, Any]:
        path.write_text("nonsense\n")
        return forward()

    if when == "before":
        path.write_text("nonsense\n")
    rpc.act = act
    rpc.forget()
    with pytest.raises(FormatError, match="line 1"):
        lock([(session, releases.first.link)], path)
    assert path.read_text() == "nonsense\n"
    assert bool(rpc.methods()) == (when == "meanwhile")


def test_comments_stay_with_what_they_precede(
    releases: Releases, session: Session, path: Path
) -> None:
    a, z = foreign("a"), foreign("z")
    mine = "# mine: see issue 7\n# and 8\n"
    text = (
        f"# of this repository\n\n{HEAD}{{}}# about a\n{a}\n# about z\n\n{z}# the end\n\n# it is\n"
    )
    path.write_text(text.format(f"{mine}{entry(releases.first)}"))
    lock([(session, releases.second.link)], path)
    # Sorted: what is on chain 1 comes first.
    expected = (
        f"# of this repository\n\n{HEAD}# about a\n{a}\n# about z\n\n{z}"
        f"{mine}{entry(releases.second)}# the end\n\n# it is\n"
    )
    assert path.read_text() == expected
    lock([(session, releases.second.link)], path)
    assert path.read_text() == expected
    lock([(session, releases.other.link)], path)
    assert path.read_text() == expected.replace(mine, f"{entry(releases.other)}{mine}")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "{head}{new}"),
        ("{head}", "{head}{new}"),
        ("# mine\n", "{head}# mine\n\n{new}"),
        ("{head}# mine", "{head}# mine\n\n{new}"),
        ("# mine\n{head}", "# mine\n{head}{new}"),
        ("{head}{head}{a}", "{head}{a}{new}"),
        ("{a}", "{head}{a}{new}"),
        ("# mine\n\n{a}", "{head}# mine\n\n{a}{new}"),
        ("{a}{head}# last", "{head}{a}{new}# last\n"),
        ("{head}{z}# of a\n{a}", "{head}# of a\n{a}{z}{new}"),
        ("# all of it\r\n\r\n# of a\r\n{a}\r\n# last\r\n",
         "{head}# all of it\n\n# of a\n{a}{new}\n# last\n"),
    ],
)  # fmt: skip
def test_whatever_comments_there_are_stay_and_the_programs_own_line_is_there_once(
    releases: Releases, session: Session, path: Path, before: str, after: str
) -> None:
    words = {"head": HEAD, "a": foreign("a"), "z": foreign("z"), "new": entry(releases.first)}
    path.write_bytes(before.format(**words).encode())
    for _ in range(2):
        lock([(session, releases.first.link)], path)
        assert path.read_bytes().decode() == after.format(**words)
    assert releases.first.link in [replace(link, pin=None) for link in read_lock(path)]
