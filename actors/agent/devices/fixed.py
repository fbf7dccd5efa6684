"""The back-end of a real unit whose clock cannot be set: a request takes as long as it really takes."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from actors.agent.devices.common import NO_CLAMPS, Device, DeviceError
from scheduler.request_clock import NO_PACES, Pace


class FixedDevice(Device):
    """One unit with one clock, which is granted whatever is asked for."""

    def set_clock(
        self,
        clock: float | str,
        clamps_mhz: Mapping[int, float] = NO_CLAMPS,
        paces: Mapping[int, Pace] = NO_PACES,
    ) -> float:
        """Return the one clock. No governor has a say here."""
        return self.unit.mhz[-1]

    def limit(
        self,
        *,
        max_mhz: float | None = None,
        cpus_online: Collection[int] | None = None,
        other_load: float | None = None,
    ) -> None:
        """Set the CPUs in use; see `Device`. The clock cannot be held down, and other load is not made up."""
        name = f"unit {self.unit.name!r} has a fixed clock"
        if max_mhz is not None and max_mhz < self.unit.mhz[-1]:
            raise DeviceError(f"{name}, {self.unit.mhz[-1]:g} MHz: max_mhz {max_mhz:g} cannot be kept")
        if other_load:
            raise DeviceError(f"{name} and does real work: other load ({other_load:g}) must really be there")
        self.ask_cpus(cpus_online)

    def restore(self) -> None:
        """Lift all limits."""
        self.limit()
