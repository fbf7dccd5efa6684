"""What was measured of a supernet's ladder: how long each sub-network takes on how many cores.

Times are of the machine that measured, at its top clock; `BoardUnit.pace` turns them into times on a board's unit.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

_WORTH_ANOTHER = 1.05
"""How many times slower a ladder's engine has to be for one form before that form gets another engine: a second
engine costs a worker tens of megabytes, and differences below this are within the noise of a measurement."""

Form = TypeVar("Form", bound=Hashable)


def fastest_engines(times_ms: Mapping[Form, Mapping[str, float]]) -> dict[Form, str]:
    """The engine for each form of a ladder's networks: the same for all, unless another is clearly faster for one.

    Args:
        times_ms: for each form the typical time of each engine; the same engines for all.

    Returns:
        For each form the engine of the least geometric mean over all forms, the first of equals, or the fastest for
        that form where it is more than 5 % faster.
    """
    engines = list(next(iter(times_ms.values()), ()))
    if not engines:
        return {}
    of_ladder = min(engines, key=lambda engine: math.fsum(math.log(times[engine]) for times in times_ms.values()))
    chosen = {}
    for form, times in times_ms.items():
        fastest = min(engines, key=times.__getitem__)
        chosen[form] = fastest if times[of_ladder] > _WORTH_ANOTHER * times[fastest] else of_ladder
    return chosen


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceTime:
    """Undisturbed inference times of one sub-network on some cores of one kind.

    Attributes:
        kind: `cpu` or `gpu`.
        cores: how many, and as many threads.
        samples_ms: rising.
        engine: the execution engine that they were measured with; `auto` where it was not chosen by measurement.
    """

    kind: str
    cores: int
    samples_ms: tuple[float, ...]
    engine: str = "auto"

    @property
    def mean_ms(self) -> float:
        """Mean of the samples."""
        return math.fsum(self.samples_ms) / len(self.samples_ms)

    def quantile_ms(self, share: float) -> float:
        """The least sample that at least that share of the samples does not exceed."""
        return self.samples_ms[max(0, math.ceil(share * len(self.samples_ms)) - 1)]


@dataclass(frozen=True, kw_only=True, slots=True)
class RungProfile:
    """One sub-network of a ladder.

    Attributes:
        subnet: its identifier.
        accuracy: as a fraction on held-out data; None where unknown.
        accuracy_source: `measured`, `predicted`, `published` or `unknown`.
        times: one entry for each number of cores measured.
    """

    subnet: str
    accuracy: float | None
    accuracy_source: str
    times: tuple[ServiceTime, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """A ladder as measured on one machine, smallest sub-network first.

    Attributes:
        supernet: whose ladder.
        machine: that measured.
        rungs: its sub-networks.
        speed_of: whose core the times are of, as in `Board.speed_of`: `host` for a machine that runs gearshift.
    """

    supernet: str
    machine: str
    rungs: tuple[RungProfile, ...]
    speed_of: str = "host"

    def rung(self, subnet: str) -> RungProfile:
        """The rung of that sub-network.

        Raises:
            KeyError: if the ladder has no such sub-network.
        """
        for rung in self.rungs:
            if rung.subnet == subnet:
                return rung
        raise KeyError(subnet)

    def above(self, floor: float) -> Profile:
        """Return the ladder without the sub-networks that are known to be less accurate than a floor.

        The floor is kept to even on an overloaded board. Where every sub-network is below it, all are left.

        Args:
            floor: least accuracy, a fraction.
        """
        rungs = tuple(rung for rung in self.rungs if rung.accuracy is None or rung.accuracy >= floor)
        return replace(self, rungs=rungs) if rungs else self

    def service(self, subnet: str, kind: str, cores: int) -> ServiceTime:
        """The times of that sub-network on that many cores.

        Raises:
            KeyError: if it was not measured.
        """
        for time in self.rung(subnet).times:
            if (time.kind, time.cores) == (kind, cores):
                return time
        raise KeyError((subnet, kind, cores))
