"""Receipts: a record with its proofs in one file, which anybody can check without a network (spec v1,
section 6.6).

A receipt is one line of canonical JSON. It proves what the registry held as of its block, so also that
the release was not revoked then; that this block is the chain's, somebody has to vouch for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from integrity.core.documents import Document
from integrity.core.links import CHAIN_ID_LIMIT, Link
from integrity.core.names import check_package, check_version, keccak256, parse_address
from integrity.core.registry import (
    StateProof,
    decode_release,
    endorsement_slot,
    head_slot,
    manifest_slot,
    release_slot,
)
from integrity.errors import FormatError, ProofInvalid, WrongRelease
from integrity.verifier.checks import Registry
from integrity.verifier.policy import ENDORSERS_LIMIT
from integrity.verifier.proofs import BlockHeader, read_header
from integrity.verifier.record import Record, RecordVerifier
from integrity.verifier.state import ProvenState, Vouched

RECEIPT_LIMIT = 1 << 20
"""Bytes of a receipt: its four proofs have at most 65 nodes of 0.8 KB each, twice that in hex."""

_NODES = 65
_ANOTHER = (
    "Do not believe it: take another one with `integrity receipt export`, or from who made it."
)
_PROOFS = ("account", "head", "manifest", "release")
_NAMES = ("package", "publisher", "registry", "version")
_DOCUMENT = Document(
    "receipt", "integrity-receipt/1", frozenset(("chain", "header", *_PROOFS, *_NAMES)), RECEIPT_LIMIT,
    optional=frozenset(("endorsements",)),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Receipt:
    """What is claimed, and its proofs: the block's header as RLP, and trie nodes from the root down.
    ``endorsements`` has those of each endorser's word, whether there is an endorsement or not.
    """

    chain_id: int
    registry: str
    publisher: str
    package: str
    version: str
    header: bytes
    account: tuple[bytes, ...]
    head: tuple[bytes, ...]
    release: tuple[bytes, ...]
    manifest: tuple[bytes, ...]
    endorsements: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)

    @property
    def link(self) -> Link:
        """The release."""
        return Link(self.chain_id, self.publisher, self.package, self.version)

    @property
    def block_hash(self) -> bytes:
        """Whom to ask about: the hash of its block, 32 bytes."""
        return keccak256(self.header)


def encode(receipt: Receipt) -> bytes:
    """Its one canonical form: sorted keys, no spaces, hex in lower case, an LF at the end."""
    value: dict[str, Any] = {name: getattr(receipt, name) for name in _NAMES}
    value |= {name: [node.hex() for node in getattr(receipt, name)] for name in _PROOFS}
    if receipt.endorsements:
        value["endorsements"] = {
            one: [node.hex() for node in nodes] for one, nodes in receipt.endorsements.items()
        }
    value |= {"chain": receipt.chain_id, "header": receipt.header.hex()}
    return _DOCUMENT.write(value)


def decode(data: bytes) -> Receipt:
    """Read a receipt; nothing of it is proven by that. Raises FormatError, NonCanonical, LimitExceeded
    or AddressMalformed.
    """
    value = _DOCUMENT.read(data)
    chain = _DOCUMENT.number(value["chain"], "chain", CHAIN_ID_LIMIT, 1)
    names = {name: _DOCUMENT.text(value[name], name) for name in _NAMES}
    check_package(names["package"])
    check_version(names["version"])
    for name in ("publisher", "registry"):
        names[name] = parse_address(names[name])
    receipt = Receipt(
        chain, names["registry"], names["publisher"], names["package"], names["version"],
        _DOCUMENT.hex(value["header"], "header"),
        endorsements=_endorsements(value["endorsements"]) if "endorsements" in value else {},
        **{name: _nodes(value[name], name) for name in _PROOFS},
    )  # fmt: skip
    _DOCUMENT.check_canonical(data, encode(receipt))
    return receipt


def check_asked(receipt: Receipt, link: Link) -> None:
    """Raises WrongRelease when a receipt is of another release than the link's."""
    told = replace(receipt.link, version=receipt.version if link.version else None)
    asked = Link(link.chain_id, link.publisher, link.package, link.version)
    if told != asked:
        raise WrongRelease(
            f"the receipt is of {receipt.link}, not of {asked}",
            evidence={"expected": str(asked), "actual": str(receipt.link)},
        )


def check(
    receipt: Receipt,
    verifier: RecordVerifier,
    vouched: Vouched,
    compromised_since: int | None = None,
    asked: Link | None = None,
) -> Record:
    """Steps 2 to 5 of a verifier that is past step 1, of the receipt's link with the pin of the one that was
    ``asked`` about, against which :func:`check_asked` held it; ``vouched`` is who vouches for its block.
    What was seen later is not held against it: a receipt says of which block it is. Of the policy counts
    what it asks of a release.

    Raises RegistryMismatch, ProofInvalid, ReleaseNotFound, Revoked, ManifestMismatch, DelegateRefused,
    NotEndorsed, RecordUnproven when it does not say of an endorser, WrongRelease or PublisherCompromised.
    """
    header = read_header(receipt.header)
    verifier.step2_block(receipt.chain_id, header.block, vouched)
    with verifier.at(3):
        state, words, endorsements = _proven(receipt, header, verifier.registry)
    verifier.step3_account(state.code_hash, proven=True)
    record = verifier.step4_record(receipt.version, *words, endorsements)
    with verifier.at(4):
        if asked is not None and asked.version is None and not record.is_latest:
            raise WrongRelease(
                f"{asked} means the latest release, and the receipt is of {record.version}, which was not "
                f"that as of block {record.block.number}",
                next="Name the version in the link, if this one is meant.",
                evidence={"sequence": record.sequence, "latest": record.head.latest},
            )
    return verifier.step5_rollback(record, None, compromised_since, of_receipt=True)


def _proven(
    receipt: Receipt, header: BlockHeader, registry: Registry
) -> tuple[ProvenState, tuple[bytes, bytes, bytes], dict[str, bytes]]:
    """The account; the words of head, release and manifest; and those of the endorsers."""
    if receipt.registry != registry.address:
        raise ProofInvalid(
            f"the receipt is of the contract {receipt.registry}, and the registry is {registry.address}",
            next=_ANOTHER,
            evidence={"expected": registry.address, "actual": receipt.registry},
        )
    state = ProvenState(header, registry.address)
    names = (receipt.publisher, receipt.package)

    def word(slot: bytes, nodes: tuple[bytes, ...]) -> bytes:
        try:
            return state.take(StateProof(receipt.account, {slot: nodes}), [slot])[0]
        except ProofInvalid as error:
            error.next = _ANOTHER
            raise error.about("what the receipt says is not proven by it") from None

    head = word(head_slot(*names), receipt.head)
    release = word(release_slot(*names, receipt.version), receipt.release)
    sequence = decode_release(release).sequence
    if not sequence:
        return state, (head, release, bytes(32)), {}
    manifest = word(manifest_slot(*names, sequence), receipt.manifest)
    endorsements = {
        endorser: word(endorsement_slot(endorser, manifest), nodes)
        for endorser, nodes in receipt.endorsements.items()
    }
    return state, (head, release, manifest), endorsements


def _endorsements(value: object) -> dict[str, tuple[bytes, ...]]:
    if not isinstance(value, dict) or not 0 < len(value) <= ENDORSERS_LIMIT:
        raise FormatError(
            f"a receipt whose endorsements are no object of 1 to {ENDORSERS_LIMIT} names"
        )
    return {parse_address(one): _nodes(nodes, "endorsements") for one, nodes in value.items()}


def _nodes(value: object, name: str) -> tuple[bytes, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) > _NODES:
        raise FormatError(f"a receipt whose {name} is no list of at most {_NODES} nodes")
    return tuple(_DOCUMENT.hex(node, name) for node in value)
