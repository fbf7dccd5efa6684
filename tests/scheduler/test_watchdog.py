"""The watch-dog of a worker, on a clock that the test turns."""

from __future__ import annotations

import pytest

from helpers.worker_reports import in_phase
from scheduler.watchdog import INPUT_S, LEAST_S, RESULT_S, SILENT_S, Watchdog

EPOCH_S = 0.1


def watched(reports, until_s=40.0, target_s=0.15, stopped=False, epoch_s=EPOCH_S):
    """Return what the watch-dog says, as (time, it ends the process); `reports` gives each epoch's report, or None."""
    dog, said = Watchdog(), []
    for epoch in range(round(until_s / epoch_s)):
        at_s = epoch * epoch_s
        one = reports(at_s)
        if one is not None:
            dog.hear(one)
        still = dog.look(now_s=at_s, epoch_s=epoch_s, target_s=target_s, stopped=stopped)
        if still is not None:
            said.append((round(at_s, 1), still.ends))
            if still.ends:
                break
    return said


@pytest.mark.parametrize(
    ("phase", "target_s", "slow_s", "end_s"),
    [
        ("input", 0.15, LEAST_S, INPUT_S),
        ("result", 0.15, LEAST_S, RESULT_S),
        ("result", 1.0, 10.0, 10.0),
        ("cores", 0.5, 5.0, 5.0),
        ("cores", 0.01, LEAST_S, LEAST_S),
    ],
)
def test_a_worker_that_stands_still_is_said_and_then_ended(phase, target_s, slow_s, end_s):
    said = watched(lambda at_s: in_phase(phase), target_s=target_s)
    expected = [(slow_s, False), (end_s, True)] if slow_s < end_s else [(end_s, True)]
    assert said == [(pytest.approx(at_s, abs=0.11), ends) for at_s, ends in expected]


def test_a_network_on_its_cores_is_left_to_the_ledger_and_said_once():
    assert watched(lambda at_s: in_phase("run")) == [(pytest.approx(LEAST_S, abs=0.11), False)]


@pytest.mark.parametrize(
    "reports",
    [
        lambda at_s: in_phase("idle"),  # nothing to do
        lambda at_s: in_phase("cores", beats=round(at_s / EPOCH_S)),  # waits for cores, and looks again and again
        lambda at_s: in_phase("input", beats=int(at_s / 1.9)),  # slow, and gets on
        lambda at_s: None,  # has not begun to report
        lambda at_s: in_phase("idle") if int(at_s / EPOCH_S) % 10 == 0 else None,  # a late page now and then
    ],
)
def test_nothing_is_said_of_a_worker_that_gets_on(reports):
    assert watched(reports) == []


def test_a_worker_that_stops_reporting_is_ended_sooner_where_its_process_is_stopped():
    def silent(at_s):
        return in_phase("idle") if at_s < 1 else None

    assert watched(silent, stopped=True)[-1] == (pytest.approx(1 + LEAST_S, abs=0.2), True)
    assert watched(silent) == [
        (pytest.approx(1 + LEAST_S, abs=0.2), False),
        (pytest.approx(1 + SILENT_S, abs=0.2), True),
    ]


def test_with_long_epochs_one_late_report_is_no_standstill():
    assert watched(lambda at_s: in_phase("idle") if round(at_s / 2.0) % 3 else None, epoch_s=2.0, until_s=100.0) == []


def test_time_that_the_manager_did_not_see_pass_does_not_count():
    dog = Watchdog()
    dog.hear(in_phase())
    dog.look(now_s=0.0, epoch_s=EPOCH_S, target_s=0.1, stopped=False)
    dog.hear(in_phase())
    # Everything stood still for an hour.
    assert dog.look(now_s=3600.0, epoch_s=EPOCH_S, target_s=0.1, stopped=False) is None


def test_a_successor_begins_anew():
    said = watched(lambda at_s: in_phase("result", worker=int(at_s / 1.5)))
    assert said == []


def test_a_second_standstill_is_said_again():
    said = watched(lambda at_s: in_phase("input", beats=int(at_s / 3.0)), until_s=9.0)
    assert [ends for _, ends in said] == [False, False, False]
