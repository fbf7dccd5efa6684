"""The kernel's cpufreq governors: how each sets the clock within the limits, and its tunables in sysfs.

What ondemand, conservative, schedutil and interactive make of the load is not modelled: under them the clock is where a
test puts it (`Policy.wanted_khz`), within the limits. Tunables live as long as a policy uses them, and begin anew.

Sources: drivers/cpufreq/cpufreq_{ondemand,conservative,governor}.c and kernel/sched/cpufreq_schedutil.c of Linux 6.1.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from .texts import kernel_error, scan_unsigned, strict_unsigned

if TYPE_CHECKING:
    from .kernel import FakeKernel

DYNAMIC = ("conservative", "ondemand", "schedutil", "interactive")
"""Governors that follow the load."""

_LEAST_SAMPLING_US = 8000
"""Shortest sampling interval: two ticks of 4 ms (CPUFREQ_DBS_MIN_SAMPLING_INTERVAL, HZ=250)."""
_MOST_DELAY_US = 10_000
"""Longest default interval between two changes (cpufreq_policy_transition_delay_us)."""

_Values = dict[str, int]
_Rule = Callable[[int, _Values], int]


def _between(least: int, most: int) -> _Rule:
    def rule(value: int, values: _Values) -> int:
        if not least <= value <= most:
            raise kernel_error(errno.EINVAL)
        return value

    return rule


def _above_the_lower(value: int, values: _Values) -> int:
    return _between(values["down_threshold"] + 1, 100)(value, values)


def _below_the_upper(value: int, values: _Values) -> int:
    return _between(1, min(100, values["up_threshold"] - 1))(value, values)


def _at_most(most: int) -> _Rule:
    return lambda value, values: min(value, most)


def _flag(value: int, values: _Values) -> int:
    return int(value != 0)


def _any(value: int, values: _Values) -> int:
    return value


_SAMPLING = _between(_LEAST_SAMPLING_US, 2**32 - 1)
_RULES: dict[str, dict[str, tuple[int, _Rule]]] = {
    # Each tunable's default and what becomes of a value. The defaults of intervals follow from the policy's latency.
    "ondemand": {
        "sampling_rate": (0, _SAMPLING),
        "up_threshold": (95, _between(1, 100)),
        "sampling_down_factor": (1, _between(1, 100_000)),
        "ignore_nice_load": (0, _at_most(1)),
        "powersave_bias": (0, _at_most(1000)),
        "io_is_busy": (0, _flag),
    },
    "conservative": {
        "sampling_rate": (0, _SAMPLING),
        "sampling_down_factor": (1, _between(1, 10)),
        "up_threshold": (80, _above_the_lower),
        "down_threshold": (20, _below_the_upper),
        "ignore_nice_load": (0, _at_most(1)),
        "freq_step": (5, _at_most(100)),
    },
    "schedutil": {"rate_limit_us": (0, _any)},
    # Android's and L4T 4.9's, not mainline's; a few of its tunables.
    "interactive": {
        "go_hispeed_load": (99, _any),
        "hispeed_freq": (0, _any),
        "min_sample_time": (30_000, _any),
        "timer_rate": (20_000, _any),
    },
}


class Tunables:
    """The directories of governors' tunables.

    Attributes:
        per_policy: True if each policy has its own, `policyN/schedutil`; False if all share `cpufreq/schedutil`.
    """

    def __init__(self, kernel: FakeKernel, base: str, *, per_policy: bool, io_is_busy: bool) -> None:
        self._kernel = kernel
        self._io_is_busy = io_is_busy
        self._base = base
        self.per_policy = per_policy
        self._users: dict[str, set[int]] = {}

    def use(self, governor: str, policy: int, latency_ns: int) -> None:
        """Have a policy use a governor: its tunables appear with their defaults, if nobody uses them yet."""
        if governor not in _RULES:
            return
        directory = self._directory(governor, policy)
        users = self._users.setdefault(directory, set())
        if not users:
            self._add(directory, governor, latency_ns)
        users.add(policy)

    def leave(self, governor: str, policy: int) -> None:
        """Have a policy use a governor no more: its tunables vanish with the last user."""
        if governor not in _RULES:
            return
        directory = self._directory(governor, policy)
        self._users[directory].discard(policy)
        if not self._users[directory]:
            self._kernel.remove(directory)

    def _directory(self, governor: str, policy: int) -> str:
        return f"{self._base}/policy{policy}/{governor}" if self.per_policy else f"{self._base}/{governor}"

    def _add(self, directory: str, governor: str, latency_ns: int) -> None:
        rules = _RULES[governor]
        values = {name: default for name, (default, _) in rules.items()}
        delay_us = min(1000 * (latency_ns // 1000 or 1), _MOST_DELAY_US)
        if "sampling_rate" in values:
            values["sampling_rate"] = max(_LEAST_SAMPLING_US, delay_us)
        if "rate_limit_us" in values:
            values["rate_limit_us"] = delay_us
        if "io_is_busy" in values:
            values["io_is_busy"] = int(self._io_is_busy)

        def file(name: str, rule: _Rule) -> None:
            def store(content: bytes) -> None:
                values[name] = rule(_number(name, content), values)

            self._kernel.file(f"{directory}/{name}", lambda: str(values[name]), store)

        for name, (_, rule) in rules.items():
            file(name, rule)


def _number(name: str, content: bytes) -> int:
    if name != "rate_limit_us":
        return scan_unsigned(content, 32)
    try:
        return strict_unsigned(content)
    except OSError:
        raise kernel_error(errno.EINVAL) from None
