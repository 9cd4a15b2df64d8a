"""Threats 31, 46 and 47 for DAGs of anybody's: nothing else of the disk, nothing large, nothing endless."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import psutil
import pytest

from integrity.core.anycid import AnyCid, cid_of
from integrity.core.cid import DAG_PB, RAW
from integrity.core.dagpb import varint
from integrity.errors import BlockMismatch, LimitExceeded
from integrity.home import Home
from integrity.store.database import Store
from integrity.store.importing import import_car
from integrity.testing.serving import ServedHome

from .dags import Dag, car_of, cut_car_of, dechunked, field, identity, sections
from .helpers import MIB, SECONDS, Reply, ask, connect, pattern, put, raw, receive, send, until

SECRET = b"what-nobody-published"


# --- 47: nothing but what was published or imported ----------------------------------------------


class Place(NamedTuple):
    """A home with a release and an import, secrets everywhere beside them, and what may be given."""

    home: Home
    folder: Path
    dag: Dag
    top: AnyCid
    names: list[str]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    home, folder = Home.at(tmp_path / "home"), tmp_path / "release"
    put(home, folder, {"file": b"published"})
    dag = Dag()
    block = dag.raw(b"imported")
    secret = os.fspath(tmp_path / "secret")
    links = {
        f"link{n}": dag.node([], b"\x08\x04" + field(2, os.fsencode(target)))
        for n, target in enumerate([secret, "../secret", "/proc/self/environ", "/"])
    }
    names = ["..", ".", "../secret", secret, "secret", "/", "", "a\0b", "~", "imports", *links]
    top = dag.folder(dict.fromkeys(names, block) | links | {"deep": dag.folder({"x": block})})
    dag.put_in(home)
    for path in (tmp_path / "secret", folder / "later", home.store.with_name("imports") / "secret"):
        path.write_bytes(SECRET)
    (home.data_folder / "config.toml").write_bytes(b"# " + SECRET)
    return Place(home, folder, dag, top, names)


def check_reply(reply: Reply, place: Place, known: dict[AnyCid, bytes]) -> None:
    """An answer has blocks that are known, or a refusal that says nothing of the disk."""
    assert SECRET not in reply.body
    assert b"SQLite" not in reply.body
    if reply.status != 200:
        assert os.fsencode(place.home.data_folder.parent / "home") not in reply.body
    elif reply.headers["content-type"] == "application/vnd.ipld.raw":
        assert reply.body in {b"published", b"imported", *known.values()}
    else:
        data, _ = dechunked(reply.body)
        for cid in sections(data, place.top)[0]:
            assert cid in known


@pytest.mark.parametrize("query", ["format=raw", "format=car", "format=car&dag-scope=entity"])
def test_threat_47_names_and_links_that_look_like_paths_lead_to_blocks_alone(
    place: Place, query: str
) -> None:
    paths = ["", "/", *("/" + quote(name, safe="") for name in place.names)]
    paths += ["/" + quote(name) for name in place.names] + ["/link0/x", "/link3/etc/passwd"]
    paths += [
        "/deep/../../secret",
        "/deep/%2e%2e/%2e%2e/secret",
        "/deep/..%2f..%2fsecret",
        "/later",
    ]
    with ServedHome(place.home) as served:
        replies = [ask(served.url, f"/ipfs/{place.top}{path}?{query}") for path in paths]
    assert any(reply.status == 200 for reply in replies)
    for reply in replies:
        check_reply(reply, place, place.dag.blocks)


def test_threat_47_the_digest_of_what_was_not_published_opens_nothing(place: Place) -> None:
    imports = place.home.store.with_name("imports")
    (copy,) = imports.glob("*.car")
    files = [
        copy, imports / "secret", place.home.store, place.folder / "later",
        place.home.data_folder / "config.toml", Path("/etc/passwd"), Path(sys.executable),
    ]  # fmt: skip
    data = [file.read_bytes() for file in files]
    data += [copy.read_bytes()[:50], copy.read_bytes()[1:], SECRET]
    with ServedHome(place.home) as served:
        for codec in (RAW, DAG_PB):
            for cid in (cid_of(codec, part) for part in data):
                for method, form in (("GET", "raw"), ("HEAD", "raw"), ("GET", "car")):
                    assert ask(served.url, f"/ipfs/{cid}?format={form}", method).status == 404
                reply = ask(served.url, f"/routing/v1/providers/{cid}")
                assert json.loads(reply.body) == {"Providers": []}


@pytest.mark.parametrize(
    "change", ["symlink", "fifo", "folder", "device", "other bytes", "cut", "gone"]
)
@pytest.mark.parametrize("kind", ["import", "release"])
def test_threat_45_what_takes_the_place_of_a_file_is_never_served(
    place: Place, change: str, kind: str
) -> None:
    (copy,) = place.home.store.with_name("imports").glob("*.car")
    file = copy if kind == "import" else place.folder / "file"
    cid = next(iter(place.dag.blocks)) if kind == "import" else cid_of(RAW, b"published")
    size = file.stat().st_size
    with ServedHome(place.home) as served:
        assert ask(served.url, raw(cid)).status == 200
        if change == "cut":
            os.truncate(file, 5)
        elif change == "other bytes":
            file.write_bytes((SECRET * size)[:size])
        else:
            file.unlink()
            if change == "symlink":
                (file.parent / "target").write_bytes((SECRET * size)[:size])
                file.symlink_to(file.parent / "target")
            elif change == "fifo":
                os.mkfifo(file)
            elif change == "folder":
                file.mkdir()
            elif change == "device":
                file.symlink_to("/dev/zero")
        for target in (raw(cid), f"/ipfs/{cid}?format=car"):
            reply = ask(served.url, target)
            assert reply.status == 404
            assert SECRET not in reply.body
        assert ask(served.url, "/ipfs/bafkqaaa?format=raw").status == 200


@pytest.mark.parametrize(("offset", "length"), [(0, 21), (1, 20), (0, 20), (10**9, 21), (0, 0)])
def test_threat_45_a_store_that_is_wrong_about_places_gives_nothing_else(
    place: Place, offset: int, length: int
) -> None:
    cid = cid_of(RAW, b"never imported, 21 b.")
    with Store(place.home.store) as store:
        store.add_import("secret", b"", 21, [(cid.key, offset, length)])
    with ServedHome(place.home) as served:
        for form in ("raw", "car"):
            reply = ask(served.url, f"/ipfs/{cid}?format={form}")
            assert reply.status == 404
            assert SECRET not in reply.body


def test_threat_31_a_car_with_a_block_that_is_not_its_cids_gives_nothing(place: Place) -> None:
    dag = Dag()
    good, bad = dag.raw(b"good"), dag.raw(b"bad")
    dag.blocks[bad] = b"wor"
    with pytest.raises(BlockMismatch):
        dag.put_in(place.home)
    with ServedHome(place.home) as served:
        for cid in (good, bad):
            assert ask(served.url, raw(cid)).status == 404


def test_threat_47_an_inlined_block_is_what_its_cid_says_and_nothing_else(place: Place) -> None:
    link = b"\x08\x04" + field(2, b"/etc/passwd")
    named = identity(DAG_PB, field(1, link))
    with ServedHome(place.home) as served:
        assert ask(served.url, raw(named)).body == field(1, link)
        assert car_of(ask(served.url, f"/ipfs/{named}?format=car"), named) == []
        assert ask(served.url, f"/ipfs/{named}/x?format=car").status == 404
        long = identity(RAW, b"x" * 129)
        assert ask(served.url, raw(long)).status == 400


# --- blocks that are too large -----------------------------------------------------------------


def test_threat_31_a_block_of_more_than_two_mebibytes_is_never_served(tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home")
    dag = Dag()
    small, largest = dag.raw(b"small"), dag.raw(pattern(2 * MIB))
    too_large = dag.raw(pattern(2 * MIB + 1))
    top = dag.folder({"a": small, "b": largest, "c": too_large})
    with pytest.raises(LimitExceeded):
        dag.put_in(home)
    dag.put_in(home, without=[too_large])
    data = dag.blocks[too_large]
    with Store(home.store) as store:  # as if an older release had taken it
        (store.imports_folder / "large").write_bytes(data)
        store.add_import("large", b"", len(data), [(too_large.key, 0, len(data))])
    with ServedHome(home) as served:
        for method, form in (("GET", "raw"), ("HEAD", "raw"), ("GET", "car"), ("HEAD", "car")):
            assert ask(served.url, f"/ipfs/{too_large}?format={form}", method).status == 404
        assert ask(served.url, raw(too_large), range="bytes=0-9").status == 404
        assert ask(served.url, raw(largest)).body == dag.blocks[largest]
        cut = ask(served.url, f"/ipfs/{top}?format=car")
        assert cut_car_of(cut, top) == [top, small, largest]


def test_threat_31_a_node_of_many_links_is_walked(tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home")
    dag = Dag()
    block = dag.raw(b"x")
    wide = dag.node([(block, "")] * 45_000, b"\x08\x01")
    assert MIB < len(dag.blocks[wide]) < 2 * MIB
    dag.put_in(home)
    with ServedHome(home) as served:
        assert car_of(ask(served.url, f"/ipfs/{wide}?format=car"), wide) == [wide, block]


@pytest.mark.parametrize(
    "block",
    [
        b"", b"\x0a", b"\x12\x80", b"\x12\x04\x0a\x02\x01\x55", b"\xff" * 20, b"\x0a\x02\x08\x07",
        b"\x12\x26\x0a\x24\x01\x55\x12\x20" + bytes(31) + b"\x0a", field(2, field(1, b"\x12\x20")),
        field(1, b"\x08\x05\x28\x22\x30" + varint(1 << 40)),
        field(1, b"\x08\x02\x18" + b"\xff" * 8 + b"\x7f"),
        field(2, field(1, bytes(cid_of(RAW, b"x"))) + b"\x18\x01")
        + field(1, b"\x08\x02\x20" + varint(1 << 62)),
    ],
    ids=lambda block: block.hex()[:16],
)  # fmt: skip
def test_threat_21_a_node_that_is_none_stops_its_own_answer_alone(
    tmp_path: Path, block: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    home = Home.at(tmp_path / "home")
    dag = Dag()
    good = dag.raw(b"good")
    odd = dag.add(DAG_PB, block)
    text = dag.add(0x71, block)
    top = dag.folder({"a": good, "b": odd, "c": text})
    dag.put_in(home)
    with ServedHome(home) as served:
        for cid in (odd, text):
            assert ask(served.url, raw(cid)).body == block
            for query in ("", "&dag-scope=entity", "&entity-bytes=0:9", "&entity-bytes=-1:*"):
                for path in ("", "/x", "/0"):
                    reply = ask(served.url, f"/ipfs/{cid}{path}?format=car{query}")
                    assert reply.status in {200, 400, 404, 502}
        _, *rest = sections(dechunked(ask(served.url, f"/ipfs/{top}?format=car").body)[0], top)[0]
        assert rest[0] == good
        assert ask(served.url, raw(good)).body == b"good"
    assert caplog.records == []


# --- bombs -------------------------------------------------------------------------------------


class Server(NamedTuple):
    """A process of its own, which can be ended whatever it is at."""

    process: subprocess.Popen[str]
    url: str

    def connections(self) -> int:
        found = psutil.Process(self.process.pid).net_connections("tcp")
        return sum(bool(c.raddr) for c in found)

    def end(self) -> tuple[int, str, str]:
        """Its exit code and all that it wrote."""
        self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, out, err


@contextlib.contextmanager
def started(home: Home) -> Iterator[Server]:
    process = subprocess.Popen(
        [sys.executable, "-m", "integrity_cli", "serve", "--port", "0", "--json"],
        env={**os.environ, "INTEGRITY_HOME": os.fspath(home.data_folder)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield Server(process, json.loads(process.stdout.readline())["url"])
    finally:
        process.kill()
        process.communicate()


DEPTH = 50
BOMBS = Dag()
GOOD = BOMBS.raw(b"good")


def _bombs() -> dict[str, AnyCid]:
    """DAGs of some 50 blocks and 2**50 ways through them."""
    part = BOMBS.raw(b"p")
    hollow = BOMBS.file()
    file = data = BOMBS.raw(b"f")
    cbor = BOMBS.raw(b"c")
    sharded = b"\x08\x05\x28\x22\x30\x80\x02"
    shard = BOMBS.node([], sharded)
    for _ in range(DEPTH):
        file, hollow = BOMBS.file(file, file), BOMBS.file(hollow, hollow)
        data = BOMBS.node([(data, "a"), (data, "b")], b"\x08\x01")
        shard = BOMBS.node([(shard, "00"), (shard, "01")], sharded)
        cbor = BOMBS.cbor([cbor, cbor])
    hollow = BOMBS.file(part, hollow, part)
    return {"file": file, "hollow": hollow, "folder": data, "shard": shard, "cbor": cbor}


ROOTS = _bombs()
HOLE = BOMBS.raw(b"never imported")
LATE = [BOMBS.raw(pattern(MIB // 2, n)) for n in range(9)]
LATE_HOLE = BOMBS.file(*LATE[:3], HOLE)
LATE_BREAK = BOMBS.node([*((cid, "") for cid in LATE), (BOMBS.add(DAG_PB, b"\xff"), "")], None)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home.at(tmp_path_factory.mktemp("bombs") / "home")
    with Store(home.store) as store:
        import_car(store, io.BytesIO(BOMBS.car(GOOD, without=[HOLE])).read)
    return home


def honest(url: str) -> None:
    """An honest client is served, though it need not be at once."""
    for target, expected in ((raw(GOOD), b"good"), (raw(LATE[0]), pattern(MIB // 2))):
        connection = connect(url)
        connection.settimeout(SECONDS)
        send(connection, target)
        assert receive(connection).body == expected


def shut(connection: socket.socket) -> None:
    """Hang up at once, with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()


def bomb(kind: str, query: str) -> str:
    return f"/ipfs/{ROOTS[kind]}?format=car&{query}"


@pytest.mark.parametrize(
    ("kind", "query"),
    [
        ("file", "car-dups=n"), ("folder", "car-dups=n"), ("shard", "car-dups=n"),
        ("cbor", "car-dups=n"), ("file", "dag-scope=entity"), ("shard", "dag-scope=entity"),
        ("file", "entity-bytes=0:0"), ("file", "entity-bytes=-1:*"), ("file", "entity-bytes=0:*"),
        ("hollow", "car-dups=n"), ("hollow", "entity-bytes=0:*"),
        ("file", f"entity-bytes={2**40}:-{2**40}"),
    ],
)  # fmt: skip
def test_threat_46_a_bomb_without_duplicates_is_its_few_blocks(
    home: Home, kind: str, query: str
) -> None:
    with started(home) as server:
        connection = connect(server.url)
        connection.settimeout(SECONDS)
        send(connection, bomb(kind, query))
        cids = car_of(receive(connection), ROOTS[kind])
        assert len(cids) == len(set(cids))
        assert kind == "hollow" or len(cids) == DEPTH + 1
        assert server.end() == (0, "", "")


@pytest.mark.parametrize(
    ("kind", "query"),
    [
        ("folder", "car-dups=y"), ("cbor", "car-dups=y"), ("shard", "car-dups=y&dag-scope=entity"),
        ("file", "car-dups=y&entity-bytes=0:*"), ("file", "entity-bytes=0:*"),
    ],
)  # fmt: skip
def test_threat_46_a_bomb_that_clients_give_up_keeps_nobody_waiting(
    home: Home, kind: str, query: str
) -> None:
    with started(home) as server:
        opened = [connect(server.url) for _ in range(40)]
        for connection in opened:
            send(connection, bomb(kind, query))
        honest(server.url)
        for number, connection in enumerate(opened):
            (shut if number % 2 else socket.socket.close)(connection)
        honest(server.url)
        assert until(lambda: server.connections() == 0)
        assert server.end() == (0, "", "")


def test_threat_46_a_bomb_comes_as_far_as_it_is_read(home: Home) -> None:
    with started(home) as server:
        connection = connect(server.url)
        send(connection, bomb("file", "car-dups=y"))
        data = bytearray()
        while len(data) < MIB:
            data += connection.recv(MIB)
        honest(server.url)
        connection.close()
        got, whole = dechunked(bytes(data).partition(b"\r\n\r\n")[2])
        assert not whole
        cids, _ = sections(got, ROOTS["file"])
        assert len(cids) > DEPTH * 2
        assert set(cids) == set(BOMBS.walk(ROOTS["file"]))
        assert server.end() == (0, "", "")


@pytest.mark.parametrize("root", [LATE_HOLE, LATE_BREAK], ids=["hole", "broken"])
def test_threat_46_who_hangs_up_before_an_answer_breaks_makes_no_noise(
    home: Home, root: AnyCid
) -> None:
    with started(home) as server:
        for number in range(40):
            connection = connect(server.url, receive_buffer=4096)
            send(connection, f"/ipfs/{root}?format=car")
            if number % 3:
                assert connection.recv(1 + number * 1000)
            (shut if number % 2 else socket.socket.close)(connection)
        honest(server.url)
        assert until(lambda: server.connections() == 0)
        assert server.end() == (0, "", "")


def test_the_bombs_are_what_they_seem() -> None:
    for kind, root in ROOTS.items():
        assert len(BOMBS.walk(root)) == DEPTH + (3 if kind == "hollow" else 1)
    assert all(hashlib.sha256(b).digest() == cid.key for cid, b in BOMBS.blocks.items())
