"""The sums that a unit's clock makes over time: progress, energy and busy time as exact integrals over board time.

Between two changes every rate is constant, so the integrals of any moment follow from those of the last change. This
module is arithmetic on plain numbers. It knows no shared memory and no clock, and of a core's holder only whether it is
a request.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

from actors.requests.turns import mask_of
from scheduler.board import BoardUnit

IDLE = 0.0
"""The holder of a core online that no request has. A request's ticket is above 0."""

OFFLINE = -1.0
"""The holder of a core offline that no request has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitReading:
    """One unit's clock, and its totals since the start up to now, requests in progress included.

    Attributes:
        name: name of the unit.
        now_s: board time of the reading.
        mhz: the clock in force.
        other_load: share of each core online that others take, 0 to 1.
        cpus_online: the CPUs in use, a part of `BoardUnit.all_cpus`.
        clock_changes: how often the clock changed.
        busy_s: time that each core was taken, or used by others while it was not.
        mhz_s: integral of the clock.
        static_j: energy without what busy cores take on top; None where it is unknown.
        dynamic_j: integral of `dynamic_w` over the busy time of all cores, times the activity of who is there; None
            where it is unknown.
    """

    name: str
    now_s: float
    mhz: float
    other_load: float
    cpus_online: tuple[int, ...]
    clock_changes: int
    busy_s: tuple[float, ...]
    mhz_s: float
    static_j: float | None
    dynamic_j: float | None


class UnitState(NamedTuple):
    """A unit's clock, the rates that come with it, and the integrals as of `since_s`. All fields are plain floats.

    Attributes:
        since_s: board time of the integrals.
        mhz: the clock in force from then on.
        other_load: share of each core online that others take, 0 to 1.
        online: the cores in use, a bit for each.
        clock_changes: how often the clock changed.
        slowdown: how many times as long requests take as clock and load explain; at least 1.
        pace: profiled ms that a taken core gets through per ms, beside the other load and slowed down; of networks that
            have no memory share of their own.
        taken: 1 while a request has a core of it, else 0.
        paced: 1 while requests have clocks of their own, else 0.
        planned_mhz: the plan's clock of a paced unit.
        rest_mhz: the clock of a paced unit while nobody is served.
        cap_mhz: the highest clock that a paced unit may take.
        static_w: power of the unit without its busy cores; NaN where unknown, and then the joules are NaN too.
        dynamic_w: power of one busy core on top; NaN where unknown.
        progress_ms: profiled ms that a core taken all the time would have got through.
        hidden_ms: profiled ms that it would have got through besides, but for slowdowns.
        mhz_s: integral of the clock.
        static_j: integral of `static_w`.
        dynamic_j: dynamic energy of one core that is always busy.
        other_s: busy time of one core online that only others use.
        other_j: dynamic energy of one core online that only others use.
    """

    since_s: float
    mhz: float
    other_load: float = 0.0
    online: float = 0.0
    clock_changes: float = 0.0
    slowdown: float = 1.0
    pace: float = 0.0
    taken: float = 0.0
    paced: float = 0.0
    planned_mhz: float = 0.0
    rest_mhz: float = 0.0
    cap_mhz: float = math.inf
    static_w: float = 0.0
    dynamic_w: float = 0.0
    progress_ms: float = 0.0
    hidden_ms: float = 0.0
    mhz_s: float = 0.0
    static_j: float = 0.0
    dynamic_j: float = 0.0
    other_s: float = 0.0
    other_j: float = 0.0

    @classmethod
    def first(cls, unit: BoardUnit, now_s: float) -> Self:
        """Return a unit at its lowest clock, with all cores online and all integrals zero."""
        lowest = unit.mhz[0]
        return cls(since_s=now_s, mhz=lowest).changed(unit, mhz=lowest, other_load=0.0, cpus_online=unit.all_cpus)

    def at(self, now_s: float) -> Self:
        """Return the unit at another time, if nothing changes between."""
        span_s = now_s - self.since_s
        return self._replace(
            since_s=now_s,
            progress_ms=self.progress_ms + 1e3 * self.pace * span_s,
            hidden_ms=self.hidden_ms + 1e3 * self.pace * (self.slowdown - 1) * span_s,
            mhz_s=self.mhz_s + self.mhz * span_s,
            static_j=self.static_j + self.static_w * span_s,
            dynamic_j=self.dynamic_j + self.dynamic_w * span_s,
            other_s=self.other_s + self.other_load * span_s,
            other_j=self.other_j + self.other_load * self.dynamic_w * span_s,
        )

    def changed(self, unit: BoardUnit, *, mhz: float, other_load: float, cpus_online: Collection[int]) -> Self:
        """Return the unit at the same moment, with another clock, other load or set of cores from here on.

        Args:
            unit: the unit as `cluster.yaml` describes it.
            mhz: its clock. One that was read back need not be one of the unit's: the nearest of those counts.
            other_load: share of each core online that others take, 0 to 1.
            cpus_online: the CPUs in use, some of `BoardUnit.all_cpus`, or none.

        Raises:
            ValueError: if a figure is not possible.
        """
        if not 0 <= other_load <= 1:
            raise ValueError(f"other_load of unit {unit.name!r} must be between 0 and 1, not {other_load!r}.")
        if set(cpus_online) - set(unit.all_cpus):
            raise ValueError(
                f"cpus_online of unit {unit.name!r} must be some of {list(unit.all_cpus)}, not {sorted(cpus_online)}."
            )
        return self._replace(
            other_load=other_load,
            online=float(mask_of(core for core, cpu in enumerate(unit.numbers) if cpu in cpus_online)),
        ).clocked(unit, mhz)

    def clocked(self, unit: BoardUnit, mhz: float) -> Self:
        """Return the unit at the same moment, with another clock from here on; see `changed`.

        Raises:
            ValueError: if it is no possible clock.
        """
        if not 0 < mhz < math.inf:
            raise ValueError(f"mhz of unit {unit.name!r} must be a finite number above 0, not {mhz!r}.")
        clock = unit.nearest(mhz)
        return self._replace(
            mhz=clock,
            clock_changes=self.clock_changes + (clock != self.mhz),
            pace=unit.pace(clock) * (1 - self.other_load) / self.slowdown,
            dynamic_w=math.nan if unit.dynamic_w is None else unit.dynamic_w[unit.mhz.index(clock)],
        ).held(unit, taken=bool(self.taken))

    def slowed(self, unit: BoardUnit, slowdown: float) -> Self:
        """Return the unit at the same moment, with requests that take so many times as long from here on.

        Raises:
            ValueError: if it is below 1 or infinite.
        """
        if not 1 <= slowdown < math.inf:
            raise ValueError(f"slowdown of unit {unit.name!r} must be a finite number of at least 1, not {slowdown!r}.")
        return self._replace(slowdown=slowdown).clocked(unit, self.mhz)

    def held(self, unit: BoardUnit, *, taken: bool) -> Self:
        """Return the unit at the same moment, with a request on it or none from here on.

        Args:
            unit: the unit as `cluster.yaml` describes it.
            taken: True if a request has a core of it.
        """
        static_w = unit.resting_w(self.mhz, busy=taken or self.other_load > 0, on=taken or self.online > 0)
        return self._replace(taken=float(taken), static_w=math.nan if static_w is None else static_w)

    def cpus_online(self, unit: BoardUnit) -> tuple[int, ...]:
        """Return the CPUs in use, rising."""
        return tuple(sorted(cpu for core, cpu in enumerate(unit.numbers) if self.has_online(core)))

    def has_online(self, core: int) -> bool:
        """Return True if the unit's core of that number is in use."""
        return bool(int(self.online) >> core & 1)

    def at_rest(self, core: int) -> float:
        """Return the holder of the unit's core of that number while no request has it: `IDLE` or `OFFLINE`."""
        return IDLE if self.has_online(core) else OFFLINE

    def meters(self, holder: float, activity: float) -> tuple[float, float]:
        """Return the two integrals, seconds and joules, that grow as a core's totals do while it has that holder.

        Args:
            holder: the holder.
            activity: a request's factor on `dynamic_w`. Load that is not ours counts as 1, since nobody knows better.
        """
        if holder == IDLE:
            return self.other_s, self.other_j
        if holder == OFFLINE:
            return 0.0, 0.0
        return self.since_s, activity * self.dynamic_j


class Core(NamedTuple):
    """A core's holder, and what to add to that holder's meters to get the core's totals.

    A core's totals are not counted up. They are the difference of the unit's integrals since the holder came, plus the
    totals until then. Both constants are kept as one sum, so a core changes only when its holder does.

    Attributes:
        holder: ticket of the request that has it, or `IDLE` or `OFFLINE`.
        activity: factor on `dynamic_w` while that request runs.
        plus_s: busy seconds to add.
        plus_j: dynamic joules to add.
    """

    holder: float = IDLE
    activity: float = 1.0
    plus_s: float = 0.0
    plus_j: float = 0.0

    def handed(self, holder: float, unit: UnitState, activity: float = 1.0) -> Core:
        """Return the core with a new holder. Its totals go on from where they stand."""
        was_s, was_j = unit.meters(self.holder, self.activity)
        is_s, is_j = unit.meters(holder, activity)
        return Core(
            holder=holder, activity=activity, plus_s=self.plus_s + was_s - is_s, plus_j=self.plus_j + was_j - is_j
        )

    def totals(self, unit: UnitState) -> tuple[float, float]:
        """Return its busy seconds and its dynamic joules at the time of the unit's state."""
        busy_s, dynamic_j = unit.meters(self.holder, self.activity)
        return self.plus_s + busy_s, self.plus_j + dynamic_j


def reading(spec: BoardUnit, unit: UnitState, cores: Sequence[Core]) -> UnitReading:
    """Return a unit's totals at the time of its state.

    Args:
        spec: the unit as `cluster.yaml` describes it.
        unit: its state.
        cores: all its cores.
    """
    totals = [core.totals(unit) for core in cores]
    return UnitReading(
        name=spec.name,
        now_s=unit.since_s,
        mhz=unit.mhz,
        other_load=unit.other_load,
        cpus_online=unit.cpus_online(spec),
        clock_changes=int(unit.clock_changes),
        busy_s=tuple(busy_s for busy_s, _ in totals),
        mhz_s=unit.mhz_s,
        static_j=_known(unit.static_j),
        dynamic_j=_known(math.fsum(joules for _, joules in totals)),
    )


def _known(figure: float) -> float | None:
    return None if math.isnan(figure) else figure
