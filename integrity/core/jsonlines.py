"""Text of one JSON object, read strictly (spec v1, section 3.1).

Nothing is converted before its size is known to be small: an integer of a million digits, or brackets
within brackets, would cost more than the text is worth.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from integrity.core.nesting import is_nested_deeper
from integrity.errors import FormatError, LimitExceeded, NonCanonical

INTEGER_LIMIT = 2**53 - 1
"""Largest integer: what every JSON reader keeps exactly (RFC 7493, section 2.2)."""

_INTEGER_DIGITS = 17
"""Digits, or a sign and digits, beyond which no integer is converted: its size alone says no."""


def parse_object(
    text: bytes, what: str, nesting: int, *, any_numbers: bool = False
) -> dict[str, Any]:
    """The object that a text is; ``what`` it is called, and how many levels it may have. Whether it is
    written canonically is for who knows its shape. With ``any_numbers`` those are floats that are no
    integers of this specification.

    Raises FormatError, NonCanonical for a key that stands twice and for numbers that are not written as
    integers are, or LimitExceeded.
    """
    if is_nested_deeper(text, nesting):
        raise LimitExceeded(f"{what} that is nested too deep")
    try:
        value = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_no_duplicates,
            parse_int=_integer_or_float if any_numbers else _short_integer,
            parse_float=float if any_numbers else _no_fraction,
            parse_constant=_no_constant,
        )
    except UnicodeDecodeError as error:
        raise FormatError(f"{what} that is not UTF-8") from error
    except FormatError as error:
        raise error.about(what) from None
    except ValueError as error:
        raise FormatError(f"{what} that is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise FormatError(f"{what} that is not a JSON object")
    return value


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise NonCanonical("a key stands twice")
    return value


def _short_integer(text: str) -> int:
    if len(text) > _INTEGER_DIGITS:
        raise LimitExceeded("an integer that is larger than 2^53 - 1")
    return int(text)


def _integer_or_float(text: str) -> int | float:
    return int(text) if len(text) <= _INTEGER_DIGITS else float(text)


def _no_fraction(text: str) -> None:
    """Nothing here has a point or an exponent; what is whole all the same is misspelt."""
    try:
        number = Decimal(text)
        if abs(number) <= INTEGER_LIMIT:
            if number == number.to_integral_value():
                raise NonCanonical(f"{text[:40]} is not how an integer is written")
            raise FormatError(f"{text[:40]} is not an integer")
    except ArithmeticError:  # an exponent that no number needs
        pass
    raise LimitExceeded("a number that is larger than 2^53 - 1")


def _no_constant(text: str) -> None:
    raise FormatError(f"{text} is not JSON")
