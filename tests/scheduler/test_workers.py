"""Lost workers are started again by a rule, hung ones are ended, and errors are logged when they matter."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from helpers.worker_reports import in_phase
from scheduler.messages import Fenced, Log, RequestFault, StartWorker, StopWorker, Telemetry
from scheduler.restarts import FIRST_PAUSE_S, MOST_LOSSES, WITHIN_S, Restarts
from scheduler.workers import Workers

EPOCH_S = 0.1


def test_pauses_grow_and_the_fifth_loss_is_the_end():
    one = Restarts()
    assert [one.lost(3.0 * number) for number in range(5)] == [0.0, 0.5, 1.0, 2.0, None]


@given(st.lists(st.floats(0, 30), max_size=40))
def test_who_is_lost_too_often_within_the_span_is_out_and_nobody_else(gaps_s):
    one, now_s, lost_s = Restarts(), 0.0, []
    for gap_s in gaps_s:
        now_s += gap_s
        lost_s.append(now_s)
        recent = sum(at_s > now_s - WITHIN_S for at_s in lost_s)
        pause_s = one.lost(now_s)
        assert (pause_s is None) == (recent >= MOST_LOSSES)
        if pause_s is not None:
            assert pause_s == (FIRST_PAUSE_S * 2 ** (recent - 2) if recent > 1 else 0.0)


def kinds(effects):
    return [effect.kind if isinstance(effect, Log) else type(effect) for effect in effects]


def telemetry(*reports, fenced=(), stopped=()):
    return Telemetry(apps=reports, units=(), power_w=None, fenced=fenced, stopped=stopped)


def test_a_worker_comes_back_after_its_pause_and_not_before():
    workers = Workers(EPOCH_S)
    assert kinds(workers.lost("a", "killed", 1.0)) == ["lost", StartWorker]
    assert workers.look({"a": 0.1}, (), 1.1) == []  # asked once
    workers.started("a")
    assert kinds(workers.lost("a", "killed", 2.0)) == ["lost"]
    assert workers.look({"a": 0.1}, (), 2.4) == []
    assert workers.look({"a": 0.1}, (), 2.5) == [StartWorker(app="a")]
    assert workers.look({"a": 0.1}, (), 7.4) == []
    (log,) = workers.look({"a": 0.1}, (), 7.5)
    assert (log.kind, log.fields["why"], log.fields["ends"]) == ("stuck", "its worker is not back", False)
    assert workers.look({"a": 0.1}, (), 60.0) == []  # said once


def test_an_application_that_is_out_stays_out():
    workers = Workers(EPOCH_S)
    for number in range(4):
        workers.lost("a", "it fell", float(number))
        workers.started("a")
    effects = workers.lost("a", "it fell", 4.0)
    assert kinds(effects) == ["lost", "out"]
    assert workers.out == {"a": "it fell"}
    assert workers.is_down("a")
    assert workers.look({"a": 0.1}, (), 1e6) == []


def test_a_hung_worker_is_ended_once_and_its_loss_says_why():
    workers, ends, logs = Workers(EPOCH_S), [], []
    for epoch in range(100):
        workers.hear(telemetry(in_phase("result")))
        effects = workers.look({"a": 0.1}, (), EPOCH_S * epoch)
        ends += [effect for effect in effects if isinstance(effect, StopWorker)]
        logs += [effect for effect in effects if isinstance(effect, Log)]
    assert ends == [StopWorker(app="a")]
    assert [log.fields["ends"] for log in logs] == [False, True]
    lost, start = workers.lost("a", "the process is gone", 10.0)
    assert "on_result does not return for 5.0 s; it was ended" in lost.fields["reason"]
    assert start == StartWorker(app="a")
    # Its successor is watched from its own first report.
    workers.started("a")
    assert workers.look({"a": 0.1}, (), 20.0) == []
    assert kinds(workers.lost("a", "killed", 21.0)) == ["lost"]


def test_who_was_fenced_off_is_logged_and_its_loss_says_why():
    workers = Workers(EPOCH_S)
    fenced = Fenced(app="a", unit="big", why="it held its cores past the bound", held_ms=1234.5, bound_ms=1000.0)
    (log,) = workers.hear(telemetry(fenced=(fenced,)))
    assert (log.kind, log.fields["unit"], log.fields["held_ms"]) == ("fenced", "big", 1234.5)
    lost, _ = workers.lost("a", "the process is gone", 1.0)
    assert lost.fields["reason"] == "it held its cores past the bound for 1234 ms, more than 1000 ms; it was ended"
    # A reason that comes after the loss is not put down to the next one.
    workers.hear(telemetry(fenced=(fenced,)))
    workers.started("a")
    assert workers.lost("a", "killed", 9.0)[0].fields["reason"] == "killed"


def test_errors_are_logged_at_powers_of_ten_by_worker():
    workers = Workers(EPOCH_S)
    fault = RequestFault(where="source", text="RuntimeError: gone", times=0, first=7)
    logged = []
    for times in range(1, 250):
        for log in workers.hear(telemetry(in_phase(faults=(replace(fault, times=times),)))):
            logged.append(log.fields["times"])
    assert logged == [1, 10, 100]
    (log,) = workers.hear(telemetry(in_phase(worker=2, faults=(replace(fault, times=35),))))
    assert log.fields == {
        **{"app": "a", "worker": 2, "where": "source", "text": "RuntimeError: gone", "times": 35, "first": 7}
    }
    assert workers.hear(telemetry(in_phase(worker=2, faults=(replace(fault, times=99),)))) == []
