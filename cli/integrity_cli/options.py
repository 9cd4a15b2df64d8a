"""The options that several commands share, and the session they make."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from integrity_cli import output

if TYPE_CHECKING:
    from integrity.client.session import Session
    from integrity.core.links import Link
    from integrity.fetch.engine import Terms


def chain_id(text: str) -> int:
    """A chain's id out of its number or name."""
    from integrity.chain.profiles import parse_chain
    from integrity.errors import UsageError

    try:
        return parse_chain(text)
    except UsageError as error:
        raise typer.BadParameter(f"{error.message}. {error.next}") from None


def is_text(text: str) -> None:
    """Raises BadParameter for bytes of the command line that are not UTF-8: Python makes half a surrogate
    pair of each.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise typer.BadParameter("bytes that are no text in UTF-8") from None


def source(text: str) -> str:
    """What a source is called: a folder's path may be any bytes, a URL is text."""
    if "://" in text:
        is_text(text)
    return text


Json = Annotated[bool, typer.Option("--json", help="Print one JSON object (docs/json.md).")]
Rpc = Annotated[
    list[str],
    typer.Option(
        "--rpc", metavar="URL", help="A node of the chain; may be repeated. Also INTEGRITY_RPC."
    ),
]
Chain = Annotated[
    int | None,
    typer.Option(
        "--chain",
        metavar="CHAIN",
        parser=chain_id,
        help="The chain: its id, or a name as `chain list` shows them. Also INTEGRITY_CHAIN.",
    ),
]
Publisher = Annotated[
    str | None,
    typer.Option(
        "--publisher", metavar="0x…", help="Whom you believe, for this call only: an address."
    ),
]
InNameOf = Annotated[
    str | None,
    typer.Option("--publisher", metavar="0x…", help="Who publishes, if not the key itself."),
]
Checkpoint = Annotated[
    str | None,
    typer.Option(
        "--checkpoint",
        metavar="HASH",
        help="A block's hash that you vouch for: read at that block.",
    ),
]
VouchingRpc = Annotated[
    list[str],
    typer.Option(
        "--rpc",
        metavar="URL",
        help="A node that is asked whether the receipt's block is the chain's; may be repeated. Without it "
        "none is asked, whatever INTEGRITY_RPC says.",
    ),
]
VouchingCheckpoint = Annotated[
    str | None,
    typer.Option(
        "--checkpoint", metavar="HASH", help="A block's hash that you vouch for: the receipt's own."
    ),
]
EitherRpc = Annotated[
    list[str],
    typer.Option(
        "--rpc",
        metavar="URL",
        help="A node of the chain; may be repeated. Also INTEGRITY_RPC; but with --receipt no other node is "
        "asked than those named here.",
    ),
]
EitherCheckpoint = Annotated[
    str | None,
    typer.Option(
        "--checkpoint",
        metavar="HASH",
        help="A block's hash that you vouch for: read at that block; with --receipt, the receipt's own.",
    ),
]
Why = Annotated[
    bool, typer.Option("--why", help="Tell each step of the verifier, and what it found.")
]


def path(text: str) -> Path:
    """A path as it was given. The empty text is none: Python would take it for this folder; and a URL is
    nowhere on this machine.
    """
    if not text:
        raise typer.BadParameter("an empty path; write . for this folder")
    if text.lower().startswith(("http://", "https://")):
        raise typer.BadParameter("a URL, where a file or folder of this machine is meant")
    return Path(text)


Lock = Annotated[
    Path | None,
    typer.Option(
        "--lock",
        metavar="FILE",
        parser=path,
        help="Take only the release that this lock file says of the package.",
    ),
]
Key = Annotated[
    str | None, typer.Option("--key", metavar="NAME", help="The key to sign with: name or address.")
]
MaxFee = Annotated[
    float | None,
    typer.Option(
        "--max-fee",
        metavar="GWEI",
        help="Bid no more than this for a unit of gas. Also max_fee in config.toml.",
    ),
]
Wait = Annotated[bool, typer.Option(help="Return once it is final.")]
From = Annotated[
    list[str],
    typer.Option(
        "--from",
        metavar="SOURCE",
        parser=source,
        help="Where to fetch from: the URL of a gateway or of a mirror's folder, a folder here, ipfs "
        "(a Kubo daemon), or store (this home's own). May be repeated; none is trusted.",
    ),
]
LimitRate = Annotated[
    str | None,
    typer.Option(
        "--limit-rate", metavar="SIZE", help="Bytes a second at the most, as 5M, from all sources."
    ),
]
LimitEach = Annotated[
    str | None,
    typer.Option("--limit-each", metavar="SIZE", help="The same from each source."),
]
Only = Annotated[
    list[str],
    typer.Option(
        "--only",
        metavar="PATTERN",
        help="Of the release only these files, as 'docs/**' or '**/*.txt'. May be repeated.",
    ),
]
IpfsApi = Annotated[
    str | None,
    typer.Option(
        "--ipfs-api",
        metavar="API",
        help="The Kubo daemon's API, as http://127.0.0.1:5001. Also INTEGRITY_IPFS_API; else that of "
        "IPFS_PATH.",
    ),
]
Ipfs = Annotated[bool, typer.Option("--ipfs", help="Put it into a Kubo daemon and pin it, too.")]
Pin = Annotated[
    list[str],
    typer.Option(
        "--pin",
        metavar="SERVICE",
        help="Have a pinning service of config.toml keep it, too; may be repeated.",
    ),
]
Host = Annotated[str, typer.Option(help="The address to listen on.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 is any free one.")]
Announce = Annotated[
    str | None, typer.Option(metavar="URL", help="Where others reach this server, if not there.")
]
Names = Annotated[
    list[str],
    typer.Option("--name", metavar="HOST", help="A host name to answer to; may be repeated."),
]
LinkText = Annotated[
    str, typer.Argument(metavar="LINK", help="integrity:… or alias/package[@version].")
]


def terms(limit: str | None, each: str | None) -> Terms:
    """How fast to fetch at the most. Raises UsageError."""
    from integrity.fetch.engine import Terms

    return Terms(_rate("--limit-rate", limit), _rate("--limit-each", each))


def _rate(option: str, text: str | None) -> float | None:
    from integrity.config import parse_size
    from integrity.errors import UsageError

    if text is None:
        return None
    size = parse_size(text)
    if not size:
        raise UsageError(f"{option} takes bytes a second, not {text!r}", next="As 500K or 5 MiB.")
    return float(size)


def receipt(file: Path) -> tuple[bytes, Link]:
    """A receipt's bytes, and the release that it is of. Raises UsageError or FormatError about the file."""
    from integrity.client.receipts import read_receipt
    from integrity.errors import FormatError
    from integrity.verifier.receipt import decode

    data = read_receipt(file)
    try:
        return data, decode(data).link
    except FormatError as error:
        raise error.about(str(file)) from None


def session(
    *,
    rpc: list[str] | None = None,
    chain: int | None = None,
    publisher: str | None = None,
    checkpoint: str | None = None,
    max_fee: float | None = None,
) -> Session:
    """The session of this call. Raises UsageError."""
    from integrity.client.session import Session

    return Session(
        rpc=tuple(rpc or ()), chain_id=chain, publisher=publisher, password=password,
        checkpoint=None if checkpoint is None else _hash(checkpoint),
        max_fee=None if max_fee is None else _wei(max_fee),
    )  # fmt: skip


def _wei(gwei: float) -> int:
    from integrity.config import parse_gwei
    from integrity.errors import UsageError

    wei = parse_gwei(gwei)
    if not wei:
        raise UsageError(
            f"--max-fee takes gwei for a unit of gas, not {gwei}", next="As 20 or 0.5."
        )
    return wei


def _hash(text: str) -> bytes:
    from integrity.errors import UsageError

    digits = text.removeprefix("0x")
    try:
        value = bytes.fromhex(digits)
    except ValueError:
        value = b""
    if len(value) != 32 or len(digits) != 64:
        raise UsageError(f"--checkpoint takes a block's hash, 64 hex digits, not {text[:80]!r}")
    return value


def password(name: str | None) -> str:
    """A key's password: INTEGRITY_PASSWORD_FILE, INTEGRITY_PASSWORD, or asked for on a terminal."""
    from integrity.client.session import no_password
    from integrity.keys.keystore import password_of

    file = os.environ.get("INTEGRITY_PASSWORD_FILE")
    if file:
        return password_of(file)
    given = os.environ.get("INTEGRITY_PASSWORD")
    if given is not None:
        return given
    if not sys.stdin.isatty():
        return no_password(name)
    what = f"the key {output.escape(name)}" if name else "the new key"
    return getpass.getpass(f"Password of {what}: ")


def new_password(name: str | None) -> str:
    """A password for a new key; asked for twice on a terminal."""
    from integrity.errors import KeyRefused

    first = password(name)
    asked = not os.environ.get("INTEGRITY_PASSWORD_FILE") and "INTEGRITY_PASSWORD" not in os.environ
    if asked and first != getpass.getpass("The same again: "):
        raise KeyRefused("the two passwords differ; no key was made")
    return first


def reading(
    text: str,
    rpc: list[str],
    publisher: str | None,
    checkpoint: str | None = None,
    lock: Path | None = None,
) -> tuple[Session, Link]:
    """What every command that reads a release begins with: the session, and the link."""
    given = session(rpc=rpc, publisher=publisher, checkpoint=checkpoint)
    if lock is not None:
        from integrity.client.locking import locked

        return locked(given, text, lock)
    link = given.link(text)
    return known(given, link), link


def known(given: Session, link: Link) -> Session:
    """The session, with the link's publisher named once the person on the terminal agreed to it.

    Elsewhere an unknown publisher stays unknown, and is refused by the verifier's first step.
    """
    from dataclasses import replace

    from integrity.errors import Declined

    if given.publisher is not None or given.trusts(link) or not sys.stdin.isatty():
        return given
    output.note(f"Nobody here knows the publisher {link.publisher} of chain {link.chain_id}.")
    output.note("A record proves that they said it, not that they should be believed.")
    if not typer.confirm("Do you believe them, for this call?", err=True):
        raise Declined(f"the publisher {link.publisher} was not accepted")
    return replace(given, publisher=link.publisher)
