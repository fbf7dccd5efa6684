"""This machine is a board if it has its CPUs and GPUs and can set its clocks; what lacks is named with the fix."""

import os
from dataclasses import replace

import pytest

from actors.agent.devices.cuda import cuda_devices, cuda_uuids
from actors.agent.machine import Machine
from actors.board_schema import BoardError
from actors.cluster import check_host, packaged_board
from helpers.fake_kernel import FakeAffinity, FakeTree, boards
from scheduler.board import BoardUnit
from scheduler.idle_state import IdleState
from scheduler.thermal import Thermal


def small(**changes):
    board = packaged_board("two-core-host")
    first = replace(board.units[0], **{"cpus": (min(os.sched_getaffinity(0)),), **changes})
    return replace(board, units=(first,))


def test_a_board_that_this_machine_can_be_passes():
    check_host(small())
    check_host(small(dvfs="fixed", mhz=(1000.0,)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dvfs": "cpufreq"}, r"unit 'big': the kernel sets no clock of CPU 0 .*use dvfs: fixed"),
        ({"kind": "gpu", "dvfs": "nvml", "cpus": ()}, "unit 'big': to set its clock, .*Add may_lock: true to the unit"),
    ],
)
def test_what_cannot_be_driven_names_the_unit_and_the_fix(monkeypatch, changes, message):
    monkeypatch.setattr("actors.cluster.cuda_devices", lambda: ("A 1",))
    with pytest.raises(BoardError, match=message) as caught:
        check_host(small(**changes))
    assert "--backend sim" in str(caught.value)


GPUS = [
    BoardUnit(name=name, kind="gpu", cpus=(), dvfs=dvfs, mhz=(1000.0,), static_w=None, dynamic_w=None)
    for name, dvfs in (("gpu", "fixed"), ("second", "emulated"))
]


@pytest.mark.parametrize(
    ("found", "units", "lacking"),
    [
        ((), [], None),
        ((), GPUS[:1], "unit 'gpu': kind 'gpu' needs a CUDA device of its own, and torch finds no CUDA device here"),
        (("A 1",), GPUS[:1], None),
        (("A 1",), GPUS, r"unit 'second': .* torch finds only 1 here \(A 1\)\. Else remove the unit"),
        (("A 1", "A 1"), GPUS, None),
    ],
)
def test_each_gpu_unit_needs_a_device(monkeypatch, found, units, lacking):
    monkeypatch.setattr("actors.cluster.cuda_devices", lambda: found)
    board = small()
    board = replace(board, units=(*board.units, *units))
    if lacking is None:
        check_host(board)
    else:
        with pytest.raises(BoardError, match=lacking) as caught:
            check_host(board)
        assert "--backend sim" in str(caught.value)


def test_a_board_without_a_gpu_does_not_ask_for_one(monkeypatch):
    monkeypatch.setattr("actors.cluster.cuda_devices", None)
    check_host(small())


def test_cuda_is_asked_outside_this_process():
    """Asked of torch here, it says the same; and it left no context in this process."""
    import torch

    found = cuda_devices()
    assert not torch.cuda.is_initialized()
    assert len(found) == len(cuda_uuids()) == torch.cuda.device_count()


def test_a_cpu_that_is_not_there_is_named():
    board = small()
    lacking = replace(board, units=(replace(board.units[0], cpus=(4095,)),))
    with pytest.raises(BoardError, match=r"unit 'big': CPU 4095 is not there \(this machine has .*--backend sim"):
        check_host(lacking)


def test_a_cpu_that_this_process_may_not_use_is_as_good_as_absent():
    board = small()
    home = os.sched_getaffinity(0)
    away = home - {board.units[0].cpus[0]}
    if not away:
        pytest.skip("one CPU is all there is")
    try:
        os.sched_setaffinity(0, away)
        with pytest.raises(BoardError, match=r"not allowed to this process: its mask, .* without taskset"):
            check_host(board)
    finally:
        os.sched_setaffinity(0, home)


def test_a_cpu_that_is_offline_is_named_with_what_may_have_taken_it():
    kernel = boards.bed_amd64()
    tree = FakeTree(kernel)
    tree.knob("sys/devices/system/cpu/cpu3/online").write(0)
    board = small(cpus=(2, 3))
    with pytest.raises(BoardError, match=r"unit 'big': CPU 3 is offline: .*nvpmodel.*hotplug.*some of \[0, 1, 2\]"):
        check_host(board, Machine(tree=tree, affinity=FakeAffinity(kernel)))


def test_cpus_that_a_cpuset_leaves_out_are_named_with_the_file_that_says_so():
    kernel = boards.bed_amd64()
    kernel.text("proc/self/cgroup", "0::/box")
    kernel.text("proc/self/mountinfo", "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw")
    kernel.text("sys/fs/cgroup/box/cpuset.cpus.effective", "0-1")
    machine = Machine(tree=FakeTree(kernel), affinity=FakeAffinity(kernel, cpuset={0, 1}))
    check_host(small(cpus=(0, 1)), machine)
    with pytest.raises(BoardError) as caught:
        check_host(small(cpus=(1, 2, 3)), machine)
    assert (
        "unit 'big': CPUs 2-3 are not allowed to this process: its cpuset leaves them out (/sys/fs/cgroup/box/"
        "cpuset.cpus.effective has 0-1). Widen it (--cpuset-cpus of a container, AllowedCPUs of a service). Or use "
        "some of [0, 1], or simulate it with --backend sim."
    ) in str(caught.value)


def test_isolated_cpus_may_be_used_though_no_mask_has_them():
    kernel = boards.bed_amd64()
    kernel.text("sys/devices/system/cpu/isolated", "2-3")
    affinity = FakeAffinity(kernel, isolated={2, 3})
    machine = Machine(tree=FakeTree(kernel), affinity=affinity)
    assert affinity.get(0) == {0, 1}
    check_host(small(cpus=(1, 2, 3)), machine)
    narrow = Machine(tree=FakeTree(kernel), affinity=FakeAffinity(kernel, cpuset={0, 1, 2}, isolated={2, 3}))
    with pytest.raises(BoardError, match="CPU 3 is not allowed to this process: its cpuset leaves it out"):
        check_host(small(cpus=(2, 3)), narrow)


def test_units_that_share_a_clock_are_not_driven_yet():
    board = small(domain="soc")
    other = replace(board.units[0], name="other")
    with pytest.raises(BoardError, match="share a clock"):
        check_host(replace(board, units=(board.units[0], other)))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("transition_us", 140.0),
        ("idle_states", (IdleState(residency_us=2500, exit_us=700),)),
        ("thermal", Thermal(c_per_w=6, tau_s=8, trip_c=84)),
    ],
)
def test_what_is_not_emulated_is_refused_on_an_emulated_unit(key, value):
    board = small()
    with pytest.raises(BoardError, match=rf"{key} is simulated only.*Leave it out, or simulate it with --backend sim"):
        check_host(replace(board, units=(replace(board.units[0], **{key: value}),)))
