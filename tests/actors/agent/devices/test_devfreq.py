"""The clock of a GPU under devfreq, on every fake board that has one, and on the real kernel that has one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.agent.devices.devfreq import DEVFREQ, DevfreqClock, gpus, is_nvidia
from actors.agent.devices.sysfs import DeviceError, RefusedError
from actors.agent.hold import Hold
from actors.agent.machine import Machine
from helpers.board_bed import fake_bed, real_bed
from helpers.fake_kernel import FakeKernel, FakeTree, boards
from helpers.fake_kernel.devfreq import Devfreq
from helpers.gpu_bed import GpuBed, as_before
from helpers.gpu_kills import use_and_kill

_WITH_GPU = ("xavier-nx-l4t32", "xavier-nx-l4t35", "orin-nano-l4t36", "odroid-xu3", "rk3588", "bed-amd64")
_JETSONS = _WITH_GPU[:3]
_KILLS_OF_EACH = 60


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "gpu" in metafunc.fixturenames:
        real = metafunc.config.getoption("--bed", "fake") == "real"
        metafunc.parametrize("gpu", ["real"] if real else _WITH_GPU, indirect=True)


@pytest.fixture
def gpu(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GpuBed]:
    if request.param != "real":
        yield GpuBed(fake_bed(boards.ALL[request.param](), tmp_path / "state"))
        return
    with real_bed(tmp_path / "state") as bed:
        if not gpus(bed.tree):
            pytest.skip("no devfreq device on this machine")
        with as_before(GpuBed(bed)) as found:
            yield found


@pytest.fixture
def hold(gpu: GpuBed) -> Iterator[Hold]:
    held = Hold(gpu.bed.machine)
    yield held
    held.give_back()


def test_every_clock_is_granted_and_the_gpu_is_given_back(gpu: GpuBed, hold: Hold) -> None:
    before = gpu.knobs()
    clock = DevfreqClock(gpu.unit, hold.journal)
    for mhz in (*gpu.unit.mhz, *reversed(gpu.unit.mhz), *random.Random(1).choices(gpu.unit.mhz, k=20)):
        assert clock.set_clock(mhz) == gpu.mhz == mhz
        assert clock.look().mhz == mhz
        assert clock.look().held_by is None
    hold.give_back()
    assert gpu.knobs() == before
    assert not list(gpu.bed.machine.state.glob("journal-*"))


def test_nothing_is_turned_before_something_is_asked_for(gpu: GpuBed, hold: Hold) -> None:
    before = gpu.knobs()
    DevfreqClock(gpu.unit, hold.journal).look()
    assert gpu.knobs() == before
    assert not gpu.bed.machine.state.exists()


def test_limits_and_governor_that_somebody_chose_come_back(gpu: GpuBed, hold: Hold) -> None:
    for governor in gpu.governors:
        gpu.write("governor", governor)
        if governor == "userspace":
            gpu.write("userspace/set_freq", round(gpu.unit.mhz[2] * 1e6))
        gpu.write("max_freq", round(gpu.unit.mhz[-2] * 1e6))
        gpu.write("min_freq", round(gpu.unit.mhz[1] * 1e6))
        before = gpu.knobs()
        held = hold if governor == gpu.governors[0] else Hold(gpu.bed.machine)
        clock = DevfreqClock(gpu.unit, held.journal)
        clock.set_clock(gpu.unit.mhz[0])
        for name in clock.governors():
            clock.govern(name)
            clock.govern(name, gpu.unit.mhz[1])
        clock.set_clock(gpu.unit.mhz[-1])
        held.give_back()
        assert gpu.knobs() == before


def test_a_governor_gets_the_clock_within_the_limits_that_were_found(gpu: GpuBed, hold: Hold) -> None:
    highest = round(gpu.unit.mhz[-2] * 1e6)
    gpu.write("max_freq", highest)
    clock = DevfreqClock(gpu.unit, hold.journal)
    clock.set_clock(gpu.unit.mhz[2])
    for governor in clock.governors():
        clock.govern(governor)
        assert gpu.read("governor").removeprefix("nvhost_") == governor
        assert int(gpu.read("min_freq")) <= round(gpu.unit.mhz[0] * 1e6)
        assert int(gpu.read("max_freq")) == highest, "a power mode writes its limit there"
        clock.govern(governor, gpu.unit.mhz[1])
        assert gpu.read("max_freq") == str(round(gpu.unit.mhz[1] * 1e6))
        assert clock.look().held_by is None, "our own limit is not the board's"
        clock.govern(governor)
        assert int(gpu.read("max_freq")) == highest
    with pytest.raises(DeviceError, match=r"unit 'gpu': no governor 'nonsense' here; .*simple_ondemand"):
        clock.govern("nonsense")


@pytest.mark.parametrize("board", _JETSONS)
@pytest.mark.usefixtures("fake_boards")
def test_podgov_is_a_jetsons_name_for_it(board: str, tmp_path: Path) -> None:
    gpu = GpuBed(fake_bed(boards.ALL[board](), tmp_path))
    hold = Hold(gpu.bed.machine)
    clock = DevfreqClock(gpu.unit, hold.journal)
    assert "podgov" in clock.governors()
    clock.govern("performance")
    assert gpu.mhz == int(gpu.read("max_freq")) / 1e6
    clock.govern("podgov")
    assert gpu.read("governor") == "nvhost_podgov"
    hold.give_back()


def test_a_cap_by_heat_is_seen_granted_and_comes_off_by_itself(gpu: GpuBed, hold: Hold) -> None:
    if gpu.cooler is None:
        pytest.skip("nothing cools this GPU")
    before = gpu.knobs()
    clock = DevfreqClock(gpu.unit, hold.journal)
    clock.set_clock(gpu.unit.mhz[-1])
    with gpu.capped(gpu.unit.mhz[1]):
        seen = clock.look()
        assert seen.mhz == seen.max_mhz == gpu.unit.mhz[1]
        assert (seen.held_by or "").startswith("thermal")
        assert clock.set_clock(gpu.unit.mhz[-1]) == gpu.unit.mhz[1]
        assert clock.set_clock(gpu.unit.mhz[0]) == gpu.unit.mhz[0]
        assert clock.look().max_mhz == gpu.unit.mhz[1], "our own limit does not make the cap lower"
        clock.set_clock(gpu.unit.mhz[-1])
    seen = clock.look()
    assert (seen.mhz, seen.max_mhz, seen.held_by) == (gpu.unit.mhz[-1], None, None)
    hold.give_back()
    assert gpu.knobs() == before


def test_a_gpu_found_under_a_cap_is_free_once_the_cap_is_off(gpu: GpuBed, hold: Hold) -> None:
    if gpu.cooler is None:
        pytest.skip("nothing cools this GPU")
    highest = gpu.read("max_freq")
    with gpu.capped(gpu.unit.mhz[1]):
        clock = DevfreqClock(gpu.unit, hold.journal)
        clock.set_clock(gpu.unit.mhz[0])
        hold.give_back()
    assert gpu.read("max_freq") == highest


def test_a_clock_off_the_table_is_refused_with_its_neighbours(gpu: GpuBed, hold: Hold) -> None:
    low, high = gpu.unit.mhz[:2]
    with pytest.raises(DeviceError, match=f"{(low + high) / 2:g} MHz is no clock.*{low:g} and {high:g} MHz"):
        DevfreqClock(gpu.unit_of(((low + high) / 2,)), hold.journal)


def test_a_clock_may_be_written_with_one_digit(gpu: GpuBed, hold: Hold) -> None:
    rounded = tuple(round(mhz, 1) for mhz in gpu.unit.mhz)
    assert DevfreqClock(gpu.unit_of(rounded), hold.journal).set_clock(rounded[0]) == gpu.unit.mhz[0]


def test_a_governor_that_somebody_else_sets_is_left_alone(gpu: GpuBed, hold: Hold) -> None:
    others = [name for name in gpu.governors if name != gpu.read("governor")]
    if not others:
        pytest.skip("this device has one governor")
    clock = DevfreqClock(gpu.unit, hold.journal)
    mine, theirs = others[0], gpu.read("governor")
    clock.govern(mine.removeprefix("nvhost_"))
    if theirs == "userspace" or len(others) > 1:
        theirs = others[1]
    gpu.write("governor", theirs)
    seen = clock.look()
    assert seen.held_by == f"governor {theirs}, which somebody set"
    assert seen.max_mhz == gpu.mhz
    assert clock.set_clock(gpu.unit.mhz[-1]) == gpu.mhz, "what is granted is what is there"
    given_back = hold.give_back()
    assert gpu.read("governor") == theirs
    assert any(f"governor = {theirs}" in line for line in given_back.left_alone)


def test_limits_that_somebody_else_sets_are_left_alone(gpu: GpuBed, hold: Hold) -> None:
    clock = DevfreqClock(gpu.unit, hold.journal)
    clock.set_clock(gpu.unit.mhz[-1])
    for name, mhz in (("min_freq", gpu.unit.mhz[0]), ("max_freq", gpu.unit.mhz[1])):
        gpu.write(name, round(mhz * 1e6))
    assert clock.look().held_by == "a limit that somebody set"
    assert clock.set_clock(gpu.unit.mhz[2]) == gpu.mhz <= gpu.unit.mhz[1], "what is granted is what is there"
    given_back = hold.give_back()
    assert gpu.read("max_freq") == str(round(gpu.unit.mhz[1] * 1e6))
    assert any("max_freq" in line for line in given_back.left_alone)


def test_a_lowest_clock_that_somebodys_limit_hides_is_not_left_behind(gpu: GpuBed, hold: Hold) -> None:
    before = gpu.knobs()
    DevfreqClock(gpu.unit, hold.journal).set_clock(gpu.unit.mhz[-2])
    try:
        gpu.write("max_freq", round(gpu.unit.mhz[1] * 1e6))
    except RefusedError:
        pytest.skip("this kernel keeps the highest clock above the lowest")
    hold.give_back()
    assert gpu.read("max_freq") == str(round(gpu.unit.mhz[1] * 1e6))
    gpu.write("max_freq", before[f"{gpu.directory}/max_freq"])
    assert gpu.knobs() == before


# ------------------------------------------------------------ which device is the GPU


@pytest.mark.usefixtures("fake_boards")
def test_a_gpu_is_told_by_what_it_is() -> None:
    found = {name: [path.rsplit("/", 1)[-1] for path in gpus(FakeTree(make()))] for name, make in boards.ALL.items()}
    assert {name: devices for name, devices in found.items() if devices} == {
        "xavier-nx-l4t32": ["17000000.gv11b"],
        "xavier-nx-l4t35": ["17000000.gv11b"],
        "orin-nano-l4t36": ["17000000.gpu"],
        "odroid-xu3": ["11800000.gpu"],
        "odroid-xu4": ["11800000.gpu"],
        "rk3588": ["fb000000.gpu"],
        "container": ["17000000.gv11b"],
        "bed-amd64": ["17000000.gv11b"],
    }
    nvidia = {
        name for name in found if found[name] and is_nvidia(FakeTree(boards.ALL[name]()), f"{DEVFREQ}/{found[name][0]}")
    }
    assert nvidia == {*_JETSONS, "container", "bed-amd64"}


@pytest.mark.parametrize(("node", "is_one"), [("mali", True), ("npu", False), ("dmc", False), ("gpu", True)])
def test_a_device_is_told_by_its_node_and_not_by_its_path(node: str, is_one: bool) -> None:
    kernel = FakeKernel()
    Devfreq(kernel, "sys/devices/platform/soc/ff000000.device", (10**8,), ("userspace",), "userspace", node=node)
    assert bool(gpus(FakeTree(kernel))) is is_one


@pytest.mark.usefixtures("fake_boards")
def test_no_gpu_and_several_gpus_are_refused(tmp_path: Path) -> None:
    kernel = boards.bed_arm64()
    hold = Hold(Machine(tree=FakeTree(kernel), state=tmp_path))
    with pytest.raises(DeviceError, match=r"there is no GPU in /sys/class/devfreq \(nothing\)"):
        DevfreqClock(GpuBed.unit_of((100.0,)), hold.journal)
    for name in ("dmc", "a.gpu", "b.mali"):
        Devfreq(kernel, f"sys/devices/platform/{name}", (10**8,), ("userspace",), "userspace")
        wanted = {"dmc": r"no GPU .*\(dmc\)", "b.mali": r"several GPUs .*\(a\.gpu, b\.mali\)"}.get(name)
        if wanted:
            with pytest.raises(DeviceError, match=wanted):
                DevfreqClock(GpuBed.unit_of((100.0,)), hold.journal)
    hold.give_back()


# ------------------------------------------------------------ what else goes wrong


@pytest.mark.usefixtures("fake_boards")
def test_a_gpu_that_this_user_may_not_turn_is_refused(tmp_path: Path) -> None:
    kernel = boards.orin_nano_l4t36()
    gpu = GpuBed(fake_bed(kernel, tmp_path))
    hold = Hold(gpu.bed.machine)
    kernel.root = False
    with pytest.raises(DeviceError, match=f"may not write /{gpu.directory}/min_freq"):
        DevfreqClock(gpu.unit, hold.journal)


@pytest.mark.parametrize("board", _JETSONS)
@pytest.mark.usefixtures("fake_boards")
def test_clocks_that_jetson_clocks_has_locked_are_refused(board: str, tmp_path: Path) -> None:
    kernel = boards.ALL[board]()
    gpu = GpuBed(fake_bed(kernel, tmp_path))
    kernel.jetson.jetson_clocks(True)
    with pytest.raises(DeviceError, match="jetson_clocks has locked"):
        DevfreqClock(gpu.unit, Hold(gpu.bed.machine).journal)


@pytest.mark.usefixtures("fake_boards")
def test_a_power_modes_cap_holds_while_our_own_limit_hides_it(tmp_path: Path) -> None:
    gpu = GpuBed(fake_bed(boards.orin_nano_l4t36(), tmp_path))
    hold = Hold(gpu.bed.machine)
    clock = DevfreqClock(gpu.unit_of(gpu.table_mhz), hold.journal)
    for turn in (lambda: None, lambda: clock.set_clock(306.0), lambda: clock.set_clock(918.0)):
        turn()
        assert (clock.look().max_mhz, clock.look().held_by) == (918.0, "nvpmodel 25W")
    hold.give_back()


@pytest.mark.usefixtures("fake_boards")
def test_a_driver_that_goes_and_comes_back(tmp_path: Path) -> None:
    kernel = boards.odroid_xu3()
    gpu = GpuBed(fake_bed(kernel, tmp_path))
    hold = Hold(gpu.bed.machine)
    clock = DevfreqClock(gpu.unit, hold.journal)
    clock.set_clock(gpu.unit.mhz[1])
    kernel.vanish(kernel.gpu.base)
    assert clock.look().mhz is None
    kernel.come_back(kernel.gpu.base)
    assert clock.look().mhz == gpu.unit.mhz[1]
    hold.give_back()


# ------------------------------------------------------------ killed at any moment


def test_the_gpu_comes_back_from_every_kill(gpu: GpuBed, monkeypatch: pytest.MonkeyPatch) -> None:
    # The clock need not have followed before the next turn.
    monkeypatch.setattr(DevfreqClock, "_settle", lambda self, clock_hz: None)
    killed = 0
    for seed in range(_KILLS_OF_EACH):
        rng = random.Random(seed)
        gpu.write("governor", rng.choice(gpu.governors))
        low, high = sorted(rng.sample(gpu.unit.mhz, 2))
        for name, mhz in (("min_freq", 0.0), ("max_freq", high), ("min_freq", low)):
            gpu.write(name, round(mhz * 1e6))
        before = gpu.knobs()
        was_killed, recovered = use_and_kill(gpu, rng)
        killed += was_killed
        assert recovered is not None
        assert not recovered.left_alone, (seed, recovered)
        assert gpu.knobs() == before, (seed, recovered)
    assert killed > _KILLS_OF_EACH // 2
