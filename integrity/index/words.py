"""Words as the index keeps them, and as people ask for them; no SQL, and no query language of anybody's.

A name or a text is cut at everything that is no letter and no digit: ``my-tool.v2`` is found by what begins
``my``, ``tool`` or ``v2``; and who asks for ``my-to`` gets what has ``my`` and what begins ``to``.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from integrity.errors import UsageError

WORDS_LIMIT = 32
"""Words of one search."""

_PART_LIMIT = 64
_PARTS_LIMIT = 2000
_OWN_FIRST, _OWN_LAST = 0xE000, 0xF8FE
_REGISTRY = "\uf8ff"
_LINK = re.compile(r"integrity:[0-9]+:", re.IGNORECASE)
_BETWEEN = re.compile(r"[\s/:]+")
_PART = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Word:
    """What a package has, the last part of it only begun perhaps; ``version`` is what one of its versions
    begins with, too.
    """

    text: str
    version: str | None = None


def folded(text: str) -> str:
    """The same for all spellings that people take for the same."""
    return unicodedata.normalize("NFKC", text).casefold()


def terms(text: str) -> list[str]:
    """What a text is found by, each once: letters and digits alone."""
    parts = (part[:_PART_LIMIT] for part in _PART.findall(folded(text)))
    return list(dict.fromkeys(itertools.islice(parts, _PARTS_LIMIT)))


def asked(words: Iterable[str]) -> list[Word]:
    """The words of a search. Raises UsageError when there is none, or too many."""
    found: dict[Word, None] = {}
    for given in words:
        for part in _BETWEEN.split(_LINK.sub("", given)):
            name, _, version = part.partition("@")
            word = Word(folded(name) if terms(name) else "", version or None)
            if word.text or word.version:
                found[word] = None
    if not found:
        raise UsageError("there is no word to search for", next="Name one, as `tool`.")
    if len(found) > WORDS_LIMIT:
        raise UsageError(f"more than {WORDS_LIMIT} words to search for")
    return list(found)


def publisher_term(number: int) -> str:
    """A term that stands for a publisher's row, and that no text has: private characters alone."""
    base = _OWN_LAST - _OWN_FIRST + 1
    term = ""
    while True:
        number, rest = divmod(number, base)
        term += chr(_OWN_FIRST + rest)
        if not number:
            return term


def registry_term(number: int) -> str:
    """The same for a registry's."""
    return _REGISTRY + publisher_term(number)


def document(package: str, publisher: int, registry: int) -> str:
    """The terms of a package, as one text."""
    own = (publisher_term(publisher), registry_term(registry))
    return " ".join((*terms(package), *own))


def expression(words: Sequence[Word], publishers: Sequence[Sequence[int]]) -> str:
    """The query for what has every word, or for each word one of its publishers. Every term is quoted,
    and has nothing but letters and digits.
    """
    every = []
    for word, numbers in zip(words, publishers, strict=True):
        parts = [f'"{part}"' for part in terms(word.text)]
        either = [f"({' AND '.join(parts)}*)"] if parts else []
        either += [f'"{publisher_term(number)}"' for number in numbers]
        if either:
            every.append(f"({' OR '.join(either)})")
    return " AND ".join(every)
