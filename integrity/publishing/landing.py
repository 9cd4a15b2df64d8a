"""A release's record: sent once, or found standing, and waited for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from integrity.core.links import Link
from integrity.core.registry import Block
from integrity.errors import ReleaseExists, RpcAnswerInvalid, TransactionRefused
from integrity.ports import Report, Signer
from integrity.publishing.preparing import Published
from integrity.publishing.recording import Recorder, Standing
from integrity.publishing.telling import say_waiting
from integrity.publishing.writing import FINAL_SECONDS

if TYPE_CHECKING:
    from integrity.chain.transactions import Call, Mined


@dataclass(frozen=True, slots=True)
class Submitted:
    """A release that somebody else signed, recorded by the key ``by``. ``fee`` is in wei and, like
    ``gas_used``, None when this call sent nothing; ``already`` says that it stood so before.
    """

    link: Link
    manifest: bytes
    by: str
    signer: str
    sequence: int | None = None
    transaction: bytes | None = None
    block: Block | None = None
    gas_used: int | None = None
    fee: int | None = None
    final: bool = False
    already: bool = False


_Result = TypeVar("_Result", Published, Submitted)


def land(
    recorder: Recorder, signer: Signer, result: _Result, make_call: Callable[[], Call],
    serve: Callable[[], None], *, wait: bool, report: Report | None = None,
) -> _Result:  # fmt: skip
    """Record a release by this call -> the result with where it stands. ``serve`` is called once it is in a
    block. Raises what sending and waiting raise, and ReleaseExists.
    """
    try:
        mined = recorder.record(signer, make_call)
        serve()
        if wait:
            say_waiting(report)
            mined = recorder.wait_final(mined, signer, FINAL_SECONDS)
    except (ReleaseExists, TransactionRefused):
        # Perhaps another machine was faster.
        standing = recorder.standing()
        stands = None
        if standing is not None:
            stands = found_standing(recorder, standing, result, serve, wait=wait, report=report)
        if stands is None:
            raise
        return stands
    return replace(
        landed(recorder, result, mined, final=wait), gas_used=mined.gas_used, fee=mined.fee
    )


def landed(recorder: Recorder, result: _Result, mined: Mined, *, final: bool) -> _Result:
    """The result of a release that this transaction recorded. Raises ReleaseExists or RpcAnswerInvalid."""
    standing = recorder.standing(final=final)
    if standing is not None:
        check_same(standing, result)
    elif final:
        raise RpcAnswerInvalid(
            f"the RPC says that the transaction 0x{mined.hash.hex()} is final, and has no record of it",
            next="Run the same command again; nothing is recorded twice.",
        )
    return replace(
        result,
        sequence=standing.sequence if standing else None,
        transaction=mined.hash,
        block=mined.block,
        final=final,
    )


def found_standing(
    recorder: Recorder, standing: Standing, result: _Result, serve: Callable[[], None], *,
    wait: bool, report: Report | None = None,
) -> _Result | None:  # fmt: skip
    """The same release is recorded already: find out by which transaction, and send nothing. None
    when a reorganisation drops it while it is waited for.
    """
    check_same(standing, result)
    serve()
    if wait:
        say_waiting(report)
        final = recorder.wait_standing_final(result.manifest, FINAL_SECONDS)
        if final is None:
            return None
        check_same(final, result)
    elif (final := recorder.standing(final=True)) is not None:
        check_same(final, result)
    event = recorder.event()
    return replace(
        result,
        sequence=standing.sequence,
        transaction=event.transaction if event else None,
        block=event.block if event else None,
        gas_used=None,
        fee=None,
        final=final is not None,
        already=True,
    )


def check_same(standing: Standing, result: Published | Submitted, kept: Path | None = None) -> None:
    """Raises ReleaseExists when the version stands with another manifest than the result's; ``kept`` is
    where that may have been put before it was recorded.
    """
    if standing.manifest != result.manifest:
        recorded, given = standing.manifest.hex(), result.manifest.hex()
        more = {}
        if kept is not None and kept.is_file():
            more["next"] = (
                f"The manifest that is recorded is kept in {str(kept)!r}: restore the folder as it was, "
                "and run the same command again; or choose another version."
            )
        raise ReleaseExists(
            f"{result.link.package}@{result.link.version} is recorded already, with another "
            f"content: the recorded manifest is {recorded}, this one {given}",
            evidence={"recorded": recorded, "given": given},
            **more,
        )
