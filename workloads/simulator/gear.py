"""A gear in force on a simulated board, and the luck of the requests that it serves, all looked up beforehand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from actors.requests.draws import Draws, at_share
from actors.requests.least_time import least_service_s
from actors.requests.queue import Request
from scheduler.profile import ServiceTime
from scheduler.views import Gear
from workloads.simulator.claim import CoreClaim, Work
from workloads.simulator.unit import SimulatedUnit


@dataclass(frozen=True, slots=True, eq=False)
class SizedWork(Work):
    """The work of all requests of one size, looked up once.

    Attributes:
        expected_ms: profiled time that such a request takes on average.
        least_s: the least time in which it can be served.
    """

    expected_ms: float = math.nan
    least_s: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SimulatedGear:
    """A gear in force, with all that a request needs looked up.

    Attributes:
        gear: the gear.
        cores: places of its cores in the unit.
        mask: the same cores with a bit for each.
        unit: the unit.
        unit_number: place of the unit on the board.
        subnet: place of the sub-network in the ladder.
        time: service times of the profile.
        active: its cores times the factor on the unit's `dynamic_w`.
        works: the work of a request by its size, as far as there were some.
    """

    gear: Gear
    cores: tuple[int, ...]
    mask: int
    unit: SimulatedUnit
    unit_number: int
    subnet: int
    time: ServiceTime
    active: float
    works: dict[float, SizedWork] = field(default_factory=dict)

    def work(self, size: float) -> SizedWork:
        """Return the work of a request of a size."""
        work = self.works.get(size)
        if work is None:
            time = self.time
            work = self.works[size] = SizedWork(
                samples_ms=time.samples_at_ms(size),
                memory_share=time.memory_share,
                expected_ms=time.expected_ms(size),
                least_s=least_service_s(time, self.unit.spec, size),
            )
        return work


class Luck:
    """The draws of an application, made at once for all scheduled requests: one by one takes far longer.

    Args:
        draws: the draws.
        count: how many requests are scheduled.
    """

    def __init__(self, draws: Draws, count: int) -> None:
        self._draws = draws
        self._noisy = draws.noisy
        self._shares = draws.shares(count)

    def share(self, index: int) -> float:
        """Return the number in [0, 1) of the request of that number."""
        return self._shares[index] if index < len(self._shares) else self._draws.share(index)

    def of(self, samples: Sequence[float], index: int) -> float:
        """Return one of rising samples for the request of that number, as `Draws.of` does."""
        sample = at_share(samples, self._shares[index] if index < len(self._shares) else self._draws.share(index))
        return sample * self._draws.factor(index) if self._noisy else sample


@dataclass(slots=True, eq=False)
class Serving:
    """The request that waits for cores, or has them.

    Attributes:
        request: the request.
        engaged: the gear.
        work: the work that it is.
        claim: its claim to the cores of the gear.
    """

    request: Request
    engaged: SimulatedGear
    work: SizedWork
    claim: CoreClaim
