"""A simulated board: its units, their heat, the core that managing takes its time from, and the energy of it all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scheduler.board import Board, BoardUnit
from scheduler.governors import GovernorSeat, at_least
from scheduler.messages import UnitLimited, UnitTelemetry
from workloads.simulator.agenda import Agenda
from workloads.simulator.heat import Heat
from workloads.simulator.unit import SimulatedUnit

_HEAT_STEP_S = 0.1
"""The longest time between two updates of the temperatures; it is small beside any time constant."""


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


class SimulatedBoard:
    """A simulated board with all its units.

    Args:
        board: the board as `cluster.yaml` describes it.
        agenda: the simulation's agenda.

    Attributes:
        units: the units by name, in the board's order.
    """

    def __init__(self, board: Board, agenda: Agenda) -> None:
        self.units = {unit.name: SimulatedUnit(unit, agenda) for unit in board.units}
        self._agenda = agenda
        self._housekeeper = self.units[_housekeeper(board)]
        self._heats = {
            unit.name: Heat(unit, unit.thermal, board.ambient_c)
            for unit in board.units
            if unit.thermal is not None and unit.static_w is not None and unit.dynamic_w is not None
        }
        self._heated_s = dict.fromkeys(self._heats, agenda.now_s)
        self._hot: dict[str, float | None] = dict.fromkeys(self._heats)
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

    def set_clock(self, unit: str, clock: float | str, clamps_mhz: Mapping[int, float]) -> float | str:
        """Ask for a clock in MHz, or hand a unit to a governor; return what is granted.

        Args:
            unit: name of the unit.
            clock: the clock in MHz, or the governor's name.
            clamps_mhz: by slot, the clock that its application needs while it runs, for a governor that takes hints.
        """
        simulated = self.units[unit]
        simulated.clamp(clamps_mhz)
        seat = self._seats[unit]
        is_new = seat.give(clock)
        if not isinstance(clock, str):
            simulated.set_clock(clock, None)
            return at_least(clock, simulated.allowed)
        if is_new:
            # The emulated board's own governors don't hear of edges either.
            simulated.set_clock(clock, seat.governor, edges=not simulated.spec.emulated)
        return clock

    def limit(self, limits: UnitLimited) -> None:
        """Change what a unit may do, from now on."""
        self.units[limits.unit].limit(
            max_mhz=limits.max_mhz, cpus_online=limits.cpus_online, other_load=limits.other_load
        )

    def set_ambient(self, ambient_c: float) -> None:
        """Change the temperature around the board."""
        for heat in self._heats.values():
            heat.ambient_c = ambient_c

    def spend(self, cpu_ms: float, *, urgent: bool) -> float:
        """Take CPU time for managing, on the unit that does it; see `SimulatedUnit.spend`."""
        return self._housekeeper.spend(cpu_ms, urgent=urgent)

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
        spent_j, self._priced_j[name] = unit.energy_j - self._priced_j[name], unit.energy_j
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
                spent_j = unit.energy_j + self.leaked_j(name)
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
        return Residency(
            mhz=unit.spec.mhz,
            time_s=tuple(unit.time_s),
            idle_s=tuple(unit.idle_s),
            busy_s=tuple(unit.busy_s),
            active_s=tuple(unit.active_s),
            off_s=tuple(unit.off_s),
            managing_s=tuple(unit.managing_s),
        )

    def leaked_j(self, name: str) -> float:
        """Return what heat has added to a unit's energy since the start of the simulation, in joules."""
        if name in self._heats:
            self._heat_unit(name)
        return self._leaked_j[name]


def _housekeeper(board: Board) -> str:
    """Return the CPU unit that managing runs on: the one whose top clock takes the least power, or else the last.

    It is one that stays on.
    """
    cpus = [unit for unit in board.units if unit.kind == "cpu" and not unit.may_switch_off] or list(board.units)
    return min(reversed(cpus), key=lambda unit: unit.dynamic_w[-1] if unit.dynamic_w else 0.0).name
