"""``integrity key``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from integrity_cli import output
from integrity_cli.options import Json, new_password, password, session
from integrity_cli.options import path as parse_path

if TYPE_CHECKING:
    from integrity.client.session import Session
    from integrity.keys.keystore import KeyInfo
    from integrity.ports import Identity

app = typer.Typer(
    help="Make, list, import and export the keys that publish.",
    no_args_is_help=True, rich_markup_mode=None,
)  # fmt: skip

Name = Annotated[str | None, typer.Option("--name", help="A name for it [default: its address].")]


def _value(info: KeyInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "address": info.address,
        "development": info.development,
        "path": str(info.path),
    }


def _tell(verb: str, info: KeyInfo, *, as_json: bool) -> None:
    if as_json:
        output.emit(_value(info))
    else:
        output.say(f"{verb} {info.name}  {info.address}", f"  in {info.path}")


@app.command("new")
def new(*, name: Name = None, as_json: Json = False) -> None:
    """Make a new key, encrypted with a password.

    The password is asked for, or read from INTEGRITY_PASSWORD_FILE.
    """
    given = session()
    info = given.keystore.create(name, new_password(name))
    _tell("made the key", info, as_json=as_json)
    if not as_json and given.config.default_key is not None:
        output.note(f"another key is the default: publish with --key {info.name}")


@app.command("list")
def list_keys(*, as_json: Json = False) -> None:
    """List this home's keys, and the signers elsewhere that it may ask."""
    from integrity.errors import KeyRefused
    from integrity.keys.environment import environment_signer

    given = session()
    keys, problems = given.keystore.readable()
    signers, warnings = given.signers(), [problem.message for problem in problems]
    try:
        environment_signer()
    except KeyRefused as error:
        warnings.append(error.message)
    default = _default(given)
    if as_json:
        output.emit({
            "keys": [_value(info) | {"default": info == default} for info in keys],
            "signers": [
                {"name": one.name, "address": one.address, "default": one == default} for one in signers
            ],
            "warnings": warnings,
        })  # fmt: skip
        return
    output.warn(warnings)
    for info in keys:
        marks = "  development" if info.development else ""
        output.say(f"{info.address}  {info.name}{marks}{_mark(info == default)}")
    for one in signers:
        output.say(f"{one.address}  {one.name}  elsewhere{_mark(one == default)}")
    if not keys and not signers and not warnings:
        output.note("no keys yet; `integrity key new` makes one")


def _default(given: Session) -> Identity | None:
    """What signs when no --key is given."""
    from integrity.errors import KeyRefused

    try:
        return given.key(None)
    except KeyRefused:
        return None


def _mark(is_default: bool) -> str:
    return "  default" if is_default else ""


@app.command("import")
def import_key(
    file: Annotated[
        Path,
        typer.Argument(help="A v3 keystore, or a file with 64 hex digits.", parser=parse_path),
    ],
    *,
    name: Name = None,
    as_json: Json = False,
) -> None:
    """Take in a key from a file, never from the command line."""
    info = session().keystore.import_file(name, file, password)
    _tell("imported the key", info, as_json=as_json)


@app.command("export")
def export(
    name: Annotated[str, typer.Argument(help="The key's name or address.")],
    *,
    target: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="A new file [default: stdout].", parser=parse_path),
    ] = None,
) -> None:
    """Write out a key's encrypted keystore, for a backup."""
    from integrity.disk.files import write_whole
    from integrity.errors import UsageError

    data = session().keystore.export(name)
    if target is None:
        output.emit_bytes(iter([data]))
        return
    if target.exists():
        raise UsageError(
            f"{str(target)!r} exists", next="Name another file with -o; nothing was overwritten."
        )
    write_whole(target.absolute(), data, private=True)
    output.note(f"exported to {target}")
