"""A candidate of the search: gears and clocks."""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.views import Gear


@dataclass(frozen=True, slots=True)
class Candidate:
    """Gears and clocks that are held over one or more intervals.

    Attributes:
        gears: one for each application, in the order of `SearchSpace.apps`.
        clocks: one for each unit in MHz, in the order of the board's units.
    """

    gears: tuple[Gear, ...]
    clocks: tuple[float, ...]
