"""What requests ask for: any text is understood or refused, and the URL comes before the header."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from integrity.core.anycid import parse_any_cid
from integrity.core.dag import Scope, Span
from integrity.serve.asking import CAR, RAW, Asked, Refused, parse, parse_root

settings.register_profile("asking", deadline=None)
settings.load_profile("asking")

CID = "bafkreifkam6ns4aoolg3wedr4uzrs3kvq66p4pecirz6y2vlrngla62mxm"
CIDS = [CID, "QmYhmPjhFjYFyaoiuNzYv8WGavpSRDwdHWe5B4M5du5Rtk", "bafkqaaa", CID.upper(), CID[:-1]]


def asked(query: Mapping[str, str], accept: str | None = None, path: str = "") -> Asked:
    return parse(f"/ipfs/{CID}{path}", query, accept)


def status(query: Mapping[str, str], accept: str | None = None, path: str = "") -> int:
    """What the request is refused with."""
    with pytest.raises(Refused) as caught:
        asked(query, accept, path)
    assert caught.value.message
    return caught.value.status


# --- any text at all ---------------------------------------------------------------------------

# Surrogates are what bytes that are no UTF-8 become on their way through an HTTP parser.
_ANY = st.text(st.characters(exclude_categories=()), max_size=30)
_PIECE = st.sampled_from([
    *CIDS, "/", "//", "..", ".", "%2F", "%", "%zz", "%ff", "%00", "%25", "a", "é", "\udcff", "?", "#",
])  # fmt: skip
_PATH = st.builds(str.__add__, st.sampled_from(["", "/ipfs/"]), _ANY) | st.builds(
    lambda first, rest: f"/ipfs/{first}{''.join(rest)}", st.sampled_from(CIDS), st.lists(_PIECE)
)
_NAMES = [
    "format", "filename", "dag-scope", "entity-bytes", "car-version", "car-order", "car-dups", "x",
]  # fmt: skip
_VALUES = [
    "raw", "car", "ipns-record", "tar", "", "1", "2", "dfs", "unk", "y", "n", "block", "entity", "all",
    "0:*", "-1:-9", "5:", "9" * 5000, "9" * 5000 + ":*",
]  # fmt: skip
_QUERY = st.dictionaries(st.sampled_from(_NAMES), st.sampled_from(_VALUES) | _ANY)
_TOKENS = [
    RAW, CAR, "*/*", "text/html", ",", ";", "=", " ", '"', "q=0", "q=1.000", "q=.5", "q=nan", "q=1e999",
    "dups=y", "version=1", "order=dfs", "q", "\u0664",
]  # fmt: skip
_ACCEPT = st.none() | _ANY | st.lists(st.sampled_from(_TOKENS), max_size=12).map("".join)


@given(_PATH, _QUERY, _ACCEPT)
@example("/ipfs/\udcff", {}, RAW)
@example(f"/ipfs/{CID}/\udcff", {"format": "car"}, None)
@settings(max_examples=600)
def test_threat_21_whatever_is_asked_is_understood_or_refused(
    path: str, query: dict[str, str], accept: str | None
) -> None:
    found = _result(path, query, accept)
    if isinstance(found, Refused):
        assert found.status in {400, 406}
        assert found.message
        return
    assert found.media in {RAW, CAR}
    assert found.media == CAR or found.names == ()
    assert len(found.names) <= 256
    assert "" not in found.names
    assert found.span is None or found.scope is not Scope.ALL
    assert found.cid == parse_root(path)


def _result(path: str, query: dict[str, str], accept: str | None) -> Asked | Refused:
    try:
        return parse(path, query, accept)
    except Refused as refused:
        return refused


@given(_PATH)
def test_threat_21_a_root_is_a_cid_or_refused(path: str) -> None:
    with contextlib.suppress(Refused):
        cid = parse_root(path)
        assert parse_any_cid(str(cid)) == cid


# --- formats -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "accept", "media"),
    [
        ("raw", None, RAW), ("car", None, CAR), ("raw", CAR, RAW), ("car", RAW, CAR),
        ("raw", f"{RAW};q=0", RAW), ("car", "text/html", CAR), ("raw", "*/*", RAW), ("car", "", CAR),
    ],
)  # fmt: skip
def test_the_urls_format_comes_before_accept(named: str, accept: str | None, media: str) -> None:
    assert asked({"format": named}, accept).media == media


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (RAW, RAW), (CAR, CAR), (RAW.upper(), RAW), (f" {CAR} ;dups=y", CAR),
        (f"{RAW}, {CAR}", RAW), (f"{CAR}, {RAW}", CAR), (f"{CAR};q=0.5, {RAW}", RAW),
        (f"{CAR};q=0.5,{RAW};q=0.501", RAW), (f"{CAR};q=0, {RAW};q=0.001", RAW),
        (f"{RAW};q=0.9, {CAR};q=1.0", CAR), (f"text/html, */*;q=0.8, {RAW};q=0.1", RAW),
        (f"{CAR};q=high, {RAW};q=0.1", RAW), (f"{CAR};q=-1, {RAW};q=0.1", RAW),
        (f"{CAR};q=0.3;dups=y,{CAR};q=0.4,{RAW};q=0.2", CAR), (f"{CAR};Q=0, {RAW}", RAW),
    ],
)  # fmt: skip
def test_of_what_is_accepted_the_best_is_given(accept: str, media: str) -> None:
    assert asked({}, accept).media == media


@pytest.mark.parametrize(
    "accept",
    [
        "*/*", "application/*", "text/html", "application/vnd.ipfs.ipns-record", f"{RAW};q=0", ",",
        f"{CAR};q=0.000, {RAW};q=x", "application/vnd.ipld.dag-json", f"{RAW}x", "raw", "car",
    ],
)  # fmt: skip
def test_a_type_that_is_not_given_out_is_406(accept: str) -> None:
    assert status({}, accept) == 406


@pytest.mark.parametrize("named", ["tar", "dag-json", "dag-cbor", "json", "cbor", "", "RAW", RAW])
def test_a_format_that_is_not_given_out_is_406_whatever_is_accepted(named: str) -> None:
    assert status({"format": named}, RAW) == 406


def test_nothing_said_is_400_and_so_is_a_name_record_of_a_block() -> None:
    assert status({}, None) == 400
    assert status({}, "") == 400
    assert status({"format": "ipns-record"}, RAW) == 400


# --- parameters of CARs ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "accept", "dups"),
    [
        ({}, CAR, False), ({}, f"{CAR}; dups=y", True), ({}, f'{CAR};order=dfs; DUPS="y"', True),
        ({}, f"{CAR};dups=n", False), ({"car-dups": "y"}, f"{CAR};dups=n", True),
        ({"car-dups": "n"}, f"{CAR};dups=y", False), ({"format": "car"}, f"{CAR};dups=y", True),
        ({"format": "car"}, f"{RAW};dups=y", False), ({"format": "car", "car-dups": "y"}, None, True),
        ({"car-version": "1", "car-order": "unk", "car-dups": "y"},
         f"{CAR};version=2;order=x;dups=maybe", True),
        ({}, f"{CAR};version=1;order=unk;dups=y", True),
    ],
)  # fmt: skip
def test_car_parameters_in_the_url_come_before_those_in_accept(
    query: dict[str, str], accept: str | None, dups: bool
) -> None:
    found = asked(query, accept)
    assert (found.media, found.dups) == (CAR, dups)


@pytest.mark.parametrize(
    ("query", "accept"),
    [
        ({"car-version": "2"}, CAR), ({"car-order": "bfs"}, CAR), ({"car-dups": "maybe"}, CAR),
        ({"car-dups": ""}, f"{CAR};dups=y"), ({}, f"{CAR};version=2"), ({}, f"{CAR};order=bfs"),
        ({}, f"{CAR};dups=yes"), ({"dag-scope": ""}, CAR), ({"dag-scope": "ALL"}, CAR),
        ({"dag-scope": "file"}, CAR),
    ],
)  # fmt: skip
def test_car_parameters_that_are_not_known_are_400(query: dict[str, str], accept: str) -> None:
    assert status(query, accept) == 400


def test_parameters_of_cars_say_nothing_about_raw_blocks() -> None:
    query = {"format": "raw", "dag-scope": "x", "entity-bytes": "x", "car-dups": "x"}
    assert asked(query) == Asked(parse_any_cid(CID), (), RAW)


@pytest.mark.parametrize(
    ("said", "span", "scope"),
    [
        (None, None, Scope.ALL), (None, "0:1", Scope.ENTITY), ("block", None, Scope.BLOCK),
        ("block", "0:1", Scope.BLOCK), ("entity", None, Scope.ENTITY),
        ("entity", "0:1", Scope.ENTITY), ("all", None, Scope.ALL), ("all", "0:1", Scope.ENTITY),
    ],
)  # fmt: skip
def test_entity_bytes_implies_the_scope_entity(
    said: str | None, span: str | None, scope: Scope
) -> None:
    query = {"format": "car", "dag-scope": said, "entity-bytes": span}
    found = asked({name: value for name, value in query.items() if value is not None})
    assert found.scope is scope
    assert found.span == (None if span is None else Span(0, 1))


# --- entity-bytes ------------------------------------------------------------------------------


@given(st.integers(-(10**18) + 1, 10**18 - 1), st.none() | st.integers(-(10**18) + 1, 10**18 - 1))
@example(0, 0)
@example(-1, -1)
@example(-1, 0)
@example(5, -5)
def test_entity_bytes_are_two_numbers_or_one_and_a_star(first: int, last: int | None) -> None:
    text = f"{first}:{'*' if last is None else last}"
    if last is not None and last < first and (first < 0) == (last < 0):
        assert status({"format": "car", "entity-bytes": text}) == 400
    else:
        assert asked({"format": "car", "entity-bytes": text}).span == Span(first, last)


@pytest.mark.parametrize(
    "text",
    [
        "", ":", "1:", ":1", "*:1", "*:*", "*", "1", "1:2:3", "+1:2", "1:+2", " 1:2", "1:2 ", "1 :2",
        "a:b", "0x1:2", "1.0:2", "1e3:*", "--1:2", "-:2", "1:-", "1:**", "1:-*", "1-2", "bytes=1-2",
        "\u0661:\u0662", "1:\u0662", "1:2\n", "1_0:20", f"0:{2**63}", f"-{2**63 + 1}:*",
        "0:" + "9" * 6000,
    ],
)  # fmt: skip
def test_threat_46_entity_bytes_of_any_other_form_are_400(text: str) -> None:
    assert status({"format": "car", "entity-bytes": text}) == 400


# --- paths -------------------------------------------------------------------------------------


@given(st.lists(st.text(min_size=1).filter(lambda name: name not in {".", ".."}), max_size=8))
@example(["Portugal%2C+España=Peninsula Ibérica.txt"])
@example(["a/b", "%2F", "%252F", "+", " ", "\0", "\r\nX: y", "?format=raw", "#"])
def test_names_are_decoded_once(names: list[str]) -> None:
    path = "".join("/" + quote(name, safe="") for name in names)
    for end in ("", "/"):
        assert asked({"format": "car"}, path=path + end).names == tuple(names)


@pytest.mark.parametrize(
    "name", ["%ff", "%c3%28", "a%80", "%ed%b2%80", "%f8%88%80%80%80", "\udcff"]
)
def test_threat_21_a_name_that_is_not_utf8_is_400(name: str) -> None:
    assert status({"format": "car"}, path=f"/{name}") == 400
    assert status({"format": "car"}, path=f"/a/{name}/b") == 400


@pytest.mark.parametrize("path", ["/%ff", "/\udcff", "", "/", "//x", "/%2e%2e", f"/{CID}%2Fa"])
def test_threat_21_a_root_that_is_none_is_400(path: str) -> None:
    with pytest.raises(Refused) as caught:
        parse_root(f"/ipfs{path}")
    assert caught.value.status == 400


def test_a_path_has_256_names_at_most() -> None:
    assert len(asked({"format": "car"}, path="/a" * 256).names) == 256
    assert len(asked({"format": "car"}, path="/a//" * 256).names) == 256
    assert status({"format": "car"}, path="/a" * 257) == 400


def test_a_raw_block_has_no_path_below_it() -> None:
    assert status({"format": "raw"}, path="/a") == 400


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/./a", ("a",)), ("/a/.", ("a",)), ("/a/./b/", ("a", "b")), ("/a/../b", ("b",)),
        ("/a/b/../../c", ("c",)), ("/a/%2e%2E/b", ("b",)), ("/a/..", ()), ("/...", ("...",)),
        ("/a/%252e%252e", ("a", "%2e%2e")),
    ],
)  # fmt: skip
def test_dots_in_a_path_are_resolved_before_it_is_followed(
    path: str, names: tuple[str, ...]
) -> None:
    """specs.ipfs.tech/unixfs, "Relative Path Components": a MUST."""
    assert asked({"format": "car"}, path=path).names == names


@pytest.mark.parametrize("path", ["/..", "/../a", "/a/../..", "/%2e%2e/a", "/./..", "/a/../../b"])
def test_threat_47_a_path_that_leads_above_its_root_is_400(path: str) -> None:
    assert status({"format": "car"}, path=path) == 400


@pytest.mark.parametrize("name", ["a.bin", "", "../x", 'a"b', "é", "\r\n", "\udcff"])
def test_a_file_name_is_taken_as_it_is(name: str) -> None:
    for format_ in ("raw", "car"):
        assert asked({"format": format_, "filename": name}).filename == name
