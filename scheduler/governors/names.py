"""Governors by the names that policies and plans use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scheduler.board import Board
from scheduler.errors import did_you_mean
from scheduler.governors import common, devfreq, interactive
from scheduler.governors.common import Governor, GovernorError
from scheduler.governors.devfreq import Podgov
from scheduler.governors.fixed import Performance, Powersave
from scheduler.governors.interactive import Interactive
from scheduler.governors.load import Conservative, Ondemand
from scheduler.governors.schedutil import Schedutil, SchedutilUclamp


@dataclass(frozen=True, kw_only=True, slots=True)
class _Domain:
    """What a governor may know of its frequency domain; see `make_governor`."""

    max_mhz: float
    capacity: float
    period_us: int


_MAKERS: dict[str, tuple[int, Callable[[_Domain], Governor]]] = {
    "performance": (common.PERIOD_US, lambda of: Performance(period_us=of.period_us)),
    "powersave": (common.PERIOD_US, lambda of: Powersave(period_us=of.period_us)),
    "ondemand": (common.PERIOD_US, lambda of: Ondemand(max_mhz=of.max_mhz, period_us=of.period_us)),
    "conservative": (common.PERIOD_US, lambda of: Conservative(period_us=of.period_us)),
    "interactive": (interactive.PERIOD_US, lambda of: Interactive(max_mhz=of.max_mhz, period_us=of.period_us)),
    "schedutil": (
        common.PERIOD_US,
        lambda of: Schedutil(max_mhz=of.max_mhz, capacity=of.capacity, period_us=of.period_us),
    ),
    "schedutil-uclamp": (
        common.PERIOD_US,
        lambda of: SchedutilUclamp(max_mhz=of.max_mhz, capacity=of.capacity, period_us=of.period_us),
    ),
    "podgov": (devfreq.PODGOV_PERIOD_US, lambda of: Podgov(period_us=of.period_us)),
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


def make_governor(
    name: str, *, max_mhz: float, kind: str = "cpu", capacity: float = 1.0, period_us: int | None = None
) -> Governor:
    """Makes the governor of that name for one frequency domain, with the kernel's defaults.

    Args:
        name: one of `GOVERNORS`.
        max_mhz: the domain's top clock.
        kind: of the unit; see `governor_for`.
        capacity: what a core of a CPU gets through at that clock, as a share of what the board's largest does.
        period_us: rate limit, sampling rate or polling interval; None for the governor's own.

    Raises:
        GovernorError: if no governor has that name on a unit of that kind.
    """
    own_period_us, make = _MAKERS[governor_for(name, kind)]
    if period_us is None:
        period_us = own_period_us
    return make(_Domain(max_mhz=max_mhz, capacity=capacity, period_us=period_us))


def governor_of(board: Board, unit: str, name: str) -> Governor:
    """Makes the governor of that name for one unit of a board.

    Raises:
        GovernorError: if no governor has that name on a unit of that kind.
        KeyError: if the board has no such unit.
    """
    spec = board.unit(unit)
    capacity = board.capacity(unit) if spec.kind == "cpu" else 1.0
    return make_governor(name, max_mhz=spec.mhz[-1], kind=spec.kind, capacity=capacity)
