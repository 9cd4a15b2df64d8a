"""Publishing into a real Kubo daemon and getting from one, whatever it is set to and whatever it says."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack
from pathlib import Path

import pytest

from integrity import Draft, get, publish, publish_many
from integrity.client.session import Session
from integrity.core.anycid import AnyCid, any_cid, cid_of, parse_any_cid
from integrity.core.cid import RAW, Cid
from integrity.errors import (
    BlockMismatch,
    IntegrityError,
    IpfsRefused,
    IpfsUnavailable,
    SourceChanged,
    SourcesLied,
    SourcesUnavailable,
    UsageError,
)
from integrity.ipfs import kubo as adapter
from integrity.ipfs.kubo import Kubo as Daemon
from integrity.ipfs.kubo import find_api
from integrity.ports import Progress
from integrity.publishing.keeping import DaemonKeeper
from integrity.publishing.publish import Published
from integrity.publishing.requesting import request
from integrity.publishing.uploading import Upload
from integrity.sources.daemon import DaemonSource
from integrity.store.database import Store
from integrity.store.reading import BlockReader

from .kubos import Kubo
from .lying_daemon import Answer, LyingDaemon, of_command
from .releases import content_of, fill, is_recorded

OTHER_SETTINGS = {
    "Import.CidVersion": 0,
    "Import.UnixFSChunker": "size-262144",
    "Import.UnixFSRawLeaves": False,
    "Import.UnixFSFileMaxLinks": 174,
    "Import.UnixFSHAMTDirectorySizeThreshold": "1KiB",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fill(tmp_path / "tool")


def put(session: Session, folder: Path, api: str, version: str = "1") -> Published:
    with Daemon(api) as daemon:
        return publish(session, folder, "tool", version, keepers=[DaemonKeeper(daemon)])


# --- what works --------------------------------------------------------------------------------


def test_a_release_is_pinned_and_another_node_gets_it_byte_for_byte(
    integrity_publisher: Session, kubo: Kubo, other_kubo: Kubo, tmp_path: Path
) -> None:
    # Few, as Kubo fetches fifty blocks a second from another; and no other test pins the same.
    folder = fill(tmp_path / "tool", many=21)
    # Bitswap never hands over a block of no bytes, Kubo's own empty files neither (docs/ipfs.md).
    other_kubo.run("block", "put", "--cid-codec=raw", input=b"")
    done = put(integrity_publisher, folder, kubo.api)
    assert done.kept == (f"ipfs {kubo.api}",)
    assert any("empty file" in warning for warning in done.warnings)
    pins = kubo.run("pin", "ls", "--type=recursive", "--names").decode().splitlines()
    named = {line.split()[0]: line.split()[2] for line in pins if line.endswith("tool@1")}
    manifest = cid_of(RAW, folder.with_name("tool.integrity").read_bytes())
    assert set(named) == {done.content, str(manifest)}
    assert manifest.key == done.manifest
    address = json.loads(kubo.run("id"))["Addresses"][0]
    other_kubo.run("swarm", "connect", address)
    other_kubo.run("get", "-o", tmp_path / "got", done.content)
    assert content_of(tmp_path / "got") == content_of(folder)
    assert other_kubo.run("cat", str(manifest)) == folder.with_name("tool.integrity").read_bytes()
    plain = kubo.run("add", "-r", "-H", "-Q", "--only-hash", folder).decode().strip()
    assert plain == done.content


def test_all_of_a_batch_and_a_signed_request_are_pinned(
    integrity_publisher: Session, kubo: Kubo, tmp_path: Path
) -> None:
    drafts = []
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text(f"{name} of a batch")
        drafts.append(Draft(tmp_path / name, f"batch-{name}", "1"))
    with ExitStack() as stack:

        def make_keepers() -> list[DaemonKeeper]:
            return [DaemonKeeper(stack.enter_context(Daemon(kubo.api)))]

        done = publish_many(integrity_publisher, drafts[:2], make_keepers=make_keepers, wait=False)
        made = request(integrity_publisher, drafts[2], keepers=make_keepers())
    pins = kubo.run("pin", "ls", "--type=recursive", "--names").decode()
    for one in (*done.releases, made.release):
        assert one.kept == (f"ipfs {kubo.api}",)
        assert any(line.startswith(one.content) for line in pins.splitlines())
        assert pins.count(f"{one.link.package}@1") == 2, "the folder, and its manifest"
    assert made.request is not None
    assert made.request.signature


def test_the_settings_of_the_daemon_change_no_cid(
    integrity_publisher: Session, folder: Path, new_kubo: Callable[..., Kubo], tmp_path: Path
) -> None:
    node = new_kubo(OTHER_SETTINGS)
    node.start()
    other = node.run("add", "-r", "-H", "-Q", "--only-hash", folder).decode().strip()
    done = put(integrity_publisher, folder, node.api)
    assert done.content != other
    node.run("get", "-o", tmp_path / "got", done.content)
    assert content_of(tmp_path / "got") == content_of(folder)


def test_a_release_is_got_from_a_daemon(
    integrity_publisher: Session, integrity_reader: Callable[[str], Session], folder: Path,
    kubo: Kubo, tmp_path: Path,
) -> None:  # fmt: skip
    done = put(integrity_publisher, folder, kubo.api)
    source = DaemonSource(kubo.api)
    got = get(integrity_reader(done.link.publisher), done.link, tmp_path / "got", sources=[source])
    source.close()
    assert got.verdict == "verified"
    assert content_of(tmp_path / "got") == content_of(folder)


def test_what_stock_ipfs_add_has_put_there_is_got_just_as_well(
    integrity_publisher: Session, integrity_reader: Callable[[str], Session], folder: Path,
    new_kubo: Callable[..., Kubo], tmp_path: Path,
) -> None:  # fmt: skip
    """The manifest is added separately, as anybody would who has the folder and the file beside it."""
    done = publish(integrity_publisher, folder, "tool", "1")
    node = new_kubo()
    node.start()
    added = node.run("add", "-r", "-H", "-Q", folder).decode().strip()
    assert added == done.content
    node.run("add", "-Q", folder.with_name("tool.integrity"))
    source = DaemonSource(node.api)
    get(integrity_reader(done.link.publisher), done.link, tmp_path / "got", sources=[source])
    source.close()
    assert content_of(tmp_path / "got") == content_of(folder)


def test_the_same_release_published_again_goes_into_another_daemon_and_keeps_the_name_of_a_pin(
    integrity_publisher: Session, folder: Path, new_kubo: Callable[..., Kubo]
) -> None:
    done = publish(integrity_publisher, folder, "tool", "1")
    node = new_kubo()
    node.start()
    node.run("add", "-r", "-H", "-Q", folder)
    node.run("pin", "add", "--name=mine", done.content)
    again = put(integrity_publisher, folder, node.api)
    assert (again.already, again.gas_used) == (True, None)
    pins = node.run("pin", "ls", "--type=recursive", "--names", done.content).decode().split()
    assert pins == [done.content, "recursive", "mine"]


def test_the_api_is_found_where_the_daemon_wrote_it(
    kubo: Kubo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("INTEGRITY_IPFS_API", raising=False)
    monkeypatch.setenv("IPFS_PATH", str(kubo.folder))
    assert find_api() == kubo.api
    monkeypatch.setenv("INTEGRITY_IPFS_API", "/ip4/127.0.0.1/tcp/7")
    assert find_api() == "http://127.0.0.1:7"
    assert find_api("/ip6/::1/tcp/8") == "http://[::1]:8"
    monkeypatch.delenv("INTEGRITY_IPFS_API")
    monkeypatch.setenv("IPFS_PATH", str(tmp_path))
    assert find_api() == adapter.DEFAULT_API


@pytest.mark.parametrize(
    "text", ["", "x", "http://", "http://h:0", "http://h/api", "/ip4/1.2.3.4", "ftp://h"]
)
def test_what_is_no_address_of_an_api_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        find_api(text)


# --- daemons that do not work ------------------------------------------------------------------


def fails(session: Session, folder: Path, api: str, kind: type[IntegrityError]) -> IntegrityError:
    """Publishing must fail so, with nothing recorded."""
    with pytest.raises(kind) as caught:
        put(session, folder, api, "9")
    assert type(caught.value) is kind
    assert caught.value.next
    assert not is_recorded(session, "9")
    return caught.value


@pytest.fixture
def liar(kubo: Kubo) -> Iterator[LyingDaemon]:
    with LyingDaemon(kubo.api) as daemon:
        yield daemon


def test_without_a_daemon_nothing_is_even_hashed(
    integrity_publisher: Session, folder: Path
) -> None:
    error = fails(integrity_publisher, folder, "http://127.0.0.1:9", IpfsUnavailable)
    assert "Connection refused" in error.message
    assert not integrity_publisher.home.store.exists()


def test_the_gateways_address_is_told_from_the_apis(
    integrity_publisher: Session, folder: Path, kubo: Kubo
) -> None:
    error = fails(integrity_publisher, folder, kubo.gateway, IpfsUnavailable)
    assert "gateway" in error.next


@pytest.mark.parametrize(
    "body",
    [b"<html>hello</html>", b"{}", b"[]", b"", b'{"Version":7}', b'{"Version":"x"}', b"\xff"],
)
def test_what_is_no_daemon_is_said_to_be_none(
    integrity_publisher: Session, folder: Path, liar: LyingDaemon, body: bytes
) -> None:
    liar.act = of_command("version", lambda _: Answer(200, body))
    error = fails(integrity_publisher, folder, liar.api, IpfsUnavailable)
    assert "no Kubo daemon" in error.message


def test_a_daemon_that_is_too_old_is_refused_by_its_version(
    integrity_publisher: Session, folder: Path, liar: LyingDaemon
) -> None:
    liar.act = of_command("version", lambda _: Answer(200, b'{"Version":"0.11.0"}'))
    error = fails(integrity_publisher, folder, liar.api, IpfsRefused)
    assert "0.11.0" in error.message


def test_a_daemon_that_dies_in_the_middle_leaves_nothing_recorded_and_the_next_one_gets_it_all(
    integrity_publisher: Session, folder: Path, new_kubo: Callable[..., Kubo], kubo: Kubo
) -> None:
    (folder / "large").write_bytes(os.urandom(256 << 20))
    node = new_kubo()
    node.start()

    def kill_once_it_has_begun() -> None:
        while True:
            time.sleep(0.01)
            if len(list(node.folder.rglob("*.data"))) > 20:
                node.kill()
                return

    watcher = threading.Thread(target=kill_once_it_has_begun)
    watcher.start()
    fails(integrity_publisher, folder, node.api, IpfsUnavailable)
    watcher.join()
    (folder / "large").unlink()
    assert put(integrity_publisher, folder, kubo.api, "9").final


@pytest.mark.parametrize(
    ("command", "answer", "kind"),
    [
        ("dag/import", Answer(500, None), IpfsUnavailable),
        ("dag/import", Answer(200, b""), IpfsRefused),
        (
            "dag/import",
            Answer(200, b'{"Stats":{"BlockCount":1,"BlockBytesCount":1}}\n'),
            IpfsRefused,
        ),
        ("dag/import", Answer(200, b'{"Stats":"many"}\n'), IpfsUnavailable),
        (
            "dag/import",
            Answer(500, b'{"Message":"no space left on device","Code":0,"Type":"error"}'),
            IpfsRefused,
        ),
        (
            "dag/import",
            Answer(200, b'{"Root":{"Cid":{"/":"bafkqaaa"},"PinErrorMsg":"block was not found"}}\n'),
            IpfsRefused,
        ),
        ("pin/add", Answer(500, b'{"Message":"pin: lost","Code":0,"Type":"error"}'), IpfsRefused),
        ("block/get", Answer(200, b"other bytes", "text/plain"), BlockMismatch),
        ("block/get", Answer(200, b"", "text/plain"), BlockMismatch),
        ("block/get", Answer(200, b"x" * (5 << 20), "text/plain"), BlockMismatch),
        ("block/get", Answer(500, None), IpfsUnavailable),
        (
            "block/get",
            Answer(500, b'{"Message":"block was not found","Code":0,"Type":"error"}'),
            IpfsRefused,
        ),
    ],
)
def test_an_answer_that_is_not_as_it_should_be_keeps_the_release_off_the_chain(
    integrity_publisher: Session, folder: Path, liar: LyingDaemon, command: str, answer: Answer,
    kind: type[IntegrityError],
) -> None:  # fmt: skip
    liar.act = of_command(command, lambda _: answer)
    fails(integrity_publisher, folder, liar.api, kind)


def test_an_announcement_that_fails_is_a_warning(
    integrity_publisher: Session, folder: Path, liar: LyingDaemon
) -> None:
    refused = Answer(500, b'{"Message":"no peers","Code":0,"Type":"error"}')
    liar.act = of_command("routing/provide", lambda _: refused)
    done = put(integrity_publisher, folder, liar.api)
    assert done.final
    assert any("not announced" in warning for warning in done.warnings)


def test_a_file_that_changes_before_all_is_sent_ends_the_upload_and_nothing_is_pinned(
    integrity_publisher: Session, folder: Path, new_kubo: Callable[..., Kubo]
) -> None:
    def change(progress: Progress) -> None:
        if progress.phase == "checking":  # after hashing, before the nodes and the roots are sent
            (folder / "program").write_bytes(b"changed")

    def put_changing(daemon: Daemon) -> None:
        keepers = [DaemonKeeper(daemon)]
        publish(integrity_publisher, folder, "tool", "9", keepers=keepers, report=change)

    node = new_kubo()
    node.start()
    pinned = node.run("pin", "ls", "--type=recursive")
    with Daemon(node.api) as daemon, pytest.raises(SourceChanged) as caught:
        put_changing(daemon)
    assert caught.value.evidence == {"path": "program"}
    assert not is_recorded(integrity_publisher, "9")
    assert node.run("pin", "ls", "--type=recursive") == pinned
    assert threads_of("upload") == []


def test_what_is_not_recorded_is_not_served_and_an_earlier_release_of_the_folder_still_is(
    integrity_publisher: Session, folder: Path, liar: LyingDaemon
) -> None:
    done = publish(integrity_publisher, folder, "tool", "8")
    program = (folder / "program").read_bytes()
    liar.act = of_command("dag/import", lambda _: Answer(500, b'{"Message":"full","Code":0}'))
    (folder / "program").write_bytes(b"another")
    fails(integrity_publisher, folder, liar.api, IpfsRefused)
    (folder / "program").write_bytes(program)
    with Store(integrity_publisher.home.store) as store:
        assert [release.manifest for release in store.releases()] == [done.manifest]
        reader = BlockReader(store)
        assert reader.read(hashlib.sha256(b"another").digest()) is None
        piece = program[: 1 << 20]
        assert reader.read(hashlib.sha256(piece).digest()) == piece


def test_a_daemon_that_refuses_is_said_before_all_is_hashed(
    integrity_publisher: Session, folder: Path, liar: LyingDaemon
) -> None:
    for number in range(200):
        (folder / f"{number:03}").write_bytes(os.urandom(1 << 20))
    hashed: list[int] = []
    liar.before_reading = hang_up_on_import
    with Daemon(liar.api) as daemon, pytest.raises(IpfsUnavailable, match="take the blocks"):
        publish(
            integrity_publisher, folder, "tool", "9", keepers=[DaemonKeeper(daemon)],
            report=lambda progress: hashed.append(progress.done),
        )  # fmt: skip
    assert max(hashed, default=0) < 200 << 20
    assert threads_of("upload") == threads_of("hash-") == []


def hang_up_on_import(command: str) -> None:
    if command.startswith("dag/import"):
        raise ConnectionError("the daemon dies")


def press_ctrl_c_soon() -> None:
    threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT]).start()


def give_up_at(stalled: str, publisher: Session, folder: Path, liar: LyingDaemon) -> None:
    """Publish, and press Ctrl-C while the daemon does not answer this command."""
    over = threading.Event()

    def stall(command: str) -> None:
        if command.startswith(stalled):
            press_ctrl_c_soon()
            over.wait(60)

    liar.before_reading = stall
    with Daemon(liar.api) as daemon, pytest.raises(KeyboardInterrupt):
        publish(publisher, folder, "tool", "9", keepers=[DaemonKeeper(daemon)])
    over.set()


def test_who_gives_up_does_not_wait_for_an_announcement(
    integrity_publisher: Session, folder: Path, liar: LyingDaemon
) -> None:
    give_up_at("routing/provide", integrity_publisher, folder, liar)


def test_an_upload_that_is_left_sends_nothing_that_looks_whole(liar: LyingDaemon) -> None:
    """As when Ctrl-C comes while the end of the upload is waited for."""
    over = threading.Event()

    def stall(_: str) -> None:
        over.wait(10)

    liar.before_reading = stall
    block = os.urandom(1 << 20)
    key = hashlib.sha256(block).digest()
    upload = Upload(liar.api)

    def send() -> None:
        with upload:
            for _ in range(20):
                upload.take(key, block, lambda: False)
            press_ctrl_c_soon()
            upload.finish([any_cid(Cid(RAW, key))], [])

    with pytest.raises(KeyboardInterrupt):
        send()
    over.set()
    with pytest.raises(CancelledError):
        upload._done.result(20)


def test_a_dry_run_sends_nothing(
    integrity_publisher: Session, folder: Path, liar: LyingDaemon
) -> None:
    with Daemon(liar.api) as daemon:
        keepers = [DaemonKeeper(daemon)]
        publish(integrity_publisher, folder, "tool", "9", keepers=keepers, dry_run=True)
    assert [command.partition("?")[0] for command in liar.asked] == ["version"]


def test_a_daemon_that_stops_reading_does_not_hold_who_gives_up(
    integrity_publisher: Session, folder: Path, liar: LyingDaemon
) -> None:
    """As Ctrl-C does, which arrives in the thread that waits for the hashing."""
    with (folder / "large").open("wb") as large:
        large.truncate(200 << 20)
    give_up_at("dag/import", integrity_publisher, folder, liar)
    assert threads_of("hash-") == []


def threads_of(name: str) -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(name)]


# --- a daemon as a source that lies ------------------------------------------------------------


def test_a_daemon_that_gives_other_bytes_is_a_source_that_lied(
    integrity_publisher: Session, integrity_reader: Callable[[str], Session], folder: Path,
    liar: LyingDaemon, kubo: Kubo, tmp_path: Path,
) -> None:  # fmt: skip
    done = put(integrity_publisher, folder, kubo.api)
    reader = integrity_reader(done.link.publisher)

    def flip(answer: Answer) -> Answer:
        body = answer.body or b"?"
        return Answer(answer.status, body[:-1] + bytes((body[-1] ^ 1,)), answer.kind)

    liar.act = of_command("block/get", flip)
    source = DaemonSource(liar.api)
    with pytest.raises(SourcesLied) as caught:
        get(reader, done.link, tmp_path / "got", sources=[source])
    assert caught.value.evidence["source"] == f"ipfs {liar.api}"
    assert not (tmp_path / "got").exists()
    honest = DaemonSource(kubo.api)
    get(reader, done.link, tmp_path / "got", sources=[source, honest])
    source.close()
    honest.close()
    assert content_of(tmp_path / "got") == content_of(folder)


def test_a_block_that_the_daemon_has_not_got_is_could_not_check(
    integrity_publisher: Session, integrity_reader: Callable[[str], Session], folder: Path,
    new_kubo: Callable[..., Kubo], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    done = publish(integrity_publisher, folder, "tool", "1")
    node = new_kubo()
    node.start()
    patient = Daemon.block

    def hasty(self: Daemon, cid: AnyCid, buffer: memoryview) -> int:
        return patient(self, cid, buffer, 1)

    monkeypatch.setattr(Daemon, "block", hasty)
    source = DaemonSource(node.api)
    with pytest.raises(SourcesUnavailable):
        get(integrity_reader(done.link.publisher), done.link, tmp_path / "got", sources=[source])
    source.close()


def test_a_daemon_tells_how_it_is_doing(kubo: Kubo) -> None:
    with Daemon(kubo.api) as daemon:
        state = daemon.state()
        assert state.version in kubo.run("version").decode()
        assert 0 < state.stored < state.limit
        assert parse_any_cid("bafkqaaa") not in daemon.pin_names([parse_any_cid("bafkqaaa")])
