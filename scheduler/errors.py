"""The base of all errors that a user can fix, and the hint that their messages end with.

Every package has error classes of its own under `InputError`. So a caller catches one class, and the command prints one
message for each error.
"""

from __future__ import annotations

import csv
import difflib
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from reprlib import Repr


class InputError(ValueError):
    """An error in something that a user wrote; the message names the field, its value and the fix."""


class MissingExtraError(InputError):
    """Something needs a package that a plain installation leaves out; the message has the command that adds it."""


@contextmanager
def extra(name: str, what: str) -> Iterator[None]:
    """Import packages of an extra inside; where one is not installed, say which extra brings it.

    Without torch, `with extra("train", "training"): import torch` raises "training needs torch, which is not
    installed; add it with: pip install 'gearshift[train]'".

    Args:
        name: the extra, a key of `optional-dependencies` in pyproject.toml.
        what: words for what needs it, that begin the message.

    Raises:
        MissingExtraError: if a package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{what} needs {(error.name or '').partition('.')[0]}, which is not installed; {how_to_add(name)}"
        ) from None


def how_to_add(name: str) -> str:
    """Return the end of a message, with the command that installs an extra."""
    return f"add it with: pip install 'gearshift[{name}]'"


BROKEN = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    EOFError,
    RecursionError,
    MemoryError,
    csv.Error,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""Errors with which parsers, of this project and of libraries, meet content that is broken.

Besides wrong values these are nesting too deep, a number too large, a size that no memory holds, or a damaged
compressed stream. Whoever reads a file catches these, and says in one sentence which file it is. `InputError` is one of
them.
"""

_SHOWN = 60
_repr = Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = _SHOWN
_repr.maxlevel, _repr.maxlist, _repr.maxtuple, _repr.maxdict = 4, 8, 8, 8


def shown(value: object) -> str:
    """Return a value as a message shows it, in at most 60 characters, whatever its size and its nesting.

    `shown("a" * 100)` is `'aaa…aaa'`, and `shown(10**5000)` does not fail, though that has too many digits for `repr`.

    Args:
        value: anything that a user gave.
    """
    try:
        text = _repr.repr(value)
    except Exception:  # a __repr__ of the user's own can raise anything
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'X'?` for the known word nearest to `word`, or nothing where none is near.

    `Joint` and the known words `joint` and `ladder` give ` Did you mean 'joint'?`: capitals do not matter.

    Args:
        word: the word that is not known.
        known: the words that are.
    """
    if len(word) > _SHOWN:  # no name is that long, and comparing takes the square of the length
        return ""
    by_folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(word.casefold(), by_folded, n=1)
    return f" Did you mean {by_folded[near[0]]!r}?" if near else ""
