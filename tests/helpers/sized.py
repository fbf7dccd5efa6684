"""Requests whose service time depends on their size, with the lengths of sentences, and profiles of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from helpers.tiny_networks import Numbers
from scheduler.profile import Profile, ServiceTime
from supernets.pictures.tasks import ClassTask

FloatArray = NDArray[np.float64]

LONGEST = 155


def sizes_of_sentences(count: int, rng: np.random.Generator) -> FloatArray:
    """Return lengths as sentences have them: lognormal, mean 22.6, standard deviation 12.5, at most 155."""
    variance = np.log(1 + (12.5 / 22.6) ** 2)
    lengths = np.exp(rng.normal(np.log(22.6) - variance / 2, np.sqrt(variance), count))
    return np.clip(lengths, 1, LONGEST)


def works_for(sizes: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return whole units of work, on average as many as the sizes foretell, 10 % about it."""
    return np.maximum(1, np.round(sizes * rng.normal(1, 0.1, len(sizes))))


def sized_time(
    base_ms: float,
    per_size_ms: float,
    sizes: Sequence[float],
    residuals: Sequence[float] = (0.9, 1.0, 1.1),
    **more: int,
) -> ServiceTime:
    """Return the times of a stream with these sizes."""
    samples_ms = sorted((base_ms + per_size_ms * size) * residual for size in sizes for residual in residuals)
    facts = {"kind": "cpu", "cores": 1, **more}
    return ServiceTime(
        samples_ms=tuple(samples_ms),
        base_ms=base_ms,
        per_size_ms=per_size_ms,
        residuals=tuple(residuals),
        **facts,  # type: ignore[arg-type]
    )


def by_size(profile: Profile, sizes: Sequence[float], base_share: float = 0.3) -> Profile:
    """Return a profile of the same means whose times depend on the size, but for a share of the mean."""
    mean = float(np.mean(sizes))
    rungs = []
    for rung in profile.rungs:
        times = []
        for time in rung.times:
            base_ms, rest_ms = base_share * time.mean_ms, (1 - base_share) * time.mean_ms
            residuals = tuple(sample_ms / time.mean_ms for sample_ms in time.samples_ms)
            sized = sized_time(base_ms, rest_ms / mean, sizes, residuals)
            times.append(replace(time, **{key: getattr(sized, key) for key in _SIZED}))
        rungs.append(replace(rung, times=tuple(times)))
    return replace(profile, rungs=tuple(rungs), sizes=tuple(sizes))


def by_mean(ladder: Profile) -> Profile:
    """Return a profile whose requests take just as long, but whose planner sees their mean alone."""
    rungs = [
        replace(rung, times=tuple(replace(time, samples_ms=(time.mean_ms,)) for time in rung.times))
        for rung in ladder.rungs
    ]
    return replace(ladder, rungs=tuple(rungs))


_SIZED = ("samples_ms", "base_ms", "per_size_ms", "residuals")


@dataclass(frozen=True)
class SizedTask(ClassTask):
    """The task of numbers whose size and work follow from the number.

    Attributes:
        sizes: sizes of the numbers, in turn.
        work_of: returns the work done for an output, by the number of its request in the smallest network; None where
            it is the size.
    """

    sizes: tuple[float, ...]
    work_of: Callable[[int], float] | None

    def size(self, sample: np.ndarray) -> float:
        return self.sizes[round(float(sample.flat[0])) % len(self.sizes)]

    def work(self, output: np.ndarray) -> float:
        number = round(float(output[0]))
        return self.sizes[number % len(self.sizes)] if self.work_of is None else self.work_of(number)


@dataclass(frozen=True)
class SizedNumbers(Numbers):
    """A source of numbers that are of different sizes: request i, or a client's payload of i, has the size of its turn.

    Attributes:
        sizes: as in `SizedTask`.
        work_of: as in `SizedTask`.
    """

    sizes: tuple[float, ...] = (1.0,)
    work_of: Callable[[int], float] | None = None

    @property
    def task(self) -> SizedTask:
        return SizedTask(self.sizes, self.work_of)
