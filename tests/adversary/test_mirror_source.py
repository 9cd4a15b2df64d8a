"""A plain web server as a source: honest ones of two kinds, and what a hostile one may send."""

from __future__ import annotations

import gzip
import hashlib
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote

import pytest

from integrity.errors import SourceError
from integrity.fetch.engine import Fetcher, Terms
from integrity.fetch.pool import Batch
from integrity.fetch.scheduler import Policy
from integrity.ports import MANIFEST, Piece
from integrity.sources.mirror import MirrorSource
from integrity.sources.web import WebSource
from tests.client.helpers import write_tree

from .conftest import Serve
from .files import PlainFiles, RangedFiles
from .ordering import FileOrder
from .servers import Line, Script, always, answer

MIB = 1 << 20
LARGE = random.Random(5).randbytes(5 * MIB + 1000)
FILES = {
    "large": LARGE, "small": b"small", "empty": b"", "a b/100% #?.txt": b"odd", "ü/né": b"unicode",
    "exact": bytes(MIB), "two": bytes(MIB) + b"x",
}  # fmt: skip


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mirror") / "tool-1"
    write_tree(folder, FILES)
    folder.with_name("tool-1.integrity").write_bytes(b"the manifest")
    return folder


@pytest.fixture
def ranged(release: Path) -> Iterator[RangedFiles]:
    with RangedFiles(release.parent) as server:
        yield server


@pytest.fixture
def plain(release: Path) -> Iterator[PlainFiles]:
    with PlainFiles(release.parent) as server:
        yield server


# --- honest ones -------------------------------------------------------------------------------


def test_every_file_is_got_whole(ranged: RangedFiles) -> None:
    with closing(MirrorSource(f"{ranged.url}/tool-1/")) as source:
        order = FileOrder(FILES).give_to(source)
    assert order.whole
    assert (order.lied, order.lacking) == ([], {})
    assert {(unquote(path), span) for path, span in ranged.asked} == {
        (f"/tool-1/{path}", "") for path in FILES
    }


def test_beside_a_whole_server_there_is_no_manifest(ranged: RangedFiles) -> None:
    """Else another host would be asked: the one whose name goes on with .integrity."""
    for url in (ranged.url, f"{ranged.url}/"):
        with closing(MirrorSource(url)) as source:
            assert list(source.manifest()) == []
    assert ranged.asked == []


def test_pieces_that_follow_one_another_are_one_range(ranged: RangedFiles) -> None:
    with closing(MirrorSource(f"{ranged.url}/tool-1")) as source:
        order = FileOrder({"large": LARGE}, {"large": [1, 2, 4, 5]}).give_to(source)
    assert sorted(order.got) == [("large", n) for n in (1, 2, 4, 5)]
    assert [span for _, span in ranged.asked] == [
        f"bytes={MIB}-{3 * MIB - 1}", f"bytes={4 * MIB}-{len(LARGE) - 1}"
    ]  # fmt: skip


def test_without_ranges_a_file_is_read_from_its_start(plain: PlainFiles) -> None:
    with closing(MirrorSource(f"{plain.url}/tool-1")) as source:
        order = FileOrder({"large": LARGE}, {"large": [3]})
        assert order.give_to(source).got == {}  # the server turned out to know no ranges
        assert source.connections == 1
        assert list(order.give_to(source).got) == [("large", 3)]
        further = FileOrder(
            {"large": LARGE}, {"large": [0, 1]}, later=[("large", n) for n in (2, 3, 5)]
        )
        before = len(plain.asked)
        assert sorted(further.give_to(source).got) == [("large", n) for n in (0, 1, 2, 3, 5)]
        assert len(plain.asked) == before + 1
        assert FileOrder(FILES).give_to(source).whole


def test_without_ranges_a_download_reads_each_file_once(plain: PlainFiles) -> None:
    """However small the orders are that it is given."""
    data = [LARGE[at : at + MIB] for at in range(0, len(LARGE), MIB)]
    digests = [hashlib.sha256(piece).digest() for piece in data]
    pieces = [
        Piece(at, "large", at, digest, len(data[at]), len(LARGE))
        for at, digest in enumerate(digests)
    ]
    kept: dict[int, bytes] = {}

    class Kept:
        def keep(self, piece: Piece, data: memoryview) -> None:
            kept[piece.number] = bytes(data)

    with closing(MirrorSource(f"{plain.url}/tool-1", connections=1)) as source:
        fetcher = Fetcher([source], Terms(policy=Policy(order=1e-9)))
        fetcher.run(
            lambda: [Batch([piece]) for piece in pieces if piece.number not in kept], Kept()
        )
    assert fetcher.missing is None
    assert b"".join(kept[at] for at in sorted(kept)) == LARGE
    assert len(plain.asked) <= 3, "to see that there are no ranges, and then through once"


def test_a_prefix_is_taken_of_a_whole_answer(plain: PlainFiles) -> None:
    with closing(MirrorSource(f"{plain.url}/tool-1")) as source:
        order = FileOrder({"large": LARGE}, {"large": [0, 1]}).give_to(source)
    assert sorted(order.got) == [("large", 0), ("large", 1)]


def test_what_is_not_there_is_lacking_and_no_failure(
    ranged: RangedFiles, plain: PlainFiles
) -> None:
    for url in (ranged.url, plain.url):
        with closing(MirrorSource(f"{url}/tool-1")) as source:
            order = FileOrder({"absent": b"x", "small": b"another size", "two": FILES["two"]})
            order.give_to(source)
        assert sorted(order.lacking) == [("absent", 0), ("small", 0)]
        assert "404" in order.lacking["absent", 0]
        assert "5 bytes, not 12" in order.lacking["small", 0]
        assert len(order.got) == 2


def test_the_manifest_stands_beside_the_folder(ranged: RangedFiles) -> None:
    with closing(MirrorSource(f"{ranged.url}/tool-1/")) as source:
        assert b"".join(source.manifest()) == b"the manifest"
        order = FileOrder({})
        order.pieces = [Piece(0, MANIFEST, 0, bytes(32), None, 0)]
        order.give_to(source)
        assert list(order.lacking) == [(MANIFEST, 0)]
    with closing(MirrorSource(f"{ranged.url}/tool-2")) as source:
        assert list(source.manifest()) == []


def test_what_is_taken_over_by_others_is_not_read(ranged: RangedFiles) -> None:
    with closing(MirrorSource(f"{ranged.url}/tool-1")) as source:
        order = FileOrder({"large": LARGE})
        order.unwanted = {("large", n) for n in (0, 3, 4, 5)}
        order.give_to(source)
    assert sorted(order.got) == [("large", 1), ("large", 2)]
    assert [span for _, span in ranged.asked] == [f"bytes={MIB}-{3 * MIB - 1}"]


# --- hostile ones ------------------------------------------------------------------------------


def fetch(serve: Serve, script: Script, indexes: list[int]) -> tuple[FileOrder, list[str]]:
    server = serve(script)
    order = FileOrder({"large": LARGE}, {"large": indexes})
    with closing(MirrorSource(server.url)) as source:
        order.give_to(source)
    return order, server.targets


def part(first: int, last: int, *headers: str, body: bytes | None = None) -> bytes:
    data = LARGE[first : last + 1] if body is None else body
    said = f"Content-Range: bytes {first}-{last}/{len(LARGE)}"
    return answer(data, *(headers or (said,)), status="206 Partial Content")


def test_a_partial_answer_is_taken(serve: Serve) -> None:
    order, _ = fetch(serve, always(part(MIB, 3 * MIB - 1)), [1, 2])
    assert sorted(order.got) == [("large", 1), ("large", 2)]


@pytest.mark.parametrize(
    "said",
    [
        "", "bytes 0-1048575/{size}", "bytes {first}-{last}/1", "bytes {last}-{first}/{size}",
        "bytes {first}-{last}", "bytes */{size}", "items {first}-{last}/{size}",
        "bytes {first}-{more}/{size}", "bytes {first}-{less}/{size}", "bytes -{first}-{last}/{size}",
        "bytes {first}-{last}/{size}, bytes 0-1/2", "bytes\t{first}-{last}/{size}",
        "bytes 0{last}-{first}/{size}", "bytes ٣-{last}/{size}", "bytes " + "9" * 30 + "-1/{size}",
    ],
)  # fmt: skip
def test_threat_28_any_other_content_range_is_refused(serve: Serve, said: str) -> None:
    first, last = MIB, 3 * MIB - 1
    header = "Content-Range: " + said.format(
        first=first, last=last, more=last + 1, less=last - 1, size=len(LARGE)
    )
    sent = b"HTTP/1.1 206 x\r\n" + header.encode() + b"\r\nContent-Length: 2097152\r\n\r\n"
    server = serve(always(sent + LARGE[first : last + 1]))
    order = FileOrder({"large": LARGE}, {"large": [1, 2]})
    with closing(MirrorSource(server.url)) as source, pytest.raises(SourceError, match="it sends"):
        order.give_to(source)
    assert (order.got, order.lied) == ({}, [])


def test_threat_28_a_whole_file_in_place_of_a_range_is_not_taken_for_it(serve: Serve) -> None:
    order, targets = fetch(serve, always(answer(LARGE)), [2])
    assert (order.got, order.lied, order.lacking) == ({}, [], {})
    assert len(targets) == 1


def test_threat_28_a_shifted_range_is_a_lie_found_by_its_digest(serve: Serve) -> None:
    order, _ = fetch(serve, always(part(MIB, 2 * MIB - 1, body=LARGE[MIB + 1 : 2 * MIB + 1])), [1])
    assert order.lied == [("large", 1)]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, gzip"])
def test_threat_27_a_compressed_file_is_refused(serve: Serve, encoding: str) -> None:
    bomb = gzip.compress(bytes(50 * MIB))
    script = always(answer(bomb, f"Content-Encoding: {encoding}", length=None))
    with pytest.raises(SourceError, match="no compression was asked"):
        fetch(serve, script, list(range(6)))


@pytest.mark.parametrize("cut", [0, 1, MIB, MIB + 5])
@pytest.mark.parametrize("length", [-1, None])
def test_threat_30_an_answer_that_ends_too_soon_keeps_what_came(
    serve: Serve, cut: int, length: int | None
) -> None:
    def script(line: Line) -> None:
        if line.hear() is not None:
            said = f"Content-Range: bytes {MIB}-{3 * MIB - 1}/{len(LARGE)}"
            true = 2 * MIB if length else None
            line.say(answer(LARGE[MIB : MIB + cut], said, status="206 x", length=true))

    server = serve(script)
    order = FileOrder({"large": LARGE}, {"large": [1, 2]})
    with closing(MirrorSource(server.url)) as source, pytest.raises(SourceError):
        order.give_to(source)
    assert list(order.got) == [("large", 1)] * (cut >= MIB)
    assert order.lied == []


def test_threat_25_nothing_is_read_beyond_what_was_asked_for(serve: Serve) -> None:
    def script(line: Line) -> None:
        if line.hear() is not None:
            line.say(answer(LARGE, length=None))
            line.say_on(bytes(MIB), 64 * MIB)

    server = serve(script)
    order = FileOrder({"large": LARGE})
    with closing(MirrorSource(server.url)) as source:
        order.give_to(source)
    assert order.whole
    server.ended()
    assert server.lines[0].sent < 32 * MIB


@pytest.mark.parametrize("status", ["500 Oops", "503 x", "429 x", "401 x", "204 x", "304 x"])
def test_any_other_status_is_a_failure(serve: Serve, status: str) -> None:
    with pytest.raises(SourceError, match=f"answered {status[:3]}"):
        fetch(serve, always(answer(LARGE, status=status)), [0])


# --- which kind it is --------------------------------------------------------------------------


def test_a_url_that_has_the_empty_block_is_a_gateway(serve: Serve) -> None:
    def script(line: Line) -> None:
        while (target := line.hear()) is not None:
            line.say(answer(b"" if "bafkqaaa" in target else b"small"))

    server = serve(script)
    with closing(WebSource(server.url)) as source:
        order = FileOrder({"small": b"small"}).give_to(source)
        assert source.may_gain
    assert order.whole
    assert server.targets[1].startswith("/ipfs/bafkrei")


@pytest.mark.parametrize("found", [answer(b"", status="404 x"), answer(b"<html>")])
def test_any_other_is_a_mirror(serve: Serve, found: bytes) -> None:
    def script(line: Line) -> None:
        while (target := line.hear()) is not None:
            line.say(found if "bafkqaaa" in target else answer(b"small"))

    server = serve(script)
    with closing(WebSource(server.url)) as source:
        assert FileOrder({"small": b"small"}).give_to(source).whole
        assert not source.may_gain, "its files are there or not"
    assert server.targets[1:] == ["/small"]


def test_a_server_that_cannot_be_asked_is_asked_again(serve: Serve) -> None:
    answers = iter([answer(b"", status="503 x"), answer(b"", status="404 x"), answer(b"small")])

    def script(line: Line) -> None:
        while line.hear() is not None:
            line.say(next(answers))

    server = serve(script)
    with closing(WebSource(server.url)) as source:
        with pytest.raises(SourceError, match="503"):
            FileOrder({"small": b"small"}).give_to(source)
        assert FileOrder({"small": b"small"}).give_to(source).whole
