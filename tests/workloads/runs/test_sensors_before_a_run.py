"""Before a run starts its user is told which rail is not there, and which energy will be unknown."""

from pathlib import Path

import pytest

from actors.agent.machine import Machine
from helpers.sensor_trees import Denied, ina3221_hwmon, rapl_zone, tree
from helpers.tiny_networks import network
from scheduler.errors import InputError
from workloads.mix.app import App, Family
from workloads.mix.arrivals import Periodic
from workloads.mix.mix import Mix
from workloads.runs.boards import open_board
from workloads.runs.plan import notices, plan_run

BOARD = """
name: mine
units:
  - {{name: cpu, kind: cpu, cpus: [0, 1], dvfs: fixed, mhz: [2600]}}
power: {{source: "unknown: not measured", {sensors}}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mine.yaml"


def test_a_rail_that_is_not_there_is_refused_by_file_and_name(tmp_path: Path, file: Path) -> None:
    ina3221_hwmon(tmp_path)
    machine = Machine(tree=tree(tmp_path), state=tmp_path / "state")
    file.write_text(BOARD.format(sensors="sensors: [{rail: VDD_CPU, driver: ina3221, covers: board}]"))
    with pytest.raises(InputError) as error:
        open_board(file, machine=machine)
    assert str(error.value).startswith(f"{file}: power.sensors: rail 'VDD_CPU': driver ina3221 finds no such rail here")
    assert "VDD_CPU_GPU_CV (7-0040)" in str(error.value)
    # A simulation asks no machine.
    assert open_board(file, "sim").sensors[0].rail == "VDD_CPU"


def test_a_rail_that_cannot_be_read_is_a_notice_with_its_mend(tmp_path: Path, file: Path) -> None:
    rapl_zone(tmp_path, "intel-rapl:0", "package-0")
    machine = Machine(tree=Denied(tmp_path, "energy_uj"), state=tmp_path / "state")
    file.write_text(BOARD.format(sensors="sensors: [{rail: package-0, driver: rapl, covers: [cpu]}]"))
    board = open_board(file, machine=machine)
    family = Family([(network(tmp_path, "small").path, 0.6)])
    mix = Mix("m", duration_s=1, apps=[App("a", supernet=family, arrivals=Periodic(hz=5), latency_ms=400)])
    (said, *_) = notices(plan_run(mix, board, machine=machine), {})
    assert said.startswith("rail 'package-0' cannot be read, so its energy will be unknown: /sys/class/powercap/")
    assert "gearshift doctor" in said
