"""The statistics of a bench agree with hand-worked figures, published examples and exact distributions."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from workloads.bench.statistics import (
    ConfidenceInterval,
    difference_interval,
    early_stopping_percentile,
    geometric_mean,
    mean_interval,
    ratio_interval,
)
from workloads.bench.words import change_of, change_words, figure_words, points, ratio_verdict
from workloads.bench.xrbench import MOST_J, Frames, xrbench_score


def interval(
    value: float, low: float | None = None, high: float | None = None, scenarios: int = 5
) -> ConfidenceInterval:
    return ConfidenceInterval(value=value, low=low, high=high, scenarios=scenarios, n=9)


def test_the_geometric_mean_of_two_and_eight_is_four() -> None:
    assert geometric_mean([2.0, 8.0]) == pytest.approx(4.0)


def test_each_scenario_counts_alike_however_many_seeds_it_has() -> None:
    found = ratio_interval({"often": [0.5] * 9, "once": [2.0]})
    assert found is not None
    assert found.value == pytest.approx(1.0)
    assert (found.scenarios, found.n) == (2, 10)


def test_two_scenarios_of_one_seed_reach_from_one_to_the_other() -> None:
    # Drawn anew, two scenarios are both the first or both the second with a chance of 1/4 each: beyond 2.5 %.
    found = ratio_interval({"low": [0.5], "high": [2.0]})
    assert found is not None
    assert found.low == pytest.approx(0.5)
    assert found.high == pytest.approx(2.0)


def test_seeds_within_a_scenario_are_drawn_anew_too() -> None:
    # Both draws are of the first seed with a chance of 1/4, and both of the second.
    found = ratio_interval({"only": [1.0, 4.0]})
    assert found is not None
    assert (found.low, found.high) == (pytest.approx(1.0), pytest.approx(4.0))
    assert found.value == pytest.approx(2.0)


def test_the_bootstrap_matches_the_exact_distribution_of_two_stages() -> None:
    # In log2, a has 0 and 2, b has 1. The least mean is 0: a twice (1/4), each time with 0 twice (1/16), so 1.6 %. The
    # next is 0.5: a and b (1/2) with 0 twice (1/4), or a twice with means 0 and 1: 12.5 % and 6.3 %. So the 2.5 %
    # quantile is 0.5, and by symmetry the other is 1.5.
    found = ratio_interval({"a": [1.0, 4.0], "b": [2.0]})
    assert found is not None
    assert math.log2(found.low or 0) == pytest.approx(0.5)
    assert math.log2(found.high or 0) == pytest.approx(1.5)


def test_one_pair_alone_has_no_interval_and_no_verdict() -> None:
    found = ratio_interval({"only": [0.5]})
    assert found == ConfidenceInterval(value=0.5, low=None, high=None, scenarios=1, n=1)
    assert ratio_verdict(found) == "not shown"


def test_a_mean_counts_each_scenario_alike_and_has_an_interval_of_its_values() -> None:
    found = mean_interval({"often": [1.0] * 9, "once": [3.0]})
    assert found == ConfidenceInterval(value=2.0, low=1.0, high=3.0, scenarios=2, n=10)
    assert mean_interval({"only": [4.0]}) == ConfidenceInterval(value=4.0, low=None, high=None, scenarios=1, n=1)
    assert mean_interval({"empty": []}) is None


def test_the_mean_of_a_ratio_is_that_of_its_logarithms() -> None:
    ratios = {"a": [0.5, 0.6, 0.9], "b": [1.1, 0.7]}
    found, logs = ratio_interval(ratios), mean_interval({name: np.log(own) for name, own in ratios.items()})
    assert found is not None
    assert logs is not None
    assert math.log(found.value) == pytest.approx(logs.value)
    assert (math.log(found.low or 0), math.log(found.high or 0)) == pytest.approx((logs.low, logs.high))


def test_no_ratio_at_all_is_no_interval() -> None:
    assert ratio_interval({}) is None
    assert ratio_interval({"empty": []}) is None


def test_the_same_ratios_give_the_same_interval() -> None:
    ratios = {"a": [0.5, 0.6, 0.9], "b": [1.1, 0.7]}
    assert ratio_interval(ratios) == ratio_interval(ratios)
    assert ratio_interval(ratios) != ratio_interval(ratios, seed=1)


def test_a_difference_of_shares_has_newcombe_s_interval() -> None:
    # Newcombe 1998, table II, first column: 56/70 - 48/80, method 10.
    assert difference_interval(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    # Third column: 9/10 - 3/10 is 0.1705 to 0.8090 by the same method.
    assert difference_interval(9, 10, 3, 10) == pytest.approx((0.1705, 0.8090), abs=5e-5)


def test_a_difference_to_nothing_can_be_anything() -> None:
    assert difference_interval(5, 5, 0, 0) == (-1.0, 1.0)


@pytest.mark.parametrize(("share", "least"), [(0.9, 64), (0.95, 130), (0.99, 662)])
def test_an_early_stopping_percentile_needs_as_many_values_as_mlperf_says(share: float, least: int) -> None:
    # With t = 1: the least n at which (p + n · (1 - p)) · p^(n - 1) is at most 1 %; 64 and 662 are in MLPerf's rules.
    def chance(n: int) -> float:
        return (share + n * (1 - share)) * share ** (n - 1)

    assert chance(least) <= 0.01 < chance(least - 1)
    assert early_stopping_percentile(range(least - 1), share) is None
    assert early_stopping_percentile(range(least), share) == least - 1


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 3000), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_an_early_stopping_percentile_leaves_as_many_above_as_the_binomial_allows(n: int, share: float) -> None:
    allowed = int(np.sum(binom.cdf(np.arange(n + 1), n, 1 - share) <= 0.01)) - 1
    found = early_stopping_percentile(np.random.default_rng(n).permutation(n), share)
    assert found == (n - allowed if allowed >= 1 else None)


def test_an_early_stopping_percentile_of_a_long_run_is_found() -> None:
    found = early_stopping_percentile(np.arange(100_000), 0.95)
    assert found is not None
    assert 95_000 < found < 95_300  # above the sample's own percentile by some 2.3 standard deviations of 69


def test_requests_without_a_result_count_as_infinitely_late() -> None:
    assert early_stopping_percentile([*range(63), math.inf], 0.9) == math.inf


def test_the_score_follows_the_formula() -> None:
    # One frame at its deadline (rt 1/2) and one far ahead (1), 0.15 J each: 100 · 1.5 · (1 - 0.15 / 1.5) / 2.
    app = Frames(overrun_ms=np.array([0.0, -100.0]), asked=2, lost=0)
    assert MOST_J == 1.5
    assert xrbench_score([app], 0.3) == pytest.approx(67.5)


def test_a_lost_frame_costs_twice_in_the_score() -> None:
    # Once as a frame without a score, once in the quality of experience: 100 · 1/2 · 1/2.
    assert xrbench_score([Frames(overrun_ms=np.array([-100.0]), asked=2, lost=1)], 0.0) == pytest.approx(25.0)


def test_the_score_is_the_mean_over_apps_that_asked() -> None:
    good = Frames(overrun_ms=np.array([-100.0]), asked=1, lost=0)
    bad = Frames(overrun_ms=np.array([]), asked=3, lost=3)
    idle = Frames(overrun_ms=np.array([]), asked=0, lost=0)
    assert xrbench_score([good, bad, idle], 0.0) == pytest.approx(50.0)
    assert xrbench_score([bad], 1.0) == 0.0


def test_there_is_no_score_without_energy_or_requests() -> None:
    assert xrbench_score([Frames(overrun_ms=np.array([-1.0]), asked=1, lost=0)], None) is None
    assert xrbench_score([], 1.0) is None


def test_a_verdict_needs_the_whole_interval() -> None:
    assert ratio_verdict(interval(0.8, 0.7, 0.9)) == "less"
    assert ratio_verdict(interval(1.2, 1.1, 1.3)) == "more"
    assert ratio_verdict(interval(0.8, 0.7, 1.0)) == "not shown"
    assert ratio_verdict(None) == "not shown"


def test_a_verdict_needs_five_mixes_or_five_seeds_of_one() -> None:
    assert ratio_verdict(interval(0.8, 0.7, 0.9, scenarios=4)) == "not shown"
    assert ratio_verdict(interval(0.8, 0.7, 0.9, scenarios=1)) == "less"  # of nine seeds
    assert ratio_verdict(ConfidenceInterval(value=0.8, low=0.7, high=0.9, scenarios=1, n=4)) == "not shown"


def test_ratios_are_said_as_changes_and_great_ones_as_factors() -> None:
    assert change_of(0.59) == "−41.0 %"
    assert change_of(1.00004) == "0.0 %"
    assert change_of(15.17) == "×15.2"
    assert change_words(interval(0.59, 0.5, 2.5)) == "−41.0 % (−50.0 % to ×2.5)"
    assert change_words(interval(0.59, 0.5, 0.7)) == "−41.0 % (−50.0 to −30.0 %)"
    assert change_words(interval(0.59)) == "−41.0 %"
    assert change_words(None) == "unknown"
    assert figure_words(interval(5.0, 4.9, 5.1), ".2f", " J") == "5.00 J (4.90 to 5.10 J)"
    assert figure_words(replace(interval(5.0), over_sets=(4.0, 6.0)), ".1f", " %") == "5.0 % (power sets 4.0 to 6.0 %)"
    assert figure_words(None, ".2f") == "unknown"
    assert points(-0.0123) == "−1.2"
    assert points(None) == "unknown"
