"""The clock of a discrete NVIDIA GPU, through NVML: its clocks are locked at one, for all who use the GPU.

A lock is no file, and can't be read. So whoever had locked the clocks before loses his lock at the first turn, which
the owner has to allow (`may_lock: true`). With no lock the driver manages the clock.

An idle GPU may show less than it is locked at; it counts as locked, since that is what its next request runs at. A
Jetson's NVML knows no clocks, and its GPU is one of devfreq's.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import geteuid
from types import MappingProxyType

from actors.agent.devices.cuda import cuda_uuids
from actors.agent.devices.gpu_lock import UNLOCKED, GpuLock
from actors.agent.devices.journal import Journal
from actors.agent.devices.limits import check_clock
from actors.agent.devices.nvml_library import NO_PERMISSION, NOT_SUPPORTED, Nvml, NvmlError
from actors.agent.devices.real import RealClock, Seen
from actors.agent.devices.sysfs import DeviceError
from scheduler.board import BoardUnit, reaches

_IDLE = 0x1
"""`nvmlClocksEventReasonGpuIdle`: nothing runs, so the clock falls by itself."""

_REASONS: Mapping[int, str] = MappingProxyType(
    {
        0x40: "heat (HW Thermal Slowdown)",
        0x20: "heat (SW Thermal Slowdown)",
        0x80: "the power supply (HW Power Brake Slowdown)",
        0x4: "the GPU's power limit (SW Power Cap)",
        0x8: "heat or power (HW Slowdown)",
        0x10: "the slowest GPU of its group (Sync Boost)",
        0x100: "a display's clock (Display Clock Setting)",
        0x2: "applications clocks that somebody set",
    }
)
"""What holds a clock down, by its bit of `nvmlClocksEventReason...` in NVIDIA's `nvml.h`; the most telling first."""

_VOLTA = (7, 0)
"""Compute capability of the first GPUs whose clocks can be locked."""

_GOVERNORS = ("performance", "podgov", "powersave")
"""What stands for governors: a lock at the unit's highest clock, no lock, a lock at its lowest clock."""


class NvmlClock(RealClock):
    """The clock of a GPU unit.

    Args:
        unit: the unit, as the board's file describes it.
        journal: the board's journal.
        cuda_number: number of its CUDA device.

    Raises:
        DeviceError: if the unit's clock can't be set as described: not allowed by its owner, no such GPU, one that
            can't be locked, clocks that it does not have, or no permission.
    """

    def __init__(self, unit: BoardUnit, journal: Journal, cuda_number: int = 0) -> None:
        self._unit = unit
        self._journal = journal
        self._where = f"unit {unit.name!r}"
        if not unit.may_lock:
            raise DeviceError(
                f"{self._where}: to set its clock, the lock of its clocks has to be set and then taken off, and one "
                f"that somebody had set before would be lost (NVML can't read it). Add may_lock: true to the unit if "
                f"that may be, or use dvfs: fixed"
            )
        nvml = journal.nvml()
        if nvml is None:
            raise DeviceError(
                f"{self._where}: libnvidia-ml.so.1 finds no NVIDIA driver for discrete GPUs. Use dvfs: fixed, or "
                f"devfreq on a Jetson"
            )
        self._nvml = nvml
        try:
            self._gpu = self._find(nvml, cuda_number)
            self._table_mhz = nvml.clocks_mhz(self._gpu)
            can_lock = nvml.compute_capability(self._gpu) >= _VOLTA
        except NvmlError as error:
            on_jetson = " On a Jetson use dvfs: devfreq" if error.code == NOT_SUPPORTED else " Use dvfs: fixed"
            raise DeviceError(f"{self._where}: its GPU does not tell its clocks ({error}).{on_jetson}") from None
        if not can_lock:
            raise DeviceError(f"{self._where}: NVML locks clocks from Volta on, not those of its GPU. Use dvfs: fixed")
        if not self._table_mhz:
            raise DeviceError(f"{self._where}: NVML lists no clocks of its GPU. Use dvfs: fixed")
        for mhz in unit.mhz:
            check_clock(unit, mhz, "this GPU", self._table_mhz)
        # NVML does not say who may set a lock but by setting one. Its rule is that root may.
        if geteuid() != 0:
            raise self._denied("this process is not root")
        self._lock = GpuLock(nvml, self._gpu)
        self._locked_mhz: int | None = None  # the clock that it is locked at; None while the driver has it
        self._limit_mhz: float | None = None  # the highest clock that a governor may take

    def _find(self, nvml: Nvml, cuda_number: int) -> str:
        """Return the UUID of the GPU that CUDA has under a number."""
        if nvml.count() == 1 and cuda_number == 0:
            return nvml.uuid(0)
        uuids = cuda_uuids()
        if cuda_number >= len(uuids):
            raise DeviceError(f"{self._where}: torch finds no CUDA device {cuda_number}. Remove the unit")
        try:
            return nvml.uuid(uuids[cuda_number])
        except NvmlError as error:
            raise DeviceError(
                f"{self._where}: CUDA device {cuda_number} ({uuids[cuda_number]}) is no GPU of NVML's ({error}); a "
                f"part of a GPU (MIG) has no clock of its own. Use dvfs: fixed"
            ) from None

    # ------------------------------------------------------------ turning

    def set_clock(self, mhz: float) -> float:
        """Set the clock; see `RealClock`. It takes the clock where the GPU is held below it, else the one asked for."""
        self._lock_at(self._clock(mhz))
        self._limit_mhz = None
        return self.look().max_mhz or mhz

    def governors(self) -> tuple[str, ...]:
        """Return what can have the clock; see `RealClock`. `podgov` is the driver's own rule, whatever it is."""
        return _GOVERNORS

    def govern(self, governor: str, max_mhz: float | None = None) -> None:
        """Hand the clock to a governor; see `RealClock`."""
        if governor not in _GOVERNORS:
            raise DeviceError(f"{self._where}: no governor {governor!r} here; {', '.join(_GOVERNORS)}")
        if governor == "performance":
            self._lock_at(self._clock(self._unit.allowed(max_mhz)[-1]))
        elif governor == "powersave":
            self._lock_at(self._clock(self._unit.mhz[0]))
        else:
            self._turn(UNLOCKED if max_mhz is None else f"{self._table_mhz[0]} {self._clock(max_mhz)}")
            self._locked_mhz = None
        self._limit_mhz = max_mhz

    def keep(self) -> None:
        """Do nothing: no CPUs, which could be switched off, belong to a GPU."""

    def _lock_at(self, clock_mhz: int) -> None:
        self._turn(f"{clock_mhz} {clock_mhz}")
        self._locked_mhz = clock_mhz

    def _turn(self, lock: str) -> None:
        if self._journal.values(self._lock.path) == (lock,):
            return
        try:
            self._journal.turn(self._lock, lock, "gpu-lock", self._lock.found())
        except NvmlError as error:
            if error.code == NO_PERMISSION:
                raise self._denied(str(error)) from None
            raise DeviceError(f"{self._where}: {error}") from None

    def _denied(self, reason: str) -> DeviceError:
        return DeviceError(
            f"{self._where}: only root may lock the clocks of a GPU ({reason}). Run as root; in a container, one that "
            f"may administer the machine (CAP_SYS_ADMIN). Or use dvfs: fixed"
        )

    # ------------------------------------------------------------ looking

    def look(self) -> Seen:
        """Return the present state; see `RealClock`. A GPU that does not answer, as one that is lost, has no clock."""
        try:
            now_mhz, reasons = self._nvml.clock_mhz(self._gpu), self._nvml.clock_reasons(self._gpu)
        except NvmlError:
            return Seen(mhz=None)
        if reasons & _IDLE:
            return Seen(mhz=max(now_mhz, self._locked_mhz or 0))
        held_by = next((words for bit, words in _REASONS.items() if reasons & bit), None)
        wanted_mhz = self._locked_mhz or self._limit_mhz or self._unit.mhz[-1]
        if held_by is None or reaches(now_mhz, wanted_mhz):
            return Seen(mhz=now_mhz)
        return Seen(mhz=now_mhz, max_mhz=now_mhz, held_by=held_by)

    def _clock(self, mhz: float) -> int:
        """Return the GPU's clock that is meant, in MHz."""
        return min(self._table_mhz, key=lambda clock_mhz: abs(clock_mhz - mhz))
