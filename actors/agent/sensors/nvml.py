"""The energy counters of discrete NVIDIA GPUs, through NVML. A counter is a GPU's, its memory included, in mJ.

A Jetson's NVML answers, but has no counter. It is read by its INA3221.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from actors.agent.devices.nvml_library import NVIDIA_DRIVER, Nvml, open_nvml
from actors.agent.devices.sysfs import DeviceError, Tree
from actors.agent.sensors.common import NO_UNIT, Driver, EnergyChannel, Feeds, FoundRail


class _Counter(EnergyChannel):
    # 64 bits of mJ: at 1 kW they last for 585 million years.
    range_uj = None
    most_w = 4000  # assumed: a GPU takes up to some 1,000 W

    def __init__(self, nvml: Nvml, gpu: int) -> None:
        self._nvml = nvml
        self._gpu = gpu

    def show(self) -> int:
        return self._nvml.energy_mj(self._gpu)

    def value(self, shown: int) -> int:
        return 1000 * shown

    def close(self) -> None:
        pass


class NvmlRails(Driver):
    """The driver of NVML's counters.

    Args:
        opened: gives this machine's NVML, or None.
    """

    word: ClassVar[str] = "nvml"
    denied: ClassVar[str] = "run as a user who may open /dev/nvidiactl, in a container with the driver's devices"

    def __init__(self, opened: Callable[[], Nvml | None] = open_nvml) -> None:
        self._opened = opened

    def find(self, tree: Tree) -> list[FoundRail]:
        """Return the GPUs of this machine as `gpu0`, `gpu1`; a tree of another machine has none."""
        here = tree.root == Path("/") and tree.exists(NVIDIA_DRIVER)
        nvml = self._opened() if here else None
        try:
            count = nvml.count() if nvml else 0
        except DeviceError:
            count = 0
        # CUDA need not number several GPUs as NVML does, so which unit is which is not guessed.
        feeds = Feeds(gpu=True) if count == 1 else NO_UNIT
        return [
            FoundRail(driver=self.word, rail=f"gpu{gpu}", address=str(gpu), path="", feeds=feeds)
            for gpu in range(count)
        ]

    def open(self, tree: Tree, rail: FoundRail) -> EnergyChannel:
        """Return a GPU's counter, open for reading."""
        nvml = self._opened()
        if nvml is None:
            raise DeviceError("NVML is gone: the NVIDIA driver was unloaded")
        return _Counter(nvml, int(rail.address))
