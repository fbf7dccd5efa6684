"""Telemetry on pages is neither lost nor doubled, whenever it is posted and read and whoever is killed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.control.reports import AppReporter, AppReports, BoardReporter, BoardReports, keep_posting
from actors.worker.totals import WorkerTotals
from helpers.virtual_clock import VirtualClock
from scheduler.messages import AppTelemetry, Fenced, HostTelemetry, Repinned, Telemetry, UnitTelemetry
from scheduler.views import Gear

GEAR = Gear(subnet="s", unit="big", cores=2)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Callable[[], Path]:
    """The path of a new page at each call."""
    base, numbers = tmp_path_factory.mktemp("reports"), count()
    return lambda: base / str(next(numbers))


class Counting:
    """A worker of which only the counts are there: requests complete, with these latencies, or are dropped."""

    def __init__(self, path: Path, started_ns: int = 1) -> None:
        self._reporter = AppReporter(path)
        self._totals = WorkerTotals(started_ns=started_ns)

    def post(self, latencies_ms=(), *, arrived=0, dropped=0, ratio=1.0, queue_len=0, gear=GEAR, plan=1) -> None:
        old = self._totals
        self._totals = WorkerTotals(
            started_ns=old.started_ns,
            arrived=old.arrived + arrived,
            finished=old.finished + len(latencies_ms) + dropped,
            on_time=old.on_time + on_time(latencies_ms),
            completed=old.completed + len(latencies_ms),
            service_ratios=old.service_ratios + ratio * len(latencies_ms),
            latencies_ms=(*old.latencies_ms, *latencies_ms)[-100:],
            queue_len=queue_len,
            gear=gear,
            plan=plan,
        )
        self._reporter.post(self._totals)


def on_time(latencies_ms) -> int:
    return sum(latency_ms <= 50 for latency_ms in latencies_ms)


happened = st.fixed_dictionaries(
    {
        "latencies_ms": st.lists(st.floats(0.1, 100.0), max_size=4),
        "arrived": st.integers(0, 5),
        "dropped": st.integers(0, 3),
        "ratio": st.floats(0.5, 2.0),
        "queue_len": st.integers(0, 9),
        "gear": st.sampled_from([None, GEAR, Gear(subnet="l", unit="gpu", cores=1)]),
        "plan": st.integers(-1, 99),
    }
)


@settings(deadline=None)
@given(rounds=st.lists(st.lists(happened, max_size=4), max_size=5))
def test_what_is_taken_is_what_was_posted_since_whenever_pages_are_read(place, rounds):
    path = place()
    reports, worker = AppReports("a", path), Counting(path)
    for posted in rounds:
        for report in posted:
            worker.post(**report)
        taken = reports.take()
        if not posted:
            assert taken is None
            continue
        assert taken is not None
        assert taken.arrived == sum(report["arrived"] for report in posted)
        assert taken.finished == sum(report["dropped"] + len(report["latencies_ms"]) for report in posted)
        assert taken.on_time == sum(on_time(report["latencies_ms"]) for report in posted)
        assert taken.latencies_ms == tuple(latency_ms for report in posted for latency_ms in report["latencies_ms"])
        ratios = [report["ratio"] for report in posted for _ in report["latencies_ms"]]
        assert taken.service_ratio == (pytest.approx(math.fsum(ratios) / len(ratios)) if ratios else None)
        last = posted[-1]
        assert taken.app == "a"
        assert (taken.queue_len, taken.gear, taken.plan) == (last["queue_len"], last["gear"], last["plan"])


def test_after_a_long_stall_the_counts_are_whole_and_the_latest_latencies_are_there(place):
    path = place()
    reports, worker = AppReports("a", path), Counting(path)
    for number in range(300):
        worker.post([float(number)], arrived=1)
    taken = reports.take()
    assert (taken.arrived, taken.finished, taken.on_time) == (300, 300, 51)
    assert taken.latencies_ms == tuple(map(float, range(200, 300)))


@pytest.mark.parametrize("read_before_the_kill", [True, False])
def test_a_successor_s_reports_count_from_its_start(place, read_before_the_kill):
    path = place()
    reports, killed = AppReports("a", path), Counting(path)
    killed.post([10.0, 20.0], arrived=5)
    assert reports.take().finished == 2
    killed.post([30.0], arrived=2)
    if read_before_the_kill:
        assert reports.take().arrived == 2
    successor = Counting(path, started_ns=2)
    successor.post([40.0], arrived=1, dropped=7, gear=None, plan=-1)
    taken = reports.take()
    assert (taken.arrived, taken.finished, taken.latencies_ms, taken.gear) == (1, 8, (40.0,), None)
    successor.post([60.0], arrived=3)
    assert reports.take() == AppTelemetry(
        app="a",
        arrived=3,
        finished=1,
        on_time=0,
        queue_len=0,
        latencies_ms=(60.0,),
        service_ratio=1.0,
        gear=GEAR,
        plan=1,
        worker=2,
    )


def test_a_worker_that_is_asked_to_report_anew_goes_on_counting(place):
    path = place()
    reports = AppReports("a", path)
    before = WorkerTotals(started_ns=1, arrived=5, finished=2, on_time=2, completed=2, latencies_ms=(1.0, 2.0))
    AppReporter(path).post(before)
    assert reports.take().arrived == 5
    AppReporter(path).post(replace(before, arrived=6))
    taken = reports.take()
    assert (taken.arrived, taken.finished, taken.latencies_ms, taken.service_ratio) == (1, 0, (), None)


def test_the_board_s_latest_report_is_taken_once(place):
    path = place()
    reports, reporter = BoardReports(path), BoardReporter(path)
    nothing = Telemetry(apps=(), units=(), power_w=None)
    assert reports.take() == nothing
    for busy in (0.1, 0.2):
        units = (
            UnitTelemetry(name="big", mhz_now=1400.0, busy=busy, temp_c=None, power_w=None),
            UnitTelemetry(
                name="gpu",
                mhz_now=300.0,
                busy=0.0,
                temp_c=51.5,
                power_w=2.5,
                max_mhz=600.0,
                cpus_online=(0,),
                held_by="thermal GPU-therm 91 °C",
            ),
        )
        host = HostTelemetry(cores=(busy, None, 1.0), others=0.5, memory_used_mb=900.0)
        repinned = (Repinned(app="a", before=(0, 2, 3), cpus=(1,)), Repinned(app="b", before=(), cpus=(), fault="no"))
        posted = Telemetry(
            apps=(),
            units=units,
            power_w=3.5,
            host=host,
            rails_w={"VDD_IN": 5.0 + busy},
            repinned=repinned,
            fenced=(Fenced(app="a", unit="big", why="it hung", held_ms=9.0, bound_ms=5.0),),
            board_at_s=1.0 + busy,
        )
        reporter.post(posted)
    assert reports.take() == posted
    assert reports.take() == nothing


class EnoughError(Exception):
    """The end of what would go on for ever."""


@settings(deadline=None)
@given(st.floats(-5.0, 5.0), st.lists(st.floats(0.0, 0.35), min_size=1, max_size=8))
def test_posts_are_made_a_tenth_before_each_epoch_and_late_ones_do_not_shift_the_next(from_s, took_s):
    clock, left = VirtualClock(from_s), list(took_s)
    posted_s = []

    def post() -> None:
        if not left:
            raise EnoughError
        posted_s.append(clock.now_s())
        clock.sleep_until(clock.now_s() + left.pop())

    with pytest.raises(EnoughError):
        keep_posting(clock, 0.1, post)
    assert len(posted_s) == len(took_s)
    ends_s = [from_s, *(at_s + took for at_s, took in zip(posted_s, reversed(took_s), strict=True))]
    for ready_s, at_s in zip(ends_s, posted_s, strict=False):
        epochs = (at_s + 0.01) / 0.1
        assert epochs == pytest.approx(round(epochs), abs=1e-6)
        assert -1e-9 < at_s - ready_s < 0.1 + 1e-9
    assert all(later - earlier > 0.1 - 1e-9 for earlier, later in pairwise(posted_s))
