"""The gears of the lower bound: where requests of an application may be served, and by which networks alike."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from scheduler.board import Board, BoardUnit
from scheduler.profile import Profile, ServiceTime


@dataclass(frozen=True, slots=True)
class BoundGear:
    """A unit and a number of cores, with networks of an application that may serve requests there.

    Attributes:
        unit: the unit.
        cores: the number of cores.
        activity: the activity of all these networks there.
        memory_share: the memory share that they have of their own; None for the unit's.
        times: their times there.
    """

    unit: BoardUnit
    cores: int
    activity: float
    memory_share: float | None
    times: Sequence[ServiceTime]


def gears_of(board: Board, profile: Profile, min_accuracy: float) -> Iterator[BoundGear]:
    """Yield each unit and number of cores that was profiled for it, with the networks allowed.

    Networks of different activity or memory share come apart.
    """
    times: dict[tuple[str, int, float, float | None], list[ServiceTime]] = {}
    for rung in profile.above(min_accuracy).rungs:
        for time in rung.times:
            times.setdefault((time.kind, time.cores, time.activity, time.memory_share), []).append(time)
    for unit in board.units:
        for (kind, cores, activity, memory_share), here in times.items():
            if kind == unit.kind and cores <= unit.cores:
                yield BoundGear(unit, cores, activity, memory_share, here)


def least_activity(profiles: Iterable[Profile], kind: str) -> float:
    """Return the least activity of any network on a kind of unit; infinite where none runs there."""
    times = (time for profile in profiles for rung in profile.rungs for time in rung.times if time.kind == kind)
    return min((time.activity for time in times), default=math.inf)
