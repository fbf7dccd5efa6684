"""NVML, the library that comes with NVIDIA's driver: the few functions of it that gearshift calls, through ctypes.

Their names carry their version (`nvmlInit_v2`), so they stay as they are in all later drivers.
"""

from __future__ import annotations

import ctypes
from typing import Any

from actors.agent.devices.sysfs import DeviceError

_LIBRARY = "libnvidia-ml.so.1"


class NvmlError(DeviceError):
    """NVML did not do what was asked; the message has its own words, such as `Not Supported`."""


class Nvml:
    """An initialised NVML. GPUs are numbered as in `nvidia-smi`, in the order of their PCI addresses.

    Args:
        library: the loaded library, or what stands for it in a test.

    Raises:
        NvmlError: if there is no driver to talk to.
    """

    def __init__(self, library: Any) -> None:
        self._library = library
        self._handles: dict[int, ctypes.c_void_p] = {}
        self._library.nvmlErrorString.restype = ctypes.c_char_p
        self._call("nvmlInit_v2")

    def count(self) -> int:
        """Return the number of GPUs."""
        count = ctypes.c_uint()
        self._call("nvmlDeviceGetCount_v2", ctypes.byref(count))
        return count.value

    def energy_mj(self, gpu: int) -> int:
        """Return the energy that a GPU has used since its driver was loaded, in mJ; Volta and later have it."""
        energy = ctypes.c_ulonglong()
        self._call("nvmlDeviceGetTotalEnergyConsumption", self._handle(gpu), ctypes.byref(energy))
        return energy.value

    def _handle(self, gpu: int) -> ctypes.c_void_p:
        if gpu not in self._handles:
            handle = ctypes.c_void_p()
            self._call("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(gpu), ctypes.byref(handle))
            self._handles[gpu] = handle
        return self._handles[gpu]

    def _call(self, function: str, *arguments: Any) -> None:
        code = getattr(self._library, function)(*arguments)
        if code != 0:
            words = self._library.nvmlErrorString(code)
            raise NvmlError(f"{function}: {words.decode(errors='replace') if words else f'error {code}'}")


def open_nvml() -> Nvml | None:
    """Return this machine's NVML; None where there is no NVIDIA driver."""
    try:
        return Nvml(ctypes.CDLL(_LIBRARY))
    except (OSError, NvmlError):
        return None
