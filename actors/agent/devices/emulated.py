"""The back-end of a unit whose clock exists only in the ledger: requests last as long as they would at that clock.

Governors are models of the kernel's rules (`scheduler.governors`). They are stepped here at multiples of their period
in board time. A step that comes late is a longer step, as on a machine whose timer is late.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Collection, Mapping

from actors.agent.devices.common import NO_CLAMPS, Device
from actors.clock import Clock
from actors.ledger.ledger import BoardLedger
from scheduler.board import BoardUnit
from scheduler.governors import GovernorSeat, HintedGovernor, at_least, next_sample_s
from scheduler.request_clock import NO_PACES, Pace


class EmulatedDevice(Device):
    """One emulated unit. Its methods may be called from several threads."""

    def __init__(self, unit: BoardUnit, ledger: BoardLedger, clock: Clock) -> None:
        super().__init__(unit, ledger, clock)
        self._lock = threading.RLock()
        self._start()
        self._asked_mhz = self.read().mhz  # that of an agent before, if there was one

    def _start(self) -> None:
        self._asked_mhz = self.unit.mhz[0]
        self._allowed = self.unit.mhz
        self._seat = GovernorSeat(self._ledger.board, self.unit.name)
        self._clamps_mhz: Mapping[int, float] = NO_CLAMPS
        self._due_s = math.inf
        self._other_load = 0.0
        self._paces: Mapping[int, Pace] = NO_PACES

    def set_clock(
        self,
        clock: float | str,
        clamps_mhz: Mapping[int, float] = NO_CLAMPS,
        paces: Mapping[int, Pace] = NO_PACES,
    ) -> float | str:
        """Set the clock; see `Device`. A clock outlives a limit: when the limit is lifted it is in force again."""
        with self._lock:
            self._clamps_mhz = clamps_mhz
            self._seat.give(clock)
            self._pace(paces)
            if isinstance(clock, str):
                self._due_s = -math.inf
                self.tick()
                return clock
            self._due_s = math.inf
            self._asked_mhz = clock
            return self._apply(clock)

    def limit(
        self,
        *,
        max_mhz: float | None = None,
        cpus_online: Collection[int] | None = None,
        other_load: float | None = None,
    ) -> None:
        """Set limits; see `Device`. One below the lowest clock leaves that one."""
        with self._lock:
            self._allowed = self.unit.allowed(max_mhz)
            self.ask_cpus(cpus_online)
            self._other_load = other_load or 0.0
            self._ledger.set_unit(self.unit.name, other_load=self._other_load)
            if self._seat.governor is None:
                self._apply(self._asked_mhz)
            else:
                self._due_s = -math.inf  # the kernel asks a governor at once when its limits change
                self.tick()

    def slow(self, slowdown: float) -> None:
        """Slow requests down; see `Device`. The ledger keeps it, also for an agent that comes after this one."""
        self._ledger.slow(self.unit.name, slowdown)

    def _switch(self, on: bool) -> float:
        took_ms = self.unit.on_ms if on else self.unit.off_ms
        if took_ms:
            with self._lock:
                if on:
                    self._is_on = True
                    self._enter_cpus()
                # One core is busy with it.
                online = max(1, len(self.read().cpus_online))
                self._ledger.set_unit(self.unit.name, other_load=max(self._other_load, 1 / online))
                self._clock.sleep_until(self._clock.now_s() + took_ms / 1000)
                self._ledger.set_unit(self.unit.name, other_load=self._other_load)
        return took_ms

    def restore(self) -> None:
        """Set the lowest clock, and take away limits, governor and slowdown."""
        with self._lock:
            self._pace(NO_PACES)
            self._start()
            self.limit()
            self.slow(1.0)

    def tick(self) -> float:
        """Let the governor decide if it is due; see `Device`."""
        with self._lock:
            governor = self._seat.governor
            if governor is None:
                return math.inf
            if self._clock.now_s() >= self._due_s:
                if isinstance(governor, HintedGovernor):
                    for core, slot in enumerate(self._ledger.holders(self.unit.name)):
                        if slot is not None:  # an idle core keeps its last one's hint
                            governor.hint(core, self._clamps_mhz.get(slot))
                reading = self.read()
                busy_us = tuple(1e6 * busy_s for busy_s in reading.busy_s)
                now_us = 1e6 * reading.now_s
                self._apply(governor.step(now_us, busy_us, reading.mhz, self._allowed))
                self._due_s = next_sample_s(reading.now_s, governor.period_us)
            return self._due_s

    def _apply(self, mhz: float) -> float:
        granted = at_least(mhz, self._allowed)
        if self._paces:
            self._ledger.pace(self.unit.name, granted, self._paces, max_mhz=self._allowed[-1])
        else:
            self._ledger.set_unit(self.unit.name, mhz=granted)
        return granted

    def _pace(self, paces: Mapping[int, Pace]) -> None:
        if self._paces and not paces:
            self._ledger.pace(self.unit.name, self.unit.mhz[0], NO_PACES)
        self._paces = paces
