"""The error for everything that a user of this package can get wrong.

This is the only module that imports from `scheduler`: the errors of all packages share one base.
"""

from __future__ import annotations

from collections.abc import Iterable

from scheduler.errors import BROKEN, InputError, did_you_mean, extra, how_to_add, shown

__all__ = ["BROKEN", "SupernetError", "extra", "how_to_add", "known_options", "shown"]


class SupernetError(InputError):
    """A supernet, its weights or a model file can't be used; the message says why, and what would work."""


def known_options(value: str, options: Iterable[str]) -> str:
    """Return the end of a message on an unknown name: the nearest option if one is near, then all options."""
    known = sorted(options)
    return f"{did_you_mean(value, known)} Known: {', '.join(known)}".lstrip()
