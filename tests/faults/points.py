"""The points of a scenario at which a fault may strike: they are counted, and the fault strikes at the n-th."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


class Killed(BaseException):
    """The process dies here; nothing in the product catches it."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault.

    Attributes:
        name: its name in tables and on the command line.
        strikes: names of the operations that it may strike.
        error: number of the system's error that it is; None where it is another thing.
        lasts: True if every operation after the n-th fails too, as on a full disk; False for the n-th alone.
    """

    name: str
    strikes: frozenset[str]
    error: int | None = None
    lasts: bool = False

    def raised(self, path: object = None) -> OSError:
        """Return the error as the system raises it."""
        assert self.error is not None, self.name
        return OSError(self.error, os.strerror(self.error), *(() if path is None else (str(path),)))


def kind(name: str, *strikes: str, lasts: bool = False) -> Kind:
    """Return a kind; the name of one of the system's errors, such as `EIO`, makes it that error."""
    error = getattr(errno, name.partition(" ")[0], None)
    return Kind(name=name, strikes=frozenset(strikes), error=error, lasts=lasts)


class Points:
    """The points of one run of a scenario.

    Args:
        kind: the fault.
        nth: number of the operation at which it strikes, from 1; 0 for none, to count only.

    Attributes:
        kind: the fault.
        passed: how many operations were passed that it may strike.
        fired: True once it has struck.
    """

    def __init__(self, kind: Kind, nth: int = 0) -> None:
        self.kind = kind
        self.passed = 0
        self.fired = False
        self._nth = nth

    def strikes(self, operation: str) -> bool:
        """Pass an operation; return True if the fault strikes there."""
        if operation not in self.kind.strikes:
            return False
        self.passed += 1
        struck = self.passed == self._nth or (self.kind.lasts and self.fired)
        self.fired |= struck
        return struck


@dataclass(frozen=True, slots=True)
class Subject:
    """A part of the product under faults.

    Attributes:
        name: its name on the command line.
        kinds: kinds of faults that may happen to it.
        run: runs its scenario in an empty directory, with a generator that decides all that is left open, and raises
            `AssertionError` where something does not hold.
    """

    name: str
    kinds: Sequence[Kind]
    run: Callable[[Points, Path, random.Random], None]
