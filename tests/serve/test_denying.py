"""The denylist: what an operator must not serve is not served, however it is asked for."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import libipld
import pytest

from integrity.core.anycid import DAG_CBOR, DAG_JSON, AnyCid, cid_of
from integrity.core.cid import DAG_PB, RAW
from integrity.errors import UsageError
from integrity.home import Home
from integrity.serve.denying import Denylist
from integrity.serve.running import Serving, serving
from integrity.store.database import Store
from integrity.testing.serving import ServedHome

from .dags import Dag, car_of, cut_car_of
from .helpers import ask, put, url_of

DAG = Dag()
A, B, C = DAG.raw(b"alpha"), DAG.raw(b"beta"), DAG.raw(b"gamma")
FILE = DAG.file(A, B, C)
SUB = DAG.folder({"b": B, "c": C})
TOP = DAG.folder({"a": A, "sub": SUB, "z": FILE})
PUBLISHED = cid_of(RAW, b"published")

SECONDS = 60
"""How long something may take before a test takes it for not happening."""


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens by itself."""
    waiting = threading.Event()
    for _ in range(SECONDS * 50):
        if condition():
            return
        waiting.wait(0.02)
    pytest.fail("it did not happen")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home.at(tmp_path / "home")
    DAG.put_in(home)
    put(home, tmp_path / "release", {"file": b"published"})
    return home


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list is looked at more often than people change it."""
    monkeypatch.setattr("integrity.serve.running._RELOAD_SECONDS", 0.02)


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    return tmp_path / "list"


def based(prefix: str, cid: AnyCid) -> str:
    text: str = libipld.encode_multibase(prefix, bytes(cid))
    return text


def hidden(cid: AnyCid) -> str:
    """As lists are passed on that do not say what they name."""
    text = based("b", cid._replace(version=1)) + "/"
    return "//" + hashlib.sha256(text.encode()).hexdigest()


def answers(url: str, cid: AnyCid | str) -> set[int]:
    """The statuses that every way of asking for a block is answered with."""
    more = [
        {"accept": "application/vnd.ipld.raw"}, {"accept": "application/vnd.ipld.car"},
        {"if_none_match": "*"}, {"cache_control": "only-if-cached"}, {"range": "bytes=0-1"},
    ]  # fmt: skip
    found = set()
    for query, method, headers in itertools.product(
        ("?format=raw", "?format=car", ""), ("GET", "HEAD"), more
    ):
        reply = ask(url, f"/ipfs/{cid}{query}", method, **headers)
        assert "cache-control" not in reply.headers
        assert "etag" not in reply.headers
        found.add(reply.status)
    return found


# --- how entries are written, and how blocks are asked for -------------------------------------

V0 = SUB._replace(version=0)
SPELLINGS = [
    str(SUB), str(V0), str(SUB._replace(codec=RAW)), str(SUB._replace(codec=0x71)), based("z", SUB),
    based("f", SUB), based("k", SUB), based("B", SUB), based("u", SUB),
]  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        *SPELLINGS, f"/ipfs/{SUB}", f"/ipfs/{V0}/", f"  {SUB}\t", f"{SUB} # why", f"{SUB}#why",
        f"{SUB} status=410", f"# comment\n\n{SUB}\n# {A}", f"{B}\r\n{SUB}\r\n", f"{A}\n{SUB}",
    ],
)  # fmt: skip
def test_a_block_that_is_denied_is_gone_in_every_spelling(
    home: Home, listed: Path, line: str
) -> None:
    listed.write_bytes(line.encode())
    with ServedHome(home, Serving(denylist=listed)) as served:
        for spelling in SPELLINGS:
            assert answers(served.url, spelling) == {410}
        assert car_of(ask(served.url, f"/ipfs/{C}?format=car"), C) == [C]
        assert ask(served.url, f"/ipfs/{TOP}?format=raw").body == DAG.blocks[TOP]
        reply = ask(served.url, f"/ipfs/{SUB}?format=raw")
        assert str(SUB) in reply.body.decode()  # whoever asks is told why


@pytest.mark.parametrize("end", ["", " status=451", "\tstatus=410", "  # why", "\n"])
def test_a_hidden_entry_denies_what_it_hides(home: Home, listed: Path, end: str) -> None:
    listed.write_text(hidden(V0) + end)
    with ServedHome(home, Serving(denylist=listed)) as served:
        expected = {451 if "451" in end else 410}
        for spelling in (str(SUB), str(V0), based("z", SUB), based("f", SUB)):
            assert answers(served.url, spelling) == expected
        for cid in (A, TOP, FILE):
            assert ask(served.url, f"/ipfs/{cid}?format=raw").body == DAG.blocks[cid]


def test_the_law_is_named_where_it_demands_it(home: Home, listed: Path) -> None:
    listed.write_text(
        f"{A} status=451\n/ipfs/{B} status=410\n{hidden(PUBLISHED)} status=451\n{C}\n"
    )
    with ServedHome(home, Serving(denylist=listed)) as served:
        statuses = [answers(served.url, cid) for cid in (A, B, PUBLISHED, C)]
    assert statuses == [{451}, {410}, {451}, {410}]


def test_the_list_is_beside_the_store_if_nothing_else_was_said(home: Home) -> None:
    home.store.with_name("denylist").write_text(str(PUBLISHED))
    with ServedHome(home) as served:
        assert answers(served.url, PUBLISHED) == {410}
        assert ask(served.url, f"/ipfs/{A}?format=raw").status == 200


def test_an_inlined_block_can_be_denied(home: Home, listed: Path) -> None:
    listed.write_text("bafkqaaa")
    with ServedHome(home, Serving(denylist=listed)) as served:
        assert answers(served.url, "bafkqaaa") == {410}


@pytest.mark.parametrize("codec", [RAW, DAG_PB, DAG_CBOR, DAG_JSON, 0x9999])
def test_a_hidden_entry_holds_whatever_codec_is_asked_for(
    home: Home, listed: Path, codec: int
) -> None:
    for named in (A, SUB):
        listed.write_text(hidden(named))
        with ServedHome(home, Serving(denylist=listed)) as served:
            assert answers(served.url, named._replace(version=1, codec=codec)) == {410}


def test_what_a_list_says_about_itself_is_passed_over(home: Home, listed: Path) -> None:
    """As in IPIP-383; the words above the line are not read."""
    listed.write_text(
        f"version: 1\nname: somebody's list\nhints:\n  gateway_status: 410\n---\n{A}\n"
    )
    denylist = Denylist(listed)
    denylist.refresh()
    assert (denylist.status(A), denylist.status(B)) == (410, None)


# --- inside of other answers -------------------------------------------------------------------


@pytest.mark.parametrize("entry", [str(B), hidden(B)])
def test_a_denied_block_inside_of_a_car_cuts_it(home: Home, listed: Path, entry: str) -> None:
    listed.write_text(entry)
    with ServedHome(home, Serving(denylist=listed)) as served:

        def reply(target: str) -> tuple[int, bytes]:
            found = ask(served.url, target)
            assert b"beta" not in found.body
            return found.status, found.body

        for _ in range(3):
            cut = ask(served.url, f"/ipfs/{TOP}?format=car")
            assert cut_car_of(cut, TOP) == [TOP, A, SUB]
        assert cut_car_of(ask(served.url, f"/ipfs/{FILE}?format=car"), FILE) == [FILE, A]
        for target in (
            f"/ipfs/{TOP}/sub/b?format=car",
            f"/ipfs/{SUB}/b?format=car&dag-scope=block",
        ):
            for _ in range(2):
                assert reply(target)[0] == 410
        whole = ask(served.url, f"/ipfs/{FILE}?format=car&entity-bytes=9:*")
        assert car_of(whole, FILE) == [FILE, C]
        folder = ask(served.url, f"/ipfs/{TOP}/sub?format=car&dag-scope=entity")
        assert car_of(folder, TOP) == [TOP, SUB]


def test_a_denied_folder_leads_nowhere(home: Home, listed: Path) -> None:
    listed.write_text(str(SUB))
    with ServedHome(home, Serving(denylist=listed)) as served:
        assert ask(served.url, f"/ipfs/{TOP}/sub/c?format=car").status == 410
        assert ask(served.url, f"/ipfs/{TOP}/a?format=car").status == 200


@pytest.mark.parametrize("cid", [A, PUBLISHED], ids=["imported", "published"])
def test_what_is_denied_is_not_announced(home: Home, listed: Path, cid: AnyCid) -> None:
    def providers(url: str, text: str) -> int:
        reply = ask(url, f"/routing/v1/providers/{text}")
        assert reply.status == 200
        return len(json.loads(reply.body)["Providers"])

    with ServedHome(home, Serving(denylist=listed)) as served:
        assert providers(served.url, str(cid)) == 1
        for entry in (str(cid), hidden(cid)):
            listed.write_text(entry)
            until(lambda: providers(served.url, str(cid)) == 0)
            assert providers(served.url, based("z", cid)) == 0
            assert providers(served.url, str(C)) == 1
            listed.unlink()
            until(lambda: providers(served.url, str(cid)) == 1)


# --- lists that change, and lists that cannot be read ------------------------------------------


def test_a_change_takes_effect_without_a_restart(home: Home, listed: Path) -> None:
    def status(cid: AnyCid) -> int:
        return ask(served.url, f"/ipfs/{cid}?format=raw").status

    with ServedHome(home, Serving(denylist=listed)) as served:
        assert [status(cid) for cid in (A, B, C)] == [200, 200, 200]
        listed.write_text(f"{A}\n")
        until(lambda: status(A) == 410)
        with listed.open("a") as file:
            file.write(f"{B} status=451\n")
        until(lambda: status(B) == 451)
        assert [status(cid) for cid in (A, B, C)] == [410, 451, 200]
        new = listed.with_name("new")
        new.write_text(f"{C}\n")
        os.replace(new, listed)
        until(lambda: status(C) == 410)
        assert [status(cid) for cid in (A, B, C)] == [200, 200, 410]
        listed.unlink()
        until(lambda: status(C) == 200)


BROKEN = [
    "nonsense", f"{A} status=404", f"{A} status=", f"{A} {B}", f"{A} why", "/ipfs/", f"/ipfs/{A}/path",
    "/ipns/example.org", f"!/ipfs/{A}", "//" + "a" * 63, "//" + "a" * 65, "//" + "A" * 64, "//",
    str(A)[:-1], f"{A}x", "---", "version: 1", "*", "\ufeff\ufeff",
]  # fmt: skip


@pytest.mark.parametrize("line", BROKEN)
def test_a_list_with_a_line_that_cannot_be_read_starts_no_server(
    home: Home, listed: Path, line: str
) -> None:
    listed.write_text(f"# a list\n{A}\n\n{line}\n{B}\n", "utf-8")

    async def start() -> None:
        with Store(home.store) as store:
            async with serving(store, Serving(denylist=listed)):
                pass

    with pytest.raises(UsageError, match="line 4") as caught:
        asyncio.run(start())
    assert os.fspath(listed) in caught.value.message


@pytest.mark.parametrize("line", [*BROKEN, "\udcff"])
def test_a_line_that_is_broken_later_keeps_what_was_denied(
    home: Home, listed: Path, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    def status(cid: AnyCid) -> int:
        return ask(served.url, f"/ipfs/{cid}?format=raw").status

    listed.write_text(f"{A}\n{hidden(B)}\n")
    with (
        caplog.at_level(logging.WARNING, "integrity.serve"),
        ServedHome(home, Serving(denylist=listed)) as served,
    ):
        listed.write_bytes(f"{C}\n{line}\n".encode("utf-8", "surrogateescape"))
        until(lambda: os.fspath(listed) in caplog.text)
        assert line == "\udcff" or "line 2" in caplog.text
        assert [status(A), status(B), status(C)] == [410, 410, 200]
        time.sleep(0.2)  # ten looks
        assert caplog.text.count(os.fspath(listed)) == 1
        listed.write_text(f"{C}\n")
        until(lambda: status(C) == 410)
        assert [status(A), status(B)] == [200, 200]


@pytest.mark.parametrize("kind", ["folder", "no text"])
def test_a_list_that_cannot_be_read_at_all_is_refused(listed: Path, kind: str) -> None:
    if kind == "folder":
        listed.mkdir()
    else:
        listed.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="list"):
        Denylist(listed).refresh()


def test_a_list_of_many_entries_denies_each_of_them(listed: Path) -> None:
    cids = [cid_of(DAG_PB if n % 2 else RAW, b"%d" % n) for n in range(3000)]
    listed.write_text("".join(f"{cid if n % 3 else hidden(cid)}\n" for n, cid in enumerate(cids)))
    denylist = Denylist(listed)
    assert {denylist.status(cid) for cid in cids} == {None}
    denylist.refresh()
    assert {denylist.status(cid) for cid in cids} == {410}
    assert denylist.status(cid_of(RAW, b"3000")) is None
    assert url_of(b"3000") == f"/ipfs/{cid_of(RAW, b'3000')}?format=raw"
