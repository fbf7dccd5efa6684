"""NVML's counters through a library that answers as NVIDIA's does. No GPU was there when this was written."""

from pathlib import Path

import pytest

from actors.agent.devices.nvml_library import Nvml, NvmlError
from actors.agent.devices.sysfs import DeviceError, Tree
from actors.agent.sensors.common import Feeds
from actors.agent.sensors.nvml import NvmlRails
from helpers.nvml_library import DRIVER_NOT_LOADED, GPU_IS_LOST, NOT_SUPPORTED, WORDS, FakeGpu, FakeLibrary


class Machine(Tree):
    """A machine with NVIDIA's driver."""

    def exists(self, path):
        return path == "proc/driver/nvidia/version"


def rails(*gpus, tree=None):
    library = FakeLibrary(*gpus)
    driver = NvmlRails(lambda: Nvml(library))
    return driver, library, driver.find(tree or Machine())


def test_one_gpu_is_the_boards_gpu_and_counts_in_millijoules():
    driver, library, (rail,) = rails(FakeGpu(energy_mj=2**40))
    assert (rail.rail, rail.feeds) == ("gpu0", Feeds(gpu=True))
    channel = driver.open(Machine(), rail)
    assert channel.range_uj is None
    assert channel.read() == 2**40 * 1000
    library.gpus[0].energy_mj += 5
    assert channel.read() == (2**40 + 5) * 1000


def test_which_of_several_gpus_is_which_unit_is_not_guessed():
    driver, _, found = rails(FakeGpu(energy_mj=7), FakeGpu(energy_mj=9))
    assert [(rail.rail, rail.feeds) for rail in found] == [("gpu0", Feeds()), ("gpu1", Feeds())]
    assert [driver.open(Machine(), rail).read() for rail in found] == [7000, 9000]


@pytest.mark.parametrize("code", [NOT_SUPPORTED, GPU_IS_LOST, 999])
def test_a_gpu_without_a_counter_says_why_in_nvmls_words(code):
    driver, _, (rail,) = rails(FakeGpu(error=code))
    words = WORDS.get(code, b"error 999").decode()
    with pytest.raises(DeviceError, match=f"nvmlDeviceGetTotalEnergyConsumption: {words}"):
        driver.open(Machine(), rail).read()


def test_a_tree_of_another_machine_or_one_without_the_driver_has_no_gpu(tmp_path):
    for tree in (Machine(tmp_path), Tree(tmp_path)):
        assert rails(FakeGpu(), tree=tree)[2] == []
    if not Path("/proc/driver/nvidia/version").exists():
        assert rails(FakeGpu(), tree=Tree())[2] == []


def test_a_driver_that_does_not_answer_is_an_error_and_no_gpu():
    with pytest.raises(NvmlError, match="nvmlInit_v2: Driver Not Loaded"):
        Nvml(FakeLibrary(FakeGpu(), init=DRIVER_NOT_LOADED))
    assert NvmlRails(lambda: None).find(Machine()) == []
