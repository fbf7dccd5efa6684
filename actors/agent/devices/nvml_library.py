"""NVML, the library that comes with NVIDIA's driver: the few functions of it that gearshift calls, through ctypes.

Many names carry their version (`nvmlInit_v2`), so that later drivers keep them. Numbers are those of NVIDIA's `nvml.h`.
"""

from __future__ import annotations

import ctypes
from typing import Any

from actors.agent.devices.sysfs import DeviceError

_LIBRARY = "libnvidia-ml.so.1"

NVIDIA_DRIVER = "proc/driver/nvidia/version"
"""A file that is there while NVIDIA's driver for discrete GPUs is loaded."""

NOT_SUPPORTED = 3
NO_PERMISSION = 4
_INSUFFICIENT_SIZE = 7
_GRAPHICS_CLOCK = 0
_UUID_BYTES = 96


class NvmlError(DeviceError):
    """NVML did not do what was asked; the message has its own words, such as `Not Supported`.

    Attributes:
        code: NVML's number of the error; None where the library itself lacks something.
    """

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class Nvml:
    """An initialised NVML.

    A GPU is meant by its UUID, such as `GPU-5c6f0a12-...`, or by its number, as in `nvidia-smi`. Numbers follow PCI
    addresses, and CUDA has others.

    Args:
        library: the loaded library, or what stands for it in a test.

    Raises:
        NvmlError: if there is no driver to talk to.
    """

    def __init__(self, library: Any) -> None:
        self._library = library
        self._handles: dict[int | str, ctypes.c_void_p] = {}
        self._library.nvmlErrorString.restype = ctypes.c_char_p
        self._call("nvmlInit_v2")

    def count(self) -> int:
        """Return the number of GPUs."""
        count = ctypes.c_uint()
        self._call("nvmlDeviceGetCount_v2", ctypes.byref(count))
        return count.value

    def uuid(self, gpu: int | str) -> str:
        """Return the UUID of a GPU, which is the same under CUDA and after a reboot."""
        uuid = ctypes.create_string_buffer(_UUID_BYTES)
        self._call("nvmlDeviceGetUUID", self._handle(gpu), uuid, ctypes.c_uint(_UUID_BYTES))
        return uuid.value.decode("ascii", errors="replace")

    def energy_mj(self, gpu: int | str) -> int:
        """Return the energy that a GPU has used since its driver was loaded, in mJ; Volta and later have it."""
        energy = ctypes.c_ulonglong()
        self._call("nvmlDeviceGetTotalEnergyConsumption", self._handle(gpu), ctypes.byref(energy))
        return energy.value

    def compute_capability(self, gpu: int | str) -> tuple[int, int]:
        """Return the generation of a GPU, as CUDA has it: (7, 0) is Volta, (9, 0) Hopper."""
        major, minor = ctypes.c_int(), ctypes.c_int()
        found = (ctypes.byref(major), ctypes.byref(minor))
        self._call("nvmlDeviceGetCudaComputeCapability", self._handle(gpu), *found)
        return major.value, minor.value

    def clocks_mhz(self, gpu: int | str) -> tuple[int, ...]:
        """Return the clocks that a GPU can be locked at, in MHz, rising.

        They depend on the clock of its memory. Those at the highest one count, which is the one under load: an idle
        GPU's memory is slower, and leaves low clocks only.
        """
        handle = self._handle(gpu)
        memory_mhz = self._numbers("nvmlDeviceGetSupportedMemoryClocks", handle)
        of_highest = ctypes.c_uint(max(memory_mhz, default=0))
        return tuple(sorted(self._numbers("nvmlDeviceGetSupportedGraphicsClocks", handle, of_highest)))

    def clock_mhz(self, gpu: int | str) -> int:
        """Return the present clock of a GPU, in MHz; it falls while nothing runs there."""
        clock = ctypes.c_uint()
        self._call("nvmlDeviceGetClockInfo", self._handle(gpu), ctypes.c_int(_GRAPHICS_CLOCK), ctypes.byref(clock))
        return clock.value

    def clock_reasons(self, gpu: int | str) -> int:
        """Return why the clock of a GPU is not higher, as the bits `nvmlClocksEventReason...`."""
        # Older drivers have it under its old name only, which goes with CUDA 14.0 (NVIDIA's deprecation notices).
        names = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
        reasons = ctypes.c_ulonglong()
        function = names[0] if hasattr(self._library, names[0]) else names[1]
        self._call(function, self._handle(gpu), ctypes.byref(reasons))
        return reasons.value

    def lock_clocks(self, gpu: int | str, lowest_mhz: int, highest_mhz: int) -> None:
        """Keep the clock of a GPU within two clocks, for all who use it; Volta and later can. It needs root."""
        clocks = (ctypes.c_uint(lowest_mhz), ctypes.c_uint(highest_mhz))
        self._call("nvmlDeviceSetGpuLockedClocks", self._handle(gpu), *clocks)

    def unlock_clocks(self, gpu: int | str) -> None:
        """Leave the clock of a GPU to its driver, as after a reboot, whoever locked it. It needs root."""
        self._call("nvmlDeviceResetGpuLockedClocks", self._handle(gpu))

    def _handle(self, gpu: int | str) -> ctypes.c_void_p:
        if gpu not in self._handles:
            handle = ctypes.c_void_p()
            if isinstance(gpu, str):
                self._call("nvmlDeviceGetHandleByUUID", ctypes.c_char_p(gpu.encode()), ctypes.byref(handle))
            else:
                self._call("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(gpu), ctypes.byref(handle))
            self._handles[gpu] = handle
        return self._handles[gpu]

    def _numbers(self, function: str, *arguments: Any) -> list[int]:
        """Return the list that a function writes. Asked with no room for it, it says how long it is."""
        count = ctypes.c_uint(0)
        try:
            self._call(function, *arguments, ctypes.byref(count), None)
        except NvmlError as error:
            if error.code != _INSUFFICIENT_SIZE:
                raise
        numbers = (ctypes.c_uint * count.value)()
        if count.value:
            self._call(function, *arguments, ctypes.byref(count), numbers)
        return list(numbers)[: count.value]

    def _call(self, function: str, *arguments: Any) -> None:
        try:
            call = getattr(self._library, function)
        except AttributeError:
            raise NvmlError(f"{function}: the NVIDIA driver is too old to have it") from None
        code = call(*arguments)
        if code != 0:
            words = self._library.nvmlErrorString(code)
            text = words.decode(errors="replace") if words else f"error {code}"
            raise NvmlError(f"{function}: {text}", code)


def open_nvml() -> Nvml | None:
    """Return this machine's NVML; None where there is no NVIDIA driver."""
    try:
        return Nvml(ctypes.CDLL(_LIBRARY))
    except (OSError, NvmlError):
        return None
