"""``integrity doctor``."""

from __future__ import annotations

import typer

from integrity_cli import output
from integrity_cli.options import Json, Rpc, session


def doctor(*, rpc: Rpc = [], as_json: Json = False) -> None:
    """Look at everything that is needed, and say how to mend it."""
    from integrity.client.examining import examine

    findings = examine(session(rpc=rpc))
    good = all(finding.ok for finding in findings)
    if as_json:
        output.emit({
            "ok": good,
            "checks": [
                {"name": f.name, "ok": f.ok, "detail": f.detail, "next": f.next} for f in findings
            ],
        })  # fmt: skip
    else:
        for finding in findings:
            output.say(f"{'ok  ' if finding.ok else 'BAD '} {finding.name}: {finding.detail}")
            if not finding.ok and finding.next:
                output.say(f"       -> {finding.next}")
    raise typer.Exit(0 if good else 3)
