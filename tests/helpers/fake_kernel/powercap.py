"""RAPL's energy counters under powercap: they wrap around, and only root reads them.

Sources: drivers/powercap/{powercap_sys,intel_rapl_common}.c of Linux 6.1.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from .kernel import FakeKernel
from .power import energy_j
from .texts import kernel_error, strict_bool, strict_unsigned

_CLASS = "sys/class/powercap"
_DEVICES = "sys/devices/virtual/powercap"
_STEPS = 2**32
"""Steps of a counter until it begins anew: it has 32 bits."""
_UPDATE_S = 0.001
"""Time between two updates of a counter."""


class Counter:
    """An energy counter that adds up a rail's power.

    Attributes:
        range_uj: the highest that it reads, `max_energy_range_uj`.
    """

    def __init__(self, kernel: FakeKernel, rail: str, range_uj: int, start_uj: int = 0) -> None:
        self.range_uj = range_uj
        self._kernel = kernel
        self._rail = rail
        self._joules = start_uj / 1e6
        self._then_s = self._tick_s()

    def __call__(self) -> int:
        """Return what it reads, in microjoules."""
        now_s = self._tick_s()
        if now_s > self._then_s:
            self._joules += energy_j(self._kernel, self._rail, self._then_s, now_s)
            self._then_s = now_s
        step_uj = self.range_uj / (_STEPS - 1)
        return round(int(self._joules * 1e6 / step_uj) % _STEPS * step_uj)

    def _tick_s(self) -> float:
        return self._kernel.now_s() // _UPDATE_S * _UPDATE_S


class Zone:
    """A zone of powercap.

    Attributes:
        base: its directory.
        uj: what its counter reads; a test may put another function here.
        enabled: `enabled`.
        limit_uw: power limit of its only constraint.
    """

    def __init__(
        self,
        kernel: FakeKernel,
        name: str,
        domain: str,
        uj: Callable[[], int],
        range_uj: int,
        *,
        parent: Zone | None = None,
        settable: bool = True,
    ) -> None:
        """Add a zone.

        Args:
            kernel: the kernel that it belongs to.
            name: name of its directory: `intel-rapl:0`.
            domain: what it measures: `package-0`.
            uj: returns what its counter reads, such as a `Counter`.
            range_uj: `max_energy_range_uj`.
            parent: the zone that it is part of.
            settable: False if it cannot be disabled, and its power limit takes any value and keeps its own.
        """
        control = name.partition(":")[0]
        self.base: str = f"{parent.base if parent else f'{_DEVICES}/{control}'}/{name}"
        self.uj = uj
        self.enabled = True
        self.limit_uw = 15_000_000
        self._settable = settable
        kernel.text(f"{self.base}/name", domain)
        kernel.file(f"{self.base}/energy_uj", lambda: str(self.uj()), mode=0o400)
        kernel.text(f"{self.base}/max_energy_range_uj", str(range_uj))
        kernel.file(f"{self.base}/enabled", lambda: str(int(self.enabled)), self._store_enabled)
        kernel.text(f"{self.base}/constraint_0_name", "long_term")
        kernel.file(f"{self.base}/constraint_0_power_limit_uw", lambda: str(self.limit_uw), self._store_limit)
        # The class lists all zones side by side; below the devices they are nested.
        kernel.link(f"{_CLASS}/{name}", self.base)
        if not kernel.exists(f"{_CLASS}/{control}"):
            kernel.link(f"{_CLASS}/{control}", f"{_DEVICES}/{control}")

    def _store_enabled(self, content: bytes) -> None:
        enabled = strict_bool(content)
        if not self._settable:
            raise kernel_error(errno.ENOSYS)
        self.enabled = enabled

    def _store_limit(self, content: bytes) -> None:
        try:
            asked = strict_unsigned(content, 64)
        except OSError:
            raise kernel_error(errno.EINVAL) from None
        if self._settable:
            self.limit_uw = asked
