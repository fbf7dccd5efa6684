"""The oracle in hindsight finds the best of all combinations of gears, and the same one for the same run."""

import random
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from helpers.hindsight_mixes import (
    LADDER,
    app,
    board,
    meets_every_slo,
    planned,
    profile,
    random_board,
    random_mix,
    spread,
    unit,
    units_j,
)
from scheduler.policies import Scripted
from scheduler.views import Gear, Plan
from workloads import App, Mix, Saturate, Trace, at
from workloads.hindsight import COSTS, HINDSIGHT, best, lower_bound_j, oracle, policies
from workloads.hindsight.intervals import bursts_s, intervals_of
from workloads.hindsight.scoring import Score, Scorer
from workloads.hindsight.search import select
from workloads.hindsight.search_space import SearchSpace
from workloads.simulator import Costs, SimulationError, simulate

BIG_LITTLE = board(
    unit("big", mhz=(600.0, 1200.0, 2000.0), static_w=(0.12, 0.4, 1.2), dynamic_w=(0.2, 0.5, 1.1)),
    unit("little", first_cpu=1, mhz=(600.0, 1400.0), static_w=(0.02, 0.1), dynamic_w=(0.05, 0.2), speed=0.5),
)
TWO_RUNGS = profile(("small", 0.7, spread(5.0)), ("large", 0.9, spread(12.0)))


def run(plan, policy):
    return simulate(replace(plan, make_policy=lambda: policy, costs=COSTS), log=False)


def every_fixed_choice(plan):
    """Each choice of one gear for each app and one clock for each unit."""
    units = plan.board.units
    gears = [
        [
            Gear(subnet=rung.subnet, unit=one.name, cores=time.cores)
            for rung in own.rungs
            for time in rung.times
            for one in units
            if time.cores <= one.cores
        ]
        for own in plan.profiles.values()
    ]
    for chosen in product(*gears):
        for clocks in product(*(one.mhz for one in units)):
            yield Plan(
                gears=dict(zip(plan.profiles, chosen, strict=True)),
                clocks={one.name: mhz for one, mhz in zip(units, clocks, strict=True)},
            )


class TestIntervals:
    def test_a_mix_is_cut_where_something_changes(self):
        mix = Mix(
            "m",
            apps=[app("a"), app("b", latency_ms=80.0)],
            events=[
                at(2, "a", latency_ms=50.0),
                at(4, unit="big", max_mhz=1200.0),
                at(4, remove="b"),
                at(6, unit="big", busy=0.2),
                at(6, power_cap_w=3.0),
            ],
            duration_s=8,
        )
        intervals = intervals_of(planned(mix, BIG_LITTLE))
        assert [(one.from_s, one.to_s) for one in intervals] == [(0, 2), (2, 4), (4, 6), (6, 8)]
        assert [one.targets["a"].latency_ms for one in intervals] == [100.0, 50.0, 50.0, 50.0]
        assert [set(one.targets) for one in intervals] == [{"a", "b"}, {"a", "b"}, {"a"}, {"a"}]
        assert [one.limits["big"].max_mhz for one in intervals] == [None, None, 1200.0, 1200.0]
        assert [one.limits["big"].other_load for one in intervals] == [0.0, 0.0, 0.0, 0.2]
        assert [one.power_cap_w for one in intervals] == [None, None, None, 3.0]

    def test_a_clock_above_a_limit_is_held_there(self):
        mix = Mix("m", apps=[app()], events=[at(0, unit="big", max_mhz=1300.0)], duration_s=2)
        (interval,) = intervals_of(planned(mix, BIG_LITTLE))
        assert [interval.held(BIG_LITTLE.units[0], mhz) for mhz in (600.0, 1200.0, 2000.0)] == [600.0, 1200.0, 1200.0]

    def test_events_at_the_ends_make_no_empty_interval(self):
        mix = Mix("m", apps=[app()], events=[at(0, "app", slo=0.9), at(3, "app", slo=0.8)], duration_s=3)
        assert [(one.from_s, one.to_s) for one in intervals_of(planned(mix, BIG_LITTLE))] == [(0, 3)]

    def test_a_burst_is_cut_out(self):
        seconds = [*np.arange(0, 4, 0.2), *np.arange(4, 6, 0.02), *np.arange(6, 12, 0.2)]
        mix = Mix("m", apps=[App("a", supernet="net", arrivals=Trace(seconds), latency_ms=50.0)], duration_s=12)
        assert bursts_s(planned(mix, BIG_LITTLE)) == (4.0, 6.0)

    def test_even_arrivals_are_not_cut(self):
        mix = Mix("m", apps=[app("a"), app("b", hz=20.0, poisson=True)], duration_s=40)
        assert bursts_s(planned(mix, BIG_LITTLE)) == ()


class TestScorer:
    @pytest.mark.parametrize("seed", range(6))
    def test_scores_add_up_to_the_run(self, seed):
        rng = random.Random(seed)
        on = random_board(rng)
        plan = planned(random_mix(rng, on), on, seed=seed)
        arrivals_s = plan.mix.arrivals_s(seed)
        spaces = [SearchSpace(plan, [interval], arrivals_s) for interval in intervals_of(plan)]
        scorer = Scorer(plan, spaces, epoch_s=10.0)
        candidates = [space.first_candidates()[0] for space in spaces]
        whole, scores = scorer.score(candidates)
        simulated = scorer.simulate(scorer.script(candidates))
        assert whole.cost_j == units_j(simulated)
        # Within a clock's transition at each border.
        assert sum(score.cost_j for score in scores) == pytest.approx(units_j(simulated), rel=2e-3)
        for name, of_app in simulated.summary.apps.items():
            missing = sum(score.missing_on_time[name] for score in scores)
            if of_app.on_time is not None and of_app.in_flight == 0:
                assert missing == pytest.approx((of_app.slo - of_app.on_time) * of_app.submitted)

    def test_one_candidate_over_many_intervals_is_held_under_their_limits(self):
        mix = Mix("m", apps=[app()], events=[at(2, unit="big", max_mhz=600.0)], duration_s=4)
        plan = planned(mix, BIG_LITTLE, TWO_RUNGS)
        space = SearchSpace(plan, intervals_of(plan), mix.arrivals_s(0))
        candidate = replace(space.first_candidates()[0], clocks=(2000.0, 600.0))
        whole, (score,) = Scorer(plan, [space], epoch_s=10.0).score([candidate])
        assert score.cost_j == pytest.approx(whole.cost_j, rel=2e-3)


@pytest.mark.parametrize("seed", range(5))
def test_select_is_the_best_of_all_combinations(seed):
    rng = np.random.default_rng(seed)
    weights = {"a": 0.05, "b": 0.1}
    scores = [
        [
            Score(
                cost_j=float(rng.uniform(1, 5)),
                missing_on_time={name: float(rng.integers(-2, 3)) for name in weights},
                over_cap=float(rng.choice([0.0, 0.0, 0.01])),
            )
            for _ in range(4)
        ]
        for _ in range(4)
    ]

    def worth(places):
        taken = [options[place] for options, place in zip(scores, places, strict=True)]
        late = sum(
            weight * max(0.0, sum(one.missing_on_time[name] for one in taken)) for name, weight in weights.items()
        )
        return round(late + sum(one.over_cap for one in taken), 9), sum(one.cost_j for one in taken)

    found = select(scores, weights)
    assert worth(found) == pytest.approx(min(map(worth, product(range(4), repeat=4))))


class TestBest:
    @pytest.mark.parametrize(
        "mix",
        [
            Mix("one", apps=[app(hz=20.0, latency_ms=30.0, slo=0.9)], duration_s=3),
            Mix("floor", apps=[app(hz=5.0, latency_ms=40.0, min_accuracy=0.8, slo=0.8)], duration_s=3),
            Mix(
                "two",
                apps=[app("a", hz=12.0, poisson=True, latency_ms=40.0, slo=0.9), app("b", hz=8.0, latency_ms=60.0)],
                events=[at(1.5, "b", latency_ms=25.0)],
                duration_s=3,
            ),
        ],
        ids=lambda mix: mix.name,
    )
    def test_is_the_cheapest_of_all_fixed_choices(self, mix):
        plan = planned(mix, BIG_LITTLE, TWO_RUNGS)
        floors = {one.app.name: one.app.min_accuracy for one in mix.all_apps()}
        accuracy = {rung.subnet: rung.accuracy for rung in TWO_RUNGS.rungs}
        allowed = [
            fixed
            for fixed in every_fixed_choice(plan)
            if all(accuracy[gear.subnet] >= floors[name] for name, gear in fixed.gears.items())
        ]
        quick = replace(plan, epoch_s=10.0)
        runs = [run(quick, Scripted([(0.0, fixed)])) for fixed in allowed]
        cheapest_j = min(units_j(one) for one in runs if meets_every_slo(one))
        found = run(plan, best(plan))
        assert meets_every_slo(found)
        assert units_j(found) == pytest.approx(cheapest_j)

    def test_where_no_choice_meets_the_slo_the_least_late_is_taken(self):
        mix = Mix("hard", apps=[app(hz=30.0, latency_ms=5.1)], duration_s=2)
        plan = planned(mix, BIG_LITTLE, TWO_RUNGS)
        most = max(
            run(replace(plan, epoch_s=10.0), Scripted([(0.0, fixed)])).summary.apps["app"].on_time or 0.0
            for fixed in every_fixed_choice(plan)
        )
        assert 0 < most < 0.95
        assert run(plan, best(plan)).summary.apps["app"].on_time == most

    def test_accuracy_comes_first_where_the_mix_says_so(self):
        apps = [app(hz=10.0, latency_ms=60.0)]
        mix = Mix("accurate", apps=apps, duration_s=2, objective="accuracy")
        found = run(planned(mix, BIG_LITTLE, TWO_RUNGS), best(planned(mix, BIG_LITTLE, TWO_RUNGS)))
        assert meets_every_slo(found)
        assert found.summary.apps["app"].subnets["large"] == found.summary.apps["app"].completed

    def test_a_power_cap_is_kept_to(self):
        apps = [app(hz=10.0, latency_ms=60.0)]
        capped = Mix("capped", apps=apps, duration_s=2, objective="accuracy", power_cap_w=0.16)
        plan = planned(capped, BIG_LITTLE, TWO_RUNGS)
        free = planned(replace(capped, power_cap_w=None), BIG_LITTLE, TWO_RUNGS)
        assert units_j(run(free, best(free))) > 0.16 * 2
        assert units_j(run(plan, best(plan))) <= 0.16 * 2

    def test_a_board_without_power_still_gets_gears_in_time(self):
        blind = board(*(replace(one, static_w=None, dynamic_w=None) for one in BIG_LITTLE.units))
        plan = planned(Mix("m", apps=[app(hz=20.0, latency_ms=30.0)], duration_s=2), blind, TWO_RUNGS)
        assert meets_every_slo(run(plan, best(plan)))

    def test_a_closed_loop_is_served(self):
        apps = [App("app", supernet="net", arrivals=Saturate(), latency_ms=15.0)]
        plan = planned(Mix("m", apps=apps, duration_s=2), BIG_LITTLE, TWO_RUNGS)
        assert meets_every_slo(run(plan, best(plan)))


class TestOracle:
    @pytest.mark.parametrize("seed", range(6))
    def test_costs_no_more_than_joint_or_best_nor_less_than_the_bound(self, seed):
        rng = random.Random(seed)
        on = random_board(rng)
        plan = planned(random_mix(rng, on), on, seed=seed, costs=Costs.none())
        found = run(plan, oracle(plan))
        least_j = lower_bound_j(plan, {name: one.dropped for name, one in found.summary.apps.items()})
        for rival in (simulate(plan, log=False), run(plan, best(plan))):
            if meets_every_slo(rival):
                assert meets_every_slo(found)
                assert units_j(found) <= units_j(rival) * (1 + 1e-9)
        if meets_every_slo(found):
            assert least_j is not None
            assert units_j(found) >= least_j * (1 - 1e-9)

    def test_changes_gears_where_the_mix_changes(self):
        mix = Mix("m", apps=[app(hz=20.0, latency_ms=100.0)], events=[at(2, "app", latency_ms=8.0)], duration_s=4)
        plan = planned(mix, BIG_LITTLE, TWO_RUNGS)
        fixed, found = run(plan, best(plan)), run(plan, oracle(plan))
        assert meets_every_slo(found)
        assert units_j(found) < 0.9 * units_j(fixed)

    def test_follows_bursts(self):
        seconds = [*np.arange(0, 4, 0.2), *np.arange(4, 6, 0.01), *np.arange(6, 10, 0.2)]
        apps = [App("a", supernet="net", arrivals=Trace(seconds), latency_ms=25.0)]
        plan = planned(Mix("m", apps=apps, duration_s=10), BIG_LITTLE, TWO_RUNGS)
        fixed, found = run(plan, best(plan)), run(plan, oracle(plan))
        assert meets_every_slo(found)
        assert units_j(found) < 0.9 * units_j(fixed)

    def test_apps_come_and_go_and_cores_too(self):
        on = board(unit(cores=2, mhz=(500.0, 1000.0), static_w=(0.2, 0.5), dynamic_w=(0.5, 2.0)))
        events = [
            at(1, add=app("b", hz=5.0)),
            at(2, unit="cpu", cores=1),
            at(3, remove="app"),
            at(3, unit="cpu", cores=None),
        ]
        plan = planned(Mix("m", apps=[app(hz=8.0)], events=events, duration_s=4), on, LADDER)
        assert meets_every_slo(run(plan, oracle(plan)))

    def test_units_go_away_and_come_back(self):
        names = [one.name for one in BIG_LITTLE.units]
        away = [at(1, unit=names[0], cores=0), at(2, unit=names[0], cores=None)]
        plan = planned(Mix("m", apps=[app(hz=8.0)], events=away, duration_s=3), BIG_LITTLE)
        found, least_j = run(plan, oracle(plan)), lower_bound_j(plan)
        assert meets_every_slo(found)
        assert least_j is not None
        assert units_j(found) >= least_j * (1 - 1e-9)
        never_both = [*away, at(2, unit=names[1], cores=0)]
        plan = planned(Mix("m", apps=[app(hz=8.0)], events=never_both, duration_s=3), BIG_LITTLE)
        assert meets_every_slo(simulate(plan, log=False))
        with pytest.raises(SimulationError, match=r"app 'app' has none: no unit .* is there all the time"):
            best(plan)

    def test_leaves_clocks_to_a_governor_where_that_is_cheaper(self):
        # In bursts too short for a cut of its own; between them the lowest clock would do.
        steps = unit(mhz=(200.0, 2000.0), static_w=(0.05, 2.0), dynamic_w=(0.05, 0.5))
        seconds = [second + 0.02 * place for second in range(8) for place in range(10)]
        apps = [App("a", supernet="net", arrivals=Trace(seconds), latency_ms=120.0, slo=0.8)]
        plan = planned(Mix("m", apps=apps, duration_s=8), board(steps), TWO_RUNGS)
        fixed, found = run(plan, best(plan)), run(plan, oracle(plan))
        assert meets_every_slo(found)
        assert units_j(found) < 0.9 * units_j(fixed)

    def test_nobody_may_be_there_for_a_while(self):
        events = [at(1, remove="app"), at(2, add=app("b", hz=5.0))]
        plan = planned(Mix("m", apps=[app()], events=events, duration_s=3), BIG_LITTLE)
        found = run(plan, oracle(plan))
        assert meets_every_slo(found)
        assert units_j(found) == pytest.approx(lower_bound_j(plan), rel=0.05)

    def test_a_core_may_come_back_at_the_very_moment_when_something_else_happens(self):
        on = board(unit(cores=2))
        events = [
            at(1, unit="cpu", cores=1),
            at(2, "app", latency_ms=4.0),
            at(2, unit="cpu", cores=None),
        ]
        plan = planned(Mix("m", apps=[app(slo=0.4)], events=events, duration_s=4), on)
        found = run(plan, oracle(plan))
        assert meets_every_slo(found)


@pytest.mark.parametrize("name", HINDSIGHT)
def test_the_same_run_has_the_same_answer_whatever_was_searched_before(name, monkeypatch):
    rng = random.Random(2)
    on = random_board(rng)
    plan, other = (planned(random_mix(random.Random(2), on), on, seed=seed) for seed in (2, 3))
    monkeypatch.setattr(policies, "_latest", None)
    alone = run(plan, HINDSIGHT[name](plan)).summary.to_json()
    for before in (plan, other):
        best(before)
        assert run(plan, HINDSIGHT[name](plan)).summary.to_json() == alone
