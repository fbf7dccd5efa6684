"""The requests of applications that share CPUs, served one after another: the inner loops of `scheduler.contention`.

They are compiled (`scheduler.compiled`), so who imports this module imports a compiler. The rule that they follow is
that of `actors.requests.turns`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from scheduler.compiled import compiled

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@compiled
def serve(
    firsts: IntArray,
    arrivals_ms: FloatArray,
    services_ms: FloatArray,
    wakes_ms: FloatArray,
    targets_ms: FloatArray,
    masks: IntArray,
    loops: NDArray[np.bool_],
    span_ms: float,
) -> FloatArray:
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
    waits_ms = np.full(len(arrivals_ms), math.nan)
    everything, held, now_ms = 0, 0, 0.0
    head = firsts[:count].copy()
    claim_ms, due_ms, end_ms = np.full(count, math.inf), np.full(count, math.inf), np.full(count, math.inf)
    for app in range(count):
        everything |= masks[app]
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
        if last >= 0 and masks[last] == everything and held == everything:
            first, stop, next_ms = last, last + 1, end_ms[last]  # nothing but its end, as always on a single CPU
        else:
            first, stop, next_ms = 0, count, math.inf
            for app in range(count):
                next_ms = min(next_ms, end_ms[app])
                if held != everything and claim_ms[app] > now_ms:
                    next_ms = min(next_ms, claim_ms[app])
        if next_ms == math.inf:
            return waits_ms
        now_ms = next_ms
        for app in range(first, stop):
            if end_ms[app] <= now_ms:
                end_ms[app] = math.inf
                held &= ~masks[app]
                head[app] += 1
                place = head[app]
                if place < firsts[app + 1] and not (loops[app] and now_ms > span_ms):
                    arrival_ms = now_ms if loops[app] else arrivals_ms[place]
                    claim_ms[app] = max(now_ms, arrival_ms) + wakes_ms[place]
                    due_ms[app] = (claim_ms[app] if loops[app] else arrival_ms) + targets_ms[app]


@compiled
def quantile_of_sums(ones: FloatArray, others: FloatArray, count: int) -> float:
    """Return the least sum of one and another number that at least `count` of all sums do not exceed.

    Of (0, 10) and (1, 2, 5) the sums are 1, 2, 5, 11, 12 and 15; with a count of 4 it is 11. The sums are not made: how
    many of them are at most a number takes one walk along both.

    Args:
        ones: rising, shape (n,).
        others: rising, shape (m,).
        count: from 1 to n * m.
    """
    low, high = float(ones[0] + others[0]), float(ones[-1] + others[-1])
    while low < high:  # both are sums, and the answer is one of them or lies between
        middle = low + (high - low) / 2
        if middle >= high:
            middle = low  # no float lies between them
        below, largest, least, place = 0, low, high, len(others)
        for one in ones:
            while place > 0 and one + others[place - 1] > middle:
                place -= 1
            below += place
            if place > 0:
                largest = max(largest, one + others[place - 1])
            if place < len(others):
                least = min(least, one + others[place])
        if below >= count:
            high = largest
        else:
            low = least
    return high
