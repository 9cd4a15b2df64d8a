"""Publishing in processes of their own, which tests kill at a chosen point."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from integrity import Draft, publish, publish_many
from integrity.client.session import Session
from integrity.errors import IntegrityError

from .lying_rpc import Act, Call, Forward, HangUp

_CONTEXT = multiprocessing.get_context("forkserver")
# Imported once, so that each process starts in a moment.
_CONTEXT.set_forkserver_preload(
    [
        "integrity.chain.writer",
        "integrity.publishing.publish",
        "integrity.publishing.batching",
        "eth_account",
    ]
)


def _run(session: Session, folder: Path, version: str, options: dict[str, Any], out: Path) -> None:
    try:
        if options.pop("twice", False):
            drafts = [Draft(folder, name, version) for name in ("tool", "other")]
            done = publish_many(session, drafts, **options).releases[0]
        else:
            done = publish(session, folder, "tool", version, **options)
        result: dict[str, Any] = {
            "manifest": done.manifest.hex(),
            "sequence": done.sequence,
            "already": done.already,
            "final": done.final,
            "transaction": None if done.transaction is None else "0x" + done.transaction.hex(),
        }
    except IntegrityError as error:
        result = {"error": error.name, "message": error.message, "evidence": error.evidence}
    out.write_text(json.dumps(result))


class Publisher:
    """One run of publish in a process of its own; ``result`` once it has ended by itself. With ``twice`` it
    is a batch: the folder as tool, and as other.
    """

    def __init__(
        self, session: Session, folder: Path, version: str = "1.0.0", **options: Any
    ) -> None:
        Publisher._number += 1
        self._out = session.home.data_folder.with_name(f"result-{Publisher._number}.json")
        options = {"wait": False} | options
        self.process = _CONTEXT.Process(
            target=_run, args=(session, folder, version, options, self._out), daemon=True
        )
        self.process.start()

    _number = 0

    def kill(self) -> None:
        """End it as a power cut would; whoever waits for it is who joins it."""
        self.process.kill()

    def outcome(self) -> dict[str, Any]:
        """Wait for it -> what it returned, or its error."""
        self.process.join(120)
        assert self.process.exitcode == 0, f"it ended with {self.process.exitcode}"
        value: dict[str, Any] = json.loads(self._out.read_text())
        return value

    def result(self) -> dict[str, Any]:
        """Wait for it -> what it returned, which must not be an error."""
        value = self.outcome()
        assert "error" not in value, value
        return value

    @property
    def running(self) -> bool:
        return self.process.is_alive()


def killing(
    publisher: Callable[[], Publisher], when: Callable[[Call], bool], *, after: bool
) -> Act:
    """An act that kills the process at the first call for which ``when`` holds: before the node
    hears of the call, or once the node has done it but before the answer is sent.
    """
    done = False

    def act(call: Call, forward: Forward) -> dict[str, Any]:
        nonlocal done
        if done or not when(call):
            return forward()
        done = True
        if after:
            forward()
        publisher().kill()
        raise HangUp

    return act
