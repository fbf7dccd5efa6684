"""The modes of a board: states that a tool of the board's maker puts it in, such as nvpmodel's on a Jetson.

Frozen data; `scheduler.board.Board.in_mode` says what a mode does to a board.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class ClockRange:
    """The clocks of one unit that a mode leaves.

    Attributes:
        unit: name of the unit.
        min_mhz: lowest clock; None leaves the unit's own.
        max_mhz: highest clock; None leaves the unit's own.
    """

    unit: str
    min_mhz: float | None = None
    max_mhz: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Mode:
    """A state that a tool of the board's maker puts it in, such as nvpmodel's `MODE_15W_2CORE` of a Jetson Xavier NX.

    Attributes:
        name: its name.
        id: its number.
        cpus: the CPUs that are online, by the kernel's numbers; None for all.
        clocks: the clocks that it leaves, by unit; all those of a unit that is not named.
        emc_mhz: highest clock of the memory; None where it is not limited, or unknown. The scheduler does not use it.
        emc_w: what the memory at that clock adds to `Board.base_w`; None where unknown, and it counts as nothing.
    """

    name: str
    id: int
    cpus: tuple[int, ...] | None = None
    clocks: tuple[ClockRange, ...] = ()
    emc_mhz: float | None = None
    emc_w: float | None = None
