"""Releases kept by pinning services, each with a real Kubo node, and whatever such a service says."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
import urllib3

from integrity import publish
from integrity.client.session import Session
from integrity.config import set_config
from integrity.core.anycid import AnyCid, cid_of, parse_any_cid
from integrity.core.cid import RAW
from integrity.devchain.chain import DevelopmentChain
from integrity.errors import IntegrityError, IpfsRefused, IpfsUnavailable
from integrity.ipfs import pinning
from integrity.ipfs.kubo import Kubo as Daemon
from integrity.ipfs.pinning import PinningService as Client
from integrity.publishing.keeping import DaemonKeeper, Keeper, ServiceKeeper
from integrity.publishing.publish import Published
from integrity.testing.people import equip
from integrity.testing.serving import ServedHome
from tests.adversary.conftest import serve
from tests.adversary.servers import Line, RawServer, Script, always
from tests.adversary.test_deadlines import ENDLESS
from tests.cli.running import User

from .kubos import Kubo
from .pinning_service import Answer, Mutate, PinningService, Request, failure, said
from .releases import content_of, fill, is_recorded

__all__ = ["serve"]

TOKEN = "Open.Sesame-0_~+/=="
PACKAGE = "kept"
LIST, ADD, LOOK = "GET /pins", "POST /pins", "GET /pins/{requestid}"
REPLACE, REMOVE = "POST /pins/{requestid}", "DELETE /pins/{requestid}"

MakeService = Callable[..., PinningService]
MakeKubo = Callable[..., Kubo]
Serve = Callable[[Script], RawServer]


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pinning, "_FIRST_PAUSE", 0.02)
    monkeypatch.setattr(pinning, "_LONGEST_PAUSE", 0.02)


@pytest.fixture
def service_at() -> Iterator[MakeService]:
    """Makes services over nodes: ``service_at(node)``."""
    with ExitStack() as stack:
        yield lambda node, **more: stack.enter_context(
            PinningService(node.api, {TOKEN: "alice"}, **more)
        )


@pytest.fixture
def service(service_at: MakeService, other_kubo: Kubo) -> PinningService:
    return service_at(other_kubo)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A release that no other test has, so that no node has it either."""
    made = tmp_path / "kept"
    made.mkdir()
    (made / "README").write_text(f"made for {tmp_path}\n")
    (made / "program").write_bytes(bytes(range(251)) * 5000)
    return made


@pytest.fixture
def user(tmp_path: Path, integrity_chain: DevelopmentChain) -> User:
    """A publisher at the command line."""
    user = User(tmp_path)
    equip(user.own_home, integrity_chain.rpc)
    return user


def client_of(service: PinningService, token: str = TOKEN) -> Client:
    return Client("nick", service.url, token)


def keep(
    session: Session, folder: Path, *services: PinningService, api: str | None = None
) -> Published:
    """Publish it and have it pinned, with a daemon that has it or without."""
    with ExitStack() as stack:
        daemon = stack.enter_context(Daemon(api)) if api else None
        keepers: list[Keeper] = [DaemonKeeper(daemon)] if daemon else []
        keepers += [ServiceKeeper(client_of(service), daemon) for service in services]
        return publish(session, folder, PACKAGE, "1", keepers=keepers, wait=False)


def configure(user: User, **services: PinningService) -> None:
    settings = {name: {"url": one.url, "token": TOKEN} for name, one in services.items()}
    set_config(user.own_home, {"pinning": settings})


def command(folder: Path, *more: str) -> tuple[str | Path, ...]:
    return ("publish", folder, "--package", PACKAGE, "--version", "1", "--json", *more)


def roots(content: str, folder: Path) -> list[str]:
    """The CIDs of a published release: its folder's, and its manifest's."""
    manifest = folder.with_name(f"{folder.name}.integrity").read_bytes()
    return [content, str(cid_of(RAW, manifest))]


def pins_of(node: Kubo) -> set[str]:
    return set(node.run("pin", "ls", "--type=recursive", "--quiet").decode().split())


def assert_whole(node: Kubo, content: str, folder: Path, place: Path) -> None:
    """Its repository alone has all of the release, and would not let go of it."""
    assert not node.running
    cids = roots(content, folder)
    assert set(cids) <= pins_of(node)
    node.run("--offline", "repo", "gc", "--quiet")
    node.run("--offline", "refs", "-r", "--unique", *cids)
    node.run("--offline", "get", "-o", place, content)
    assert content_of(place) == content_of(folder)
    manifest = folder.with_name(f"{folder.name}.integrity").read_bytes()
    assert node.run("--offline", "cat", cids[1]) == manifest


def until(holds: Callable[[], object]) -> None:
    """Returns once it holds."""
    for _ in repeat(None, 3000):
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError("it never came to hold")


# --- what works ----------------------------------------------------------------------------------


def test_two_services_have_every_block_of_a_release_and_keep_it(
    user: User, kubo: Kubo, new_kubo: MakeKubo, service_at: MakeService, tmp_path: Path
) -> None:
    folder = fill(tmp_path / "kept", many=20)
    nodes = [new_kubo(), new_kubo()]
    for node in nodes:
        node.start()
        node.run("block", "put", "--cid-codec=raw", input=b"")  # Bitswap never hands it over
    one, two = (service_at(node) for node in nodes)
    configure(user, one=one, two=two)
    services = ("--pin", "one", "--pin", "two")
    report = user.ok(*command(folder, "--ipfs", "--ipfs-api", kubo.api, *services)).json()
    assert report["kept"] == [f"ipfs {kubo.api}", "pinning one", "pinning two"]
    assert report["final"]
    assert report["manifest"] == parse_any_cid(roots(report["content"], folder)[1]).key.hex()
    for number, node in enumerate(nodes):
        node.stop()
        assert_whole(node, report["content"], folder, tmp_path / f"got-{number}")


def test_a_service_fetches_from_what_integrity_serves_when_there_is_no_daemon(
    user: User, new_kubo: MakeKubo, service_at: MakeService, tmp_path: Path
) -> None:
    folder = fill(tmp_path / "kept", many=200)
    with ServedHome(user.own_home) as served:
        node = new_kubo(
            {
                "Routing.Type": "delegated",
                "Routing.DelegatedRouters": [served.url],
                "Provide.Enabled": False,
                "Internal.Bitswap": {"ProviderSearchDelay": "10ms"},
            }
        )
        node.start()
        configure(user, nick=service_at(node))
        report = user.ok(*command(folder, "--pin", "nick")).json()
    assert report["kept"] == ["pinning nick"]
    node.stop()
    assert_whole(node, report["content"], folder, tmp_path / "got")


def test_what_is_asked_of_a_service_is_what_the_specification_says(
    user: User, kubo: Kubo, service: PinningService, folder: Path
) -> None:
    (user.place / "token").write_text(f"{TOKEN}\n")
    settings = {"url": f"{service.url}/", "token_file": str(user.place / "token")}
    set_config(user.own_home, {"pinning": {"nick": settings}})
    report = user.ok(*command(folder, "--ipfs-api", kubo.api, "--pin", "nick")).json()
    origins = json.loads(kubo.run("id"))["Addresses"]
    assert [json.loads(request.body) for request in service.calls(ADD)] == [
        {"cid": cid, "name": f"{PACKAGE}@1", "origins": origins}
        for cid in roots(report["content"], folder)
    ]
    assert {r.headers["Content-Type"] for r in service.calls(ADD)} == {"application/json"}
    assert {r.headers["Authorization"] for r in service.requests} == {f"Bearer {TOKEN}"}
    assert {r.call for r in service.requests} == {LIST, ADD, LOOK}
    assert not any(TOKEN in r.path + str(r.query) for r in service.requests)


def test_a_pin_that_is_there_is_not_asked_for_again(
    integrity_publisher: Session, kubo: Kubo, service: PinningService, folder: Path
) -> None:
    first = keep(integrity_publisher, folder, service, api=kubo.api)
    assert len(service.calls(ADD)) == 2, "the folder and the manifest"
    again = keep(integrity_publisher, folder, service)
    assert (first.already, again.already) == (False, True)
    assert again.kept == ("pinning nick",)
    assert len(service.calls(ADD)) == 2


def test_a_published_release_goes_to_a_service_later(
    integrity_publisher: Session, kubo: Kubo, service: PinningService, other_kubo: Kubo,
    folder: Path,
) -> None:  # fmt: skip
    done = publish(integrity_publisher, folder, PACKAGE, "1", wait=False)
    assert not set(roots(done.content, folder)) & pins_of(other_kubo)
    again = keep(integrity_publisher, folder, service, api=kubo.api)
    assert (again.already, again.gas_used) == (True, None)
    assert set(roots(done.content, folder)) <= pins_of(other_kubo)


def test_a_daemon_connects_to_the_delegates_of_a_service(
    kubo: Kubo, new_kubo: MakeKubo, service_at: MakeService
) -> None:
    node = new_kubo()
    node.start()
    delegates = service_at(node).delegates
    with Daemon(kubo.api) as daemon:
        daemon.connect(delegates)
    assert delegates[0] in kubo.run("swarm", "peers").decode().splitlines()


def test_an_interrupted_publish_goes_on_with_the_pin_it_asked_for(
    user: User, kubo: Kubo, new_kubo: MakeKubo, service_at: MakeService, folder: Path
) -> None:
    """The service cannot find the release at first, and was told of nobody who has it."""
    node = new_kubo()
    node.start()
    service = service_at(node)
    configure(user, nick=service)
    process = user.start(*command(folder, "--pin", "nick"))
    until(lambda: service.calls(LOOK))
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, json.loads(out)["error"]["name"]) == (130, "Interrupted")
    assert not is_recorded(Session(user.own_home), "1", PACKAGE)
    report = user.ok(*command(folder, "--ipfs-api", kubo.api, "--pin", "nick")).json()
    asked = [json.loads(request.body) for request in service.calls(ADD)]
    assert [pin["cid"] for pin in asked] == roots(report["content"], folder)
    assert asked[0]["origins"] == [], "so the daemon went to the service's node"
    assert set(roots(report["content"], folder)) <= pins_of(node)


def test_a_dry_run_looks_whether_the_service_answers_and_pins_nothing(
    integrity_publisher: Session, service: PinningService, folder: Path
) -> None:
    keepers = [ServiceKeeper(client_of(service))]
    done = publish(integrity_publisher, folder, PACKAGE, "1", keepers=keepers, dry_run=True)
    assert done.kept == ()
    assert [request.call for request in service.requests] == [LIST]
    service.tokens.clear()
    with pytest.raises(IpfsRefused, match="answered 401: UNAUTHORIZED") as told:
        publish(integrity_publisher, folder, PACKAGE, "1", keepers=keepers, dry_run=True)
    assert_unharmed(told.value)
    assert "config.toml" in told.value.next


@pytest.mark.parametrize("base", ["f", "z", "u", "Q"])
def test_a_service_may_spell_a_cid_in_its_own_way(
    integrity_publisher: Session, kubo: Kubo, service: PinningService, folder: Path, base: str
) -> None:
    def spelt(text: str) -> str:
        cid = parse_any_cid(text)
        if base == "Q":
            return str(AnyCid(0, 0x70, cid.multihash)) if cid.codec == 0x70 else text
        return kubo.run("cid", "format", "-b", BASES[base], text).decode().strip()

    def respell(value: dict[str, Any]) -> None:
        value["pin"]["cid"] = spelt(value["pin"]["cid"])

    service.mutate = changing(respell)
    done = keep(integrity_publisher, folder, service, api=kubo.api)
    assert done.kept == (f"ipfs {kubo.api}", "pinning nick")


BASES = {"f": "base16", "z": "base58btc", "u": "base64url"}


def test_delegates_that_are_none_do_no_harm(
    integrity_publisher: Session, kubo: Kubo, service: PinningService, folder: Path
) -> None:
    odd = ["", "nonsense", "\ud800", "--help", "/ip4/127.0.0.1/tcp/1/p2p/nobody", 5, None, ["/"]]
    service.mutate = changing(lambda value: value.update(delegates=odd))
    done = keep(integrity_publisher, folder, service, api=kubo.api)
    assert done.kept == (f"ipfs {kubo.api}", "pinning nick")


# --- what a service may say ----------------------------------------------------------------------


def assert_unharmed(error: IntegrityError) -> None:
    """It could not be checked; it says of which service, and what to do; it gives nothing away."""
    assert (error.family, error.exit_code) == ("could not check", 3)
    assert "pinning service nick" in error.message
    assert error.next
    told = [str(error), error.next, *error.causes, *error.__notes__, repr(error.evidence)]
    told += [repr(one) for one in (error, error.__cause__)]
    assert TOKEN not in "\n".join(told)


def on(call: str, change: Callable[[Answer], Answer]) -> Mutate:
    """Changes what is answered to one call."""
    return lambda request, answer: change(answer) if request.call == call else answer


def instead(answer: Answer) -> Callable[[Answer], Answer]:
    return lambda _: answer


def changing(change: Callable[[dict[str, Any]], object]) -> Mutate:
    """Changes each pin's status that is told."""

    def mutate(_: Request, answer: Answer) -> Answer:
        if answer.status not in {200, 202} or not answer.body:
            return answer
        value = answer.value
        for status in value.get("results", [value]):
            change(status)
        return said(value, answer.status)

    return mutate


def endless(part: bytes) -> Answer:
    return Answer(200, repeat(part))


def of_redirect(status: int) -> Answer:
    # Nobody listens there.
    return Answer(status, b"", {"Location": "http://127.0.0.1:9/pins"})


NONSENSE = {
    "no JSON": Answer(200, b"<html>back soon</html>"),
    "half of it": Answer(200, b'{"requestid": "1", "status": "pin'),
    "no UTF-8": Answer(200, b'{"requestid": "\xff"}'),
    "nothing": Answer(200, b""),
    "null": said(None),
    "a list": said([]),
    "a text": said("pinned"),
    "an empty object": said({}),
    "no results": said({"count": 1, "results": None}),
    "nonsense for results": said({"count": 1, "results": [None]}),
    "a huge number": Answer(200, b'{"count": ' + b"9" * 10_000 + b', "results": []}'),
    "deep arrays": Answer(200, b"[" * 500_000),
    "deep objects": Answer(200, b'{"results":' * 50_000),
    "deep below": Answer(200, b'{"results": [' + b"[" * 100 + b"]" * 100 + b"]}"),
    "a huge answer": said({"results": [], "status": "pinned", "x": "x" * (1 << 20)}),
    "an answer without end": endless(b"[0," * 20_000),
    "space without end": endless(b" " * 65_536),
    "gzip": Answer(200, b"\x1f\x8b\x08", {"Content-Encoding": "gzip"}),
}
REFUSALS = {
    **{f"a redirect, {status}": of_redirect(status) for status in (301, 302, 303, 307, 308)},
    "no content": Answer(204),
    "400": failure(400, "BAD_REQUEST", "no such thing"),
    "401": failure(401, "UNAUTHORIZED"),
    "403": Answer(403, b"go away"),
    "404": failure(404, "NOT_FOUND"),
    "409": failure(409, "INSUFFICIENT_FUNDS", "please pay"),
    "418": failure(418, "TEAPOT"),
    "a reason that is none": said({"error": {"reason": [], "details": {"a": 1}}}, 400),
    "an error that is none": said({"error": "it did not work"}, 400),
}
BAD_DAYS = {
    "429": failure(429, "TOO_MANY_REQUESTS", "slow down"),
    "500": failure(500, "INTERNAL_SERVER_ERROR"),
    "502": Answer(502, b"<html>Bad Gateway</html>"),
    "503": Answer(503, b"", {"Retry-After": "3600"}),
    "500 without end": Answer(500, repeat(b"x" * 65_536)),
}
BAD = NONSENSE | REFUSALS | BAD_DAYS


@pytest.mark.parametrize("call", [LIST, ADD, LOOK])
@pytest.mark.parametrize("what", BAD)
def test_a_bad_answer_to_any_call_is_told(
    service: PinningService, folder: Path, call: str, what: str
) -> None:
    service.mutate = on(call, instead(BAD[what]))
    cid = cid_of(RAW, folder.as_posix().encode())
    with pytest.raises(IpfsRefused if what in REFUSALS else IpfsUnavailable) as told:
        client_of(service).pin(cid, f"{PACKAGE}@1")
    assert_unharmed(told.value)
    assert service.requests[-1].call == call, "nothing is asked after that"


@pytest.mark.parametrize("what", BAD)
def test_nothing_is_recorded_of_what_a_service_does_not_take(
    integrity_publisher: Session, service: PinningService, folder: Path, what: str
) -> None:
    service.mutate = on(ADD, instead(BAD[what]))
    with pytest.raises(IntegrityError) as told:
        keep(integrity_publisher, folder, service)
    assert_unharmed(told.value)
    assert not is_recorded(integrity_publisher, "1", PACKAGE)


@pytest.mark.parametrize("what", [name for name in BAD if name != "nonsense for results"])
def test_a_service_is_looked_at_before_anything_is_hashed(
    integrity_publisher: Session, service: PinningService, folder: Path, what: str
) -> None:
    service.mutate = on(LIST, instead(BAD[what]))
    with pytest.raises(IntegrityError) as told:
        keep(integrity_publisher, folder / "not there", service)
    assert_unharmed(told.value)
    assert [request.call for request in service.requests] == [LIST]


def field(**changes: object) -> Callable[[dict[str, Any]], None]:
    return lambda value: value.update(changes)


def without(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda value: value.pop(name, None) and None


# The folder of nothing at all, which is no part of any release.
OTHER = "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"
BROKEN = {
    "no request": without("requestid"),
    "an empty request": field(requestid=""),
    "a number for a request": field(requestid=7),
    "half a sign for a request": field(requestid="\ud800"),
    "no status": without("status"),
    "an unknown status": field(status="PINNED"),
    "a list for a status": field(status=["pinned"]),
    "no pin": without("pin"),
    "no pin of the right kind": field(pin=[]),
    "no cid": field(pin={}, status="pinned"),
    "another cid": field(pin={"cid": OTHER}, status="pinned"),
    "a cid that is none": field(pin={"cid": "pinned"}, status="pinned"),
    "a number for a cid": field(pin={"cid": 1}, status="pinned"),
}


@pytest.mark.parametrize("call", [LIST, ADD, LOOK])
@pytest.mark.parametrize("what", BROKEN)
def test_a_status_that_is_not_of_what_was_asked_is_told(
    integrity_publisher: Session, service: PinningService, folder: Path, call: str, what: str
) -> None:
    done = publish(integrity_publisher, folder, PACKAGE, "1", dry_run=True)
    content = parse_any_cid(done.content)
    if call == LIST:  # it is there, or on its way
        assert client_request(service, "POST", "/pins", {"cid": done.content}).status == 202

    def mutate(request: Request, answer: Answer) -> Answer:
        changed = changing(BROKEN[what])(request, answer)
        return changed if request.call == call else answer

    service.mutate = mutate
    with pytest.raises(IpfsUnavailable) as told:
        client_of(service).pin(content, f"{PACKAGE}@1", seconds=5)
    assert_unharmed(told.value)


def test_nothing_is_recorded_when_a_service_has_pinned_something_else(
    integrity_publisher: Session, kubo: Kubo, service: PinningService, folder: Path
) -> None:
    """As one does that pays no heed to filters, and answers with whatever it has."""
    empty = kubo.run("add", "-Q", "--cid-version=1", input=b"something else").decode().strip()
    asked = {"cid": empty, "origins": json.loads(kubo.run("id"))["Addresses"]}
    assert client_request(service, "POST", "/pins", asked).status == 202
    until(lambda: client_request(service, "GET", "/pins").json()["count"])
    everything = client_request(service, "GET", "/pins").json()
    service.mutate = on(LIST, instead(said(everything)))
    with pytest.raises(IpfsUnavailable) as told:
        keep(integrity_publisher, folder, service)
    assert_unharmed(told.value)
    assert not is_recorded(integrity_publisher, "1", PACKAGE)


def client_request(
    service: PinningService, method: str, path: str, body: object = None, token: str = TOKEN
) -> urllib3.BaseHTTPResponse:
    """What anybody might send."""
    headers = {"Authorization": f"Bearer {token}"}
    return urllib3.request(method, service.url + path, json=body, headers=headers, retries=False)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("call", [LIST, ADD, LOOK])
def test_a_token_does_not_follow_a_redirect(
    service: PinningService, serve: Serve, folder: Path, status: int, call: str
) -> None:
    elsewhere = serve(always(b""))
    moved = Answer(status, b"", {"Location": f"{elsewhere.url}/pins"})
    service.mutate = on(call, instead(moved))
    with pytest.raises(IpfsRefused) as told:
        client_of(service).pin(cid_of(RAW, b"release"), f"{PACKAGE}@1")
    assert_unharmed(told.value)
    assert elsewhere.lines == []


def test_a_pin_that_fails_is_told_with_its_reason_and_is_tried_anew_next_time(
    integrity_publisher: Session, kubo: Kubo, service: PinningService, folder: Path
) -> None:
    """A node that knows of nobody who has it gives up for real."""
    service.patience = 0.2
    with pytest.raises(IpfsRefused, match="it was not found in time") as told:
        keep(integrity_publisher, folder, service)
    assert_unharmed(told.value)
    assert not is_recorded(integrity_publisher, "1", PACKAGE)
    assert len(service.calls(REMOVE)) == 1
    assert client_request(service, "GET", "/pins?status=failed").json()["count"] == 0
    service.patience = 60
    done = keep(integrity_publisher, folder, service, api=kubo.api)
    assert done.kept == (f"ipfs {kubo.api}", "pinning nick")


@pytest.mark.parametrize("call", [ADD, LOOK])
@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({"info": {"status_details": "the DAG is too big"}}, "the DAG is too big"),
        ({"info": {"status_details": "x" * 100_000}}, "xxxx"),
        ({"info": {"status_details": ["a", "b"]}}, "could not pin"),
        ({"info": {}}, "no reason given"),
        ({"info": ["why"]}, "no reason given"),
        ({}, "no reason given"),
    ],
)
def test_a_failed_pin_is_told_whatever_the_details_are(
    service: PinningService, folder: Path, call: str, info: dict[str, object], words: str
) -> None:
    failed = field(status="failed", **info)
    service.mutate = on(call, lambda answer: changing(failed)(service.requests[-1], answer))
    with pytest.raises(IpfsRefused, match=words) as told:
        client_of(service).pin(cid_of(RAW, folder.as_posix().encode()), f"{PACKAGE}@1")
    assert_unharmed(told.value)
    assert len(told.value.message) < 1000


@pytest.mark.parametrize("what", ["no content", "403", "500", "no JSON"])
def test_why_a_pin_failed_is_told_even_if_it_cannot_be_removed(
    service: PinningService, folder: Path, what: str
) -> None:
    service.patience = 0.05

    def mutate(request: Request, answer: Answer) -> Answer:
        return BAD[what] if request.call == REMOVE else answer

    service.mutate = mutate
    with pytest.raises(IpfsRefused, match="it was not found in time") as told:
        client_of(service).pin(cid_of(RAW, folder.as_posix().encode()), f"{PACKAGE}@1")
    assert_unharmed(told.value)


def test_a_pin_that_stays_queued_for_ever_is_given_up_and_found_again(
    integrity_publisher: Session, service: PinningService, folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(Client.pin, "__kwdefaults__", {"seconds": 0.1, "connect": None})
    service.mutate = changing(field(status="queued"))
    for _ in range(2):
        with pytest.raises(IpfsUnavailable, match=r"queued after 0\.1 seconds") as told:
            keep(integrity_publisher, folder, service)
        assert_unharmed(told.value)
        assert "run the same command again" in told.value.next
    assert len(service.calls(ADD)) == 1
    assert not is_recorded(integrity_publisher, "1", PACKAGE)


@pytest.mark.parametrize("call", [LIST, ADD, LOOK])
def test_an_answer_that_comes_drop_by_drop_is_given_up(
    service: PinningService, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.setattr(pinning, "ANSWER_SECONDS", 0.3)
    service.mutate = on(call, instead(Answer(200, repeat(b" "), pause=0.05)))
    with pytest.raises(IpfsUnavailable, match="does not answer") as told:
        client_of(service).pin(cid_of(RAW, call.encode()), f"{PACKAGE}@1")
    assert_unharmed(told.value)


def dripping(start: bytes, drop: bytes) -> Script:
    """Says the start, and then a drop ten times a second, for three seconds."""

    def script(line: Line) -> None:
        if line.hear() is not None and line.say(start):
            for _ in repeat(None, 30):
                time.sleep(0.1)
                if not line.say(drop):
                    break

    return script


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
DROPS = ENDLESS | {
    "a chunk's length": dripping(CHUNKED, b"0"),
    "what stands beside a chunk's length": dripping(CHUNKED + b"1;", b"a"),
    "what comes after the last chunk": dripping(CHUNKED + b"0\r\n", b"X: a\r\n"),
}


@pytest.mark.parametrize("what", DROPS)
def test_whatever_of_an_answer_comes_drop_by_drop_it_is_given_up(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(pinning, "ANSWER_SECONDS", 0.3)
    server = serve(DROPS[what])
    with pytest.raises(IpfsUnavailable, match="does not answer") as told:
        Client("nick", server.url, TOKEN).check()
    assert_unharmed(told.value)
    server.ended()
    assert [line.cut for line in server.lines] == [True], "given up before it ended by itself"


def test_a_service_that_is_not_there_is_told(integrity_publisher: Session, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    keeper = ServiceKeeper(Client("nick", url, TOKEN))
    with pytest.raises(IpfsUnavailable, match="does not answer") as told:
        publish(integrity_publisher, folder, PACKAGE, "1", keepers=[keeper])
    assert_unharmed(told.value)
    assert not is_recorded(integrity_publisher, "1", PACKAGE)


@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize("place", ["reason", "details"])
def test_a_service_that_gives_the_token_back_does_not_have_it_shown(
    service: PinningService, status: int, place: str
) -> None:
    """Some name what they were sent in their errors."""
    error = {"reason": "NO"} | {place: f"what is 'Bearer {TOKEN}'?"}
    service.mutate = on(LIST, instead(said({"error": error}, status)))
    with pytest.raises(IntegrityError) as told:
        client_of(service).check()
    assert_unharmed(told.value)


def test_details_of_a_failed_pin_that_give_the_token_back_do_not_show_it(
    service: PinningService,
) -> None:
    details = {"status_details": f"{TOKEN} may pin no more"}
    service.mutate = changing(field(status="failed", info=details))
    with pytest.raises(IpfsRefused) as told:
        client_of(service).pin(cid_of(RAW, b"release"), f"{PACKAGE}@1")
    assert_unharmed(told.value)


def test_one_service_that_fails_holds_the_record_back_and_the_other_is_not_asked_again(
    integrity_publisher: Session, kubo: Kubo, service_at: MakeService, other_kubo: Kubo,
    folder: Path,
) -> None:  # fmt: skip
    good, poor = service_at(other_kubo), service_at(other_kubo, room=1)
    with pytest.raises(IpfsRefused, match="409: INSUFFICIENT_FUNDS only 1 pins") as told:
        keep(integrity_publisher, folder, good, poor, api=kubo.api)
    assert_unharmed(told.value)
    assert not is_recorded(integrity_publisher, "1", PACKAGE)
    poor.room = 2
    done = keep(integrity_publisher, folder, good, poor, api=kubo.api)
    assert done.kept == (f"ipfs {kubo.api}", "pinning nick", "pinning nick")
    assert (len(good.calls(ADD)), len(poor.calls(ADD))) == (2, 3)


# --- at the command line -------------------------------------------------------------------------

TOLD = {
    "nonsense": (ADD, NONSENSE["no JSON"], "IpfsUnavailable", "json"),
    "401": (LIST, failure(401, "UNAUTHORIZED"), "IpfsRefused", "text"),
    "an escape": (ADD, failure(400, "\x1b[2J", "\u202egnp.exe\ud800"), "IpfsRefused", "text"),
}


@pytest.mark.parametrize("what", TOLD)
def test_a_person_is_told_what_a_service_says(
    user: User, service: PinningService, folder: Path, what: str
) -> None:
    configure(user, nick=service)
    call, answered, name, form = TOLD[what]
    service.mutate = on(call, instead(answered))
    run = command(folder, "--pin", "nick")
    done = user.run(*(run if form == "json" else [word for word in run if word != "--json"]))
    assert done.code == 3
    if form == "json":
        error = done.error(name, 3)
        assert error["family"] == "could not check"
        assert "pinning service nick" in error["message"]
        assert error["next"]
    else:
        assert not done.out
        assert "pinning service nick" in done.errors
        assert done.errors.replace("\n", "").isprintable()
    assert TOKEN.encode() not in done.out + done.err
    assert not is_recorded(Session(user.own_home), "1", PACKAGE)


def test_a_service_that_is_not_configured_is_refused_with_what_to_write(
    user: User, folder: Path
) -> None:
    error = user.run(*command(folder, "--pin", "nick")).error("UsageError", 2)
    assert "'nick'" in error["message"]
    assert "[pinning.nick]" in error["next"]
    assert str(user.own_home.config_file) in error["next"]


@pytest.mark.parametrize(
    "settings",
    [
        f'[pinning.nick]\nurl = "ftp://a.example"\ntoken = "{TOKEN}"\n',
        f'[pinning.nick]\nurl = "https://a.example"\ntokens = "{TOKEN}"\n',
        'pinning = "nick"\n',
    ],
)
def test_settings_that_are_no_good_are_refused(user: User, folder: Path, settings: str) -> None:
    with user.own_home.config_file.open("r+") as file:
        others = file.read()
        file.seek(0)
        file.write(settings + others if settings.startswith("pinning") else others + settings)
    done = user.run(*command(folder, "--pin", "nick"))
    error = done.error("UsageError", 2)
    assert error["next"]
    assert TOKEN.encode() not in done.out + done.err


# --- the service itself --------------------------------------------------------------------------


def test_kubos_own_client_can_use_the_service(
    kubo: Kubo, service: PinningService, other_kubo: Kubo, tmp_path: Path
) -> None:
    """What the tests above rely on is judged by others here."""
    remote = ("pin", "remote")
    name = tmp_path.parent.name + tmp_path.name
    kubo.run(*remote, "service", "add", name, service.url, TOKEN)
    cids = [
        kubo.run("add", "-Q", "--cid-version=1", "--pin=false", input=f"{name} {n}".encode())
        for n in range(12)
    ]
    texts = [cid.decode().strip() for cid in cids]
    for number, cid in enumerate(texts):
        way = ["--background"] if number else []
        kubo.run(*remote, "add", f"--service={name}", f"--name=n{number}", *way, cid)
    until(lambda: set(texts) <= pins_of(other_kubo))
    until(lambda: "0/0/12/0" in kubo.run(*remote, "service", "ls", "--stat").decode())
    listed = kubo.run(*remote, "ls", f"--service={name}").decode().splitlines()
    assert listed == [f"{cid}\tpinned\tn{n}" for n, cid in reversed(list(enumerate(texts)))]
    kubo.run(*remote, "rm", f"--service={name}", "--name=n3")
    assert texts[3] not in pins_of(other_kubo)
    kubo.run(*remote, "rm", f"--service={name}", "--force")
    assert not set(texts) & pins_of(other_kubo)
    kubo.run(*remote, "service", "rm", name)


def test_the_service_keeps_what_another_pin_needs(
    kubo: Kubo, service: PinningService, other_kubo: Kubo, tmp_path: Path
) -> None:
    service.tokens["bob's"] = "bob"
    cid, other = (
        kubo.run("add", "-Q", "--cid-version=1", input=f"{tmp_path} {n}".encode()).decode().strip()
        for n in range(2)
    )
    origins = json.loads(kubo.run("id"))["Addresses"]

    def pin(cid: str, path: str = "/pins", token: str = TOKEN) -> str:
        made = client_request(service, "POST", path, {"cid": cid, "origins": origins}, token).json()
        at = f"/pins/{made['requestid']}"
        until(lambda: client_request(service, "GET", at, token=token).json()["status"] == "pinned")
        return at

    mine, twice, bobs = pin(cid), pin(cid), pin(cid, token="bob's")
    assert len({mine, twice, bobs}) == 3
    assert client_request(service, "GET", bobs).status == 404
    assert client_request(service, "DELETE", mine).status == 202
    assert client_request(service, "GET", mine).status == 404
    replaced = pin(other, twice)
    assert client_request(service, "GET", twice).status == 404
    assert {cid, other} <= pins_of(other_kubo)
    again = pin(cid, replaced)
    assert client_request(service, "DELETE", bobs, token="bob's").status == 202
    assert cid in pins_of(other_kubo)
    until(lambda: other not in pins_of(other_kubo))
    assert client_request(service, "DELETE", again).status == 202
    assert cid not in pins_of(other_kubo)


def test_the_service_filters_and_pages(kubo: Kubo, service: PinningService) -> None:
    cids = [str(cid_of(RAW, f"nobody has {n}".encode())) for n in range(12)]
    for number, cid in enumerate(cids):
        meta = {"even": str(number % 2 == 0), "number": str(number)}
        body = {"cid": cid, "name": f"Name {number}", "meta": meta}
        assert client_request(service, "POST", "/pins", body).status == 202

    def found(**query: str) -> list[str]:
        request = urllib3.request(
            "GET", f"{service.url}/pins", fields={"status": "queued,pinning"} | query,
            headers={"Authorization": f"Bearer {TOKEN}"}, retries=False,
        )  # fmt: skip
        assert request.status == 200, request.data
        value = request.json()
        counts.append(value["count"])
        times.extend(result["created"] for result in value["results"])
        return [result["pin"]["name"].removeprefix("Name ") for result in value["results"]]

    counts: list[int] = []
    times: list[str] = []
    newest = [str(number) for number in reversed(range(12))]
    assert found() == newest[:10]
    assert found(before=times[9]) == newest[10:]
    assert counts == [12, 2]
    assert len(set(times)) == 12
    assert found(after=times[4], limit="3") == newest[:3]
    assert found(limit="1000", after=times[11]) == newest[:11]
    assert found(status="pinned,failed") == []
    assert found(name="Name 1") == ["1"]
    assert found(name="name 1") == []
    assert found(name="name 1", match="iexact") == ["1"]
    assert found(name="ame 1", match="partial") == ["11", "10", "1"]
    assert found(name="AME 1", match="ipartial") == ["11", "10", "1"]
    assert found(meta='{"even": "False", "number": "5"}') == ["5"]
    upper = kubo.run("cid", "format", "-b", "base16upper", cids[7]).decode().strip()
    assert found(cid=f"{upper},{cids[2]}") == ["7", "2"]


BAD_QUERIES = [
    "limit=0", "limit=1001", "limit=x", "limit=", "cid=x", "cid=", "status=lost", "status=",
    "status=pinned,pinned", "match=best", "before=yesterday", "before=2020-07-27",
    "after=2020-13-27T17:32:28Z", "meta=1", "meta=%7B%22a%22%3A1%7D", "meta=x",
    f"name={'x' * 256}", "limit=1&limit=2",
]  # fmt: skip
GOOD_CID = str(cid_of(RAW, b""))
BAD_PINS: list[object] = [
    [], {}, {"cid": "x"}, {"cid": 1}, {"cid": GOOD_CID, "name": "x" * 256},
    {"cid": GOOD_CID, "origins": ["/ip4/127.0.0.1/tcp/1"]}, {"cid": GOOD_CID, "origins": "x"},
    {"cid": GOOD_CID, "origins": [f"/p2p/Qm/p2p/{n}" for n in range(21)]},
    {"cid": GOOD_CID, "meta": {"a": 1}}, {"cid": GOOD_CID, "meta": []},
]  # fmt: skip


def test_the_service_says_what_is_wrong(service: PinningService) -> None:
    def refused(status: int, reason: str, *asked: Any, **more: Any) -> None:
        answered = client_request(service, *asked, **more)
        error = answered.json()["error"]
        assert (answered.status, error["reason"]) == (status, reason), (asked, error)
        assert isinstance(error["details"], str)

    for query in BAD_QUERIES:
        refused(400, "BAD_REQUEST", "GET", f"/pins?{query}")
    for pin in BAD_PINS:
        refused(400, "BAD_REQUEST", "POST", "/pins", pin)
    refused(415, "UNSUPPORTED_MEDIA_TYPE", "POST", "/pins")
    for token in ("", "another", TOKEN[:-1], TOKEN + "="):
        refused(401, "UNAUTHORIZED", "GET", "/pins", token=token)
    for method in ("GET", "DELETE"):
        refused(404, "NOT_FOUND", method, "/pins/nothing")
    refused(404, "NOT_FOUND", "POST", "/pins/nothing", {"cid": GOOD_CID})
    refused(404, "NOT_FOUND", "GET", "/")
    refused(405, "METHOD_NOT_ALLOWED", "DELETE", "/pins")
    service.room = 0
    refused(409, "INSUFFICIENT_FUNDS", "POST", "/pins", {"cid": GOOD_CID})
