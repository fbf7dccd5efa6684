"""The slowdown that the manager learns is the machine's: requests of all lengths on a calm machine show none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from helpers.sized import LONGEST, SizedNumbers, sized_time, sizes_of_sentences, works_for
from helpers.tiny_networks import profile
from helpers.worker_rig import SMALL
from scheduler.estimators import SlowdownEstimator

REQUESTS = 400
RNG = np.random.default_rng(4)
SIZES = np.append(sizes_of_sentences(REQUESTS, RNG), [LONGEST] * 10)
"""Sentences of all lengths, and then ten of the longest in a row."""
WORKS = works_for(SIZES, RNG)
RESIDUALS = np.sort(RNG.normal(1, 0.1, 101))
TIME = sized_time(4.0, 2.0, sizes_of_sentences(100, RNG).tolist(), (RESIDUALS / RESIDUALS.mean()).tolist())
TIMES = replace(
    profile(),
    rungs=tuple(replace(rung, times=(TIME, replace(TIME, cores=2))) for rung in profile().rungs),
    sizes=tuple(SIZES.tolist()),
)


def estimates(ratios) -> np.ndarray:
    estimator, seen = SlowdownEstimator(), []
    for ratio in ratios:
        estimator.update(ratio)
        seen.append(estimator.ratio)
    return np.array(seen)


@pytest.mark.parametrize("dvfs", ["fixed", "emulated"])
def test_no_slowdown_is_learned_from_the_lengths_of_requests(rig, dvfs):
    source = SizedNumbers(sizes=tuple(SIZES.tolist()), work_of=lambda number: WORKS[number])
    one = rig(arrivals_s=np.arange(len(SIZES)), dvfs=dvfs, profile=TIMES, source=source)
    one.shift(SMALL)
    engaged = one.worker._engaged
    # A calm machine: 3 % of noise about the line over the work that is done. The board's core has half the speed.
    took_s = 2 * (4.0 + 2.0 * WORKS) * RNG.normal(1, 0.03, len(WORKS)) / 1000
    turns = iter(took_s)

    def run(x, stop):
        if dvfs == "fixed":
            one.clock.sleep_until(one.clock.now_s() + next(turns))
        return engaged.ready.run(x)

    one.worker._engaged = replace(engaged, ready=replace(engaged.ready, run=run))
    ratios = []
    for index in range(len(SIZES)):
        one.run_until(index + 0.9)
        ratios.append(one.telemetry().service_ratio)
    learned = estimates(ratios)
    assert learned[:REQUESTS].mean() == pytest.approx(1.0, abs=0.02)
    assert learned[:REQUESTS].std() <= 0.10
    assert learned[REQUESTS:] == pytest.approx(1.0, abs=0.15 if dvfs == "emulated" else 0.05)
    # Over the mean of the stream, as for networks without sizes, the lengths would be taken for the machine's speed.
    ends = one.ends
    by_mean = estimates([ends[index]["service_ms"] / 2 / TIME.mean_ms for index in range(len(SIZES))])
    assert by_mean[:REQUESTS].std() > 0.10
    assert by_mean[-1] > 1.5
