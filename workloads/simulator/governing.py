"""A governor at work on one simulated unit: when it is stepped, and what it is told of the cores.

A kernel tells some governors when a core becomes busy or idle, and steps them then too. An emulated board tells none,
and steps each at multiples of its period. Both ways are simulated here. The models themselves are
`scheduler.governors`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from scheduler.governors import EdgeGovernor, Governor, HintedGovernor, next_sample_s
from workloads.simulator.agenda import Agenda
from workloads.simulator.claim import CoreClaim
from workloads.simulator.coming_clock import ComingClock

_TICK_S = 1e-9
"""Times closer together than this are equal."""


class Governed(Protocol):
    """The unit that a governor works on.

    Attributes:
        mhz: the clock in force.
        allowed: the clocks that it may take now, rising.
        coming: the change of clock that was asked for last.
    """

    mhz: float
    allowed: tuple[float, ...]
    coming: ComingClock

    def core_busy_s(self) -> list[float]:
        """Return the time so far that each core was busy."""
        ...

    def claims(self) -> Sequence[CoreClaim | None]:
        """Return the claim that has each core; None for a core that no request has."""
        ...

    def ask(self, mhz: float) -> None:
        """Ask for a clock."""
        ...


class WorkingGovernor:
    """One governor that has a unit's clock.

    Args:
        governor: the model.
        unit: the unit.
        agenda: the simulation's agenda.
        edges: true if a governor that can be is told when cores become busy and idle, as a kernel tells it; else it
            samples as on an emulated board.
    """

    def __init__(self, governor: Governor, unit: Governed, agenda: Agenda, *, edges: bool) -> None:
        self._governor = governor
        self._unit = unit
        self._agenda = agenda
        self._edges = governor if edges and isinstance(governor, EdgeGovernor) else None
        self._hinted = governor if isinstance(governor, HintedGovernor) else None
        self._sampled = not edges
        self._retired = False
        self._stepped_s = 0.0

    def start(self) -> None:
        """Let it decide for the first time, and from now on whenever it is due."""
        self.tell_clock()
        self.step()
        self._agenda.at(self._due_s(), self._step_if_due)

    def retire(self) -> None:
        """Let it decide no more."""
        self._retired = True

    def step(self) -> None:
        """Let it decide now."""
        now_s = self._agenda.now_s
        self._stepped_s = now_s
        unit = self._unit
        busy_us = tuple([1e6 * busy_s for busy_s in unit.core_busy_s()])
        unit.ask(self._governor.step(1e6 * now_s, busy_us, unit.mhz, unit.allowed))

    def tell_clock(self) -> None:
        """Tell it which clock was in force until now. It does not decide again for that."""
        if self._edges is None:
            return
        for core, claim in enumerate(self._unit.claims()):
            task = None if claim is None else claim.slot
            self._edges.edge(1e6 * self._agenda.now_s, core, claim is not None, self._unit.mhz, task)

    def begun(self, claim: CoreClaim, clamps_mhz: Mapping[int, float]) -> None:
        """Tell it that a request has got its cores.

        Args:
            claim: the request's claim.
            clamps_mhz: by slot, the clock that its application needs while it runs.
        """
        if self._hinted is not None:
            for core in claim.cores:
                self._hinted.hint(core, clamps_mhz.get(claim.slot))
        if self._edges is not None:
            self._tell_edges(self._edges, claim, busy=True)

    def ended(self, claim: CoreClaim) -> None:
        """Tell it that a request has given its cores back."""
        if self._edges is not None:
            self._tell_edges(self._edges, claim, busy=False)

    def _tell_edges(self, edges: EdgeGovernor, claim: CoreClaim, *, busy: bool) -> None:
        now_us = 1e6 * self._agenda.now_s
        for core in claim.cores:
            edges.edge(now_us, core, busy, self._unit.mhz, claim.slot)
        # The kernel's rate limit counts from the last change of clock (`sugov_should_update_freq`).
        if edges.hooked and now_us - 1e6 * self._unit.coming.asked_s >= edges.period_us:
            self.step()

    def _due_s(self) -> float:
        """Return when it is to be stepped next, if no edge has it stepped sooner."""
        if self._sampled:
            return next_sample_s(self._stepped_s, self._governor.period_us)
        return self._stepped_s + 1e-6 * self._governor.period_us

    def _step_if_due(self, _: object) -> None:
        if self._retired:
            return
        # It is not due if an edge had it stepped since this call was put down.
        if self._due_s() <= self._agenda.now_s + _TICK_S:
            self.step()
        self._agenda.at(self._due_s(), self._step_if_due)
