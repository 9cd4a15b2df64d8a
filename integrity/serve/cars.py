"""What a CAR answer consists of: found on threads beside the event loop, in portions."""

from __future__ import annotations

from collections.abc import Iterator

from integrity.core.car import car_portions
from integrity.core.dag import Expect, Load, Scope, Visited, Walk, is_outside, resolve
from integrity.errors import FormatError
from integrity.serve.asking import Asked, Refused


class CarAnswer:
    """Made once the path is followed; :meth:`portions` may be iterated over once, on any thread.

    Raises NoSuchPath or BlockMissing when it is made, or Refused for a range outside of the file.
    """

    def __init__(self, asked: Asked, load: Load, expect: Expect | None = None) -> None:
        self._asked = asked
        self._load = load
        self._expect = expect
        self._passed: list[Visited] = []
        self._end = resolve(load, asked.cid, asked.names, self._passed)
        block = load(self._end)
        if asked.span is not None and asked.scope is Scope.ENTITY:
            try:
                outside = is_outside(asked.span, self._end.codec, block)
            except FormatError:
                outside = False  # no file, so that entity-bytes has no meaning
            if outside:
                raise Refused(400, "entity-bytes lies outside of the file")

    def portions(self) -> Iterator[bytes]:
        """The stream. Raises BlockMissing, FormatError or LimitExceeded in its middle, after what
        was found until there.
        """
        asked = self._asked
        walk = Walk(self._load, dups=asked.dups, expect=self._expect)
        return car_portions([asked.cid], walk.run(self._passed, self._end, asked.scope, asked.span))
