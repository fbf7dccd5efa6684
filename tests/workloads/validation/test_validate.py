"""The simulator is compared with the board: differences are right by hand, and judged on undisturbed hosts alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.cluster import packaged_board
from actors.requests.records import RECORD, Status
from actors.session import RaySession
from helpers.live_runs import tiny_plan
from helpers.tiny_networks import network
from scheduler.board import Board, BoardUnit
from scheduler.profile import Profile, RungProfile, ServiceTime
from scheduler.views import Gear
from workloads import App, External, Family, Mix, Periodic, Poisson, at
from workloads.mix.errors import MixError
from workloads.results.epoch_log import LogHeader
from workloads.results.run_dir import EpochPoint, StoredRun, UnitPoint, read_run
from workloads.results.summary import Accuracy, AppSummary, HostSummary, energy_summary
from workloads.results.trace import read_trace
from workloads.runs.launch import run_plan
from workloads.runs.simulated import plan_simulation, write_simulated
from workloads.simulator import Costs, simulate
from workloads.validation.outcome import outcome
from workloads.validation.validate import AppFigures, Pair, app_figures, compare, simulation_of, unseen, validate

QUIET = HostSummary(steal_s=0.0, stall_ms_max=1.0, stalled_share=0.001, void=False)
STALLED = HostSummary(steal_s=0.0, stall_ms_max=900.0, stalled_share=0.2, void=True)

BIG = BoardUnit(
    name="big",
    kind="cpu",
    cpus=(0,),
    dvfs="emulated",
    mhz=(500.0, 1000.0),
    static_w=(0.1, 0.4),
    dynamic_w=(0.5, 2.0),
)
BOARD = Board(name="test", units=(BIG,), base_w=None, sensor="none", power_source="made up")
PROFILE = Profile(
    supernet="made-up",
    machine="none",
    rungs=tuple(
        RungProfile(
            subnet=subnet,
            accuracy=accuracy,
            accuracy_source="measured",
            times=(ServiceTime(kind="cpu", cores=1, samples_ms=(ms,)),),
        )
        for subnet, accuracy, ms in (("small", 0.6, 5.0), ("large", 0.8, 10.0))
    ),
)
APPS = [
    App("one", supernet="made-up", arrivals=Periodic(hz=15), latency_ms=60, min_accuracy=0.7),
    App("two", supernet="made-up", arrivals=Poisson(hz=10), latency_ms=120),
]


def record(index: int, start_s: float, end_s: float, arrival_s: float | None = None, **more: Any) -> tuple[Any, ...]:
    fields = {
        "index": index,
        "arrival_s": start_s if arrival_s is None else arrival_s,
        "start_s": start_s,
        "end_s": end_s,
        "target_ms": 50.0,
        "service_ms": 1000 * (end_s - start_s),
        "status": Status.COMPLETED,
        "credit": np.nan,
        "subnet": 0,
        "unit": 0,
        "cores": 1,
    } | more
    return tuple(fields[name] for name in RECORD.names)


def run_of(records: dict[str, Sequence[tuple[Any, ...]]], epochs: Sequence[EpochPoint] = ()) -> StoredRun:
    """A run with these records, and of all else what a figure takes."""
    header = LogHeader(
        mix="m", board="test", policy="joint", seed=0, time_scale=1.0, epoch_ms=100.0, emulated=True,
        power_source="made up", units_mhz={"big": (500.0, 1000.0), "little": (300.0,)},
        ladders=dict.fromkeys(records, ("small", "large")),
    )  # fmt: skip
    mix = Mix("m", apps=[App(name, supernet="made-up", arrivals=Periodic(hz=1), latency_ms=50) for name in records],
              duration_s=1)  # fmt: skip
    board = replace(BOARD, units=(BIG, replace(BIG, name="little", cpus=(1,), mhz=(300.0, 400.0))))
    summary = simulate(plan_simulation(mix, board, profiles={"made-up": PROFILE})).summary
    return StoredRun(
        path=Path(), summary=summary, header=header, epochs=list(epochs), gears=[], clocks=[], events=[], losses=[],
        troubles=[], stalls=[], records={app: np.array(own, dtype=RECORD) for app, own in records.items()},
        arrivals_s={},
    )  # fmt: skip


# ---------------------------------------------------------------- figures


def test_figures_are_of_all_requests_of_all_runs() -> None:
    first = run_of({"a": [record(0, 0.0, 0.010), record(1, 0.1, 0.130), record(2, 0.2, 0.260, subnet=1, unit=1)]})
    second = run_of({"a": [record(0, 0.0, 0.020), record(1, 0.1, 0.2, status=Status.DROPPED)]})
    accuracy = [Accuracy(value=0.5, n=3, source="measured"), Accuracy(value=0.9, n=1, source="measured")]
    runs = [with_app(run, "a", accuracy=one) for run, one in zip((first, second), accuracy, strict=True)]
    figures = app_figures(runs, "a")
    assert figures.completed == 4
    assert figures.p50_ms == pytest.approx(25)  # of 10, 20, 30 and 60
    assert figures.p95_ms == pytest.approx(55.5)
    assert figures.on_time == 3 / 5  # 60 ms is late, and so is the dropped one
    assert figures.accuracy == pytest.approx((3 * 0.5 + 0.9) / 4)
    small, large = Gear(subnet="small", unit="big", cores=1), Gear(subnet="large", unit="little", cores=1)
    assert figures.gears == {small: 0.75, large: 0.25}


def with_app(run: StoredRun, app: str, **changes: Any) -> StoredRun:
    summary: AppSummary = replace(run.summary.apps[app], **changes)
    return replace(run, summary=replace(run.summary, apps={**run.summary.apps, app: summary}))


def test_an_app_without_a_result_has_unknown_figures() -> None:
    figures = app_figures([with_app(run_of({"a": []}), "a", accuracy=Accuracy())], "a")
    assert figures == AppFigures(completed=0, p50_ms=None, p95_ms=None, on_time=None, accuracy=None, gears={})
    assert {one.verdict for one in compare("a", figures, figures, True)} == {"not shown"}


def figures(**changes: Any) -> AppFigures:
    gear = Gear(subnet="small", unit="big", cores=1)
    usual = {"completed": 10, "p50_ms": 10.0, "p95_ms": 20.0, "on_time": 0.8, "accuracy": 0.7, "gears": {gear: 1.0}}
    return AppFigures(**{**usual, **changes})


@pytest.mark.parametrize(
    ("metric", "simulated", "difference", "verdict"),
    [
        ("p50_ms", 10.5, 0.05, "met"),
        ("p95_ms", 18.1, -0.095, "met"),
        ("p95_ms", 17.9, -0.105, "missed"),
        ("on_time", 0.9, 0.125, "missed"),
        ("accuracy", None, None, "not shown"),
    ],
)
def test_a_difference_is_relative_to_the_board(
    metric: str, simulated: float | None, difference: float | None, verdict: str
) -> None:
    found = {one.metric: one for one in compare("a", figures(), figures(**{metric: simulated}), True)}
    assert found[metric].difference == (None if difference is None else pytest.approx(difference))
    assert found[metric].verdict == verdict
    assert {one.verdict for name, one in found.items() if name != metric} == {"met"}


def test_what_is_never_on_time_in_both_agrees() -> None:
    found = {one.metric: one for one in compare("a", figures(on_time=0.0), figures(on_time=0.0), True)}
    assert (found["on_time"].difference, found["on_time"].verdict) == (0.0, "met")
    found = {one.metric: one for one in compare("a", figures(on_time=0.0), figures(on_time=0.1), True)}
    assert (found["on_time"].difference, found["on_time"].verdict) == (None, "not shown")


def test_gears_differ_by_the_share_of_requests_that_would_have_to_change() -> None:
    a, b, c = (Gear(subnet=name, unit="big", cores=1) for name in "abc")
    found = {
        one.metric: one for one in compare("x", figures(gears={a: 0.5, b: 0.5}), figures(gears={a: 0.8, c: 0.2}), True)
    }
    assert found["gears"].difference == pytest.approx(0.5)
    assert found["gears"].verdict == "missed"


# ---------------------------------------------------------------- what the profile has not seen


def test_requests_beside_others_and_below_the_top_clock_are_counted() -> None:
    def epoch(now_s: float, mhz: float) -> EpochPoint:
        return EpochPoint(now_s=now_s, units={"big": UnitPoint(mhz=mhz, busy=0.5)}, apps={})

    run = run_of(
        {
            "a": [
                record(0, 0.00, 0.02),  # alone, at the top clock
                record(1, 0.30, 0.32, arrival_s=0.12),  # waited while b had the core; below the top
                record(2, 0.50, 0.52),  # b is on the other unit
                record(3, 0.92, 0.94),  # b began before it ended, and at the top
            ],
            "b": [record(0, 0.10, 0.20), record(1, 0.50, 0.52, unit=1), record(2, 0.93, 0.99)],
        },
        epochs=[epoch(0.1, 1000.0), epoch(0.2, 1000.0), epoch(0.4, 500.0), epoch(0.6, 500.0), epoch(1.0, 1000.0)],
    )
    found = unseen(run, "a")
    assert (found.completed, found.co_located, found.below_top, found.either) == (4, 2, 2, 3)


# ---------------------------------------------------------------- pairs


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, Costs], StoredRun]:
    def made(seed: int, costs: Costs) -> StoredRun:
        out = tmp_path_factory.mktemp("run")
        events = [at(1, "one", latency_ms=20)]
        plan = plan_simulation(
            Mix("m", apps=APPS, duration_s=3, events=events),
            BOARD,
            seed=seed,
            profiles={"made-up": PROFILE},
            costs=costs,
        )
        write_simulated(plan, simulate(plan), out)
        return read_run(out)

    return made


def pair_of(run: StoredRun, host: HostSummary | None, other: StoredRun | None = None) -> Pair:
    """A simulation that passes for a run on a board, beside itself or another one."""
    summary, header = replace(run.summary, host=host), replace(run.header, emulated=True)
    return Pair(real=replace(run, summary=summary, header=header), simulated=other or run)


def test_a_simulation_agrees_with_itself(simulated) -> None:
    found = validate([pair_of(simulated(0, Costs()), QUIET)])
    assert {one.difference for one in found.comparisons} == {0.0}
    assert {one.verdict for one in found.comparisons} == {"met"}
    assert [one.app for one in found.comparisons] == ["one"] * 5 + ["two"] * 5


@pytest.mark.parametrize("host", [STALLED, None])
def test_nothing_is_judged_on_a_disturbed_host(simulated, host: HostSummary | None) -> None:
    found = validate([pair_of(simulated(0, Costs()), host)])
    assert {one.verdict for one in found.comparisons} == {"not shown"}
    assert not found.undisturbed
    assert any("no difference is judged" in warning for warning in outcome(found).warnings)


def test_disturbed_runs_are_left_out_where_others_are_not(simulated) -> None:
    quiet = pair_of(simulated(0, Costs()), QUIET)
    slow = simulated(1, Costs(wake_ms=500))
    found = validate([pair_of(slow, STALLED), quiet])
    assert found.judged == [quiet]
    assert found.real == validate([quiet]).real
    assert any("1 of 2 runs" in warning for warning in outcome(found).warnings)


def test_the_outcome_says_what_was_found_and_what_it_rests_on(simulated, tmp_path: Path) -> None:
    run, other = simulated(0, Costs()), simulated(0, Costs(wake_ms=30))
    result = outcome(validate([pair_of(run, QUIET, other)]))
    result.write(tmp_path)
    page = (tmp_path / "report.html").read_text()
    for words in ("Modelled joules come from the same power figures", "beside another app", "<svg", "emulated"):
        assert words in page
    data = json.loads(result.to_json())
    missed = {(one["app"], one["metric"]) for one in data["comparisons"] if one["verdict"] == "missed"}
    assert ("one", "p50_ms") in missed
    assert data["validation"]["seeds_judged"] == [0]
    assert len(result.rows) == 2 * 5


def test_a_boards_sensor_is_shown_beside_modelled_joules(simulated) -> None:
    run = simulated(0, Costs())
    pair = pair_of(run, QUIET)
    energy = energy_summary(pair.real.summary.energy.units_j, 9.0, units_source="measured", board_source="measured")
    sensed = replace(pair, real=replace(pair.real, summary=replace(pair.real.summary, energy=energy)))
    sheets = {sheet.title: sheet for sheet in outcome(validate([sensed])).sheets}
    rows = {row[0]: row for row in sheets["Energy and load of the units"].rows}
    assert rows["whole board, by its sensor"][1] == "9.0 J"
    assert "units, board measured" in rows


# ---------------------------------------------------------------- the simulated half


def test_of_two_requests_at_one_moment_the_earlier_deadline_is_served_first() -> None:
    def waits(first_ms: float, second_ms: float) -> list[bool]:
        apps = [
            App("x", supernet="made-up", arrivals=Periodic(hz=15), latency_ms=first_ms, min_accuracy=0.7),
            App("y", supernet="made-up", arrivals=Periodic(hz=10), latency_ms=second_ms, min_accuracy=0.7),
        ]
        plan = plan_simulation(
            Mix("m", apps=apps, duration_s=3), BOARD, profiles={"made-up": PROFILE}, costs=Costs.none()
        )
        records = simulate(plan).records
        return [bool((own["start_s"] - own["arrival_s"] > 1e-6).any()) for own in records.values()]

    assert waits(60, 200) == [False, True]
    assert waits(200, 60) == [True, False]


def test_a_worker_takes_its_time_to_wake_and_to_turn_to_the_next_request() -> None:
    mix = Mix("m", apps=[App("x", supernet="made-up", arrivals=Poisson(hz=40), latency_ms=200)], duration_s=5)
    plan = plan_simulation(
        mix,
        BOARD,
        policy="largest+performance",
        profiles={"made-up": PROFILE},
        costs=replace(Costs.none(), wake_ms=2.0),
    )
    own = simulate(plan).records["x"]
    free_s = np.concatenate([[-1.0], own["end_s"][:-1]])
    late_ms = 1000 * (own["start_s"] - np.maximum(own["arrival_s"], free_s))
    assert (late_ms > 1.0 - 1e-6).all()
    assert (late_ms < 3.0 + 1e-6).all()
    assert np.ptp(late_ms) > 1.0
    assert (own["arrival_s"] < free_s).any()  # some did follow right on another


@pytest.fixture
def tiny(tmp_path: Path) -> Family:
    return Family([(network(tmp_path, "small").path, 0.6), (network(tmp_path, "large").path, 0.9)])


def test_the_simulation_is_of_the_very_run(tiny: Family) -> None:
    mix = Mix("m", apps=[App("x", supernet=tiny, arrivals=Periodic(hz=10), latency_ms=100)], duration_s=1)
    run = replace(
        tiny_plan(Path(), packaged_board("two-core-host"), mix, small=(0.2, 0.1), large=(0.4, 0.2)),
        time_scale=4.0,
        seed=7,
        policy="floor+schedutil",
    )
    plan = simulation_of(run)
    assert (plan.seed, plan.policy, plan.epoch_s) == (7, "floor+schedutil", run.epoch_s)
    assert plan.profiles == {"x": run.apps["x"].profile}
    assert plan.governors_sample
    assert not plan.costs.on_board
    assert plan.costs.wake_ms == Costs().wake_ms / 4


def test_a_mix_that_needs_clients_is_refused_before_anything_runs(tmp_path: Path) -> None:
    model = Family([(network(tmp_path, "small").path, 0.6)])
    mix = Mix("m", apps=[App("x", supernet=model, arrivals=External(), latency_ms=100)], duration_s=1)
    run = tiny_plan(Path(), packaged_board("two-core-host"), mix, small=(0.2, 0.1), large=(0.4, 0.2))
    with pytest.raises(MixError, match="app 'x': arrivals is External"):
        simulation_of(run)


@pytest.mark.ray
def test_a_run_and_its_simulation_make_a_pair(session: RaySession, tiny: Family, tmp_path: Path) -> None:
    mix = Mix("m", apps=[App("x", supernet=tiny, arrivals=Periodic(hz=10), latency_ms=200)], duration_s=2)
    plan = tiny_plan(tmp_path, packaged_board("two-core-host"), mix, small=(0.2, 0.1), large=(0.4, 0.2))
    simulation = simulation_of(plan)
    write_simulated(simulation, simulate(simulation), tmp_path / "simulated")
    run_plan(plan, session, tmp_path / "board")
    found = validate([Pair(real=read_run(tmp_path / "board"), simulated=read_run(tmp_path / "simulated"))])
    assert found.simulated["x"].completed == 20
    assert 0 < found.real["x"].completed <= 20
    assert found.unseen["x"].co_located == 0
    assert "x" in outcome(found).to_json()
    sources = {name: read_trace(tmp_path / name / "trace.msgpack").source for name in ("board", "simulated")}
    assert sources == {"board": "emulated", "simulated": "simulated"}
