"""Steps 1 to 5 of the verifier (spec v1, section 6): from a link to a record.

Evidence is taken in that order only. That the words of step 4 are those of the chain's state is for
:mod:`integrity.verifier.state` to prove; a record says on what it rests.
"""

from __future__ import annotations

from dataclasses import dataclass

from integrity.core.links import Link
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
    PublisherCompromised,
    PublisherMismatch,
    RecordUnproven,
    RegistryMismatch,
    ReleaseNotFound,
    Revoked,
    Rollback,
    RpcAnswerInvalid,
    StaleBlock,
    UnknownPublisher,
)
from integrity.verifier.proofs import EMPTY_CODE
from integrity.verifier.state import CHECKPOINT, ONE_NODE, Vouched, basis

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
    vouched: Vouched
    is_proven: bool

    @property
    def link(self) -> Link:
        """Its link, with its version and without hints."""
        return Link(self.chain_id, self.publisher, self.package, self.version)

    @property
    def basis(self) -> str:
        """On what it rests, in words."""
        return basis(self.vouched, proven=self.is_proven)

    @property
    def is_latest(self) -> bool:
        return self.head.latest == self.sequence


@dataclass(frozen=True, slots=True)
class Mark:
    """The furthest that a reader has seen a package: its head's ``count`` and ``updated_at`` at a block."""

    count: int
    updated_at: int
    block: int


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
        self._vouched = Vouched(ONE_NODE)
        self._is_proven = False

    def _begin(self, step: int) -> None:
        if self._done != step - 1:
            raise RuntimeError(f"step {step} of the verifier was called after step {self._done}")

    def step1_publisher(self, named: str | None, trusted: bool) -> None:
        """1. Who: ``named`` is the publisher the person named for this call, if they did."""
        self._begin(1)
        check_publisher(self._link, named, trusted)
        self._done = 1

    def step2_block(self, chain_id: int, block: Block, vouched: Vouched) -> None:
        """2. Header: it is one of the link's chain, this is the block to read at, and who says so."""
        self._begin(2)
        check_chain(self._link.chain_id, chain_id)
        self._block, self._vouched = block, vouched
        self._done = 2

    def step3_account(self, code_hash: bytes, *, proven: bool) -> None:
        """3. Account: the registry's own code stands at the registry's address."""
        self._begin(3)
        check_code(self._registry, self._link.chain_id, code_hash)
        self._is_proven = proven
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
            raise not_recorded(
                f"no record of {name} on chain {self._link.chain_id}",
                self._block, self._vouched, proven=self._is_proven,
            )  # fmt: skip
        consistent = release.sequence <= head.count and head.latest <= head.count
        if not consistent or manifest_word == _NO_MANIFEST:
            raise RpcAnswerInvalid(f"what the chain is said to have of {name} contradicts itself")
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
            self._vouched,
            self._is_proven,
        )

    def step5_rollback(
        self, record: Record, mark: Mark | None, compromised_since: int | None
    ) -> Record:
        """5. Rollback: the package is no less than this reader has seen of it, and the release is not of
        a time at which its publisher's key was in other hands (Unix seconds).
        """
        self._begin(5)
        if mark is not None and record.vouched.how != CHECKPOINT:
            check_mark(record, mark)
        if compromised_since is not None and record.published_at >= compromised_since:
            raise PublisherCompromised(
                f"{record.package}@{record.version} was published at {record.published_at}, and this "
                f"home takes its publisher for compromised since {compromised_since}",
                evidence={"published_at": record.published_at, "since": compromised_since},
            )
        self._done = 5
        return record

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


def check_mark(record: Record, mark: Mark) -> None:
    """Raises StaleBlock when the chain is read at an older block than one that was seen, Rollback when
    the package has shrunk since.
    """
    name = f"{record.package} of {record.publisher}"
    if record.block.number < mark.block:
        raise StaleBlock(
            f"{name} was seen at block {mark.block} before, and the node's newest to read at is "
            f"{record.block.number}",
            next="Ask another node with --rpc; this one is behind.",
            evidence={"block": record.block.number, "seen": mark.block},
        )
    head = record.head
    if head.count < mark.count or head.updated_at < mark.updated_at:
        raise Rollback(
            f"{name} has {head.count} releases as of block {record.block.number}, and had {mark.count} "
            f"at block {mark.block}: a part of its history is hidden",
            evidence={
                "count": head.count, "seen_count": mark.count, "updated_at": head.updated_at,
                "seen_updated_at": mark.updated_at, "block": record.block.number,
                "seen_block": mark.block,
            },
        )  # fmt: skip


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


def not_recorded(
    what: str, block: Block, vouched: Vouched, *, proven: bool
) -> ReleaseNotFound | RecordUnproven:
    """What to raise where there is no record. Only a proof makes that an answer."""
    evidence = {"block": block.number, "block_hash": block.hash.hex()}
    rests = f"as of block {block.number} ({basis(vouched, proven=proven)})"
    if proven:
        return ReleaseNotFound(f"{what}, {rests}", evidence=evidence)
    return RecordUnproven(f"{what}, {rests}", evidence=evidence)


def check_code(registry: Registry, chain_id: int, actual: bytes) -> None:
    """Step 3 alone, which also stands before every transaction to the registry: the Keccak-256 of what
    stands there.
    """
    if actual != registry.code_hash:
        code = actual != EMPTY_CODE
        what = "another contract stands" if code else "no contract stands"
        raise RegistryMismatch(
            f"{what} at the registry's address {registry.address} on chain {chain_id}",
            evidence={
                "address": registry.address,
                "expected": registry.code_hash.hex(),
                "actual": actual.hex() if code else None,
            },
        )
