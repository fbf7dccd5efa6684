"""Damages inputs: bytes as they lie on a disk, and values as a codec holds them. A seed alone decides what is done."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from typing import Any

# What parsers trip over: limits of numbers, nesting, names of special methods and files, signs of each format.
TOKENS = (
    *(b"", b"\0", b"\n", b"\r", b"\xff\xfe", b"\xef\xbb\xbf", b"\x80", b"\xed\xa0\x80", b" ", b"\t", b'"', b"'", b"#"),
    *(b"-1", b"0", b"1e999", b"-0.0", b"nan", b"inf", b"Infinity", b"9" * 400, b"9" * 5000, b"0x", b"1_000", b"1,5"),
    *(b"[" * 3000, b"{" * 300, b"[]", b"{}", b"[null]", b"null", b"true", b"&a ", b"*a", b"<<: ", b"!!int ", b"---\n"),
    *(b"../../x", b"/dev/zero", b"con", b"a" * 300, b"\xc3\xa9", b"<script>", b"__class__", b"%s", b"${x}"),
    *(b"\x80" * 40, b"\x91" * 600, b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xc1"),
)


class Wordless:
    """A value of a user's own that can't be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no words for it")


def _nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


PLAIN: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, -(2**63), 2**64 - 1, 0.0, -0.0, 1e-320, 1.5, 1e308, -1e308),
    *(float("nan"), float("inf"), -float("inf"), "", "a", "\0", "é", "../../x", "a" * 300, "nan", "1", "<script>"),
    *([], {}, [None], [[]], {"": None}, {"type": []}, {"type": {}}, [0] * 300, _nested(40)),
)
"""Values that any codec holds."""


def damaged(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Return one of the seeds with one to six changes: bytes and lines changed, moved, repeated, cut off or put in."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        at, upto = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
        upto = min(upto, at + rng.choice((1, 2, 4, 16, 64, 1 << 20)))
        match rng.randrange(8):
            case 0 if data:
                data[min(at, len(data) - 1)] ^= 1 << rng.randrange(8)
            case 1:
                data[at:upto] = rng.choice(TOKENS)
            case 2:
                data[at:at] = rng.choice(TOKENS)
            case 3:
                del data[at:upto]
            case 4:
                del data[at:]
            case 5:
                data[at:at] = data[at:upto] * rng.choice((1, 2, 50))
            case 6:
                other = rng.choice(seeds)
                begin = rng.randrange(len(other) + 1)
                data[at:upto] = other[begin : begin + rng.randrange(1, 200)]
            case _:
                _damage_a_word(rng, data)
        del data[300_000:]
    return bytes(data)


def _damage_a_word(rng: random.Random, data: bytearray) -> None:
    """Replace one number or word by a token, as a hand that slips does."""
    at = rng.randrange(len(data) + 1)
    while at < len(data) and not chr(data[at]).isalnum():
        at += 1
    upto = at
    while upto < len(data) and (chr(data[upto]).isalnum() or data[upto] in b".-_"):
        upto += 1
    data[at:upto] = rng.choice(TOKENS)


def changed(rng: random.Random, value: Any, others: Sequence[Any] = PLAIN) -> Any:
    """Return a copy of a value of lists and mappings with one to four of its parts replaced, removed or added."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        places = list(_places(value))
        if not places:
            return copy.deepcopy(rng.choice(others))
        holder, key = rng.choice(places)
        match rng.randrange(6):
            case 0 | 1 | 2:
                holder[key] = copy.deepcopy(rng.choice(others))
            case 3:
                del holder[key]
            case 4:
                donor, place = rng.choice(places)
                if place in donor if isinstance(donor, dict) else place < len(donor):
                    holder[key] = copy.deepcopy(donor[place])
            case _ if isinstance(holder, dict):
                holder[rng.choice(("", "x", "type", "name", 1, None))] = holder.pop(key)
            case _:
                holder.insert(key, copy.deepcopy(rng.choice(others)))
    return value


def _places(value: Any, depth: int = 0) -> Any:
    """Yield (holder, key) of every part of a value."""
    if depth > 30:
        return
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in list(pairs):
        yield value, key
        yield from _places(part, depth + 1)


Maker = Callable[[random.Random], Any]
"""Makes one input from a generator."""
