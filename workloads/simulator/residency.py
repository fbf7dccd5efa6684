"""Where a simulated unit's time and energy go, clock by clock."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scheduler.board import BoardUnit


@dataclass(frozen=True, kw_only=True, slots=True)
class Residency:
    """A unit's time over the run by clock: enough to price the run again under other power figures.

    Attributes:
        mhz: its clocks.
        time_s: for each clock, how long it was in force.
        idle_s: for each clock, how much of that time none of its cores was busy.
        busy_s: for each clock, core time taken, summed over cores; other load, managing and switching included.
        active_s: for each clock, the same with each core's time times the activity of who has it.
        off_s: for each clock, how much of `idle_s` the unit was off.
        managing_s: for each clock, how much of `busy_s` managing took.
    """

    mhz: tuple[float, ...]
    time_s: tuple[float, ...]
    idle_s: tuple[float, ...]
    busy_s: tuple[float, ...]
    active_s: tuple[float, ...]
    off_s: tuple[float, ...]
    managing_s: tuple[float, ...]

    def since(self, before: Residency) -> Residency:
        """Return the time since another moment of the same unit."""
        return Residency(
            mhz=self.mhz,
            time_s=_less(self.time_s, before.time_s),
            idle_s=_less(self.idle_s, before.idle_s),
            busy_s=_less(self.busy_s, before.busy_s),
            active_s=_less(self.active_s, before.active_s),
            off_s=_less(self.off_s, before.off_s),
            managing_s=_less(self.managing_s, before.managing_s),
        )

    def energy_j(self, unit: BoardUnit) -> float | None:
        """Return the energy at a unit's stated power, heat left out; None where that is unknown.

        It is the sum over clocks of static_w · (time - (1 - idle_share) · idle time) + dynamic_w · active core time,
        and of off_w in place of idle power while the unit is off. With a static_w of 0.2, a dynamic_w of 0.5 and an
        idle_share of 0.5, a unit that idles for 2 of 10 s and has one core busy with an activity of 1 for the other 8
        takes 0.2 · 9 + 0.5 · 8 = 5.8 J.

        Args:
            unit: the unit, with the power figures to price the time with.
        """
        if unit.static_w is None or unit.dynamic_w is None:
            return None
        saved_s = [(1 - unit.idle_share) * idle_s for idle_s in self.idle_s]
        static_j = [w * (s - saved) for w, s, saved in zip(unit.static_w, self.time_s, saved_s, strict=True)]
        dynamic_j = [w * s for w, s in zip(unit.dynamic_w, self.active_s, strict=True)]
        idle_w = [unit.idle_share * w for w in unit.static_w]
        off_w = idle_w if unit.off_w is None else [unit.off_w] * len(idle_w)
        saved_j = [(idle - off) * s for idle, off, s in zip(idle_w, off_w, self.off_s, strict=True)]
        return math.fsum(static_j) + math.fsum(dynamic_j) - math.fsum(saved_j)

    def managing_j(self, unit: BoardUnit) -> float:
        """Return the dynamic energy of managing; 0 where power is unknown."""
        return math.fsum(w * s for w, s in zip(unit.dynamic_w or (), self.managing_s, strict=False))


def _less(after: tuple[float, ...], before: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(a - b for a, b in zip(after, before, strict=True))


class UnitMeters:
    """The meters of one simulated unit while it runs.

    Args:
        spec: the unit as `cluster.yaml` describes it.

    Attributes:
        energy_j: energy at the stated power, heat left out; 0 where power is unknown.
    """

    def __init__(self, spec: BoardUnit) -> None:
        self.energy_j = 0.0
        self._spec = spec
        zero = [0.0] * len(spec.mhz)
        self._time_s, self._idle_s, self._busy_s, self._active_s = zero[:], zero[:], zero[:], zero[:]
        self._off_s, self._managing_s = zero[:], zero[:]
        self._static_w = spec.static_w or tuple(zero)
        self._dynamic_w = spec.dynamic_w or tuple(zero)

    def pass_busy_time(self, span_s: float, place: int, busy: float, active: float, managing: int) -> None:
        """Count a span in which nothing changed and a core was busy.

        Args:
            span_s: its length.
            place: place of the clock in force among the unit's clocks.
            busy: cores that were busy.
            active: the same with each core times the activity of what ran there.
            managing: cores that were busy with managing.
        """
        self._time_s[place] += span_s
        self._busy_s[place] += span_s * busy
        self._active_s[place] += span_s * active
        if managing:
            self._managing_s[place] += span_s * managing
        self.energy_j += span_s * (self._static_w[place] + self._dynamic_w[place] * active)

    def pass_idle_time(self, span_s: float, place: int, *, on: bool) -> None:
        """Count a span in which nothing changed and no core was busy.

        Args:
            span_s: its length.
            place: place of the clock in force among the unit's clocks.
            on: True if one of its CPUs was online.
        """
        self._time_s[place] += span_s
        self._idle_s[place] += span_s
        if self._spec.off_w is not None and not on:
            self._off_s[place] += span_s
            self.energy_j += span_s * self._spec.off_w
        else:
            self.energy_j += span_s * self._static_w[place] * self._spec.idle_share

    def book(self, took_s: float, place: int, *, idle: bool, managing: bool) -> None:
        """Count a core as busy for a time with something that is no request, all at this moment.

        Args:
            took_s: the time.
            place: place of the clock in force among the unit's clocks.
            idle: True if the unit is idle: the same time was, or will be, counted as idle, and that is undone.
            managing: True if it is managing.
        """
        self._busy_s[place] += took_s
        self._active_s[place] += took_s
        if managing:
            self._managing_s[place] += took_s
        self.energy_j += took_s * self._dynamic_w[place]
        if idle:
            self._idle_s[place] -= took_s
            self.energy_j += took_s * self._static_w[place] * (1 - self._spec.idle_share)

    def residency(self) -> Residency:
        """Return where the time went so far."""
        return Residency(
            mhz=self._spec.mhz,
            time_s=tuple(self._time_s),
            idle_s=tuple(self._idle_s),
            busy_s=tuple(self._busy_s),
            active_s=tuple(self._active_s),
            off_s=tuple(self._off_s),
            managing_s=tuple(self._managing_s),
        )
