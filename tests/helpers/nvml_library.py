"""NVIDIA's library, as it answers through ctypes: results by reference, and a code. No GPU is behind it."""

# The names are NVIDIA's.
# ruff: noqa: N802

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

NOT_SUPPORTED, NO_PERMISSION, NOT_FOUND, INSUFFICIENT_SIZE, DRIVER_NOT_LOADED, GPU_IS_LOST = 3, 4, 6, 7, 9, 15
WORDS = {
    NOT_SUPPORTED: b"Not Supported",
    NO_PERMISSION: b"Insufficient Permissions",
    NOT_FOUND: b"Not Found",
    DRIVER_NOT_LOADED: b"Driver Not Loaded",
    GPU_IS_LOST: b"GPU is lost",
}
IDLE, SW_POWER_CAP, SW_THERMAL, HW_SLOWDOWN, HW_THERMAL = 0x1, 0x4, 0x20, 0x8, 0x40


class _Words:
    restype = ctypes.c_int

    def __call__(self, code: int) -> bytes | None:
        return WORDS.get(code)


@dataclass
class FakeGpu:
    """One GPU.

    Attributes:
        uuid: its UUID.
        energy_mj: its energy counter.
        clocks_mhz: by clock of the memory, its clocks, from the top as NVML lists them.
        capability: its compute capability.
        lock: its lock; None without.
        held_at_mhz: the highest clock that heat or power leaves; None for no such cap.
        reasons: bits of why its clock is not higher.
        idle_mhz: its clock while nothing runs; None while something does.
        error: what every call that is about it answers; 0 for none.
        denied: what locking answers; 0 for none.
    """

    uuid: str = "GPU-aaaa"
    energy_mj: int = 0
    clocks_mhz: dict[int, tuple[int, ...]] = field(
        default_factory=lambda: {5000: (1410, 1200, 900, 600, 210), 405: (210,)}
    )
    capability: tuple[int, int] = (8, 0)
    lock: tuple[int, int] | None = None
    held_at_mhz: int | None = None
    reasons: int = 0
    idle_mhz: int | None = None
    error: int = 0
    denied: int = 0

    @property
    def clock_mhz(self) -> int:
        """Its present clock."""
        if self.idle_mhz is not None:
            return self.idle_mhz
        top = self.lock[1] if self.lock else self.clocks_mhz[5000][0]
        return top if self.held_at_mhz is None else min(top, self.held_at_mhz)


class FakeLibrary:
    """What of `libnvidia-ml.so.1` is called.

    Attributes:
        gpus: the GPUs, by number.
        locks: the calls that locked a GPU or took a lock off, the latest last.
    """

    def __init__(self, *gpus: FakeGpu, init: int = 0) -> None:
        self.gpus = list(gpus)
        self.locks: list[tuple[int, int] | None] = []
        self.init = init
        self.nvmlErrorString = _Words()

    def reload(self) -> None:
        """Unload the driver and load it again: locks and counters are gone."""
        for gpu in self.gpus:
            gpu.lock, gpu.energy_mj = None, 0

    def nvmlInit_v2(self) -> int:
        return self.init

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:
        count._obj.value = len(self.gpus)
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, number: ctypes.c_uint, handle: Any) -> int:
        handle._obj.value = 0x1000 + number.value
        return 0

    def nvmlDeviceGetHandleByUUID(self, uuid: ctypes.c_char_p, handle: Any) -> int:
        for number, gpu in enumerate(self.gpus):
            if gpu.uuid.encode() == uuid.value:
                handle._obj.value = 0x1000 + number
                return gpu.error if gpu.error == GPU_IS_LOST else 0
        return NOT_FOUND

    def nvmlDeviceGetUUID(self, handle: ctypes.c_void_p, uuid: Any, size: ctypes.c_uint) -> int:
        def answer(gpu: FakeGpu) -> None:
            assert size.value > len(gpu.uuid)
            uuid.value = gpu.uuid.encode()

        return self._of(handle, answer)

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: ctypes.c_void_p, energy: Any) -> int:
        return self._of(handle, lambda gpu: setattr(energy._obj, "value", gpu.energy_mj))

    def nvmlDeviceGetCudaComputeCapability(self, handle: ctypes.c_void_p, major: Any, minor: Any) -> int:
        def answer(gpu: FakeGpu) -> None:
            major._obj.value, minor._obj.value = gpu.capability

        return self._of(handle, answer)

    def nvmlDeviceGetSupportedMemoryClocks(self, handle: ctypes.c_void_p, count: Any, clocks: Any) -> int:
        return self._list(handle, lambda gpu: tuple(gpu.clocks_mhz), count, clocks)

    def nvmlDeviceGetSupportedGraphicsClocks(
        self, handle: ctypes.c_void_p, memory: ctypes.c_uint, count: Any, clocks: Any
    ) -> int:
        return self._list(handle, lambda gpu: gpu.clocks_mhz.get(memory.value, ()), count, clocks)

    def nvmlDeviceGetClockInfo(self, handle: ctypes.c_void_p, kind: ctypes.c_int, clock: Any) -> int:
        assert kind.value == 0, "not the graphics clock"
        return self._of(handle, lambda gpu: setattr(clock._obj, "value", gpu.clock_mhz))

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: ctypes.c_void_p, reasons: Any) -> int:
        return self._of(handle, lambda gpu: setattr(reasons._obj, "value", gpu.reasons))

    def nvmlDeviceSetGpuLockedClocks(self, handle: ctypes.c_void_p, low: ctypes.c_uint, high: ctypes.c_uint) -> int:
        return self._lock(handle, (low.value, high.value))

    def nvmlDeviceResetGpuLockedClocks(self, handle: ctypes.c_void_p) -> int:
        return self._lock(handle, None)

    def _of(self, handle: ctypes.c_void_p, answer: Callable[[FakeGpu], None]) -> int:
        assert handle.value is not None
        gpu = self.gpus[handle.value - 0x1000]
        if not gpu.error:
            answer(gpu)
        return gpu.error

    def _list(self, handle: ctypes.c_void_p, of: Callable[[FakeGpu], tuple[int, ...]], count: Any, numbers: Any) -> int:
        found: list[int] = []
        code = self._of(handle, lambda gpu: found.extend(of(gpu)))
        if code:
            return code
        room, count._obj.value = count._obj.value, len(found)
        if room < len(found):
            return INSUFFICIENT_SIZE
        if found:
            numbers[: len(found)] = found
        return 0

    def _lock(self, handle: ctypes.c_void_p, lock: tuple[int, int] | None) -> int:
        assert handle.value is not None
        gpu = self.gpus[handle.value - 0x1000]
        code = gpu.error or gpu.denied
        if not code:
            gpu.lock = lock
            self.locks.append(lock)
        return code
