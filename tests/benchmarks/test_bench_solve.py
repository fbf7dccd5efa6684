"""The benchmark of decisions measures what it says, on the product's own points, and its tables say what was found."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import bench_solve
from benchmarks.bench_solve import Series, Work, cases, gap_of, parse
from benchmarks.figure_log import FigureLog
from benchmarks.rig import Stopwatch
from benchmarks.solve_cases import (
    BOARDS,
    LOADS,
    Drawn,
    board_of,
    forget,
    ladder_of,
    posed,
    shown,
    tighten,
    tightened,
)
from benchmarks.solve_plot import plot_times
from benchmarks.solve_tables import print_tables, rows_of
from scheduler import contention
from scheduler.policies.solving import Joint
from scheduler.solver import evaluate, solve

SMALL = Drawn(board="odroid-xu3", apps=2, load="busy", objective="energy", cap=None, seed=1000)
POINTS = {"jetson-xavier-nx": 1155, "odroid-xu3": 896, "eight-units": 2310}


@pytest.mark.parametrize("board", BOARDS)
def test_boards_have_as_many_units_and_points_as_is_said(board: str) -> None:
    units = board_of(board).units
    assert len(units) == {"jetson-xavier-nx": 4, "odroid-xu3": 2, "eight-units": 8}[board]
    assert len({unit.name for unit in units}) == len(units)
    cpus = [cpu for unit in units for cpu in unit.cpus]
    assert len(set(cpus)) == len(cpus)
    rungs = ladder_of(board).rungs
    times = [(unit, time) for unit in units for rung in rungs for time in rung.times]
    possible = sum(len(unit.mhz) for unit, time in times if unit.kind == time.kind and unit.cores >= time.cores)
    assert (len(rungs), possible) == (7, POINTS[board])


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("apps", [1, 3, 64])
def test_applications_are_the_same_again_for_all_objectives_and_caps(load: str, apps: int) -> None:
    drawn = replace(SMALL, apps=apps, load=load)
    specs = drawn.specs()
    assert specs == replace(drawn, objective="fair", cap=0.1).specs()
    assert specs != replace(drawn, seed=1001).specs()
    assert len({spec.app for spec in specs}) == len(specs) == apps
    assert all(spec.target_ms > 0 and spec.arrivals.rate_hz > 0 for spec in specs)


def test_loads_weigh_more_and_more() -> None:
    def violation(load: str) -> float:
        some = [replace(SMALL, apps=8, load=load, seed=seed) for seed in (1000, 1001)]
        return sum(solve(posed(shown(one.knowledge(one.specs()), None), "cpu")).violation for one in some)

    light, busy, much = map(violation, LOADS)
    assert light == 0.0 < much
    assert light <= busy <= much


def test_the_event_is_a_tighter_target_in_the_same_manager() -> None:
    specs = SMALL.specs()
    changed = tightened(specs)
    assert changed[0].target_ms == pytest.approx(0.9 * specs[0].target_ms)
    assert changed[1:] == specs[1:]
    knowledge = SMALL.knowledge(specs)
    plan = Joint().decide(shown(knowledge, None))
    before = shown(knowledge, plan)
    assert {view.app: view.gear for view in before.apps} == plan.gears
    tighten(knowledge, specs[0])
    after = shown(knowledge, plan)
    assert after.apps[0].target_ms == changed[0].target_ms
    # Points are kept; a manager that is told anew makes the same ones once more.
    assert after.apps[0].points is before.apps[0].points
    anew = shown(SMALL.knowledge(changed), plan)
    assert anew.apps[0].points is not before.apps[0].points
    assert anew.apps[0].points == before.apps[0].points


def test_what_was_worked_out_before_is_forgotten() -> None:
    specs = replace(SMALL, apps=6, load="too much").specs()
    Joint().decide(shown(replace(SMALL, apps=6).knowledge(specs), None))
    kept = [one for one in vars(contention).values() if hasattr(one, "cache_info")]
    assert any(one.cache_info().currsize for one in kept)
    forget()
    assert not any(one.cache_info().currsize for one in kept)


def test_a_gap_is_zero_at_the_bound_and_unknown_where_targets_are_missed() -> None:
    for objective in ("energy", "accuracy", "fair"):
        problem = posed(shown(replace(SMALL, objective=objective, load="light").knowledge(SMALL.specs()), None), "cpu")
        answer = solve(problem)
        assert answer.optimal
        if answer.violation == 0:
            assert gap_of(problem, answer) == pytest.approx(0.0, abs=1e-9)
        side = 1.1 if objective == "accuracy" else 1 / 1.1
        assert gap_of(problem, replace(answer, violation=0.0, bound=side * answer.bound)) == pytest.approx(0.1)
        assert gap_of(problem, replace(answer, violation=0.2)) is None


def test_only_the_plain_case_goes_over_all_sizes() -> None:
    quick = list(cases(parse([])))
    assert len({(one.board, one.apps, one.load) for one in quick}) == 3 * 8 * 3
    others = [one for one in quick if (one.objective, one.cap) != ("energy", None)]
    assert (len(quick), len(others)) == (72 + 30, 3 * 2 * 5)
    assert {(one.apps, one.load) for one in others} == {(8, "busy"), (12, "busy")}
    assert len(list(cases(parse(["--whole"])))) == 432
    assert [one.seed for one in cases(parse(["--apps", "1", "--boards", "odroid-xu3", "--first", "7"]))] == [7, 7, 7]


def test_what_is_no_board_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--boards", "odroid-xu9"])
    assert "'odroid-xu9' is none of jetson-xavier-nx, odroid-xu3, eight-units" in capsys.readouterr().err


def test_a_run_measures_us_and_peers_and_goes_on_where_it_was_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, out, svg = tmp_path / "log", tmp_path / "out.json", tmp_path / "plot.svg"
    command = ["--boards", "odroid-xu3", "--apps", "1,2", "--loads", "light", "--problems", "2", "--first", "1000"]
    command += ["--objectives", "energy", "--caps", "none", "--peer-limit-s", "30", "--peers", "CP-SAT"]
    command += ["--log", str(log), "--json", str(out), "--svg", str(svg)]
    assert bench_solve.main(command) == 0
    first = log.read_text()
    assert len(first.splitlines()) == 2 * 2 + 2
    found = json.loads(out.read_text())
    assert [(row["apps"], row["problems"], row["proven"], row["met"]) for row in found["rows"]] == [
        (1, 2, 2, 2),
        (2, 2, 2, 2),
    ]
    for row in found["rows"]:
        assert row["plan_p99"] >= row["plan_p50"] > 0
        assert row["event_p50"] > 0
        assert row["solve_p50"] > 0
    assert [(one["peer"], one["apps"], one["ended"]) for one in found["peers"]] == [
        ("CP-SAT", 1, True),
        ("CP-SAT", 2, True),
    ]
    assert "| odroid-xu3 | 2 | energy | none |" in capsys.readouterr().out
    assert svg.read_text().startswith("<svg")
    assert bench_solve.main(command) == 0
    assert log.read_text() == first
    assert json.loads(out.read_text()) == found


def test_with_another_sharing_the_same_applications_are_solved() -> None:
    snapshot = shown(SMALL.knowledge(SMALL.specs()), None)
    for sharing in ("exclusive", "unit", "cpu"):
        problem = posed(snapshot, sharing)
        assert problem.sharing == sharing
        assert [d.points for d in problem.demands] == [view.points for view in snapshot.apps]
        answer = solve(problem)
        assert evaluate(problem, answer.choice, answer.mhz, answer.cpus).power_w == pytest.approx(answer.power_w)


def test_a_sample_in_which_a_core_stood_still_is_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    left = iter([False, False, True, False, False, False])
    calm = Stopwatch.times_ms
    monkeypatch.setattr(Stopwatch, "times_ms", lambda *said: calm(*said) if next(left) else np.empty(0))
    monkeypatch.setattr(Work, "take", lambda work, timer: {"ms": {"solve": timer.take("solve", lambda: 0) or 1}})
    series = Series(FigureLog(None))
    for seed, tries, stalled in ((1, 2, False), (2, 2, True)):
        work = Work(drawn=replace(SMALL, seed=seed), sharing="cpu")
        series.take([work])
        kept: Any = series.log.get(work.case)
        assert (kept["repeated"], kept["stalled"]) == (tries, stalled)
    assert (series.repeated, series.stalled) == (4, 1)


def made_sample(apps: int, load: str, cpu_ms: float, **others: Any) -> dict[str, Any]:
    ms = {name: (cpu_ms, 3 * cpu_ms if others.get("shared") else cpu_ms) for name in ("points", "decision", "solve")}
    return {
        **{"board": "odroid-xu3", "apps": apps, "load": load, "objective": "energy", "cap": None},
        **{"ms": {**ms, "event": (0.5 * cpu_ms, 0.5 * cpu_ms)}, "points": 10, "met": True, "settled": True},
        "solved": {"met": True, "proven": others.get("gap") is None, "gap": others.get("gap")},
    }


def test_figures_of_a_case_are_percentiles_over_its_samples(capsys: pytest.CaptureFixture[str]) -> None:
    samples = [made_sample(4, "light", float(ms)) for ms in range(1, 101)]
    samples += [made_sample(8, "light", 10.0, gap=0.25), made_sample(8, "light", 30.0, gap=0.75, shared=True)]
    four, eight = rows_of(samples)
    assert (four["plan_p50"], four["plan_p99"]) == (101.0, pytest.approx(2 * 99.01))
    assert (four["solve_p50"], four["event_p50"], four["plan_alone"], four["gap"]) == (50.5, 25.25, 100, None)
    # The wall time is that of the sample that had a core to itself.
    assert (eight["plan_p50"], eight["plan_wall_p50"], eight["plan_alone"]) == (40.0, 20.0, 1)
    assert (eight["proven"], eight["problems"], eight["gap"]) == (0, 2, 0.5)
    peers = [
        {**made_sample(4, "light", 1.0), "peer": name, "ms": {"solve": (900.0, 950.0)}, "ended": ended}
        for name, ended in (("HiGHS", False), ("CP-SAT", True))
    ]
    fair = {**eight, "objective": "fair", "load": "busy"}
    print_tables([four, eight, fair], peers, ["light", "busy"])
    lines = capsys.readouterr().out.splitlines()
    assert "| odroid-xu3 | 4 | energy | none | 101 / 198 | 25.2 / 49.5 | 50.5 / 99.0 | 100/100 | 100/100 | – |" in lines
    assert "| odroid-xu3 | 8 | energy | none | 40.0 / 59.6 | 10.0 / 14.9 | 20.0 / 29.8 | 2/2 | 0/2 | 50.0 % |" in lines
    assert "| odroid-xu3 | 8 | fair | none | 40.0 / 59.6 | 10.0 / 14.9 | 20.0 / 29.8 | 2/2 | 0/2 | 50.0 % |" in lines
    assert "| odroid-xu3 | 4 | 50.5 | out of time | 900 |" in lines


def test_the_plot_has_a_panel_for_each_board_and_marks_who_ran_out_of_time() -> None:
    rows = rows_of([made_sample(apps, load, 5.0 * apps) for apps in (1, 8) for load in LOADS])
    peers = [{**rows[0], "peer": "HiGHS", "ms": {"solve": (900.0, 950.0)}, "ended": False}]
    svg = plot_times(rows, peers, 5.0)
    assert svg == plot_times(rows, peers, 5.0)
    assert svg.count(">odroid-xu3<") == 1
    for text in (*LOADS, "↑", "applications", "an epoch", "HiGHS, solve alone"):
        assert text in svg
    assert "CP-SAT" not in svg
