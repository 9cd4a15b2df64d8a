"""Putting the registry at its one address on a chain."""

from __future__ import annotations

from dataclasses import dataclass

from integrity.chain.artifact import load_artifact
from integrity.chain.calls import deploy_call
from integrity.client.session import Session
from integrity.core.names import keccak256
from integrity.core.registry import CREATE2_PROXY
from integrity.errors import TransactionRefused
from integrity.ports import Report
from integrity.publishing.telling import say_waiting
from integrity.publishing.writing import open_writer
from integrity.verifier.checks import check_chain, check_code


@dataclass(frozen=True, slots=True)
class Deployed:
    """``transaction`` is None when the registry stood there already."""

    registry: str
    chain_id: int
    transaction: bytes | None


def deploy(session: Session, key: str | None = None, report: Report | None = None) -> Deployed:
    """Deploy through the deterministic proxy, unless it is done already, and wait until that is final.

    Raises TransactionRefused when the chain has no proxy, ChainMismatch, RegistryMismatch,
    RpcUnavailable or KeyRefused.
    """
    chain_id = session.chosen_chain()
    reader = session.reader(chain_id)
    check_chain(chain_id, reader.chain_id())
    artifact = load_artifact()
    latest = reader.block("latest")
    code = reader.code(artifact.address, latest)
    if code:
        check_code(artifact.registry, chain_id, keccak256(code))
        return Deployed(artifact.address, chain_id, None)
    if not reader.code(CREATE2_PROXY, latest):
        raise TransactionRefused(
            f"chain {chain_id} has no deterministic deployment proxy at {CREATE2_PROXY}",
            next="Deploy the proxy first (see github.com/Arachnid/deterministic-deployment-proxy).",
        )
    signer = session.signer(session.key(key))
    writer = open_writer(session, chain_id, reader.url)
    call = deploy_call(chain_id)
    mined = writer.send(signer, lambda: call)
    say_waiting(report)
    mined = writer.wait_final(mined, signer)
    return Deployed(artifact.address, chain_id, mined.hash)
