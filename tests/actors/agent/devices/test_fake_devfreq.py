"""The fake kernel's devfreq answers as a real one did; NVIDIA's tools write to it and to the CPUs' clocks."""

from __future__ import annotations

import pytest

from actors.agent.devices.nvpmodel import power_mode, power_modes
from helpers.fake_kernel import FakeKernel, FakeTree, boards, snapshot
from helpers.fake_kernel.answers import answer, answer_kept, turn
from helpers.fake_kernel.devfreq import Devfreq

TABLE_HZ = (114_750_000, 204_000_000, 306_000_000, 510_000_000, 803_250_000, 1_109_250_000)
GOVERNORS = ("simple_ondemand", "userspace", "performance", "powersave")
POLICY = "sys/devices/system/cpu/cpufreq/policy0"


class Gpu:
    """A GPU's files by their short names, and a clock that tests turn."""

    def __init__(self, release: tuple[int, int] = (6, 1)) -> None:
        self.now_s = 0.0
        self.kernel = FakeKernel(release, now_s=lambda: self.now_s)
        self.device = Devfreq(
            self.kernel, "sys/devices/platform/17000000.gv11b", TABLE_HZ, GOVERNORS, "simple_ondemand", polling_ms=25
        )
        self.tree = FakeTree(self.kernel)

    def says(self, *names: str) -> str:
        return " ".join(answer(self.tree, f"sys/class/devfreq/17000000.gv11b/{name}") for name in names)

    def put(self, name: str, value: str | int) -> str:
        return turn(self.tree, f"sys/class/devfreq/17000000.gv11b/{name}", value)

    @property
    def limits(self) -> str:
        return self.says("min_freq", "max_freq")


@pytest.fixture
def gpu() -> Gpu:
    return Gpu()


def test_limits_are_in_hz_and_not_rounded(gpu: Gpu) -> None:
    gpu.device.load = 1.0
    gpu.kernel.tick()
    assert gpu.put("max_freq", 500_000_000) == "ok"
    assert gpu.says("max_freq", "cur_freq") == "500000000 306000000", "a limit runs the governor at once"
    assert gpu.put("max_freq", 666_666_666) == "ok"
    assert gpu.says("max_freq") == "666667000", "kHz inside, rounded up"
    assert gpu.put("max_freq", 0) == "ok"
    assert gpu.says("max_freq") == "1109250000", "0 lifts it"
    assert gpu.put("max_freq", "x") == "EINVAL"


def test_a_minimum_above_the_maximum_is_latent(gpu: Gpu) -> None:
    gpu.put("max_freq", 306_000_000)
    assert gpu.put("min_freq", 510_000_000) == "ok"
    assert gpu.limits == "306000000 306000000"
    gpu.put("max_freq", 0)
    assert gpu.limits == "510000000 1109250000"
    gpu.put("max_freq", 1)
    assert gpu.limits == "1000 1000"
    assert gpu.says("cur_freq") == "114750000"


def test_before_5_5_a_minimum_above_the_maximum_is_refused() -> None:
    gpu = Gpu((4, 9))
    gpu.put("max_freq", 306_000_000)
    assert gpu.put("min_freq", 510_000_000) == "EINVAL"
    assert gpu.limits == "114750000 306000000"


def test_the_clock_follows_the_load_at_the_next_poll(gpu: Gpu) -> None:
    gpu.device.load = 0.95
    assert gpu.says("cur_freq") == "114750000"
    gpu.now_s += 0.024
    assert gpu.says("cur_freq") == "114750000"
    gpu.now_s += 0.001
    assert gpu.says("cur_freq") == "1109250000"
    gpu.device.load = 0.4
    gpu.kernel.tick()
    assert gpu.says("cur_freq") == "510000000", "0.4 · 1109.25 MHz / 0.88, and up to the next one"


def test_governors(gpu: Gpu) -> None:
    assert gpu.put("governor", "nonesuch") == "ENOENT"
    interval = gpu.tree.open("sys/class/devfreq/17000000.gv11b/polling_interval")
    assert gpu.put("governor", "performance") == "ok"
    assert gpu.says("governor", "cur_freq") == "performance 1109250000"
    assert answer_kept(interval) == "ENODEV"
    assert gpu.put("governor", "powersave") == "ok"
    assert gpu.says("cur_freq") == "114750000"
    assert gpu.says("userspace/set_freq") == "ENOENT"
    assert gpu.put("governor", "userspace") == "ok"
    assert gpu.says("userspace/set_freq", "cur_freq") == "undefined 114750000"
    assert gpu.put("userspace/set_freq", 400_000_000) == "ok"
    assert gpu.says("cur_freq") == "510000000"
    assert gpu.put("userspace/set_freq", "many") == "EINVAL"
    gpu.device.immutable = True
    assert gpu.put("governor", "performance") == "EINVAL"
    assert gpu.says("available_governors") == "userspace"


def test_a_cap_by_heat_lowers_the_shown_maximum_and_goes(gpu: Gpu) -> None:
    gpu.device.cap("heat", 510_000)
    assert gpu.says("max_freq") == "510000000"
    gpu.device.cap("heat", None)
    assert gpu.says("max_freq") == "1109250000"


@pytest.mark.parametrize("board", ["xavier-nx-l4t32", "xavier-nx-l4t35"])
def test_a_change_of_the_power_mode(board: str) -> None:
    kernel = boards.ALL[board]()
    tree = FakeTree(kernel)
    mode = power_mode(tree)
    assert mode is not None
    assert mode.name == "MODE_15W_6CORE"
    assert len(power_modes(tree)) == 9
    before = snapshot(kernel)
    kernel.jetson.nvpmodel(3)
    assert answer(tree, "var/lib/nvpmodel/status").startswith("pmode:0003 ")
    assert answer(tree, "sys/devices/system/cpu/online") == "0-1"
    assert answer(tree, f"{POLICY}/scaling_max_freq") == "1497600"
    assert answer(tree, "sys/class/devfreq/17000000.gv11b/max_freq") == "803250000"
    kernel.jetson.nvpmodel(2)
    assert snapshot(kernel) == before


def test_a_mode_overwrites_what_somebody_set() -> None:
    kernel = boards.xavier_nx_l4t35()
    tree = FakeTree(kernel)
    turn(tree, f"{POLICY}/scaling_max_freq", 1_267_200)
    kernel.jetson.nvpmodel(1)
    assert answer(tree, f"{POLICY}/scaling_max_freq") == "1420800"


@pytest.mark.parametrize("board", ["xavier-nx-l4t32", "xavier-nx-l4t35"])
def test_jetson_clocks_holds_a_set_speed_up(board: str) -> None:
    kernel = boards.ALL[board]()
    tree = FakeTree(kernel)
    before = snapshot(kernel)
    kernel.jetson.jetson_clocks(True)
    turn(tree, f"{POLICY}/scaling_governor", "userspace")
    turn(tree, f"{POLICY}/scaling_setspeed", 115_200)
    assert answer(tree, f"{POLICY}/scaling_cur_freq") == "1420800"
    turn(tree, f"{POLICY}/scaling_governor", "schedutil")
    kernel.jetson.jetson_clocks(False)
    assert snapshot(kernel) == before
