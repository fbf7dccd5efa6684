"""The agent puts what the board's rails measure beside what the model says, and says which is which."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace

import pytest

from actors.agent.agent import BoardAgent
from actors.agent.devices.sysfs import Tree
from actors.agent.machine import Machine
from actors.agent.sensors import SensorError
from actors.clock import BoardClock
from helpers.agent_board import BIG, BOARD, LITTLE
from helpers.sensor_trees import ina3221_hwmon
from helpers.virtual_clock import VirtualClock
from scheduler.sensor import Sensor

REAL = tuple(
    replace(unit, dvfs="fixed", mhz=unit.mhz[-1:], static_w=unit.static_w[-1:], dynamic_w=unit.dynamic_w[-1:])
    for unit in (BIG, LITTLE)
)
VDD_IN = Sensor(rail="VDD_IN", driver="ina3221", covers="board")
VDD_CPU = Sensor(rail="VDD_CPU_GPU_CV", driver="ina3221", covers=("big", "little"))


@contextlib.contextmanager
def measuring(tmp_path, *sensors, units=REAL):
    """Open the agent of a board with an INA3221: 5.08 W on VDD_IN, 0.7112 W on VDD_CPU_GPU_CV."""
    files = ina3221_hwmon(tmp_path / "root")
    board = replace(BOARD, units=units, sensors=sensors)
    clock = VirtualClock()
    machine = Machine(tree=Tree(tmp_path / "root"), state=tmp_path / "state")
    with BoardAgent(board, apps=["a"], path=tmp_path / "ledger", clock=clock, machine=machine) as agent:
        yield agent, clock, files


def sample(agent, clock, seconds):
    """Read the sensors every 7 ms, as their thread would."""
    for _ in range(round(seconds / 0.007)):
        clock.sleep_until(clock.now_s() + 0.007)
        agent.sample()


def test_energies_are_measured_where_rails_cover_units_and_board(tmp_path):
    with measuring(tmp_path, VDD_IN, VDD_CPU) as (agent, clock, _):
        # A load that changed while the chip shows the same would make it a stuck one.
        agent.ledger.take(0, "big", [0], 0.0)
        sample(agent, clock, 1.4)
        agent.mark()
        sample(agent, clock, 7.0)
        totals = agent.totals()
    assert (totals.units_source, totals.board_source) == ("measured", "measured")
    assert totals.units_j == pytest.approx(7.0 * 0.7112)
    assert totals.board_j == pytest.approx(7.0 * 5.08)
    # big: 0.4 W and one busy core of 2 W; little: 0.01 W.
    assert totals.modelled_units_j == pytest.approx(7.0 * 2.41)
    assert totals.modelled_board_j == pytest.approx(7.0 * (2.41 + 1.5))
    big, little = totals.units
    assert (big.energy_source, little.energy_source) == ("attributed", "attributed")
    assert big.energy_j == pytest.approx(7.0 * 0.7112 * 2.40 / 2.41)
    assert big.energy_j + little.energy_j == pytest.approx(totals.units_j)
    assert [rail.name for rail in totals.rails] == ["VDD_IN", "VDD_CPU_GPU_CV"]


def test_a_rail_that_fails_leaves_its_energy_to_the_model_and_says_why(tmp_path):
    with measuring(tmp_path, VDD_IN, VDD_CPU) as (agent, clock, files):
        agent.mark()
        sample(agent, clock, 1.4)
        (files / "curr2_input").unlink()
        agent.telemetry()
        # A file that is open is read on; a driver that is gone is opened anew.
        agent._sampler.close()
        sample(agent, clock, 1.4)
        totals = agent.totals()
    assert (totals.units_source, totals.board_source) == ("modelled", "measured")
    assert totals.units_j == pytest.approx(2.8 * 0.41)
    assert totals.board_j == pytest.approx(2.8 * 5.08)
    assert [unit.energy_source for unit in totals.units] == ["modelled", "modelled"]
    assert "curr2_input: No such file" in totals.rails[1].why_unknown


def test_telemetry_has_the_power_that_was_measured(tmp_path):
    with measuring(tmp_path, VDD_IN, VDD_CPU) as (agent, clock, _):
        sample(agent, clock, 0.7)
        agent.telemetry()
        sample(agent, clock, 0.7)
        power = agent.report()
        big, little = power.units
    assert power.rails_w == {"VDD_IN": pytest.approx(5.08), "VDD_CPU_GPU_CV": pytest.approx(0.7112)}
    assert power.power_w == pytest.approx(0.7112)
    assert big.power_w + little.power_w == pytest.approx(0.7112)
    assert big.power_w / little.power_w == pytest.approx(0.40 / 0.01)


def test_what_the_rails_do_not_cover_is_not_called_measured(tmp_path):
    with measuring(tmp_path, VDD_IN) as (agent, clock, _):
        agent.telemetry()
        sample(agent, clock, 0.7)
        power = agent.report()
        big, _ = power.units
        totals = agent.totals()
    assert (power.power_w, big.power_w) == (None, pytest.approx(0.4))
    assert (totals.units_source, totals.board_source) == ("modelled", "measured")


def test_a_replay_is_told_and_measures_nothing(tmp_path):
    recording = tmp_path / "meter.csv"
    recording.write_text("at_s,power_w\n0,3\n100,3\n")
    replayed = Sensor(rail="wall", driver="replay", covers="board", file=str(recording))
    with measuring(tmp_path, replayed, units=(BIG, LITTLE)) as (agent, clock, _):
        agent.mark()
        for step in range(1, 400):
            clock.sleep_until(step / 4)
            agent.sample()
        totals = agent.totals()
        power = agent.report()
    (rail,) = totals.rails
    assert (rail.joules, rail.why_unknown) == (299.25, f"replayed from {recording}: not measured in this run")
    assert (totals.units_source, totals.board_source) == ("modelled", "modelled")
    assert power.rails_w == {}


def test_an_agent_refuses_sensors_in_slowed_down_time_and_leaves_nothing_behind(tmp_path):
    ina3221_hwmon(tmp_path / "root")
    slow = BoardClock(zero_s=time.monotonic(), time_scale=3.0)
    machine = Machine(tree=Tree(tmp_path / "root"), state=tmp_path / "state")
    board = replace(BOARD, units=REAL, sensors=(VDD_IN,))
    with pytest.raises(SensorError, match="time_scale 3"):
        BoardAgent(board, apps=["a"], path=tmp_path / "ledger", clock=slow, machine=machine)
    assert [path.name for path in tmp_path.iterdir()] == ["root"]
