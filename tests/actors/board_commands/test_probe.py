"""Every machine is probed as a board that loads again, that the device layer takes, and that claims nothing unknown."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.agent.checks import check_clocks
from actors.agent.devices.nvml_library import Nvml
from actors.agent.devices.sysfs import DeviceError, Tree
from actors.agent.machine import Machine
from actors.board_commands.board_text import board_text
from actors.board_commands.condition import notes
from actors.board_commands.probe import probe, probe_host
from actors.board_commands.probe_cpus import grid
from actors.board_commands.probe_gpus import CudaDevice, cuda_here
from actors.board_commands.probed import Probed
from actors.board_file import read_board
from actors.cluster import check_host, find_board
from helpers.fake_kernel import FakeKernel, FakeTree, boards
from helpers.nvml_library import FakeGpu, FakeLibrary
from helpers.planted import CPU, plant
from scheduler.board import Board


def read_back(found: Probed, tmp_path: Path) -> Board:
    """Write a board's file with all that belongs to it, and read it."""
    remarks: dict[str | None, list[str]] = {}
    for remark in found.remarks:
        remarks.setdefault(remark.unit, []).append(remark.text)
    file = tmp_path / "cluster.yaml"
    file.write_text(board_text(found.board, remarks=remarks, sources=found.sources))
    return read_board(str(file))


def said(found: Probed, unit: str | None = None) -> str:
    return "\n".join(remark.text for remark in found.remarks if remark.unit == unit)


@pytest.mark.parametrize("root", [True, False])
@pytest.mark.parametrize("name", sorted(boards.ALL))
def test_every_machine_loads_again_and_can_be_driven_as_described(name: str, root: bool, tmp_path: Path) -> None:
    kernel = boards.ALL[name]()
    kernel.root = root
    tree = FakeTree(kernel)
    found = probe(tree)
    assert read_back(found, tmp_path) == found.board
    check_clocks(found.board, Machine(tree=tree, state=tmp_path / "state"))
    # What can be set is set only where this process may.
    if name not in ("this-vm", "container"):
        assert {unit.settable for unit in found.board.units} == {root}
    assert kernel.writes == []


@pytest.mark.parametrize("name", sorted(set(boards.ALL) - {"container"}))
def test_all_clocks_are_those_that_root_would_have(name: str) -> None:
    kernel = boards.ALL[name]()
    as_root = probe(FakeTree(kernel)).board
    kernel.root = False
    assert probe(FakeTree(kernel), all_clocks=True).board.units == as_root.units


def test_no_power_is_made_up() -> None:
    for build in boards.ALL.values():
        board = probe(FakeTree(build())).board
        assert not any(unit.powered for unit in board.units)
        assert board.base_w is None
        assert board.power_source.startswith("unknown: ")


def test_a_xavier_has_three_clusters_a_gpu_three_rails_and_nine_modes() -> None:
    found = probe(FakeTree(boards.xavier_nx_l4t35()))
    board = found.board
    assert [unit.name for unit in board.units] == ["cluster0", "cluster1", "cluster2", "gpu"]
    assert [unit.dvfs for unit in board.units] == ["cpufreq", "cpufreq", "cpufreq", "devfreq"]
    assert board.unit("cluster1").mhz[:2] == (115.2, 192.0)
    assert board.unit("cluster1").mhz[-1] == 1907.2
    assert board.unit("cluster1").transition_us == 300
    assert board.unit("gpu").mhz[0] == 114.75
    rails = {sensor.rail: sensor.covers for sensor in board.sensors}
    units = ("cluster0", "cluster1", "cluster2", "gpu")
    assert rails == {"VDD_IN": "board", "VDD_CPU_GPU_CV": units, "VDD_SOC": ()}
    modes = {mode.name: mode for mode in board.modes}
    assert len(modes) == 9
    assert modes["MODE_10W_2CORE"].cpus == (0, 1)
    assert board.in_mode("MODE_10W_2CORE").unit("cluster0").mhz[-1] == 1497.6
    assert board.in_mode("MODE_15W_6CORE").unit("cluster2").mhz == (1190.4, 1267.2, 1344.0, 1420.8)
    assert "MODE_15W_6CORE (2)" in said(found)


def test_a_limit_of_a_mode_that_is_no_clock_is_the_nearest_one() -> None:
    kernel = boards.xavier_nx_l4t35()
    conf = kernel.read("etc/nvpmodel.conf").decode().replace("MAX_FREQ 1497600", "MAX_FREQ 1500000")
    kernel.garbage("etc/nvpmodel.conf", conf.encode())
    mode = next(mode for mode in probe(FakeTree(kernel)).board.modes if mode.name == "MODE_10W_2CORE")
    assert {clocks.unit: clocks.max_mhz for clocks in mode.clocks} == {"cluster0": 1497.6, "gpu": 803.25}


def test_a_driver_without_a_table_gets_a_grid_that_says_so() -> None:
    found = probe(FakeTree(boards.x86_hybrid_laptop()))
    fast, slow = found.board.units
    assert (fast.name, fast.cpus, len(fast.mhz), fast.mhz[0], fast.mhz[-1]) == ("p-cores", (0, 2), 8, 400.0, 4700.0)
    assert (slow.name, slow.cpus) == ("e-cores", (4, 5, 6, 7))
    assert found.sources["mhz"].startswith("assumed: 8 clocks from end to end; intel_pstate has no table")
    assert found.sources["speed"].startswith("assumed: ")
    assert {sensor.rail: sensor.covers for sensor in found.board.sensors} == {
        "package-0": ("p-cores", "e-cores"),
        "core": (),
        "uncore": (),
        "psys": "board",
    }


def test_a_clock_that_is_not_set_has_the_source_of_that_clock_and_no_other() -> None:
    kernel = boards.x86_hybrid_laptop(passive=True)
    assert {"mhz", "transition_us"} <= set(probe(FakeTree(kernel)).sources)
    kernel.root = False
    found = probe(FakeTree(kernel))
    assert [unit.mhz for unit in found.board.units] == [(4700.0,), (3500.0,)]
    assert found.sources["mhz"] == "published: the kernel's cpuinfo_max_freq"
    assert "transition_us" not in found.sources


@given(bottom=st.integers(100_000, 5_000_000), span=st.integers(0, 6_000_000))
def test_a_grid_rises_from_end_to_end(bottom: int, span: int) -> None:
    clocks = grid(bottom, bottom + span)
    assert (clocks[0], clocks[-1]) == (bottom, bottom + span)
    assert clocks == sorted(set(clocks))
    assert len(clocks) <= 8


def test_a_gpu_that_no_engine_runs_on_is_left_out() -> None:
    found = probe(FakeTree(boards.odroid_xu3()))
    assert [unit.kind for unit in found.board.units] == ["cpu", "cpu"]
    assert "GPU 11800000.gpu is left out: no engine of gearshift runs on it" in said(found)


def test_a_jetsons_gpu_is_left_out_where_torch_does_not_find_it() -> None:
    tree = FakeTree(boards.orin_nano_l4t36())
    assert [unit.kind for unit in probe(tree, cuda=(CudaDevice(name="Orin"),)).board.units] == ["cpu", "cpu", "gpu"]
    without = probe(tree, cuda=())
    assert [unit.kind for unit in without.board.units] == ["cpu", "cpu"]
    assert [remark.text for remark in without.remarks if remark.matters] == [
        "GPU 17000000.gpu is left out: torch finds no CUDA device here"
    ]


def test_cards_are_units_whose_clock_is_left_alone() -> None:
    card = CudaDevice(name="H100", mhz=(210, 1200, 1980))
    found = probe(FakeTree(boards.this_vm()), cuda=(card, card))
    assert [(unit.name, unit.dvfs, unit.host) for unit in found.board.units[1:]] == [
        ("gpu0", "fixed", "cpu"),
        ("gpu1", "fixed", "cpu"),
    ]
    assert found.board.unit("gpu0").mhz == (1980.0,)
    assert "may_lock: true, and some of its 3 clocks from 210 to 1980 MHz" in said(found, "gpu1")
    one = probe(FakeTree(boards.this_vm()), cuda=(CudaDevice(name="A10"),))
    assert (one.board.units[1].name, one.board.units[1].mhz) == ("gpu", (1000.0,))
    assert one.sources["mhz"].startswith("unknown: ")


def test_cards_are_asked_for_their_clocks_where_nvml_knows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "actors.board_commands.probe_gpus"
    monkeypatch.setattr(f"{module}.has_gpu_driver", lambda: True)
    monkeypatch.setattr(f"{module}.cuda_devices", lambda: ("A100", "A part of one"))
    monkeypatch.setattr(f"{module}.cuda_uuids", lambda: ("GPU-aaaa", "GPU-MIG"))
    monkeypatch.setattr(f"{module}.open_nvml", lambda: Nvml(FakeLibrary(FakeGpu())))
    assert cuda_here() == (
        CudaDevice(name="A100", mhz=(210, 600, 900, 1200, 1410)),
        CudaDevice(name="A part of one"),
    )
    monkeypatch.setattr(f"{module}.open_nvml", lambda: None)
    assert cuda_here()[0] == CudaDevice(name="A100")
    monkeypatch.setattr(f"{module}.has_gpu_driver", lambda: False)
    assert cuda_here() == ()


def test_in_a_container_a_clock_that_is_shared_with_strangers_is_left_alone() -> None:
    found = probe(FakeTree(boards.ALL["container"]()))
    assert [(unit.name, unit.cpus, unit.dvfs) for unit in found.board.units[:2]] == [
        ("cluster0", (0,), "fixed"),
        ("cluster1", (2,), "fixed"),
    ]
    assert "CPU 1 has the same clock and may not be used by this process" in said(found, "cluster0")


def test_cpus_that_a_mode_has_switched_off_are_left_out_and_said() -> None:
    kernel = boards.xavier_nx_l4t35()
    kernel.jetson.nvpmodel(0)  # two cores
    found = probe(FakeTree(kernel))
    assert [unit.name for unit in found.board.units] == ["cpu", "gpu"]
    assert "without CPUs 2-5, offline now" in said(found)
    assert "MODE_15W_2CORE" in said(found)


def test_locked_clocks_are_fixed_and_the_mend_is_named() -> None:
    kernel = boards.orin_nano_l4t36()
    kernel.jetson.jetson_clocks(True)
    found = probe(FakeTree(kernel))
    assert {unit.dvfs for unit in found.board.units} == {"fixed"}
    assert "sudo jetson_clocks --restore" in said(found, "cluster0")
    # A mode may leave a single clock by itself.
    kernel = boards.xavier_nx_l4t35()
    kernel.jetson.nvpmodel(4)
    assert kernel.read(f"{CPU}/cpufreq/policy0/scaling_min_freq") == b"1190400\n"
    assert {unit.dvfs for unit in probe(FakeTree(kernel)).board.units} == {"cpufreq", "devfreq"}


def test_the_energy_model_is_told_and_not_taken_for_power(tmp_path: Path) -> None:
    kernel = boards.bed_arm64()
    domain = "sys/kernel/debug/energy_model/cpu0"
    kernel.text(f"{domain}/cpus", "0-1")
    kernel.text(f"{domain}/flags", "0x1")
    for khz, uw in ((600_000, 150_660), (1_907_200, 900_000)):
        kernel.text(f"{domain}/ps:{khz}/power", str(uw))
    found = probe(FakeTree(kernel))
    assert "600: 0.1507, 1907.2: 0.9000" in said(found, "big")
    assert not found.board.unit("big").powered
    kernel.text(f"{domain}/flags", "0x0")  # mW, or a scale of its own
    assert "watts" not in said(probe(FakeTree(kernel)), "big")


def test_a_machine_that_tells_no_clock_gets_a_stand_in_that_is_marked(tmp_path: Path) -> None:
    found = probe(plant(tmp_path, {f"{CPU}/online": "0-1"}))
    assert found.board.units[0].mhz == (1000.0,)
    assert found.sources["mhz"].startswith("unknown: ")
    listed = plant(tmp_path, {"proc/cpuinfo": "processor\t: 0\ncpu MHz\t\t: 2299.998\n\nprocessor\t: 1"})
    assert probe(listed).board.units[0].mhz == (2300.0,)


def test_a_container_that_is_shown_other_numbers_is_described_by_those_that_it_may_use(tmp_path: Path) -> None:
    """As lxcfs shows a container that owns CPU 24 of its host."""
    files = {f"{CPU}/online": "0", "proc/self/status": "Name:\tx\nCpus_allowed_list:\t24\n"}
    assert [unit.cpus for unit in probe(plant(tmp_path, files)).board.units] == [(24,)]


def test_a_directory_that_is_no_machine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="is this the root of a machine"):
        probe(Tree(tmp_path))


def test_the_name_is_the_model_or_host(tmp_path: Path) -> None:
    files = {f"{CPU}/online": 0, "sys/class/dmi/id/product_name": "To Be Filled By O.E.M."}
    assert probe(plant(tmp_path, files)).board.name == "host"
    tree = plant(tmp_path, {"proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0"})
    assert probe(tree).board.name == "raspberry-pi-5-model-b-rev-1.0"


ERRORS = [errno.EACCES, errno.EBUSY, errno.EINVAL, errno.EIO, errno.ENODEV, errno.EAGAIN]


def broken(kernel: FakeKernel, data: st.DataObject) -> None:
    """Have some files answer with an error, or with something that they never hold."""
    files = sorted(path for path, _ in kernel.files())
    for path in data.draw(st.lists(st.sampled_from(files), min_size=1, max_size=5)):
        how = data.draw(st.sampled_from([*ERRORS, b"", b"\n", b"garbage\n", b"-1\n", b"99999999999999999999\n"]))
        try:
            if isinstance(how, int):
                kernel.fail(path, how)
            else:
                kernel.garbage(path, how)
        except OSError:
            pass  # a link that leads nowhere


@pytest.mark.parametrize("name", ["xavier-nx-l4t32", "orin-nano-l4t36", "odroid-xu3", "x86-hybrid-laptop"])
@settings(max_examples=25)
@given(data=st.data())
def test_broken_files_give_a_board_that_loads_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    kernel = boards.ALL[name]()
    broken(kernel, data)
    try:
        found = probe(FakeTree(kernel))
    except DeviceError:
        return
    assert read_back(found, tmp_path_factory.getbasetemp()) == found.board


def test_this_machine_is_the_board_that_it_is_probed_as(tmp_path: Path) -> None:
    found = probe_host(Tree())
    assert read_back(found, tmp_path) == found.board
    check_host(found.board)
    assert {cpu for unit in found.board.units for cpu in unit.cpus} <= os.sched_getaffinity(0)
    assert find_board("host") == found.board


def test_isolated_cpus_are_left_alone_and_named():
    kernel = boards.bed_amd64()
    kernel.text("sys/devices/system/cpu/isolated", "2-3")
    kernel.text("proc/self/status", "Cpus_allowed_list:\t0")
    tree = FakeTree(kernel)
    found = probe(tree)
    assert [cpu for unit in found.board.units for cpu in unit.cpus] == [0]
    matters = [remark.text for remark in found.remarks if remark.matters]
    assert "without CPUs 2-3, isolated (isolcpus); a unit of your own board file may have them" in matters
    told = [note.text for note in notes(tree)]
    assert "isolated (isolcpus), for a board's file to list: CPUs 2-3" in told
    assert "CPUs 1 may not be used by this process: its CPU mask or its cpuset leaves them out" in told
