"""A run on Ray reads its board's rails, in the agent's process, and everything that is written tells of them."""

from dataclasses import replace

import pytest

from actors.agent.devices.sysfs import Tree
from actors.agent.machine import Machine
from actors.cluster import packaged_board
from helpers.live_runs import assert_sound, tiny_plan
from helpers.sensor_trees import ina3221_hwmon
from helpers.tiny_networks import network
from scheduler.board import Board, BoardUnit
from scheduler.sensor import Sensor
from workloads.mix.app import App, Family
from workloads.mix.arrivals import Periodic
from workloads.mix.mix import Mix
from workloads.report.run_report import write_report
from workloads.results.epoch_log import read_epoch_log
from workloads.results.run_dir import EPOCHS_FILE, read_run
from workloads.runs.launch import run_plan
from workloads.runs.plan import plan_run

pytestmark = pytest.mark.ray


def test_a_recording_is_replayed_over_the_run_and_is_not_called_measured(session, tmp_path):
    recording = tmp_path / "meter.csv"
    recording.write_text("at_s,power_w\n" + "".join(f"{step / 4},3\n" for step in range(-40, 400)))
    wall = Sensor(rail="wall", driver="replay", covers="board", file=str(recording))
    board = replace(packaged_board("two-core-host"), sensors=(wall,))
    family = Family([(network(tmp_path, "small").path, 0.6), (network(tmp_path, "large").path, 0.9)])
    mix = Mix("sensed", duration_s=3, apps=[App("a", supernet=family, arrivals=Periodic(hz=5), latency_ms=400)])
    plan = tiny_plan(tmp_path, board, mix, small=(0.2, 0.2), large=(0.3, 0.3))
    summary = run_plan(plan, session, tmp_path / "run")
    assert_sound(summary)
    energy = summary.energy
    assert (energy.units_source, energy.board_source) == ("modelled", "unknown")
    rail = energy.rails["wall"]
    assert rail.covers == "board"
    assert rail.samples > 1
    # A machine that stalls for more than a second makes a gap; else 3 W over some 3 s are added up.
    assert rail.joules is None or rail.joules > 3
    assert "replayed from" in rail.why_unknown or "showed nothing" in rail.why_unknown
    run = read_run(tmp_path / "run")
    assert {name: unit.source for name, unit in run.energy.units.items()} == dict.fromkeys(
        ("big", "little"), "modelled"
    )
    assert "rail wall:" in write_report(tmp_path / "run").read_text(encoding="utf-8")


def test_rails_of_the_machine_measure_a_real_board(session, tmp_path):
    ina3221_hwmon(tmp_path / "root")
    machine = Machine(tree=Tree(tmp_path / "root"), state=tmp_path / "state")
    units = (BoardUnit(name="cpu", kind="cpu", cpus=(0, 1), dvfs="fixed", mhz=(1e3,), static_w=None, dynamic_w=None),)
    sensors = (
        Sensor(rail="VDD_IN", driver="ina3221", covers="board"),
        Sensor(rail="VDD_CPU_GPU_CV", driver="ina3221", covers=("cpu",)),
    )
    board = Board(name="real", units=units, base_w=None, sensor="none", power_source="unknown", sensors=sensors)
    family = Family([(network(tmp_path, "small").path, 0.6)])
    mix = Mix("sensed", duration_s=3, apps=[App("a", supernet=family, arrivals=Periodic(hz=5), latency_ms=400)])
    plan = plan_run(mix, board, machine=machine)
    summary = run_plan(plan, session, tmp_path / "run")
    assert list(summary.energy.rails) == ["VDD_IN", "VDD_CPU_GPU_CV"]
    for rail, joules, source, power_w in (
        ("VDD_IN", summary.energy.board_j, summary.energy.board_source, 5.08),
        ("VDD_CPU_GPU_CV", summary.energy.units_j, summary.energy.units_source, 0.7112),
    ):
        read = summary.energy.rails[rail]
        assert read.samples > 10
        if read.why_unknown is None:
            # 3 s, but for what the machine stalls when the window begins or ends.
            assert joules == read.joules > power_w
            assert source == "measured"
        else:
            # A gap: this machine stalls at times for longer than five periods of the chip.
            assert (joules, source) == (None, "unknown")
            assert "showed nothing" in read.why_unknown
    _, entries = read_epoch_log(tmp_path / "run" / EPOCHS_FILE)
    rails_w = [entry["rails"] for entry in entries if entry["kind"] == "epoch"]
    assert {"VDD_IN": pytest.approx(5.08), "VDD_CPU_GPU_CV": pytest.approx(0.7112)} in rails_w
