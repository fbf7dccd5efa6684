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
from dataclasses import dataclass
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
busy one they are more by 1 / (1 - load). Four times as many take four times as long, and bring 2 points more
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
            for place, shared_ms in zip(group, _played(tuple(sharers[place] for place in group)), strict=True):
                alone_ms[place] = max(alone_ms[place], shared_ms)
    return tuple(alone_ms)


def _alone_ms(sharer: Sharer) -> float:
    stretch = np.array([sharer.stretch])
    return float(response_quantile_ms(sharer.time, stretch, arrivals=sharer.arrivals, slo=sharer.slo)[0])


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
    return [members for _, members in groups]


@lru_cache(maxsize=4096)
def _played(sharers: tuple[Sharer, ...]) -> list[float]:
    """Play the requests of applications that share CPUs, and return each one's quantile of the response time."""
    rates_hz = [sharer.rate_hz for sharer in sharers]
    busy = sum(rate_hz * one.time.mean_ms * one.stretch / 1000 for rate_hz, one in zip(rates_hz, sharers, strict=True))
    # A queue takes the longer to forget how it began, the less time is left free.
    longer = 1 / (1 - min(busy, FULL_LOAD))
    span_ms = 1000 * longer * min(_FEWEST / min(rates_hz), _MOST / sum(rates_hz))
    requests = [_requests(sharer, span_ms, place) for place, sharer in enumerate(sharers)]
    firsts = np.cumsum([0] + [len(one.arrivals_ms) for one in requests]).tolist()
    waits_ms = np.array(
        serve(
            firsts,
            np.concatenate([one.arrivals_ms for one in requests]).tolist(),
            np.concatenate([one.services_ms for one in requests]).tolist(),
            np.concatenate([one.wakes_ms for one in requests]).tolist(),
            [sharer.target_ms for sharer in sharers],
            [sharer.mask for sharer in sharers],
            [sharer.arrivals.kind == "saturate" for sharer in sharers],
            span_ms,
        )
    )
    return [
        _quantile_ms(sharer, waits_ms[first:last])
        for sharer, first, last in zip(sharers, firsts, firsts[1:], strict=False)
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Requests:
    """The requests of one application that are played, shape (n,) each; arrivals of a closed loop mean nothing."""

    arrivals_ms: FloatArray
    services_ms: FloatArray
    wakes_ms: FloatArray


def _requests(sharer: Sharer, span_ms: float, place: int) -> _Requests:
    """Draw the requests of an application in a time, always the same ones for its place among the others."""
    rng = np.random.default_rng(place)
    arrivals_ms = _arrivals_ms(sharer, span_ms, place, rng)
    count = len(arrivals_ms)
    # Each draw is from a part of its own of the distribution, so that mean and spread are right in any span.
    samples_ms = np.array(sharer.time.samples_ms) * sharer.stretch
    places = (rng.permutation(count) + rng.uniform(size=count)) * (len(samples_ms) / max(count, 1))
    return _Requests(
        arrivals_ms=arrivals_ms,
        services_ms=samples_ms[places.astype(np.intp)],
        wakes_ms=WAKE_MS * rng.uniform(0.5, 1.5, count),
    )


def _arrivals_ms(sharer: Sharer, span_ms: float, place: int, rng: np.random.Generator) -> FloatArray:
    """Return the arrivals in a time, rising."""
    period_ms = 1000 / sharer.rate_hz
    count = math.ceil(span_ms / period_ms)
    match sharer.arrivals.kind:
        case "saturate":
            # It may get more than the mean number, if its services are short at first.
            return np.zeros(2 * count)
        case "poisson":
            return np.sort(rng.uniform(0, span_ms, count))
        case "periodic":
            delays_ms = sharer.arrivals.jitter_ms * rng.uniform(size=count)
            if sharer.phase_ms is None:
                # Each drifts through 0, 1, 3, 6, ... of its periods, so that all phases between any two come about
                # equally often, also where one rate is a multiple of the other.
                phases_ms = place * (place + 1) / 2 * period_ms * np.linspace(0, 1, count)
            else:
                phases_ms = np.full(count, sharer.phase_ms % period_ms)
            return np.sort(phases_ms + period_ms * np.arange(count) + delays_ms)


def serve(
    firsts: Sequence[int],
    arrivals_ms: Sequence[float],
    services_ms: Sequence[float],
    wakes_ms: Sequence[float],
    targets_ms: Sequence[float],
    masks: Sequence[int],
    loops: Sequence[bool],
    span_ms: float,
) -> list[float]:
    """Serve the requests of several applications, and return how long each waits until it has its CPUs.

    An application's requests are served in their order. The first that is not served claims the CPUs `wakes_ms` after
    its arrival, or after the end of the request before it. Of the claims the one with the earliest deadline goes first,
    and no CPU is given away that a claim with an earlier deadline waits for.

    Args:
        firsts: by application, the place of its first request; last the number of all requests.
        arrivals_ms: by request, its arrival.
        services_ms: by request, how long it takes.
        wakes_ms: by request, how long it takes until it claims the CPUs.
        targets_ms: by application, from an arrival to its deadline.
        masks: by application, the CPUs that a request takes, a bit for each.
        loops: by application, True for a closed loop, whose requests arrive when they claim.
        span_ms: the time in which closed loops go on.

    Returns:
        By request, milliseconds; NaN for one that a closed loop did not come to.
    """
    count = len(masks)
    waits_ms = [math.nan] * len(arrivals_ms)
    everything, held, now_ms = 0, 0, 0.0
    head, claim_ms, due_ms = [0] * count, [math.inf] * count, [math.inf] * count
    end_ms = [math.inf] * count
    for app in range(count):
        everything |= masks[app]
        head[app] = firsts[app]
        if firsts[app] < firsts[app + 1]:
            arrival_ms = 0.0 if loops[app] else arrivals_ms[firsts[app]]
            claim_ms[app] = arrival_ms + wakes_ms[firsts[app]]
            due_ms[app] = (claim_ms[app] if loops[app] else arrival_ms) + targets_ms[app]
    while True:
        # Begin what can begin: the earliest deadline first.
        kept, last_ms, last = held, -math.inf, -1
        while kept != everything:
            chosen = -1
            for app in range(count):
                after = due_ms[app] > last_ms or (due_ms[app] == last_ms and app > last)
                if claim_ms[app] <= now_ms and after and (chosen < 0 or due_ms[app] < due_ms[chosen]):
                    chosen = app
            if chosen < 0:
                break
            if not kept & masks[chosen]:
                place = head[chosen]
                waits_ms[place] = now_ms - (due_ms[chosen] - targets_ms[chosen])
                end_ms[chosen] = now_ms + services_ms[place]
                claim_ms[chosen] = math.inf
                held |= masks[chosen]
            kept |= masks[chosen]
            last_ms, last = due_ms[chosen], chosen
        # Go on to the next moment at which something may change.
        next_ms = math.inf
        for app in range(count):
            next_ms = min(next_ms, end_ms[app])
            if held != everything and claim_ms[app] > now_ms:
                next_ms = min(next_ms, claim_ms[app])
        if next_ms == math.inf:
            return waits_ms
        now_ms = next_ms
        for app in range(count):
            if end_ms[app] <= now_ms:
                end_ms[app] = math.inf
                held &= ~masks[app]
                head[app] += 1
                place = head[app]
                if place < firsts[app + 1] and not (loops[app] and now_ms > span_ms):
                    arrival_ms = now_ms if loops[app] else arrivals_ms[place]
                    claim_ms[app] = max(now_ms, arrival_ms) + wakes_ms[place]
                    due_ms[app] = (claim_ms[app] if loops[app] else arrival_ms) + targets_ms[app]


def _quantile_ms(sharer: Sharer, waits_ms: FloatArray) -> float:
    """Return the quantile of wait plus service: a request's wait does not depend on how long it takes itself."""
    waits_ms = np.sort(waits_ms[~np.isnan(waits_ms)])
    if len(waits_ms) > _WAITS:
        waits_ms = waits_ms[((np.arange(_WAITS) + 0.5) * (len(waits_ms) / _WAITS)).astype(np.intp)]
    responses_ms = np.add.outer(waits_ms, sharer.stretch * np.array(sharer.time.samples_ms)).ravel()
    place = min(len(responses_ms), math.ceil(sharer.slo * len(responses_ms))) - 1
    return float(np.partition(responses_ms, place)[place])


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
    shares = []
    for place, (sharer, found_ms) in enumerate(zip(sharers, response_quantiles_ms(sharers), strict=True)):
        others_ms = sum(
            other.time.mean_ms * other.stretch
            for at, other in enumerate(sharers)
            if at != place and other.mask & sharer.mask
        )
        shares.append((found_ms - _alone_ms(sharer)) / others_ms if others_ms else 0.0)
    return tuple(shares)
