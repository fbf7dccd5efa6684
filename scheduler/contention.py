"""The latencies of applications that share CPUs: the one model of contention.

Requests that need the same CPU are served one at a time, the earliest deadline first, without preemption. How long one
waits depends on how the others' arrivals fall beside it, so the model plays a few hundred requests of each application
by those rules (`actors.requests.turns` has them too) and reads the quantiles off. It is deterministic: the same
applications get the same answer.

This module does not know boards, clocks or policies. docs/contention.md says how near it is to the simulator.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from scheduler.points import ArrivalModel, response_quantile_ms
from scheduler.problem import FULL_LOAD
from scheduler.profile import ServiceTime

FloatArray = NDArray[np.float64]

WAKE_MS = 0.25
"""Mean time until a worker asks for a request's cores, from its arrival or from the end of the request before it
(docs/decisions.md). It decides who is next: at the end of a service a queued request of the same application is not
there yet."""

_FEWEST, _MOST = 400, 8000
"""Requests of the rarest application that are played, unless those of all are more than `_MOST`: on an idle CPU. On a
busy one they are more by 1 / (1 - load). Twice as many take twice as long, and bring 1.4 points more
applications near the simulator (docs/contention.md)."""

_WAITS = 400
"""Waits of an application that are added to all its service times; more are thinned out evenly."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sharer:
    """An application on some CPUs of a unit, as far as the others' waiting and its own depend on it.

    Attributes:
        time: its service time as profiled.
        stretch: how many times as long it takes at the unit's clock.
        arrivals: how its requests come; the rate of a closed loop is not used.
        target_ms: its latency target, which sets the deadlines.
        slo: the quantile of its response time that is asked for, above 0 and at most 1.
        cpus: the numbers of the CPUs that a request takes, all at once.
        phase_ms: for periodic arrivals, when a first release is, on one clock for all; None where it is not known.
    """

    time: ServiceTime
    stretch: float
    arrivals: ArrivalModel
    target_ms: float
    slo: float
    cpus: tuple[int, ...] = (0,)
    phase_ms: float | None = None

    @property
    def mask(self) -> int:
        """Its CPUs, a bit for each."""
        return sum(1 << cpu for cpu in set(self.cpus))

    @property
    def rate_hz(self) -> float:
        """Requests a second; of a closed loop as many as it gets where it is alone."""
        if self.arrivals.kind == "saturate":
            return 1000 / (self.time.mean_ms * self.stretch + WAKE_MS)
        return self.arrivals.rate_hz


def response_quantiles_ms(sharers: Sequence[Sharer]) -> tuple[float, ...]:
    """Return the quantile of each application's response time, its own slo's.

    An application that has its CPUs to itself gets what `response_quantile_ms` says, and nobody gets less than alone.

    Two applications with services of 20 ms share a CPU, one at 10 Hz with a target of 50 ms, one at 1 Hz. The first
    meets a request of the other once in ten seconds, so 95 % of its requests take 20 ms; of the other's requests one
    in five meets one of the first, and 95 % take up to some 35 ms.

    Args:
        sharers: all applications of a unit.
    """
    alone_ms = [_alone_ms(sharer) for sharer in sharers]
    for group in _groups(sharers):
        if len(group) > 1:
            for place, shared_ms in zip(group, _played(_renumbered([sharers[p] for p in group])), strict=True):
                alone_ms[place] = max(alone_ms[place], shared_ms)
    return tuple(alone_ms)


def _alone_ms(sharer: Sharer) -> float:
    return _quantile_alone_ms(sharer.time, sharer.stretch, sharer.arrivals, sharer.slo)


@lru_cache(maxsize=4096)
def _quantile_alone_ms(time: ServiceTime, stretch: float, arrivals: ArrivalModel, slo: float) -> float:
    return float(response_quantile_ms(time, np.array([stretch]), arrivals=arrivals, slo=slo)[0])


def _groups(sharers: Sequence[Sharer]) -> list[list[int]]:
    """Return the places of applications that wait for each other, directly or through others, group by group."""
    groups: list[tuple[int, list[int]]] = []
    for place, sharer in enumerate(sharers):
        if sharer.arrivals.kind != "saturate" and not sharer.arrivals.rate_hz:
            continue  # it never comes
        mask, members = sharer.mask, [place]
        apart = []
        for other_mask, others in groups:
            if other_mask & mask:
                mask, members = mask | other_mask, others + members
            else:
                apart.append((other_mask, others))
        groups = [*apart, (mask, members)]
    return [sorted(members) for _, members in groups]


def _renumbered(sharers: Sequence[Sharer]) -> tuple[Sharer, ...]:
    """Return the applications with their CPUs numbered from 0; CPUs that the same ones take count as one.

    So what has been played holds for other CPUs too, and a mask has few bits however many CPUs the unit has.
    """
    by_cpu: dict[int, int] = {}
    for bit, sharer in enumerate(sharers):
        for cpu in set(sharer.cpus):
            by_cpu[cpu] = by_cpu.get(cpu, 0) | 1 << bit
    numbers = {takers: number for number, takers in enumerate(sorted(set(by_cpu.values())))}
    return tuple(
        replace(sharer, cpus=tuple(sorted({numbers[by_cpu[cpu]] for cpu in sharer.cpus}))) for sharer in sharers
    )


@lru_cache(maxsize=4096)
def _played(sharers: tuple[Sharer, ...]) -> list[float]:
    """Play the requests of applications that share CPUs, and return each one's quantile of the response time."""
    from scheduler.taking_turns import serve  # most processes ask for no latencies, and need no compiler

    rates_hz = [sharer.rate_hz for sharer in sharers]
    busy = sum(rate_hz * one.time.mean_ms * one.stretch / 1000 for rate_hz, one in zip(rates_hz, sharers, strict=True))
    # A queue takes the longer to forget how it began, the less time is left free.
    longer = 1 / (1 - min(busy, FULL_LOAD))
    longer = 2 ** (math.ceil(4 * math.log2(longer)) / 4)  # few different times, so that `_draws` are made seldom
    span_ms = 1000 * longer * min(_FEWEST / min(rates_hz), _MOST / sum(rates_hz))
    draws = [
        _draws(sharer.arrivals, rate_hz, sharer.phase_ms, span_ms, place, WAKE_MS)
        for place, (sharer, rate_hz) in enumerate(zip(sharers, rates_hz, strict=True))
    ]
    firsts = np.cumsum([0] + [len(one.arrivals_ms) for one in draws])
    waits_ms = serve(
        firsts,
        np.concatenate([one.arrivals_ms for one in draws]),
        np.concatenate([_services_ms(sharer, one.parts) for sharer, one in zip(sharers, draws, strict=True)]),
        np.concatenate([one.wakes_ms for one in draws]),
        np.array([sharer.target_ms for sharer in sharers], dtype=np.float64),
        np.array([sharer.mask for sharer in sharers]),
        np.array([sharer.arrivals.kind == "saturate" for sharer in sharers]),
        span_ms,
    )
    return [
        _quantile_ms(sharer, waits_ms[first:last])
        for sharer, first, last in zip(sharers, firsts, firsts[1:], strict=False)
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Draws:
    """What is random of the requests that are played of an application, whatever its services are; shape (n,) each.

    Arrivals of a closed loop mean nothing. Each of `parts` is from a part of its own of 0 to 1, so that mean and spread
    of the services are right in any span.
    """

    arrivals_ms: FloatArray
    parts: FloatArray
    wakes_ms: FloatArray


@lru_cache(maxsize=256)
def _draws(
    arrivals: ArrivalModel, rate_hz: float, phase_ms: float | None, span_ms: float, place: int, wake_ms: float
) -> _Draws:
    """Draw the requests of an application in a time, always the same ones for its place among the others.

    They stay the same as networks and clocks change, so one decision draws them once.
    """
    rng = np.random.default_rng(place)
    arrivals_ms = _arrivals_ms(arrivals, rate_hz, phase_ms, span_ms, place, rng)
    count = len(arrivals_ms)
    return _Draws(
        arrivals_ms=arrivals_ms,
        parts=(rng.permutation(count) + rng.uniform(size=count)) / count,
        wakes_ms=wake_ms * rng.uniform(0.5, 1.5, count),
    )


def _arrivals_ms(
    arrivals: ArrivalModel,
    rate_hz: float,
    phase_ms: float | None,
    span_ms: float,
    place: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Return the arrivals in a time, rising."""
    period_ms = 1000 / rate_hz
    count = math.ceil(span_ms / period_ms)
    match arrivals.kind:
        case "saturate":
            # It may get more than the mean number, if its services are short at first.
            return np.zeros(2 * count)
        case "poisson":
            return np.sort(rng.uniform(0, span_ms, count))
        case "periodic":
            delays_ms = arrivals.jitter_ms * rng.uniform(size=count)
            if phase_ms is None:
                # Each drifts through 0, 1, 3, 6, ... of its periods, so that all phases between any two come about
                # equally often, also where one rate is a multiple of the other.
                phases_ms = place * (place + 1) / 2 * period_ms * np.linspace(0, 1, count)
            else:
                phases_ms = np.full(count, phase_ms % period_ms)
            return np.sort(phases_ms + period_ms * np.arange(count) + delays_ms)


@lru_cache(maxsize=512)
def _samples_ms(time: ServiceTime) -> FloatArray:
    return np.array(time.samples_ms)


def _services_ms(sharer: Sharer, parts: FloatArray) -> FloatArray:
    """Return the service of each request: the sample, scaled, at that part of all samples."""
    samples_ms = sharer.stretch * _samples_ms(sharer.time)
    return samples_ms[(parts * len(samples_ms)).astype(np.intp)]


def _quantile_ms(sharer: Sharer, waits_ms: FloatArray) -> float:
    """Return the quantile of wait plus service: a request's wait does not depend on how long it takes itself."""
    from scheduler.taking_turns import quantile_of_sums

    waits_ms = np.sort(waits_ms[~np.isnan(waits_ms)])
    if len(waits_ms) > _WAITS:
        waits_ms = waits_ms[((np.arange(_WAITS) + 0.5) * (len(waits_ms) / _WAITS)).astype(np.intp)]
    services_ms = sharer.stretch * _samples_ms(sharer.time)
    sums = len(waits_ms) * len(services_ms)
    return quantile_of_sums(waits_ms, services_ms, max(1, min(sums, math.ceil(sharer.slo * sums))))


def wait_shares(sharers: Sequence[Sharer]) -> tuple[float, ...]:
    """Return which part of the others' services each application waits for (`Demand.wait_share`).

    It is the part with which the linear form gives `response_quantiles_ms`: the quantile alone + part · the sum of the
    mean services of those that have a CPU in common. An application that takes 20 ms alone and 35 beside one with a
    service of 20 ms has a part of 0.75. It holds for this set, these clocks and CPUs; near them it is an approximation.

    Args:
        sharers: all applications of a unit.

    Returns:
        Numbers of at least 0; 0 for one that shares no CPU.
    """
    masks = [sharer.mask for sharer in sharers]
    services_ms = [sharer.time.mean_ms * sharer.stretch for sharer in sharers]
    shares = []
    for place, (sharer, found_ms) in enumerate(zip(sharers, response_quantiles_ms(sharers), strict=True)):
        others_ms = sum(
            service_ms
            for at, (mask, service_ms) in enumerate(zip(masks, services_ms, strict=True))
            if at != place and mask & masks[place]
        )
        shares.append((found_ms - _alone_ms(sharer)) / others_ms if others_ms else 0.0)
    return tuple(shares)


def warm() -> None:
    """Compile the inner loops, or load them from disk, ahead of time: the first play would do so otherwise."""
    one = Sharer(
        time=ServiceTime(kind="cpu", cores=1, samples_ms=(1.0,)),
        stretch=1.0,
        arrivals=ArrivalModel(kind="periodic", rate_hz=1.0),
        target_ms=10.0,
        slo=0.95,
    )
    response_quantiles_ms([one, one])
