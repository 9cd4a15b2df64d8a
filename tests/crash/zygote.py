"""The real program, started again and again without its start-up: a process that has read everything
in and forks for each run.

Reads one job a line on stdin, and answers with one line on stdout once it has ended.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pkgutil
import sys
import traceback
from typing import Any

import integrity
import integrity_cli
from integrity_cli.main import main as program
from tests.crash.disk import Loss, Plan, install


def run(job: dict[str, Any]) -> None:
    """In the child."""
    os.chdir(job["place"])
    os.environ.update(job["environment"])
    for fd, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(job[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), fd)
    sys.argv = ["integrity", *job["arguments"]]
    plan = job["plan"]
    disk = install(job["root"], Plan(**(plan | {"loss": Loss(plan["loss"])})))
    code = 1
    try:
        program()
    except SystemExit as ended:
        code = int(ended.code or 0)
    except BaseException:  # noqa: BLE001 - as the interpreter would
        traceback.print_exc()
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    with open(job["calls"], "w") as file:
        json.dump({"calls": disk.calls, "forgotten": len(disk.forgotten)}, file)
    os._exit(code)


def main() -> None:
    for package in (integrity, integrity_cli):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if "testing" not in module.name and not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            run(json.loads(line))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
