"""A clock that a simulated unit was asked for, and that comes into force after the unit's transition latency."""

from __future__ import annotations

from collections.abc import Callable

from workloads.simulator.agenda import Agenda


class ComingClock:
    """The last change of clock that was asked for.

    Args:
        agenda: the simulation's agenda.
        transition_us: the unit's transition latency.
        on_come: called with each clock, in MHz, when it comes into force.

    Attributes:
        asked_s: when a change of clock was last asked for.
    """

    def __init__(self, agenda: Agenda, transition_us: float, on_come: Callable[[float], None]) -> None:
        self.asked_s = agenda.now_s
        self._agenda = agenda
        self._latency_s = 1e-6 * transition_us
        self._on_come = on_come
        self._mhz: float | None = None
        """The clock under way, in force from `_comes_s`; None where there is none."""
        self._comes_s = 0.0

    def ask(self, mhz: float, now_mhz: float) -> None:
        """Have another clock in force after the latency, unless it is in force or under way."""
        if mhz == (now_mhz if self._mhz is None else self._mhz):
            return
        self._mhz, self.asked_s = mhz, self._agenda.now_s
        self._comes_s = self.asked_s + self._latency_s
        self._agenda.at(self._comes_s, self._come, mhz)

    def _come(self, mhz: float) -> None:
        if mhz != self._mhz or self._agenda.now_s != self._comes_s:  # another one has been asked for meanwhile
            return
        self._mhz = None
        self._on_come(mhz)
