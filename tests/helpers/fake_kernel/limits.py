"""The least and greatest clock of a cpufreq policy: what was asked for, the caps of others, and what becomes of them.

Three generations of rules. Before 5.4 a limit is one field that is replaced; a minimum above the maximum is refused.
From 5.4 on a write is a request among others (PM QoS): the smallest maximum wins, and a minimum above it stays latent.
From 5.16 on the limits are rounded to the table as well; before that a clock could be rounded up beyond its maximum.

Sources: drivers/cpufreq/{cpufreq,freq_table}.c and kernel/power/qos.c of Linux 6.1; the patches "cpufreq: Use PM QoS
requests for frequency limits" and "cpufreq: Make policy min/max hard requirements".
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field

from .texts import kernel_error, scan_unsigned, signed_32

_NO_MAXIMUM = 2**31 - 1
"""A request for no maximum (FREQ_QOS_MAX_DEFAULT_VALUE)."""


@dataclass
class Limits:
    """The limits of one policy, in kHz.

    Attributes:
        release: the kernel's version, (5, 10).
        table: the clocks; none if the driver has no table.
        least: the lowest that the hardware can, `cpuinfo_min_freq`.
        most: the highest that it can, `cpuinfo_max_freq`.
        ceiling: the highest while the driver keeps its turbo off; None while it does not.
        caps: the caps of others, by their names.
        asked_min: the minimum that was last asked for through the files.
        asked_max: the maximum that was last asked for through the files.
        low: the minimum now.
        high: the maximum now.
    """

    release: tuple[int, int]
    table: tuple[int, ...]
    least: int
    most: int
    ceiling: int | None = None
    caps: dict[str, int] = field(default_factory=dict)
    asked_min: int = 0
    asked_max: int = _NO_MAXIMUM
    low: int = 0
    high: int = 0

    def __post_init__(self) -> None:
        self.update()

    @property
    def are_requests(self) -> bool:
        """True if a write is one request among others."""
        return self.release >= (5, 4)

    def update(self) -> None:
        """Work out both limits from all that is asked for (cpufreq_set_policy)."""
        if self.are_requests:
            self._take(*self._verified(self.asked_min, min([self.asked_max, *self.caps.values()])))
        else:
            self._take(*self._adjusted(*self._verified(self.asked_min, self.asked_max)))

    def store(self, content: bytes, *, minimum: bool) -> None:
        """Take what is written to `scaling_min_freq` or `scaling_max_freq`; from 5.4 on `update` has to follow.

        Raises:
            OSError: EINVAL if it is no number, or no limit.
        """
        if self.are_requests:
            asked = signed_32(scan_unsigned(content, 64))
            if asked < -1:
                raise kernel_error(errno.EINVAL)
            # -1, that is 4294967295, stands for the default (PM_QOS_DEFAULT_VALUE).
            default = 0 if minimum else _NO_MAXIMUM
            asked = default if asked == -1 else asked
        else:
            asked = scan_unsigned(content, 32)
            low, high = (asked, self.high) if minimum else (self.low, asked)
            if low > high:
                raise kernel_error(errno.EINVAL)
            self._take(*self._adjusted(*self._verified(low, high)))
        if minimum:
            self.asked_min = asked
        else:
            self.asked_max = asked

    def entry(self, khz: int, *, up: bool) -> int:
        """Return the clock that is set where one is asked for: within the limits, then the table's next, up or down."""
        return self._resolved(khz, self.low, self.high, up=up)

    def _take(self, low: int, high: int) -> None:
        if self.release >= (5, 16):
            self.high = self._resolved(high, low, high, up=False)
            self.low = min(self._resolved(low, low, high, up=True), self.high)
        else:
            self.low, self.high = low, high

    def _resolved(self, khz: int, low: int, high: int, *, up: bool) -> int:
        khz = min(max(khz, low), high)
        if not self.table:
            return khz
        below = [entry for entry in self.table if entry <= khz]
        above = [entry for entry in self.table if entry >= khz]
        if up:
            return min(above) if above else max(below)
        return max(below) if below else min(above)

    def _verified(self, low: int, high: int) -> tuple[int, int]:
        """Keep limits within the hardware's, and have an entry between them (cpufreq_frequency_table_verify).

        So a maximum that leaves no entry above the minimum is raised to the next entry, whoever asked for it.
        """
        low, high = self._within_ends(low, high)
        if self.table and not any(low <= khz <= high for khz in self.table):
            low, high = self._within_ends(low, min(khz for khz in self.table if khz > high))
        return low, high

    def _within_ends(self, low: int, high: int) -> tuple[int, int]:
        most = self.most if self.ceiling is None else self.ceiling
        high = min(max(high, self.least), most)
        return min(max(low, self.least), high), high

    def _adjusted(self, low: int, high: int) -> tuple[int, int]:
        """Keep limits to everybody's caps, as the notifiers did before 5.4."""
        for cap in self.caps.values():
            if high > cap:
                low, high = min(low, cap), cap
        return self._verified(low, high)
