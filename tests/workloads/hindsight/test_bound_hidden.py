"""The lower bound knows what the manager does not: the noise on each request, and slowdowns of units."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.requests.draws import Draws
from helpers import hindsight_mixes as small
from helpers.hindsight_mixes import TEN_MS, app, planned
from helpers.sized import by_size
from workloads import Mix, at
from workloads.hindsight import lower_bound_j
from workloads.hindsight.intervals import intervals_of
from workloads.hindsight.request_work import least_work_s, most_work_s, work_ms
from workloads.simulator import simulate

POLICIES = ("joint", "largest+schedutil", "floor+ondemand")


def bound(*events, noise=0.0, seed=0, slo=1.0, latency_ms=100.0, on=None):
    mix = Mix("m", apps=[app(slo=slo, latency_ms=latency_ms)], events=events, duration_s=1.0, noise=noise)
    return lower_bound_j(planned(mix, small.board(on or small.unit()), TEN_MS, seed=seed))


def test_a_request_takes_so_many_times_as_long_while_its_unit_is_slowed_down():
    # Ten requests, of which the last is due at the very end and costs nothing.
    assert bound(at(0, unit="cpu", slowdown=2.0)) == pytest.approx(1.0 + 9 * 0.020 * 2)
    assert bound(at(0.45, unit="cpu", slowdown=2.0)) == pytest.approx(1.0 + (5 * 0.010 + 4 * 0.020) * 2)
    ended = [at(0.0, unit="cpu", slowdown=2.0), at(0.45, unit="cpu", slowdown=None)]
    # The request of 0.4 s, due at 0.5, waits for the end of it.
    assert bound(*ended) == pytest.approx(1.0 + (4 * 0.020 + 5 * 0.010) * 2)


def test_no_request_is_on_time_that_the_slowdown_makes_longer_than_its_target():
    assert bound(at(0, unit="cpu", slowdown=2.0), latency_ms=19.0) is None
    assert bound(at(0, unit="cpu", slowdown=2.0), latency_ms=21.0) is not None


def test_each_request_has_its_noise():
    draws = Draws(3, "app", 0.4)
    taken_s = sum(0.010 * draws.factor(index) for index in range(9))
    assert bound(noise=0.4, seed=3) == pytest.approx(1.0 + 2 * taken_s)


@given(
    st.lists(
        st.tuples(
            st.floats(0, 1, exclude_max=True), st.sampled_from([1.0, 2.0, 9.0]), st.sampled_from([0.5, 1.0, 1.7])
        ),
        min_size=1,
        max_size=30,
    )
)
def test_least_and_most_work_are_those_of_all_requests(draws):
    ladder = by_size(small.LADDER, (1.0, 2.0, 9.0))
    times = [time for rung in ladder.rungs for time in rung.times]
    least = min(work_ms(time, draw) for time in times for draw in draws)
    most = max(min(work_ms(time, draw) for time in times) for draw in draws)
    assert (least_work_s(times, draws), most_work_s(times, draws)) == (least / 1000, most / 1000)


def hidden(mix: Mix, on, rng: random.Random) -> Mix:
    """Return a mix of the same apps, beside noise and a slowdown that begins and ends."""
    of = rng.choice(on.units).name
    events = [at(1.1, unit=of, slowdown=rng.choice([1.2, 1.5, 2.5])), at(2.7, unit=of, slowdown=None)]
    return replace(mix, noise=rng.choice([0.0, 0.1, 0.4]), events=[*mix.events, *events])


def test_no_policy_that_meets_every_slo_goes_below():
    runs = 0
    for seed in range(10):
        rng = random.Random(500 + seed)
        on = small.random_board(rng)
        mix = hidden(small.random_mix(rng, on), on, rng)
        for policy in POLICIES:
            run = simulate(planned(mix, on, policy=policy, seed=seed), log=False)
            if not small.meets_every_slo(run):
                continue
            runs += 1
            dropped = {name: one.dropped for name, one in run.summary.apps.items()}
            least_j = lower_bound_j(planned(mix, on, seed=seed), dropped)
            assert least_j is not None
            assert least_j <= small.units_j(run) * (1 + 1e-9)
    assert runs > 10


def test_a_run_is_cut_where_a_slowdown_begins_and_its_model_has_the_true_speed():
    on = small.board(small.unit(speed=0.5))
    mix = Mix("m", apps=[app()], events=[at(0.4, unit="cpu", slowdown=2.0)], duration_s=1.0)
    before, after = intervals_of(planned(mix, on, TEN_MS))
    assert (before.to_s, after.from_s) == (0.4, 0.4)
    assert [one.unit(on.units[0]).speed for one in (before, after)] == [0.5, 0.25]


def test_the_oracle_plans_for_what_the_manager_is_not_told():
    """At 500 MHz a request takes 20 ms of 35, and 40 once it is slowed down, while at 1000 MHz it takes 20."""
    cpu = small.unit(mhz=(500.0, 1000.0), static_w=(0.1, 0.2), dynamic_w=(0.5, 2.0))
    mix = Mix(
        "m",
        apps=[app(slo=0.95, latency_ms=35.0)],
        events=[at(2.0, unit="cpu", slowdown=2.0)],
        duration_s=4.0,
        noise=0.05,
    )
    run = simulate(planned(mix, small.board(cpu), TEN_MS, policy="oracle"))
    assert small.meets_every_slo(run)
    # It begins at the lowest clock, and no event tells it of the slowdown.
    clocks = [(entry["now_s"], entry["to"]) for entry in run.entries if entry["kind"] == "clock"]
    assert clocks == [(pytest.approx(2.0, abs=1e-6), 1000.0)]
    least_j = lower_bound_j(planned(mix, small.board(cpu), TEN_MS))
    assert least_j is not None
    assert least_j <= small.units_j(run)
