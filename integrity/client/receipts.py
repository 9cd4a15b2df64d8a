"""Receipts taken from the chain, and checked without it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from integrity.client.resolving import begin, read_record, resolve, verifier_of
from integrity.client.session import Session
from integrity.client.viewing import View
from integrity.core.links import Link
from integrity.core.registry import Block, endorsement_slot, head_slot, manifest_slot, release_slot
from integrity.disk.files import write_whole
from integrity.disk.sidecars import read_named, receipt_path
from integrity.errors import (
    DiskError,
    FormatError,
    HeaderUntrusted,
    IntegrityError,
    UsageError,
    WrongRelease,
)
from integrity.verifier.policy import ENDORSERS_LIMIT, Policy
from integrity.verifier.proofs import read_header
from integrity.verifier.receipt import RECEIPT_LIMIT, Receipt, check, check_asked, decode, encode
from integrity.verifier.record import Record
from integrity.verifier.state import CHECKPOINT, SEEN, Vouched


def take_receipt(session: Session, link: Link, endorsers: Sequence[str] = ()) -> Receipt:
    """The receipt of a release, or of its package's latest, as of the block that the policy says; with the
    endorsements of the policy's endorsers and of these. Raises what resolving raises; nothing but proofs
    will do.
    """
    version = link.version or resolve(session, link).version
    verifier, view = begin(session, link)
    record = read_record(session, verifier, view, link, version)
    return receipt_of(session, view, record, endorsers)


def receipt_of(
    session: Session, view: View, record: Record, endorsers: Sequence[str] = ()
) -> Receipt:
    """The receipt of a record that was read in this view, with what the policy's endorsers and these say
    of its manifest. Raises ProofUnavailable and what else proving raises.
    """
    names = (record.publisher, record.package)
    head, release = head_slot(*names), release_slot(*names, record.version)
    manifest = manifest_slot(*names, record.sequence)
    asked = (*session.policy(record.chain_id, record.link).endorsers, *endorsers)
    if len(set(asked)) > ENDORSERS_LIMIT:
        raise UsageError(f"a receipt speaks of {ENDORSERS_LIMIT} endorsers at the most")
    endorsed = {one: endorsement_slot(one, record.manifest) for one in asked}
    _, proof = view.prove([head, release, manifest, *endorsed.values()])
    assert view.header is not None, "else nothing would be proven"
    return Receipt(
        record.chain_id, view.registry.address, *names, record.version,
        view.header, proof.account, proof.slots[head], proof.slots[release], proof.slots[manifest],
        {one: proof.slots[slot] for one, slot in endorsed.items()},
    )  # fmt: skip


def write_receipt(folder: Path, receipt: Receipt, warnings: list[str]) -> None:
    """Write it beside a release's folder, as ``NAME.receipt``; what goes wrong is a warning."""
    path = receipt_path(folder)
    if os.path.lexists(path) and not _is_receipt(path):
        warnings.append(f"{str(path)!r} is not a receipt; it was left alone")
        return
    try:
        write_whole(path, encode(receipt))
    except DiskError as error:
        warnings.append(f"the receipt was not written: {error.message}")


def ship_receipt(session: Session, link: Link, folder: Path, warnings: list[str]) -> None:
    """Put the receipt of a release (its link, with a version and without hints) beside its folder, unless
    it is there. The release stands without it: what goes wrong is a warning.
    """
    try:
        with contextlib.suppress(UsageError, FormatError):
            if decode(read_receipt(receipt_path(folder))).link == link:
                return
        write_receipt(folder, take_receipt(session, link), warnings)
    except IntegrityError as error:
        warnings.append(f"no receipt was written: {error.message}")


def _is_receipt(path: Path) -> bool:
    try:
        decode(read_receipt(path))
    except IntegrityError:
        return False
    return not path.is_symlink()


def read_receipt(path: Path) -> bytes:
    """The bytes of a file that should be a receipt. Raises UsageError or LimitExceeded."""
    return read_named(path, RECEIPT_LIMIT, "a receipt")


def check_receipt(session: Session, data: bytes, link: Link | None = None) -> Record:
    """What a receipt proves, of the link's release if there is a link. Its block is vouched for by the
    session's checkpoint, by the nodes that were named for this call, or by what this home has seen.

    No network is used but for those nodes. Raises FormatError, UnknownPublisher, PublisherMismatch,
    WrongRelease, ManifestMismatch, HeaderUntrusted, ProofInvalid, RegistryMismatch, Revoked or
    PublisherCompromised.
    """
    receipt = decode(data)
    if session.chain_id not in {None, receipt.chain_id}:
        raise WrongRelease(
            f"the receipt is of chain {receipt.chain_id}, not of {session.chain_id}",
            evidence={"expected": session.chain_id, "actual": receipt.chain_id},
        )
    if link is not None:
        check_asked(receipt, link)
    meant = link or receipt.link
    verifier = verifier_of(session, replace(receipt.link, pin=meant.pin))
    since = session.trust.compromised_since(receipt.chain_id, receipt.publisher)
    with verifier.at(2):
        block = read_header(receipt.header).block
        vouched = _vouched(session, receipt, block, verifier.policy)
    record = check(receipt, verifier, vouched, since, meant)
    if link is not None or session.chain_id is not None:
        session.seen.note(record)  # else nobody but the receipt says of which chain its block is
    return record


def _vouched(session: Session, receipt: Receipt, block: Block, policy: Policy) -> Vouched:
    if session.checkpoint is not None:
        if session.checkpoint != block.hash:
            raise HeaderUntrusted(
                f"the receipt is of block {block.number}, whose hash is 0x{block.hash.hex()}, not that of "
                "the checkpoint",
                next="A checkpoint vouches for its own block alone: find out whether this is one, too.",
                evidence={"expected": session.checkpoint.hex(), "actual": block.hash.hex()},
            )
        return Vouched(CHECKPOINT)
    if session.seen.has_block(receipt.chain_id, block.hash, policy.quorum):
        return Vouched(SEEN)
    if session.rpc:
        return session.vouch(receipt.link, block)
    raise HeaderUntrusted(
        f"nobody here vouches for block {block.number} of chain {receipt.chain_id}, whose hash is "
        f"0x{block.hash.hex()}",
        next="Compare that hash with a block explorer or a node of yours, and name it with --checkpoint; "
        "or name nodes with --rpc.",
        evidence={"block": block.number, "block_hash": block.hash.hex()},
    )
