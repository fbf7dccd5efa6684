"""The scheduler's model of one interval, with the request rates that a seed really brings.

It predicts what a candidate would cost in the interval and how late it would be. A clock above a unit's limit is held
at that limit, as on the board. Nothing is simulated here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from scheduler.points import operating_points
from scheduler.policies import gear_of, unit_of
from scheduler.problem import FULL_LOAD, Demand, OperatingPoint, Problem
from scheduler.profile import Profile
from scheduler.solver import evaluate
from scheduler.views import Gear
from workloads.hindsight.candidate import Candidate
from workloads.hindsight.intervals import Interval
from workloads.mix.briefing import arrival_model
from workloads.simulator import SimulationPlan

_POINTS_RATE_SHARE = FULL_LOAD
"""Share of the real rate at which operating points are computed: `operating_points` leaves out those of a load above
0.9, and some of them meet the target all the same."""


class IntervalModel:
    """The scheduler's model of one interval.

    Args:
        plan: the simulation.
        interval: the interval.
        rates_hz: by application that is present, its rate in this interval.
        profiles: by application, its networks that are worth a try.
        apps: the order of a candidate's gears; applications that are not present in the interval are ignored.
    """

    def __init__(
        self,
        plan: SimulationPlan,
        interval: Interval,
        *,
        rates_hz: Mapping[str, float],
        profiles: Mapping[str, Profile],
        apps: tuple[str, ...],
    ) -> None:
        self.length_s = interval.length_s
        self._interval = interval
        self._rates_hz = rates_hz
        self._gear_places = [(app, apps.index(app)) for app in interval.targets]
        self._held = {unit.name: {mhz: interval.held(unit, mhz) for mhz in unit.mhz} for unit in plan.board.units}
        self._objective = plan.mix.objective
        self._units = tuple(interval.unit(unit) for unit in plan.board.units if interval.limits[unit.name].cpus_online)
        self._problems: dict[float, Problem] = {}
        arrivals = {presence.app.name: arrival_model(presence) for presence in plan.mix.all_apps()}
        board = replace(plan.board, units=self._units)
        self._points = {
            app: operating_points(
                board,
                profiles[app],
                app=app,
                arrivals=replace(arrivals[app], rate_hz=_POINTS_RATE_SHARE * rates_hz[app]),
                slo=target.slo,
            )
            for app, target in interval.targets.items()
        }
        self._by_gear = {
            app: {(gear_of(point), point.mhz): point for point in points} for app, points in self._points.items()
        }

    def problem(self, latency_factor: float) -> Problem:
        """Return the scheduler's problem of this interval, with modelled latencies times a factor.

        Dividing the targets does the same as multiplying all latencies. A factor below 1 lowers the rates too, but
        never below 0.9 of the real ones, which is the rate of the points.
        """
        if latency_factor not in self._problems:
            demands = tuple(
                Demand(
                    app=app,
                    rate_hz=self._rates_hz[app] * min(1.0, max(latency_factor, _POINTS_RATE_SHARE)),
                    target_ms=target.latency_ms / latency_factor,
                    min_accuracy=target.min_accuracy,
                    weight=target.weight,
                    points=self._points[app],
                )
                for app, target in self._interval.targets.items()
            )
            self._problems[latency_factor] = Problem(
                units=tuple(unit_of(unit) for unit in self._units),
                demands=demands,
                objective=self._objective,
                power_cap_w=self._interval.power_cap_w,
            )
        return self._problems[latency_factor]

    def violation(self, candidate: Candidate, latency_factor: float) -> float | None:
        """Return the modelled violation of a candidate; None where a unit would be overloaded."""
        points = self._points_of(candidate)
        if points is None:
            return None
        held = self._clocks(candidate)
        there = {unit.name: held[unit.name] for unit in self._units}
        return evaluate(self.problem(latency_factor), points, there).violation

    def energy_j(self, candidate: Candidate) -> float:
        """Return the energy of the units in the interval, all requests served; infinite where one is overloaded."""
        points = self._points_of(candidate)
        if points is None:
            return float("inf")
        busy = dict.fromkeys((unit.name for unit in self._units), 0.0)
        power_w = 0.0
        for app, point in points.items():
            busy[point.unit] += self._rates_hz[app] * point.busy_ms / 1000
            power_w += self._rates_hz[app] * point.energy_mj / 1000
        held = self._clocks(candidate)
        for unit in self._units:
            place = unit.mhz.index(held[unit.name])
            load = self._interval.limits[unit.name].other_load
            if not busy[unit.name] and unit.off_w is not None:
                power_w += unit.off_w
                continue
            # Other load keeps a unit from idling. Else the unit idles for at least this share of the time: it is busy
            # for less than Σ rate · service time where requests overlap. The points count that sum as busy already.
            idle = 0.0 if load else max(0.0, 1 - busy[unit.name])
            saved = (1 - unit.idle_share) * (idle + busy[unit.name])
            power_w += (unit.static_w or (0.0,) * len(unit.mhz))[place] * (1 - saved)
        return power_w * self.length_s

    def _clocks(self, candidate: Candidate) -> dict[str, float]:
        """Return by unit the candidate's clocks as the limits of the interval hold them."""
        return {name: held[mhz] for (name, held), mhz in zip(self._held.items(), candidate.clocks, strict=True)}

    def _points_of(self, candidate: Candidate) -> dict[str, OperatingPoint] | None:
        """Return by application the operating point of its gear; None where one has too much load to be a point."""
        held = self._clocks(candidate)
        points = {}
        for app, place in self._gear_places:
            gear: Gear = candidate.gears[place]
            point = self._by_gear[app].get((gear, held[gear.unit]))
            if point is None:
                return None
            points[app] = point
        return points
