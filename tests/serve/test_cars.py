"""CAR answers over real sockets: which blocks, in which order, and what is said about them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, unquote

import pytest

from integrity.core.anycid import AnyCid, cid_of, parse_any_cid
from integrity.core.cid import DAG_PB, RAW
from integrity.core.unixfs import name_hash
from integrity.home import Home
from integrity.testing.serving import ServedHome

from .dags import DIRECTORY, Dag, car_of, cut_car_of, dechunked, identity, sections
from .helpers import MIB, Reply, ask, connect, pattern, receive, send

RAW_TYPE = "application/vnd.ipld.raw"
CAR_TYPE = "application/vnd.ipld.car"
IMMUTABLE = "public, max-age=29030400, immutable"

# --- what is served ----------------------------------------------------------------------------

DAG = Dag()
A, B = DAG.raw(b"alpha"), DAG.raw(b"beta")
L0, L1, L2, L3, L4 = (DAG.raw(bytes([n]) * 10) for n in range(5))
MID = DAG.file(L1, L2)
BIG = DAG.file(L0, MID, L3, L4)  # 0..9, 10..29, 30..39, 40..49
AGAIN = DAG.file(L0, L0, L1)
MIXED = DAG.file(L0, L1, data=b"0123456789")  # 0..9 in the node itself
EMPTY = DAG.file()
SYMLINK = DAG.node([], b"\x08\x04\x12\x0b/etc/passwd")
SUB = DAG.folder({"again": A, "file": BIG})
ODD = "näme %2B&?#.txt"
TOP = DAG.folder({"a.txt": A, "copy.txt": A, "link": SYMLINK, ODD: B, "sub": SUB})


def _two_that_share_a_shard() -> tuple[str, str]:
    """Names whose hashes begin with the same two bytes, so that three shards lead to them."""
    known: dict[bytes, str] = {}
    for name in (f"{n}.bin" for n in itertools.count()):
        if (other := known.setdefault(name_hash(name.encode())[:2], name)) != name:
            return other, name
    raise AssertionError


DEEP = _two_that_share_a_shard()
HAMT_NAMES = {name: DAG.raw(name.encode()) for name in (*DEEP, *(f"{n}.txt" for n in range(400)))}
HAMT_TREE = DAG.sharded(HAMT_NAMES)
SHARDS = [cid for cid in DAG.walk(HAMT_TREE) if cid.codec == DAG_PB]
OVER = DAG.folder({"many": HAMT_TREE})

CBOR = DAG.cbor({"list": [A, {"deep": BIG}, 5], "plain": {"text": "x"}, "self": SUB})
DATA = DAG.folder({"data": CBOR})
JSON = DAG.json(f'{{"x": [{{"/": "{A}"}}, {{"y": {{"/": "{SUB}"}}}}], "z": 1}}', A, SUB)
PLAIN_NODE = DAG.node([(A, "old"), (B, "")], None)

V0_LEAVES = [DAG.node([], b"\x08\x02\x12\x05part%d\x18\x05" % n, version=0) for n in range(2)]
for _leaf in V0_LEAVES:
    DAG.sizes[_leaf] = 5
V0_FILE = DAG.file(*V0_LEAVES, version=0)
V0 = DAG.folder({"file": V0_FILE}, version=0)

SHORT = identity(RAW, b"inside")
INNER = DAG.raw(b"behind an identity CID")
HOLDER = identity(
    DAG_PB, b"\x12\x2f\x0a\x24" + bytes(INNER) + b"\x12\x05inner\x18\x01\x0a\x02" + DIRECTORY
)
WITH_IDENTITY = DAG.folder({"short": SHORT, "more": HOLDER})

GONE = DAG.raw(b"never imported"), DAG.raw(b"nor this one")
HOLED = DAG.file(L0, GONE[0], L2)
HOLED_FOLDER = DAG.folder({"a": A, "b": GONE[0], "c": B})
LEADERLESS = DAG.file(GONE[0], L0)
LARGE = [DAG.raw(pattern(MIB, n)) for n in range(6)]
LARGE_HOLED = DAG.file(*LARGE, GONE[1])
LAST = DAG.cbor([TOP])

ABSENT = cid_of(RAW, b"absent")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = Home.at(tmp_path_factory.mktemp("cars"))
    DAG.put_in(home, without=GONE)
    with ServedHome(home) as served:
        yield served.url


def target(root: AnyCid, path: str = "", query: str = "") -> str:
    return f"/ipfs/{root}{path}?format=car{query and '&'}{query}"


@dataclass(frozen=True, slots=True)
class Case:
    root: AnyCid
    path: str
    query: str
    blocks: list[AnyCid]

    @property
    def target(self) -> str:
        return target(self.root, self.path, self.query)


BIG_BLOCKS = [BIG, L0, MID, L1, L2, L3, L4]
ALL_OF_TOP = [TOP, A, SYMLINK, B, SUB, *BIG_BLOCKS]
FILE = "/sub/file"
WAY = [TOP, SUB, BIG]

CASES = {
    "folder": Case(TOP, "", "", ALL_OF_TOP),
    "folder all": Case(TOP, "/", "dag-scope=all", ALL_OF_TOP),
    "folder dups": Case(
        TOP, "", "car-dups=y", [TOP, A, A, SYMLINK, B, SUB, A, *BIG_BLOCKS]
    ),
    "folder entity": Case(TOP, "", "dag-scope=entity", [TOP]),
    "folder block": Case(TOP, "", "dag-scope=block", [TOP]),
    "folder bytes": Case(TOP, "", "entity-bytes=0:1", [TOP]),
    "path to a block": Case(TOP, "/a.txt", "", [TOP, A]),
    "path to a folder": Case(TOP, "/sub", "", [TOP, SUB, A, *BIG_BLOCKS]),
    "path to a folder's entity": Case(TOP, "/sub/", "dag-scope=entity", [TOP, SUB]),
    "path of odd letters": Case(TOP, "/" + quote(ODD), "", [TOP, B]),
    "path to a file": Case(TOP, FILE, "", [TOP, SUB, *BIG_BLOCKS]),
    "path to a file's entity": Case(TOP, FILE, "dag-scope=entity", [TOP, SUB, *BIG_BLOCKS]),
    "path to a file's block": Case(TOP, FILE, "dag-scope=block", WAY),
    "symlink": Case(TOP, "/link", "", [TOP, SYMLINK]),
    "symlink's entity": Case(TOP, "/link", "dag-scope=entity&entity-bytes=0:*", [TOP, SYMLINK]),
    "raw block": Case(A, "", "", [A]),
    "raw bytes": Case(A, "", "entity-bytes=1:2", [A]),
    "file": Case(BIG, "", "", BIG_BLOCKS),
    "file again": Case(AGAIN, "", "", [AGAIN, L0, L1]),
    "file again dups": Case(AGAIN, "", "car-dups=y", [AGAIN, L0, L0, L1]),
    "file again entity dups": Case(
        AGAIN, "", "car-dups=y&dag-scope=entity", [AGAIN, L0, L0, L1]
    ),
    "file again bytes": Case(AGAIN, "", "entity-bytes=0:19", [AGAIN, L0]),
    "file again bytes dups": Case(AGAIN, "", "entity-bytes=0:19&car-dups=y", [AGAIN, L0, L0]),
    "empty": Case(EMPTY, "", "dag-scope=entity", [EMPTY]),
    "empty bytes": Case(EMPTY, "", "entity-bytes=0:*", [EMPTY]),
    "sharded": Case(HAMT_TREE, "", "", DAG.walk(HAMT_TREE)),
    "sharded entity": Case(HAMT_TREE, "", "dag-scope=entity", SHARDS),
    "sharded bytes": Case(HAMT_TREE, "", "entity-bytes=5:6", SHARDS),
    "sharded block": Case(HAMT_TREE, "", "dag-scope=block", [HAMT_TREE]),
    "path to shards": Case(OVER, "/many", "dag-scope=entity", [OVER, *SHARDS]),
    "cbor": Case(CBOR, "", "", [CBOR, A, *BIG_BLOCKS, SUB]),
    "cbor dups": Case(CBOR, "", "car-dups=y", [CBOR, A, *BIG_BLOCKS, SUB, A, *BIG_BLOCKS]),
    "cbor entity": Case(CBOR, "", "dag-scope=entity", [CBOR]),
    "cbor bytes": Case(CBOR, "", "entity-bytes=0:1", [CBOR]),
    "cbor to a link": Case(CBOR, "/list/0", "", [CBOR, A]),
    "cbor to a deep link": Case(CBOR, "/list/1/deep", "dag-scope=block", [CBOR, BIG]),
    "cbor through a link": Case(CBOR, "/self/file", "dag-scope=block", [CBOR, SUB, BIG]),
    "cbor to a value": Case(CBOR, "/list/2", "dag-scope=entity", [CBOR]),
    "cbor to a map": Case(CBOR, "/plain", "dag-scope=entity", [CBOR]),
    "folder to cbor to folder": Case(
        DATA, "/data/self/again", "", [DATA, CBOR, SUB, A]
    ),
    "json": Case(JSON, "", "", [JSON, A, SUB, *BIG_BLOCKS]),
    "json to a link": Case(JSON, "/x/1/y/again", "", [JSON, SUB, A]),
    "no unixfs": Case(PLAIN_NODE, "", "", [PLAIN_NODE, A, B]),
    "no unixfs entity": Case(PLAIN_NODE, "", "dag-scope=entity", [PLAIN_NODE]),
    "no unixfs path": Case(PLAIN_NODE, "/old", "", [PLAIN_NODE, A]),
    "version 0": Case(V0, "", "", [V0, V0_FILE, *V0_LEAVES]),
    "version 0 bytes": Case(V0, "/file", "entity-bytes=5:9", [V0, V0_FILE, V0_LEAVES[1]]),
    "version 0 asked as 1": Case(
        V0._replace(version=1), "", "dag-scope=block", [V0._replace(version=1)]
    ),
    "identity": Case(SHORT, "", "", []),
    "identity of no bytes": Case(parse_any_cid("bafkqaaa"), "", "", []),
    "identity of a node": Case(HOLDER, "", "", [INNER]),
    "path through identity": Case(HOLDER, "/inner", "", [INNER]),
    "identity inside": Case(WITH_IDENTITY, "", "", [WITH_IDENTITY, INNER]),
    "identity inside dups": Case(WITH_IDENTITY, "", "car-dups=y", [WITH_IDENTITY, INNER]),
    "path to identity": Case(WITH_IDENTITY, "/short", "", [WITH_IDENTITY]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_car_has_the_blocks_of_its_scope_in_order(url: str, case: Case) -> None:
    reply = ask(url, case.target)
    assert car_of(reply, case.root) == case.blocks
    assert car_of(ask(url, case.target), case.root) == case.blocks
    assert ask(url, case.target).body == reply.body


@pytest.mark.parametrize(
    ("span", "blocks"),
    [
        ("0:0", [L0]), ("0:9", [L0]), ("9:10", [L0, MID, L1]), ("10:10", [MID, L1]),
        ("19:20", [MID, L1, L2]), ("20:29", [MID, L2]), ("29:30", [MID, L2, L3]), ("39:39", [L3]),
        ("0:*", [L0, MID, L1, L2, L3, L4]), ("0:49", [L0, MID, L1, L2, L3, L4]),
        ("40:9999", [L4]), ("49:*", [L4]), ("-1:*", [L4]), ("-1:-1", [L4]), ("-11:-10", [L3, L4]),
        ("-9999:*", [L0, MID, L1, L2, L3, L4]), ("-9999:-41", [L0]), ("0:-50", [L0]),
        ("5:-21", [L0, MID, L1, L2]), ("-50:0", [L0]), ("-20:39", [L3]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("scope", ["", "&dag-scope=entity", "&dag-scope=all"])
def test_entity_bytes_bring_the_blocks_of_these_bytes_alone(
    url: str, span: str, blocks: list[AnyCid], scope: str
) -> None:
    reply = ask(url, target(TOP, FILE, f"entity-bytes={span}{scope}"))
    assert car_of(reply, TOP) == [*WAY, *blocks]


@pytest.mark.parametrize("span", ["0:5", "9:9", "10:19", "20:*"])
def test_bytes_in_the_node_itself_need_no_other_block(url: str, span: str) -> None:
    expected = {"0:5": [], "9:9": [], "10:19": [L0], "20:*": [L1]}[span]
    reply = ask(url, target(MIXED, "", f"entity-bytes={span}"))
    assert car_of(reply, MIXED) == [MIXED, *expected]


@pytest.mark.parametrize("span", ["50:*", "50:50", "1000:2000", "0:-51", "-9999:-51"])
def test_threat_46_bytes_beyond_the_file_are_400(url: str, span: str) -> None:
    reply = ask(url, target(TOP, FILE, f"entity-bytes={span}"))
    assert reply.status == 400
    assert "cache-control" not in reply.headers
    size = len(DAG.blocks[A])
    assert ask(url, target(A, "", f"entity-bytes={size}:*")).status == 400
    assert ask(url, target(A, "", f"entity-bytes={size - 1}:*")).status == 200


@pytest.mark.parametrize("span", ["20:-40", "-5:10", "30:-21"])
def test_a_span_of_no_bytes_brings_what_shows_how_many_there_are(url: str, span: str) -> None:
    assert car_of(ask(url, target(TOP, FILE, f"entity-bytes={span}")), TOP) == WAY


def test_entity_bytes_do_not_matter_to_the_scope_block(url: str) -> None:
    for span in ("0:1", "1000:*"):
        reply = ask(url, target(BIG, "", f"dag-scope=block&entity-bytes={span}"))
        assert car_of(reply, BIG) == [BIG]


def test_every_name_in_a_sharded_directory_is_found_with_the_shards_on_its_way(url: str) -> None:
    ways = {name: DAG.way(HAMT_TREE, name) for name in HAMT_NAMES}
    deep = [name for name, way in ways.items() if len(way) > 2]
    assert all(len(ways[name]) > 3 for name in DEEP)
    for name in {*DEEP, *deep[:20], *itertools.islice(ways, 10)}:
        assert ways[name][-1] == HAMT_NAMES[name]
        reply = ask(url, target(OVER, f"/many/{name}"))
        assert car_of(reply, OVER) == [OVER, *ways[name]]


# --- what is not there -------------------------------------------------------------------------

NOWHERE = [
    (ABSENT, ""), (ABSENT, "/a/b"), (TOP, "/nothing"), (TOP, "/A.TXT"), (TOP, "/sub/nothing"),
    (TOP, "/sub/nothing/more"), (TOP, "/a.txt/more"), (TOP, "/sub/file/more"), (TOP, "/link/more"),
    (TOP, "/sub%2Ffile"), (TOP, "/" + quote(quote(ODD))), (OVER, "/many/400.txt"), (OVER, "/many/0"),
    (OVER, "/many/" + "x" * 4000), (HAMT_TREE, "/00"), (CBOR, "/nothing"), (CBOR, "/list/3"),
    (CBOR, "/list/-1"), (CBOR, "/list/x"), (CBOR, "/list/2/3"), (CBOR, "/plain/text/x"),
    (CBOR, "/list/" + "9" * 5000), (CBOR, "/list/\u0661"), (JSON, "/x/9"), (JSON, "/z/0"),
    (JSON, "/x/" + "9" * 5000), (V0, "/nothing"), (WITH_IDENTITY, "/short/x"), (HOLED_FOLDER, "/b"),
    (HOLED_FOLDER, "/b/x"),
]  # fmt: skip


@pytest.mark.parametrize(("root", "path"), NOWHERE, ids=lambda v: str(v)[-20:])
def test_a_root_or_path_that_is_not_there_is_404(url: str, root: AnyCid, path: str) -> None:
    for method in ("GET", "HEAD"):
        reply = ask(url, target(root, quote(path, safe="/%")), method)
        assert reply.status == 404
        assert method == "GET" or reply.body == b""
        for name in ("cache-control", "etag", "content-disposition"):
            assert name not in reply.headers


@pytest.mark.parametrize(
    "query",
    [
        "entity-bytes=", "entity-bytes=a:b", "entity-bytes=1:2:3", "entity-bytes=*:1", "entity-bytes=5:4",
        "dag-scope=everything", "car-version=2", "car-order=bfs", "car-dups=2",
    ],
)  # fmt: skip
@pytest.mark.parametrize("root", [TOP, ABSENT], ids=["there", "absent"])
def test_what_cannot_be_understood_is_400(url: str, query: str, root: AnyCid) -> None:
    reply = ask(url, target(root, "", query))
    assert reply.status == 400
    assert "cache-control" not in reply.headers


@pytest.mark.parametrize("path", ["/%ff", "/sub/%c3", "/a" * 257])
def test_threat_21_paths_that_are_none_are_400(url: str, path: str) -> None:
    assert ask(url, target(TOP, path)).status == 400


@pytest.mark.parametrize("path", ["/./a.txt", "/sub/../a.txt", "/sub/%2e%2E/a.txt", "/a.txt/."])
def test_dots_in_a_path_lead_where_they_lead_everywhere(url: str, path: str) -> None:
    assert car_of(ask(url, target(TOP, path)), TOP) == [TOP, A]


# --- a block that is missing -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("root", "query", "blocks"),
    [
        (HOLED, "", [HOLED, L0]), (HOLED, "dag-scope=entity", [HOLED, L0]),
        (HOLED, "entity-bytes=5:15", [HOLED, L0]), (HOLED, "entity-bytes=12:25", [HOLED]),
        (HOLED, "car-dups=y", [HOLED, L0]), (HOLED_FOLDER, "", [HOLED_FOLDER, A]),
        (LEADERLESS, "", [LEADERLESS]),
    ],
)  # fmt: skip
def test_threat_46_a_car_ends_without_its_end_after_the_blocks_that_were_there(
    url: str, root: AnyCid, query: str, blocks: list[AnyCid]
) -> None:
    for _ in range(5):
        assert cut_car_of(ask(url, target(root, "", query)), root) == blocks


@pytest.mark.parametrize("receive_buffer", [0, 4096])
def test_blocks_that_were_there_come_before_the_end_however_slow_they_are_read(
    url: str, receive_buffer: int
) -> None:
    connection = connect(url, receive_buffer=receive_buffer)
    send(connection, target(LARGE_HOLED))
    assert cut_car_of(receive(connection), LARGE_HOLED) == [LARGE_HOLED, *LARGE]


def test_a_connection_that_was_to_be_kept_ends_with_a_car_that_is_cut(url: str) -> None:
    connection = connect(url)
    request = f"GET {target(HOLED)} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    connection.sendall(request.encode() * 2)
    everything = receive(connection)
    assert b"HTTP/1.1" not in everything.body
    assert cut_car_of(everything, HOLED) == [HOLED, L0]


@pytest.mark.parametrize(
    ("root", "query", "blocks"),
    [
        (HOLED, "entity-bytes=0:9", [HOLED, L0]), (HOLED, "dag-scope=block", [HOLED]),
        (HOLED, f"entity-bytes={len(b'never imported') + 10}:*", [HOLED, L2]),
        (HOLED, "entity-bytes=-10:-1", [HOLED, L2]),
        (HOLED_FOLDER, "dag-scope=entity", [HOLED_FOLDER]),
    ],
)  # fmt: skip
def test_a_block_that_is_missing_elsewhere_is_no_trouble(
    url: str, root: AnyCid, query: str, blocks: list[AnyCid]
) -> None:
    assert car_of(ask(url, target(root, "", query)), root) == blocks


# --- headers -----------------------------------------------------------------------------------


def test_the_headers_of_a_car_are_those_of_the_specification(url: str) -> None:
    reply = ask(url, target(TOP))
    headers = reply.headers
    assert headers["content-type"] == f"{CAR_TYPE}; version=1; order=dfs; dups=n"
    assert headers["cache-control"] == IMMUTABLE
    assert headers["content-disposition"] == f'attachment; filename="{TOP}.car"'
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["accept-ranges"] == "none"
    assert headers["x-ipfs-path"] == f"/ipfs/{TOP}"
    assert headers["x-ipfs-roots"] == str(TOP)
    assert headers["etag"].startswith('"')
    assert headers["etag"].endswith('"')
    assert headers["access-control-allow-origin"] == "*"
    for name in ("content-encoding", "content-length", "last-modified"):
        assert name not in headers


def test_the_headers_are_fewer_bytes_than_kubo_takes(url: str) -> None:
    """Its HTTP client gives up at 2 KiB."""
    for wanted in (f"/ipfs/{A}?format=raw", target(TOP, FILE, "entity-bytes=0:9&car-dups=y")):
        connection = connect(url)
        send(connection, wanted)
        head = bytearray()
        while b"\r\n\r\n" not in head:
            head += connection.recv(1)
        connection.close()
        assert len(head) < 2048


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_head_says_what_get_would_say_without_the_car(url: str, case: Case) -> None:
    get, head = ask(url, case.target), ask(url, case.target, "HEAD")
    assert (head.status, head.body) == (200, b"")
    for name in set(get.headers) - {"date", "transfer-encoding"}:
        assert head.headers[name] == get.headers[name]


@pytest.mark.parametrize(
    ("query", "accept", "dups"),
    [
        ("?format=car&car-dups=y", None, "y"), ("?format=car&car-dups=n", CAR_TYPE + ";dups=y", "n"),
        ("", CAR_TYPE, "n"), ("", f"text/html, {CAR_TYPE};version=1; order=unk;dups=y;q=0.5", "y"),
        ("?format=car", f"{CAR_TYPE}; order=dfs; dups=y", "y"), ("?car-dups=y", CAR_TYPE, "y"),
    ],
)  # fmt: skip
def test_the_content_type_says_which_car_it_is(
    url: str, query: str, accept: str | None, dups: str
) -> None:
    more = {} if accept is None else {"accept": accept}
    reply = ask(url, f"/ipfs/{AGAIN}{query}", **more)
    assert reply.headers["content-type"] == f"{CAR_TYPE}; version=1; order=dfs; dups={dups}"
    expected = [AGAIN, L0, L0, L1] if dups == "y" else [AGAIN, L0, L1]
    assert car_of(reply, AGAIN) == expected
    assert reply.headers["vary"] == "Accept"


def test_accept_may_stand_on_several_lines(url: str) -> None:
    connection = connect(url)
    send(connection, f"/ipfs/{A}", accept=f"text/html\r\nAccept: {CAR_TYPE}")
    assert car_of(receive(connection), A) == [A]


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        (f"/ipfs/{AGAIN}", CAR_TYPE), (f"/ipfs/{AGAIN}", f"{CAR_TYPE};dups=y"),
        (f"/ipfs/{AGAIN}?format=car", f"{CAR_TYPE};dups=y"),
        (f"/ipfs/{AGAIN}?car-dups=n", f"{CAR_TYPE};dups=y"), (f"/ipfs/{AGAIN}", RAW_TYPE),
        (f"/ipfs/{AGAIN}?format=raw", CAR_TYPE), (f"/ipfs/{TOP}/{quote(ODD)}", CAR_TYPE),
        (f"/ipfs/{TOP}/{quote(ODD)}?format=car&filename=a%26format=raw%0D%0AX", RAW_TYPE),
        (f"/ipfs/{TOP}/sub/file?entity-bytes=-5:*", f"{CAR_TYPE};dups=y"),
    ],
)  # fmt: skip
def test_content_location_leads_to_the_same_answer_whatever_is_accepted(
    url: str, path: str, accept: str
) -> None:
    reply = ask(url, path, accept=accept)
    assert reply.status == 200
    again = ask(url, reply.headers["content-location"])
    assert again.body == reply.body
    for name in ("content-type", "content-disposition", "etag", "content-location"):
        assert again.headers[name] == reply.headers[name]


# --- etags -------------------------------------------------------------------------------------

QUERIES = [
    "", "dag-scope=all", "dag-scope=entity", "dag-scope=block", "entity-bytes=0:9", "entity-bytes=0:19",
    "entity-bytes=10:19", "entity-bytes=0:*", "entity-bytes=-10:*", "entity-bytes=-10:-1", "car-dups=y",
    "dag-scope=entity&car-dups=y", "entity-bytes=0:19&car-dups=y", "car-order=unk", "car-version=1",
    "dag-scope=block&entity-bytes=0:9", "filename=x",
]  # fmt: skip


def test_what_has_one_etag_has_one_body(url: str) -> None:
    bodies: dict[str, bytes] = {}
    places = [
        (BIG, ""),
        (AGAIN, ""),
        (TOP, ""),
        (TOP, "/sub"),
        (TOP, FILE),
        (SUB, "/file"),
        (A, ""),
    ]
    for (root, path), query in itertools.product(places, QUERIES):
        reply = ask(url, target(root, path, query))
        if reply.status == 400:  # bytes beyond the file
            assert "etag" not in reply.headers
            continue
        data, whole = dechunked(reply.body)
        assert whole
        assert bodies.setdefault(reply.headers["etag"], data) == data
    raw = ask(url, f"/ipfs/{A}?format=raw")
    assert raw.headers["etag"] not in bodies
    assert len(bodies) > len(places) * 4


@pytest.mark.parametrize("query", QUERIES)
def test_what_the_client_has_already_is_304(url: str, query: str) -> None:
    etag = ask(url, target(AGAIN, "", query)).headers["etag"]
    for known in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        for method in ("GET", "HEAD"):
            reply = ask(url, target(AGAIN, "", query), method, if_none_match=known)
            assert (reply.status, reply.body) == (304, b"")
            assert reply.headers["etag"] == etag
            assert reply.headers["cache-control"] == IMMUTABLE
    other = ask(url, target(AGAIN, "", query), if_none_match='"x"')
    assert other.status == 200


def test_an_etag_of_something_else_is_no_reason_to_send_nothing(url: str) -> None:
    etags = [ask(url, target(AGAIN, "", query)).headers["etag"] for query in ("", "car-dups=y")]
    assert ask(url, target(AGAIN), if_none_match=etags[1]).status == 200
    assert ask(url, target(AGAIN, "", "car-dups=y"), if_none_match=etags[0]).status == 200
    assert ask(url, f"/ipfs/{AGAIN}?format=raw", if_none_match=etags[0]).status == 200
    for known in ("*", etags[0]):
        assert ask(url, target(ABSENT), if_none_match=known).status == 404
        assert ask(url, target(TOP, "/nothing"), if_none_match=known).status == 404


# --- names of files ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["a b.car", "тест.car", 'quo"te\\.car', "x\r\nSet-Cookie: a=b", "../../etc/passwd", "a;b=c,d", "\0",
     "\u202etxt.exe", "名" * 300, "x" * 5000],
)  # fmt: skip
@pytest.mark.parametrize("form", ["raw", "car"])
def test_threat_21_a_file_name_says_what_was_asked_and_nothing_more(
    url: str, name: str, form: str
) -> None:
    reply = ask(url, f"/ipfs/{A}?format={form}&filename={quote(name, safe='')}")
    assert reply.status == 200
    assert "set-cookie" not in reply.headers
    disposition = reply.headers["content-disposition"]
    first, *rest = disposition.split("; ", 2)
    plain = rest[0].removeprefix('filename="').removesuffix('"')
    assert first == "attachment"
    assert not set(plain) & set('"\\/\r\n\0;')
    assert plain.isascii()
    if len(rest) == 2:
        said = rest[1].removeprefix("filename*=UTF-8''")
        assert set(said) <= set(quote("", safe="") + "%ABCDEFGHIJKLMNOPQRSTUVWXYZ") | set(
            "abcdefghijklmnopqrstuvwxyz0123456789-._~"
        )
        assert name.startswith(unquote(said))
    else:
        assert plain == name


@pytest.mark.parametrize("query", ["", "&filename=", "&download=true"])
def test_without_a_file_name_it_is_the_root(url: str, query: str) -> None:
    for path in ("", "/sub"):
        disposition = ask(url, target(TOP, path) + query).headers["content-disposition"]
        assert disposition == f'attachment; filename="{TOP}.car"'


# --- special requests --------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("form", ["raw", "car"])
def test_the_probe_is_answered(url: str, method: str, form: str) -> None:
    by_query = ask(url, f"/ipfs/bafkqaaa?format={form}", method)
    by_accept = ask(url, "/ipfs/bafkqaaa", method, accept=f"application/vnd.ipld.{form}")
    both = ask(url, f"/ipfs/bafkqaaa?format={form}", method, accept=f"application/vnd.ipld.{form}")
    for reply in (by_query, by_accept, both):
        assert reply.status == 200
        if method == "HEAD" or form == "raw":
            assert reply.body == b""
        else:
            assert car_of(reply, parse_any_cid("bafkqaaa")) == []


def test_identity_is_given_as_a_raw_block(url: str) -> None:
    reply = ask(url, f"/ipfs/{SHORT}?format=raw")
    assert (reply.status, reply.body) == (200, b"inside")


@pytest.mark.parametrize("form", ["?format=raw", "?format=car", ""])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_only_if_cached_is_412_for_what_is_not_here(url: str, form: str, method: str) -> None:
    reply = ask(url, f"/ipfs/{ABSENT}{form}", method, cache_control="only-if-cached")
    assert (reply.status, reply.body) == (412, b"")
    for name in ("cache-control", "etag", "content-disposition"):
        assert name not in reply.headers


@pytest.mark.parametrize(
    "root", [TOP, SHORT, parse_any_cid("bafkqaaa")], ids=["held", "id", "probe"]
)
def test_only_if_cached_changes_nothing_for_what_is_here(url: str, root: AnyCid) -> None:
    for method, form in itertools.product(("GET", "HEAD"), ("raw", "car")):
        wanted = f"/ipfs/{root}?format={form}"
        reply = ask(url, wanted, method, cache_control="max-age=5, only-if-cached")
        assert reply.status == 200
        assert reply.body == ask(url, wanted, method).body


def test_a_range_of_a_car_is_ignored(url: str) -> None:
    reply = ask(url, target(TOP), range="bytes=0-9")
    assert "content-range" not in reply.headers
    assert car_of(reply, TOP) == ALL_OF_TOP


def test_one_connection_carries_cars_and_blocks(url: str) -> None:
    connection = connect(url)
    wanted = [target(TOP), f"/ipfs/{A}?format=raw", target(BIG)]
    for one in wanted:
        connection.sendall(f"GET {one} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    send(connection, target(A))
    heads = [Reply(0, {}, b""), receive(connection)]
    parts = heads[1].body.split(b"HTTP/1.1 200 OK\r\n")
    first, whole = dechunked(parts[0])
    assert whole
    assert sections(first, TOP) == (ALL_OF_TOP, True)
    assert parts[1].endswith(b"\r\n\r\nalpha")
    for part, (root, blocks) in zip(parts[2:], [(BIG, BIG_BLOCKS), (A, [A])], strict=True):
        data, whole = dechunked(part.partition(b"\r\n\r\n")[2])
        assert whole
        assert sections(data, root) == (blocks, True)
