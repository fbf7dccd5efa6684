"""An overloaded run says who gave what: in lines, table and report, which explains a handful of its plans."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from actors.cluster import packaged_board
from helpers.html_page import Page
from workloads import App, Mix, Periodic, at
from workloads.explaining.reading import read_plans
from workloads.report.run_report import render
from workloads.report.table import summary_table
from workloads.report.why_plans import MOST_PLANS, plans_of_interest
from workloads.results.concessions import concession_lines
from workloads.results.entry_words import entry_words
from workloads.results.run_dir import StoredRun, read_run
from workloads.runs.simulated import plan_simulation, write_simulated
from workloads.simulator import simulate

# `roof` asks for 4 ms, and no network above its floor is that quick here; `yard` has little weight.
CROWD = Mix(
    name="crowd",
    duration_s=8,
    apps=[
        App("door", supernet="ofa-plates", arrivals=Periodic(hz=15), latency_ms=40, min_accuracy=0.80, weight=3),
        App("yard", supernet="ofa-plates", arrivals=Periodic(hz=50), latency_ms=8, min_accuracy=0.80, weight=0.2),
    ],
    events=[
        at(2, add=App("roof", supernet="ofa-plates", arrivals=Periodic(hz=60), latency_ms=4, min_accuracy=0.84)),
        at(6, remove="roof"),
    ],
)


def simulated(mix: Mix, out: Path, policy: str = "joint") -> StoredRun:
    plan = plan_simulation(mix, packaged_board("two-core-host"), policy=policy)
    ran = simulate(plan)
    write_simulated(plan, ran, out)
    return read_run(out)


@pytest.fixture(scope="module")
def crowd(tmp_path_factory) -> StoredRun:
    return simulated(CROWD, tmp_path_factory.mktemp("crowd") / "run")


@pytest.fixture(scope="module")
def page(crowd) -> str:
    return render(crowd)


def test_each_app_is_answered_when_it_joins_and_the_others_when_they_are_met_again(crowd):
    start, joined, left = crowd.admissions
    assert (start.joined, start.outlook.verdict) == (("door", "yard"), "accepted")
    assert (joined.joined, joined.outlook.verdict, joined.now_s) == (("roof",), "degraded", 2.0)
    assert "roof" in {miss.app for miss in joined.outlook.misses}
    assert (left.joined, left.outlook.verdict, left.now_s) == ((), "accepted", 6.0)


def test_the_answer_is_a_line_with_numbers():
    plan = plan_simulation(CROWD, packaged_board("two-core-host"))
    lines = [line for entry in simulate(plan).entries if entry["kind"] == "admission" and (line := entry_words(entry))]
    assert lines[0] == "admit   door, yard accepted: every target and floor is foreseen to be met"
    assert re.match(
        r"admit   roof accepted degraded: roof \d+ % over its target of 4 ms \([\d.]+ ms foreseen\), w", lines[1]
    )
    assert lines[2] == "outlook every target and floor is foreseen to be met again"


def test_who_gave_what_is_of_the_time_in_which_it_was_there(crowd):
    by_app = {one.app: one for one in crowd.given}
    assert not by_app["door"].gave
    roof = by_app["roof"]
    assert roof.present_s == pytest.approx(4.0)
    assert roof.late.for_s == pytest.approx(4.0)
    answer = crowd.admissions[1]
    miss = next(one for one in answer.outlook.misses if one.app == "roof")
    assert roof.late.mean == pytest.approx(miss.late, rel=0.2)
    assert roof.starved == (f"none of {crowd.summary.apps['roof'].segments[0].n} requests on time",)
    assert concession_lines(crowd.given)[0].startswith("roof (weight 1): foreseen late for 100 % of its time, by ")


def test_the_table_names_who_got_nothing(crowd):
    caption = str(summary_table([crowd.summary], given=[crowd.given]).caption)
    assert "What could not be given:" in caption
    assert "roof (weight 1)" in caption
    assert "door" not in caption
    assert "could not be given" not in str(summary_table([crowd.summary]).caption)


def test_the_report_says_who_gave_what(crowd, page):
    assert Page(page).headings[:4] == ["Summary", "Who gave what", "What changed and why", "Why these plans"]
    rows = {row[0]: row for row in Page(page).table("foreseen late")}
    assert "door" not in rows
    assert rows["roof"][1] == "1"
    assert rows["roof"][2].startswith("100 % of the time by ")
    assert rows["roof"][3:] == ["0.0 %", f"none of {crowd.summary.apps['roof'].submitted} requests on time"]
    assert "without a unit" not in page  # nobody was
    assert len(Page(page).table("what was foreseen")) == len(crowd.admissions)


def test_the_report_explains_a_handful_of_plans_in_sentences(crowd, page):
    log = read_plans(crowd)
    chosen = plans_of_interest(log)
    assert 2 <= len(chosen) <= MOST_PLANS
    numbers = [plan.plan for plan, _ in chosen]
    assert numbers == sorted(numbers)
    lasted = dict(zip(numbers, (lasted_s for _, lasted_s in chosen), strict=True))
    assert sum(lasted.values()) <= CROWD.duration_s + 1e-9
    assert {log.at(at_s).number for at_s in (0.0, 2.5)} <= set(numbers)
    for number in numbers:
        assert f"Plan {number}, in force for" in page
    for words in ("What binds", "roof is foreseen late", "yard's target of 8 ms", "gearshift explain RUN_DIR --at T"):
        assert words.replace("'", "&#x27;") in page


def test_prices_are_left_out_where_they_would_take_too_many_decisions(crowd, monkeypatch):
    monkeypatch.setattr("workloads.report.why_plans.MOST_DECISIONS", 8)
    page = render(crowd)
    assert page.count("What constraints cost is left out here") == len(plans_of_interest(read_plans(crowd))) - 1
    assert "There is no other gear" not in page


def test_a_run_that_meets_everything_says_so(tmp_path):
    mix = Mix("door", apps=CROWD.apps[:1], duration_s=2)
    run = simulated(mix, tmp_path / "run")
    assert concession_lines(run.given) == []
    page = render(run)
    assert "At every moment the plan in force foresaw every target and floor to be met." in page
    assert "could not be given" not in str(summary_table([run.summary], given=[run.given]).caption)


def test_under_a_governor_nothing_is_foreseen_and_no_prices_are_said(tmp_path):
    mix = Mix("door", apps=CROWD.apps[:1], duration_s=2)
    run = simulated(mix, tmp_path / "run", "floor+schedutil")
    (answer,) = run.admissions
    assert answer.outlook.verdict == "unforeseen"
    assert "door accepted; what they get is not foreseen, since a governor sets the clock of big, little" in render(run)
