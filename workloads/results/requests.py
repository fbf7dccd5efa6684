"""Facts of one app's requests, read off their records: arrivals, ends, latencies, and which were on time.

Pure functions on arrays of dtype `actors.requests.records.RECORD`. They know no targets but those in the records.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from actors.requests.records import Status
from workloads.mix.arrivals import Arrivals, External, FloatArray, Saturate

_ROUNDING_MS = 1e-6
"""A request on time to the nanosecond is on time: (10.06 - 10.0) s is a little over 60 ms in floating point."""


def submitted_s(
    arrivals: Arrivals, scheduled_s: FloatArray, records: NDArray[np.void], closed_s: float = math.inf
) -> FloatArray:
    """Return the arrival of every request that an app was sent, in seconds, shape (n,), sorted.

    Clients and a closed loop decide when requests come: theirs are those that the worker noted on arrival. All others
    come as scheduled.

    Args:
        arrivals: Kind of arrivals of the app.
        scheduled_s: Scheduled arrivals, shape (m,), sorted.
        records: Records of the app's requests, in any order.
        closed_s: Time at which the app stopped taking requests: a deployment may end before its mix, and requests
            scheduled for later never arrived.
    """
    if isinstance(arrivals, External | Saturate):
        arrived_s: FloatArray = np.sort(records["arrival_s"][records["status"] == Status.ARRIVED])
        return arrived_s
    return scheduled_s[scheduled_s <= closed_s]


def first_ends(records: NDArray[np.void]) -> NDArray[np.void]:
    """Return the first record of an end for each request that ended, ordered by the request's index.

    A request can end twice: its worker finishes it and is lost, and the worker's successor fails it again. The first
    end counts.
    """
    ended = records[records["status"] != Status.ARRIVED]
    ended = ended[np.argsort(ended["end_s"], kind="stable")]
    first: NDArray[np.void] = ended[np.unique(ended["index"], return_index=True)[1]]
    return first


def latencies_ms(ended: NDArray[np.void]) -> FloatArray:
    """Return the time from scheduled arrival to the end of each request, shape (n,)."""
    latency_ms: FloatArray = (ended["end_s"] - ended["arrival_s"]) * 1000
    return latency_ms


def is_on_time(ended: NDArray[np.void]) -> NDArray[np.bool_]:
    """Return True for each request that completed within the target in force at its arrival, shape (n,)."""
    on_time: NDArray[np.bool_] = ended["status"] == Status.COMPLETED
    on_time &= latencies_ms(ended) <= ended["target_ms"] + _ROUNDING_MS
    return on_time


def never_ended(
    submitted: FloatArray, ended: NDArray[np.void], targets_s: FloatArray, end_s: float
) -> NDArray[np.bool_]:
    """Return True for each request that never ended though its result was due by the end, shape (n,).

    Such a request is late, whatever became of it: nobody will have its result on time. One whose deadline lay beyond
    the end might still have been on time, and counts neither way.

    Args:
        submitted: Arrivals of all requests, shape (n,); a request's index is its place in it.
        ended: Records of those that ended, one each.
        targets_s: Latency target in force at each arrival, in seconds, shape (n,).
        end_s: Time until which results were waited for.
    """
    left: NDArray[np.bool_] = submitted + targets_s <= end_s
    left[ended["index"]] = False
    return left
