"""Energy is priced, compared, kept and told over all power sets that fit a board equally well."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars
import pytest

from actors import odroid_power
from actors.cluster import packaged_board
from actors.xavier_power import STOCK, UNCLAMPED
from helpers.bench_results import COMMAND, result
from scheduler.board import Board, BoardUnit
from workloads import App, Mix, Periodic
from workloads.bench.cases import find_cases
from workloads.bench.comparison import compare
from workloads.bench.policy_sheets import mix_sheets, policy_sheet
from workloads.bench.power_sets import EnergyBySet, energy_by_set, set_boards, sets_of
from workloads.bench.ratios import units_j
from workloads.bench.report import Bench, to_html
from workloads.bench.results import RunResult
from workloads.bench.rows import write_tables
from workloads.bench.runner import run_bench
from workloads.bench.sheets import boards_sheet, energy_sheet
from workloads.bench.statistics import ConfidenceInterval, ratio_range_over_sets
from workloads.bench.store import Store
from workloads.bench.tasks import Command
from workloads.bench.words import ratio_verdict
from workloads.runs.simulated import plan_simulation
from workloads.simulator import simulate
from workloads.simulator.residency import Residency

XAVIER = packaged_board(STOCK)
MIX = Mix(
    "gate",
    duration_s=4,
    apps=[
        App("gate", "dynamic-ofa-gpu", Periodic(hz=8), 100),
        App("archive", "dynamic-ofa-cpu", Periodic(hz=0.5), 2000),
    ],
)
SCRIPT = """
from workloads import App, Mix, Periodic

def mix():
    return Mix("gate", duration_s=2, apps=[App("gate", "dynamic-ofa-gpu", Periodic(hz=4), 100)])
"""
TWO = replace(COMMAND, policies=("joint", "schedutil"), against=("schedutil",))


@pytest.mark.parametrize("family", [odroid_power.BOARDS, (STOCK, UNCLAMPED)])
def test_boards_of_a_family_name_one_power_table(family: tuple[str, ...]) -> None:
    assert len({packaged_board(name).power_source for name in family}) == 1


def one_unit(static_w: float, dynamic_w: float, base_w: float) -> Board:
    unit = BoardUnit(
        name="cpu", kind="cpu", cpus=(0,), dvfs="fixed", mhz=(1.0,), static_w=(static_w,), dynamic_w=(dynamic_w,)
    )
    return Board(name="b", units=(unit,), base_w=base_w, sensor="none", power_source="made up")


def priced(policy: str, *by_set_j: float, units_j: float = 10.0, board: str = STOCK) -> RunResult:
    """A run that took so much under each set."""
    by_set = EnergyBySet(units_j=by_set_j, board_j=by_set_j) if by_set_j else None
    return replace(result(policy, units_j=units_j, board=board), by_set=by_set)


def test_only_a_packaged_board_with_known_power_has_sets() -> None:
    assert len(set_boards(XAVIER)) == 300
    assert [len(set_boards(packaged_board(name))) for name in odroid_power.BOARDS] == [26, 26, 26]
    assert set_boards(packaged_board("odroid-xu4")) == ()
    assert set_boards(replace(XAVIER, base_w=5.0)) == ()
    assert sets_of(replace(XAVIER, base_w=5.0)) is None


def test_a_set_is_of_the_same_device_on_each_board_of_a_family() -> None:
    stock, unclamped = set_boards(XAVIER), set_boards(packaged_board(UNCLAMPED))
    assert [one.base_w for one in stock] == [one.base_w for one in unclamped]
    assert [one.unit("gpu").static_w for one in stock] == [one.unit("gpu").static_w for one in unclamped]
    two, one = set_boards(packaged_board("two-core-host")), set_boards(packaged_board("one-unit-host"))
    assert [board.unit("big").static_w for board in two] == [board.unit("cpu").static_w for board in one]
    assert [board.unit("big").dynamic_w for board in two] == [board.unit("cpu").dynamic_w for board in one]


def test_a_run_is_priced_under_each_set() -> None:
    # By hand: 10 s at 0.5 W and 4 s of a busy core at 2 W are 13 J; the rest of the board takes 1 W, and so on.
    residency = Residency(
        mhz=(1.0,), time_s=(10.0,), idle_s=(6.0,), busy_s=(4.0,), active_s=(4.0,), off_s=(0.0,), managing_s=(0.0,)
    )
    found = energy_by_set([one_unit(0.5, 2.0, 1.0), one_unit(1.0, 1.0, 3.0)], {"cpu": residency}, duration_s=10.0)
    assert found == EnergyBySet(units_j=(13.0, 14.0), board_j=(23.0, 44.0))
    assert energy_by_set([], {"cpu": residency}, duration_s=10.0) is None
    unknown = replace(one_unit(0.5, 2.0, 1.0), base_w=None)
    assert energy_by_set([unknown], {"cpu": residency}, 10.0) == EnergyBySet(units_j=(13.0,), board_j=())


def test_a_run_priced_again_is_the_run_simulated_again_where_nobody_decides_by_power() -> None:
    run = simulate(plan_simulation(MIX, XAVIER, policy="performance"), log=False)
    for board in set_boards(XAVIER)[:2]:
        # Only its power: with its memory shares the run would be another.
        units = [
            replace(known, static_w=own.static_w, dynamic_w=own.dynamic_w)
            for known, own in zip(XAVIER.units, board.units, strict=True)
        ]
        again = simulate(
            plan_simulation(MIX, replace(XAVIER, units=tuple(units), base_w=board.base_w), policy="performance"),
            log=False,
        )
        found = energy_by_set([board], run.residency, MIX.duration_s)
        assert found is not None
        assert found.units_j[0] == pytest.approx(again.summary.energy.units_j)
        assert found.board_j[0] == pytest.approx(again.summary.energy.board_j)


def test_a_bench_prices_each_run_under_each_set_with_the_change_of_its_board(tmp_path: Path) -> None:
    script = tmp_path / "gate.py"
    script.write_text(SCRIPT)
    asked = Command(policies=("floor",), against=(), repeats=1, seed=0, backend="sim", scale=(1,), sensitivity=True)
    cases = find_cases(asked, [script], [STOCK], 0, lambda words: None, lambda *done: None)
    results = run_bench(asked, cases, Store(tmp_path / "out", cases.identity), 1, lambda *done: None)
    by_change = {one.task.change: one for one in results}
    plain, idle, more = (by_change[name] for name in (None, "idle power 0 % of static", "static power 50 % more"))
    assert plain.by_set
    assert idle.by_set
    assert more.by_set
    assert len(plain.by_set.units_j) == 300
    assert all(less < was for less, was in zip(idle.by_set.units_j, plain.by_set.units_j, strict=True))
    assert all(was < now for was, now in zip(plain.by_set.units_j, more.by_set.units_j, strict=True))
    energy = units_j(plain)
    assert energy is not None
    low, high = np.percentile(plain.by_set.units_j, [25, 75])
    assert low < energy.stated < high


def test_the_range_over_sets_is_of_the_mean_that_counts_each_scenario_alike() -> None:
    sets = np.arange(1.0, 42.0)
    # One scenario whose two pairs have a geometric mean of the set's own number, and one that no set changes.
    found = ratio_range_over_sets({"a": [sets / 2, sets * 2], "b": [np.array([4.0])], "none": []})
    # By hand: of 1 to 41 the 2.5th and the 97.5th percentile are 2 and 40; sqrt(2 · 4) and sqrt(40 · 4).
    assert found == (pytest.approx(8**0.5), pytest.approx(160**0.5))
    assert ratio_range_over_sets({"b": [np.array([4.0])]}) is None
    # Two families of boards with four sets and two: their sets meet in some order.
    families = {"a": [np.array([1.0, 1.0, 9.0, 9.0])], "b": [np.array([4.0, 16.0])], "c": [np.array([16.0, 4.0])]}
    low, high = ratio_range_over_sets({"a": families["a"], "b": families["b"]}) or (0.0, 0.0)
    assert 2.0 <= low < high <= 12.0
    # Boards of one family stay in step: whatever the order, 4 meets 16.
    assert ratio_range_over_sets({"a": [np.ones(4)], "b": families["b"], "c": families["c"]}) == (
        pytest.approx(4.0),
        pytest.approx(4.0),
    )
    assert ratio_range_over_sets({}) is None


def test_sets_are_compared_one_by_one_so_that_what_they_share_cancels_out() -> None:
    ours, base = priced("joint", 1.0, 10.0, 100.0, units_j=9.0), priced("schedutil", 2.0, 20.0, 200.0)
    key = ("gate", STOCK, 0)
    units = compare({key: ours}, {key: base}).units
    assert units is not None
    assert units.value == pytest.approx(0.9)
    assert units.over_sets == (pytest.approx(0.5), pytest.approx(0.5))


def test_boards_without_sets_are_compared_as_stated_beside_those_with() -> None:
    ours = {("a", STOCK, 0): priced("joint", 4.0, 9.0), ("b", "x", 0): priced("joint", units_j=5.0)}
    base = {("a", STOCK, 0): priced("schedutil", 1.0, 1.0), ("b", "x", 0): priced("schedutil", units_j=5.0)}
    units = compare(ours, base).units
    assert units is not None
    assert units.over_sets == (pytest.approx(2 + 0.025), pytest.approx(3 - 0.025))
    assert compare({("b", "x", 0): ours["b", "x", 0]}, base).units == ConfidenceInterval(
        value=1.0, low=None, high=None, scenarios=1, n=1
    )


def test_a_verdict_needs_the_sets_too() -> None:
    seen = ConfidenceInterval(value=0.6, low=0.5, high=0.65, scenarios=9, n=9)
    assert ratio_verdict(seen) == "less"
    assert ratio_verdict(replace(seen, over_sets=(0.4, 0.8))) == "less"
    assert ratio_verdict(replace(seen, over_sets=(0.4, 1.1))) == "not shown"


def test_every_energy_comparison_has_its_range_over_sets_and_its_board_says_why() -> None:
    results = [priced("joint", 4.0, 6.0, units_j=5.0), priced("schedutil", 10.0, 10.0)]
    words = "power sets −59.5 to −40.5 %"
    assert words in energy_sheet(results, TWO, "schedutil", "written").rows[0][1]
    by_board = boards_sheet(results, TWO, {STOCK: XAVIER}, "written").rows[0]
    assert words in by_board[1]
    assert by_board[2].endswith("power sets: 2")
    ours, base = mix_sheets(results, TWO)[0].rows
    assert ours[1] == "5.00 J (power sets 4.05 to 5.95 J)"
    assert ours[2].endswith("power sets 4.05 to 5.95 J)") or ours[2] == "unknown"
    assert words in ours[3]
    assert base[3] == "baseline"
    assert policy_sheet(results, TWO, "written").rows[0][2] == ours[1]
    html = to_html(Bench(command=TWO, boards={STOCK: XAVIER}, results=results))
    assert "at the medians of the sets, which policies believe" in html
    assert "95 % of 2 sets of figures that fit what is public equally well" in html
    assert "thin: over power sets" in html


def test_a_board_with_one_set_of_figures_says_nothing_of_sets() -> None:
    own = replace(packaged_board("odroid-xu3"), name="mine")
    results = [priced("joint", board="mine"), priced("schedutil", board="mine")]
    row = boards_sheet(results, TWO, {"mine": own}, "written").rows[0]
    assert row[2] == own.power_source
    assert "power sets" not in row[1]
    assert "under each set" not in to_html(Bench(command=TWO, boards={"mine": own}, results=results))


def test_a_measured_board_says_what_its_sets_are() -> None:
    results = [priced("joint", 4.0, 6.0, board="odroid-xu3"), priced("schedutil", 10.0, 10.0, board="odroid-xu3")]
    html = to_html(Bench(command=TWO, boards={"odroid-xu3": packaged_board("odroid-xu3")}, results=results))
    assert "Energies are at the median of 13 measured workloads and the measured idle power" in html
    assert "each workload&#x27;s power with the idle power of either of two chips" in html


def test_energies_by_set_are_kept_and_their_ends_are_in_the_table_of_runs(tmp_path: Path) -> None:
    kept = priced("joint", *range(1, 42))
    Store(tmp_path / "out", {}).add(kept)
    assert Store(tmp_path / "out", {}).results[kept.task].by_set == kept.by_set
    write_tables([kept, priced("schedutil")], tmp_path)
    runs = polars.read_csv(tmp_path / "runs.csv")
    assert runs["units_j_low"].to_list() == [2.0, None]
    assert runs["board_j_high"].to_list() == [40.0, None]
    of_units = replace(kept, by_set=EnergyBySet(units_j=kept.by_set.units_j, board_j=()) if kept.by_set else None)
    write_tables([of_units], tmp_path)
    runs = polars.read_csv(tmp_path / "runs.csv")
    assert (runs["units_j_low"].to_list(), runs["board_j_low"].to_list()) == ([2.0], [None])
