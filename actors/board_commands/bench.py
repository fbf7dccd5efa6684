"""What measurements of a board work with: its time, the meters of its rails, and an account of what it was told to do.

Calibrations and measurements of networks share it; a test has a board, a load and a time of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from actors.agent.devices.real import RealClock, Seen
from actors.agent.load import HostMeter
from actors.agent.machine import Machine
from actors.agent.sensors import RailTotals, Sampler
from actors.board_commands.load import BurnLoad, Load
from actors.clock import BoardClock, Clock
from actors.ledger.meters import UnitReading
from scheduler.board import Board

SETTLE_S = 0.3
"""Time between a new clock or load and the measurement: sensors average over some 10 ms, and governors of GPUs look
every 50 ms."""

_HELD = 0.98
"""A clock below this share of the one asked for was held down."""

Units = Callable[[], Mapping[str, UnitReading]]


class Meters(Protocol):
    """What reads the rails; `Sampler` is one."""

    def start(self) -> None:
        """Begin to read in the background."""
        ...

    def mark(self) -> None:
        """Begin the window of `totals`."""
        ...

    def totals(self) -> tuple[RailTotals, ...]:
        """Return each rail's totals since the mark."""
        ...

    def close(self) -> None:
        """Stop reading."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """What a board is measured with.

    Attributes:
        machine: the machine that the board is.
        clock: board time.
        load: makes the load of a calibration, for the CPUs given.
        meters: makes the meters of a board's rails.
        others: tells how many CPUs other programs kept busy since the last call; 0.5 is one for half of the time.
    """

    machine: Machine
    clock: Clock
    load: Callable[[Sequence[int]], Load]
    meters: Callable[[Board, Units], Meters]
    others: Callable[[], float] = lambda: 0.0


def real_bench(machine: Machine) -> Bench:
    """Return a bench of this machine."""
    clock = BoardClock(time.monotonic())
    host = HostMeter()
    return Bench(
        machine=machine,
        clock=clock,
        load=BurnLoad,
        meters=lambda board, units: Sampler(board, machine.tree, clock, units),
        others=lambda: host.read().others,
    )


def why_held(knobs: RealClock | None, granted_mhz: float, wanted_mhz: float) -> str | None:
    """Return why a unit does not have the clock that it is to have, in words; None if it has it.

    Args:
        knobs: the knobs of its clock; None for a clock that is not set.
        granted_mhz: the clock that was granted when it was set.
        wanted_mhz: the clock that it is to have.
    """
    seen = Seen(mhz=granted_mhz) if knobs is None else knobs.look()
    if min(granted_mhz, seen.max_mhz or granted_mhz) >= _HELD * wanted_mhz:
        return None
    return seen.held_by or "it does not say why"


class Account:
    """The clocks and busy cores of a board over time, by which the meters tell a rail that is stuck."""

    def __init__(self, board: Board, clock: Clock) -> None:
        self._clock = clock
        self._at_s = clock.now_s()
        self._cpus = {unit.name: unit.cpus for unit in board.units}
        self._mhz = {unit.name: unit.mhz[0] for unit in board.units}
        self._busy = {unit.name: 0 for unit in board.units}
        self._mhz_s = dict.fromkeys(self._mhz, 0.0)
        self._busy_s = dict.fromkeys(self._mhz, 0.0)

    def clock(self, unit: str, mhz: float) -> None:
        """Note the clock that a unit has from now on."""
        self._add_up()
        self._mhz[unit] = mhz

    def busy(self, unit: str, cores: int) -> None:
        """Note how many cores of a unit are busy from now on."""
        self._add_up()
        self._busy[unit] = cores

    def readings(self) -> dict[str, UnitReading]:
        """Return each unit's clock and busy time so far."""
        self._add_up()
        return {
            name: UnitReading(
                name=name,
                now_s=self._at_s,
                mhz=mhz,
                other_load=0.0,
                cpus_online=self._cpus[name],
                clock_changes=0,
                busy_s=(self._busy_s[name],),
                mhz_s=self._mhz_s[name],
                static_j=None,
                dynamic_j=None,
            )
            for name, mhz in self._mhz.items()
        }

    def _add_up(self) -> None:
        now_s = self._clock.now_s()
        span_s, self._at_s = now_s - self._at_s, now_s
        for name in self._mhz:
            self._mhz_s[name] += self._mhz[name] * span_s
            self._busy_s[name] += self._busy[name] * span_s
