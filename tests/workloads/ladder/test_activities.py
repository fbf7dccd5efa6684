"""Activities of a ladder: measured on a fake board, kept, and found again by runs and simulations of that board."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from actors import profiling
from actors.affinity import SystemAffinity
from actors.agent.hold import TopClocks, at_top_clocks
from actors.board_commands.bench import Bench
from actors.board_commands.network_power import CorePower, Work
from actors.profiling import Ladder
from actors.stored_powers import store_powers, with_measured_activity
from helpers.network_rig import ACTIVITY, DYNAMIC_W, Rig
from helpers.tiny_networks import board, ladder, network, profile, with_gpu
from scheduler.profile import ServiceTime
from workloads import App, Family, Mix, Periodic
from workloads.ladder.activities import _loads, measure_activities, works_of
from workloads.ladder.ladders import ladders_of
from workloads.ladder.profiles import profile_board, profiles_for
from workloads.progress import no_progress


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ladder:
    monkeypatch.setenv("GEARSHIFT_CACHE", str(tmp_path / "cache"))
    return [(artifact, None, "unknown") for artifact in ladder(tmp_path).values()]


def test_a_ladders_activities_are_measured_and_kept(tiny: Ladder, tmp_path: Path) -> None:
    rig = Rig(tmp_path / "state")
    said: list[tuple[str, int, int]] = []
    # The file says more of a core than is true.
    units = tuple(
        replace(unit, dynamic_w=tuple(1.25 * watts for watts in unit.dynamic_w or ())) for unit in rig.board.units
    )
    board = replace(rig.board, units=units)
    with at_top_clocks(board, rig.bench.machine) as top:
        measured, reasons = measure_activities(
            profile(), tiny, board, rig.bench, top, lambda *now: said.append(now), rig.load
        )
    assert not reasons
    for rung in measured.rungs:
        for time in rung.times:
            assert time.activity_source == "measured"
            assert time.activity == pytest.approx(ACTIVITY[rung.subnet] / 1.25, rel=0.05)
            assert time.activity_error is not None
    assert {load.work.unit for load in rig.loads} == {"big"}
    assert said[-1] == ("power tiny", 4, 4)
    assert with_measured_activity(profile(), tiny, board) == measured
    top_w = DYNAMIC_W["big"](rig.board.unit("big").mhz[-1])
    assert board.unit("big").dynamic_w[-1] == pytest.approx(1.25 * top_w)  # type: ignore[index]


def test_what_is_emulated_stays_assumed_and_the_reason_names_it(tiny: Ladder, tmp_path: Path) -> None:
    bench: Bench = Rig(tmp_path / "state").bench
    found, reasons = measure_activities(profile(), tiny, board(), bench, TopClocks(mhz={}, knobs={}), no_progress)
    assert found == profile()
    assert reasons == {
        "the clock of unit 'pair' is emulated": [
            "small on 1 of pair",
            "small on 2 of pair",
            "large on 1 of pair",
            "large on 2 of pair",
        ]
    }


def test_each_network_is_measured_where_its_times_were_and_gpus_come_last() -> None:
    on_gpu = ServiceTime(kind="gpu", cores=1, samples_ms=(2.0,))
    tiny = profile()
    rungs = tuple(replace(rung, times=(on_gpu, *rung.times)) for rung in tiny.rungs)
    works = works_of(replace(tiny, rungs=rungs), with_gpu(board(speed=0.5)))
    assert [(work.subnet, work.unit, work.cores, work.run_ms) for work in works] == [
        ("small", "pair", 1, 20.0),
        ("small", "pair", 2, 10.0),
        ("large", "pair", 1, 80.0),
        ("large", "pair", 2, 40.0),
        ("small", "gpu", 1, 4.0),
        ("large", "gpu", 1, 4.0),
    ]


def test_runs_and_simulations_of_a_board_use_what_was_measured_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEARSHIFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(profiling, "_SAMPLES", 5)
    unit = replace(board(dvfs="fixed").units[0], cpus=(min(os.sched_getaffinity(0)),))
    here = replace(board(), units=(unit,))
    family = Family([(network(tmp_path, "small").path, 0.6)])
    mix = Mix("m", apps=[App("a", supernet=family, latency_ms=100, arrivals=Periodic(hz=1))], duration_s=1)
    ladder = ladders_of(mix, {}, no_progress)[family]
    in_run = profile_board("family", ladder, here, no_progress, engine="onnxruntime")
    assert [time.activity_source for rung in in_run.rungs for time in rung.times] == ["assumed"]
    powers = {
        replace(work, engine=engine): CorePower(mhz=1000.0, core_w=1.5, error_w=0.02)
        for work in works_of(in_run, here)
        for engine in ("onnxruntime", "openvino")
    }
    store_powers("family", ladder, here, powers)
    in_run = profile_board("family", ladder, here, no_progress, engine="onnxruntime")
    in_simulation = profiles_for(mix, here, measured=True)[family]
    for found in (in_run, in_simulation):
        (time,) = found.rungs[0].times
        assert (time.activity, time.activity_source, time.activity_error) == (0.75, "measured", 0.01)
    on_another = profiles_for(mix, replace(here, name="another"), measured=True)[family]
    assert on_another.rungs[0].times[0].activity_source == "assumed"


def test_the_real_network_runs_on_its_cores(tiny: Ladder) -> None:
    here = board(dvfs="fixed")
    cpu = min(os.sched_getaffinity(0))
    here = replace(here, units=(replace(here.units[0], cpus=(cpu,)),))
    with ExitStack() as stack:
        load = _loads(tiny, here, SystemAffinity(), stack)(
            Work(subnet="large", kind="cpu", unit="big", cores=1, engine="onnxruntime", run_ms=1.0)
        )
        before = os.sched_getaffinity(0)
        load.start((cpu,))
        load.stop()
        load.close()
        assert os.sched_getaffinity(0) == before
