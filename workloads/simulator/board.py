"""A simulated board: its units, their heat, the core that managing takes its time from, and the energy of it all."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from scheduler.board import Board
from scheduler.governors import GovernorSeat, at_least
from scheduler.messages import UnitLimited, UnitSlowed, UnitTelemetry
from scheduler.request_clock import NO_PACES, Pace
from workloads.simulator.agenda import Agenda
from workloads.simulator.heat import Heat
from workloads.simulator.residency import Residency
from workloads.simulator.unit import SimulatedUnit

_HEAT_STEP_S = 0.1
"""The longest time between two updates of the temperatures; it is small beside any time constant."""


class SimulatedBoard:
    """A simulated board with all its units.

    Args:
        board: the board as `cluster.yaml` describes it.
        agenda: the simulation's agenda.
        clock_ms: CPU time of one change of clock for a request.
        governors_sample: as in `SimulationPlan`.

    Attributes:
        units: the units by name, in the board's order.
    """

    def __init__(self, board: Board, agenda: Agenda, *, clock_ms: float = 0.0, governors_sample: bool = False) -> None:
        def spend() -> None:
            self._housekeeper.spend(clock_ms, urgent=False)

        self.units = {unit.name: SimulatedUnit(unit, agenda, on_request_clock=spend) for unit in board.units}
        self._agenda = agenda
        self._housekeeper = self.units[board.housekeeper.name]
        self._heats = {
            unit.name: Heat(unit, unit.thermal, board.ambient_c)
            for unit in board.units
            if unit.thermal is not None and unit.static_w is not None and unit.dynamic_w is not None
        }
        self._heated_s = dict.fromkeys(self._heats, agenda.now_s)
        self._hot: dict[str, float | None] = dict.fromkeys(self._heats)
        self._governors_sample = governors_sample
        self._seats = {unit.name: GovernorSeat(board, unit.name) for unit in board.units}
        self._priced_j = {unit.name: 0.0 for unit in board.units}
        self._leaked_j = {unit.name: 0.0 for unit in board.units}
        self._reported_busy_s = {unit.name: 0.0 for unit in board.units}
        self._reported_j = {unit.name: 0.0 for unit in board.units}
        self._reported_s = agenda.now_s
        if self._heats:
            agenda.at(agenda.now_s + _HEAT_STEP_S, self._heat_up)
        for name, heat in self._heats.items():
            agenda.at(agenda.now_s + heat.polling_s, self._poll_heat, name)

    # ------------------------------------------------------------ what is done to it

    def set_clock(
        self, unit: str, clock: float | str, clamps_mhz: Mapping[int, float], paces: Mapping[int, Pace] = NO_PACES
    ) -> float | str:
        """Ask for a clock in MHz, or hand a unit to a governor; return what is granted.

        Args:
            unit: name of the unit.
            clock: the clock in MHz, or the governor's name.
            clamps_mhz: by slot, the clock that its application needs while it runs, for a governor that takes hints.
            paces: by slot, the rule by which its requests get clocks.
        """
        simulated = self.units[unit]
        simulated.clamp(clamps_mhz)
        seat = self._seats[unit]
        is_new = seat.give(clock)
        if not isinstance(clock, str):
            simulated.set_clock(clock, None, paces=paces)
            return at_least(clock, simulated.allowed)
        if is_new:
            sampled = self._governors_sample and simulated.spec.emulated
            simulated.set_clock(clock, seat.governor, edges=not sampled)
        return clock

    def limit(self, limits: UnitLimited) -> None:
        """Change what a unit may do, from now on."""
        self.units[limits.unit].limit(
            max_mhz=limits.max_mhz, cpus_online=limits.cpus_online, other_load=limits.other_load
        )

    def slow(self, slowed: UnitSlowed) -> None:
        """Have requests on a unit take so many times as long, from now on."""
        self.units[slowed.unit].slow(slowed.slowdown)

    def set_ambient(self, ambient_c: float) -> None:
        """Change the temperature around the board."""
        for heat in self._heats.values():
            heat.ambient_c = ambient_c

    def spend(self, cpu_ms: float, *, urgent: bool) -> float:
        """Take CPU time for managing, on the unit that does it; see `SimulatedUnit.spend`."""
        return self._housekeeper.spend(cpu_ms, urgent=urgent)

    def work_aside(self, cpu_ms: float, done: Callable[[], None]) -> None:
        """Do managing beside all requests, on the unit that does it.

        Args:
            cpu_ms: the time that it takes at the unit's top clock.
            done: called when it is done.
        """
        self._housekeeper.aside.begin(cpu_ms, done)

    # ------------------------------------------------------------ heat

    def _heat_up(self, _: object) -> None:
        for name in self._heats:
            self._heat_unit(name)
        self._agenda.at(self._agenda.now_s + _HEAT_STEP_S, self._heat_up)

    def _heat_unit(self, name: str) -> None:
        """Bring the temperature of a unit up to now."""
        span_s = self._agenda.now_s - self._heated_s[name]
        if span_s <= 0:
            return
        self._heated_s[name] = self._agenda.now_s
        unit, heat = self.units[name], self._heats[name]
        unit.settle()
        spent_j, self._priced_j[name] = unit.meters.energy_j - self._priced_j[name], unit.meters.energy_j
        assert unit.spec.static_w is not None
        leaked_j = heat.leakage() * unit.spec.static_w[unit.spec.mhz.index(unit.mhz)] * span_s
        self._leaked_j[name] += leaked_j
        heat.pass_time(span_s, (spent_j + leaked_j) / span_s)

    def _poll_heat(self, name: str) -> None:
        heat = self._heats[name]
        allowed_mhz = heat.poll()
        if allowed_mhz != self._hot[name]:
            self._hot[name] = allowed_mhz
            self.units[name].hold_down(allowed_mhz)
        self._agenda.at(self._agenda.now_s + heat.polling_s, self._poll_heat, name)

    # ------------------------------------------------------------ what is read of it

    def telemetry(self) -> tuple[UnitTelemetry, ...]:
        """Return every unit as it is now, and its load and mean power since the last call."""
        span_s = self._agenda.now_s - self._reported_s
        self._reported_s = self._agenda.now_s
        return tuple(self._unit_telemetry(name, span_s) for name in self.units)

    def _unit_telemetry(self, name: str, span_s: float) -> UnitTelemetry:
        unit = self.units[name]
        busy_s = math.fsum(unit.core_busy_s())
        old_s, self._reported_busy_s[name] = self._reported_busy_s[name], busy_s
        busy, power_w = 0.0, None
        if span_s > 0:
            busy = min(1.0, max(0.0, (busy_s - old_s) / (span_s * max(1, len(unit.cpus_online)))))
            if unit.spec.static_w is not None:
                spent_j = unit.meters.energy_j + self.leaked_j(name)
                power_w = (spent_j - self._reported_j[name]) / span_s
                self._reported_j[name] = spent_j
        heat, max_mhz = self._heats.get(name), self._hot.get(name)
        return UnitTelemetry(
            name=name,
            mhz_now=unit.mhz,
            busy=busy,
            temp_c=heat.temp_c if heat else None,
            power_w=power_w,
            max_mhz=max_mhz,
            held_by=f"modelled heat, {heat.temp_c:.0f} °C" if heat and max_mhz is not None else None,
        )

    def residency(self, name: str) -> Residency:
        """Return where a unit's time went since the start of the simulation."""
        unit = self.units[name]
        unit.settle()
        return unit.meters.residency()

    def leaked_j(self, name: str) -> float:
        """Return what heat has added to a unit's energy since the start of the simulation, in joules."""
        if name in self._heats:
            self._heat_unit(name)
        return self._leaked_j[name]
