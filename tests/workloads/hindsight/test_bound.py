"""The lower bound on energy is never above what a policy uses that meets every service-level objective."""

import random
from dataclasses import replace
from itertools import pairwise

import pytest

from actors.requests.draws import Draws
from actors.requests.queue import DROP_RULES
from helpers.hindsight_mixes import (
    LADDER,
    TEN_MS,
    app,
    board,
    meets_every_slo,
    planned,
    profile,
    random_board,
    random_mix,
    unit,
    units_j,
)
from helpers.shares import with_shares
from helpers.sized import by_size
from scheduler.thermal import Thermal
from workloads import App, Mix, Poisson, Saturate, at
from workloads.hindsight import lower_bound_j
from workloads.simulator import simulate

HALF_ACTIVE = replace(TEN_MS.rungs[0].times[0], activity=0.5)
TWO_CLOCKS = unit(mhz=(500.0, 1000.0), static_w=(0.2, 0.5), dynamic_w=(0.5, 2.0))


def bound(mix, on, ladder=TEN_MS, seed=0, **dropped):
    return lower_bound_j(planned(mix, board(*on) if isinstance(on, tuple) else board(on), ladder, seed=seed), dropped)


def one_second(*apps, events=()):
    return Mix("one-second", apps=apps, events=events, duration_s=1.0)


class TestByHand:
    def test_static_power_and_each_request_once(self):
        # Ten requests; that of 0.9 s is due at the very end, so it could be served after the run.
        assert bound(one_second(app(slo=1.0)), unit()) == pytest.approx(1.0 + 9 * 0.010 * 2)

    def test_the_slo_lets_nothing_go_that_may_not_be_dropped(self):
        mix = one_second(app(slo=0.5))
        assert bound(mix, unit()) == pytest.approx(1.0 + 9 * 0.010 * 2)
        assert bound(mix, unit(), app=2) == pytest.approx(1.0 + 7 * 0.010 * 2)
        assert bound(mix, unit(), app=5) == pytest.approx(1.0 + 4 * 0.010 * 2)
        # Of ten requests five have to be on time, however many may be dropped.
        assert bound(mix, unit(), app=9) == pytest.approx(1.0 + 4 * 0.010 * 2)

    def test_what_may_be_late_is_served_at_the_cheapest_clock(self):
        # As with two clocks in turns below: 5 ms at 1000 MHz and 10 ms at 500 MHz; a late request takes 20 ms at 500.
        request_j, late_j = 0.005 * 2.0 + 0.010 * 0.5 + 0.005 * (0.5 - 0.2), 0.020 * 0.5
        mix = one_second(app(slo=0.6, latency_ms=15.0))
        assert bound(mix, TWO_CLOCKS) == pytest.approx(0.2 + 6 * request_j + 4 * late_j)
        assert bound(mix, TWO_CLOCKS, app=1) == pytest.approx(0.2 + 6 * request_j + 3 * late_j)

    def test_one_that_is_late_may_run_on_in_the_next_interval(self):
        # That of 0.4 s is due at 0.415 s and takes 10 ms at the only clock at least: it may begin at 0.414 s.
        changed = [at(0.42, unit="cpu", busy=0.5)]
        on_time, late = one_second(app(slo=1.0, latency_ms=15.0), events=changed), app(slo=0.5, latency_ms=15.0)
        assert bound(on_time, unit()) is None
        assert bound(one_second(late, events=changed), unit()) is not None

    @pytest.mark.parametrize(("rule", "free"), [("late", 1), ("oldest", 3), ("newest", 3)])
    def test_late_ones_that_may_run_on_after_the_end_are_free(self, rule, free):
        # The last of eleven, of 0.95 s, is due at 0.995 s, so it may be late and end after the run. With a rule that
        # lets late ones wait, two more may wait in the queue.
        mix = one_second(app(slo=0.5, hz=1 / 0.095, latency_ms=45.0, queue=2, drop=rule))
        assert bound(mix, unit()) == pytest.approx(1.0 + (11 - free) * 0.010 * 2)

    def test_other_load_of_more_activity_than_a_request_gives_way_to_it(self):
        # A request of activity 0.5 takes a core from others who take 0.8 of its power.
        ladder = replace(TEN_MS, rungs=(replace(TEN_MS.rungs[0], times=(HALF_ACTIVE,)),))
        mix = one_second(app(slo=1.0), events=[at(0, unit="cpu", busy=0.8)])
        served_s = 9 * 0.010 / 0.2
        found_j = bound(mix, unit(), ladder)
        assert found_j <= 1.0 + 2 * (0.8 * (1 - served_s) + 0.5 * served_s)
        assert found_j == pytest.approx(1.0 + 2 * 0.5)

    def test_a_loose_target_is_met_at_the_cheapest_clock(self):
        # At 500 MHz a request takes 20 ms at 0.5 W.
        assert bound(one_second(app(slo=1.0)), TWO_CLOCKS) == pytest.approx(0.2 + 9 * 0.020 * 0.5)

    def test_a_tight_target_is_met_by_two_clocks_in_turns(self):
        # 5 ms at 1000 MHz and 10 ms at 500 MHz are 15 ms and cover 10 ms of work; at 500 MHz the unit rests.
        request_j = 0.005 * 2.0 + 0.010 * 0.5 + 0.005 * (0.5 - 0.2)
        assert bound(one_second(app(slo=1.0, latency_ms=15.0)), TWO_CLOCKS) == pytest.approx(0.2 + 10 * request_j)

    def test_a_network_is_as_slow_at_each_clock_as_its_own_share_says(self):
        # At 500 MHz a request of which 60 % do not follow the clock takes 14 ms, and fits into 15.
        mix = one_second(app(slo=1.0, latency_ms=15.0))
        assert bound(mix, TWO_CLOCKS, with_shares(TEN_MS, [0.6])) == pytest.approx(0.2 + 10 * 0.014 * 0.5)
        assert bound(mix, TWO_CLOCKS, with_shares(TEN_MS, [0.0])) == bound(mix, TWO_CLOCKS)

    def test_of_two_networks_the_one_that_is_cheaper_by_its_share_serves(self):
        ladder = with_shares(profile(("quick", 0.9, (9.0,)), ("steady", 0.9, (10.0,))), [0.0, 1.0])
        assert bound(one_second(app(slo=1.0)), TWO_CLOCKS, ladder) == pytest.approx(0.2 + 9 * 0.010 * 0.5)

    def test_one_request_of_an_app_at_a_time_keeps_the_clock_up(self):
        # At 500 MHz 80 requests would take 1.6 s, of one core of four.
        mix = one_second(app(hz=80.0, latency_ms=1000.0 / 80.0, slo=1.0))
        # The last is due at the end. The target of 12.5 ms binds: τ + τ' = 12.5 and τ + τ' / 2 = 10 give τ = 7.5 ms
        # at 1000 MHz and τ' = 5 ms at 500.
        request_j = 0.0075 * 2.0 + 0.005 * 0.5 + 0.0075 * (0.5 - 0.2)
        four = replace(TWO_CLOCKS, cpus=(0, 1, 2, 3))
        assert bound(mix, four) == pytest.approx(0.2 + 79 * request_j)

    def test_two_apps_on_one_core_have_to_share_its_time(self):
        # 90 requests, all due within the run, are 0.9 s at 1000 MHz; of them w can be done at 500 MHz in twice the
        # time, with 2w + (0.9 - w) = 1.
        mix = one_second(*(app(name, hz=45.0, slo=1.0, latency_ms=22.0) for name in ("a", "b")))
        slow_s = 1.0 - 0.90
        work_j = (0.90 - slow_s) * (2.0 + 0.5) + 2 * slow_s * (0.5 + 0.2)
        assert bound(mix, TWO_CLOCKS) == pytest.approx(work_j)

    def test_idle_time_costs_the_idle_share(self):
        expected_j = 0.09 * (1.0 + 2.0) + 0.91 * 0.4
        assert bound(one_second(app(slo=1.0)), unit(idle_share=0.4)) == pytest.approx(expected_j)

    def test_the_fastest_requests_are_served(self):
        ladder = profile(("net", 0.9, (5.0, 10.0, 20.0)))
        samples = ladder.rungs[0].times[0].samples_ms
        drawn_ms = sorted(Draws(3, "app").of(samples, index) for index in range(10))
        mix = one_second(app(slo=0.6, latency_ms=99.0))
        assert bound(mix, unit(), ladder, seed=3, app=4) == pytest.approx(1.0 + 2 * sum(drawn_ms[:6]) / 1000)

    def test_each_request_takes_the_time_of_its_size(self):
        sizes = (1.0, 9.0, 4.0)
        ladder = by_size(profile(("net", 0.9, (8.0, 10.0, 12.0))), sizes)
        time = ladder.rungs[0].times[0]
        taken_ms = sorted(Draws(3, "app").of(time.samples_at_ms(sizes[index % 3]), index) for index in range(10))
        mix = one_second(app(slo=0.6, latency_ms=99.0))
        assert bound(mix, unit(), ladder, seed=3, app=4) == pytest.approx(1.0 + 2 * sum(taken_ms[:6]) / 1000)

    def test_a_floor_rules_out_small_networks(self):
        ladder = profile(("small", 0.7, (5.0,)), ("large", 0.9, (10.0,)))
        assert bound(one_second(app(slo=1.0, min_accuracy=0.8)), unit(), ladder) == pytest.approx(1.18)
        assert bound(one_second(app(slo=1.0, min_accuracy=0.6)), unit(), ladder) == pytest.approx(1.09)

    def test_a_floor_raised_later_does_not_count_for_what_came_before(self):
        ladder = profile(("small", 0.7, (5.0,)), ("large", 0.9, (10.0,)))
        mix = one_second(app(slo=1.0), events=[at(0.45, "app", min_accuracy=0.8)])
        assert bound(mix, unit(), ladder) == pytest.approx(1.0 + 2 * (5 * 0.005 + 4 * 0.010))

    def test_others_load_costs_and_slows(self):
        # Others use a quarter of both cores all the time; a request takes its core's other three quarters.
        mix = one_second(app(slo=1.0), events=[at(0, unit="cpu", busy=0.25)])
        expected_j = 1.0 + 2 * 0.25 * 2.0 + 9 * (0.010 / 0.75) * 0.75 * 2.0
        assert bound(mix, unit(cores=2)) == pytest.approx(expected_j)

    def test_the_cheaper_unit_serves(self):
        on = (unit("big"), unit("little", first_cpu=1, static_w=(0.1,), dynamic_w=(0.3,), speed=0.5))
        assert bound(one_second(app(slo=1.0)), on) == pytest.approx(1.0 + 0.1 + 9 * 0.020 * 0.3)

    def test_an_app_costs_while_it_is_there(self):
        mix = one_second(app(slo=1.0, latency_ms=50.0), events=[at(0.5, remove="app")])
        assert bound(mix, unit()) == pytest.approx(1.0 + 5 * 0.010 * 2)

    def test_heat_leaks_as_at_the_coldest_ambient(self):
        thermal = Thermal(c_per_w=5.0, tau_s=10.0, trip_c=90.0, static_per_c=0.01, reference_c=45.0)
        mix = one_second(app(slo=1.0), events=[at(0.5, ambient_c=55.0)])
        assert bound(mix, unit(thermal=thermal)) == pytest.approx(1.0 * (1 - 0.2) + 0.18)

    def test_a_closed_loop_asks_for_nothing(self):
        mix = one_second(App("app", supernet="net", arrivals=Saturate(), latency_ms=100.0))
        assert bound(mix, unit()) == pytest.approx(1.0)


class TestNone:
    def test_power_unknown(self):
        assert bound(one_second(app()), unit(static_w=None, dynamic_w=None)) is None

    def test_a_target_that_no_clock_meets(self):
        assert bound(one_second(app(latency_ms=9.0)), unit()) is None

    def test_a_target_that_no_clock_meets_under_a_limit(self):
        limited = [at(0.5, unit="cpu", max_mhz=500.0)]
        assert bound(one_second(app(latency_ms=15.0, slo=0.7), events=limited), TWO_CLOCKS) is None
        assert bound(one_second(app(latency_ms=15.0, slo=0.5), events=limited), TWO_CLOCKS) is not None


POLICIES = ("joint", "floor", "largest+schedutil", "floor+ondemand", "floor+powersave")


def dropped(simulated):
    return {name: one.dropped for name, one in simulated.summary.apps.items()}


def bounded_runs(mix, on, seed, ladder=LADDER):
    """Return the runs of several policies that meet every slo, each with the bound for as many dropped."""
    runs = [simulate(planned(mix, on, ladder, policy=policy, seed=seed), log=False) for policy in POLICIES]
    met = [run for run in runs if meets_every_slo(run)]
    return [(run, lower_bound_j(planned(mix, on, ladder, seed=seed), dropped(run))) for run in met]


@pytest.mark.parametrize("seed", range(12))
def test_no_policy_that_meets_every_slo_goes_below(seed):
    rng = random.Random(seed)
    on = random_board(rng)
    # Every other time a request's size says how long it takes, in some ladders more than in others.
    ladder = LADDER if seed % 2 else by_size(LADDER, (1.0, 0.3, 2.5, 1.2), base_share=rng.choice([0.1, 0.6]))
    # And in two of three some networks follow the clock less or more than the unit says.
    ladder = with_shares(ladder, rng.sample([None, 0.0, 0.5, 0.95], 3)) if seed % 3 else ladder
    for run, least_j in bounded_runs(random_mix(rng, on), on, seed, ladder):
        assert least_j is not None
        assert least_j <= units_j(run) * (1 + 1e-9)


def test_none_goes_below_whatever_it_drops_and_leaves_late():
    counts = {"dropped": 0, "late": 0, "runs": 0}
    for seed in range(16):
        rng = random.Random(1000 + seed)
        on = random_board(rng)
        mix = random_mix(rng, on)
        loose = [
            replace(
                one,
                arrivals=Poisson(hz=rng.choice([8.0, 25.0])),
                latency_ms=rng.choice([12.0, 30.0, 60.0]),
                slo=rng.choice([0.1, 0.4]),
                queue=rng.choice([1, 2, None]),
                drop=rng.choice(DROP_RULES),
            )
            for one in mix.apps
        ]
        ladder = LADDER if seed % 4 else with_shares(LADDER, [None, 0.9, 0.2])
        for run, least_j in bounded_runs(replace(mix, apps=loose), on, seed, ladder):
            assert least_j is not None
            assert least_j <= units_j(run) * (1 + 1e-9)
            apps = run.summary.apps.values()
            counts["runs"] += 1
            counts["dropped"] += any(one.dropped for one in apps)
            counts["late"] += any(one.completed > round((one.on_time or 0) * one.submitted) for one in apps)
    # The mixes put the rows to the test.
    assert counts["runs"] > 30
    assert counts["dropped"] > 20
    assert counts["late"] > 20


@pytest.mark.parametrize("seed", range(6))
def test_each_one_more_that_may_be_dropped_never_raises_it(seed):
    rng = random.Random(seed)
    on = random_board(rng)
    mix = random_mix(rng, on)
    least_j = [bound(mix, on.units, LADDER, seed=seed, a0=count) for count in range(4)]
    known_j = [one for one in least_j if one is not None]
    # Where so few may be dropped that no policy meets every slo, more may make it possible.
    assert least_j[len(least_j) - len(known_j) :] == known_j
    assert all(more <= less * (1 + 1e-9) for less, more in pairwise(known_j))


def test_more_room_never_raises_it():
    rng = random.Random(1)
    on = random_board(rng)
    apps = [app("a", hz=10.0, latency_ms=14.0, slo=0.9), app("b", hz=7.0, poisson=True, latency_ms=16.0, slo=0.8)]
    tight_j = bound(Mix("m", apps=apps, duration_s=3.0), on.units)
    looser = [replace(apps[0], latency_ms=20.0), replace(apps[1], slo=0.7)]
    loose_j = bound(Mix("m", apps=looser, duration_s=3.0), on.units)
    assert tight_j is not None
    assert loose_j is not None
    assert loose_j < tight_j
