"""What went wrong with the apps of a run is added up over all workers, and says who never ran."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actors.worker.status import WorkerStatus
from helpers.synthetic_run import make_run
from scheduler.messages import RequestFault
from workloads.results.run_dir import read_troubles
from workloads.runs.troubles import TroubleBook

GONE = {"where": "source", "text": "RuntimeError: camera <b>gone</b>"}


@pytest.fixture(scope="module")
def made():
    return make_run()


def status(app, worker, *faults):
    return WorkerStatus(
        app=app,
        pid=1,
        thread=None,
        serving=False,
        gear=None,
        plan=-1,
        prepared=(),
        queue_len=0,
        closed_s=None,
        switch_ms=(),
        worker=worker,
        faults=faults,
    )


def book(*entries):
    """Return a book in which all apps ran, with these entries."""
    one = TroubleBook()
    for app in ("entrance", "garage", "yard"):
        one.note({"kind": "gear", "app": app, "to": ["s", "big", 1]})
    for entry in entries:
        one.note({"now_s": 1.0, **entry})
    return one


def found(one, made, **statuses):
    return {entry["app"]: entry for entry in one.end(statuses, made.summary, 40.0)}


def test_a_run_without_troubles_has_none(made):
    assert found(book(), made, entrance=status("entrance", 1)) == {}


def test_errors_are_summed_over_workers_and_the_last_word_counts(made):
    one = book(
        {"kind": "fault", "app": "yard", "worker": 1, **GONE, "times": 1, "first": 4},
        {"kind": "fault", "app": "yard", "worker": 1, **GONE, "times": 10, "first": 4},
        {"kind": "lost", "app": "yard", "reason": "killed"},
        {"kind": "fault", "app": "yard", "worker": 2, **GONE, "times": 1, "first": 20},
    )
    last = status(
        "yard", 2, RequestFault(**GONE, times=7, first=20), RequestFault(where="score", text="x", times=2, first=9)
    )
    entry = found(one, made, yard=last)["yard"]
    assert entry["faults"] == [
        {**GONE, "times": 17, "first": 4},
        {"where": "score", "text": "x", "times": 2, "first": 9},
    ]
    assert (entry["losses"], entry["out"], entry["never_ran"]) == (1, None, None)


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ([], "no gear was ever in force"),
        (
            [{"kind": "unhealthy", "app": "garage", "waiting_for": "Prepare"}],
            "its worker did not answer to the order to make a network ready",
        ),
        ([{"kind": "error", "app": "garage", "text": "GearboxError: no file"}], "GearboxError: no file"),
        ([{"kind": "event", "text": "garage waits: unit gpu is away"}], "unit gpu is away"),
        ([{"kind": "out", "app": "garage", "reason": "it did not start"}], "it did not start"),
    ],
)
def test_an_app_that_never_had_a_gear_never_ran(made, entries, why):
    one = TroubleBook()
    for app in ("entrance", "yard"):
        one.note({"kind": "gear", "app": app, "to": ["s", "big", 1]})
    for entry in entries:
        one.note(entry)
    assert {app: entry["never_ran"] for app, entry in found(one, made).items()} == {"garage": why}


def test_an_app_that_was_given_up_ran_only_if_it_completed_a_request(made):
    out = {"kind": "out", "app": "garage", "reason": "it fell"}
    assert found(book(out), made)["garage"]["never_ran"] is None
    garage = replace(made.summary.apps["garage"], completed=0)
    barren = replace(made, summary=replace(made.summary, apps={**made.summary.apps, "garage": garage}))
    assert found(book(out), barren)["garage"]["never_ran"] == "it fell"
    unasked = replace(garage, submitted=0)
    idle = replace(made, summary=replace(made.summary, apps={**made.summary.apps, "garage": unasked}))
    assert found(book(out), idle)["garage"]["never_ran"] is None


def test_troubles_are_read_back_in_words(made, tmp_path):
    last = status(
        "yard", 2, RequestFault(**GONE, times=60, first=0), RequestFault(where="score", text="x", times=1, first=9)
    )
    entries = book({"kind": "lost", "app": "yard", "reason": "killed"}).end({"yard": last}, made.summary, 40.0)
    for entry in entries:
        kind, now_s = entry.pop("kind"), entry.pop("now_s")
        made.entries.append((kind, now_s, entry))
    (read,) = read_troubles(made.write(tmp_path / "run"))
    assert read.lines() == [
        "yard: source: RuntimeError: camera <b>gone</b> (60 times, first at request 0)",
        "yard: score: x (request 9)",
        "yard: its worker was lost 1 time",
    ]
