"""The base of all errors that a user can mend, and the hint that their messages end with.

Every package raises errors of its own under `InputError`, so that a caller catches one class and the command prints one
message for each.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Something that a user wrote is wrong; the message names the field, its value and the fix."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'X'?` for the known word nearest to `word`, or nothing where none is near.

    Capitals do not matter: `Joint` is near `joint`.
    """
    by_folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(word.casefold(), by_folded, n=1)
    return f" Did you mean {by_folded[near[0]]!r}?" if near else ""
