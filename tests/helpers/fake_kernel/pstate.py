"""Processors that choose their clock themselves: intel_pstate and amd-pstate, their switches and their preferences.

Sources: drivers/cpufreq/intel_pstate.c of Linux 6.1; Documentation/admin-guide/pm/{intel_pstate,amd-pstate}.rst.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping

from .cpufreq import Cpufreq, Policy
from .cpus import CPU
from .kernel import FakeKernel
from .texts import kernel_error, scan_signed, scan_unsigned, scan_word, strict_unsigned

_PREFERENCES = ("default", "performance", "balance_performance", "balance_power", "power")


class IntelPstate:
    """The switches in `intel_pstate`.

    Attributes:
        no_turbo: True if turbo is switched off.
        turbo_in_bios: False if the firmware forbids it.
        max_perf_pct: highest performance in percent; it shows in no policy's limits.
        min_perf_pct: lowest performance in percent.
    """

    def __init__(self, kernel: FakeKernel, status: str, base_khz: Mapping[int, int]) -> None:
        """Add the switches.

        Args:
            kernel: the kernel that they belong to; it has its policies.
            status: "active" or "passive".
            base_khz: each policy's highest clock without turbo, by its number.
        """
        self.no_turbo = False
        self.turbo_in_bios = True
        self.max_perf_pct = 100
        self.min_perf_pct = 8
        self._policies = kernel.cpufreq.policies
        self._base_khz = base_khz
        base = f"{CPU}/intel_pstate"
        _add_status(kernel, f"{base}/status", status)
        kernel.file(f"{base}/no_turbo", lambda: str(int(self.no_turbo)), self._store_no_turbo)
        kernel.file(f"{base}/max_perf_pct", lambda: str(self.max_perf_pct), self._store_max)
        kernel.file(f"{base}/min_perf_pct", lambda: str(self.min_perf_pct), self._store_min)

    def _store_no_turbo(self, content: bytes) -> None:
        off = scan_unsigned(content, 32) != 0
        if not off and not self.turbo_in_bios:
            raise kernel_error(errno.EPERM)
        self.no_turbo = off
        for number, policy in self._policies.items():
            policy.keep_below(self._base_khz[number] if off else None)

    def _store_max(self, content: bytes) -> None:
        self.max_perf_pct = min(max(scan_unsigned(content, 32), self.min_perf_pct), 100)

    def _store_min(self, content: bytes) -> None:
        self.min_perf_pct = min(max(scan_unsigned(content, 32), 0), self.max_perf_pct)


def add_preference(policy: Policy, preference: str = "balance_performance") -> None:
    """Add a policy's energy preference. Under the governor `performance` it is "performance" and stays so."""
    held = preference

    def show() -> str:
        return "performance" if policy.governor == "performance" else held

    def store(content: bytes) -> None:
        nonlocal held
        name = scan_word(content, 20)
        value = 0
        if name not in _PREFERENCES:
            value = strict_unsigned(content)
            if value > 255:
                raise kernel_error(errno.EINVAL)
        # Anything but the highest performance would contradict the governor.
        if policy.governor == "performance" and name != "performance" and (name in _PREFERENCES or value):
            raise kernel_error(errno.EBUSY)
        held = preference if name == "default" else name

    policy.file("energy_performance_preference", show, store)
    policy.file("energy_performance_available_preferences", lambda: "".join(f"{name} " for name in _PREFERENCES))


def add_amd_pstate(kernel: FakeKernel, status: str) -> None:
    """Add amd-pstate's own switch."""
    _add_status(kernel, f"{CPU}/amd_pstate/status", status)


def add_boost(cpufreq: Cpufreq, nominal_khz: int | None) -> None:
    """Add the switch of all policies' boost, which is on.

    Args:
        cpufreq: the policies.
        nominal_khz: their highest clock without boost; None where the limits do not show boost at all.
    """
    on = True

    def store(content: bytes) -> None:
        nonlocal on
        value = scan_signed(content)
        if value not in (0, 1):
            raise kernel_error(errno.EINVAL)
        on = value == 1
        for policy in cpufreq.policies.values():
            policy.keep_below(None if on else nominal_khz)

    cpufreq.kernel.file(f"{CPU}/cpufreq/boost", lambda: str(int(on)), store)


def _add_status(kernel: FakeKernel, path: str, status: str) -> None:
    def store(content: bytes) -> None:
        if scan_word(content, 16) != status:
            # It registers the driver anew, and every limit and governor is lost: nobody should do that.
            raise NotImplementedError(f"the model does not know a change of the driver ({content!r})")

    kernel.file(path, lambda: status, store)
