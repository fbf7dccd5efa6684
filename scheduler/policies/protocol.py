"""What a policy is, and the few words that all policies share.

A policy sees snapshots only. It does not know how a plan is carried out, nor what the time is.
"""

from __future__ import annotations

from typing import Protocol

from scheduler.errors import InputError
from scheduler.problem import OperatingPoint, Points
from scheduler.views import AppView, Gear, Plan, Snapshot


class PolicyError(InputError):
    """A policy's name that means nothing, or a plan that cannot be carried out."""


class Policy(Protocol):
    """Decides on gears and clocks.

    It is asked where something that a decision rests on has changed: a target, a limit, a rate. One that wants to be
    asked every epoch has an attribute `every_epoch` that is true. One that solves an optimisation problem each time
    says so by `solves`: a simulation charges it more for a decision.
    """

    def decide(self, snapshot: Snapshot) -> Plan:
        """A gear for every application of the snapshot and a clock, or a governor, for every unit."""
        ...


def gear_of(point: OperatingPoint) -> Gear:
    """The gear that a point is one clock of."""
    return Gear(subnet=point.subnet, unit=point.unit, cores=point.cores)


def points_of(gear: Gear | None, view: AppView) -> tuple[OperatingPoint, ...]:
    """The points of an application that are clocks of that gear; none where there is no gear."""
    if gear is None:
        return ()
    return Points.of(view.points).by_gear.get((gear.subnet, gear.unit, gear.cores), ())


def top_points(view: AppView, snapshot: Snapshot) -> list[OperatingPoint]:
    """The points of an application at the highest clocks allowed, those of the smallest sub-network first."""
    top_mhz = {unit.name: unit.mhz_allowed[-1] for unit in snapshot.units}
    return [point for point in view.points if point.mhz == top_mhz[point.unit]]


def ladder_of(points: list[OperatingPoint]) -> list[str]:
    """The sub-networks of points, in their order: smallest first."""
    return list(dict.fromkeys(point.subnet for point in points))
