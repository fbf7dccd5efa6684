"""Pairs of an English and a German sentence: cut out of paragraphs, cleaned, and told apart. Does no I/O."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_TAG = re.compile(r"<[^>]+>")
_SPACE = re.compile(r"\s+")
# Soft hyphens, and spaces and joints of no width.
_INVISIBLE = re.compile("[\u00ad\u200b-\u200d\u2060\ufeff]")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-ZÄÖÜ\"„(])")
_PLACEHOLDER = re.compile(r"[%{}<>\\|#]|https?:|\$\(|\$\[")
# Interface texts mark the letter of a shortcut with one of these.
_SHORTCUT = re.compile(r"[~_&]")


@dataclass(frozen=True, slots=True)
class Pair:
    """A sentence in both languages.

    Attributes:
        file: file that it comes from, as its package names it, without the language.
        english: the English sentence.
        german: the German sentence.
    """

    file: str
    english: str
    german: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """The lengths that a sentence may have, in words.

    Attributes:
        lowest: fewest English words.
        highest: most English words.
    """

    lowest: int
    highest: int


def plain(markup: str) -> str:
    """Return the text of an HTML fragment in one line, without its tags and without characters that nobody sees."""
    return _in_one_line(html.unescape(_TAG.sub("", markup)))


def without_shortcuts(text: str) -> str:
    """Return an interface text without the marks of its shortcut, in one line: `~Save as...` gives `Save as...`."""
    return _in_one_line(_SHORTCUT.sub("", text))


def _in_one_line(text: str) -> str:
    return _SPACE.sub(" ", _INVISIBLE.sub("", text)).strip()


def sentences(file: str, english: str, german: str) -> Iterator[Pair]:
    """Yield the pairs of a paragraph, sentence by sentence where both languages have as many, else as a whole."""
    ours, theirs = _SENTENCE_END.split(english), _SENTENCE_END.split(german)
    if len(ours) != len(theirs):
        ours, theirs = [english], [german]
    for source, target in zip(ours, theirs, strict=True):
        yield Pair(file, source.strip(), target.strip())


def clean(pair: Pair, limits: Limits) -> bool:
    """Return True if a pair is a translation of text: no markup, no code, of fitting lengths, and translated at all.

    German has fewer but longer words: a pair's lengths fit if the English text has 0.5 to 1.7 times as many characters,
    which a text of few words may miss.
    """
    words, german_words = len(pair.english.split()), len(pair.german.split())
    if not limits.lowest <= words <= limits.highest or german_words > limits.highest + 6 or not german_words:
        return False
    if pair.english == pair.german or _PLACEHOLDER.search(pair.english + pair.german):
        return False
    if words >= 4 and not (0.5 <= len(pair.english) / len(pair.german) <= 1.7 and german_words >= limits.lowest - 1):
        return False
    letters = sum(character.isalpha() or character == " " for character in pair.english)
    return letters > 0.8 * len(pair.english)


def unique(pairs: Iterable[Pair]) -> list[Pair]:
    """Return the pairs without those whose English sentence came before."""
    seen: set[str] = set()
    kept = []
    for pair in pairs:
        if pair.english not in seen:
            seen.add(pair.english)
            kept.append(pair)
    return kept


def share(text: str, salt: str) -> float:
    """Return a number from 0 to 1 that only the text and the salt decide: SHA-256's first 8 bytes over 2⁶⁴."""
    digest = hashlib.sha256(f"{salt}:{text}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
