"""The limits of one unit: those that the mix asks for, and those that the board was seen to have.

They are kept apart, so that neither erases the other: with a mix's limit of 1,400 MHz and a cap by heat of 1,200 a plan
has 1,200 MHz; when the cap is lifted it has 1,400, and when the mix lifts its limit first it still has 1,200. Of CPUs,
those that both leave are online.

A limit that is lowered, and a CPU that is lost, count with the first report that says so: a plan above them cannot be
carried out. One that is raised, and a CPU that is back, count with the second report in a row. The kernel's step-wise
thermal governor takes a step down and a step up by turns while a unit is near its trip, and each change in a plan has
its price: networks are prepared, threads are moved. So what comes of two reports is the stricter of both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Self

from scheduler.board import BoardUnit
from scheduler.inputs import UnitInputs
from scheduler.messages import UnitLimited, UnitTelemetry

UNKNOWN_CAUSE = "an unknown cause"
"""The reason of a limit for which the board gives none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Seen:
    """The limits that one report tells of.

    Attributes:
        max_mhz: the unit's highest clock that the board grants; infinite where it grants all.
        cpus_online: the unit's CPUs online.
        held_by: reason for `max_mhz` in words.
        offline_by: reason for `cpus_online` in words.
    """

    max_mhz: float
    cpus_online: tuple[int, ...]
    held_by: str
    offline_by: str


@dataclass(frozen=True, slots=True)
class UnitLimits:
    """The limits of one unit.

    Attributes:
        unit: the unit without limits.
        asked: the mix's limits.
        latest: the board's by the latest report.
        before: the board's by the report before that.
        in_force: what a plan has to keep.
    """

    unit: BoardUnit
    asked: UnitLimited
    latest: _Seen
    before: _Seen
    in_force: UnitInputs

    @classmethod
    def none(cls, unit: BoardUnit) -> Self:
        """Return a unit without any limit."""
        asked = UnitLimited(unit=unit.name, max_mhz=None, cpus_online=unit.all_cpus, other_load=0.0)
        seen = _Seen(max_mhz=math.inf, cpus_online=unit.all_cpus, held_by=UNKNOWN_CAUSE, offline_by=UNKNOWN_CAUSE)
        return cls(unit, asked, seen, seen, UnitInputs(max_mhz=None, cpus_online=unit.all_cpus, other_load=0.0))

    def ask(self, limits: UnitLimited) -> UnitLimits:
        """Return the limits once the mix has asked for these."""
        return replace(self, asked=limits)._combined()

    def see(self, report: UnitTelemetry) -> UnitLimits:
        """Return the limits once the board has told of its own.

        Args:
            report: the latest report; a limit of which it says nothing is none.
        """
        unit = self.unit
        cap_mhz, told = unit.held_at(report.max_mhz), report.cpus_online
        seen = _Seen(
            max_mhz=math.inf if cap_mhz is None else cap_mhz,
            cpus_online=unit.all_cpus if told is None else tuple(cpu for cpu in unit.all_cpus if cpu in told),
            held_by=report.held_by or UNKNOWN_CAUSE,
            offline_by=report.offline_by or UNKNOWN_CAUSE,
        )
        if seen == self.latest == self.before:
            return self
        return replace(self, latest=seen, before=self.latest)._combined()

    def _combined(self) -> UnitLimits:
        """Return the same limits with those in force made anew."""
        asked = self.asked
        strictest = min(self.latest, self.before, key=lambda seen: seen.max_mhz)
        capped = strictest.max_mhz < (math.inf if asked.max_mhz is None else asked.max_mhz)
        taken = {
            cpu: seen.offline_by
            for seen in (self.before, self.latest)
            for cpu in asked.cpus_online
            if cpu not in seen.cpus_online
        }
        in_force = UnitInputs(
            max_mhz=strictest.max_mhz if capped else asked.max_mhz,
            cpus_online=tuple(cpu for cpu in asked.cpus_online if cpu not in taken),
            other_load=asked.other_load,
            capped_by=strictest.held_by if capped else None,
            taken_by=taken,
        )
        return replace(self, in_force=in_force)
