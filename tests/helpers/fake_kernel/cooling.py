"""Cooling devices: what thermal management turns to have less heat.

Source: drivers/thermal/{thermal_sysfs,cpufreq_cooling}.c of Linux 6.1.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from .cpufreq import Policy
from .devfreq import Devfreq
from .kernel import FakeKernel
from .texts import kernel_error, scan_signed

_BASE = "sys/class/thermal"
_VIRTUAL = "sys/devices/virtual/thermal"


class CoolingDevice:
    """A cooling device: states from 0, which does nothing, up to one that cools most.

    Attributes:
        kind: `type`.
        most: `max_state`.
        state: `cur_state`.
        base: its directory.
    """

    def __init__(self, kernel: FakeKernel, kind: str, most: int, apply: Callable[[int], None]) -> None:
        """Add a cooling device.

        Args:
            kernel: the kernel that it belongs to.
            kind: its type.
            most: its highest state.
            apply: called with a new state.
        """
        self.kind = kind
        self.most = most
        self.state = 0
        self._kernel = kernel
        self._apply = apply
        number = len(kernel.cooling)
        kernel.cooling.append(self)
        self.base = f"{_VIRTUAL}/cooling_device{number}"
        kernel.link(f"{_BASE}/cooling_device{number}", self.base)
        kernel.text(f"{self.base}/type", kind)
        kernel.file(f"{self.base}/max_state", lambda: str(self.most))
        kernel.file(f"{self.base}/cur_state", lambda: str(self.state), self._store)

    def turn(self, state: int) -> None:
        """Have thermal management choose a state."""
        with self._kernel.lock:
            if state != self.state:
                self.state = state
                self._apply(state)

    def _store(self, content: bytes) -> None:
        state = scan_signed(content, 64)
        if not 0 <= state <= self.most:
            raise kernel_error(errno.EINVAL)
        self.turn(state)


def cool_by_clock(kernel: FakeKernel, policy: Policy) -> CoolingDevice:
    """Add the cooling device of a policy: each state takes the highest clock off its table."""
    falling = sorted(policy.limits.table, reverse=True)
    kind = f"cpufreq-cpu{policy.number}" if kernel.release >= (5, 4) else f"thermal-cpufreq-{len(kernel.cooling)}"
    return CoolingDevice(kernel, kind, len(falling) - 1, lambda state: policy.cap(kind, falling[state]))


def cool_device_by_clock(kernel: FakeKernel, device: Devfreq) -> CoolingDevice:
    """Add the cooling device of a devfreq device."""
    falling = device.table_hz[::-1]
    kind = f"devfreq-{device.base.rsplit('/', 1)[-1]}"
    return CoolingDevice(kernel, kind, len(falling) - 1, lambda state: device.cap(kind, falling[state] // 1000))
