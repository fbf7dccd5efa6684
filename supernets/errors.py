"""What a user of this package can get wrong."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SupernetError(ValueError):
    """A supernet, its weights, or a model file that can't be used; the message says why and what would do."""


def did_you_mean(value: str, options: Iterable[str]) -> str:
    """The end of a message on an unknown name: the nearest option if one is near, and all of them."""
    known = sorted(options)
    near = difflib.get_close_matches(value, known, n=1)
    guess = f"Did you mean {near[0]!r}? " if near else ""
    return f"{guess}Known: {', '.join(known)}"
