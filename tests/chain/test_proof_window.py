"""geth proves the state of its newest blocks alone: what that means for who asks about an older one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from integrity import resolve
from integrity.client.receipts import check_receipt, take_receipt
from integrity.client.resolving import latest_manifest
from integrity.client.session import Session
from integrity.core.links import Link
from integrity.errors import ProofUnavailable
from integrity.finding.history import history
from integrity.home import Home
from integrity.verifier.receipt import encode
from tests.cli.running import User

from .conftest import Releases
from .geths import PROOF_WINDOW, Geth


@pytest.fixture
def reader(geth: Geth, geth_releases: Releases, tmp_path: Path) -> Session:
    """Somebody who believes the publisher, and named this node."""
    return Session(Home.at(tmp_path / "reader"), rpc=(geth.url,), publisher=geth_releases.address)


def test_a_block_outside_the_window_could_not_be_checked_and_the_remedy_is_named(
    geth: Geth, geth_releases: Releases, reader: Session, tmp_path: Path
) -> None:
    link = geth_releases.first.link
    block = resolve(reader, link).block
    pinned = replace(reader, checkpoint=block.hash)
    receipt = encode(take_receipt(pinned, link))

    geth.mine(block.number + PROOF_WINDOW - geth.height())
    assert resolve(pinned, link).basis == "checkpoint, proven", "the last one that is proven"
    geth.mine()
    jobs: tuple[Callable[[Session, Link], Any], ...] = (
        resolve,
        history,
        latest_manifest,
        take_receipt,
    )
    for job in jobs:
        with pytest.raises(ProofUnavailable, match="is not available") as caught:
            job(pinned, link)
        assert (caught.value.exit_code, caught.value.family) == (3, "could not check")
        assert f"block {block.number}" in caught.value.message
        assert "--rpc" in caught.value.next
    user = User(tmp_path, INTEGRITY_RPC=geth.url)
    named = ("--publisher", link.publisher, "--checkpoint", block.hash.hex(), "--json")
    error = user.run("get", str(link), "--from", "store", *named).error("ProofUnavailable", 3)
    assert "--rpc" in error["next"]

    assert resolve(reader, link).block.number > block.number, "what is final is within it"
    offline = Session(reader.home, publisher=link.publisher, checkpoint=block.hash)
    record = check_receipt(offline, receipt)
    assert (record.block, record.basis) == (block, "checkpoint, proven"), "a receipt outlives it"
