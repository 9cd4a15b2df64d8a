"""What single steps of the verifier ask, for whoever needs the answer to one of them alone."""

from __future__ import annotations

from dataclasses import dataclass

from integrity.core.links import Link
from integrity.core.registry import Block, Head
from integrity.core.times import moment
from integrity.errors import (
    ChainMismatch,
    DelegateRefused,
    ManifestMismatch,
    PublisherCompromised,
    PublisherMismatch,
    RecordUnproven,
    RegistryMismatch,
    ReleaseNotFound,
    Rollback,
    StaleBlock,
    UnknownPublisher,
)
from integrity.verifier.policy import Policy
from integrity.verifier.proofs import EMPTY_CODE
from integrity.verifier.state import CHECKPOINT, Vouched, basis
from integrity.verifier.verdict import at_step


@dataclass(frozen=True, slots=True)
class Registry:
    """The contract a reader accepts: its address, and the Keccak-256 of its runtime code."""

    address: str
    code_hash: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """The furthest that a reader has seen a package: its head's ``count`` and ``updated_at`` at a block."""

    count: int
    updated_at: int
    block: int


def check_seen(link: Link, head: Head, block: Block, vouched: Vouched, mark: Mark | None) -> None:
    """What step 5 says of a package's head, also of one without the release that is asked about: raises
    StaleBlock when the chain is read at an older block than one that was seen, Rollback when the package
    has shrunk since. Nothing is held against a checkpoint, whose age is what the person asked for.
    """
    if mark is None or vouched.how == CHECKPOINT:
        return
    name = f"{link.package} of {link.publisher}"
    with at_step(5):
        if block.number < mark.block:
            raise StaleBlock(
                f"{name} was seen at block {mark.block} before, and the node's newest to read at is "
                f"{block.number}",
                next="Ask another node with --rpc; this one is behind.",
                evidence={"block": block.number, "seen": mark.block},
            )
        if head.count < mark.count or head.updated_at < mark.updated_at:
            raise Rollback(
                f"{name} has {head.count} releases as of block {block.number}, and had {mark.count} "
                f"at block {mark.block}: a part of its history is hidden",
                evidence={
                    "count": head.count, "seen_count": mark.count, "updated_at": head.updated_at,
                    "seen_updated_at": mark.updated_at, "block": block.number, "seen_block": mark.block,
                },
            )  # fmt: skip


def check_pin(link: Link, name: str, manifest: bytes) -> None:
    """Raises ManifestMismatch when the link, or the lock file that it is from, means another manifest than
    the one that is recorded (32 bytes). It also stands before a release is revoked, which is for good.
    """
    if link.pin is not None and link.pin != manifest:
        raise ManifestMismatch(
            f"the manifest recorded for {name} is {manifest.hex()}, and {link.pin.hex()} is the one that is "
            "pinned",
            evidence={"expected": link.pin.hex(), "actual": manifest.hex()},
            next="Ask whoever sent the link, or wrote the lock file, which one is meant; do not drop the pin "
            "unasked.",
        )


def check_delegate(policy: Policy, publisher: str, name: str, by: str) -> None:
    """Raises DelegateRefused when a release is by an account that the policy does not list."""
    allowed = policy.delegates
    if allowed is not None and by not in {publisher, *allowed}:
        raise DelegateRefused(
            f"{name} was published by {by}, which is not among the accounts whose releases of it "
            "this home takes",
            evidence={"by": by, "allowed": [publisher, *allowed]},
        )


def check_compromised(name: str, published_at: int, since: int | None) -> None:
    """Raises PublisherCompromised for a release of a time at which its publisher's key was in other hands
    (Unix seconds).
    """
    if since is not None and published_at >= since:
        raise PublisherCompromised(
            f"{name} was published {moment(published_at)}, and this home takes its publisher for "
            f"compromised since {moment(since)}",
            evidence={"published_at": published_at, "since": since},
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
