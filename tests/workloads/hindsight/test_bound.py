"""The lower bound on energy is never above what a policy uses that meets every service-level objective."""

import random
from dataclasses import replace

import pytest

from actors.requests.draws import Draws
from helpers.hindsight_mixes import (
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
from scheduler.thermal import Thermal
from workloads import App, Mix, Saturate, at
from workloads.hindsight import lower_bound_j
from workloads.simulator import simulate

TEN_MS = profile(("net", 0.9, (10.0,)))
TWO_CLOCKS = unit(mhz=(500.0, 1000.0), static_w=(0.2, 0.5), dynamic_w=(0.5, 2.0))


def bound(mix, on, ladder=TEN_MS, seed=0):
    return lower_bound_j(planned(mix, board(*on) if isinstance(on, tuple) else board(on), ladder, seed=seed))


def one_second(*apps, events=()):
    return Mix("one-second", apps=apps, events=events, duration_s=1.0)


class TestByHand:
    def test_static_power_and_each_request_once(self):
        # Ten requests; that of 0.9 s is due at the very end, so it could be served after the run.
        assert bound(one_second(app(slo=1.0)), unit()) == pytest.approx(1.0 + 9 * 0.010 * 2)

    def test_the_slo_lets_the_rest_go(self):
        assert bound(one_second(app(slo=0.5)), unit()) == pytest.approx(1.0 + 4 * 0.010 * 2)

    def test_a_loose_target_is_met_at_the_cheapest_clock(self):
        # At 500 MHz a request takes 20 ms at 0.5 W.
        assert bound(one_second(app(slo=1.0)), TWO_CLOCKS) == pytest.approx(0.2 + 9 * 0.020 * 0.5)

    def test_a_tight_target_is_met_by_two_clocks_in_turns(self):
        # 5 ms at 1000 MHz and 10 ms at 500 MHz are 15 ms and cover 10 ms of work; at 500 MHz the unit rests.
        request_j = 0.005 * 2.0 + 0.010 * 0.5 + 0.005 * (0.5 - 0.2)
        assert bound(one_second(app(slo=1.0, latency_ms=15.0)), TWO_CLOCKS) == pytest.approx(0.2 + 10 * request_j)

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
        assert bound(mix, unit(), ladder, seed=3) == pytest.approx(1.0 + 2 * sum(drawn_ms[:6]) / 1000)

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


@pytest.mark.parametrize("seed", range(12))
def test_no_policy_that_meets_every_slo_goes_below(seed):
    rng = random.Random(seed)
    on = random_board(rng)
    mix = random_mix(rng, on)
    least_j = lower_bound_j(planned(mix, on, seed=seed))
    for policy in ("joint", "floor", "largest+schedutil", "floor+ondemand", "floor+powersave"):
        simulated = simulate(planned(mix, on, policy=policy, seed=seed), log=False)
        if meets_every_slo(simulated):
            assert least_j is not None
            assert least_j <= units_j(simulated) * (1 + 1e-9)


def test_more_room_never_raises_it():
    rng = random.Random(1)
    on = random_board(rng)
    apps = [app("a", hz=10.0, latency_ms=60.0, slo=0.9), app("b", hz=7.0, poisson=True, latency_ms=90.0, slo=0.8)]
    tight_j = bound(Mix("m", apps=apps, duration_s=3.0), on.units)
    looser = [replace(apps[0], latency_ms=80.0), replace(apps[1], slo=0.7)]
    loose_j = bound(Mix("m", apps=looser, duration_s=3.0), on.units)
    assert tight_j is not None
    assert loose_j is not None
    assert loose_j < tight_j
