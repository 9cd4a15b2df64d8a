"""``integrity import`` and ``integrity export car``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from integrity_cli import output
from integrity_cli.options import Json, LinkText, Publisher, Rpc, reading, session
from integrity_cli.options import path as parse_path
from integrity_cli.progress import Form, Shown, shown
from integrity_cli.values import record_link, record_value, rests_on

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

export_app = typer.Typer(
    help="Write a release in the form of other tools.", no_args_is_help=True, rich_markup_mode=None
)


def import_file(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.car", help="The CAR; - is stdin.", parser=parse_path)
    ],
    *,
    progress: Shown = Form.AUTO,
    as_json: Json = False,
) -> None:
    """Take all blocks of a CAR into the store, each checked.

    They are served from then on.
    """
    from integrity.errors import IntegrityError, UsageError
    from integrity.store.database import Store
    from integrity.store.importing import import_car

    given = session()
    quota = given.config.store_quota
    if str(file) == "-" and sys.stdin is None:
        raise UsageError("standard input is closed", next="Name a file, or pipe one in.")
    try:
        opened = sys.stdin.buffer if str(file) == "-" else file.open("rb")
    except OSError as error:
        raise UsageError(f"cannot read {str(file)!r}: {error.strerror or error}") from error
    with (
        opened,
        Store(given.home.store) as store,
        shown(progress, as_json=as_json) as report,
    ):
        try:
            done = import_car(store, _reader(opened, file), quota=quota, report=report)
        except IntegrityError as error:
            raise error.about("the CAR on stdin" if str(file) == "-" else repr(str(file))) from None
    if as_json:
        output.emit({
            "name": done.stored.name, "roots": [str(root) for root in done.roots],
            "blocks": done.stored.blocks, "size": done.stored.size, "already": done.already,
        })  # fmt: skip
        return
    what = f"{output.number(done.stored.blocks, 'block')}, {output.size(done.stored.size)}"
    output.say(
        f"{'imported before' if done.already else 'imported'}  {output.place(file)}", f"  {what}"
    )
    for root in done.roots:
        output.say(f"  root {root}")


def _reader(opened: BinaryIO, file: Path) -> Callable[[int], bytes]:
    from integrity.errors import UsageError

    def read(count: int) -> bytes:
        try:
            return opened.read(count)
        except OSError as error:
            raise UsageError(f"cannot read {str(file)!r}: {error.strerror or error}") from error

    return read


@export_app.command("car")
def export_car(
    link: LinkText,
    *,
    target: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="FILE", help="A new file; - is stdout.", parser=parse_path
        ),
    ],
    publisher: Publisher = None,
    rpc: Rpc = [],
    progress: Shown = Form.AUTO,
    as_json: Json = False,
) -> None:
    """Write a release as a CAR for any IPFS tool.

    Its manifest is in it; all of it comes from this home's store.
    """
    from integrity.client.exporting import export_car as run
    from integrity.errors import UsageError

    to_stdout = str(target) == "-"
    if to_stdout and as_json:
        raise UsageError("stdout cannot take the CAR and the JSON", next="Name a file with -o.")
    given, parsed = reading(link, rpc, publisher)
    with shown(progress, as_json=as_json) as report:
        if to_stdout:
            run(given, parsed, output.Stdout(), report=report)
            return
        done = run(given, parsed, target, report=report)
    if as_json:
        output.emit({
            "path": str(target.absolute()), "link": record_link(done.record),
            "roots": [str(root) for root in done.roots], "size": done.size,
            **record_value(done.record),
        })  # fmt: skip
        return
    output.say(
        f"exported  {output.place(target)}",
        f"  {output.size(done.size)}, of {record_link(done.record)}",
        f"  against its record as of {rests_on(done.record)}",
        *(f"  root {root}" for root in done.roots),
    )
