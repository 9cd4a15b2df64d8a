"""One record proven again and again, and resolved, in one process whose imports are done; prints JSON.

python -m benchmarks.proving HOME LINK RECEIPT
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import rlp
from trie.hexary import HexaryTrie

from integrity.client.resolving import resolve
from integrity.client.session import Session
from integrity.core.links import Link, parse_link
from integrity.core.names import keccak256
from integrity.core.registry import head_slot, manifest_slot, release_slot
from integrity.home import Home
from integrity.verifier.checks import Registry
from integrity.verifier.receipt import Receipt, check, decode
from integrity.verifier.record import Record, RecordVerifier
from integrity.verifier.state import CHECKPOINT, Vouched

TIMES = 200


def cpu(work: Callable[[], object]) -> float:
    """Median seconds of processor time."""
    taken = []
    for _ in range(TIMES):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return statistics.median(taken)


def by_peer(receipt: Receipt) -> None:
    """The same proofs with py-trie and pyrlp."""
    state = rlp.decode(receipt.header)[3]
    keccak256(receipt.header)
    address = keccak256(bytes.fromhex(receipt.registry[2:]))
    account = rlp.decode(_value(state, address, receipt.account))
    names = (receipt.publisher, receipt.package)
    for slot, proof in (
        (head_slot(*names), receipt.head),
        (release_slot(*names, receipt.version), receipt.release),
        (manifest_slot(*names, 1), receipt.manifest),
    ):
        _value(account[2], keccak256(slot), proof)


def _value(root: bytes, key: bytes, proof: tuple[bytes, ...]) -> bytes:
    nodes = [rlp.decode(node) for node in proof]
    return bytes(HexaryTrie.get_from_proof(root, key, nodes))  # type: ignore[no-untyped-call]


def checked(receipt: Receipt, registry: Registry) -> Record:
    """What it proves to who believes its publisher and its block."""
    verifier = RecordVerifier(receipt.link, registry)
    verifier.step1_publisher(receipt.publisher, False)
    return check(receipt, verifier, Vouched(CHECKPOINT))


def main(home: str, text: str, path: str) -> None:
    session = Session(Home.at(Path(home)))
    link = parse_link(text)
    assert isinstance(link, Link)
    receipt = decode(Path(path).read_bytes())
    registry = session.registry(link.chain_id)
    resolve(session, link)  # what is imported on the way is imported now
    walls = []
    for _ in range(20):
        started = time.perf_counter()
        resolve(session, link)
        walls.append(time.perf_counter() - started)
    print(
        json.dumps(
            {
                "proof": cpu(lambda: checked(receipt, registry)),
                "peer": cpu(lambda: by_peer(receipt)),
                "resolve": statistics.median(walls),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
