"""What a unit's clock adds up to: progress, energy and busy time as exact integrals over board time.

Between two changes every rate is constant, so the integrals of any moment follow from those of the last change.
Pure arithmetic on plain numbers: no shared memory, no clock, no cores' holders but their kind.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

from scheduler.board import BoardUnit

IDLE = 0.0  # holders of a core that no request has; a request's ticket is above both
OFFLINE = -1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitReading:
    """One unit's clock and its totals since the start; requests in progress are counted up to now.

    Attributes:
        name: of the unit.
        now_s: board time of the reading.
        mhz: the clock.
        other_load: share of each core online that others take.
        cores_online: cores in use.
        clock_changes: how often the clock changed.
        pace: profiled ms that a taken core gets through per ms now, beside the other load.
        progress_ms: integral of the pace.
        busy_s: time that each core was taken, or used by others while it was not.
        mhz_s: integral of the clock.
        static_j: integral of `static_w`; None where it is unknown.
        dynamic_j: integral of `dynamic_w` over the busy time of all cores; None where it is unknown.
    """

    name: str
    now_s: float
    mhz: float
    other_load: float
    cores_online: int
    clock_changes: int
    pace: float
    progress_ms: float
    busy_s: tuple[float, ...]
    mhz_s: float
    static_j: float | None
    dynamic_j: float | None


class UnitState(NamedTuple):
    """A unit's clock, the rates that come with it, and the integrals as of `since_s`. All plain floats."""

    since_s: float
    mhz: float
    other_load: float
    cores_online: float
    clock_changes: float
    pace: float  # profiled ms that a taken core gets through per ms, beside the other load
    static_w: float  # NaN where unknown, and so are the joules
    dynamic_w: float
    progress_ms: float  # profiled ms that a core taken all the time would have got through
    mhz_s: float
    static_j: float
    dynamic_j: float  # of one core that is always busy
    other_s: float  # busy time of one core online that only others use
    other_j: float  # and its dynamic energy

    @classmethod
    def first(cls, unit: BoardUnit, now_s: float) -> Self:
        """A unit at its lowest clock, all cores online, all integrals zero."""
        return (
            cls(now_s, 0.0, 0.0, 0.0, 0.0, *[0.0] * 9)
            .changed(unit, mhz=unit.mhz[0], other_load=0.0, cores_online=unit.cores)
            ._replace(clock_changes=0.0)
        )

    def at(self, now_s: float) -> Self:
        """The same unit at another time under this clock."""
        span_s = now_s - self.since_s
        return type(self)(
            now_s,
            *self[1:8],
            self.progress_ms + 1e3 * self.pace * span_s,
            self.mhz_s + self.mhz * span_s,
            self.static_j + self.static_w * span_s,
            self.dynamic_j + self.dynamic_w * span_s,
            self.other_s + self.other_load * span_s,
            self.other_j + self.other_load * self.dynamic_w * span_s,
        )

    def changed(self, unit: BoardUnit, *, mhz: float, other_load: float, cores_online: int) -> Self:
        """The same moment with another clock, other load or number of cores from here on.

        Raises:
            ValueError: if a figure is not possible.
        """
        if mhz not in unit.mhz:
            raise ValueError(f"mhz of unit {unit.name!r} must be one of {list(unit.mhz)}, not {mhz!r}.")
        if not 0 <= other_load <= 1:
            raise ValueError(f"other_load of unit {unit.name!r} must be between 0 and 1, not {other_load!r}.")
        if not 0 <= cores_online <= unit.cores:
            raise ValueError(f"cores_online of unit {unit.name!r} must be 0 to {unit.cores}, not {cores_online!r}.")
        step = unit.mhz.index(mhz)
        return self._replace(
            mhz=mhz,
            other_load=other_load,
            cores_online=float(cores_online),
            clock_changes=self.clock_changes + (mhz != self.mhz),
            pace=unit.pace(mhz) * (1 - other_load),
            static_w=math.nan if unit.static_w is None else unit.static_w[step],
            dynamic_w=math.nan if unit.dynamic_w is None else unit.dynamic_w[step],
        )

    def at_rest(self, core: int) -> float:
        """The holder of the unit's core of that number while no request has it."""
        return IDLE if core < self.cores_online else OFFLINE

    def meters(self, holder: float) -> tuple[float, float]:
        """What counts a core's busy seconds and joules, up to a constant of each core, while it has that holder."""
        if holder == IDLE:
            return self.other_s, self.other_j
        if holder == OFFLINE:
            return 0.0, 0.0
        return self.since_s, self.dynamic_j


class Core(NamedTuple):
    """Who has a core, and what to add to that holder's meters to get the core's totals."""

    holder: float = IDLE
    plus_s: float = 0.0
    plus_j: float = 0.0

    def handed(self, holder: float, unit: UnitState) -> Core:
        """The core with a new holder; its totals go on from where they stand."""
        was_s, was_j = unit.meters(self.holder)
        is_s, is_j = unit.meters(holder)
        return Core(holder, self.plus_s + was_s - is_s, self.plus_j + was_j - is_j)

    def totals(self, unit: UnitState) -> tuple[float, float]:
        """Its busy seconds and dynamic joules."""
        busy_s, dynamic_j = unit.meters(self.holder)
        return self.plus_s + busy_s, self.plus_j + dynamic_j


def reading(name: str, unit: UnitState, cores: Sequence[Core]) -> UnitReading:
    """A unit's totals at the time of its state."""
    totals = [core.totals(unit) for core in cores]
    return UnitReading(
        name=name,
        now_s=unit.since_s,
        mhz=unit.mhz,
        other_load=unit.other_load,
        cores_online=int(unit.cores_online),
        clock_changes=int(unit.clock_changes),
        pace=unit.pace,
        progress_ms=unit.progress_ms,
        busy_s=tuple(busy_s for busy_s, _ in totals),
        mhz_s=unit.mhz_s,
        static_j=_known(unit.static_j),
        dynamic_j=_known(math.fsum(joules for _, joules in totals)),
    )


def _known(figure: float) -> float | None:
    return None if math.isnan(figure) else figure
