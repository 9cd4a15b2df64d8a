"""What no option or argument takes, whichever command it is of: a text or a number that is none."""

from __future__ import annotations

import math
from typing import Any

import typer
from typer.core import TyperGroup

from integrity_cli.options import is_text

_TEXTS = {"str", "text"}
"""What typer calls the type of a text without a parser of its own. A path has one: it may be any bytes."""


def checked(command: Any) -> Any:
    """The command, a group's commands too, with every text and every number looked at after it was read."""
    if isinstance(command, TyperGroup):
        for one in command.commands.values():
            checked(one)
    for param in command.params:
        if param.callback is None:
            param.callback = _check_text if param.type.name in _TEXTS else _check_number
    return command


def _check_text(_: object, __: object, value: Any) -> Any:
    for text in value if isinstance(value, (list, tuple)) else (value,):
        is_text(text or "")
    return value


def _check_number(_: object, __: object, value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no number to count with")
    return value
