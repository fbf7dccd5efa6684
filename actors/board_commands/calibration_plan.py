"""The measurements of a calibration: which unit, at which clock, with how many busy cores, in which order."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from scheduler.board import BoardUnit

_MOST_LOADS = 5
"""Most numbers of busy cores that are tried on a unit of many cores."""

_HELD_OUT = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One measurement: all other units are idle at their lowest clocks meanwhile.

    Attributes:
        unit: name of the unit.
        mhz: its clock.
        busy: number of its cores that compute.
    """

    unit: str
    mhz: float
    busy: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """What was measured at a point.

    Attributes:
        point: the point.
        granted_mhz: the clock that the kernel granted.
        step_s: time of one undisturbed step of the kernel that is timed; None where no core computed.
        powers_w: mean power by rail, of those rails that could be read.
        temp_c: temperature of the unit at the end; None where no zone of it is known.
    """

    point: Point
    granted_mhz: float
    step_s: float | None = None
    powers_w: Mapping[str, float] = field(default_factory=dict)
    temp_c: float | None = None


def plan(units: Sequence[BoardUnit], measured: Sequence[str], seed: int = 0) -> list[Point]:
    """Return the points of a calibration in a random order, so that a drift of the temperature hits all alike.

    A unit of two cores with two clocks is measured at both with 0, 1 and 2 busy cores if a rail covers it, else with
    one: then only its speed can be found.

    Args:
        units: the CPU units.
        measured: names of those that a rail covers.
        seed: seed of the order.
    """
    points = [
        Point(unit=unit.name, mhz=mhz, busy=busy)
        for unit in units
        for mhz in unit.mhz
        for busy in (loads(unit.cores) if unit.name in measured else (1,))
    ]
    random.Random(seed).shuffle(points)
    return points


def loads(cores: int) -> tuple[int, ...]:
    """Return numbers of busy cores from none to all: (0, 1, 2, 3, 4) of 4, and (0, 1, 4, 8, 12) of 12."""
    if cores < _MOST_LOADS:
        return tuple(range(cores + 1))
    inner = {round(cores * part / (_MOST_LOADS - 2)) for part in range(1, _MOST_LOADS - 2)}
    return tuple(sorted({0, 1, cores} | inner))


def held_out(records: Sequence[Record], seed: int = 0) -> frozenset[int]:
    """Return the places of records that nothing is fitted to: one at every third clock, neither idle nor of most load.

    Args:
        records: the records.
        seed: seed of the choice.
    """
    inner: dict[str, dict[float, list[int]]] = {}
    for place, record in enumerate(records):
        unit, mhz = record.point.unit, record.point.mhz
        most = max(one.point.busy for one in records if (one.point.unit, one.point.mhz) == (unit, mhz))
        if 0 < record.point.busy < most:
            inner.setdefault(unit, {}).setdefault(mhz, []).append(place)
    chosen = random.Random(seed)
    return frozenset(
        chosen.choice(places)
        for by_clock in inner.values()
        for number, (_, places) in enumerate(sorted(by_clock.items()))
        if number % _HELD_OUT == min(1, len(by_clock) - 1)
    )
