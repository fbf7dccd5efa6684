"""Thermal zones: temperatures, their errors, and trip points that turn cooling devices.

Source: drivers/thermal/{thermal_sysfs,thermal_core,gov_step_wise}.c of Linux 6.1.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass

from .cooling import CoolingDevice
from .kernel import FakeKernel
from .texts import kernel_error

_BASE = "sys/class/thermal"
_VIRTUAL = "sys/devices/virtual/thermal"
_WITHOUT_VALUE = ("offset", "slope", "k_po", "k_pu", "k_i", "k_d", "integral_cutoff", "sustainable_power")
"""Files that answer EIO where the zone's driver gave no parameters."""


@dataclass(frozen=True)
class Trip:
    """A trip point.

    Attributes:
        kind: "passive" or "critical".
        temp_mc: its temperature in m°C.
        hyst_mc: its hysteresis.
    """

    kind: str
    temp_mc: int
    hyst_mc: int = 0


class ThermalZone:
    """A thermal zone.

    Attributes:
        kind: `type`.
        temp_mc: the temperature in m°C.
        error: number of the error with which the sensor answers; None if it works. EAGAIN stands for one that is gated.
        mode: `mode`.
        policy: `policy`.
    """

    def __init__(
        self,
        kernel: FakeKernel,
        kind: str,
        temp_mc: int,
        *,
        trips: Sequence[Trip] = (),
        cooled_by: Sequence[CoolingDevice] = (),
        error: int | None = None,
        policies: tuple[str, ...] = ("user_space", "step_wise"),
    ) -> None:
        """Add a zone with the next number; `policies` are the rules that the kernel has for cooling it."""
        self.kind = kind
        self.temp_mc = temp_mc
        self.error = error
        self.mode = "enabled"
        self.policy = "step_wise"
        self._policies = policies
        self._kernel = kernel
        self._trips = trips
        self._cooled_by = cooled_by
        number = len(kernel.zones)
        kernel.zones.append(self)
        base = f"{_VIRTUAL}/thermal_zone{number}"
        kernel.link(f"{_BASE}/thermal_zone{number}", base)
        kernel.text(f"{base}/type", kind)
        kernel.file(f"{base}/temp", self._show_temp)
        kernel.file(f"{base}/mode", lambda: self.mode, self._store_mode)
        kernel.file(f"{base}/policy", lambda: self.policy, self._store_policy)
        kernel.text(f"{base}/available_policies", " ".join(policies))
        for name in _WITHOUT_VALUE:
            kernel.file(f"{base}/{name}", self._refuse, self._refuse_value)
        for index, trip in enumerate(trips):
            kernel.text(f"{base}/trip_point_{index}_type", trip.kind)
            kernel.text(f"{base}/trip_point_{index}_temp", str(trip.temp_mc))
            kernel.text(f"{base}/trip_point_{index}_hyst", str(trip.hyst_mc))
        for index, device in enumerate(cooled_by):
            kernel.link(f"{base}/cdev{index}", device.base)
            kernel.text(f"{base}/cdev{index}_trip_point", "0")
        kernel.at_ticks(self._step, at_pauses=False)

    def _step(self) -> None:
        """Turn the cooling devices by one state, as step_wise does once a polling interval: up above the trip point."""
        passive = next((trip for trip in self._trips if trip.kind == "passive"), None)
        if passive is None or self.mode != "enabled" or self.error is not None or self.policy != "step_wise":
            return
        for device in self._cooled_by:
            step = 1 if self.temp_mc >= passive.temp_mc else -1
            device.turn(min(max(device.state + step, 0), device.most))

    def _show_temp(self) -> str:
        if self.error is None:
            return str(self.temp_mc)
        # 6.1 says ENODATA for a sensor that is gated; a reader would take EAGAIN for a call to try again.
        newer = self.error == errno.EAGAIN and self._kernel.release >= (6, 1)
        raise kernel_error(errno.ENODATA if newer else self.error)

    def _store_mode(self, content: bytes) -> None:
        for mode in ("enabled", "disabled"):
            if content.startswith(mode.encode()):
                self.mode = mode
                return
        raise kernel_error(errno.EINVAL)

    def _store_policy(self, content: bytes) -> None:
        # No name at all is that of the default.
        name = content[:19].decode(errors="replace").strip().lower() or "step_wise"
        if name not in self._policies:
            raise kernel_error(errno.EINVAL)
        self.policy = name

    def _refuse(self) -> str:
        raise kernel_error(errno.EIO)

    def _refuse_value(self, content: bytes) -> None:
        raise kernel_error(errno.EIO)
