"""Keys that are elsewhere: another program signs, and is believed nothing; or the environment has the key."""

from __future__ import annotations

import socket
import traceback
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from integrity import publish, resolve
from integrity.chain.artifact import load_artifact
from integrity.chain.external import ExternalSigner
from integrity.client.session import Session
from integrity.config import set_config
from integrity.core.names import parse_address
from integrity.devchain.chain import DevelopmentChain, give
from integrity.errors import IntegrityError, KeyRefused, RpcUnavailable, UsageError
from integrity.home import Home
from integrity.keys.environment import VARIABLE
from integrity.keys.keystore import DEVELOPMENT_CHAIN
from integrity.publishing.acting import Actor
from integrity.publishing.preparing import Draft
from integrity.publishing.requesting import request
from integrity.publishing.submitting import submit
from integrity.testing.people import equip

from .anvils import Anvil
from .clefs import running_clef
from .conftest import MakeRpc
from .ledger import count, journal, send
from .lying_rpc import Call, Forward, LyingRpc
from .nodes import reason_code

SECRET = "c0ffee" * 10 + "1234"


def with_signer(session: Session, url: str, address: str) -> Session:
    """The same home, with a signer called ``far`` as its default key."""
    set_config(session.home, {"default_key": "far"})
    file = session.home.config_file
    file.write_text(file.read_text() + f'\n[signers.far]\nurl = "{url}"\naddress = "{address}"\n')
    return session


@pytest.fixture
def lent(anvil: Anvil, session: Session, lying_rpc: MakeRpc) -> tuple[Session, LyingRpc]:
    """A session whose key is anvil's own, which signs behind a server that tests can make lie."""
    rpc = lying_rpc(anvil.url)
    return with_signer(session, rpc.url, anvil.call("eth_accounts")[0]), rpc


def test_a_program_signs_what_is_sent_and_requested(
    anvil: Anvil, lent: tuple[Session, LyingRpc], folder: Path, tmp_path: Path
) -> None:
    session, rpc = lent
    address = anvil.call("eth_accounts")[0]
    done = send(session, folder)
    assert done.link.publisher == parse_address(address)
    assert rpc.methods() == ["eth_signTransaction"], "and sends nothing through it"
    Actor(session, DEVELOPMENT_CHAIN, wait=False).revoke(done.link, reason_code("superseded"))
    (folder / "README").write_text("two")
    made = request(session, Draft(folder, "tool", "2.0.0")).request
    assert made is not None
    assert made.signer == parse_address(address)
    submit(anvil.publisher(tmp_path / "sponsor"), made, wait=False)
    anvil.mine(3)
    assert resolve(session, made.link).by == parse_address(address)
    assert count(anvil, address) == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("nonce", "0x7"), ("to", "0x" + "22" * 20), ("data", "0x1234"), ("value", "0x1"), ("gas", "0xffff0"),
        ("maxFeePerGas", "0xe8d4a51000"), ("maxPriorityFeePerGas", "0x1"), ("from", "another"),
    ],
)  # fmt: skip
def test_a_signer_that_changes_anything_is_refused(
    anvil: Anvil, lent: tuple[Session, LyingRpc], folder: Path, field: str, value: str
) -> None:
    session, rpc = lent
    address, another = anvil.call("eth_accounts")[:2]

    def act(call: Call, forward: Forward) -> dict[str, Any]:
        call["params"][0][field] = another if value == "another" else value
        return forward()

    rpc.act = act
    told = "another key" if field == "from" else f"changed the transaction: {field}"
    with pytest.raises(KeyRefused, match=told):
        send(session, folder)
    assert (journal(session), anvil.nonce(address), anvil.nonce(another)) == ([], 0, 0)


ANSWERS: list[tuple[str, Any, type[IntegrityError]]] = [
    ("no bytes", 7, RpcUnavailable),
    ("no hex", "0xzz", RpcUnavailable),
    ("nothing", None, RpcUnavailable),
    ("no transaction", "0x1234", KeyRefused),
    ("an empty one", "0x", KeyRefused),
    ("Clef's form of nothing", {"tx": {}}, RpcUnavailable),
]


@pytest.mark.parametrize(
    ("answer", "refusal"), [a[1:] for a in ANSWERS], ids=[a[0] for a in ANSWERS]
)
def test_a_signer_that_answers_nonsense_is_refused(
    anvil: Anvil, lent: tuple[Session, LyingRpc], folder: Path, answer: Any,
    refusal: type[IntegrityError],
) -> None:  # fmt: skip
    session, rpc = lent
    rpc.act = lambda call, _: {"jsonrpc": "2.0", "id": call["id"], "result": answer}
    with pytest.raises(refusal):
        send(session, folder)
    with pytest.raises(refusal):
        request(session, Draft(folder, "tool", "1.0.0"))
    assert journal(session) == []


def test_a_signer_that_signs_another_release_is_refused(
    lent: tuple[Session, LyingRpc], folder: Path
) -> None:
    session, rpc = lent

    def act(call: Call, forward: Forward) -> dict[str, Any]:
        call["params"][1]["message"]["version"] = "6.6.6"
        return forward()

    rpc.act = act
    with pytest.raises(KeyRefused, match="no signature of"):
        request(session, Draft(folder, "tool", "1.0.0"))


def test_a_signer_that_says_no_or_is_away_is_told_of(
    lent: tuple[Session, LyingRpc], folder: Path
) -> None:
    session, rpc = lent
    no = {"code": -32000, "message": "Request denied"}
    rpc.act = lambda call, _: {"jsonrpc": "2.0", "id": call["id"], "error": no}
    with pytest.raises(KeyRefused, match="refuses: Request denied"):
        send(session, folder)
    assert len(rpc.asked) == 1, "a no is a no, in whatever words it might be asked again"
    away = ExternalSigner("far", "http://us3r:s3cret@127.0.0.1:1/k3y", "0x" + "11" * 20)
    with pytest.raises(RpcUnavailable) as caught:
        away.sign_typed_data({})
    assert "far" in caught.value.next
    for secret in ("us3r", "s3cret", "k3y"):
        assert secret not in "".join(traceback.format_exception(caught.value))
        assert secret not in repr(away)


@pytest.mark.parametrize(
    "text",
    [
        "signers = 1", "[signers]\nfar = 1", '[signers.far]\nurl = "http://127.0.0.1:1"',
        '[signers.far]\nurl = "http://127.0.0.1:1"\naddress = "0x12"',
        '[signers.far]\nurl = 1\naddress = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"',
    ],
)  # fmt: skip
def test_a_signer_that_is_set_up_wrongly_is_named(session: Session, text: str) -> None:
    file = session.home.config_file
    content = text if text.startswith("signers") else ""
    file.write_text(content + "\n" + file.read_text() + ("" if content else f"\n{text}\n"))
    with pytest.raises(UsageError, match="signers"):
        session.key(None)


# --- the environment ---------------------------------------------------------------------------


def test_a_key_of_the_environment_signs_and_shows_nowhere(
    anvil: Anvil, session: Session, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = Account.from_key(SECRET).address
    anvil.fund(address)
    monkeypatch.setenv(VARIABLE, "0x" + SECRET)
    done = send(session, folder)
    assert done.link.publisher == address
    named = session.key(None)
    own = session.config.default_key
    assert own is not None
    assert session.key(own).address == own, "whoever names a key means that one"
    signer = session.signer(named)
    shown = repr(named) + repr(signer) + repr(vars(session.signer(session.key(own))).keys())
    assert SECRET not in shown
    assert count(anvil, address) == 1
    assert all(SECRET not in path.read_text("utf-8", "replace") for path in _files(session))


def test_what_the_environments_key_published_is_ones_own(
    integrity_chain: DevelopmentChain, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(Home.at(tmp_path / "ci"))
    equip(session.home, integrity_chain.rpc)
    account = Account.create()
    give(integrity_chain.rpc, account.address, 10**18)
    monkeypatch.setenv(VARIABLE, bytes(account.key).hex())
    done = publish(session, folder, "tool", "1.0.0")
    assert done.warnings == []
    assert folder.with_name("tool.receipt").exists()
    assert resolve(session, done.link).by == account.address


@pytest.mark.parametrize("text", [SECRET[:-1], SECRET + "0", "0x", "g" * 64, "00" * 32, "ff" * 32])
def test_threat_39_a_wrong_key_in_the_environment_is_not_repeated(
    session: Session, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(KeyRefused) as caught:
        session.key(None)
    told = "".join(traceback.format_exception(caught.value))
    assert VARIABLE in told
    assert len(text) < 60 or text not in told


def _files(session: Session) -> list[Path]:
    return [path for path in session.home.data_folder.rglob("*") if path.is_file()]


# --- Clef --------------------------------------------------------------------------------------


@pytest.mark.long
def test_clef_signs_transactions_and_requests_by_its_rules(
    anvil: Anvil, session: Session, folder: Path, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    (tmp_path / "signer").mkdir()
    to = load_artifact().address
    with running_clef(tmp_path / "signer", port, DEVELOPMENT_CHAIN, to) as clef:
        anvil.fund(clef.address)
        named = with_signer(session, clef.url, clef.address)
        done = send(named, folder)
        assert done.link.publisher == clef.address
        (folder / "README").write_text("two")
        made = request(named, Draft(folder, "tool", "2.0.0")).request
        assert made is not None
        assert submit(anvil.publisher(tmp_path / "sponsor"), made, wait=False).sequence == 2
        signer = named.signer(named.key(None))
        call: dict[str, Any] = {
            "chainId": DEVELOPMENT_CHAIN, "nonce": 9, "to": "0x" + "22" * 20, "value": 0, "gas": 90_000,
            "data": "0x", "gasPrice": 10**9,
        }  # fmt: skip
        with pytest.raises(KeyRefused, match="request denied"):
            signer.sign_transaction(call)
        # Before there was EIP-1559, too.
        raw, _ = signer.sign_transaction(call | {"to": to, "data": "0x" + "00" * 36})
        assert raw[:1] >= b"\xc0"
    anvil.mine(3)
    assert resolve(named, done.link).by == clef.address
