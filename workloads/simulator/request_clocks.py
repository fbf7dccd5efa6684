"""The clocks that single requests want on one simulated unit, by the rules of `scheduler.request_clock`.

What all requests of an application and a size have in common there is worked out once. This module does not know when
requests begin, nor how a clock comes into force.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scheduler.board import BoardUnit
from scheduler.governors import at_least
from scheduler.request_clock import NO_PACES, Pace, RequestClock
from workloads.simulator.claim import CoreClaim, Work


class UnitRequestClocks:
    """The rules by which requests on one unit get clocks, under the limits in force.

    Args:
        spec: the unit as `cluster.yaml` describes it.

    Attributes:
        paces: by slot, the rule by which its requests get clocks; empty where the unit has one clock.
    """

    def __init__(self, spec: BoardUnit) -> None:
        self.paces: Mapping[int, Pace] = NO_PACES
        self._spec = spec
        self._allowed = spec.mhz
        self._planned_mhz = self._rest_mhz = spec.mhz[0]
        self._clocks: dict[tuple[int, Work], RequestClock] = {}
        self._grants_mhz: dict[float, float] = {}
        """By clock that was wanted, the one that the limits leave."""

    def set_rules(self, paces: Mapping[int, Pace], planned_mhz: float) -> None:
        """Set the rules, and the clock of requests that have none."""
        self.paces, self._planned_mhz, self._clocks = paces, planned_mhz, {}
        self._rest_mhz = min((pace.rest_mhz for pace in paces.values()), default=planned_mhz)

    def limit(self, allowed: tuple[float, ...]) -> None:
        """Set the clocks that the unit may take, rising."""
        self._allowed, self._clocks, self._grants_mhz = allowed, {}, {}

    def wanted_mhz(self, claim: CoreClaim, now_mhz: float, other_load: float) -> float:
        """Return the clock that a request gets which begins now.

        Args:
            claim: its claim, which has just begun.
            now_mhz: the unit's clock now.
            other_load: share of each core that others take, 0 to 1.
        """
        pace = self.paces.get(claim.slot)
        if pace is None:
            return self._planned_mhz
        key = claim.slot, claim.work
        clock = self._clocks.get(key)
        if clock is None:
            clock = RequestClock(self._spec, self._allowed, pace, claim.work.samples_ms, claim.work.memory_share)
            self._clocks[key] = clock
        return clock.least(
            claim.arrival_s,
            claim.deadline_s,
            claim.next_deadline_s,
            claim.woke_ms,
            now_s=claim.start_s,
            now_mhz=now_mhz,
            other_load=other_load,
        )

    def granted_mhz(self, running: Sequence[CoreClaim]) -> float:
        """Return the highest clock that a running request wants, or the one to rest at, as far as limits leave it."""
        mhz = 0.0
        for claim in running:
            if claim.mhz > mhz:
                mhz = claim.mhz
        mhz = mhz or self._rest_mhz
        granted_mhz = self._grants_mhz.get(mhz)
        if granted_mhz is None:
            granted_mhz = self._grants_mhz[mhz] = at_least(mhz, self._allowed)
        return granted_mhz
