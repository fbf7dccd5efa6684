"""Manager, control loop and board agent on a Jetson whose power mode somebody sets in the middle of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.agent.devices.cpufreq import CpufreqClock
from actors.agent.devices.hotplug import UnitSwitch
from actors.agent.hold import Hold, recover
from helpers.board_bed import CPU, BoardBed, fake_bed
from helpers.board_loop import BoardLoop
from helpers.fake_kernel import FakeKernel, boards
from helpers.fake_world import gear, make_spec
from helpers.gpu_bed import GpuBed
from helpers.scripted import Watchful

pytestmark = pytest.mark.usefixtures("fake_boards")

_MODES = (
    # A board, the number of another mode than its own, and the highest clock of the GPU in that mode.
    ("xavier-nx-l4t32", 3, 803.25, "MODE_10W_2CORE"),
    ("xavier-nx-l4t35", 5, 510.0, "MODE_10W_DESKTOP"),
    ("orin-nano-l4t36", 0, 612.0, "15W"),
)


def _knobs_in_mode(kernel: FakeKernel, gpu: GpuBed, number: int) -> dict[str, str]:
    """Return what all knobs show in a mode; the board is in its own mode before and afterwards."""
    own = kernel.jetson.mode.number
    kernel.jetson.nvpmodel(number)
    knobs = gpu.bed.knobs() | gpu.knobs()
    kernel.jetson.nvpmodel(own)
    return knobs


@pytest.mark.parametrize(("board", "number", "highest", "name"), _MODES)
def test_the_manager_plans_within_the_new_mode(
    board: str, number: int, highest: float, name: str, tmp_path: Path
) -> None:
    kernel = boards.ALL[board]()
    bed = fake_bed(kernel, tmp_path / "state")
    gpu = GpuBed(bed)
    own = kernel.jetson.mode.number
    as_found, in_new_mode = (_knobs_in_mode(kernel, gpu, one) for one in (own, number))
    top = gpu.unit.mhz[-1]
    on_gpu = Watchful({"a": gear("s", "gpu")}, {"gpu": top})
    with BoardLoop(bed, tmp_path, [make_spec("a")], policy=on_gpu, others=[gpu.unit]) as run:
        run.wait_for(lambda: gpu.mhz == top)
        on_gpu.clocks = {"gpu": highest}
        kernel.jetson.nvpmodel(number)
        run.wait_for_news(f"gpu held at {highest:g} MHz by nvpmodel {name}")
        run.wait_for(lambda: len(run.plans()) > 1)
        assert gpu.mhz == highest
        on_gpu.clocks = {"gpu": gpu.unit.mhz[1]}
        kernel.jetson.nvpmodel(own)
        run.wait_for_news(f"gpu no longer held at {highest:g} MHz")
        kernel.jetson.nvpmodel(number)
        run.wait_for(lambda: gpu.mhz == gpu.unit.mhz[1])
    assert bed.knobs() | gpu.knobs() == in_new_mode
    assert run.given_back is not None
    assert not run.given_back.left_alone
    # Clock domains whose CPUs the mode has taken away wait in the journal until they are back.
    kernel.jetson.nvpmodel(own)
    recover(bed.machine)
    assert bed.knobs() | gpu.knobs() == as_found


def _xavier(tmp_path: Path) -> tuple[FakeKernel, BoardBed]:
    kernel = boards.xavier_nx_l4t35()
    return kernel, fake_bed(kernel, tmp_path / "state")


def test_cpus_that_are_off_when_the_mode_takes_them_stay_off(tmp_path: Path) -> None:
    kernel, bed = _xavier(tmp_path)
    unit = bed.units[2]
    in_new_mode = _knobs_in_mode(kernel, GpuBed(bed), 1)
    hold = Hold(bed.machine)
    switch = UnitSwitch(unit, hold.journal)
    switch.off()
    kernel.jetson.nvpmodel(1)
    switch.on()
    assert [bed.read(f"{CPU}/cpu{cpu}/online") for cpu in unit.cpus] == ["0", "0"], "MODE_15W_4CORE has CPUs 0 to 3"
    assert not hold.give_back().left_alone
    assert bed.knobs() | GpuBed(bed).knobs() == in_new_mode


def test_cpus_that_are_off_at_the_end_are_given_back_as_the_mode_has_them(tmp_path: Path) -> None:
    kernel, bed = _xavier(tmp_path)
    as_found = _knobs_in_mode(kernel, GpuBed(bed), 2)
    in_new_mode = _knobs_in_mode(kernel, GpuBed(bed), 1)
    for number, left in ((1, in_new_mode), (2, as_found)):
        hold = Hold(bed.machine)
        UnitSwitch(bed.units[1], hold.journal).off()
        if number == 1:
            UnitSwitch(bed.units[2], hold.journal).off()
        kernel.jetson.nvpmodel(number)
        hold.give_back()
        assert bed.knobs() | GpuBed(bed).knobs() == left


def test_a_lowest_clock_that_the_new_mode_raises_is_lowered_and_given_back_raised(tmp_path: Path) -> None:
    kernel, bed = _xavier(tmp_path)
    unit = bed.units[0]
    lowest = f"{bed.policy(unit)}/scaling_min_freq"
    bed.write(lowest, 115_200)
    in_new_mode = _knobs_in_mode(kernel, GpuBed(bed), 3)
    kernel.jetson.nvpmodel(2)
    bed.write(lowest, 115_200)
    hold = Hold(bed.machine)
    clock = CpufreqClock(unit, hold.journal)
    clock.set_clock(unit.mhz[-1])
    clock.set_clock(unit.mhz[0])
    kernel.jetson.nvpmodel(3)
    assert bed.khz(unit) == 1_190_400
    clock.set_clock(unit.mhz[0])
    assert bed.khz(unit) == clock.look().mhz * 1000 == unit.mhz[0] * 1000
    hold.give_back()
    assert bed.read(lowest) == in_new_mode[lowest] == "1190400"
