"""The clock of a GPU on a Jetson whose power mode somebody sets while the run has the GPU."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from actors.agent.devices.devfreq import DevfreqClock
from actors.agent.devices.nvpmodel import power_modes
from actors.agent.hold import Hold
from helpers.board_bed import fake_bed
from helpers.fake_kernel import boards
from helpers.gpu_bed import GpuBed
from helpers.gpu_kills import use_and_kill

_JETSONS = ("xavier-nx-l4t32", "xavier-nx-l4t35", "orin-nano-l4t36")
_KILLS_OF_EACH = 120

_OTHER_MODES = (
    (_JETSONS[0], 3, 803.25, "MODE_10W_2CORE"),
    (_JETSONS[1], 5, 510.0, "MODE_10W_DESKTOP"),
    (_JETSONS[2], 3, 408.0, "7W"),
)
"""A board, the number of another mode than its own, the highest clock of the GPU in that mode, and its name."""


@pytest.mark.parametrize(("board", "number", "highest", "name"), _OTHER_MODES)
@pytest.mark.usefixtures("fake_boards")
def test_the_gpu_follows_a_power_mode(board: str, number: int, highest: float, name: str, tmp_path: Path) -> None:
    kernel = boards.ALL[board]()
    gpu = GpuBed(fake_bed(kernel, tmp_path))
    first = kernel.jetson.mode.number
    kernel.jetson.nvpmodel(number)
    in_new_mode = gpu.knobs()
    kernel.jetson.nvpmodel(first)
    hold = Hold(gpu.bed.machine)
    clock = DevfreqClock(gpu.unit_of(gpu.table_mhz), hold.journal)
    clock.set_clock(gpu.unit.mhz[-1])
    kernel.jetson.nvpmodel(number)
    seen = clock.look()
    assert (seen.mhz, seen.max_mhz, seen.held_by) == (highest, highest, f"nvpmodel {name}")
    assert gpu.read("min_freq") == gpu.read("max_freq"), "the clock is set again, and no governor has it"
    for mhz in gpu.table_mhz:
        assert clock.set_clock(mhz) == gpu.mhz == min(mhz, highest)
        assert clock.look().max_mhz == highest
    clock.set_clock(gpu.table_mhz[1])
    kernel.jetson.nvpmodel(first)
    kernel.jetson.nvpmodel(number)
    assert clock.look().mhz == gpu.mhz == gpu.table_mhz[1], "a clock below the limit stays as it was set"
    given_back = hold.give_back()
    assert gpu.knobs() == in_new_mode
    assert not given_back.left_alone
    assert any(f"as power mode {name} has it" in line for line in given_back.put_back)


@pytest.mark.parametrize(("board", "number", "highest", "name"), _OTHER_MODES)
@pytest.mark.usefixtures("fake_boards")
def test_a_mode_that_allows_more_lifts_the_limit(
    board: str, number: int, highest: float, name: str, tmp_path: Path
) -> None:
    kernel = boards.ALL[board]()
    gpu = GpuBed(fake_bed(kernel, tmp_path))
    first = kernel.jetson.mode.number
    as_found = gpu.knobs()
    kernel.jetson.nvpmodel(number)
    hold = Hold(gpu.bed.machine)
    clock = DevfreqClock(gpu.unit, hold.journal)
    assert clock.set_clock(gpu.unit.mhz[-1]) == highest, "no mode is overruled"
    kernel.jetson.nvpmodel(first)
    seen = clock.look()
    assert (seen.mhz, seen.max_mhz, seen.held_by) == (gpu.unit.mhz[-1], None, None), name
    hold.give_back()
    assert gpu.knobs() == as_found


@pytest.mark.usefixtures("fake_boards")
def test_a_governor_gets_the_clock_within_the_mode_that_was_set_meanwhile(tmp_path: Path) -> None:
    kernel = boards.orin_nano_l4t36()
    gpu = GpuBed(fake_bed(kernel, tmp_path))
    hold = Hold(gpu.bed.machine)
    clock = DevfreqClock(gpu.unit, hold.journal)
    clock.set_clock(918.0)
    clock.govern("performance")
    kernel.jetson.nvpmodel(0)
    seen = clock.look()
    assert (seen.mhz, seen.max_mhz, seen.held_by) == (612.0, 612.0, "nvpmodel 15W")
    clock.govern("performance", 408.0)
    kernel.jetson.nvpmodel(1)
    kernel.jetson.nvpmodel(0)
    assert (clock.look().max_mhz, gpu.mhz) == (612.0, 408.0), "our own limit is in force again"
    clock.govern("performance", 918.0)
    assert gpu.mhz == 612.0
    clock.govern("performance")
    assert gpu.mhz == 612.0
    assert not hold.give_back().left_alone
    assert gpu.read("max_freq") == "612000000"


@pytest.mark.usefixtures("fake_boards")
def test_a_mode_that_its_tool_tells_of_late_is_followed_then(tmp_path: Path) -> None:
    kernel = boards.orin_nano_l4t36()
    gpu = GpuBed(fake_bed(kernel, tmp_path))
    hold = Hold(gpu.bed.machine)
    clock = DevfreqClock(gpu.unit, hold.journal)
    clock.set_clock(918.0)
    before = kernel.jetson.mode
    kernel.jetson.nvpmodel(0)
    now, kernel.jetson.mode = kernel.jetson.mode, before
    assert clock.look().held_by == "a limit that somebody set"
    kernel.jetson.mode = now
    assert (clock.look().held_by, gpu.mhz) == ("nvpmodel 15W", 612.0)
    hold.give_back()
    assert gpu.read("max_freq") == "612000000"


@pytest.mark.usefixtures("fake_boards")
def test_a_mode_that_its_tool_tells_of_early_has_the_last_word(tmp_path: Path) -> None:
    kernel = boards.orin_nano_l4t36()
    gpu = GpuBed(fake_bed(kernel, tmp_path))
    hold = Hold(gpu.bed.machine)
    clock = DevfreqClock(gpu.unit, hold.journal)
    clock.set_clock(918.0)
    before = kernel.jetson.mode
    kernel.jetson.nvpmodel(0)
    fifteen_watts = kernel.jetson.mode
    kernel.jetson.nvpmodel(before.number)
    clock.look()
    kernel.jetson.mode = fifteen_watts
    assert clock.look().max_mhz == 612.0
    clock.set_clock(612.0)
    kernel.jetson.nvpmodel(0)
    assert clock.look().mhz == gpu.mhz == 612.0
    assert gpu.read("min_freq") == "612000000", "the tool has put the lowest clock down, which is seen too"
    hold.give_back()
    assert gpu.read("max_freq") == "612000000"


@pytest.mark.usefixtures("fake_boards")
def test_limits_that_somebody_sets_after_the_mode_are_left_alone(tmp_path: Path) -> None:
    kernel = boards.orin_nano_l4t36()
    gpu = GpuBed(fake_bed(kernel, tmp_path))
    hold = Hold(gpu.bed.machine)
    clock = DevfreqClock(gpu.unit, hold.journal)
    clock.set_clock(918.0)
    kernel.jetson.nvpmodel(0)
    clock.look()
    gpu.write("max_freq", 510_000_000)
    assert clock.look().held_by == "a limit that somebody set"
    given_back = hold.give_back()
    assert gpu.read("max_freq") == "510000000"
    assert any("max_freq" in line for line in given_back.left_alone)
    # Our lowest clock, which the limit hid, does not come out once the limit is lifted.
    gpu.write("max_freq", 918_000_000)
    assert gpu.read("min_freq") == "306000000"


def _requests(gpu: GpuBed) -> dict[str, str]:
    """Return what every file shows, and the lowest clock that is asked for, which a highest one may hide."""
    shown = gpu.knobs()
    gpu.write("max_freq", round(gpu.table_mhz[-1] * 1e6))
    lowest = gpu.read("min_freq")
    gpu.write("max_freq", shown[f"{gpu.directory}/max_freq"])
    return shown | {"lowest": lowest}


@pytest.mark.parametrize("board", _JETSONS)
@pytest.mark.usefixtures("fake_boards")
def test_the_gpu_comes_back_in_the_mode_that_was_set_last(
    board: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The clock need not have followed before the next turn.
    monkeypatch.setattr(DevfreqClock, "_settle", lambda self, clock_hz: None)
    kernel = boards.ALL[board]()
    gpu = GpuBed(fake_bed(kernel, tmp_path))
    modes = [mode.number for mode in power_modes(gpu.bed.tree)]
    killed = switched = 0
    for seed in range(_KILLS_OF_EACH):
        rng = random.Random(seed)
        kernel.jetson.nvpmodel(rng.choice(modes))
        gpu.write("governor", rng.choice(gpu.governors))
        low, high = rng.choice(gpu.table_mhz[:2]), rng.choice(gpu.table_mhz[-2:])
        for name, mhz in (("min_freq", 0.0), ("max_freq", high), ("min_freq", low)):
            gpu.write(name, round(mhz * 1e6))
        first = set_last = kernel.jetson.mode.number
        left = {first: _requests(gpu)}
        for mode in {*modes} - {first}:
            kernel.jetson.nvpmodel(mode)
            left[mode] = _requests(gpu)
        kernel.jetson.nvpmodel(first)
        for name, mhz in (("min_freq", 0.0), ("max_freq", high), ("min_freq", low)):
            gpu.write(name, round(mhz * 1e6))

        def set_a_mode(rng: random.Random = rng, first: int = first) -> None:
            nonlocal set_last
            set_last = rng.choice([mode for mode in modes if mode != first])
            kernel.jetson.nvpmodel(set_last)

        was_killed, recovered = use_and_kill(gpu, rng, set_a_mode)
        killed += was_killed
        switched += set_last != first
        assert recovered is not None
        assert _requests(gpu) == left[set_last], (seed, recovered)
    assert killed > _KILLS_OF_EACH // 2
    assert switched > _KILLS_OF_EACH // 6
