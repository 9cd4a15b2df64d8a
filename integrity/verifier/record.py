"""Steps 1 to 4 of the verifier (spec v1, section 6): from a link to a record.

Evidence is taken in that order only. Step 5 (rollback) and the proofs of steps 2 to 4 need state
proofs, which this release does not ask for yet; a record therefore says on what it rests.
"""

from __future__ import annotations

from dataclasses import dataclass

from integrity.core.links import Link
from integrity.core.names import keccak256
from integrity.core.registry import (
    REVOCATION_REASONS,
    Block,
    Head,
    ReleaseSlot,
    decode_head,
    decode_release,
)
from integrity.errors import (
    ChainMismatch,
    ManifestMismatch,
    PublisherMismatch,
    RegistryMismatch,
    ReleaseNotFound,
    Revoked,
    RpcAnswerInvalid,
    UnknownPublisher,
)

ONE_RPC = "one rpc, unproven"
"""What a record rests on while a single node is believed."""

_NO_MANIFEST = bytes(32)


@dataclass(frozen=True, slots=True)
class Registry:
    """The contract a reader accepts: its address, and the Keccak-256 of its runtime code."""

    address: str
    code_hash: bytes


@dataclass(frozen=True, slots=True)
class Record:
    """A release as the registry has it. ``published_at`` is Unix seconds, ``by`` who sent it."""

    chain_id: int
    publisher: str
    package: str
    version: str
    manifest: bytes
    sequence: int
    head: Head
    published_at: int
    by: str
    block: Block
    registry: str
    basis: str = ONE_RPC

    @property
    def is_latest(self) -> bool:
        return self.head.latest == self.sequence


class RecordVerifier:
    """One release; each step takes its own evidence, raises, or lets the next one be called.

    A step called out of order, or after one that raised, is a mistake in the program: RuntimeError.
    """

    def __init__(self, link: Link, version: str, registry: Registry) -> None:
        self._link = link
        self._version = version
        self._registry = registry
        self._done = 0
        self._block: Block | None = None

    def _begin(self, step: int) -> None:
        if self._done != step - 1:
            raise RuntimeError(f"step {step} of the verifier was called after step {self._done}")

    def step1_publisher(self, named: str | None, trusted: bool) -> None:
        """1. Who: ``named`` is the publisher the person named for this call, if they did."""
        self._begin(1)
        check_publisher(self._link, named, trusted)
        self._done = 1

    def step2_block(self, chain_id: int, block: Block) -> None:
        """2. Header: the node serves the link's chain, and this is the block to read at."""
        self._begin(2)
        check_chain(self._link.chain_id, chain_id)
        self._block = block
        self._done = 2

    def step3_account(self, code: bytes) -> None:
        """3. Account: the registry's own code stands at the registry's address."""
        self._begin(3)
        check_code(self._registry, self._link.chain_id, code)
        self._done = 3

    def step4_record(self, head_word: bytes, release_word: bytes, manifest_word: bytes) -> Record:
        """4. Storage: head, release and manifest digest agree, the release is not revoked, and the
        link's pin holds. ``manifest_word`` is that of the sequence the release's word gives.
        """
        self._begin(4)
        assert self._block is not None
        head, release = decode_head(head_word), decode_release(release_word)
        name = f"{self._link.package}@{self._version} of {self._link.publisher}"
        if release.sequence == 0:
            raise ReleaseNotFound(
                f"no record of {name} on chain {self._link.chain_id}, "
                f"as one RPC says of block {self._block.number}"
            )
        consistent = release.sequence <= head.count and head.latest <= head.count
        if not consistent or manifest_word == _NO_MANIFEST:
            raise RpcAnswerInvalid(f"the RPC's answers about {name} contradict each other")
        self._check_revocation(name, release)
        self._check_pin(name, manifest_word)
        self._done = 4
        return Record(
            self._link.chain_id,
            self._link.publisher,
            self._link.package,
            self._version,
            manifest_word,
            release.sequence,
            head,
            release.published_at,
            release.by,
            self._block,
            self._registry.address,
        )

    def _check_revocation(self, name: str, release: ReleaseSlot) -> None:
        if release.revocation:
            reason = REVOCATION_REASONS.get(release.revocation, str(release.revocation))
            raise Revoked(
                f"{name} was revoked by its publisher (reason: {reason})",
                evidence={"reason": reason, "code": release.revocation},
            )

    def _check_pin(self, name: str, manifest: bytes) -> None:
        pin = self._link.pin
        if pin is not None and pin != manifest:
            raise ManifestMismatch(
                f"the link pins another manifest than the one recorded for {name}",
                evidence={"expected": pin.hex(), "actual": manifest.hex()},
                next="Ask whoever sent the link which one is meant; do not drop the pin unasked.",
            )


def check_publisher(link: Link, named: str | None, trusted: bool) -> None:
    """Step 1 alone, for callers who must know before they ask anybody anything."""
    if named is not None and named != link.publisher:
        raise PublisherMismatch(
            f"the link is of the publisher {link.publisher}, not of {named}",
            evidence={"expected": named, "actual": link.publisher},
        )
    if named is None and not trusted:
        raise UnknownPublisher(
            f"nobody here knows the publisher {link.publisher} of chain {link.chain_id}",
            next=f"If you believe them, name them with --publisher {link.publisher}, or add them "
            f"with `integrity trust add NAME {link.publisher} --chain {link.chain_id}`.",
        )


def check_chain(expected: int, actual: int) -> None:
    """The first half of step 2, which also stands before every signature."""
    if expected != actual:
        raise ChainMismatch(
            f"the RPC serves chain {actual}, but chain {expected} is asked about",
            evidence={"expected": expected, "actual": actual},
        )


def check_code(registry: Registry, chain_id: int, code: bytes) -> None:
    """Step 3 alone, which also stands before every transaction to the registry."""
    actual = keccak256(code)
    if actual != registry.code_hash:
        what = "another contract stands" if code else "no contract stands"
        raise RegistryMismatch(
            f"{what} at the registry's address {registry.address} on chain {chain_id}",
            evidence={
                "address": registry.address,
                "expected": registry.code_hash.hex(),
                "actual": actual.hex() if code else None,
            },
        )
