"""Recording what somebody else has signed, and paying for it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from integrity.chain.calls import registry_call
from integrity.client.session import Session
from integrity.core.request import Request
from integrity.core.signatures import signer_of_65
from integrity.core.times import moment
from integrity.errors import SignatureInvalid, TransactionRefused, UsageError
from integrity.ports import Report
from integrity.publishing.landing import Submitted, check_same, found_standing, land
from integrity.publishing.recording import Recorder, submit_purpose

if TYPE_CHECKING:
    from integrity.chain.transactions import Call

_MARGIN = 60
"""Seconds that have to be left: a transaction that comes too late costs its fee for nothing."""


def submit(
    session: Session,
    request: Request,
    *,
    key: str | None = None,
    wait: bool = True,
    report: Report | None = None,
) -> Submitted:
    """Record a release for who signed the request, with a key of one's own, which need not be known to
    anybody. Everything that the registry would refuse is refused before anything is paid.

    Raises UsageError, TransactionRefused, SignatureInvalid, ReleaseExists, and what sending raises.
    """
    info = session.key(key)
    _check_place(session, request)
    recorder = Recorder(session, request.link, request.version)
    result = Submitted(request.link, request.manifest, info.address, request.signer)
    standing = recorder.standing()
    if standing is not None:
        check_same(standing, result)
        stands = found_standing(recorder, standing, result, _nothing, wait=wait, report=report)
        if stands is not None:
            return stands
    _check_signature(session, request)

    def make_call() -> Call:
        _check_turn(recorder, request)
        args = (*request.publish_args, request.signer, request.deadline, request.signature)
        return registry_call(
            recorder.registry, "publishWithSignature", args, submit_purpose(request)
        )

    recorder.estimate(make_call, info.address)
    return land(
        recorder, session.signer(info), result, make_call, _nothing, wait=wait, report=report
    )


def _nothing() -> None:
    """Whoever pays for a release need not have it."""


def _check_place(session: Session, request: Request) -> None:
    """Raises UsageError when the person named another chain, TransactionRefused when it is for another
    contract.
    """
    if session.chain_id not in {None, request.chain_id}:
        raise UsageError(
            f"the request is for chain {request.chain_id}, not for {session.chain_id}",
            next="Leave --chain out: a request says itself for which chain it is signed.",
        )
    registry = session.registry(request.chain_id, request.publisher).address
    if request.registry != registry:
        raise TransactionRefused(
            f"the request is signed for the contract {request.registry}, and the registry is {registry}",
            evidence={"signed": request.registry, "registry": registry},
        )


def _check_turn(recorder: Recorder, request: Request) -> None:
    """Raises TransactionRefused when it comes too late, or another release came first."""
    now = max(int(time.time()), recorder.time())
    if now + _MARGIN > request.deadline:
        raise TransactionRefused(
            f"the request was to be recorded until {moment(request.deadline)}, and it is too late",
            next=f"Ask {request.signer} to sign it again; nothing was sent.",
            evidence={"deadline": request.deadline, "now": now},
        )
    count = recorder.count()
    if count != request.count:
        raise TransactionRefused(
            f"the request is signed for release {request.count + 1} of {request.package}, and "
            f"{count} of them are recorded",
            next=f"Ask {request.signer} to sign it again; nothing was sent.",
            evidence={"signed": request.count, "recorded": count},
        )


def _check_signature(session: Session, request: Request) -> None:
    """As the registry does: a key's own signature, or whatever a contract takes for its (ERC-1271)."""
    if signer_of_65(request.digest, request.signature) == request.signer:
        return
    reader = session.reader(request.chain_id)
    # A contract may take the empty one, for what was approved on the chain.
    if not reader.takes_signature(request.signer, request.digest, request.signature):
        if not request.signature:
            raise UsageError(
                f"the request is not signed; {request.signer} has to",
                next="Have it signed and name the signature with --signature.",
            )
        raise SignatureInvalid(
            f"the signature is none of {request.signer} over this request",
            evidence={"signer": request.signer, "digest": "0x" + request.digest.hex()},
        )
