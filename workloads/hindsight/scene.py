"""One section of a mix as the scheduler's model sees it, with the rates that a seed really brings.

It says what fixed gears and clocks would cost in the section and how late they would be. A clock above a unit's limit
is held at that limit, as on the board.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from scheduler.points import operating_points
from scheduler.policies import gear_of, unit_of
from scheduler.problem import FULL_LOAD, Demand, OperatingPoint, Problem
from scheduler.profile import Profile
from scheduler.solver import evaluate
from scheduler.views import Gear
from workloads.hindsight.sections import Section
from workloads.mix.briefing import arrival_model
from workloads.simulator import SimulationPlan

_PRICED_LOAD = FULL_LOAD
"""Factor on rates where points are priced: points of a load above 0.9 are left out, and some of them hold."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Gears by application and clocks by unit, each in an order that whoever holds it knows."""

    gears: tuple[Gear, ...]
    clocks: tuple[float, ...]


class Scene:
    """One section.

    Args:
        plan: of the simulation.
        section: of its mix.
        rates_hz: by application that is present, as the seed has it.
        profiles: by application, with the networks worth a try.
        apps: the order of a choice's gears; those that are not present count for nothing.
    """

    def __init__(
        self,
        plan: SimulationPlan,
        section: Section,
        *,
        rates_hz: Mapping[str, float],
        profiles: Mapping[str, Profile],
        apps: tuple[str, ...],
    ) -> None:
        self.length_s = section.length_s
        self._section = section
        self._rates_hz = rates_hz
        self._seats = [(app, apps.index(app)) for app in section.targets]
        self._held = {unit.name: {mhz: section.held(unit, mhz) for mhz in unit.mhz} for unit in plan.board.units}
        self._objective = plan.mix.objective
        self._units = tuple(section.unit(unit) for unit in plan.board.units)
        self._problems: dict[float, Problem] = {}
        arrivals = {presence.app.name: arrival_model(presence.app.arrivals) for presence in plan.mix.all_apps()}
        board = replace(plan.board, units=self._units)
        self._points = {
            app: operating_points(
                board,
                profiles[app],
                app=app,
                arrivals=replace(arrivals[app], rate_hz=_PRICED_LOAD * rates_hz[app]),
                slo=target.slo,
            )
            for app, target in section.targets.items()
        }
        self._by_gear = {
            app: {(gear_of(point), point.mhz): point for point in points} for app, points in self._points.items()
        }

    def problem(self, ease: float) -> Problem:
        """The scheduler's problem of this section, with modelled latencies and loads times `ease`."""
        if ease not in self._problems:
            demands = tuple(
                Demand(
                    app=app,
                    rate_hz=self._rates_hz[app] * min(1.0, max(ease, _PRICED_LOAD)),
                    target_ms=target.latency_ms / ease,
                    min_accuracy=target.min_accuracy,
                    weight=target.weight,
                    points=self._points[app],
                )
                for app, target in self._section.targets.items()
            )
            self._problems[ease] = Problem(
                units=tuple(unit_of(unit) for unit in self._units),
                demands=demands,
                objective=self._objective,
                power_cap_w=self._section.power_cap_w,
            )
        return self._problems[ease]

    def _clocks(self, choice: Choice) -> dict[str, float]:
        """By unit, a choice's clocks as they are here, under the limits."""
        return {name: held[mhz] for (name, held), mhz in zip(self._held.items(), choice.clocks, strict=True)}

    def lateness(self, choice: Choice, ease: float) -> float | None:
        """The model's violation; None where a unit would be overloaded."""
        points = self._taken(choice)
        if points is None:
            return None
        return evaluate(self.problem(ease), points, self._clocks(choice)).violation

    def energy_j(self, choice: Choice) -> float:
        """Energy of the units here, all requests served; infinite where one would be overloaded."""
        points = self._taken(choice)
        if points is None:
            return float("inf")
        busy = dict.fromkeys((unit.name for unit in self._units), 0.0)
        power_w = 0.0
        for app, point in points.items():
            busy[point.unit] += self._rates_hz[app] * point.busy_ms / 1000
            power_w += self._rates_hz[app] * point.energy_mj / 1000
        held = self._clocks(choice)
        for unit in self._units:
            place = unit.mhz.index(held[unit.name])
            load = self._section.limits[unit.name].other_load
            idle = 0.0 if load else max(0.0, 1 - busy[unit.name])
            power_w += (unit.static_w or (0.0,) * len(unit.mhz))[place] * (1 - (1 - unit.idle_share) * idle)
        return power_w * self.length_s

    def _taken(self, choice: Choice) -> dict[str, OperatingPoint] | None:
        held = self._clocks(choice)
        points = {}
        for app, seat in self._seats:
            gear = choice.gears[seat]
            point = self._by_gear[app].get((gear, held[gear.unit]))
            if point is None:
                return None
            points[app] = point
        return points
