"""Governors by the names that policies and plans use."""

from __future__ import annotations

from collections.abc import Callable

from scheduler.governors import common, devfreq, interactive
from scheduler.governors.common import Governor, GovernorError
from scheduler.governors.devfreq import Podgov
from scheduler.governors.fixed import Performance, Powersave
from scheduler.governors.interactive import Interactive
from scheduler.governors.load import Conservative, Ondemand
from scheduler.governors.schedutil import Schedutil, SchedutilUclamp
from scheduler.problem import did_you_mean

_MAKERS: dict[str, tuple[int, Callable[[float, int], Governor]]] = {
    "performance": (common.PERIOD_US, lambda max_mhz, period_us: Performance(period_us=period_us)),
    "powersave": (common.PERIOD_US, lambda max_mhz, period_us: Powersave(period_us=period_us)),
    "ondemand": (common.PERIOD_US, lambda max_mhz, period_us: Ondemand(max_mhz=max_mhz, period_us=period_us)),
    "conservative": (common.PERIOD_US, lambda max_mhz, period_us: Conservative(period_us=period_us)),
    "interactive": (
        interactive.PERIOD_US,
        lambda max_mhz, period_us: Interactive(max_mhz=max_mhz, period_us=period_us),
    ),
    "schedutil": (common.PERIOD_US, lambda max_mhz, period_us: Schedutil(max_mhz=max_mhz, period_us=period_us)),
    "schedutil-uclamp": (
        common.PERIOD_US,
        lambda max_mhz, period_us: SchedutilUclamp(max_mhz=max_mhz, period_us=period_us),
    ),
    "podgov": (devfreq.PODGOV_PERIOD_US, lambda max_mhz, period_us: Podgov(period_us=period_us)),
}

GOVERNORS = tuple(_MAKERS)
"""The names that `make_governor` knows."""

_ON_A_GPU = ("performance", "powersave", "podgov")


def governor_for(name: str, kind: str) -> str:
    """What a governor's name means on a unit of that kind.

    A policy names one governor for the whole board. A GPU has no CPU governor: where one is named it has its own,
    podgov, as on a Jetson.

    Args:
        name: one of `GOVERNORS`.
        kind: `cpu` or `gpu`.

    Raises:
        GovernorError: if no governor has that name, or it is a GPU's alone and the unit is a CPU.
    """
    if name not in GOVERNORS:
        known = ", ".join(GOVERNORS)
        raise GovernorError(f"governor {name!r} is unknown; it must be one of {known}.{did_you_mean(name, GOVERNORS)}")
    if kind == "gpu":
        return name if name in _ON_A_GPU else "podgov"
    if name == "podgov":
        raise GovernorError("governor 'podgov' is for a GPU alone; schedutil, or any other, gives the GPU podgov too.")
    return name


def make_governor(name: str, *, max_mhz: float, kind: str = "cpu", period_us: int | None = None) -> Governor:
    """Makes the governor of that name for one frequency domain, with the kernel's defaults.

    Args:
        name: one of `GOVERNORS`.
        max_mhz: the domain's top clock.
        kind: of the unit; see `governor_for`.
        period_us: rate limit, sampling rate or polling interval; None for the governor's own.

    Raises:
        GovernorError: if no governor has that name on a unit of that kind.
    """
    own_period_us, make = _MAKERS[governor_for(name, kind)]
    return make(max_mhz, own_period_us if period_us is None else period_us)
