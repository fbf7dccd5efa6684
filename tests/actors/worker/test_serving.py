"""A worker serves requests: by its schedule, for clients, in a closed loop, and although some of them fail."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from actors.clock import BoardClock
from actors.requests.records import Status
from actors.worker.gearbox import Form
from actors.worker.results import RequestDroppedError, RequestFailedError, WorkerClosedError
from helpers.sized import SizedNumbers, by_size
from helpers.tiny_networks import Numbers, profile
from helpers.virtual_clock import ScriptedClock
from helpers.worker_rig import LARGE, PATIENCE_S, SMALL, WIDE, Rig


def faults(one: Rig) -> list[tuple[str, str, int, int]]:
    """Return what went wrong with requests so far: where, the error, how often, and to which request first."""
    return [(fault.where, fault.text, fault.times, fault.first) for fault in one.worker.totals().faults]


class TestService:
    def test_latency_counts_from_the_scheduled_arrival_through_the_queue(self, rig):
        one = rig(arrivals_s=[0.100, 0.105, 0.300])
        one.shift(SMALL)
        one.run_until(1)
        starts = [one.ends[index]["start_s"] for index in range(3)]
        ends = [one.ends[index]["end_s"] for index in range(3)]
        assert starts == pytest.approx([0.100, 0.120, 0.300])
        assert ends == pytest.approx([0.120, 0.140, 0.320])
        assert [one.ends[index]["service_ms"] for index in range(3)] == pytest.approx([20.0] * 3)
        assert [one.ends[index]["arrival_s"] for index in range(3)] == [0.100, 0.105, 0.300]

    def test_a_late_worker_does_not_thin_out_the_load(self, rig):
        one = rig(arrivals_s=[0.1, 0.2, 0.3])
        one.shift(SMALL)
        one.clock.sleep_until(0.5)  # a stall
        one.run_until(1)
        latencies_ms = [1000 * (row["end_s"] - row["arrival_s"]) for row in one.ends.values()]
        assert latencies_ms == pytest.approx([420, 340, 260])

    def test_a_change_of_clock_acts_in_mid_request(self, rig):
        one = rig(arrivals_s=[1.0])
        one.shift(LARGE)
        one.clock.script.append((1.040, lambda: one.ledger.set_unit("big", mhz=500.0)))
        one.run_until(2)
        # 20 of the 40 profiled ms at speed 0.5, the other 20 at half the clock.
        assert one.ends[0]["end_s"] == pytest.approx(1.120)

    def test_more_cores_and_their_threads(self, rig):
        one = rig(arrivals_s=[0.0, 0.0])
        one.shift(WIDE)
        busy_s = [one.ledger.read("pair").busy_s]
        one.run_until(1)
        busy_s.append(one.ledger.read("pair").busy_s)
        assert [row["cores"] for row in one.ends.values()] == [2, 2]
        assert one.ends[1]["end_s"] == pytest.approx(0.020)
        assert np.subtract(busy_s[1], busy_s[0]) == pytest.approx([0.020, 0.020])
        assert one.worker.status().prepared == (Form("small", "cpu", 2),)

    def test_draws_depend_on_the_request_and_not_on_the_gear(self, tmp_path):
        samples_ms = tuple(float(value) for value in range(1, 11))
        services_ms = {}
        for gear in (SMALL, LARGE):
            directory = tmp_path / gear.subnet
            directory.mkdir()
            one = Rig(
                directory,
                arrivals_s=np.arange(20),
                profile=profile(small_ms=samples_ms, large_ms=tuple(10 * value for value in samples_ms)),
            )
            one.shift(gear)
            one.run_until(30)
            services_ms[gear] = [row["service_ms"] for row in one.ends.values()]
            one.worker.stop()
        assert np.array(services_ms[LARGE]) == pytest.approx(10 * np.array(services_ms[SMALL]))
        assert len(set(np.round(services_ms[SMALL], 6))) > 5

    def test_on_a_fixed_unit_the_service_is_what_it_took(self, rig):
        one = rig(arrivals_s=[0.5], dvfs="fixed")
        one.shift(SMALL)
        one.run_until(1)
        assert one.ends[0]["service_ms"] == 0.0  # nothing passes virtual time
        assert one.ends[0]["status"] == Status.COMPLETED

    def test_records_say_what_served_and_whether_it_was_right(self, rig):
        one = rig(arrivals_s=[0.1, 0.2, 0.3], segments=((0.0, 900.0), (0.25, 30.0)), source=Numbers(unlabelled={2}))
        one.shift(SMALL)
        one.clock.script.append((0.15, lambda: one.shift(LARGE, plan=1)))
        one.run_until(1)
        rows = one.ends
        np.testing.assert_equal([rows[index]["credit"] for index in range(3)], [1.0, 0.0, np.nan])
        assert [rows[index]["subnet"] for index in range(3)] == [0, 1, 1]
        assert [rows[index]["unit"] for index in range(3)] == [0, 0, 0]
        assert [rows[index]["target_ms"] for index in range(3)] == [900.0, 900.0, 30.0]
        assert faults(one) == [("score", "LookupError: request 2 has no label", 1, 2)]

    def test_tokens_are_free_again_after_each_request(self, rig):
        one = rig(arrivals_s=[0.0, 0.01, 0.02], source=Numbers(broken={1}))
        one.shift(SMALL)
        one.run_until(1)
        lease = one.ledger.take(1, "big", (0,), 2.0, give_up=lambda: True)
        assert lease is not None
        assert one.ledger.read("big").busy_s[0] == pytest.approx(0.040)


class TestSizes:
    """Times are 3 ms and 7 ms for each unit of size on the profiled core: the board's takes twice as long."""

    SIZES = (1.0, 2.0, 0.5, 10.0)
    PROFILE = by_size(profile(small_ms=(10.0,)), SIZES, base_share=0.3)

    def expected_ms(self, size: float) -> float:
        return self.PROFILE.service("small", "cpu", 1).expected_ms(size)

    def test_an_emulated_request_takes_the_time_of_its_size(self, rig):
        one = rig(arrivals_s=np.arange(6), profile=self.PROFILE, source=SizedNumbers(sizes=self.SIZES))
        one.shift(SMALL)
        one.run_until(10)
        expected_ms = [2 * self.expected_ms(self.SIZES[index % 4]) for index in range(6)]
        assert [one.ends[index]["service_ms"] for index in range(6)] == pytest.approx(expected_ms)
        assert len(set(expected_ms)) == 4
        assert one.telemetry().service_ratio == pytest.approx(1.0)

    def test_a_client_s_request_has_the_size_of_its_payload(self, rig):
        one = rig(profile=self.PROFILE, source=SizedNumbers(sizes=self.SIZES), clock=ScriptedClock(2.0))
        one.shift(SMALL)
        future = one.worker.submit(np.full(3, 3))
        one.run_until(3)
        assert future.result(0).latency_ms == pytest.approx(2 * self.expected_ms(10.0))

    def test_one_too_large_to_be_on_time_is_given_up_when_it_would_be_served(self, rig):
        """One of size 10 takes 47 ms and one of size 2 14 ms: within 40 ms two of these are done, and none of those."""
        one = rig(
            arrivals_s=[0.0, 0.0, 0.0, 0.1],
            profile=self.PROFILE,
            source=SizedNumbers(sizes=(10.0, 2.0, 2.0, 10.0)),
            segments=((0.0, 40.0),),
        )
        one.shift(SMALL)
        client = [one.worker.submit(np.zeros(1))]
        one.run_until(1)
        assert one.statuses() == {**dict.fromkeys((0, 3, 4), Status.DROPPED), **dict.fromkeys((1, 2), Status.COMPLETED)}
        service_s = 2 * self.expected_ms(2.0) / 1000
        ended_s = [0.0, service_s, 2 * service_s, 0.1, 2 * service_s]
        assert [one.ends[index]["end_s"] for index in range(5)] == pytest.approx(ended_s)
        assert one.ledger.read("big").busy_s == pytest.approx((2 * service_s,))
        assert one.telemetry().finished == 5
        with pytest.raises(RequestDroppedError):
            client[0].result(0)

    def test_a_closed_loop_serves_even_those_too_large_to_be_on_time(self, rig):
        sizes = (10.0, 2.0)
        source = SizedNumbers(sizes=sizes)
        one = rig(saturate=True, segments=((0.0, 40.0),), until_s=0.3, profile=self.PROFILE, source=source)
        one.shift(SMALL)
        one.run_until(1)
        assert set(one.statuses().values()) == {Status.COMPLETED}
        services_ms = [2 * self.expected_ms(sizes[index % 2]) for index in one.ends]
        assert [row["service_ms"] for row in one.ends.values()] == pytest.approx(services_ms)

    @pytest.mark.parametrize("size", [0.0, -1.0, float("nan"), float("inf")])
    def test_a_size_that_is_none_costs_its_request_only(self, rig, size):
        one = rig(arrivals_s=[0.1, 0.2], profile=self.PROFILE, source=SizedNumbers(sizes=(1.0, size)))
        one.shift(SMALL)
        one.run_until(1)
        assert one.statuses() == {0: Status.COMPLETED, 1: Status.FAILED}
        assert faults(one) == [
            ("source", f"ValueError: the size is {size}; it must be a finite number above 0", 1, 1),
        ]

    @pytest.mark.parametrize("twice", [True, False])
    def test_on_a_fixed_unit_time_is_judged_by_the_work_that_was_done(self, rig, twice):
        """A request of size 10 takes as long as one of size 20, for twice the work, or because something is wrong."""
        one = rig(
            dvfs="fixed",
            profile=self.PROFILE,
            source=SizedNumbers(sizes=self.SIZES, work_of=(lambda _: 20.0) if twice else None),
        )
        one.shift(SMALL)
        engaged = one.worker._engaged

        def run(x, stop):
            one.clock.sleep_until(one.clock.now_s() + 2 * self.expected_ms(20.0) / 1000)
            return engaged.ready.run(x)

        one.worker._engaged = replace(engaged, ready=replace(engaged.ready, run=run))
        one.worker.submit(np.full(3, 3))
        one.run_until(1)
        ratio = 1.0 if twice else self.expected_ms(20.0) / self.expected_ms(10.0)
        assert one.telemetry().service_ratio == pytest.approx(ratio)

    def test_work_that_is_none_is_reported_and_the_size_counts(self, rig):
        one = rig(
            arrivals_s=[0.5],
            dvfs="fixed",
            profile=self.PROFILE,
            source=SizedNumbers(sizes=self.SIZES, work_of=lambda _: 0.0),
        )
        one.shift(SMALL)
        one.run_until(1)
        assert one.statuses() == {0: Status.COMPLETED}
        assert faults(one) == [("work", "ValueError: the work is 0.0; it must be a finite number above 0", 1, 0)]

    def test_only_a_request_larger_than_all_profiled_may_hold_its_cores_for_longer(self, rig):
        one = rig(profile=self.PROFILE, source=SizedNumbers(sizes=self.SIZES))
        one.shift(SMALL)
        engaged = one.worker._engaged
        assert engaged.most_ms(0.5, 1.0) == engaged.most_ms(10.0, 1.0) == pytest.approx(self.expected_ms(10.0))
        assert engaged.most_ms(50.0, 1.0) == pytest.approx(self.expected_ms(50.0))

    @pytest.mark.parametrize(("noise", "longer"), [(0.5, 1.0), (1.0, 1.0), (3.0, 3.0)])
    def test_noise_makes_the_bound_on_holding_cores_longer_and_never_shorter(self, rig, noise, longer):
        one = rig(profile=self.PROFILE, source=SizedNumbers(sizes=self.SIZES))
        one.shift(SMALL)
        assert one.worker._engaged.most_ms(10.0, noise) == pytest.approx(longer * self.expected_ms(10.0))


class TestFailures:
    def test_a_request_that_raises_costs_itself_only(self, rig):
        one = rig(arrivals_s=[0.1, 0.2, 0.3], source=Numbers(broken={1}))
        one.shift(SMALL)
        one.run_until(1)
        assert one.statuses() == {0: Status.COMPLETED, 1: Status.FAILED, 2: Status.COMPLETED}
        assert one.ends[1]["subnet"] == 0
        ((where, text, times, first),) = faults(one)
        assert (where, times, first) == ("network", 1, 1)
        assert "InvalidArgument" in text
        assert one.telemetry().finished == 3

    def test_what_on_result_raises_is_reported_and_the_result_stands(self, rig):
        seen = []

        def on_result(request, output):
            seen.append((request.index, float(output[0])))
            raise RuntimeError("full disk")

        one = rig(arrivals_s=[0.1, 0.2], on_result=on_result)
        one.shift(LARGE)
        one.run_until(1)
        assert seen == [(0, 0.0), (1, 2.0)]
        assert faults(one) == [("on_result", "RuntimeError: full disk", 2, 0)]
        assert set(one.statuses().values()) == {Status.COMPLETED}

    def test_a_fault_of_the_worker_itself_is_raised_by_telemetry(self, rig, monkeypatch):
        one = rig(clock=BoardClock(time.monotonic()))
        one.shift(SMALL)

        def broken(*_args, **_more):
            raise OSError("no ledger")

        monkeypatch.setattr(one.worker._ledger, "take", broken)
        one.worker.start()
        future = one.worker.submit(np.ones(1))
        with pytest.raises(WorkerClosedError, match="ended before"):
            future.result(PATIENCE_S)
        assert one.worker.join(PATIENCE_S)
        with pytest.raises(WorkerClosedError, match="OSError: no ledger"):
            one.telemetry()


class TestClients:
    def test_a_picture_becomes_a_result(self, rig):
        one = rig(clock=ScriptedClock(2.0))
        one.shift(LARGE)
        future = one.worker.submit(np.full(3, 4))
        one.run_until(3)
        result = future.result(0)
        assert result.output.tolist() == [8.0]
        assert (result.subnet, result.latency_ms) == ("large", pytest.approx(80.0))
        assert [Status(row["status"]) for row in one.records] == [Status.ARRIVED, Status.COMPLETED]
        assert np.isnan(one.ends[0]["credit"])

    def test_a_bad_picture_fails_with_the_reason(self, rig):
        class Picky(Numbers):
            def adapt(self, picture, artifact):
                raise ValueError("not a picture")

        one = rig(source=Picky())
        one.shift(SMALL)
        future = one.worker.submit(np.zeros(1))
        one.run_until(1)
        with pytest.raises(RequestFailedError, match="ValueError: not a picture"):
            future.result(0)

    def test_a_dropped_request_says_so(self, rig):
        one = rig(queue_bound=1, drop="newest")
        kept, turned_away = one.worker.submit(np.zeros(1)), one.worker.submit(np.zeros(1))
        with pytest.raises(RequestDroppedError):
            turned_away.result(0)
        one.shift(SMALL)
        one.run_until(1)
        assert kept.result(0).subnet == "small"
        assert one.statuses() == {0: Status.COMPLETED, 1: Status.DROPPED}

    def test_after_its_presence_and_after_draining_none_is_taken(self, rig):
        one = rig(until_s=5.0)
        one.worker.submit(np.zeros(1))
        one.clock.sleep_until(5.0)
        with pytest.raises(WorkerClosedError):
            one.worker.submit(np.zeros(1))
        other = rig(records_path=str(Path(one.spec.records_path).with_name("other")))
        waiting = other.worker.submit(np.zeros(1))
        other.finish(drain_s=1.0)
        with pytest.raises(WorkerClosedError):
            other.worker.submit(np.zeros(1))
        with pytest.raises(WorkerClosedError, match="ended before"):
            waiting.result(0)

    def test_a_client_that_went_away_harms_nothing(self, rig):
        one = rig()
        one.shift(SMALL)
        one.worker.submit(np.zeros(1)).cancel()
        stays = one.worker.submit(np.zeros(1))
        one.run_until(1)
        assert stays.done()
        assert set(one.statuses().values()) == {Status.COMPLETED}


class TestClosedLoop:
    def test_the_next_request_arrives_when_the_last_has_ended(self, rig):
        one = rig(saturate=True, segments=((1.0, 100.0),), until_s=1.2)
        one.shift(SMALL)
        one.run_until(2)
        ends = one.ends
        assert len(ends) == 10
        assert [ends[index]["arrival_s"] for index in range(10)] == pytest.approx(np.arange(10) * 0.02 + 1)
        assert [ends[index]["start_s"] for index in range(10)] == [ends[index]["arrival_s"] for index in range(10)]
        assert Counter(Status(row["status"]) for row in one.records)[Status.ARRIVED] == 10
