"""On every machine that the fake kernel knows: the rails that are there, and their true energy, faults and all."""

import errno
import math
import time

import pytest

from actors.agent.sensors import Sampler, check_sensors, covers, found
from helpers.fake_kernel import FakeTree, boards
from helpers.scripted_rails import Load
from helpers.virtual_clock import VirtualClock
from scheduler.board import Board, BoardUnit
from scheduler.sensor import Sensor

JETSON = [("VDD_IN", "board"), ("VDD_CPU_GPU_CV", ("cpu", "gpu")), ("VDD_SOC", ())]
AMD = [("package-0", ("cpu",)), ("core", ())]
INTEL = [*AMD, ("uncore", ()), ("psys", "board")]
RAILS = {
    "xavier-nx-l4t32": ("ina3221", JETSON),
    "xavier-nx-l4t35": ("ina3221", JETSON),
    "orin-nano-l4t36": ("ina3221", JETSON),
    "container": ("ina3221", JETSON),
    "odroid-xu3": ("ina2xx", [("VDD_ARM", ()), ("VDD_MEM", ()), ("VDD_G3D", ("gpu",)), ("VDD_KFC", ())]),
    "x86-hybrid-laptop": ("rapl", INTEL),
    "x86-hybrid-laptop-passive": ("rapl", INTEL),
    "amd-desktop": ("rapl", AMD),
    "amd-desktop-acpi": ("rapl", AMD),
}
WITHOUT = ("odroid-xu4", "rk3588", "rpi4", "rpi5", "this-vm")

WAVES = (0.8, 0.0, 0.3)
"""Powers of a rail are 4 W and a wave of this amplitude above them, slow against a conversion."""


def unit(name, cpus):
    kind = "cpu" if cpus else "gpu"
    return BoardUnit(name=name, kind=kind, cpus=cpus, dvfs="fixed", mhz=(1e3,), static_w=None, dynamic_w=None)


UNITS = (unit("cpu", tuple(range(8))), unit("gpu", ()))


def board(*sensors, units=UNITS):
    return Board(name="test", units=units, base_w=None, sensor="none", power_source="unknown", sensors=sensors)


@pytest.fixture
def machine(request):
    """A fake kernel whose sensors go by a virtual clock, with moving rails."""
    kernel = boards.ALL[request.param]()
    # Counters began at the wall's time, and time never runs back.
    clock = VirtualClock(time.monotonic() + 1)
    kernel.now_s = clock.now_s
    for place, rail in enumerate(kernel.rails):
        kernel.rails[rail] = lambda now_s, place=place: 4.0 + WAVES[place % 3] * math.sin(5.0 * now_s)
    return kernel, FakeTree(kernel), clock


@pytest.mark.parametrize("name", RAILS)
def test_the_rails_of_a_machine_are_found_named_and_read(name):
    driver, rails = RAILS[name]
    seen = found(FakeTree(boards.ALL[name]()))
    assert {rail.driver for rail in seen} == {driver}
    assert [(rail.rail, covers(rail.feeds, UNITS)) for rail in seen] == rails
    assert [rail.why_not for rail in seen] == [None] * len(rails)


@pytest.mark.parametrize("name", WITHOUT)
def test_a_machine_without_sensors_has_no_rails(name):
    assert found(FakeTree(boards.ALL[name]())) == ()


def test_the_clusters_of_an_odroid_xu3_are_told_apart():
    units = (unit("little", (0, 1, 2, 3)), unit("big", (4, 5, 6, 7)), unit("gpu", ()))
    seen = {rail.rail: covers(rail.feeds, units) for rail in found(FakeTree(boards.odroid_xu3()))}
    assert seen == {"VDD_ARM": ("big",), "VDD_MEM": (), "VDD_G3D": ("gpu",), "VDD_KFC": ("little",)}


def true_j(kernel, rail, from_s, to_s):
    steps = 20_000
    width_s = (to_s - from_s) / steps
    return width_s * math.fsum(kernel.rails[rail](from_s + (step + 0.5) * width_s) for step in range(steps))


def sampled(kernel, tree, clock, sensors, *, seconds, period_s, faults=None):
    """Sample some rails for a while; return their totals and the window."""
    sampler = Sampler(board(*sensors), tree, clock, Load(clock), lambda: 0.0)
    for _ in range(20):
        clock.sleep_until(clock.now_s() + period_s)
        sampler.sample()
    sampler.mark()
    from_s = clock.now_s()
    for step in range(round(seconds / period_s)):
        if faults is not None:
            faults(step * period_s)
        clock.sleep_until(clock.now_s() + period_s)
        sampler.sample()
    return {rail.name: rail for rail in sampler.totals()}, from_s, clock.now_s()


CASES = [
    ("xavier-nx-l4t32", "ina3221", ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"), 0.0066),
    ("xavier-nx-l4t35", "ina3221", ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"), 0.007),
    ("orin-nano-l4t36", "ina3221", ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"), 0.007),
    ("x86-hybrid-laptop", "rapl", ("package-0", "psys", "core"), 0.1),
    ("amd-desktop", "rapl", ("package-0", "core"), 0.1),
]


@pytest.mark.parametrize(("machine", "driver", "rails", "period_s"), CASES, indirect=["machine"])
def test_the_energy_of_each_rail_is_the_true_one(machine, driver, rails, period_s):
    kernel, tree, clock = machine
    sensors = [Sensor(rail=rail, driver=driver, covers=("cpu",)) for rail in rails]
    assert check_sensors(board(*sensors), tree) == []
    totals, from_s, to_s = sampled(kernel, tree, clock, sensors, seconds=20, period_s=period_s)
    for rail in rails:
        # Half of an INA3221's step, 4 mA at 5 V, is 0.5 % of 4 W.
        assert totals[rail].joules == pytest.approx(true_j(kernel, rail, from_s, to_s), rel=0.006)
        assert totals[rail].why_unknown is None
    assert kernel.writes == []


@pytest.mark.parametrize("machine", ["odroid-xu3"], indirect=True)
def test_the_energy_of_an_odroids_rails_is_the_true_one(machine):
    kernel, tree, clock = machine
    rails = {"0x40": "A15", "0x41": "memory", "0x44": "GPU", "0x45": "A7"}
    sensors = [Sensor(rail=rail, driver="ina2xx", covers=("cpu",), address=address) for address, rail in rails.items()]
    totals, from_s, to_s = sampled(kernel, tree, clock, sensors, seconds=20, period_s=0.035)
    for rail in rails.values():
        assert totals[rail].joules == pytest.approx(true_j(kernel, rail, from_s, to_s), rel=0.01)


# ---------------------------------------------------------------- what breaks

PACKAGE = Sensor(rail="package-0", driver="rapl", covers=("cpu",))
VDD_IN = Sensor(rail="VDD_IN", driver="ina3221", covers="board")
ENERGY = "sys/class/powercap/intel-rapl:0/energy_uj"
CHIP = "sys/bus/i2c/devices/7-0040"


@pytest.mark.parametrize("machine", ["amd-desktop"], indirect=True)
def test_a_counter_that_only_root_reads_is_unknown_to_others_who_are_told_where_the_mend_is(machine):
    kernel, tree, clock = machine
    kernel.root = False
    (notice,) = check_sensors(board(PACKAGE), tree)
    assert "gearshift doctor" in notice
    totals, _, _ = sampled(kernel, tree, clock, [PACKAGE], seconds=2, period_s=0.1)
    assert totals["package-0"].joules is None
    assert "Permission denied" in totals["package-0"].why_unknown
    # As the rule has it.
    kernel.chmod(ENERGY, 0o440)
    assert check_sensors(board(PACKAGE), tree) == []
    totals, from_s, to_s = sampled(kernel, tree, clock, [PACKAGE], seconds=2, period_s=0.1)
    assert totals["package-0"].joules == pytest.approx(true_j(kernel, "package-0", from_s, to_s), rel=0.001)


@pytest.mark.parametrize("machine", ["amd-desktop"], indirect=True)
def test_a_counter_beyond_its_range_is_unknown(machine):
    kernel, tree, clock = machine
    kernel.garbage(ENERGY, b"60000000000000\n")
    (notice,) = check_sensors(board(PACKAGE), tree)
    assert "does not count energy" in notice
    totals, _, _ = sampled(kernel, tree, clock, [PACKAGE], seconds=2, period_s=0.1)
    assert "60000000000000" in totals["package-0"].why_unknown


@pytest.mark.parametrize("machine", ["xavier-nx-l4t35"], indirect=True)
@pytest.mark.parametrize("seconds", [0.02, 0.5])
def test_a_chip_that_vanishes_and_comes_back_costs_a_gap(machine, seconds):
    kernel, tree, clock = machine
    chip, gone = kernel.real(CHIP), []

    def faults(now_s):
        if 1.0 <= now_s < 1.0 + seconds and not gone:
            gone.append(now_s)
            kernel.vanish(chip)
        if now_s >= 1.0 + seconds and len(gone) == 1:
            gone.append(now_s)
            kernel.come_back(chip)

    totals, from_s, to_s = sampled(kernel, tree, clock, [VDD_IN], seconds=3, period_s=0.007, faults=faults)
    rail = totals["VDD_IN"]
    assert len(gone) == 2
    if seconds < 0.03:
        assert rail.joules == pytest.approx(true_j(kernel, "VDD_IN", from_s, to_s), rel=0.004)
    else:
        assert rail.joules is None
        assert "showed nothing for" in rail.why_unknown
        assert "No such file" in rail.why_unknown
    # A rail that is away for long is tried once a second.
    assert seconds <= rail.longest_gap_s < seconds + (0.02 if seconds < 0.03 else 1.1)


@pytest.mark.parametrize("machine", ["xavier-nx-l4t35"], indirect=True)
def test_a_channel_that_is_switched_off_says_so(machine):
    kernel, tree, clock = machine
    kernel.write(f"{CHIP}/hwmon/hwmon4/in1_enable", "0")
    (notice,) = check_sensors(board(VDD_IN), tree)
    assert "No data available" in notice
    totals, _, _ = sampled(kernel, tree, clock, [VDD_IN], seconds=1, period_s=0.007)
    assert "No data available" in totals["VDD_IN"].why_unknown


@pytest.mark.parametrize("machine", ["xavier-nx-l4t35"], indirect=True)
def test_garbage_for_a_moment_is_a_gap_like_any_other(machine):
    kernel, tree, clock = machine
    path = f"{CHIP}/hwmon/hwmon4/curr1_input"

    def faults(now_s):
        if 1.0 <= now_s < 1.5:
            kernel.garbage(path, b"a lot\n")
        else:
            kernel.heal(path)

    totals, _, _ = sampled(kernel, tree, clock, [VDD_IN], seconds=3, period_s=0.007, faults=faults)
    assert "should hold a whole number, not 'a lot'" in totals["VDD_IN"].why_unknown


@pytest.mark.parametrize("machine", ["xavier-nx-l4t35"], indirect=True)
def test_a_single_failure_of_the_bus_costs_nothing(machine):
    kernel, tree, clock = machine

    def faults(now_s):
        if 1.0 <= now_s < 1.007:
            kernel.fail(f"{CHIP}/hwmon/hwmon4/curr1_input", errno.EIO, times=2)

    totals, from_s, to_s = sampled(kernel, tree, clock, [VDD_IN], seconds=3, period_s=0.007, faults=faults)
    assert totals["VDD_IN"].joules == pytest.approx(true_j(kernel, "VDD_IN", from_s, to_s), rel=0.004)


@pytest.mark.parametrize(
    ("machine", "sensor", "path", "period_s"),
    [
        ("xavier-nx-l4t35", VDD_IN, f"{CHIP}/hwmon/hwmon4/curr1_input", 0.007),
        ("amd-desktop", PACKAGE, ENERGY, 0.1),
    ],
    indirect=["machine"],
)
def test_a_sensor_that_freezes_is_found_once_the_load_changes(machine, sensor, path, period_s):
    kernel, tree, clock = machine
    load = Load(clock)
    sampler = Sampler(board(sensor, units=UNITS[:1]), tree, clock, load, lambda: 0.0)
    sampler.mark()

    def run(seconds, cores):
        load.change(cores)
        for _ in range(round(seconds / period_s)):
            clock.sleep_until(clock.now_s() + period_s)
            sampler.sample()

    run(4, 2)
    assert sampler.totals()[0].why_unknown is None
    kernel.freeze(path)
    run(4, 0)
    assert sampler.totals()[0].why_unknown is None
    run(6, 2)
    assert "core-GHz" in sampler.totals()[0].why_unknown
