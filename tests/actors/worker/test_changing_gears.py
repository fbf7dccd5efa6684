"""A worker changes its gear between two requests, and keeps the old one where the new one cannot be engaged."""

from __future__ import annotations

import numpy as np
import pytest

from actors.requests.records import Status
from actors.worker.gearbox import GearboxError
from actors.worker.results import RequestDroppedError
from helpers.worker_rig import LARGE, LITTLE, SMALL
from scheduler.views import Gear


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
