"""The profile of a supernet's ladder: how long each sub-network takes on each number of cores.

Times are those of the machine that measured, at its top clock. `BoardUnit.pace` turns them into times on a unit of a
board.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

_WORTH_ANOTHER = 1.05
"""Factor by which the ladder's engine must be slower for one form before that form gets another engine.

A second engine costs a worker tens of megabytes, and smaller differences are within the noise of a measurement.
"""

Form = TypeVar("Form", bound=Hashable)


def fastest_engines(times_ms: Mapping[Form, Mapping[str, float]]) -> dict[Form, str]:
    """Choose the engine for each form of a ladder's networks: one for all, unless another is clearly faster for one.

    Times of `{"a": {"x": 10, "y": 12}, "b": {"x": 20, "y": 18}}` give `x` for form `a` and `y` for form `b`: over both
    forms `x` is faster, but for `b` it is 11 % slower than `y`.

    Args:
        times_ms: for each form the typical time of each engine that can run it, in ms.

    Returns:
        For each form the engine of the least geometric mean over all forms (the first of equals) among those that can
        run all; or the fastest for that form, if the former takes more than 5 % longer or no engine can run all.
    """
    engines = [engine for engine in next(iter(times_ms.values()), ()) if all(engine in t for t in times_ms.values())]
    # The sum of logarithms orders engines as the geometric mean does, so slow forms do not outweigh quick ones.
    of_ladder = min(
        engines,
        key=lambda engine: math.fsum(math.log(times[engine]) for times in times_ms.values()),
        default="",
    )
    chosen = {}
    for form, times in times_ms.items():
        fastest = min(times, key=times.__getitem__)
        chosen[form] = fastest if times.get(of_ladder, math.inf) > _WORTH_ANOTHER * times[fastest] else of_ladder
    return chosen


def quantile(samples_ms: Sequence[float], share: float) -> float:
    """Return the least sample that at least that share of the samples does not exceed.

    The quantile 0.75 of samples (10, 11, 12, 40) is 12; three of four are not above it.

    Args:
        samples_ms: the samples, rising, at least one.
        share: which quantile, 0 to 1.
    """
    return samples_ms[max(0, math.ceil(share * len(samples_ms)) - 1)]


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceTime:
    """The undisturbed inference times of one sub-network on some cores of one kind.

    Where a request's time depends on its size, it is base + per size · size, times a residual. With a base of 10 ms,
    2 ms for each unit of size and residuals of 0.9, 1 and 1.1, a request of size 20 takes 45, 50 or 55 ms.

    Attributes:
        kind: `cpu` or `gpu`.
        cores: number of cores, and of threads.
        samples_ms: the times measured, in ms, rising: those of the stream's requests, whatever their sizes.
        engine: the execution engine of the measurement; `auto` where it was not chosen by measurement.
        activity: factor on `BoardUnit.dynamic_w` while the sub-network runs: on a core of 1 W, 0.8 makes 0.8 W.
        activity_source: `measured`, `published` or `assumed`.
        activity_error: standard error of a measured activity; None of another.
        base_ms: the part that does not depend on the size; None where nothing does, so that it is the mean.
        per_size_ms: what each unit of size adds; 0 where the time does not depend on the size.
        residuals: observed time over base + per size · size, rising, of mean 1; none where there is no base.
        memory_share: share of the time, at a unit's top clock, that a lower clock does not stretch, 0 to 1; None where
            it is not known, and then that of the unit is taken (`BoardUnit.pace`).
    """

    kind: str
    cores: int
    samples_ms: tuple[float, ...]
    engine: str = "auto"
    activity: float = 1.0
    activity_source: str = "assumed"
    activity_error: float | None = None
    base_ms: float | None = None
    per_size_ms: float = 0.0
    residuals: tuple[float, ...] = ()
    memory_share: float | None = None

    @property
    def mean_ms(self) -> float:
        """Mean of the samples."""
        return math.fsum(self.samples_ms) / len(self.samples_ms)

    def expected_ms(self, size: float = 1.0) -> float:
        """Return the mean time of a request of a size; the mean of the samples where it does not depend on the size."""
        return self.mean_ms if self.base_ms is None else self.base_ms + self.per_size_ms * size

    def samples_at_ms(self, size: float = 1.0) -> tuple[float, ...]:
        """Return the times of a request of a size, rising; the samples where they do not depend on the size."""
        if self.base_ms is None:
            return self.samples_ms
        expected_ms = self.expected_ms(size)
        return tuple(expected_ms * residual for residual in self.residuals)

    def quantile_ms(self, share: float) -> float:
        """Return a quantile of the samples; see `quantile`."""
        return quantile(self.samples_ms, share)


@dataclass(frozen=True, kw_only=True, slots=True)
class RungProfile:
    """The profile of one sub-network of a ladder.

    Attributes:
        subnet: identifier of the sub-network.
        accuracy: accuracy on held-out data, a fraction; None where unknown.
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
        supernet: name of the supernet.
        machine: name of the machine that measured.
        rungs: its sub-networks, the smallest first.
        speed_of: the machine whose core the times are of, as in `Board.speed_of`: `host` for one that runs gearshift.
        sizes: sizes of the stream's requests by their number, and from the first again after the last.
        warnings: sentences on what a reader of the figures has to know, such as times that no line fits.
    """

    supernet: str
    machine: str
    rungs: tuple[RungProfile, ...]
    speed_of: str = "host"
    sizes: tuple[float, ...] = (1.0,)
    warnings: tuple[str, ...] = ()

    def size(self, index: int) -> float:
        """Return the size of the stream's request of that number."""
        return self.sizes[index % len(self.sizes)]

    def rung(self, subnet: str) -> RungProfile:
        """Return the rung of that sub-network.

        Raises:
            KeyError: if the ladder has no such sub-network.
        """
        for rung in self.rungs:
            if rung.subnet == subnet:
                return rung
        raise KeyError(subnet)

    def only(self, subnets: Collection[str]) -> Profile:
        """Return the ladder with these sub-networks alone."""
        return replace(self, rungs=tuple(rung for rung in self.rungs if rung.subnet in subnets))

    def above(self, floor: float) -> Profile:
        """Return the ladder without the sub-networks that are known to be less accurate than a floor.

        A floor of 0.7 leaves the accuracies (0.75, 0.9) of (0.6, 0.75, 0.9). The floor is kept to even on an overloaded
        board. Where every sub-network is below it, all are left.

        Args:
            floor: the least accuracy, a fraction.
        """
        rungs = tuple(rung for rung in self.rungs if rung.accuracy is None or rung.accuracy >= floor)
        return replace(self, rungs=rungs) if rungs else self

    def at_speeds(self, speeds: Mapping[int, float]) -> Profile:
        """Return the profile of a core of speed 1, where this one is of others: 20 ms at a speed of 0.5 become 10 ms.

        Args:
            speeds: speed of the cores that were measured, by their number; 1 where it is left out. A GPU's times stay.
        """
        rungs = (replace(rung, times=tuple(_at_speed(time, speeds) for time in rung.times)) for rung in self.rungs)
        return replace(self, rungs=tuple(rungs))

    def of_sizes(self, sizes: Sequence[float]) -> Profile:
        """Return the profile of a stream whose requests have other sizes; the same where times do not depend on them.

        A line of 10 ms + 2 ms · size without scatter has samples of 30 to 50 ms for sizes of 10 to 20.

        Args:
            sizes: sizes of the stream's requests by their number, and from the first again after the last.
        """
        if self.sizes == (1.0,):
            return self
        rungs = (replace(rung, times=tuple(_of_sizes(time, sizes) for time in rung.times)) for rung in self.rungs)
        return replace(self, rungs=tuple(rungs), sizes=tuple(sizes))

    def shortest_ms(self) -> dict[tuple[str, float | None], float]:
        """Return the least mean service time in ms by kind of unit and memory share, None where that is the unit's.

        It is {("cpu", None): 4, ("cpu", 0.8): 9} for networks of 4 and 6 ms, and one of 9 ms with a share of its own.
        """
        shortest: dict[tuple[str, float | None], float] = {}
        for rung in self.rungs:
            for time in rung.times:
                form = (time.kind, time.memory_share)
                shortest[form] = min(time.mean_ms, shortest.get(form, math.inf))
        return shortest

    def service(self, subnet: str, kind: str, cores: int) -> ServiceTime:
        """Return the times of that sub-network on that many cores.

        Raises:
            KeyError: if it was not measured.
        """
        for time in self.rung(subnet).times:
            if (time.kind, time.cores) == (kind, cores):
                return time
        raise KeyError((subnet, kind, cores))


def _of_sizes(time: ServiceTime, sizes: Sequence[float]) -> ServiceTime:
    if time.base_ms is None:
        return time
    all_ms = np.sort(np.outer(time.base_ms + time.per_size_ms * np.asarray(sizes), time.residuals), axis=None)
    # As many as were measured, each in the middle of its share of all.
    count = len(time.samples_ms)
    places = ((np.arange(count) + 0.5) * len(all_ms) / count).astype(int)
    return replace(time, samples_ms=tuple(all_ms[places].tolist()))


def _at_speed(time: ServiceTime, speeds: Mapping[int, float]) -> ServiceTime:
    speed = speeds.get(time.cores, 1.0)
    if time.kind == "gpu" or speed == 1:
        return time
    return replace(
        time,
        samples_ms=tuple(speed * sample_ms for sample_ms in time.samples_ms),
        base_ms=None if time.base_ms is None else speed * time.base_ms,
        per_size_ms=speed * time.per_size_ms,
    )
