"""The suite's scenarios keep what their words promise, worked out from boards and profiles by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actors.cluster import packaged_board
from actors.stored_profiles import packaged_profile
from scheduler.board import Board
from workloads import suite
from workloads.mix.app import App
from workloads.mix.arrivals import Trace
from workloads.mix.events import UnitChange
from workloads.mix.loader import load_mix
from workloads.mix.mix import Mix
from workloads.runs.simulated import plan_simulation
from workloads.simulator import simulate
from workloads.suite import suite_mixes

MIXES = {name: load_mix(path) for name, path in suite_mixes().items()}
CASES = [(name, board) for name, mix in MIXES.items() for board in mix.boards]


def apps_of(mix: Mix) -> list[App]:
    return [presence.app for presence in mix.all_apps()]


def floor_ms(app: App, board: Board) -> float:
    """Mean service of the smallest network that keeps the floor, on one of the fastest cores at its top clock."""
    profile = packaged_profile(str(app.supernet))
    assert profile is not None
    able = [time for rung in profile.rungs if (rung.accuracy or 0) >= app.min_accuracy for time in rung.times]
    return min(
        time.mean_ms / unit.speed for time in able for unit in board.units if unit.kind == time.kind and time.cores == 1
    )


def test_every_script_in_the_folder_is_a_scenario_and_has_its_name():
    scripts = {path.stem for path in Path(suite.__file__).parent.glob("*.py")}
    assert set(suite.NAMES) == scripts - {"__init__", "generated"}
    assert list(MIXES) == list(suite.NAMES)
    assert len(suite.NAMES) == 10
    assert all(mix.name == name for name, mix in MIXES.items())


@pytest.mark.parametrize(("name", "board"), CASES)
def test_every_mix_fits_each_of_its_boards(name, board):
    plan_simulation(MIXES[name], packaged_board(board))


@pytest.mark.parametrize("name", MIXES)
def test_every_application_has_requests_enough_to_show_that_it_meets_its_target(name):
    mix = MIXES[name]
    arrivals_s = mix.arrivals_s(seed=0)
    for app in apps_of(mix):
        # With all n on time Wilson's interval begins at n / (n + z²).
        n = arrivals_s[app.name].size
        assert n / (n + 1.96**2) > app.slo, app.name


@pytest.mark.parametrize(("name", "board"), CASES)
def test_the_floor_networks_leave_time_over(name, board):
    mix, where = MIXES[name], packaged_board(board)
    duration_s = mix.duration_s
    arrivals_s = mix.arrivals_s(seed=0)
    for kind in {unit.kind for unit in where.units}:
        fastest = max(unit.speed for unit in where.units if unit.kind == kind)
        capacity = sum(unit.cores * unit.speed / fastest for unit in where.units if unit.kind == kind)
        profiles = {app.name: packaged_profile(str(app.supernet)) for app in apps_of(mix)}
        here = [app for app in apps_of(mix) if profiles[app.name].rungs[0].times[0].kind == kind]
        load = sum(arrivals_s[app.name].size / duration_s * floor_ms(app, where) / 1000 for app in here)
        assert load < 0.6 * capacity


@pytest.mark.parametrize("name", MIXES)
def test_every_mix_runs_and_every_application_is_served(name):
    mix = MIXES[name]
    summary = simulate(plan_simulation(mix, packaged_board(mix.boards[0]), policy="floor"), log=False).summary
    assert summary.apps.keys() == {app.name for app in apps_of(mix)}
    for app in summary.apps.values():
        assert app.completed > 0.9 * app.submitted


def test_the_training_job_of_figure7_leaves_time_for_level_2_and_not_for_level_3():
    mix, profile = MIXES["figure7"], packaged_profile("dynamic-ofa-gpu")
    (job,) = mix.events
    assert isinstance(job, UnitChange)
    beside_ms = [rung.times[0].mean_ms / (1 - job.changes["busy"]) for rung in profile.rungs]
    assert beside_ms[2] < mix.apps[0].latency_ms < beside_ms[3]
    assert profile.rungs[4].times[0].mean_ms < mix.apps[0].latency_ms
    assert profile.rungs[2].accuracy > mix.apps[0].min_accuracy > profile.rungs[1].accuracy


def test_up_to_eight_applications_are_there_at_a_time():
    presences = MIXES["arrivals_and_departures"].all_apps()
    at_a_time = [sum(one.from_s <= time_s < one.to_s for one in presences) for time_s in range(60)]
    assert (at_a_time[0], max(at_a_time), at_a_time[-1]) == (2, 8, 3)


def test_a_fully_loaded_cluster_holds_1800_mhz_in_a_room_and_not_in_the_sun_and_an_idle_one_is_never_too_hot():
    mix = MIXES["hot"]
    board = packaged_board("odroid-xu3")
    big = board.unit("big")
    sun_c = max(event.changes["ambient_c"] for event in mix.events)

    def held_mhz(ambient_c, busy_cores):
        return max(
            mhz
            for mhz, static_w, dynamic_w in zip(big.mhz, big.static_w, big.dynamic_w, strict=True)
            if ambient_c + big.thermal.c_per_w * (static_w + busy_cores * dynamic_w) < big.thermal.trip_c
        )

    assert held_mhz(board.ambient_c, big.cores) == 1800
    assert held_mhz(board.ambient_c, 1) == big.mhz[-1]
    assert held_mhz(sun_c, big.cores) < 1800
    assert held_mhz(sun_c, 0) == big.mhz[-1]
    assert mix.events[-1].changes["ambient_c"] == board.ambient_c


def test_the_burst_is_the_same_each_time_and_twelve_times_as_dense_as_the_rest():
    light, again = (load_mix(suite_mixes()["bursty"]).apps[0].arrivals for _ in range(2))
    assert isinstance(light, Trace)
    assert light == again
    green = np.array(light.seconds) % 20 < 8
    dense, thin = green.sum() / 24, (~green).sum() / 36
    assert dense == pytest.approx(24, rel=0.15)
    assert thin == pytest.approx(2, rel=0.4)
