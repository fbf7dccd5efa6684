"""The search of the ladder: its front, its thinning, and a small search from end to end."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_space import TINY, lived_in

from supernets import plates
from supernets.calibration import calibrate, statistics
from supernets.search import Candidate, SearchPlan, pareto, search, thinned
from supernets.subnet import SubNet


def candidate(latency_ms: float, accuracy: float) -> Candidate:
    subnet = SubNet(
        id=f"{latency_ms}-{accuracy}",
        knobs=TINY.smallest,
        resolution=16,
        macs_m=1.0,
        accuracy=accuracy,
        accuracy_source="measured",
    )
    return Candidate(subnet=subnet, latency_ms=latency_ms, statistics={})


def accuracy(one: Candidate) -> float:
    assert one.subnet.accuracy is not None
    return one.subnet.accuracy


# Few values, so that ties are common.
CANDIDATES = st.lists(
    st.builds(candidate, st.integers(1, 12).map(float), st.integers(0, 12).map(lambda n: n / 12)), max_size=30
)


@settings(deadline=None)
@given(CANDIDATES)
def test_the_front_is_what_nothing_beats(candidates: list[Candidate]) -> None:
    front = pareto(candidates)
    assert all(one in candidates for one in front)
    for a, b in pairwise(front):
        assert a.latency_ms < b.latency_ms
        assert accuracy(a) < accuracy(b)
    for one in candidates:  # everything is as slow and as inaccurate as something on the front, or more so
        assert any(best.latency_ms <= one.latency_ms and accuracy(best) >= accuracy(one) for best in front)
    assert pareto(front) == front
    assert pareto(candidates[::-1]) == [candidate(one.latency_ms, accuracy(one)) for one in front]


@settings(deadline=None)
@given(CANDIDATES, st.integers(2, 8), st.sampled_from([0.0, 0.3, 0.6, 1.0]))
def test_thinning_keeps_the_ends_and_the_order(candidates: list[Candidate], rungs: int, lowest: float) -> None:
    front = pareto(candidates)
    usable = [one for one in front if accuracy(one) >= lowest]
    chosen = thinned(front, rungs, lowest)
    assert len(chosen) == min(rungs, len(usable))
    assert chosen == [one for one in usable if one in chosen]
    if usable:
        assert (chosen[0], chosen[-1]) == (usable[0], usable[-1])


@settings(deadline=None)
@given(st.integers(3, 7), st.floats(1.5, 30))
def test_thinning_steps_evenly_in_log_latency(rungs: int, spread: float) -> None:
    """Of a dense front, each step is the same factor to within the front's own grain."""
    dense = np.geomspace(1.0, spread, 600)
    chosen = thinned([candidate(ms, i / 600) for i, ms in enumerate(dense)], rungs, 0.0)
    steps = np.diff(np.log([one.latency_ms for one in chosen]))
    grain = np.log(spread) / 599
    np.testing.assert_allclose(steps, np.log(spread) / (rungs - 1), atol=2.1 * grain)


def test_a_small_search_ends_in_a_calibrated_front(tmp_path: Path) -> None:
    network = lived_in(TINY)
    with torch.no_grad():  # every sub-network reads 0000
        network.classifier.weight.zero_()
    plan = SearchPlan(
        random_points=0,
        generations=1,
        children=1,
        calibration_pictures=64,
        search_pictures=8,
        test_pictures=32,
        rungs=2,
        lowest_accuracy=0.0,
    )
    done: list[tuple[int, int]] = []
    ladder = search(network, plan, tmp_path, lambda *progress: done.append(progress))
    assert len(done) == plan.random_points + 2 + plan.generations * plan.children
    assert all(count <= total for count, total in done)
    # None reads a plate right, so the fastest alone is left. Its statistics are those of its own calibration.
    (rung,) = ladder
    assert (rung.subnet.accuracy, rung.subnet.accuracy_source) == (0.0, "measured")
    module = network.extract(rung.subnet.knobs)
    calibrate(module, plates.draw(64, seed=plan.seed, held_out=False), rung.subnet.resolution)
    for name, tensor in statistics(module).items():
        assert torch.equal(rung.statistics[name], tensor), name


def test_the_plan_measures_on_pictures_that_the_choice_did_not_see() -> None:
    plan = SearchPlan()
    seen = plates.draw(50, seed=plan.seed, held_out=True)
    test = plates.draw(50, seed=plan.seed + 1, held_out=True, stratified=True)
    assert not set(seen.texts) & set(test.texts)
    assert plan.test_pictures >= 10_000
    assert plan.test_pictures % len(plates.ALPHABET) == 0
    with pytest.raises(AttributeError):
        plan.seed = 3  # type: ignore[misc]
