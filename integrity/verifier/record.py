"""Steps 1 to 5 of the verifier (spec v1, section 6): from a link to a record.

Evidence is taken in that order only. That the words of step 4 are those of the chain's state is for
:mod:`integrity.verifier.state` to prove; a record says on what it rests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from integrity.core.links import Link
from integrity.core.registry import (
    REVOCATION_REASONS,
    Block,
    Head,
    ReleaseSlot,
    decode_endorsement,
    decode_head,
    decode_release,
)
from integrity.errors import (
    NotEndorsed,
    RecordUnproven,
    Revoked,
    RpcAnswerInvalid,
)
from integrity.verifier.checks import (
    Mark,
    Registry,
    check_chain,
    check_code,
    check_compromised,
    check_delegate,
    check_pin,
    check_publisher,
    check_seen,
    not_recorded,
)
from integrity.verifier.policy import Policy
from integrity.verifier.state import CHECKPOINT, ONE_NODE, Vouched, basis
from integrity.verifier.verdict import Step, after, at_step

_NO_MANIFEST = bytes(32)


@dataclass(frozen=True, slots=True)
class Record:
    """A release as the registry has it. ``published_at`` is Unix seconds, ``by`` who sent it.
    ``endorsed_by`` are those of the endorsers that were asked about; ``steps`` say how it was verified.
    """

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
    endorsed_by: tuple[str, ...] = ()
    steps: tuple[Step, ...] = field(default=(), compare=False, repr=False)

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


class RecordVerifier:
    """One release; each step takes its own evidence, raises, or lets the next one be called. What it
    raises says which ones were passed.

    A step called out of order, or after one that raised, is a mistake in the program: RuntimeError.
    """

    def __init__(
        self,
        link: Link,
        registry: Registry,
        policy: Policy = Policy(),  # noqa: B008 - it never changes
    ) -> None:
        self._link = link
        self.registry = registry
        self.policy = policy
        self._steps: list[Step] = []
        self._next = 1
        self._block: Block | None = None
        self._vouched = Vouched(ONE_NODE)
        self._is_proven = False

    @contextmanager
    def at(self, number: int) -> Iterator[None]:
        """Around whatever a step needs: an error out of it is that step's, and says which were passed."""
        with after(self._steps), at_step(number):
            yield

    @contextmanager
    def _step(self, number: int) -> Iterator[None]:
        if self._next != number:
            raise RuntimeError(f"step {number} of the verifier was called out of order")
        self._next = 0  # none, if it raises
        with self.at(number):
            yield
        self._next = number + 1

    def _found(self, number: int, what: str, **evidence: Any) -> None:
        self._steps.append(Step(number, what, evidence))

    def step1_publisher(self, named: str | None, trusted: bool) -> None:
        """1. Who: ``named`` is the publisher the person named for this call, if they did."""
        with self._step(1):
            check_publisher(self._link, named, trusted)
            how = "was named for this call" if named is not None else "is trusted in this home"
            publisher = self._link.publisher
            self._found(
                1, f"the publisher {publisher} {how}", publisher=publisher, named=bool(named)
            )

    def step2_block(self, chain_id: int, block: Block, vouched: Vouched) -> None:
        """2. Header: it is one of the link's chain, this is the block to read at, and who says so."""
        with self._step(2):
            check_chain(self._link.chain_id, chain_id)
            self._block, self._vouched = block, vouched
            self._found(
                2, f"block {block.number} of chain {chain_id}, 0x{block.hash.hex()}: {vouched.words}",
                chain_id=chain_id, block=block.number, block_hash=block.hash.hex(),
                timestamp=block.timestamp, vouched=vouched.how, nodes=list(vouched.nodes),
                dissent=[f"{name}: 0x{found.hex()}" for name, found in vouched.dissent],
            )  # fmt: skip

    def step3_account(self, code_hash: bytes, *, proven: bool) -> None:
        """3. Account: the registry's own code stands at the registry's address."""
        with self._step(3):
            check_code(self.registry, self._link.chain_id, code_hash)
            self._is_proven = proven
            address = self.registry.address
            self._found(
                3, f"the registry's own code stands at {address}: {_how(proven)}",
                registry=address, code_hash=code_hash.hex(), proven=proven,
            )  # fmt: skip

    def step4_record(
        self,
        version: str,
        head_word: bytes,
        release_word: bytes,
        manifest_word: bytes,
        endorsements: Mapping[str, bytes] | None = None,
        mark: Mark | None = None,
    ) -> Record:
        """4. Storage: head, release and manifest digest agree, the release is not revoked, the link's pin
        holds, and what the policy asks of a release is there. ``manifest_word`` is that of the sequence the
        release's word gives, ``endorsements`` the word of each endorser that was asked about. Where there is
        no record, the head is held against the ``mark`` before that is said.
        """
        with self._step(4):
            assert self._block is not None
            head, release = decode_head(head_word), decode_release(release_word)
            name = f"{self._link.package}@{version} of {self._link.publisher}"
            if release.sequence == 0:
                check_seen(self._link, head, self._block, self._vouched, mark)
                raise not_recorded(
                    f"no record of {name} on chain {self._link.chain_id}",
                    self._block, self._vouched, proven=self._is_proven,
                )  # fmt: skip
            consistent = release.sequence <= head.count and head.latest <= head.count
            if not consistent or manifest_word == _NO_MANIFEST:
                raise RpcAnswerInvalid(
                    f"what the chain is said to have of {name} contradicts itself"
                )
            self._check_revocation(name, release)
            check_pin(self._link, name, manifest_word)
            check_delegate(self.policy, self._link.publisher, name, release.by)
            endorsed = self._check_endorsements(name, endorsements or {})
            self._found(
                4, f"release {release.sequence} of {head.count} has the manifest {manifest_word.hex()} and "
                f"is not revoked{_endorsed(endorsed)}: {_how(self._is_proven)}",
                sequence=release.sequence, releases=head.count, latest=head.latest,
                updated_at=head.updated_at, manifest=manifest_word.hex(), published_at=release.published_at,
                by=release.by, endorsed_by=list(endorsed), proven=self._is_proven,
            )  # fmt: skip
        return Record(
            self._link.chain_id,
            self._link.publisher,
            self._link.package,
            version,
            manifest_word,
            release.sequence,
            head,
            release.published_at,
            release.by,
            self._block,
            self.registry.address,
            self._vouched,
            self._is_proven,
            endorsed,
        )

    def step5_rollback(
        self, record: Record, mark: Mark | None, compromised_since: int | None, *,
        of_receipt: bool = False,
    ) -> Record:  # fmt: skip
        """5. Rollback: the package is no less than this reader has seen of it, and the release is not of
        a time at which its publisher's key was in other hands (Unix seconds). Nothing that was seen is held
        against a receipt.
        """
        with self._step(5):
            what = "nothing was seen of the package before"
            if of_receipt:
                what = "a receipt is of its own block, and what was seen later does not count against it"
            elif record.vouched.how == CHECKPOINT:
                what = "what was seen does not count against a checkpoint"
            elif mark is not None:
                check_seen(self._link, record.head, record.block, record.vouched, mark)
                what = f"the package is no less than it was at block {mark.block}"
            check_compromised(
                f"{record.package}@{record.version}", record.published_at, compromised_since
            )
            self._found(
                5, what, seen_count=mark and mark.count, seen_updated_at=mark and mark.updated_at,
                seen_block=mark and mark.block, compromised_since=compromised_since,
            )  # fmt: skip
        return replace(record, steps=tuple(self._steps))

    def _check_revocation(self, name: str, release: ReleaseSlot) -> None:
        if release.revocation:
            reason = REVOCATION_REASONS.get(release.revocation, str(release.revocation))
            raise Revoked(
                f"{name} was revoked by its publisher (reason: {reason})",
                evidence={"reason": reason, "code": release.revocation},
            )

    def _check_endorsements(self, name: str, words: Mapping[str, bytes]) -> tuple[str, ...]:
        """Who of the policy's endorsers has endorsed it."""
        kinds, needed = self.policy.endorsement_kinds, self.policy.endorsements
        named = dict.fromkeys(self.policy.endorsers)  # each counts once
        asked = [one for one in named if one != self._link.publisher]
        endorsed = tuple(
            one for one in asked if one in words and decode_endorsement(words[one]).kind in kinds
        )
        if len(endorsed) >= needed:
            return endorsed
        missing = [one for one in asked if one not in endorsed]
        unknown = [one for one in asked if one not in words or not self._is_proven]
        evidence = {
            "needed": needed, "endorsed_by": list(endorsed), "missing": missing,
            "unknown": [one for one in missing if one in unknown],
        }  # fmt: skip
        told = (
            f"{len(endorsed)} of the policy's endorsers have endorsed {name}, and {needed} have to"
        )
        if len(endorsed) + len(unknown) < needed:
            raise NotEndorsed(told, evidence=evidence)
        raise RecordUnproven(
            f"{told}; nothing is known here of {', '.join(one for one in missing if one in unknown)}",
            next="Ask a node that proves its state, with --rpc; of a receipt, take a new one, which has what "
            "the policy's endorsers say.",
            evidence=evidence,
        )


def _how(proven: bool) -> str:
    return "proven" if proven else "not proven"


def _endorsed(by: tuple[str, ...]) -> str:
    return f", and is endorsed by {', '.join(by)}" if by else ""
