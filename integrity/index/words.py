"""Words as the index keeps them, and as people ask for them; no SQL, and no query language of anybody's.

A name or a text is cut at spaces; each part is kept from its beginning and from every place after a
punctuation mark: ``my-tool.v2`` is found by what begins ``my-tool.v2``, ``tool.v2`` or ``v2``.
"""

from __future__ import annotations

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
_QUOTES = "\"'\\`"
_LINK = re.compile(r"integrity:[0-9]+:", re.IGNORECASE)
_BEGINNING = re.compile(r"(?<![^\W_])[^\W_]")
_BETWEEN = re.compile(r"[\s/:]+")


@dataclass(frozen=True, slots=True)
class Word:
    """What a package's words begin with; ``version`` is what one of its versions begins with, too."""

    text: str
    version: str | None = None


def folded(text: str) -> str:
    """The same for all spellings that people take for the same; a space for what no word has."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c if c.isprintable() and c not in _QUOTES else " " for c in plain)


def terms(text: str) -> list[str]:
    """What a text is found by, each once."""
    found: dict[str, None] = {}
    for part in folded(text).split():
        found.update(dict.fromkeys(_from_each_beginning(part[:_PART_LIMIT])))
        if len(found) > _PARTS_LIMIT:
            break
    return list(found)


def _from_each_beginning(part: str) -> list[str]:
    return [part[match.start() :] for match in _BEGINNING.finditer(part)]


def asked(words: Iterable[str]) -> list[Word]:
    """The words of a search. Raises UsageError when there is none, or too many."""
    found: dict[Word, None] = {}
    for given in words:
        for part in _BETWEEN.split(_LINK.sub("", given)):
            name, _, version = part.partition("@")
            for text in folded(name).split() or ([""] if version else []):
                word = Word(_stripped(text)[:_PART_LIMIT], version or None)
                if word.text or word.version:
                    found[word] = None
    if not found:
        raise UsageError("there is no word to search for", next="Name one, as `tool`.")
    if len(found) > WORDS_LIMIT:
        raise UsageError(f"more than {WORDS_LIMIT} words to search for")
    return list(found)


def _stripped(text: str) -> str:
    """Without punctuation around it, which no term begins with."""
    begin, end = 0, len(text)
    while begin < end and not text[begin].isalnum():
        begin += 1
    while begin < end and not text[end - 1].isalnum():
        end -= 1
    return text[begin:end]


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
    """The terms of a package, as one text. Its name is folded by its own rules (spec v1, section 2.2)."""
    own = (publisher_term(publisher), registry_term(registry))
    return " ".join((*_from_each_beginning(package), *own))


def expression(words: Sequence[Word], publishers: Sequence[Sequence[int]]) -> str:
    """The query for what has every word, or for each word one of its publishers. Every term is quoted,
    and has no quote of its own.
    """
    parts = []
    for word, numbers in zip(words, publishers, strict=True):
        either = [f'"{word.text}"*'] if word.text else []
        either += [f'"{publisher_term(number)}"' for number in numbers]
        if either:
            parts.append(f"({' OR '.join(either)})")
    return " AND ".join(parts)
