"""The rule that decides which waiting request gets cores next: the earliest deadline first.

The ledger of a real run and the simulator both ask it. It does not know how long requests wait, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar


class Waiting(Protocol):
    """A request that waits for cores of one unit."""

    @property
    def deadline_s(self) -> float:
        """The board time at which its result is due."""

    @property
    def slot(self) -> int:
        """The number of its application, which has one waiting request on a unit at most."""

    @property
    def mask(self) -> int:
        """The cores that it needs, all at once: bit i is the unit's core i."""


WaitingT = TypeVar("WaitingT", bound=Waiting)


def urgency(request: Waiting) -> tuple[float, int]:
    """Return the key by which waiting requests are sorted: the deadline, and at equal deadlines the slot."""
    return request.deadline_s, request.slot


def next_turn(waiting: Iterable[WaitingT], held: int) -> WaitingT | None:
    """Return the request that gets its cores next, or None if no request can have them now.

    A request never gets a core that a more urgent one waits for, even if that core is free: otherwise a request for
    several cores could wait forever. With core 0 held, a request for cores 0 and 1 due at 1 s keeps core 1 free, so
    that a request for core 1 due at 2 s must wait.

    Args:
        waiting: the waiting requests, sorted by `urgency`.
        held: the cores that are taken, a bit for each.
    """
    kept = held
    for request in waiting:
        if not kept & request.mask:
            return request
        # A less urgent request must not take these cores one by one while this one waits for all of them.
        kept |= request.mask
    return None


def mask_of(cores: Iterable[int]) -> int:
    """Return a mask with a bit for each core: cores 0 and 2 give 0b101."""
    return sum(1 << core for core in set(cores))
