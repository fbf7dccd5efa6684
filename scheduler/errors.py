"""The base of all errors that a user can fix, and the hint that their messages end with.

Every package has error classes of its own under `InputError`. So a caller catches one class, and the command prints one
message for each error.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """An error in something that a user wrote; the message names the field, its value and the fix."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'X'?` for the known word nearest to `word`, or nothing where none is near.

    `Joint` and the known words `joint` and `ladder` give ` Did you mean 'joint'?`: capitals do not matter.

    Args:
        word: the word that is not known.
        known: the words that are.
    """
    by_folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(word.casefold(), by_folded, n=1)
    return f" Did you mean {by_folded[near[0]]!r}?" if near else ""
