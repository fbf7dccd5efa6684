"""A bench compares its results: pairs, ratios and what else differs, shortfalls, curves, and the list of runs."""

from dataclasses import replace
from typing import get_args

import pytest

from helpers.bench_results import COMMAND, app, result, runs
from helpers.synthetic_run import make_run
from workloads.bench.comparison import (
    Runs,
    above_bound,
    both_meeting,
    bound_below,
    compare,
    floor_misses,
    mean_on_time,
    missed_apps,
    ratios_by_place,
    select,
    shortfalls,
)
from workloads.bench.curves import STEPS, scale_lines, utilisation_curve
from workloads.bench.power_sets import EnergyBySet
from workloads.bench.ratios import shared_tables
from workloads.bench.results import Group, RunResult, delivered_floors, result_of
from workloads.bench.rows import on_time_counts
from workloads.bench.tasks import BenchTask, Case, first_tasks, parity_tasks, usual_baselines
from workloads.results.requests import first_ends, is_on_time
from workloads.results.summary import Summary


def test_energy_is_compared_in_pairs_of_mix_board_and_seed() -> None:
    ours = runs(result("joint", units_j=5.0), result("joint", seed=1, units_j=8.0), result("joint", mix="alone"))
    base = runs(result("schedutil", units_j=10.0), result("schedutil", seed=1, units_j=4.0))
    comparison = compare(ours, base)
    assert comparison.units is not None
    assert comparison.units.value == pytest.approx(1.0)  # 1/2 and 2
    assert comparison.units.n == 2
    assert comparison.board is None


def test_an_energy_figure_comes_with_what_else_differs() -> None:
    ours = runs(result("joint", app(hits=90, n=100, lost=4, accuracy=0.7)))
    base = runs(result("schedutil", app(hits=80, n=100, accuracy=0.9)))
    difference = compare(ours, base).difference
    assert difference is not None
    assert difference.on_time == pytest.approx(0.1)
    assert difference.lost == pytest.approx(0.04)
    assert difference.accuracy == pytest.approx(-0.2)


def test_energy_per_request_on_time_sees_what_was_not_delivered() -> None:
    ours = runs(result("joint", app(hits=100, n=100), units_j=10.0))
    base = runs(result("schedutil", app(hits=50, n=100), units_j=10.0))
    comparison = compare(ours, base)
    assert comparison.units is not None
    assert comparison.per_on_time is not None
    assert (comparison.units.value, comparison.per_on_time.value) == (pytest.approx(1.0), pytest.approx(0.5))


def test_unknown_energy_or_accuracy_stays_unknown() -> None:
    ours = runs(result("joint", app(accuracy=None), units_j=None))
    comparison = compare(ours, runs(result("schedutil")))
    assert comparison.units is None
    assert comparison.worst is None
    assert comparison.difference is not None
    assert comparison.difference.accuracy is None


def test_measured_energy_is_not_compared_with_modelled() -> None:
    ours = runs(
        result("joint", units_j=5.0, source="measured"), result("joint", seed=1, units_j=8.0, source="measured")
    )
    base = runs(result("schedutil", units_j=10.0, source="measured"), result("schedutil", seed=1, units_j=4.0))
    units = compare(ours, base).units
    assert units is not None
    assert (units.value, units.n) == (pytest.approx(0.5), 1)
    assert ratios_by_place(ours, base) == {("gate", "host"): pytest.approx(0.5)}


def test_what_differs_is_told_of_the_runs_whose_energy_is_known() -> None:
    ours = runs(result("joint"), result("joint", app(hits=10), board="bare", units_j=None))
    base = runs(result("s"), result("s", app(hits=100), board="bare", units_j=None))
    difference = compare(ours, base).difference
    assert difference is not None
    assert difference.on_time == 0
    alone = compare({key: ours[key] for key in ours if key[1] == "bare"}, base).difference
    assert alone is not None
    assert alone.on_time == pytest.approx(-0.9)


def test_the_worst_mix_is_found_by_its_mean_over_seeds() -> None:
    ours = runs(
        result("joint", mix="a", units_j=9.0), result("joint", mix="b", units_j=20.0),
        result("joint", mix="b", seed=1, units_j=1.0),
    )  # fmt: skip
    base = runs(result("s", mix="a"), result("s", mix="b"), result("s", mix="b", seed=1))
    worst = compare(ours, base).worst
    assert worst is not None
    assert (worst.mix, worst.ratio) == ("a", pytest.approx(0.9))
    assert ratios_by_place(ours, base)["b", "host"] == pytest.approx(0.2**0.5)


def test_less_on_time_is_a_shortfall_only_beyond_the_interval() -> None:
    base = {"schedutil": runs(result("schedutil", app(hits=99)))}
    clear = shortfalls(runs(result("joint", app(hits=85, slo=0.9))), base)
    assert [(one.mix, one.baseline, one.missed_apps) for one in clear] == [("gate", "schedutil", ("app-0",))]
    assert clear[0].high < 0
    assert shortfalls(runs(result("joint", app(hits=98))), base) == []


def test_a_delivered_accuracy_below_the_floor_is_named_with_its_seeds() -> None:
    under = app(accuracy=0.74, floor=0.75)
    found = floor_misses(runs(result("joint", under), result("joint", under, seed=1), result("joint", seed=2)))
    assert [(one.app, one.floor, one.accuracy, one.seeds) for one in found] == [("app-0", 0.75, 0.74, 2)]
    assert floor_misses(runs(result("joint", app(accuracy=0.75 - 1e-12, floor=0.75)))) == []


def test_slos_are_judged_over_all_seeds() -> None:
    assert missed_apps([result("joint", app(hits=80)), result("joint", app(hits=100), seed=1)]) == ()
    assert missed_apps([result("joint", app(hits=80)), result("joint", app(hits=99), seed=1)]) == ("app-0",)


def test_mixes_where_one_misses_an_slo_are_left_out_of_the_like_comparison() -> None:
    ours = runs(result("joint", mix="a"), result("joint", mix="b"))
    base = runs(result("s", mix="a"), result("s", app(hits=10), mix="b"))
    mine, other = both_meeting(ours, base)
    assert [key[0] for key in mine] == ["a"]
    assert [key[0] for key in other] == ["a"]


def test_each_run_is_compared_with_the_bound_for_what_it_dropped_itself() -> None:
    ours = runs(
        result("joint", units_j=10.0, lower_bound_j=8.0),
        result("joint", seed=1, units_j=8.0, lower_bound_j=5.0),
        result("joint", seed=2, units_j=1.0),  # it misses an slo, so it has no bound
    )
    above, below = above_bound(ours), bound_below(ours)
    assert above is not None
    assert below is not None
    assert above.value == pytest.approx((1.25 * 1.6) ** 0.5)
    assert below.value == pytest.approx(1 / above.value)
    assert above.n == 2
    assert above_bound(runs(result("oracle"))) is None


XU3 = "published: Odroid XU3"


def on_three_boards(policy: str, *, seeds: int, big_j: float, small_j: float, other_j: float) -> Runs:
    """Return runs of a mix on two boards with one power table and on a third with its own."""
    return runs(
        *(
            replace(result(policy, board=board, seed=seed, units_j=joules), power_table=table)
            for seed in range(seeds)
            for board, joules, table in (("big", big_j, XU3), ("small", small_j, XU3), ("other", other_j, ""))
        )
    )


def test_boards_that_share_a_power_table_count_once() -> None:
    ours = on_three_boards("joint", seeds=2, big_j=2.0, small_j=8.0, other_j=1.0)
    base = on_three_boards("schedutil", seeds=2, big_j=10.0, small_j=10.0, other_j=10.0)
    units = compare(ours, base).units
    assert units is not None
    # The two boards have a mean of 0.4, which counts as much as the third's 0.1. Four pairs, not six.
    assert units.value == pytest.approx(0.2)
    assert units.n == 4
    assert shared_tables(ours.values()) == [["big", "small"]]


def test_differences_and_shares_on_time_count_a_power_table_once_too() -> None:
    def with_hits(policy: str, big: int, small: int, other: int) -> Runs:
        hits = {"big": big, "small": small, "other": other}
        whole = on_three_boards(policy, seeds=1, big_j=1.0, small_j=1.0, other_j=1.0)
        return {
            key: replace(one, summary=replace(summary_of(one), apps={"app-0": app(hits=hits[key[1]])}))
            for key, one in whole.items()
        }

    ours, base = with_hits("joint", 90, 90, 60), with_hits("schedutil", 80, 80, 80)
    difference = compare(ours, base).difference
    assert difference is not None
    assert difference.on_time == pytest.approx((0.1 - 0.2) / 2)
    assert mean_on_time(ours) == pytest.approx(0.75)


def test_a_power_table_that_one_run_failed_on_still_counts_once() -> None:
    ours = on_three_boards("joint", seeds=1, big_j=2.0, small_j=8.0, other_j=1.0)
    del ours["gate", "small", 0]
    base = on_three_boards("schedutil", seeds=1, big_j=10.0, small_j=10.0, other_j=10.0)
    units = compare(ours, base).units
    assert units is not None
    assert units.value == pytest.approx((0.2 * 0.1) ** 0.5)


def test_sets_of_power_figures_of_boards_with_one_table_meet_set_by_set() -> None:
    def priced(policy: str, by_board: dict[str, tuple[float, ...]]) -> Runs:
        return runs(
            *(
                replace(
                    result(policy, board=board, units_j=by_set[0]),
                    power_table=XU3,
                    by_set=EnergyBySet(units_j=by_set, board_j=()),
                )
                for board, by_set in by_board.items()
            )
        )

    ours = priced("joint", {"big": (1.0, 4.0), "small": (4.0, 1.0)})
    base = priced("schedutil", {"big": (1.0, 1.0), "small": (1.0, 1.0)})
    units = compare(ours, base).units
    assert units is not None
    # Either board's own ratio goes from 1 to 4, but their mean is 2 under both sets.
    assert units.over_sets == (pytest.approx(2.0), pytest.approx(2.0))


def test_mixes_with_objective_accuracy_are_a_group_of_their_own() -> None:
    results = [
        result("joint"),
        replace(result("joint", mix="figure7"), seeks_accuracy=True),
        result("joint", utilisation=0.4, mix="made"),
    ]
    found = {group: [key[0] for key in select(results, "joint", group=group)] for group in get_args(Group)}
    assert found == {"written": ["gate"], "accuracy": ["figure7"], "generated": ["made"]}
    assert len(select(results, "joint")) == 3


def test_variants_are_kept_apart() -> None:
    results = [
        result("joint"), result("joint", change="idle power 0 % of static"), result("joint", parity="schedutil"),
        result("joint", clones=2), result("joint", utilisation=0.4, mix="made"),
    ]  # fmt: skip
    assert [one.task.mix for one in select(results, "joint").values()] == ["gate", "made"]
    assert [one.task.mix for one in select(results, "joint", group="generated").values()] == ["made"]
    assert [one.task.clones for one in select(results, "joint", clones=2).values()] == [2]
    assert [one.task.parity for one in select(results, "joint", parity="schedutil").values()] == ["schedutil"]


def test_a_command_has_each_policy_seed_and_variant_once() -> None:
    command = replace(COMMAND, policies=("joint", "schedutil", "best"), scale=(1, 2), sensitivity=True)
    cases = [
        Case(source="a.py", mix="a", board="host"),
        Case(source="generated:0", mix="g", board="host", utilisation=0.5),
    ]
    tasks = first_tasks(command, cases)
    written = [task for task in tasks if task.mix == "a"]
    assert len(set(tasks)) == len(tasks)
    assert sum(task.plain for task in written) == 3 * 2
    assert [task.policy for task in written if task.clones == 2] == ["joint", "schedutil"]
    assert {task.policy for task in written if task.change} == {"joint", "schedutil"}
    assert [(task.policy, task.seed) for task in tasks if task.mix == "g"] == [("joint", 0), ("schedutil", 0)]


def test_parity_runs_have_the_floors_that_the_baseline_delivered() -> None:
    cases = [Case(source="a.py", mix="a", board="host")]
    base = BenchTask(mix="a", board="host", policy="schedutil", seed=1)
    tasks = parity_tasks(COMMAND, cases, {base: {"app-0": [(0.0, 0.8)]}})
    assert [(task.policy, task.seed, task.parity, task.floors) for task in tasks] == [
        ("joint", 1, "schedutil", {"app-0": [(0.0, 0.8)]})
    ]


def test_delivered_floors_are_just_met_by_what_delivered_them() -> None:
    floors = delivered_floors(summary_of(result("schedutil", app(accuracy=0.8, floor=0.9))))
    assert floors is not None
    assert floors["app-0"] == [(0.0, pytest.approx(0.8))]
    assert floors["app-0"][0][1] < 0.8
    assert delivered_floors(summary_of(result("schedutil", app(accuracy=None)))) is None


def test_without_named_baselines_the_usual_ones_serve_or_else_all_but_the_first_policy() -> None:
    assert usual_baselines(("joint", "floor", "joint+schedutil", "schedutil")) == ("schedutil", "joint+schedutil")
    assert usual_baselines(("schedutil", "joint")) == ("schedutil",)
    assert usual_baselines(("mine.py:Mine", "largest", "floor")) == ("largest", "floor")
    assert usual_baselines(("schedutil", "floor+schedutil")) == ("floor+schedutil",)
    assert usual_baselines(("schedutil",)) == ()


def test_the_first_policy_that_is_no_baseline_is_studied() -> None:
    command = replace(COMMAND, policies=("joint", "schedutil", "mine.py:Mine"), against=("joint", "schedutil"))
    assert (command.studied, command.baselines) == ("mine.py:Mine", ("joint", "schedutil"))
    both = replace(COMMAND, policies=("joint", "floor"), against=("joint", "floor"))
    assert (both.studied, both.baselines) == ("joint", ("floor",))


def test_a_result_adds_up_what_the_records_say() -> None:
    made = make_run()
    task = BenchTask(mix="car-park", board=made.summary.board, policy="joint", seed=0, floors={})
    found = result_of(task, made.summary, made.records, managing_j=0.5)
    assert found.task == task
    assert found.task.floors is None
    ended = [first_ends(own) for own in made.records.values()]
    assert on_time_counts(found) == (sum(is_on_time(own).sum() for own in ended), sum(own.size for own in ended))
    assert found.xrbench is not None
    assert 0 < found.xrbench < 100


def test_savings_are_averaged_over_mixes_of_like_utilisation() -> None:
    ours = runs(*(result("joint", mix=f"m{u}", utilisation=u, units_j=5.0) for u in (0.05, 0.06, 1.0)))
    base = runs(*(result("s", mix=f"m{u}", utilisation=u, units_j=10.0) for u in (0.05, 0.06, 1.0)))
    curve = utilisation_curve(ours, base)
    assert len(curve.points) == 3
    assert [place for place, one in enumerate(curve.means) if one is not None] == [0, STEPS - 1]
    assert curve.means[0] is not None
    assert curve.means[0].n == 2
    # Neither two mixes nor one show anything.
    assert curve.without_saving == [(0.0, pytest.approx(1 / STEPS)), (pytest.approx((STEPS - 1) / STEPS), 1.0)]


def test_a_mix_in_which_one_misses_its_slo_has_a_point_but_no_part_in_the_mean() -> None:
    ours = runs(result("joint", mix="a", utilisation=0.5), result("joint", mix="b", utilisation=0.5, units_j=5.0))
    base = runs(result("s", app(hits=10), mix="a", utilisation=0.5), result("s", mix="b", utilisation=0.5))
    curve = utilisation_curve(ours, base)
    assert [point.like for point in curve.points] == [False, True]
    assert [one.value for one in curve.means if one is not None] == [pytest.approx(0.5)]
    assert curve.points[0].on_time == pytest.approx(0.85)


def test_spans_without_a_saving_are_told_as_one_where_they_touch() -> None:
    made = [result("joint", mix=f"m{u}", utilisation=u) for u in (0.15, 0.25, 0.3, 0.95)]
    curve = utilisation_curve(runs(*made), runs(*made))
    assert [(round(low, 2), round(high, 2)) for low, high in curve.without_saving] == [(0.11, 0.33), (0.89, 1.0)]


def test_more_apps_are_measured_against_ours_with_the_apps_once() -> None:
    command = replace(COMMAND, policies=("schedutil", "joint"), scale=(1, 2))
    results = [
        result("joint", units_j=10.0), result("joint", clones=2, units_j=15.0),
        result("schedutil", units_j=20.0), result("schedutil", clones=2, units_j=40.0),
    ]  # fmt: skip
    lines = scale_lines(results, command)
    assert list(lines) == ["joint", "schedutil"]
    assert [point.ratio for point in lines["schedutil"]] == [pytest.approx(2.0), pytest.approx(4.0)]
    assert scale_lines(results[::2], command) == {}


def summary_of(one: RunResult) -> Summary:
    assert one.summary is not None
    return one.summary
