"""NVML's counters through a library that answers as NVIDIA's does. No GPU was there when this was written."""

# The names are NVIDIA's.
# ruff: noqa: N802

import ctypes
from pathlib import Path

import pytest

from actors.agent.devices.sysfs import DeviceError, Tree
from actors.agent.nvml import Nvml, NvmlError
from actors.agent.sensors.common import Feeds
from actors.agent.sensors.nvml import NvmlRails

NOT_SUPPORTED, DRIVER_NOT_LOADED, GPU_IS_LOST = 3, 9, 15
WORDS = {NOT_SUPPORTED: b"Not Supported", DRIVER_NOT_LOADED: b"Driver Not Loaded", GPU_IS_LOST: b"GPU is lost"}


class Words:
    restype = ctypes.c_int

    def __call__(self, code):
        return WORDS.get(code)


class Library:
    """What of libnvidia-ml.so.1 is called, with the calling conventions of ctypes: results by reference, and a code."""

    def __init__(self, energies_mj, init=0):
        self.energies_mj = energies_mj
        self.init = init
        self.nvmlErrorString = Words()

    def nvmlInit_v2(self):
        return self.init

    def nvmlDeviceGetCount_v2(self, count):
        count._obj.value = len(self.energies_mj)
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, number, handle):
        handle._obj.value = 0x1000 + number.value
        return 0

    def nvmlDeviceGetTotalEnergyConsumption(self, handle, energy):
        value = self.energies_mj[handle.value - 0x1000]
        if isinstance(value, int):
            energy._obj.value = value
            return 0
        return value["error"]


class Machine(Tree):
    """A machine with NVIDIA's driver."""

    def exists(self, path):
        return path == "proc/driver/nvidia/version"


def rails(*energies_mj, tree=None):
    library = Library(list(energies_mj))
    driver = NvmlRails(lambda: Nvml(library))
    return driver, library, driver.find(tree or Machine())


def test_one_gpu_is_the_boards_gpu_and_counts_in_millijoules():
    driver, library, (rail,) = rails(2**40)
    assert (rail.rail, rail.feeds) == ("gpu0", Feeds(gpu=True))
    channel = driver.open(Machine(), rail)
    assert channel.range_uj is None
    assert channel.read() == 2**40 * 1000
    library.energies_mj[0] += 5
    assert channel.read() == (2**40 + 5) * 1000


def test_which_of_several_gpus_is_which_unit_is_not_guessed():
    driver, _, found = rails(7, 9)
    assert [(rail.rail, rail.feeds) for rail in found] == [("gpu0", Feeds()), ("gpu1", Feeds())]
    assert [driver.open(Machine(), rail).read() for rail in found] == [7000, 9000]


@pytest.mark.parametrize("code", [NOT_SUPPORTED, GPU_IS_LOST, 999])
def test_a_gpu_without_a_counter_says_why_in_nvmls_words(code):
    driver, _, (rail,) = rails({"error": code})
    words = WORDS.get(code, b"error 999").decode()
    with pytest.raises(DeviceError, match=f"nvmlDeviceGetTotalEnergyConsumption: {words}"):
        driver.open(Machine(), rail).read()


def test_a_tree_of_another_machine_or_one_without_the_driver_has_no_gpu(tmp_path):
    for tree in (Machine(tmp_path), Tree(tmp_path)):
        assert rails(1, tree=tree)[2] == []
    if not Path("/proc/driver/nvidia/version").exists():
        assert rails(1, tree=Tree())[2] == []


def test_a_driver_that_does_not_answer_is_an_error_and_no_gpu():
    with pytest.raises(NvmlError, match="nvmlInit_v2: Driver Not Loaded"):
        Nvml(Library([1], init=DRIVER_NOT_LOADED))
    assert NvmlRails(lambda: None).find(Machine()) == []
