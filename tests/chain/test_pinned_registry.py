"""A registry elsewhere than at its one address, which the trust store pins for a publisher."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from integrity.chain.artifact import load_artifact
from integrity.client.receipts import check_receipt, take_receipt
from integrity.client.resolving import resolve
from integrity.client.session import Session
from integrity.core.names import checksum_address
from integrity.errors import ProofInvalid, RegistryMismatch, ReleaseNotFound, Revoked, UsageError
from integrity.home import Home
from integrity.keys.keystore import DEVELOPMENT_CHAIN
from integrity.publishing.acting import Actor
from integrity.publishing.publish import publish
from integrity.verifier.receipt import encode

from .conftest import both
from .nodes import Node


def pin(session: Session, publisher: str, *lines: str) -> None:
    session.home.trust_file.parent.mkdir(parents=True, exist_ok=True)
    session.home.trust_file.write_text(
        "\n".join((
            "[publishers.acme]", f"chain = {DEVELOPMENT_CHAIN}", f'publisher = "{publisher}"', *lines,
        ))
    )  # fmt: skip


def second_registry(node: Node, session: Session) -> str:
    """Deployed by a plain transaction, so at another address -> which."""
    receipt = node.send(session, None, load_artifact().init_code)
    assert receipt["status"] == "0x1"
    return checksum_address(bytes.fromhex(receipt["contractAddress"][2:]))


@both
def test_what_is_recorded_in_a_pinned_registry_is_read_there_and_nowhere_else(
    node: Node, tmp_path: Path
) -> None:
    session = node.publisher(tmp_path / "publisher")
    publisher = session.key(None).address
    address = second_registry(node, session)
    pin(session, publisher, f'registry = "{address}"')
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "a").write_text("one")
    link = publish(session, folder, "tool", "1.0.0", wait=False).link
    node.settle()
    assert resolve(session, link).registry == address
    receipt = encode(take_receipt(session, link))
    stranger = replace(session, home=Home.at(tmp_path / "stranger"), publisher=publisher)
    stranger = replace(stranger, rpc=(node.url,))
    with pytest.raises(ReleaseNotFound):
        resolve(stranger, link)
    with pytest.raises(ProofInvalid):
        check_receipt(stranger, receipt)
    pin(stranger, publisher, f'registry = "{address}"')
    assert resolve(stranger, link).manifest == resolve(session, link).manifest
    assert check_receipt(stranger, receipt).registry == address
    # What acts on it goes there as well.
    Actor(session, DEVELOPMENT_CHAIN, wait=False).revoke(link, 2)
    node.settle()
    with pytest.raises(Revoked):
        resolve(stranger, link)


@both
def test_a_pinned_address_needs_the_code_that_is_pinned(node: Node, tmp_path: Path) -> None:
    session = node.publisher(tmp_path / "publisher")
    publisher = session.key(None).address
    address = second_registry(node, session)
    node.settle()
    reader = replace(session, home=Home.at(tmp_path / "reader"), rpc=(node.url,))
    link = replace(session.link(f"integrity:{DEVELOPMENT_CHAIN}:{publisher}/tool@1.0.0"))
    pin(reader, publisher, f'registry = "{address}"', f'registry_code = "{"ab" * 32}"')
    with pytest.raises(RegistryMismatch):
        resolve(reader, link)
    code = load_artifact().code_hash.hex()
    pin(reader, publisher, f'registry = "{address}"', f'registry_code = "0x{code}"')
    with pytest.raises(ReleaseNotFound):
        resolve(reader, link)
    for bad in ('registry = "0x12"', 'registry_code = "12"', f'registry_code = "{code}"'):
        pin(reader, publisher, bad)
        with pytest.raises(UsageError):
            resolve(reader, link)
