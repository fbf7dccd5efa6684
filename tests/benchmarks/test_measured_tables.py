"""The bench on measured tables: points are what was measured, and each policy keeps to what it may know."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.odroid_power import one_core
from actors.wall_power import SYSTEMS
from benchmarks import bench_tables
from benchmarks.bench_tables import main, policies_for, score, verdict
from benchmarks.measured import baselines, joint, searches
from benchmarks.measured.points import FULL_LOAD, MLPERF, Point, Table, TableUnit, mlperf, odroid_xu3, tables, tx2_cnv
from benchmarks.measured.requests import Request, draw, optimum

TABLES = {table.name: table for table in tables()}
ASKED = Request(ladder="one", period_ms=100.0, target_ms=60.0, min_accuracy=0.0, cap_w=None)


def point(network: str, mhz: float, run_ms: float, busy_w: float, accuracy: float = 0.5) -> Point:
    return Point(
        network=network,
        accuracy=accuracy,
        unit="cpu",
        mhz=mhz,
        run_ms=run_ms,
        busy_w=busy_w,
        idle_w=1.0 + mhz / 1000,
        settings=(float(len(network)) / 3, mhz / 2000),
    )


def small() -> Table:
    """Three networks at two clocks: time goes with the clock, and the second takes half as much again as the others."""
    points = [
        point(network, mhz, work_ms * 2000 / mhz, 1.0 + mhz / 1000 + activity * watts, accuracy)
        for network, work_ms, activity, accuracy in (("a", 10, 1.0, 0.5), ("bb", 9, 1.5, 0.6), ("ccc", 20, 1.0, 0.7))
        for mhz, watts in ((1000.0, 1.0), (2000.0, 3.0))
    ]
    unit = TableUnit(name="cpu", mhz=(1000.0, 2000.0), idle_w=(2.0, 3.0))
    return Table(name="small", data_set="made up", units=(unit,), ladders={"one": tuple(points)}, has_sensor=True)


# ---------------------------------------------------------------- tables and requests


def test_points_by_hand() -> None:
    run = {run.network: run for run in SYSTEMS["odroid-n2-armnn"].runs}["efficientnet-lite0-float32"]
    (points,) = mlperf("odroid-n2-armnn").ladders.values()
    (found,) = (one for one in points if one.network == run.network)
    assert (found.run_ms, found.accuracy, found.busy_w, found.idle_w) == (56.2675, 0.75068, 5.045, 2.8)
    # 100 ms at 2.8 W, and 2.245 W more for 56.2675 ms.
    assert found.energy_mj(100.0) == pytest.approx(280 + 2.245 * 56.2675)
    a15 = one_core("a15")
    (found,) = (one for one in odroid_xu3().ladders["hash"] if (one.unit, one.mhz) == ("a15", 1000.0))
    place = a15.mhz.index(1000)
    assert found.idle_w == a15.idle_w[place] + one_core("a7").idle_w[0]
    assert found.above_w == pytest.approx(a15.above_idle_w["hash"][place])
    (found,) = (one for one in tx2_cnv().ladders["batch 8"] if (one.network, one.mhz) == ("12.5-FP16", 854.25))
    assert (found.run_ms, found.busy_w, found.idle_w, found.accuracy) == (0.769945, 4.9, 4.15, pytest.approx(0.7781))


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_point_was_measured_once_and_takes_more_than_the_idle_board(table: Table) -> None:
    for points in table.ladders.values():
        assert len({(one.network, one.unit, one.mhz) for one in points}) == len(points)
        assert all(one.above_w > 0 and one.run_ms > 0 for one in points)
        assert len({len(one.settings) for one in points}) == 1
        assert {one.unit for one in points} == {unit.name for unit in table.units}


def test_the_tables_have_what_is_said_of_them() -> None:
    assert [len(TABLES[name].ladders["94 networks"]) for name in MLPERF] == [94] * 7
    assert sum(map(len, TABLES["tx2-cnv"].ladders.values())) == 4 * 2 * 3 * 8 - 1
    assert (len(TABLES["odroid-xu3"].ladders), len(TABLES["odroid-xu3-steady"].ladders)) == (13, 7)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_each_request_can_be_met_and_the_optimum_is_the_least(table: Table) -> None:
    asked = draw(table, 30, seed=7)
    assert asked == draw(table, 30, seed=7) != draw(table, 30, seed=8)
    for request in asked:
        assert request.target_ms <= FULL_LOAD * request.period_ms
        best = optimum(table, request)
        assert request.is_met(best)
        met = [one for one in table.ladders[request.ladder] if request.is_met(one)]
        assert all(best.energy_mj(request.period_ms) <= one.energy_mj(request.period_ms) for one in met)
    assert {request.cap_w is None for request in asked} == {True, False}


def test_a_request_says_what_falls_short() -> None:
    slow = point("a", 1000.0, 66.0, 3.0)
    assert ASKED.shortfalls(slow) == (pytest.approx(0.1), 0, 0)
    assert replace(ASKED, target_ms=66.0, min_accuracy=0.6).shortfalls(slow) == (0, pytest.approx(0.1), 0)
    # 2 W idle, 3 W for 66 of 100 ms: 2.66 W.
    assert replace(ASKED, target_ms=66.0, cap_w=2.0).shortfalls(slow)[2] == pytest.approx(0.33)
    assert replace(ASKED, target_ms=66.0, cap_w=2.66).is_met(slow)


def test_a_request_that_nothing_meets_has_no_optimum() -> None:
    with pytest.raises(ValueError, match="no point of small meets"):
        optimum(small(), replace(ASKED, target_ms=1.0))


# ---------------------------------------------------------------- joint


@pytest.mark.parametrize(("floor", "target_ms"), [(0.0, 60.0), (0.0, 12.0), (0.55, 60.0), (0.65, 60.0), (0.65, 30.0)])
def test_joint_is_optimal_where_its_model_holds(floor: float, target_ms: float) -> None:
    table, request = small(), replace(ASKED, min_accuracy=floor, target_ms=target_ms)
    knowing = joint.Knowing(activity=joint.measured_activity)
    assert joint.choices(table, request, knowing) == (optimum(table, request),)


def test_joint_without_a_sensor_takes_the_quickest_for_the_cheapest() -> None:
    # 10 ms at 3 W above idle are less than 9 ms at 4.5 W, at either clock.
    table = small()
    assert optimum(table, ASKED).network == "a"
    assert joint.choices(table, ASKED, joint.Knowing(activity=joint.activity_of_1))[-1].network == "bb"


def test_joint_does_not_look_at_the_rows_that_it_predicts() -> None:
    """Other times and powers of a network at lower clocks change nothing of what is known of it."""
    table = small()
    changed = {
        "one": tuple(
            replace(one, run_ms=7 * one.run_ms, busy_w=9.0) if (one.network, one.mhz) == ("ccc", 1000.0) else one
            for one in table.ladders["one"]
        )
    }
    for activity in (joint.activity_of_1, joint.measured_activity):
        knowing = joint.Knowing(activity=activity)
        other = replace(table, ladders=changed)
        assert joint.known_of(table, "one", "ccc", knowing) == joint.known_of(other, "one", "ccc", knowing)
        assert joint.known_of(table, "one", "a", knowing) != joint.known_of(other, "one", "a", knowing)


def test_joint_learns_from_an_observed_latency() -> None:
    """`ccc` takes 60 ms at half the clock where 40 are foreseen, so after one look it goes to the top clock."""
    table = small()
    late = {
        "one": tuple(
            replace(one, run_ms=60.0) if (one.network, one.mhz) == ("ccc", 1000.0) else one
            for one in table.ladders["one"]
        )
    }
    table = replace(table, name="late", ladders=late)
    request = replace(ASKED, min_accuracy=0.65, target_ms=50.0)
    once = joint.choices(table, request, joint.Knowing(activity=joint.measured_activity, rounds=0))
    assert [one.mhz for one in once] == [1000.0]
    tried = joint.choices(table, request, joint.Knowing(activity=joint.measured_activity, rounds=1))
    assert [one.mhz for one in tried] == [1000.0, 2000.0]


def test_a_network_timed_at_both_ends_has_its_own_share() -> None:
    table = odroid_xu3()
    ends = joint.known_of(
        table, "cachekiller", "cachekiller", joint.Knowing(activity=joint.activity_of_1, timed_at_ends=True)
    )
    pooled = joint.known_of(table, "cachekiller", "cachekiller", joint.Knowing(activity=joint.activity_of_1))
    assert ends.board.units[0].memory_share > 0.9 > pooled.board.units[0].memory_share
    fast, slow = point("a", 2000.0, 10.0, 3.0), point("a", 1000.0, 15.0, 3.0)
    assert joint.memory_share([(fast, 10.0), (slow, 10.0)], 2000.0) == pytest.approx(0.5)
    assert joint.memory_share([(fast, 10.0)], 2000.0) == 0.0


# ---------------------------------------------------------------- baselines and searches


def test_baselines_by_hand() -> None:
    table, request = small(), replace(ASKED, min_accuracy=0.65, target_ms=45.0)
    assert baselines.largest(table, replace(request, target_ms=15.0)).network == "bb"
    assert baselines.largest(table, request).network == "ccc"
    found = baselines.floor(table, request)
    assert (found.network, found.mhz) == ("ccc", 2000.0)
    # Load 0.2 at the top clock: schedutil wants 500 MHz and gets the lowest; at 0.5 it wants 1250.
    assert baselines.floor_schedutil(table, request).mhz == 1000.0
    assert baselines.floor_schedutil(table, replace(request, period_ms=40.0)).mhz == 2000.0
    assert baselines.two_stage(table, request).mhz == 1000.0
    assert baselines.two_stage(table, replace(request, target_ms=30.0)).mhz == 2000.0


@pytest.mark.parametrize("search", [searches.covariance, searches.model])
@pytest.mark.parametrize("name", ["tx2-cnv", "odroid-xu3", "raspberry-pi-4-armnn"])
def test_a_search_measures_few_points_and_takes_the_best(search, name: str) -> None:
    table = TABLES[name]
    for request in draw(table, 5, seed=3):
        *measured, taken = search(table, request)
        assert search(table, request) == (*measured, taken)
        assert len(measured) == len(set(measured)) <= searches.MEASUREMENTS
        assert all(one.accuracy >= request.min_accuracy - 1e-9 for one in measured)
        met = [one for one in measured if request.is_met(one)]
        if met:
            assert taken == min(met, key=lambda one: one.energy_mj(request.period_ms))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-10, 10), min_size=3, max_size=8, unique=True), st.floats(0.1, 5), st.floats(-5, 5))
def test_distance_correlation_is_1_along_a_straight_line(values: list[float], slope: float, shift: float) -> None:
    x = np.array(values)
    assert searches.distance_correlation(x, shift - slope * x) == pytest.approx(1, abs=1e-4)
    assert searches.distance_correlation(x, np.full(len(x), shift)) == 0


def test_distance_correlation_sees_what_no_line_shows() -> None:
    x = np.array([-1.0, 0.0, 1.0])
    assert np.corrcoef(x, x**2)[0, 1] == 0
    # By hand, in 81sts: the products of the centred distances add up to 72, their squares to 360 and 144.
    assert searches.distance_correlation(x, x**2) == pytest.approx((72 / (360 * 144) ** 0.5) ** 0.5)


def test_a_gaussian_process_keeps_what_was_measured_and_knows_less_elsewhere() -> None:
    at = np.array([[0.0], [0.5], [1.0]])
    mean, deviation = searches.predict(at, np.array([1.0, 2.0, 4.0]), np.array([[0.5], [5.0]]))
    assert mean[0] == pytest.approx(2.0, abs=0.05)
    assert mean[1] == pytest.approx(7 / 3)
    assert deviation[0] < 0.1 < deviation[1]


# ---------------------------------------------------------------- scores and the command


def test_a_score_by_hand() -> None:
    table = small()
    best = optimum(table, ASKED)
    dear = next(one for one in table.ladders["one"] if (one.network, one.mhz) == ("ccc", 2000.0))
    late = next(one for one in table.ladders["one"] if one.run_ms == 40.0)
    asked = [ASKED, ASKED, replace(ASKED, target_ms=30.0)]
    found = score(table, "x", asked, [(best,), (late, dear), (late,)])
    ratio = dear.energy_mj(100.0) / best.energy_mj(100.0)
    assert (found.requests, found.missed) == (3, pytest.approx(1 / 3))
    assert found.regret == pytest.approx(ratio**0.5 - 1)
    assert found.median == pytest.approx((ratio - 1) / 2)
    assert found.on_the_way[1] == pytest.approx(1 / 4)
    nothing = score(table, "x", asked[2:], [(late,)])
    assert (nothing.missed, nothing.regret, nothing.above_idle) == (1, None, None)


def test_the_verdict_names_where_the_aim_is_missed() -> None:
    good = score(small(), "joint", [ASKED], [(optimum(small(), ASKED),)])
    assert verdict([good]) == "joint is within 3 % of the optimum on 1 of 1 tables. It met all requests."
    bad = replace(good, table="big", regret=0.05, missed=0.25)
    assert verdict([good, bad, replace(bad, policy="floor")]) == (
        "joint is within 3 % of the optimum on 1 of 2 tables; not on big 5.0 %. Requests that it did not meet: "
        "big 25.0 %."
    )
    none = replace(bad, regret=None, missed=1.0)
    assert verdict([none]).startswith("joint is within 3 % of the optimum on 0 of 1 tables; not on big.")


def test_policies_that_do_not_differ_on_a_table_are_left_out() -> None:
    assert "two-stage" not in policies_for(TABLES["odroid-n2-tflite"])
    assert "joint, activity of another board" in policies_for(TABLES["odroid-n2-tflite"])
    assert "joint, activity 1" in policies_for(TABLES["odroid-xu3"])


def test_the_command_writes_choices_figures_and_a_plot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_tables, "tables", lambda: (tx2_cnv(),))
    assert main(["--requests", "3", "--seed", "4", "--out", str(tmp_path)]) == 0
    assert "covariance search" in capsys.readouterr().out
    with open(tmp_path / "bench_tables.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 3 * len(policies_for(tx2_cnv()))
    assert all(float(row["energy_mj"]) >= float(row["optimum_mj"]) - 1e-3 for row in rows if row["met"] == "True")
    content = json.loads((tmp_path / "bench_tables.json").read_text())
    assert (content["seed"], len(content["scores"])) == (4, len(policies_for(tx2_cnv())))
    assert (tmp_path / "bench_tables.svg").read_text().startswith("<svg")


@pytest.mark.parametrize("arguments", [["--requests", "0"], ["--seed", "-1"]])
def test_a_bench_of_nothing_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "--requests must be at least 1 and --seed at least 0." in capsys.readouterr().err
