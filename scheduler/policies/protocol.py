"""The interface of a policy, and the few functions that all policies share.

A policy sees snapshots only. It does not know how a plan is carried out, nor what the time is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from scheduler.errors import InputError
from scheduler.problem import OperatingPoint, Points
from scheduler.views import AppView, Gear, Plan, Snapshot


class PolicyError(InputError):
    """A policy's name is unknown, or a plan cannot be carried out."""


class Policy(Protocol):
    """Decides on gears and clocks.

    It is asked when something that a decision rests on has changed: a target, a limit, a rate. A policy that wants to
    be asked every epoch has a true attribute `every_epoch`. A policy that solves an optimisation problem each time has
    a true attribute `solves`, and a simulation charges it more time for a decision. One that gives requests clocks of
    their own (`Plan.paces`) has a true attribute `paces`, and is shown which units can have that (`UnitView.paced`).
    """

    def decide(self, snapshot: Snapshot) -> Plan:
        """Return a gear for every application of the snapshot, and a clock or a governor for every unit."""
        ...


def gear_of(point: OperatingPoint) -> Gear:
    """Return a point's gear, which is the point without its clock."""
    return Gear(subnet=point.subnet, unit=point.unit, cores=point.cores)


def points_of(gear: Gear | None, view: AppView) -> Sequence[OperatingPoint]:
    """Return the points of an application in that gear, one for each clock; none without a gear."""
    if gear is None:
        return ()
    return Points.of(view.points).in_gear(gear.subnet, gear.unit, gear.cores)


def top_points(view: AppView, snapshot: Snapshot) -> list[OperatingPoint]:
    """Return an application's points at the highest clocks allowed, those of the smallest sub-network first."""
    top_mhz = {unit.name: unit.mhz_allowed[-1] for unit in snapshot.units}
    return [point for point in view.points if point.mhz == top_mhz[point.unit]]


def ladder_of(points: list[OperatingPoint]) -> list[str]:
    """Return the rungs of a ladder in the order of the points, which is smallest first.

    A sub-network that is both slower and less accurate than another is no rung: of (10 ms, 0.6), (12 ms, 0.5) and (20
    ms, 0.7) the first and the last are rungs. One of unknown accuracy, 0, is one.

    Args:
        points: points of one application at the highest clocks.
    """
    quickest: dict[str, OperatingPoint] = {}
    for point in points:
        if point.subnet not in quickest or point.latency_ms < quickest[point.subnet].latency_ms:
            quickest[point.subnet] = point
    rungs, best = set(), 0.0
    for point in sorted(quickest.values(), key=lambda point: (point.latency_ms, point.accuracy)):
        if point.accuracy >= best or not point.accuracy:
            rungs.add(point.subnet)
            best = max(best, point.accuracy)
    return [subnet for subnet in quickest if subnet in rungs]
