"""A gateway that sends a folder of small files as one CAR: honest, and as an attacker would."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from contextlib import closing

import pytest

from integrity.core.anycid import AnyCid, raw_cid_of_key
from integrity.core.car import car_header, car_portions, car_section
from integrity.core.dagpb import varint
from integrity.errors import SourceError
from integrity.sources.gateway import GatewaySource

from .conftest import Serve
from .ordering import FileOrder
from .servers import Line, Script, answer

GENERATOR = random.Random(8)
FILES = {f"docs/{n:02}": GENERATOR.randbytes(100 + n) for n in range(30)} | {
    "docs/same": b"twice", "docs/the same": b"twice", "docs/empty": b"",
}  # fmt: skip
TREE = "bafybeifx7yeb55armcsxwwitkymga5xf53dxiarykms3ygqic223w5sk3m/docs"
NODE = b"\x12\x00a node of the folder"


def order() -> FileOrder:
    return FileOrder(FILES, tree=TREE)


def blocks(made: FileOrder) -> list[tuple[AnyCid, bytes]]:
    found = {p.digest: FILES[p.path] for p in made.pieces}
    return [(raw_cid_of_key(digest), data) for digest, data in found.items()]


def car(made: FileOrder, change: Callable[[list[tuple[AnyCid, bytes]]], Iterable] = list) -> bytes:  # type: ignore[type-arg]
    return b"".join(car_portions([], change(blocks(made))))


def gateway(body: bytes | None, status: str = "200 OK") -> Script:
    """Sends this for a CAR, and every block that is asked for by itself."""

    def script(line: Line) -> None:
        single = {str(cid): data for cid, data in blocks(order())}
        while (target := line.hear()) is not None:
            if "format=car" in target:
                line.say(answer(body or b"", status=status))
            else:
                line.say(answer(single[target.split("/")[2].partition("?")[0]]))

    return script


def test_one_answer_brings_all_files_of_a_folder(serve: Serve) -> None:
    server = serve(gateway(car(order(), lambda found: [*found, *found])))
    with closing(GatewaySource(server.url)) as source:
        made = order().give_to(source)
    assert made.whole
    assert server.targets == [f"/ipfs/{TREE}?format=car&dag-scope=all&car-dups=n"]


def test_names_are_escaped_in_the_path(serve: Serve) -> None:
    server = serve(gateway(car(order())))
    made = FileOrder(FILES, tree=TREE + "/a b/ü?#")
    with closing(GatewaySource(server.url)) as source:
        made.give_to(source)
    assert server.targets[0].startswith(f"/ipfs/{TREE}/a%20b/%C3%BC%3F%23?format=car")


@pytest.mark.parametrize("status", ["404 x", "406 x", "501 x", "400 x", "500 x"])
def test_without_a_car_every_block_is_asked_for(serve: Serve, status: str) -> None:
    server = serve(gateway(None, status))
    with closing(GatewaySource(server.url)) as source:
        assert order().give_to(source).whole
        again = order().give_to(source)
    assert again.whole
    assert sum("format=car" in target for target in server.targets) == 1


def test_files_that_the_car_lacks_are_lacking(serve: Serve) -> None:
    server = serve(gateway(car(order(), lambda found: found[3:])))
    with closing(GatewaySource(server.url)) as source:
        made = order().give_to(source)
    assert sorted(made.lacking) == [(path, 0) for path in list(FILES)[:3]]
    assert len(made.got) == len(FILES) - 3


def test_other_blocks_on_the_way_are_passed_over(serve: Serve) -> None:
    noise = [(raw_cid_of_key(bytes(32)), NODE)] * 10
    server = serve(gateway(car(order(), lambda found: noise + found)))
    with closing(GatewaySource(server.url)) as source:
        assert order().give_to(source).whole


def test_threat_23_wrong_bytes_under_a_wanted_cid_are_a_lie(serve: Serve) -> None:
    def wrong(found: list[tuple[AnyCid, bytes]]) -> list[tuple[AnyCid, bytes]]:
        return [*found[:5], (found[5][0], b"other"), *found[6:]]

    server = serve(gateway(car(order(), wrong)))
    with closing(GatewaySource(server.url)) as source:
        made = order().give_to(source)
    assert len(made.lied) == 1
    assert len(made.got) == 5


def broken(tail: bytes) -> bytes:
    return car(order())[:2000] + tail


@pytest.mark.parametrize(
    "body",
    [
        b"", b"\x00", b"<html>no CAR</html>", varint(1 << 40), b"\xff" * 20,
        varint((1 << 20) + 1) + bytes(100), car_header([]) + varint(1 << 62),
        car_header([]) + varint((2 << 20) + 1000) + bytes(3 << 20), car_header([]) + b"\x00",
        car_header([]) + varint(40) + bytes(40), broken(b""), broken(b"\xff" * 30),
    ],
)  # fmt: skip
def test_threat_29_what_is_no_car_is_a_failure_and_its_blocks_are_asked_for_next(
    serve: Serve, body: bytes
) -> None:
    server = serve(gateway(body))
    with closing(GatewaySource(server.url)) as source:
        made = order()
        with pytest.raises(SourceError):
            made.give_to(source)
        assert made.lied == []
        assert made.give_to(source).whole


def test_threat_29_a_car_that_never_ends_is_given_up(serve: Serve) -> None:
    def script(line: Line) -> None:
        line.hear()
        line.say(answer(car_header([]), length=None))
        line.say_on(
            car_section(b"\x01\x55\x12\x20" + bytes(32), 1 << 20) + bytes(1 << 20), 64 << 20
        )

    server = serve(script)
    with (
        closing(GatewaySource(server.url)) as source,
        pytest.raises(SourceError, match="more than the folder has"),
    ):
        order().give_to(source)
    server.ended()
    assert server.lines[0].sent < 16 << 20


@pytest.mark.parametrize("chunked", [False, True])
def test_threat_30_a_car_that_breaks_off_keeps_what_came(serve: Serve, chunked: bool) -> None:
    whole = car(order())

    def script(line: Line) -> None:
        line.hear()
        half = whole[: len(whole) // 2]
        if chunked:
            head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            line.say(head + f"{len(half):x}\r\n".encode() + half + b"\r\n")
        else:
            line.say(answer(half, length=len(whole)))

    server = serve(script)
    made = order()
    with closing(GatewaySource(server.url)) as source, pytest.raises(SourceError):
        made.give_to(source)
    assert 0 < len(made.got) < len(FILES)
    assert made.lied == []
