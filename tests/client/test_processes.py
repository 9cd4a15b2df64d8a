"""The real ``integrity get``: killed, interrupted, without room - and then it goes on."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from integrity.devchain.chain import DevelopmentChain
from integrity.home import Home
from integrity.testing.liar import LyingSource, flip

from .helpers import MIB, Release, environment, program, run, sha256, tree_of, write_tree

Liar = Callable[..., LyingSource]


class Valve:
    """An honest act that lets some answers through and holds the others until it is opened."""

    def __init__(self, free: int) -> None:
        self.held = threading.Event()
        self._open = threading.Event()
        self._left = iter(range(free))

    def __call__(self, _: str, body: bytes) -> bytes:
        if next(self._left, None) is None:
            self.held.set()
            self._open.wait()
        return body

    def open(self) -> None:
        self._open.set()


class Getter:
    """One home of a reader, and the command that gets a release into ``out``."""

    def __init__(self, release: Release, chain: DevelopmentChain, place: Path) -> None:
        self.home = Home.at(place / "reader")
        self.out = place / "out"
        self._arguments = (
            "get", release.link, "-o", self.out, "--rpc", chain.rpc,
            "--publisher", release.link.publisher,
        )  # fmt: skip

    def start(self, *sources: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            program(*self._arguments, *_from(sources), "--json"), env=environment(self.home),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def run(self, *sources: str, **options: object) -> tuple[int, dict[str, object]]:
        return run(self.home, *self._arguments, *_from(sources), **options)

    def beside(self) -> list[str]:
        return sorted(path.name for path in self.out.parent.glob("out*"))


def _from(sources: tuple[str, ...]) -> list[str]:
    return [part for url in sources for part in ("--from", url)]


@pytest.fixture
def getter(pieces: Release, integrity_chain: DevelopmentChain, tmp_path: Path) -> Getter:
    return Getter(pieces, integrity_chain, tmp_path)


def right_pieces(release: Release, getter: Getter) -> Counter[str]:
    """How many pieces of each file are staged and right."""
    tree = getter.out.with_name("out.part") / "tree"
    staged = tree_of(tree) if tree.is_dir() else {}
    return Counter(
        path
        for path, data in staged.items()
        for at in range(0, max(1, len(data)), MIB)
        if data[at : at + MIB] == release.files[path][at : at + MIB]
    )


def test_killed_again_and_again_it_ends_and_fetches_only_what_is_missing(
    pieces: Release, getter: Getter, integrity_liar: Liar
) -> None:
    for free in (0, 2, 3, 6):
        valve = Valve(free)
        slow = integrity_liar(pieces.url, valve)
        process = getter.start(slow.url)
        assert valve.held.wait(60)
        while free == 6 and process.poll() is None and not right_pieces(pieces, getter)["large"]:
            time.sleep(0.01)  # what was sent has not arrived yet
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        process.communicate()
        valve.open()
        assert "out" not in getter.beside()
        assert "out.integrity" not in getter.beside()
    have = right_pieces(pieces, getter)
    assert have["large"] > 0
    counting = integrity_liar(pieces.url, lambda _, body: body)
    code, answer = getter.run(counting.url)
    assert (code, answer["verdict"]) == (0, "verified")
    assert tree_of(getter.out) == pieces.files
    assert getter.beside() == ["out", "out.integrity", "out.receipt"]
    asked = [path for path in counting.asked if "bafkqaaa" not in path]
    assert len(asked) == len(set(asked)) == 1 + 9 + 1 - sum(have.values())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("free", [0, 1, 4])
def test_interrupted_it_ends_at_once_and_leaves_nothing_half_under_the_final_name(
    pieces: Release, getter: Getter, integrity_liar: Liar, number: signal.Signals, free: int
) -> None:
    """Even while a source keeps it waiting for an answer that does not come."""
    valve = Valve(free)
    slow = integrity_liar(pieces.url, valve)
    process = getter.start(slow.url)
    assert valve.held.wait(60)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    valve.open()
    assert "Traceback" not in err
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert "out" not in out
    assert "out" not in getter.beside()
    assert "out.integrity" not in getter.beside()
    assert not list((getter.home.data_folder / "tmp").glob("*/*")) or number == signal.SIGTERM
    code, answer = getter.run(pieces.url)
    assert (code, answer["verdict"]) == (0, "verified")
    assert tree_of(getter.out) == pieces.files


def test_an_interrupted_command_says_so_in_json(
    pieces: Release, getter: Getter, integrity_liar: Liar
) -> None:
    valve = Valve(0)
    process = getter.start(integrity_liar(pieces.url, valve).url)
    assert valve.held.wait(60)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    valve.open()
    assert json.loads(out)["error"]["name"] == "Interrupted"


def test_a_second_ctrl_c_does_no_harm(
    pieces: Release, getter: Getter, integrity_liar: Liar
) -> None:
    valve = Valve(3)
    process = getter.start(integrity_liar(pieces.url, valve).url)
    assert valve.held.wait(60)
    for _ in range(3):
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    valve.open()
    assert process.returncode not in {0, 2, 4}
    assert "out" not in getter.beside()
    assert getter.run(pieces.url)[0] == 0


def test_threat_38_two_processes_into_one_folder_are_told_apart(
    pieces: Release, getter: Getter, integrity_liar: Liar
) -> None:
    valve = Valve(3)
    first = getter.start(integrity_liar(pieces.url, valve).url)
    assert valve.held.wait(60)
    code, answer = getter.run(pieces.url)
    error = answer["error"]
    assert isinstance(error, dict)
    assert (code, error["name"], error["family"]) == (3, "Locked", "could not check")
    valve.open()
    out, _ = first.communicate()
    assert (first.returncode, json.loads(out)["verdict"]) == (0, "verified")
    assert tree_of(getter.out) == pieces.files


def test_threat_35_without_room_it_exits_3_and_goes_on_later(
    pieces: Release, getter: Getter
) -> None:
    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4 * MIB, 4 * MIB))

    code, answer = getter.run(pieces.url, preexec_fn=little_room)
    error = answer["error"]
    assert isinstance(error, dict)
    assert (code, error["name"]) == (3, "DiskError")
    assert "'large'" in error["message"] or "large" in error["message"]
    assert "out" not in getter.beside()
    code, answer = getter.run(pieces.url)
    assert (code, answer["verdict"]) == (0, "verified")
    assert tree_of(getter.out) == pieces.files


def test_a_liar_is_exit_4_a_dead_port_exit_3_and_both_say_who(
    pieces: Release, getter: Getter, integrity_liar: Liar
) -> None:
    with LyingSource(pieces.url) as gone:
        dead = gone.url
    liar = integrity_liar(pieces.url, flip)
    for sources, expected in (((liar.url,), 4), ((dead,), 3), ((dead, liar.url), 4)):
        code, answer = getter.run(*sources)
        error = answer["error"]
        assert isinstance(error, dict)
        assert code == expected
        assert error["name"] == ("SourcesLied" if expected == 4 else "SourcesUnavailable")
        assert all(any(url in cause for cause in error["causes"]) for url in sources)
    assert getter.beside() == []
    code, answer = getter.run(dead, liar.url, pieces.url)
    assert (code, answer["verdict"]) == (0, "verified")
    tallies = answer["sources"]
    assert isinstance(tallies, list)
    assert [(t["source"], t["rejected"] > 0, t["pieces"] > 0) for t in tallies] == [
        (dead, False, False), (liar.url, True, False), (pieces.url, False, True),
    ]  # fmt: skip


def test_a_target_that_is_taken_is_exit_2_and_left(pieces: Release, getter: Getter) -> None:
    write_tree(getter.out, {"mine": b"mine"})
    code, answer = getter.run(pieces.url)
    error = answer["error"]
    assert isinstance(error, dict)
    assert (code, error["name"], error["family"]) == (2, "PathRefused", "refused")
    assert tree_of(getter.out) == {"mine": b"mine"}
    assert getter.beside() == ["out"]


def test_ctrl_c_while_a_folder_is_published_records_nothing(
    publisher: object, pieces: Release, tmp_path: Path
) -> None:
    """The files are large enough that hashing is still going on when the signal arrives."""
    folder = tmp_path / "big"
    folder.mkdir()
    with (folder / "sparse").open("wb") as file:
        file.truncate(20 << 30)
    process = subprocess.Popen(
        program("publish", folder, "--package", "big", "--version", "1", "--json"),
        env=environment(pieces.session.home), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    _until_open(process.pid, folder / "sparse")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, "Traceback" in err) == (130, False)
    assert json.loads(out)["error"]["message"] == "interrupted; no transaction is under way"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["big"]
    assert not list((pieces.session.home.data_folder / "tmp").iterdir())
    code, answer = run(
        pieces.session.home, "show", f"integrity:31337:{pieces.link.publisher}/big@1"
    )
    assert (code, answer["error"]["name"]) == (4, "ReleaseNotFound")


def _until_open(pid: int, path: Path) -> None:
    """Returns once the process has opened the file."""
    folder = Path(f"/proc/{pid}/fd")
    while True:
        for number in list(os.listdir(folder)):
            try:
                if os.readlink(folder / number) == os.fspath(path):
                    return
            except OSError:
                continue
        threading.Event().wait(0.01)


def test_the_same_bytes_of_a_manifest_however_it_is_made(pieces: Release) -> None:
    sidecar = pieces.folder.with_name(pieces.folder.name + ".integrity")
    made = subprocess.run(
        program(
            "manifest", pieces.folder, "--package", "pieces", "--version", "1.0.0",
            "--publisher", pieces.link.publisher,
        ),
        env=environment(pieces.session.home), capture_output=True, check=True,
    ).stdout  # fmt: skip
    assert made == sidecar.read_bytes()
    assert sha256(made) == pieces.published.manifest
