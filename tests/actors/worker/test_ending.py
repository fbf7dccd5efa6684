"""A worker drains, stops and resumes after a loss, and each request ends once."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.clock import BoardClock
from actors.requests.queue import DROP_RULES
from actors.requests.records import RECORD, Status
from actors.worker.results import WorkerClosedError
from helpers.tiny_networks import Numbers
from helpers.virtual_clock import ScriptedClock
from helpers.worker_rig import LARGE, LITTLE, PATIENCE_S, SMALL, WIDE, Rig
from supernets.engines import Network, StoppedError


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


def in_steps(one, clock, *, step_s, steps=1000):
    """Have the gear in force served by a network that makes its output step by step, and return when each step began.

    Args:
        one: the rig.
        clock: passes the time of a step.
        step_s: how long a step takes, board time.
        steps: number of steps.
    """
    begun_s = []

    def run(x, stop=lambda: False):
        for number in range(steps):
            if stop():
                raise StoppedError(f"stopped after {number} steps")
            begun_s.append(clock.now_s())
            clock.sleep_until(clock.now_s() + step_s)
        return x.mean().reshape(1)

    network = Network(engine="fake", run=run, until=run, memory_mb=0.0, mapped=None)
    engaged = one.worker._engaged
    one.worker._engaged = replace(engaged, ready=replace(engaged.ready, run=network))
    return begun_s


class TestStoppingBetweenSteps:
    @pytest.mark.parametrize("dvfs", ["fixed", "emulated"])
    def test_at_the_end_of_the_drain_a_network_gives_its_cores_back_before_its_next_step(self, rig, dvfs):
        one = rig(arrivals_s=[0.1], dvfs=dvfs)
        one.shift(SMALL)
        begun_s = in_steps(one, one.clock, step_s=0.3)
        one.clock.script.append((1.5, lambda: futures.append(one.worker.submit(np.zeros(1)))))
        one.clock.script.append((2.0, lambda: one.worker.drain(2.2)))
        futures = []
        one.run_until(9)
        # Steps begin at 0.1, 0.4, ..., 2.2 s, where the drain is over.
        assert begun_s == pytest.approx(np.arange(7) * 0.3 + 0.1)
        assert one.clock.now_s() == pytest.approx(2.2)
        assert not one.worker.status().serving
        assert one.ledger.holders("big") == (None,)
        assert one.ledger.read("big").busy_s[0] == pytest.approx(2.1)
        # What was being served and what waited have no end, and nothing is learned from them.
        told = one.telemetry()
        assert one.statuses() == {}
        assert (told.finished, told.service_ratio, told.faults) == (0, None, ())
        with pytest.raises(WorkerClosedError, match="ended before"):
            futures[0].result(0)

    def test_a_client_whose_request_was_stopped_is_told_so(self, rig):
        one = rig()
        one.shift(SMALL)
        begun_s = in_steps(one, one.clock, step_s=0.5)
        future = one.worker.submit(np.zeros(1))
        one.worker.drain(1.2)
        one.run_until(9)
        assert begun_s == [0.0, 0.5, 1.0]
        with pytest.raises(WorkerClosedError, match="ended before"):
            future.result(0)
        assert [Status(row["status"]) for row in one.records] == [Status.ARRIVED]

    def test_one_that_is_through_its_steps_by_then_completes(self, rig):
        one = rig(arrivals_s=[0.1, 0.2], dvfs="fixed")
        one.shift(SMALL)
        in_steps(one, one.clock, step_s=0.3, steps=3)
        one.clock.script.append((0.5, lambda: one.worker.drain(1.9)))
        one.run_until(9)
        assert one.statuses() == {0: Status.COMPLETED}
        assert one.ends[0]["end_s"] == pytest.approx(1.0)
        assert one.clock.now_s() == pytest.approx(1.9)

    def test_a_network_without_steps_runs_to_its_end(self, rig):
        one = rig(arrivals_s=[0.1], dvfs="fixed")
        one.shift(SMALL)
        engaged = one.worker._engaged

        def run(x):
            one.clock.sleep_until(5.0)
            return x.mean().reshape(1)

        network = Network(engine="fake", run=run, memory_mb=0.0, mapped=None)
        one.worker._engaged = replace(engaged, ready=replace(engaged.ready, run=network))
        one.clock.script.append((1.0, lambda: one.worker.drain(1.2)))
        one.run_until(9)
        assert one.clock.now_s() == 5.0
        assert one.statuses() == {}

    def test_stopping_a_worker_does_not_wait_for_the_rest_of_a_network_s_steps(self, rig):
        clock = BoardClock(time.monotonic())
        one = rig(clock=clock, dvfs="fixed")
        one.shift(SMALL)
        begun_s = in_steps(one, clock, step_s=0.001, steps=1000 * PATIENCE_S)
        one.worker.start()
        future = one.worker.submit(np.zeros(1))
        until_s = clock.now_s() + PATIENCE_S
        while not begun_s and clock.now_s() < until_s:
            time.sleep(0.001)
        one.worker.stop()
        assert begun_s
        assert one.ledger.holders("big") == (None,)
        with pytest.raises(WorkerClosedError, match="ended before"):
            future.result(0)


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
