"""The command line's entry point: the commands, and what each kind of failure exits with."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from typer.main import get_command

from integrity_cli import output
from integrity_cli.checking import checked
from integrity_cli.commands import (
    act,
    batch,
    cars,
    chain,
    demo,
    doctor,
    find,
    get,
    key,
    lock,
    log,
    mirror,
    publish,
    receipt,
    request,
    serve,
    show,
    store,
    trust,
    verify,
)

_INTERRUPTED = 130
_NO_READER = 141  # as shells show SIGPIPE

app = typer.Typer(
    name="integrity",
    help="Publish verified files, and verify what anybody sends you against the chain.",
    epilog="INTEGRITY_HOME moves everything this program keeps: settings, keys, store, chain.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("publish")(publish.publish)
app.command("publish-batch")(batch.publish_batch)
app.command("confirm")(publish.confirm)
app.command("submit")(request.submit)
app.command("manifest")(publish.manifest)
app.command("get")(get.get)
app.command("repair")(get.repair)
app.command("verify")(verify.verify)
app.command("serve")(serve.serve)
app.command("mirror")(mirror.mirror)
app.add_typer(store.app, name="store")
app.command("import")(cars.import_file)
app.add_typer(cars.export_app, name="export")
app.command("show")(show.show)
app.add_typer(receipt.app, name="receipt")
app.command("files")(show.files)
app.command("log")(log.log)
app.command("search")(find.search)
app.command("who")(find.who)
app.command("lock")(lock.lock)
app.command("revoke")(act.revoke)
app.command("latest")(act.latest)
app.command("endorse")(act.endorse)
app.add_typer(act.delegates, name="delegate")
app.add_typer(act.controllers, name="controller")
app.add_typer(key.app, name="key")
app.add_typer(trust.app, name="trust")
app.add_typer(chain.app, name="chain")
app.command("doctor")(doctor.doctor)
app.command("demo")(demo.demo)


def _version(value: bool) -> None:
    if value:
        from integrity import __version__

        output.say(f"integrity {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Publish verified files, and verify what anybody sends you against the chain."""


def _usage_message(error: typer.TyperException) -> str:
    formatted = getattr(error, "format_message", None)
    return str(formatted() if formatted else error)


def main() -> None:
    """Run a command. 0 done or verified, 2 usage or refused, 3 could not check, 4 does not verify,
    130 Ctrl-C, 141 nobody reads the output; 1 is left to a crash, so that none is taken for a verdict.
    """
    try:
        code = _run(as_json="--json" in sys.argv)
    except (BrokenPipeError, SystemExit):
        # Whoever read the output has gone, as with `| head`; there is nobody to tell. Typer makes a
        # SystemExit of it, and of nothing else.
        output.abandon()
        code = _NO_READER
    sys.exit(code)


def _run(*, as_json: bool) -> int:
    try:
        output.prepare()
        code = checked(get_command(app))(standalone_mode=False)
        if code == _INTERRUPTED:
            raise KeyboardInterrupt  # typer took it, and answers with the code alone
        output.finish()
    except typer.TyperException as error:
        output.fail_usage(_usage_message(error), as_json=as_json)
        return 2
    except (KeyboardInterrupt, typer.Abort):
        from integrity.errors import Interrupted

        output.fail(Interrupted("interrupted"), as_json=as_json)
        return _INTERRUPTED
    except Exception as error:
        from integrity.errors import IntegrityError

        if not isinstance(error, IntegrityError):
            raise
        output.fail(error, as_json=as_json)
        return error.exit_code
    return code if isinstance(code, int) else 0
