"""The drivers of sensors against the kernel's own: real hwmon chips, and a counter under the real powercap.

Time is virtual, so that what a slow guest takes for a reading makes no gap: the chips are set, then read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from actors.agent.devices.sysfs import Tree
from actors.agent.sensors import Sampler, check_sensors, found
from helpers.scripted_rails import Load
from helpers.virtual_clock import VirtualClock
from kernel.boards import CHIPS, ENERGY_FOUND_UJ, ENERGY_RANGE_UJ
from kernel.guest import chips
from kernel.guest.levers import BOARD, gsboard
from scheduler.board import Board, BoardUnit
from scheduler.sensor import Sensor

pytestmark = pytest.mark.skipif(BOARD.name != "amd64", reason="the chips are on amd64 alone")

TREE = Tree()
INA3221, INA231, _ = CHIPS
PACKAGE = Sensor(rail="package-0", driver="rapl", covers=("cpu",))
CHANNEL = Sensor(rail="channel1", driver="ina3221", covers="board")


def board(*sensors: Sensor) -> Board:
    unit = BoardUnit(name="cpu", kind="cpu", cpus=(0,), dvfs="fixed", mhz=(1000.0,), static_w=None, dynamic_w=None)
    return Board(name="bed", units=(unit,), base_w=None, sensor="none", power_source="unknown", sensors=sensors)


@pytest.fixture
def chip_as_found() -> Iterator[None]:
    yield
    chips.measure(INA3221, INA3221.channels)


@pytest.fixture
def counter_as_found() -> Iterator[None]:
    yield
    gsboard(power_uw=0, energy_uj=ENERGY_FOUND_UJ)


def sampler_of(*sensors: Sensor) -> tuple[Sampler, VirtualClock]:
    clock = VirtualClock()
    return Sampler(board(*sensors), TREE, clock, Load(clock), lambda: 0.0), clock


def test_every_chip_and_the_counter_are_found_and_can_be_read() -> None:
    bus = chips.bus()
    seen = [(rail.driver, rail.rail, rail.address, rail.why_not) for rail in found(TREE)]
    # No device tree names the channels here.
    assert seen == [
        *(("ina3221", f"channel{channel}", f"{bus}-0040", None) for channel in (1, 2, 3)),
        *(("ina2xx", f"{bus}-00{chip.address:x}", f"{bus}-00{chip.address:x}", None) for chip in CHIPS[1:]),
        ("rapl", "package-0", "intel-rapl:0", None),
    ]


def test_power_that_changes_is_added_up_as_the_kernel_shows_it(chip_as_found: None) -> None:
    address = f"0x{INA231.address:x}"
    sampler, clock = sampler_of(CHANNEL, Sensor(rail="mine", driver="ina2xx", covers=("cpu",), address=address))
    sampler.mark()
    for step in range(1, 101):
        clock.sleep_until(step * 0.007)
        if step == 50:
            chips.measure(INA3221, ((4800, 2000), (0, 0), (0, 0)))
        sampler.sample()
    channel, mine = sampler.totals()
    # 49 spans of 5.08 W, one from there to 9.6 W, 50 of that.
    assert channel.joules == pytest.approx(0.007 * (49 * 5.08 + (5.08 + 9.6) / 2 + 50 * 9.6))
    ((mv, ma),) = INA231.channels
    assert mine.joules == pytest.approx(0.7 * mv * ma / 1e6, rel=0.01)
    assert (channel.why_unknown, mine.why_unknown) == (None, None)


def test_a_driver_that_is_unbound_and_bound_again_is_read_on(chip_as_found: None) -> None:
    sampler, clock = sampler_of(CHANNEL)
    sampler.mark()
    bus = chips.DEVICES / f"i2c-{chips.bus()}"
    (bus / "delete_device").write_text(f"{INA3221.address:#04x}")
    try:
        clock.sleep_until(0.007)
        sampler.sample()
    finally:
        (bus / "new_device").write_text(f"{INA3221.driver} {INA3221.address:#04x}")
        chips.measure(INA3221, INA3221.channels)
    clock.sleep_until(0.014)
    sampler.sample()
    (channel,) = sampler.totals()
    assert channel.joules == pytest.approx(0.014 * 5.08)
    assert channel.longest_gap_s == pytest.approx(0.014)


def test_a_counter_is_followed_over_its_wrap(counter_as_found: None) -> None:
    gsboard(energy_uj=ENERGY_RANGE_UJ - 999)
    sampler, clock = sampler_of(PACKAGE)
    sampler.mark()
    for count_uj in (ENERGY_RANGE_UJ, 0, 5_000_000, 7_000_000):
        gsboard(energy_uj=count_uj)
        clock.sleep_until(clock.now_s() + 0.1)
        sampler.sample()
    (package,) = sampler.totals()
    assert package.joules == pytest.approx((999 + 1 + 7_000_000) / 1e6)
    gsboard(energy_uj=6_000_000)
    clock.sleep_until(clock.now_s() + 0.1)
    (package,) = sampler.totals()
    assert "ran back" in (package.why_unknown or "")


def test_a_counter_is_roots_alone_and_the_others_are_told_how_to_read_it() -> None:
    child = os.fork()
    if not child:
        try:
            os.setuid(65534)
            (notice,) = check_sensors(board(PACKAGE), TREE)
            told = "energy_uj: Permission denied" in notice and "gearshift doctor" in notice
            os._exit(0 if told else 2)
        except BaseException:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
