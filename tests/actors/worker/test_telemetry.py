"""A worker reports what it did since the last report."""

from __future__ import annotations

import pytest

from actors.requests.records import Status
from actors.worker.totals import WorkerTotals
from helpers.tiny_networks import Numbers, profile
from helpers.worker_rig import SMALL


class ScoresLate(Numbers):
    """A source during whose score something happens."""

    def score(self, index, output):
        self.meanwhile()
        return super().score(index, output)


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

    def test_a_clock_that_rises_while_a_result_is_scored_is_not_taken_for_the_service(self, rig):
        source = ScoresLate()
        one = rig(arrivals_s=[0.0], source=source)
        one.ledger.set_unit("big", mhz=500.0)
        source.meanwhile = lambda: (one.clock.sleep_until(0.2), one.ledger.set_unit("big", mhz=1000.0))
        one.shift(SMALL)
        one.run_until(1)
        assert one.telemetry().service_ratio == pytest.approx(1.0)


def test_a_ratio_that_cannot_be_is_unknown():
    telemetry = WorkerTotals(started_ns=1, completed=2, service_ratios=-0.1).since(None, "gate")
    assert telemetry.service_ratio is None
