"""``integrity publish --sign-only``, and ``integrity submit``: one signs, another one pays."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from integrity_cli import output
from integrity_cli.interrupting import interrupted
from integrity_cli.options import Chain, Json, Key, MaxFee, Rpc, Wait, session
from integrity_cli.options import path as parse_path
from integrity_cli.progress import note
from integrity_cli.values import cost, transaction_value

if TYPE_CHECKING:
    from integrity.core.request import Request

_DURATION = re.compile(r"([0-9]{1,6})([mhd])")
_SECONDS = {"m": 60, "h": 3600, "d": 86_400}
_LONGEST = 3650 * 86_400


def seconds(text: str) -> int:
    """A duration as ``30m``, ``12h`` or ``7d``. Raises UsageError."""
    from integrity.errors import UsageError

    match = _DURATION.fullmatch(text)
    number = int(match[1]) * _SECONDS[match[2]] if match else 0
    if not 0 < number <= _LONGEST:
        raise UsageError(
            f"--deadline takes a time from now, not {text[:40]!r}", next="As 12h or 7d."
        )
    return number


def value(request: Request | None, place: Path) -> dict[str, Any] | None:
    """The request in the JSON of publish."""
    if request is None:
        return None
    to, data = _call(request)
    return {
        "path": str(place),
        "signer": request.signer,
        "signed": bool(request.signature),
        "deadline": request.deadline,
        "digest": "0x" + request.digest.hex(),
        "call": {"to": to, "data": data},
        "typed_data": request.typed_data,
    }


def tell(request: Request | None, place: Path) -> None:
    """Say what is to be done with it."""
    if request is None:
        output.say("  it is recorded already; there is nothing to sign")
        return
    output.say(f"  request  {place}, good until {output.moment(request.deadline)}")
    if request.signature:
        output.say(f"  whoever pays records it with: integrity submit {place}")
        return
    to, data = _call(request)
    output.say(
        f"  it is not signed: {request.signer} has to. Either it signs",
        f"    0x{request.digest.hex()}",
        f"  (EIP-712; --json has the typed data) and: integrity submit {place} --signature 0x…",
        "  or it records the release itself, as a Safe does with its transaction builder:",
        f"    to    {to}",
        f"    data  {data}",
    )


def submit(
    file: Annotated[
        Path, typer.Argument(help="What publish --sign-only wrote.", parser=parse_path)
    ],
    *,
    signature: Annotated[
        str | None,
        typer.Option(metavar="0x…", help="The signature of a request that is not signed yet."),
    ] = None,
    key: Key = None,
    rpc: Rpc = [],
    chain: Chain = None,
    max_fee: MaxFee = None,
    wait: Wait = True,
    as_json: Json = False,
) -> None:
    """Record a release that somebody else signed, and pay for it.

    Your key needs ether and nobody's leave; the release is theirs.
    """
    from dataclasses import replace

    from integrity.publishing.recording import submit_purpose
    from integrity.publishing.requesting import read_request
    from integrity.publishing.submitting import submit as run

    request = read_request(file)
    if signature is not None:
        request = replace(request, signature=_signature(signature))
    given = session(rpc=rpc, chain=chain, max_fee=max_fee)
    try:
        done = run(given, request, key=key, wait=wait, report=note)
    except KeyboardInterrupt:
        raise interrupted(given, lambda purpose: purpose == submit_purpose(request)) from None
    if as_json:
        output.emit({
            "link": str(done.link), "manifest": done.manifest.hex(), "signer": done.signer, "by": done.by,
            "sequence": done.sequence, "already": done.already, **transaction_value(done),
        })  # fmt: skip
        return
    output.say(f"recorded before  {done.link}" if done.already else f"recorded  {done.link}")
    output.say(f"  signed by {done.signer}")
    if done.block is not None and done.transaction is not None:
        state = "final" if done.final else "not waited for until it is final"
        output.say(
            f"  release {done.sequence} in block {done.block.number} ({state}), "
            f"transaction 0x{done.transaction.hex()}"
        )
    if (fee := cost(done)) is not None:
        output.say(f"  fee {fee}, paid by {done.by}")


def _call(request: Request) -> tuple[str, str]:
    from integrity.chain.calls import encode_call

    return request.registry, "0x" + encode_call("publish", *request.publish_args).hex()


def _signature(text: str) -> bytes:
    from integrity.errors import UsageError

    try:
        raw = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raw = b""
    if not raw:
        raise UsageError(f"--signature takes hex digits, not {text[:40]!r}")
    return raw
