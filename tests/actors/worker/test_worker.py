"""The worker on a real ledger with real networks: stepped through virtual time, and run on threads and processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.clock import BoardClock
from actors.executor.server import Executor, ExecutorServer
from actors.requests.queue import DROP_RULES
from actors.requests.records import RECORD, Status, read_records
from actors.worker.gearbox import Form, GearboxError
from actors.worker.serving import RequestDroppedError, RequestFailedError, WorkerClosedError
from helpers.tiny_networks import Numbers, board, gpu_times, profile, with_gpu
from helpers.worker_rig import LARGE, LITTLE, SMALL, WIDE, Rig, ScriptedClock, serve_until_killed
from scheduler.views import Gear
from supernets import engines

PATIENCE_S = 60  # the machine may stall; a test that is right never waits so long


@pytest.fixture
def rig(tmp_path):
    made = []

    def make(**facts):
        made.append(Rig(tmp_path, **facts))
        return made[-1]

    yield make
    for one in made:
        one.worker.stop()
        one.ledger.close()


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
        assert [rows[index]["correct"] for index in range(3)] == [1, 0, -1]
        assert [rows[index]["subnet"] for index in range(3)] == [0, 1, 1]
        assert [rows[index]["unit"] for index in range(3)] == [0, 0, 0]
        assert [rows[index]["target_ms"] for index in range(3)] == [900.0, 900.0, 30.0]
        assert one.worker.errors() == {"LookupError: request 2 has no label": 1}

    def test_tokens_are_free_again_after_each_request(self, rig):
        one = rig(arrivals_s=[0.0, 0.01, 0.02], source=Numbers(broken={1}))
        one.shift(SMALL)
        one.run_until(1)
        lease = one.ledger.take(1, "big", (0,), 2.0, give_up=lambda: True)
        assert lease is not None
        assert one.ledger.read("big").busy_s[0] == pytest.approx(0.040)


class TestFailures:
    def test_a_request_that_raises_costs_itself_only(self, rig):
        one = rig(arrivals_s=[0.1, 0.2, 0.3], source=Numbers(broken={1}))
        one.shift(SMALL)
        one.run_until(1)
        assert one.statuses() == {0: Status.COMPLETED, 1: Status.FAILED, 2: Status.COMPLETED}
        assert one.ends[1]["subnet"] == 0
        errors = one.worker.errors()
        assert list(errors.values()) == [1]
        assert "InvalidArgument" in next(iter(errors))
        assert one.worker.errors() == {}
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
        assert one.worker.errors() == {"RuntimeError: full disk": 2}
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


class TestGears:
    def test_a_request_in_flight_ends_in_its_old_gear_and_the_next_runs_in_the_new(self, rig):
        one = rig(arrivals_s=[1.00, 1.01])
        one.shift(LARGE)
        one.prepare(LITTLE, plan=1)
        acks = []
        one.clock.script.append((1.04, lambda: acks.append((one.activate(LITTLE, plan=1), one.clock.now_s()))))
        one.run_until(2)
        ((ack, acked_s),) = acks
        assert (ack.gear, ack.plan, acked_s) == (LITTLE, 1, 1.04)
        assert one.ends[0]["end_s"] == pytest.approx(1.08)
        assert [(row["subnet"], row["unit"]) for row in one.ends.values()] == [(1, 0), (0, 1)]
        assert one.ends[1]["start_s"] == pytest.approx(1.08)

    def test_older_epochs_are_told_what_is_in_force(self, rig):
        one = rig()
        one.shift(SMALL, plan=5)
        one.prepare(LARGE, plan=6)
        ack = one.activate(LARGE, plan=4)
        assert (ack.gear, ack.plan) == (SMALL, 5)
        assert one.prepare(SMALL, plan=4).plan == 6
        assert one.telemetry().plan == 5

    def test_activating_again_changes_nothing(self, rig):
        one = rig()
        assert one.shift(SMALL, plan=1) == one.activate(SMALL, plan=1)
        assert one.worker.status().switch_ms == ()
        one.shift(LARGE, plan=2)
        one.activate(LARGE, plan=3)
        assert one.worker.status().switch_ms == (0.0,)
        assert one.worker.status().plan == 3

    def test_a_change_between_getting_cores_and_beginning_gives_the_cores_back(self, rig, monkeypatch):
        one = rig(arrivals_s=[0.1])
        one.shift(LARGE)
        one.prepare(LITTLE, plan=1)
        take = one.worker._ledger.take

        def taken_just_before_a_change(*asked, **more):
            lease = take(*asked, **more)
            one.activate(LITTLE, plan=1)
            monkeypatch.undo()
            return lease

        monkeypatch.setattr(one.worker._ledger, "take", taken_just_before_a_change)
        one.run_until(1)
        assert [(row["subnet"], row["unit"]) for row in one.ends.values()] == [(0, 1)]
        assert one.ledger.read("big").busy_s == (0.0,)

    def test_a_request_pushed_out_while_it_waited_for_cores_is_not_served(self, rig, monkeypatch):
        one = rig(queue_bound=1, drop="oldest")
        one.shift(SMALL)
        futures = [one.worker.submit(np.zeros(1))]
        take = one.worker._ledger.take

        def taken_just_after_a_newcomer(*asked, **more):
            futures.append(one.worker.submit(np.zeros(1)))
            monkeypatch.undo()
            return take(*asked, **more)

        monkeypatch.setattr(one.worker._ledger, "take", taken_just_after_a_newcomer)
        one.run_until(1)
        assert one.statuses() == {0: Status.DROPPED, 1: Status.COMPLETED}
        assert futures[1].result(0).subnet == "small"
        with pytest.raises(RequestDroppedError):
            futures[0].result(0)

    @pytest.mark.parametrize(
        ("gear", "cpus", "error", "reason"),
        [
            (LARGE, (0,), GearboxError, "large on 1 threads must be prepared"),
            (SMALL, (1,), ValueError, r"cpus \(1,\) are not those of"),
            (SMALL, (0, 0), ValueError, r"cpus \(0, 0\) are not those of"),
            (Gear(subnet="small", unit="npu", cores=1), (0,), ValueError, "npu"),
            (Gear(subnet="small", unit="pair", cores=3), (0, 1, 2), ValueError, "not in the profile"),
        ],
    )
    def test_a_gear_that_cannot_be_engaged_leaves_the_old_one(self, rig, gear, cpus, error, reason):
        one = rig(arrivals_s=[0.1])
        one.shift(SMALL)
        with pytest.raises(error, match=reason):
            one.activate(gear, plan=1, cpus=cpus)
        assert one.worker.status().gear == SMALL
        one.run_until(1)
        assert one.statuses() == {0: Status.COMPLETED}

    def test_before_the_first_gear_requests_wait_within_the_bound(self, rig):
        one = rig(arrivals_s=[0.1, 0.2, 0.3, 0.4], queue_bound=2, drop="oldest")
        one.run_until(0.5)
        assert one.statuses() == {0: Status.DROPPED, 1: Status.DROPPED}
        telemetry = one.telemetry()
        assert (telemetry.arrived, telemetry.finished, telemetry.queue_len) == (4, 2, 2)
        assert (telemetry.gear, telemetry.plan, telemetry.service_ratio) == (None, -1, None)
        one.shift(SMALL)
        one.run_until(1)
        assert one.statuses()[2] == one.statuses()[3] == Status.COMPLETED
        assert one.ends[2]["start_s"] == pytest.approx(0.5)


class TestTelemetry:
    def test_says_what_happened_since_the_last_call(self, rig):
        one = rig(arrivals_s=[0.10, 0.11, 0.12], segments=((0.0, 45.0),), drop="oldest")
        one.shift(SMALL, plan=3)
        one.run_until(0.13)  # the second is begun by then, and runs to 0.14
        first = one.telemetry()
        one.run_until(1)
        second = one.telemetry()
        assert (first.arrived, first.finished, first.on_time, first.queue_len) == (3, 2, 2, 1)
        assert first.latencies_ms == pytest.approx((20, 30))
        assert (second.finished, second.on_time) == (1, 1)
        assert second.latencies_ms == pytest.approx((40,))
        assert [first.service_ratio, second.service_ratio] == pytest.approx([1.0, 1.0])
        assert (second.arrived, second.queue_len, second.gear, second.plan) == (0, 0, SMALL, 3)
        assert one.telemetry().service_ratio is None

    def test_late_dropped_and_failed_are_not_on_time(self, rig):
        one = rig(arrivals_s=[0.0, 0.001, 0.002, 0.5], segments=((0.0, 30.0),), source=Numbers(broken={3}))
        one.shift(SMALL)
        one.run_until(1)
        telemetry = one.telemetry()
        assert one.statuses() == {
            0: Status.COMPLETED,
            1: Status.COMPLETED,  # begun in time, ended at 40 ms
            2: Status.DROPPED,
            3: Status.FAILED,
        }
        assert (telemetry.finished, telemetry.on_time) == (4, 1)

    def test_the_service_ratio_shows_a_slower_inference(self, rig):
        one = rig(arrivals_s=[0.0], profile=profile(small_ms=(5.0, 5.0, 5.0, 25.0)))
        one.shift(SMALL)
        one.run_until(1)
        service_ms = one.ends[0]["service_ms"]
        assert one.telemetry().service_ratio == pytest.approx(service_ms * 0.5 / 10.0)

    def test_the_service_ratio_allows_for_the_clock_and_other_load(self, rig):
        one = rig(arrivals_s=[0.0])
        one.ledger.set_unit("big", mhz=500.0, other_load=0.5)
        one.shift(SMALL)
        one.run_until(1)
        assert one.ends[0]["service_ms"] == pytest.approx(80.0)
        assert one.telemetry().service_ratio == pytest.approx(1.0)


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
        assert one.ends[0]["correct"] == -1

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


class TestEnd:
    def test_draining_serves_what_waits_and_closes_the_door(self, rig):
        one = rig(arrivals_s=[0.10, 0.11, 0.12, 0.15])
        one.shift(SMALL)
        one.run_until(0.13)  # the second is begun by then, and the third waits until 0.14
        one.finish(drain_s=2.0)
        assert one.statuses() == dict.fromkeys(range(3), Status.COMPLETED)

    def test_what_is_left_at_the_end_of_the_drain_has_no_record(self, rig):
        one = rig(arrivals_s=[0.10, 0.11, 0.12])
        one.shift(LARGE)
        one.clock.script.append((0.15, lambda: closed.append(one.worker.drain(0.20))))
        closed = []
        one.run_until(1)
        # The second was being served at 0.20; the third never began.
        assert one.statuses() == {0: Status.COMPLETED}
        assert closed == [0.15]
        assert one.worker.drain(9.0) == 0.15
        assert one.clock.now_s() < 0.21
        assert not one.worker.status().serving

    def test_a_drain_without_a_gear_ends_in_time(self, rig):
        one = rig(arrivals_s=[0.1])
        one.run_until(0.2)
        one.finish(drain_s=0.5)
        assert one.clock.now_s() == pytest.approx(0.7)
        assert one.statuses() == {}

    def test_telemetry_after_the_end_drops_nothing_more(self, rig):
        one = rig(arrivals_s=[0.1], segments=((0.0, 5000.0),))
        one.run_until(0.2)
        one.finish(drain_s=0.5)
        one.clock.sleep_until(100.0)
        assert one.telemetry().finished == 0
        assert one.statuses() == {}

    def test_stopping_twice_is_stopping_once(self, rig):
        one = rig()
        one.worker.stop()
        one.worker.stop()
        assert one.worker.join(0)

    def test_virtual_time_is_stepped(self, rig):
        with pytest.raises(TypeError, match="step it"):
            rig().worker.start()


class TestResuming:
    def test_losses_are_failed_and_later_arrivals_are_served(self, rig):
        arrivals_s = [0.10, 0.11, 0.12, 0.50, 0.90]
        first = rig(arrivals_s=arrivals_s)
        first.shift(SMALL)
        first.run_until(0.115)  # the first is served, the second begun by no one
        with open(first.spec.records_path, "ab") as records:
            records.write(b"\x01" * (RECORD.itemsize // 2))  # the kill cut a record short
        second = rig(arrivals_s=arrivals_s, clock=ScriptedClock(0.6), resume_from_s=0.6)
        assert second.telemetry().finished == 3
        second.shift(SMALL)
        second.run_until(2)
        assert second.statuses() == {
            0: Status.COMPLETED,
            1: Status.FAILED,
            2: Status.FAILED,
            3: Status.FAILED,
            4: Status.COMPLETED,
        }
        assert second.ends[1]["end_s"] == 0.6
        assert second.ends[1]["target_ms"] == 1000.0
        assert np.isnan(second.ends[1]["start_s"])

    def test_lost_clients_are_failed_and_numbers_go_on(self, rig):
        first = rig()
        first.worker.submit(np.zeros(1))
        first.worker.submit(np.zeros(1))
        second = rig(clock=ScriptedClock(1.0), resume_from_s=1.0)
        second.shift(SMALL)
        second.worker.submit(np.zeros(1))
        second.run_until(2)
        assert second.statuses() == {0: Status.FAILED, 1: Status.FAILED, 2: Status.COMPLETED}


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    arrivals_s=st.lists(st.floats(0, 2), max_size=25).map(sorted),
    clients_s=st.lists(st.floats(0, 2), max_size=5),
    broken=st.sets(st.integers(0, 30)),
    bound=st.integers(1, 5),
    drop=st.sampled_from(DROP_RULES),
    targets_ms=st.tuples(st.floats(1, 300), st.floats(1, 300)),
    gears=st.lists(st.tuples(st.floats(0, 2), st.sampled_from([SMALL, LARGE, LITTLE, WIDE])), max_size=4),
    drain_s=st.floats(0, 0.5),
    killed_s=st.none() | st.floats(0, 2),
)
def test_counts_add_up(
    tmp_path_factory, arrivals_s, clients_s, broken, bound, drop, targets_ms, gears, drain_s, killed_s
):
    """Submitted = completed + dropped + failed + in_flight, whatever happens."""
    directory = tmp_path_factory.mktemp("counts")
    facts = {
        "arrivals_s": arrivals_s,
        "queue_bound": bound,
        "drop": drop,
        "segments": ((0.0, targets_ms[0]), (1.0, targets_ms[1])),
        "source": Numbers(broken=broken),
    }
    one = Rig(directory, **facts)
    current, futures = [one], []
    for plan, (at_s, gear) in enumerate(sorted(gears, key=lambda moment: moment[0])):
        one.clock.script.append((at_s, lambda gear=gear, plan=plan: current[-1].shift(gear, plan)))
    for at_s in clients_s:
        one.clock.script.append((at_s, lambda: futures.append(current[-1].worker.submit(np.zeros(1)))))
    lost = {}
    if killed_s is not None:
        one.run_until(killed_s)
        lost = one.statuses()
        one.ledger.reap(0)
        current.append(Rig(directory, clock=one.clock, resume_from_s=one.clock.now_s(), **facts))
    current[-1].run_until(2.0)
    current[-1].clock.sleep_until(2.0)
    current[-1].finish(drain_s)

    statuses = current[-1].statuses()
    ended = [int(row["index"]) for row in current[-1].records if row["status"] != Status.ARRIVED]
    submitted = len(arrivals_s) + len(futures)
    assert len(ended) == len(set(ended)), "a request ended twice"
    assert set(ended) <= set(range(submitted))
    assert lost.items() <= statuses.items(), "an end was changed by the restart"
    in_flight = len(current[-1].worker._intake.queue)
    left = submitted - len(ended)
    assert in_flight <= left <= in_flight + 1  # the one that was being served when the drain ended
    for row in current[-1].ends.values():
        if row["status"] == Status.COMPLETED:
            assert row["arrival_s"] <= row["start_s"] < row["end_s"]
            assert row["index"] not in broken or row["index"] >= len(arrivals_s)
    for each in current:
        each.worker.stop()
        each.ledger.close()


class TestThreads:
    """In real time: what is asserted holds however slow the machine is."""

    @pytest.fixture
    def real(self, rig):
        return lambda **facts: rig(clock=BoardClock(time.monotonic()), **facts)

    def test_serves_its_schedule(self, real):
        one = real(arrivals_s=np.arange(10) * 0.02, profile=profile(small_ms=(1.0,)), segments=((0.0, 1e6),))
        one.shift(SMALL)
        one.worker.start()
        while len(one.ends) < 10:
            time.sleep(0.01)
        assert set(one.statuses().values()) == {Status.COMPLETED}
        assert min(row["service_ms"] for row in one.ends.values()) >= 2.0
        assert all(row["start_s"] >= row["arrival_s"] for row in one.ends.values())
        thread = one.worker.status().thread
        assert thread != os.getpid()
        assert Path(f"/proc/self/task/{thread}").exists()

    def test_control_is_answered_while_a_request_is_served(self, real):
        hour_ms = 3.6e6
        one = real(profile=profile(small_ms=(hour_ms,)), segments=((0.0, 2 * hour_ms),))
        one.shift(SMALL)
        one.prepare(LITTLE, plan=1)
        one.worker.start()
        endless = one.worker.submit(np.zeros(1))
        while one.ledger.take(1, "big", (0,), 0.0, give_up=lambda: True) is not None:
            one.ledger.reap(1)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(one.activate, LITTLE, 1).result(PATIENCE_S).gear == LITTLE
            assert pool.submit(one.prepare, LARGE, 2).result(PATIENCE_S).gear == LARGE
            telemetry = pool.submit(one.telemetry).result(PATIENCE_S)
        assert (telemetry.gear, telemetry.arrived, telemetry.finished) == (LITTLE, 1, 0)
        assert not endless.done()
        one.worker.stop()  # and an endless request does not outlast it
        with pytest.raises(WorkerClosedError):
            endless.result(PATIENCE_S)

    def test_a_request_that_waits_for_cores_takes_the_new_gear(self, real, monkeypatch):
        monkeypatch.setattr("actors.ledger.ledger._POLL_MS", 10_000_000)  # so that only being woken ends the wait
        one = real(profile=profile(small_ms=(1.0,)), segments=((0.0, 1e9),))
        other = one.ledger.take(1, "big", (0,), 0.0)
        one.shift(SMALL)
        one.worker.start()
        future = one.worker.submit(np.zeros(1))
        time.sleep(0.02)  # most likely it waits by now; the test holds either way
        assert not future.done()
        one.shift(LITTLE, plan=1)
        future.result(PATIENCE_S)
        assert one.ends[0]["unit"] == 1
        one.ledger.release(other)

    def test_a_drain_ends_the_thread(self, real):
        one = real(profile=profile(small_ms=(1.0,)), segments=((0.0, 1e9),))
        one.shift(SMALL)
        one.worker.start()
        futures = [one.worker.submit(np.zeros(1)) for _ in range(3)]
        one.worker.drain(1e9)
        assert one.worker.join(PATIENCE_S)
        assert all(future.result(0).subnet == "small" for future in futures)


def test_a_killed_worker_is_followed_by_one_that_accounts_for_its_losses(tmp_path):
    zero_s = time.monotonic()
    Rig(tmp_path, clock=BoardClock(zero_s)).worker.stop()  # makes the ledger, as the agent would
    victim = multiprocessing.get_context("spawn").Process(target=serve_until_killed, args=(tmp_path, zero_s))
    victim.start()
    records = tmp_path / "records"
    while len(read_records(records)) < 20:
        time.sleep(0.01)
    os.kill(victim.pid, signal.SIGKILL)
    victim.join()

    clock = BoardClock(zero_s)
    before = len(read_records(records))
    resume_from_s = clock.now_s()
    arrivals_s = np.arange(4000) * 0.005
    one = Rig(
        tmp_path,
        clock=clock,
        arrivals_s=arrivals_s,
        profile=profile(small_ms=(1.0,)),
        queue_bound=5,
        resume_from_s=resume_from_s,
    )
    one.ledger.reap(0)
    due = int((arrivals_s < resume_from_s).sum())
    assert sorted(one.ends) == list(range(due))
    failed = [index for index, status in one.statuses().items() if status == Status.FAILED]
    assert len(failed) == due - before
    one.shift(SMALL)
    one.worker.start()
    while max(one.ends) < due + 3:
        time.sleep(0.01)
    one.worker.stop()
    one.ledger.remove()


def test_a_worker_imports_no_torch(tmp_path):
    script = """
        import sys
        from pathlib import Path
        sys.path[:0] = {paths!r}
        from helpers.worker_rig import SMALL, Rig
        for name in [name for name in sys.modules if name.split(".")[0] in ("torch", "ray")]:
            raise SystemExit(f"{{name}} was imported by the tests themselves")
        one = Rig(Path({directory!r}), arrivals_s=[0.1])
        one.shift(SMALL)
        one.run_until(1)
        assert len(one.ends) == 1
        print([name for name in ("torch", "ray") if name in sys.modules])
    """
    tests = Path(__file__).parents[2]
    code = textwrap.dedent(script).format(paths=[str(tests.parent), str(tests)], directory=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr


class TestGpu:
    """A gear on a GPU: the network runs in the executor, the token is the ledger's, and no CPU is needed."""

    GPU = Gear(subnet="small", unit="gpu", cores=1)  # 4 ms at the top clock
    GPU_LARGE = Gear(subnet="large", unit="gpu", cores=1)  # 8 ms

    @pytest.fixture
    def executor(self, tmp_path):
        executor = Executor(engines.prepare)
        server = ExecutorServer(executor, tmp_path / "socket")
        yield executor
        server.close()

    @pytest.fixture
    def on_gpu(self, rig, executor, tmp_path):
        def make(dvfs="emulated", **facts):
            return rig(
                board=with_gpu(board(dvfs), dvfs),
                profile=gpu_times(profile(), small=2.0, large=4.0),
                executors={"gpu": str(tmp_path / "socket")},
                **facts,
            )

        return make

    def test_requests_run_in_the_executor_and_take_the_gpus_token(self, on_gpu, executor):
        one = on_gpu(arrivals_s=[0.1, 0.1, 0.2])
        one.ledger.set_unit("gpu", mhz=1000.0)
        one.shift(self.GPU)
        assert [artifact.subnet for artifact in executor.ready] == ["small"]
        one.run_until(1)
        assert [row["end_s"] for row in one.ends.values()] == pytest.approx([0.104, 0.108, 0.204])
        assert [row["correct"] for row in one.ends.values()] == [1, 1, 1]
        assert [row["unit"] for row in one.ends.values()] == [3, 3, 3]
        assert one.ledger.read("gpu").busy_s == pytest.approx((0.012,))
        assert one.ledger.read("big").busy_s == (0.0,)

    def test_from_a_core_to_the_gpu_and_back_between_two_requests(self, on_gpu):
        one = on_gpu(arrivals_s=[0.1, 0.2, 0.3, 0.4], source=Numbers())
        one.ledger.set_unit("gpu", mhz=1000.0)
        one.shift(SMALL)
        one.clock.script.append((0.15, lambda: one.shift(self.GPU_LARGE, plan=1)))
        one.clock.script.append((0.25, lambda: one.shift(SMALL, plan=2)))
        one.clock.script.append((0.35, lambda: one.shift(self.GPU, plan=3)))
        one.run_until(1)
        rows = one.ends
        assert [(rows[index]["subnet"], rows[index]["unit"]) for index in range(4)] == [(0, 0), (1, 3), (0, 0), (0, 3)]
        assert [rows[index]["correct"] for index in range(4)] == [1, 0, 1, 1]

    def test_on_a_fixed_gpu_the_service_is_what_it_took(self, on_gpu):
        one = on_gpu(dvfs="fixed", arrivals_s=[0.5])
        one.shift(self.GPU)
        one.run_until(1)
        assert (one.ends[0]["service_ms"], one.ends[0]["status"]) == (0.0, Status.COMPLETED)

    def test_a_bad_input_fails_only_its_request(self, on_gpu):
        one = on_gpu(arrivals_s=[0.1, 0.2, 0.3], source=Numbers(broken={1}))
        one.shift(self.GPU)
        one.run_until(1)
        assert list(one.statuses().values()) == [Status.COMPLETED, Status.FAILED, Status.COMPLETED]
        assert "takes an input of (1, 1, 4, 4), not (2, 3)" in next(iter(one.worker.errors()))

    def test_an_unknown_gpu_or_network_is_refused(self, on_gpu):
        one = on_gpu()
        with pytest.raises(GearboxError, match="small on gpu must be prepared before"):
            one.activate(self.GPU)

    def test_a_stopped_worker_gives_its_networks_back(self, on_gpu, executor):
        executor._bound_mb = 0.0
        one = on_gpu(arrivals_s=[0.1])
        one.shift(self.GPU)
        assert executor.ready
        one.worker.stop()
        deadline_s = time.monotonic() + PATIENCE_S
        while executor.ready and time.monotonic() < deadline_s:
            time.sleep(0.01)
        assert not executor.ready
