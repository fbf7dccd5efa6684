"""The clock of a discrete GPU, through a library that answers as NVIDIA's does. No GPU was there.

Whatever ends the run, no lock of gearshift's stays.
"""

from dataclasses import replace

import pytest

from actors.agent.agent import BoardAgent
from actors.agent.checks import check_clocks, check_governor
from actors.agent.devices.nvml import NvmlClock
from actors.agent.devices.nvml_library import NVIDIA_DRIVER, Nvml
from actors.agent.devices.real import Seen
from actors.agent.devices.sysfs import DeviceError, Tree
from actors.agent.hold import BoardBusyError, Hold, at_top_clocks, recover
from actors.agent.machine import Machine
from actors.board_commands.restore import restore
from helpers.agent_board import LITTLE
from helpers.kill_points import Killed, KillPoints, MortalTree, mortal_journal
from helpers.nvml_library import (
    GPU_IS_LOST,
    HW_SLOWDOWN,
    HW_THERMAL,
    IDLE,
    NO_PERMISSION,
    NOT_SUPPORTED,
    SW_POWER_CAP,
    FakeGpu,
    FakeLibrary,
)
from helpers.virtual_clock import VirtualClock
from scheduler.board import Board, BoardUnit

GPU = BoardUnit(
    name="gpu",
    kind="gpu",
    cpus=(),
    dvfs="nvml",
    mhz=(600.0, 900.0, 1200.0),
    static_w=None,
    dynamic_w=None,
    host="little",
    may_lock=True,
)
BOARD = Board(name="card", units=(LITTLE, GPU), base_w=None, sensor="none", power_source="made up")
FILES = {NVIDIA_DRIVER: "580", "sys/devices/system/cpu/online": "0-3", "proc/sys/kernel/random/boot_id": "this-boot"}


@pytest.fixture(autouse=True)
def as_root(monkeypatch):
    monkeypatch.setattr("actors.agent.devices.nvml.geteuid", lambda: 0)


@pytest.fixture
def tree(tmp_path):
    for path, text in FILES.items():
        (tmp_path / "root" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / path).write_text(text)
    return Tree(tmp_path / "root")


@pytest.fixture
def card(tree, tmp_path):
    """Gives a machine with one card, and the library."""
    library = FakeLibrary(FakeGpu())
    return Machine(tree=tree, state=tmp_path / "state", nvml=lambda: Nvml(library)), library


@pytest.fixture
def clock(card):
    """Gives the clock of the card's unit and the card; the board is given back at the end."""
    machine, library = card
    hold = Hold(machine)
    yield NvmlClock(GPU, hold.journal), library.gpus[0]
    hold.give_back()


def refused(machine, unit=GPU, **changes):
    with pytest.raises(DeviceError) as caught:
        check_clocks(replace(BOARD, units=(LITTLE, replace(unit, **changes))), machine)
    return str(caught.value)


# ---------------------------------------------------------------- before the start


def test_the_check_turns_nothing_and_writes_no_journal(card):
    machine, library = card
    check_clocks(BOARD, machine)
    assert library.locks == []
    assert not machine.state.exists()


def test_a_unit_whose_owner_has_not_allowed_a_lock_is_refused_before_nvml_is_asked(card):
    machine = replace(card[0], nvml=None)
    text = refused(machine, may_lock=False)
    assert "one that somebody had set before would be lost" in text
    assert "Add may_lock: true to the unit if that may be, or use dvfs: fixed" in text


def test_a_clock_off_the_table_names_its_neighbours(card):
    text = refused(card[0], mhz=(600.0, 1000.0))
    assert "unit 'gpu': 1000 MHz is no clock of this GPU; next to it there are 900 and 1200 MHz. Correct mhz" in text


def test_clocks_are_those_at_the_highest_clock_of_the_memory(card):
    library = card[1]
    library.gpus[0].clocks_mhz = {405: (300, 210), 5000: (1200, 900, 600)}
    assert Nvml(library).clocks_mhz(0) == (600, 900, 1200)
    check_clocks(BOARD, card[0])


def test_who_is_not_root_is_told_before_the_start(card, monkeypatch):
    monkeypatch.setattr("actors.agent.devices.nvml.geteuid", lambda: 1000)
    assert "only root may lock the clocks of a GPU (this process is not root). Run as root" in refused(card[0])


@pytest.mark.parametrize(
    ("gpu", "words"),
    [
        (FakeGpu(error=NOT_SUPPORTED), r"nvmlDeviceGetUUID: Not Supported\). On a Jetson use dvfs: devfreq"),
        (FakeGpu(error=GPU_IS_LOST), r"nvmlDeviceGetUUID: GPU is lost\). Use dvfs: fixed"),
        (FakeGpu(capability=(6, 1)), "NVML locks clocks from Volta on, not those of its GPU. Use dvfs: fixed"),
        (FakeGpu(clocks_mhz={}), "NVML lists no clocks of its GPU"),
    ],
)
def test_a_gpu_that_cannot_be_locked_says_why_and_what_to_use(card, gpu, words):
    machine, library = card
    library.gpus[:] = [gpu]
    with pytest.raises(DeviceError, match=f"unit 'gpu': .*{words}"):
        check_clocks(BOARD, machine)


def test_a_machine_without_the_driver_is_told_apart(card):
    assert "libnvidia-ml.so.1 finds no NVIDIA driver" in refused(replace(card[0], nvml=lambda: None))


def test_a_driver_that_is_too_old_is_an_error_and_no_traceback(card, monkeypatch):
    monkeypatch.delattr(FakeLibrary, "nvmlDeviceGetSupportedGraphicsClocks")
    assert "nvmlDeviceGetSupportedGraphicsClocks: the NVIDIA driver is too old to have it" in refused(card[0])


# ---------------------------------------------------------------- which GPU


def test_of_several_gpus_the_one_is_meant_that_cuda_has_in_the_units_place(card, monkeypatch):
    """CUDA puts the fastest first, NVML goes by PCI address: their orders are swapped here."""
    machine, library = card
    first, second = library.gpus[:] = [FakeGpu(uuid="GPU-slow"), FakeGpu(uuid="GPU-fast")]
    monkeypatch.setattr("actors.agent.devices.nvml.cuda_uuids", lambda: ("GPU-fast", "GPU-slow"))
    two = replace(BOARD, units=(GPU, LITTLE, replace(GPU, name="other", dvfs="fixed"), replace(GPU, name="third")))
    with pytest.raises(DeviceError, match="unit 'third': torch finds no CUDA device 2"):
        check_clocks(two, machine)
    two = replace(BOARD, units=(replace(GPU, dvfs="fixed", mhz=(1.0,)), LITTLE, replace(GPU, name="other")))
    with at_top_clocks(two, machine):
        assert (first.lock, second.lock) == ((1200, 1200), None)
    with at_top_clocks(BOARD, machine):
        assert (first.lock, second.lock) == (None, (1200, 1200))


def test_a_cuda_device_that_nvml_does_not_have_is_refused(card, monkeypatch):
    card[1].gpus.append(FakeGpu(uuid="GPU-bbbb"))
    monkeypatch.setattr("actors.agent.devices.nvml.cuda_uuids", lambda: ("GPU-part-of-one",))
    assert "CUDA device 0 (GPU-part-of-one) is no GPU of NVML's" in refused(card[0])


# ---------------------------------------------------------------- turning and looking


def test_a_clock_is_a_lock_at_it(clock):
    clock, gpu = clock
    assert [clock.set_clock(mhz) for mhz in GPU.mhz] == [*GPU.mhz]
    assert gpu.lock == (1200, 1200)
    assert clock.look() == Seen(mhz=1200)


def test_a_clock_that_is_locked_already_is_not_locked_again(card, clock):
    for _ in range(3):
        clock[0].set_clock(900.0)
    assert card[1].locks == [(900, 900)]


def test_an_idle_gpu_counts_as_at_its_lock(clock):
    clock, gpu = clock
    gpu.idle_mhz, gpu.reasons = 210, IDLE
    assert clock.look() == Seen(mhz=210)
    assert clock.set_clock(900.0) == 900.0
    assert clock.look() == Seen(mhz=900)


@pytest.mark.parametrize(
    ("reasons", "words"),
    [
        (SW_POWER_CAP, "the GPU's power limit (SW Power Cap)"),
        (HW_SLOWDOWN | HW_THERMAL, "heat (HW Thermal Slowdown)"),
    ],
)
def test_a_gpu_that_is_held_down_grants_what_it_runs_at_and_says_why(clock, reasons, words):
    clock, gpu = clock
    gpu.held_at_mhz, gpu.reasons = 855, reasons
    assert clock.look() == Seen(mhz=855, max_mhz=855, held_by=words)
    assert clock.set_clock(1200.0) == 855
    assert clock.look() == Seen(mhz=855, max_mhz=855, held_by=words)
    # Locked below the cap, it runs as asked, whatever the bits say.
    assert clock.set_clock(600.0) == 600.0
    assert clock.look() == Seen(mhz=600)
    gpu.held_at_mhz, gpu.reasons = None, 0
    assert clock.set_clock(1200.0) == 1200.0


def test_an_older_driver_has_the_reasons_under_their_old_name(clock, monkeypatch):
    clock, gpu = clock
    same = FakeLibrary.nvmlDeviceGetCurrentClocksEventReasons
    monkeypatch.setattr(FakeLibrary, "nvmlDeviceGetCurrentClocksThrottleReasons", same, raising=False)
    monkeypatch.delattr(FakeLibrary, "nvmlDeviceGetCurrentClocksEventReasons")
    gpu.held_at_mhz, gpu.reasons = 855, SW_POWER_CAP
    assert clock.look().max_mhz == 855


def test_a_clock_that_is_lower_without_a_reason_is_said_and_no_cap_is_made_up(clock):
    clock, gpu = clock
    clock.set_clock(1200.0)
    gpu.held_at_mhz = 1000
    assert clock.look() == Seen(mhz=1000)


def test_governors_are_locks_or_none_at_all(card, clock):
    clock, gpu = clock
    clock.set_clock(900.0)
    for governor, lock in (("performance", (1200, 1200)), ("powersave", (600, 600)), ("podgov", None)):
        clock.govern(governor)
        assert gpu.lock == lock
    clock.govern("podgov", 900.0)
    assert gpu.lock == (210, 900)
    clock.govern("performance", 900.0)
    assert gpu.lock == (900, 900)
    clock.govern("performance")
    assert gpu.lock == (1200, 1200)
    with pytest.raises(DeviceError, match="no governor 'schedutil' here; performance, podgov, powersave"):
        clock.govern("schedutil")


def test_the_drivers_own_management_takes_off_a_lock_that_was_found(clock):
    clock, gpu = clock
    gpu.lock = (600, 600)
    clock.govern("podgov")
    assert gpu.lock is None


def test_a_policy_that_names_a_cpu_governor_finds_the_gpus(card):
    for policy in ("floor+schedutil", "floor+performance", "joint"):
        check_governor(BOARD, policy, card[0])
    assert card[1].locks == []


def test_a_set_that_is_denied_is_said_with_the_fix_and_leaves_nothing(card):
    machine, library = card
    library.gpus[0].denied = NO_PERMISSION
    hold = Hold(machine)
    with pytest.raises(DeviceError, match=r"unit 'gpu': only root may .*Insufficient Permissions.*CAP_SYS_ADMIN"):
        NvmlClock(GPU, hold.journal).set_clock(900.0)
    library.gpus[0].denied = 0
    assert hold.give_back().put_back == ("clocks of GPU-aaaa: unlocked",)
    assert not list(machine.state.iterdir())


def test_a_gpu_that_is_lost_has_no_clock_and_a_set_says_so(clock):
    clock, gpu = clock
    clock.set_clock(900.0)
    gpu.error = GPU_IS_LOST
    assert clock.look() == Seen(mhz=None)
    with pytest.raises(DeviceError, match=r"unit 'gpu': lock of GPU-aaaa: .*GPU is lost"):
        clock.set_clock(1200.0)
    gpu.error = 0


# ---------------------------------------------------------------- giving it back


def test_a_board_agent_sets_the_clock_and_takes_the_lock_off_at_its_end(card, tmp_path):
    machine, library = card
    board = replace(BOARD, units=(LITTLE, GPU))
    with BoardAgent(board, apps=("a",), path=tmp_path / "ledger", clock=VirtualClock(), machine=machine) as agent:
        assert agent.set_clock("gpu", 900.0) == 900.0
        assert library.gpus[0].lock == (900, 900)
        with pytest.raises(BoardBusyError):
            restore(machine)
    assert library.gpus[0].lock is None
    assert not list(machine.state.iterdir())


def left_locked(machine):
    """Lock the clocks, and die."""
    points = KillPoints(lambda: None)
    tree = MortalTree(machine.tree, points)
    hold = Hold(replace(machine, tree=tree))
    NvmlClock(GPU, hold.journal).set_clock(900.0)
    tree.bury()


def test_restore_takes_off_what_a_dead_run_left_and_says_it_first(card):
    machine, library = card
    left_locked(machine)
    assert restore(machine, dry_run=True).put_back == ("clocks of GPU-aaaa: unlocked",)
    assert library.gpus[0].lock == (900, 900)
    assert restore(machine).lines() == ["put back: clocks of GPU-aaaa: unlocked"]
    assert library.gpus[0].lock is None
    assert restore(machine).lines() == []


def test_a_driver_that_was_unloaded_has_taken_the_lock_with_it(card):
    machine, library = card
    left_locked(machine)
    library.reload()
    assert recover(machine).failed == ()
    left_locked(machine)
    (machine.tree.root / NVIDIA_DRIVER).unlink()
    assert recover(replace(machine, nvml=lambda: None)).lines() == []
    assert not list(machine.state.iterdir())


def test_a_gpu_that_does_not_answer_stays_in_the_journal_until_it_does(card):
    machine, library = card
    left_locked(machine)
    library.gpus[0].error = GPU_IS_LOST
    assert "lock of GPU-aaaa: nvmlDeviceGetHandleByUUID: GPU is lost" in restore(machine).lines()[0]
    assert "can't reach NVIDIA's driver" in restore(replace(machine, nvml=lambda: None)).lines()[0]
    library.gpus[0].error = 0
    assert restore(machine).put_back == ("clocks of GPU-aaaa: unlocked",)
    assert library.gpus[0].lock is None


def test_no_lock_stays_whatever_moment_the_run_is_killed_at(card):
    def die():
        raise Killed

    machine, library = card
    total, killed_while_locked = None, 0
    for left in range(1000):
        points = KillPoints(die)
        points.left = left
        tree = MortalTree(machine.tree, points)
        with mortal_journal(points), pytest.MonkeyPatch.context() as patch:
            for name in ("nvmlDeviceSetGpuLockedClocks", "nvmlDeviceResetGpuLockedClocks"):
                patch.setattr(library, name, points.around(getattr(library, name)))
            try:
                with at_top_clocks(BOARD, replace(machine, tree=tree)):
                    pass
                total = left
            except Killed:
                tree.bury()
                killed_while_locked += library.gpus[0].lock is not None
        recovered = recover(machine)
        assert not recovered.failed
        assert library.gpus[0].lock is None, left
        assert not list(machine.state.glob("journal-*"))
        if total is not None:
            break
    assert total >= 8
    assert killed_while_locked
