"""A simulated server agrees with a naive oracle, the real worker and queueing theory."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.requests.queue import DROP_RULES
from actors.requests.records import Status
from helpers.naive_simulator import NaiveApp, simulate_naively
from helpers.shares import with_shares
from helpers.simulator_bench import AlertClock
from helpers.simulator_stage import CORES, ONE, UNIT, Stage, ends, make_profile, same
from helpers.sized import SizedNumbers, by_size
from helpers.tiny_networks import Numbers
from helpers.tiny_networks import board as tiny_board
from helpers.tiny_networks import profile as tiny_profile
from helpers.worker_rig import CPUS, LARGE, LITTLE, SMALL, WIDE, Rig
from scheduler.profile import Profile
from scheduler.request_clock import Pace
from workloads import App, Periodic, Poisson, Saturate
from workloads.mix.mix import Target
from workloads.simulator.server import SimulatedServer


@st.composite
def naive_apps(draw) -> list[NaiveApp]:
    """Some applications on common cores; times from a continuum, so that no two events are at one moment."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    apps = []
    for name in "abcd"[: draw(st.integers(1, 4))]:
        cores = draw(st.sets(st.integers(0, CORES - 1), min_size=1))
        apps.append(
            NaiveApp(
                name=name,
                arrivals_s=np.sort(random.uniform(0, 0.5, draw(st.integers(0, 25)))).tolist(),
                target_ms=random.uniform(5, 100),
                bound=draw(st.integers(1, 4)),
                drop=draw(st.sampled_from(DROP_RULES)),
                cores=frozenset(cores),
                services_ms=np.sort(random.uniform(2, 60, 5)).tolist(),
                sizes=draw(st.none() | st.lists(st.floats(0.2, 3), min_size=1, max_size=7)),
            )
        )
    return apps


def profile_of(app: NaiveApp) -> Profile:
    times = make_profile(tuple(app.services_ms))
    if app.sizes is None:
        return times
    # The times of the oracle are those of size 1, and `by_size` takes them for those of the mean size.
    mean = float(np.mean(app.sizes))
    return by_size(make_profile(tuple(mean * ms for ms in app.services_ms)), app.sizes, base_share=0.0)


class TestAgainstANaiveOracle:
    @settings(deadline=None, max_examples=100)
    @given(naive_apps(), st.integers(0, 5), st.sampled_from([0.3, 0.6, 9.0]))
    def test_every_request_of_every_app_ends_alike(self, apps, seed, end_s):
        closes_s = min(0.5, end_s - 0.1)  # arrivals end at 0.5 s; an earlier drain cuts some off
        stage = Stage(UNIT)
        stage.units["big"].set_clock(2000.0, None)
        stage.agenda.run(0.0)
        for app in apps:
            server = stage.server(
                app.arrivals_s,
                profile=profile_of(app),
                target_ms=app.target_ms,
                queue=app.bound,
                drop=app.drop,
                gear=replace(ONE, cores=len(app.cores)),
                cpus=tuple(sorted(app.cores)),
                seed=seed,
            )
            stage.at(closes_s, lambda server=server: server.drain(end_s))
        stage.agenda.run(10.0)
        simulate_naively(apps, seed=seed, closes_s=closes_s, until_s=end_s)
        for app, server in zip(apps, stage.servers, strict=True):
            assert ends(server) == {index: same(end) for index, end in app.ends.items()}


class TestAgainstTheWorker:
    @settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.integers(0, 2**32),
        st.lists(st.sampled_from([SMALL, LARGE, LITTLE, WIDE]), min_size=1, max_size=5),
        st.lists(st.tuples(st.sampled_from(["big", "little", "pair"]), st.sampled_from([500.0, 1000.0])), max_size=5),
        st.sampled_from(DROP_RULES),
        st.integers(1, 4),
        st.none() | st.lists(st.floats(0.2, 5), min_size=1, max_size=7),
        st.sampled_from([0.0, 0.1, 0.5]),
        st.lists(st.tuples(st.sampled_from(["big", "little", "pair"]), st.floats(1, 3)), max_size=3),
    )
    def test_the_same_arrivals_gears_clocks_noise_and_slowdowns_make_the_same_records(
        self, tmp_path_factory, seed, gears, clocks, drop, bound, sizes, noise, slowdowns
    ):
        random = np.random.default_rng(seed)
        arrivals_s = np.sort(random.uniform(0, 1, 25))
        samples_ms = tuple(np.sort(random.uniform(2, 30, 6)).tolist())
        times = tiny_profile(small_ms=samples_ms, large_ms=tuple(3 * ms for ms in samples_ms))
        times = with_shares(times, (None, random.uniform()))
        times = times if sizes is None else by_size(times, sizes)
        gear_times_s = [0.0, *np.sort(random.uniform(0, 1, len(gears) - 1))]
        clock_times_s = random.uniform(0, 1, len(clocks))
        slow_times_s = random.uniform(0, 1, len(slowdowns))
        rig = Rig(
            tmp_path_factory.mktemp("rig"),
            clock=AlertClock(),
            arrivals_s=arrivals_s,
            profile=times,
            source=Numbers() if sizes is None else SizedNumbers(sizes=tuple(sizes)),
            segments=((0.0, 60.0),),
            queue_bound=bound,
            drop=drop,
            seed=seed,
            noise=noise,
        )
        stage = Stage(*tiny_board().units)
        for unit in stage.units.values():
            unit.set_clock(1000.0, None)
        stage.agenda.run(0.0)
        server = stage.server(
            arrivals_s,
            profile=times,
            target_ms=60.0,
            queue=bound,
            drop=drop,
            seed=seed,
            noise=noise,
            gear=gears[0],
            cpus=CPUS[gears[0].unit],
        )
        rig.shift(gears[0])
        for plan, (at_s, gear) in enumerate(zip(gear_times_s[1:], gears[1:], strict=True), 1):
            rig.clock.script.append((at_s, lambda gear=gear, plan=plan: rig.shift(gear, plan)))
            stage.at(at_s, lambda gear=gear, plan=plan: server.activate(gear, CPUS[gear.unit], plan))
        for at_s, (unit, mhz) in zip(clock_times_s, clocks, strict=True):
            rig.clock.script.append((at_s, lambda unit=unit, mhz=mhz: rig.ledger.set_unit(unit, mhz=mhz)))
            stage.at(at_s, lambda unit=unit, mhz=mhz: stage.units[unit].set_clock(mhz, None))
        for at_s, (unit, slowdown) in zip(slow_times_s, slowdowns, strict=True):
            rig.clock.script.append((at_s, lambda unit=unit, slowdown=slowdown: rig.ledger.slow(unit, slowdown)))
            stage.at(at_s, lambda unit=unit, slowdown=slowdown: stage.units[unit].slow(slowdown))
        rig.run_until(9.0)
        stage.agenda.run(9.0)
        try:
            real, simulated = rig.ends, {int(row["index"]): row for row in server.records()}
            assert real.keys() == simulated.keys()
            for index, row in real.items():
                for name in ("status", "subnet", "unit", "cores"):
                    assert simulated[index][name] == row[name]
                for name in ("arrival_s", "start_s", "end_s", "target_ms", "service_ms"):
                    assert simulated[index][name] == pytest.approx(row[name], abs=1e-5, nan_ok=True)
            told, reported = server.telemetry(), rig.telemetry()
            for name in ("arrived", "finished", "on_time"):
                assert getattr(told, name) == getattr(reported, name)
            assert (told.service_ratio is None) == (reported.service_ratio is None)
            if told.service_ratio is not None:
                assert told.service_ratio == pytest.approx(reported.service_ratio, abs=1e-6)
        finally:
            rig.worker.stop()
            rig.ledger.close()

    def test_a_request_s_own_clock_is_that_for_its_size(self, tmp_path):
        """Within 60 ms, one of twice the mean size needs the top clock, and the others half of it."""
        sizes = (0.2, 2.0, 0.5, 1.0)
        times = by_size(tiny_profile(small_ms=(9.0, 10.0, 11.0)), sizes)
        rule = Pace(rest_mhz=500.0, least_mhz=500.0, share=0.975)
        arrivals_s = np.arange(1, 9) * 0.2
        rig = Rig(
            tmp_path,
            clock=AlertClock(),
            arrivals_s=arrivals_s,
            profile=times,
            source=SizedNumbers(sizes=sizes),
            segments=((0.0, 60.0),),
        )
        rig.ledger.pace("big", 1000.0, {0: rule})
        stage = Stage(*tiny_board().units)
        stage.units["big"].set_clock(1000.0, None, paces={0: rule})
        stage.agenda.run(0.0)
        server = stage.server(arrivals_s, profile=times, target_ms=60.0, gear=SMALL)
        rig.shift(SMALL)
        rig.run_until(9.0)
        stage.agenda.run(9.0)
        try:
            ends_s = [float(row["end_s"]) for row in rig.ends.values()]
            assert [end_s for _, _, end_s in ends(server).values()] == pytest.approx(ends_s, abs=1e-6)
        finally:
            rig.worker.stop()
            rig.ledger.close()
        # The board's core has half the speed: twice the time at the top clock, and four times at half of it.
        drawn_ms = [end_s - arrival_s for end_s, arrival_s in zip(ends_s, arrivals_s, strict=True)]
        expected_ms = [times.service("small", "cpu", 1).expected_ms(sizes[index % 4]) for index in range(8)]
        stretch = [1000 * drawn / expected for drawn, expected in zip(drawn_ms, expected_ms, strict=True)]
        assert stretch == pytest.approx([4, 2, 4, 4] * 2, rel=0.12)


class TestQueueingTheory:
    @pytest.mark.parametrize("samples_ms", [(7.0,), (1.0, 1.0, 1.0, 25.0)], ids=["constant", "varied"])
    def test_the_mean_wait_of_poisson_arrivals_is_that_of_pollaczek_and_khinchine(self, samples_ms):
        hz, count = 100.0, 20_000
        arrivals_s = Poisson(hz=hz).times_s(count / hz, np.random.default_rng(5))
        stage = Stage(replace(UNIT, mhz=(1000.0,)))
        server = stage.server(arrivals_s, samples_ms=samples_ms, queue=10**6, drop="newest")
        stage.agenda.run(math.inf)
        records = server.records()
        waits_ms = 1e3 * (records["start_s"] - records["arrival_s"])
        batches_ms = [batch.mean() for batch in np.array_split(waits_ms, 25)]
        spread_ms = np.std(batches_ms, ddof=1) / np.sqrt(len(batches_ms))
        load = hz * np.mean(samples_ms) / 1e3
        expected_ms = hz * np.mean(np.square(samples_ms)) / 1e3 / (2 * (1 - load))
        assert len(records) == len(arrivals_s)
        assert abs(waits_ms.mean() - expected_ms) < 3 * spread_ms
        assert 3 * spread_ms < 0.25 * expected_ms  # else it would say nothing


class TestGearsAndEnds:
    def test_a_request_ends_in_the_gear_in_which_it_began(self):
        stage = Stage(UNIT)
        server = stage.server([0.0, 0.001], gear=ONE, cpus=(0,))
        stage.at(0.005, lambda: server.activate(ONE, (1,), 1))
        stage.agenda.run(1.0)
        assert stage.units["big"].core_busy_s() == pytest.approx([0.020, 0.020, 0.0])

    def test_one_that_waits_for_cores_moves_to_those_of_the_new_gear(self):
        stage = Stage(UNIT)
        stage.server([0.0], samples_ms=(50.0,))
        waits = stage.server([0.010])
        stage.at(0.030, lambda: waits.activate(ONE, (1,), 1))
        stage.agenda.run(1.0)
        assert ends(waits)[0] == same((Status.COMPLETED, 0.030, 0.050))

    def test_nothing_is_served_before_the_first_gear(self):
        stage = Stage(UNIT)
        server = stage.server([0.0], from_s=0.0)
        idle = SimulatedServer(
            App("z", "net", Periodic(hz=1), latency_ms=50),
            slot=5,
            profile=make_profile((10.0,)),
            targets=(Target(from_s=0.0, latency_ms=50.0, min_accuracy=0.0, weight=1.0, slo=0.95),),
            arrivals_s=np.array([0.1, 0.12]),
            until_s=9.0,
            seed=0,
            noise=0.0,
            wake_ms=0.0,
            units=stage.units,
            agenda=stage.agenda,
        )
        stage.at(0.160, lambda: idle.activate(ONE, (0,), 0))
        stage.agenda.run(1.0)
        assert ends(server)[0][0] == Status.COMPLETED
        assert ends(idle) == {
            0: same((Status.DROPPED, math.nan, 0.150)),
            1: same((Status.COMPLETED, 0.160, 0.180)),
        }

    def test_what_has_not_ended_by_the_end_of_the_drain_has_no_end_and_frees_its_core(self):
        stage = Stage(UNIT)
        server = stage.server([0.0, 0.010, 0.050, 0.200], samples_ms=(40.0,))
        stage.at(0.100, lambda: server.drain(0.120))
        stage.agenda.run(1.0)
        assert ends(server) == {0: same((Status.COMPLETED, 0.0, 0.080))}
        assert stage.units["big"].core_busy_s()[0] == pytest.approx(0.120)

    def test_a_waiting_request_of_a_drained_app_leaves_the_queue_for_cores(self):
        stage = Stage(UNIT)
        stage.server([0.0], samples_ms=(50.0,))
        gone = stage.server([0.001], target_ms=500.0)
        last = stage.server([0.002], target_ms=900.0)
        stage.at(0.010, lambda: gone.drain(0.020))
        stage.agenda.run(1.0)
        assert ends(gone) == {}
        assert ends(last)[0] == same((Status.COMPLETED, 0.100, 0.120))

    def test_a_closed_loop_asks_again_as_soon_as_it_is_served_and_only_in_its_time(self):
        stage = Stage(UNIT)
        server = stage.server([], arrivals=Saturate(), from_s=0.100, until_s=0.175)
        stage.agenda.run(1.0)
        arrivals_s = [float(row["arrival_s"]) for row in server.records() if row["status"] == Status.ARRIVED]
        assert arrivals_s == pytest.approx([0.100, 0.120, 0.140, 0.160], abs=1e-7)
        assert [end_s for _, _, end_s in ends(server).values()] == pytest.approx([0.120, 0.140, 0.160, 0.180], abs=1e-7)


class TestWakingUp:
    def test_an_idle_worker_asks_for_cores_between_half_and_one_and_a_half_of_it_later(self):
        stage = Stage(UNIT)
        server = stage.server(np.arange(1, 201) * 0.1, wake_ms=4.0)
        stage.agenda.run(math.inf)
        records = server.records()
        late_ms = 1e3 * (records["start_s"] - records["arrival_s"])
        assert 2.0 <= late_ms.min() < 2.2
        assert 5.8 < late_ms.max() <= 6.0
        assert late_ms.mean() == pytest.approx(4.0, abs=0.3)

    @pytest.mark.parametrize("seen_by_telemetry", [False, True])
    def test_an_arrival_that_nobody_has_seen_yet_still_pushes_out_the_one_that_waits(self, seen_by_telemetry):
        stage = Stage(UNIT)
        stage.server([0.0], samples_ms=(10.0,))  # has the core until 20 ms
        server = stage.server([0.001, 0.0199], queue=1, drop="oldest", wake_ms=1.0)
        if seen_by_telemetry:
            stage.at(0.01995, server.telemetry)
        stage.agenda.run(1.0)
        status, _, end_s = ends(server)[0]
        assert (status, end_s) == (Status.DROPPED, 0.0199)
        status, start_s, _ = ends(server)[1]
        assert status == Status.COMPLETED
        assert 0.0200 <= start_s <= 0.0215

    def test_one_that_became_too_late_by_telemetry_is_not_served(self):
        stage = Stage(UNIT)
        stage.server([0.0], samples_ms=(10.0,))
        server = stage.server([0.001], target_ms=19.0)
        stage.at(0.020, server.telemetry)  # at that very moment the core comes free, and the deadline passes
        stage.agenda.run(1.0)
        assert ends(server)[0] == same((Status.DROPPED, math.nan, 0.020))


class TestTelemetry:
    def test_it_tells_what_happened_since_the_last_time(self):
        stage = Stage(UNIT)
        server = stage.server([0.0, 0.001, 0.002, 0.003], samples_ms=(10.0,), target_ms=30.0, queue=2)
        stage.agenda.run(0.030)
        first = server.telemetry()
        assert (first.arrived, first.finished, first.on_time, first.queue_len) == (4, 2, 1, 1)
        assert first.latencies_ms == pytest.approx((20.0,))
        assert first.service_ratio == pytest.approx(1.0)
        assert (first.gear, first.plan) == (ONE, 0)
        stage.agenda.run(1.0)
        then = server.telemetry()
        assert (then.arrived, then.finished, then.on_time, then.queue_len) == (0, 2, 0, 0)
