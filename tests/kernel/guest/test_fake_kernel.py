"""The fake kernel against the real one of this guest: the same writes, drawn at random, must be answered the same.

Each test turns knobs of both, step by step, and compares every answer after every step. What the real kernel does a
little later (limits, a GPU's clock) has time to come true. What it alone decides is not compared: the clock under a
governor that follows the load.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from actors.agent.devices.sysfs import Tree
from helpers.fake_kernel import FakeAffinity, FakeKernel, FakeTree, boards
from helpers.fake_kernel.answers import answer, turn
from kernel.boards import CHIPS, GPU_NAME, ZONE_NAME
from kernel.guest import chips
from kernel.guest.levers import BOARD

CPU = "sys/devices/system/cpu"
GSBOARD = "sys/module/gsboard/parameters"
GPU = f"sys/class/devfreq/{GPU_NAME}"
REAL = Tree()
DYNAMIC = ("schedutil", "ondemand", "conservative")
GOVERNORS = ("userspace", "userspace", "performance", "powersave", *DYNAMIC)
GARBAGE = ("", "x", "-1", "-5", "\n", "12 34", " 1200000", "+1200000", "0x10", "1200000abc", "4294967295", "5000000000")
# Numbers that wrap around in a variable of 32 or 64 bits.
GARBAGE += ("4295767296", "9223372036854775808", "18446744073709551616")
# Time in which the kernel's workers come to what they have to do, emulated and perhaps on a busy machine.
PATIENCE_S = 20.0

amd64 = pytest.mark.skipif(BOARD.name != "amd64", reason="the amd64 guest has these devices")


@dataclass(frozen=True)
class Step:
    """A write to a file."""

    path: str
    value: str


class Both:
    """Both kernels."""

    def __init__(self, watched: Callable[[FakeTree], list[str]]) -> None:
        bus = chips.bus() if BOARD.name == "amd64" else 0
        self.kernel = boards.bed_amd64(i2c_bus=bus) if BOARD.name == "amd64" else boards.bed_arm64()
        self.fake = FakeTree(self.kernel)
        self.watched = watched
        self.steps: list[Step] = []

    def step(self, path: str, value: str | int) -> None:
        """Write to both, and compare everything."""
        step = Step(path, str(value))
        self.steps.append(step)
        self._free_the_clock(step)
        said, says = turn(REAL, real_path(path), step.value), turn(self.fake, path, step.value)
        assert said == says, f"{step}: the kernel says {said}, the fake {says}, after {self.steps[:-1]}"
        self.compare()

    def _free_the_clock(self, step: Step) -> None:
        # From a governor that follows the load, the clock is wherever it was. `performance` in between sets it.
        if step.path.endswith("scaling_governor") and answer(self.fake, step.path) in DYNAMIC:
            turn(REAL, step.path, "performance")
            turn(self.fake, step.path, "performance")

    def compare(self) -> None:
        """Compare every file that is watched."""
        until = time.monotonic() + PATIENCE_S
        while differing := self._differing():
            if time.monotonic() > until:
                lines = [f"{path}: {real!r}, the fake says {fake!r}" for path, real, fake in differing]
                raise AssertionError("\n".join([*lines, f"after {self.steps}"]))
            time.sleep(0.01)
            self.kernel.tick()

    def _differing(self) -> list[tuple[str, str, str]]:
        pairs = ((path, answer(REAL, real_path(path)), answer(self.fake, path)) for path in self.watched(self.fake))
        return [(path, real, fake) for path, real, fake in pairs if real != fake]


def real_path(path: str) -> str:
    """Return the path in the real tree, where hwmon devices and thermal zones have other numbers."""
    return re.sub(r"/((?:hwmon|thermal_zone)\d+)/", lambda found: f"/{_numbers().get(found[1], found[1])}/", path)


@cache
def _numbers() -> dict[str, str]:
    """Return the real name of each hwmon device and zone of the fake, which counts the bed's in their order."""
    if BOARD.name != "amd64":
        return {}
    (zone,) = (zone for zone in REAL.find("sys/class/thermal/thermal_zone*") if REAL.text(f"{zone}/type") == ZONE_NAME)
    names = {f"hwmon{number}": chips.hwmon(chip).name for number, chip in enumerate(CHIPS)}
    return names | {"thermal_zone0": zone.rsplit("/", 1)[-1]}


def cpu_files(fake: FakeTree) -> list[str]:
    """Return the files of CPUs and their clocks that must be the same now."""
    paths = [f"{CPU}/{name}" for name in ("online", "offline", "possible", "present")]
    paths += [path for cpu in range(4) for path in (f"{CPU}/cpu{cpu}/online", f"{CPU}/cpu{cpu}/topology/core_id")]
    paths += [f"{CPU}/cpu{cpu}/topology/cluster_id" for cpu in range(4)]
    paths += [f"{CPU}/cpu{cpu}/cpu_capacity" for cpu in range(4)]
    for policy in fake.find(f"{CPU}/cpufreq/policy*"):
        moving = (
            ("scaling_cur_freq", "scaling_setspeed") if answer(fake, f"{policy}/scaling_governor") in DYNAMIC else ()
        )
        paths += [f"{policy}/{name}" for name in fake.names(policy) if name not in moving]
    for governor in DYNAMIC:
        paths += fake.find(f"{CPU}/cpufreq/{governor}/*") or [f"{CPU}/cpufreq/{governor}"]
    return paths + fake.find("sys/class/thermal/cooling_device*/*")


def put_back() -> None:
    """Have the real kernel's CPUs and clocks as they were at boot."""
    for cpu in range(4):
        turn(REAL, f"{CPU}/cpu{cpu}/online", 1)
    for device in REAL.find("sys/class/thermal/cooling_device*/cur_state"):
        turn(REAL, device, 0)
    turn(REAL, f"{GSBOARD}/cap_khz", 0)
    # Tunables begin anew once nobody uses their governor; limits, once nobody asks for one.
    for governor in ("performance", "schedutil"):
        for policy in REAL.find(f"{CPU}/cpufreq/policy*"):
            turn(REAL, f"{policy}/scaling_governor", governor)
            for name in ("scaling_min_freq", "scaling_max_freq"):
                turn(REAL, f"{policy}/{name}", 2**32 - 1)


@pytest.fixture(autouse=True)
def _as_found() -> Iterator[None]:
    put_back()
    yield
    put_back()


def some_khz(draw: random.Random) -> str:
    table = [khz for cluster in BOARD.clusters for khz in cluster.khz]
    near = draw.choice(table) + draw.choice((-1, 0, 0, 1, 1000))
    return draw.choice((str(near), str(near), str(draw.randrange(0, 2_500_000)), draw.choice(GARBAGE)))


def a_step_of_cpus(both: Both, draw: random.Random) -> Step:
    policy = f"{CPU}/cpufreq/policy{draw.choice((0, 2))}"
    kind = draw.choice(("speed", "speed", "limit", "limit", "governor", "governor", "cpu", "cap", "tunable", "other"))
    if kind == "speed":
        return Step(f"{policy}/scaling_setspeed", some_khz(draw))
    if kind == "limit":
        return Step(f"{policy}/scaling_{draw.choice(('min', 'max'))}_freq", some_khz(draw))
    if kind == "governor":
        word = draw.choice((*GOVERNORS, "nonesuch", "PowerSave", " userspace", "performance now", "userspace" * 3))
        return Step(f"{policy}/scaling_governor", word)
    if kind == "cpu":
        return Step(
            f"{CPU}/cpu{draw.randrange(4)}/online", draw.choice(("0", "0", "1", "1", "1", "2", "off", "yes", ""))
        )
    if kind == "cap" and BOARD.name == "amd64":
        return Step(f"{GSBOARD}/cap_khz", draw.choice(("0", "0", "1200000", "1300000", "100", "x", "800000")))
    if kind == "cap":
        device = draw.choice(both.fake.find("sys/class/thermal/cooling_device*"))
        return Step(
            f"{device}/cur_state", draw.choice(("0", "0", "1", "2", "3", "-1", "x", "1 2", "18446744073709551616"))
        )
    if kind == "tunable":
        tunables = [path for governor in DYNAMIC for path in both.fake.find(f"{CPU}/cpufreq/{governor}/*")]
        if tunables:
            return Step(
                draw.choice(tunables), draw.choice(("0", "1", "10", "21", "85", "100", "101", "12000", *GARBAGE))
            )
    return Step(f"{policy}/{draw.choice(('affected_cpus', 'cpuinfo_max_freq', 'scaling_driver', 'nonesuch'))}", "1")


@pytest.mark.parametrize("seed", range(5))
def test_cpus_and_their_clocks(seed: int) -> None:
    draw, both = random.Random(seed), Both(cpu_files)
    both.compare()
    for _ in range(40):
        step = a_step_of_cpus(both, draw)
        both.step(step.path, step.value)


@amd64
@pytest.mark.parametrize("seed", range(3))
def test_a_gpu(seed: int) -> None:
    names = ("available_frequencies", "available_governors", "cur_freq", "governor", "max_freq", "min_freq", "name")
    watched = [*(f"{GPU}/{name}" for name in names), f"{GPU}/polling_interval", f"{GPU}/target_freq", f"{GPU}/timer"]
    draw, both = random.Random(seed), Both(lambda fake: watched)
    values = ("0", "1", "306000000", "500000000", "666666666", "99999999999", "510000000", "1109250000", "204000001")
    # With half the load the lowest clock stays.
    for hz in (1, 0):
        turn(REAL, f"{GPU}/max_freq", hz)
    try:
        for _ in range(40):
            name = draw.choice(("min_freq", "max_freq", "min_freq", "max_freq", "governor", "polling_interval", "busy"))
            if name == "busy":
                both.step(f"{GSBOARD}/gpu_busy", draw.choice((0, 400, 500, 870, 950, 1000)))
            elif name == "governor":
                both.step(f"{GPU}/governor", draw.choice(("simple_ondemand", "nonesuch", "simple_ondemand now")))
            elif name == "polling_interval":
                both.step(f"{GPU}/polling_interval", draw.choice(("25", "10", "x")))
            else:
                both.step(f"{GPU}/{name}", draw.choice((*values, *GARBAGE)))
    finally:
        for path, value in ((f"{GPU}/min_freq", 0), (f"{GPU}/max_freq", 0), (f"{GSBOARD}/gpu_busy", 500)):
            turn(REAL, path, value)
        turn(REAL, f"{GPU}/polling_interval", 25)


def sensor_files(fake: FakeTree) -> list[str]:
    """Return the files of power meters, the zone and the energy counter that the drivers make up."""
    # The chip itself fills these registers, and here nobody does.
    chips_own = ("in7_input", "curr4_input", "device")
    paths = [path for path in fake.find("sys/class/hwmon/hwmon*/*") if path.rsplit("/", 1)[-1] not in chips_own]
    zone = "sys/class/thermal/thermal_zone0"
    paths += [f"{zone}/{name}" for name in ("type", "temp", "mode", "policy", "offset", "k_po", "sustainable_power")]
    paths.append(f"{zone}/available_policies")
    paths += fake.find("sys/class/powercap/intel-rapl:0/*")
    return paths + [f"{GSBOARD}/{name}" for name in ("temp_mc", "temp_errno", "energy_uj", "power_uw", "cap_khz")]


@amd64
@pytest.mark.parametrize("seed", range(2))
def test_sensors(seed: int) -> None:
    draw, both = random.Random(seed), Both(sensor_files)
    before = {path: answer(REAL, real_path(path)) for path in _writable(both)}
    both.compare()
    values = ("0", "1", "7", "10", "35", "100", "1000", "5000", "10000", "16384", "enabled", "disabled", *GARBAGE)
    try:
        for _ in range(60):
            path = draw.choice([*before])
            values = (
                "0",
                "1",
                "7",
                "10",
                "35",
                "100",
                "1000",
                "5000",
                "10000",
                "16384",
                "enabled",
                "disabled",
                *GARBAGE,
            )
            both.step(path, draw.choice(("0", "5", "11", "19") if path.endswith("temp_errno") else values))
    finally:
        for path, value in before.items():
            turn(REAL, real_path(path), value)


def _writable(both: Both) -> list[str]:
    chosen = [path for path in sensor_files(both.fake) if (both.kernel.mode(path) or 0) & 0o200]
    # A counter that runs reads another value each time; and a chip without any channel has its driver divide by zero.
    return [path for path in chosen if not path.endswith(("power_uw", "cap_khz", "in1_enable"))]


class Child:
    """A process that wakes often, on both kernels: on the fake one by its number alone."""

    def __init__(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", "import time\nwhile True: time.sleep(0.002)"])

    def __enter__(self) -> int:
        return self.process.pid

    def __exit__(self, *ended: object) -> None:
        self.process.kill()
        self.process.wait()


@pytest.mark.parametrize("cpuset", [None, (0, 2), (1, 2)], ids=str)
@pytest.mark.parametrize("seed", range(2))
def test_threads_on_cpus_that_go_and_come(seed: int, cpuset: tuple[int, ...] | None) -> None:
    group = Path("/sys/fs/cgroup/fake-kernel")
    kernel: FakeKernel = boards.bed_amd64() if BOARD.name == "amd64" else boards.bed_arm64()
    tree, affinity, draw = FakeTree(kernel), FakeAffinity(kernel, cpuset=cpuset), random.Random(seed)
    done: list[object] = []
    with Child() as pid:
        if cpuset is not None:
            Path("/sys/fs/cgroup/cgroup.subtree_control").write_text("+cpuset")
            group.mkdir()
            (group / "cpuset.cpus").write_text(",".join(map(str, cpuset)))
            (group / "cgroup.procs").write_text(str(pid))
        try:
            for _ in range(25):
                if draw.random() < 0.5:
                    cpus = draw.sample(range(4), draw.randrange(1, 4))
                    done.append(cpus)
                    answers = [pinned(os.sched_setaffinity, pid, cpus), pinned(affinity.set, pid, cpus)]
                else:
                    path, on = f"{CPU}/cpu{draw.randrange(4)}/online", draw.choice((0, 1))
                    done.append((path, on))
                    answers = [turn(REAL, path, on), turn(tree, path, on)]
                assert answers[0] == answers[1], done
                until = time.monotonic() + PATIENCE_S
                while os.sched_getaffinity(pid) != affinity.get(pid):
                    seen = os.sched_getaffinity(pid)
                    assert time.monotonic() < until, f"{seen}, the fake says {affinity.get(pid)} after {done}"
                    time.sleep(0.01)
        finally:
            put_back()
    if cpuset is not None:
        group.rmdir()


def pinned(pin: Callable[[int, list[int]], None], pid: int, cpus: list[int]) -> str:
    try:
        pin(pid, cpus)
    except OSError as error:
        return error.strerror or ""
    return "ok"
