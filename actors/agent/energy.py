"""Measured figures put beside modelled ones: of each unit, of all units and of the board. It is arithmetic on figures.

A figure is an energy or a power. A rail has one for the units behind it together; the model has one for each unit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Covers: TypeAlias = tuple[str, ...] | Literal["board"]
Source: TypeAlias = Literal["measured", "modelled", "unknown"]
UnitSource: TypeAlias = Literal["measured", "attributed", "modelled", "unknown"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RailFigure:
    """What a rail measured, and what it covers; None where it is not known."""

    covers: Covers
    value: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitFigure:
    """A unit's figure and where it comes from.

    Attributes:
        value: the figure; None where unknown.
        source: `measured` by a rail of its own, `attributed` where it is a share of a rail that covers several units,
            `modelled` or `unknown`.
    """

    value: float | None
    source: UnitSource


def of_each_unit(modelled: Mapping[str, float | None], rails: Sequence[RailFigure]) -> dict[str, UnitFigure]:
    """Return the figure of each unit.

    A rail that covers several units is split in the proportions of the model: 40 J behind units with 10 and 30 modelled
    joules are 10 and 30 J, and 20 J are 5 and 15 J.

    Args:
        modelled: the model's figure of each unit.
        rails: the rails.
    """
    figures = {
        name: UnitFigure(value=value, source="unknown" if value is None else "modelled")
        for name, value in modelled.items()
    }
    for rail in rails:
        if rail.covers == "board" or rail.value is None:
            continue
        if len(rail.covers) == 1:
            figures[rail.covers[0]] = UnitFigure(value=rail.value, source="measured")
            continue
        whole = _sum([modelled[name] for name in rail.covers])
        for name in rail.covers:
            part = modelled[name]
            share = None if part is None or not whole else rail.value * part / whole
            figures[name] = UnitFigure(value=share, source="unknown" if share is None else "attributed")
    return figures


def of_all_units(modelled: Mapping[str, float | None], rails: Sequence[RailFigure]) -> tuple[float | None, Source]:
    """Return the figure of all units together, and where it comes from.

    It is measured if the rails with a known figure cover all units, each once. Else the model's stands: parts that were
    measured are not mixed with parts that were not.

    Args:
        modelled: the model's figure of each unit.
        rails: the rails.
    """
    values = [rail.value for rail in rails if rail.covers != "board"]
    behind = [name for rail in rails if rail.covers != "board" for name in rail.covers]
    measured = _sum(values)
    if behind and measured is not None and sorted(behind) == sorted(modelled):
        return measured, "measured"
    whole = _sum(list(modelled.values()))
    return whole, "unknown" if whole is None else "modelled"


def of_board(modelled: float | None, rails: Sequence[RailFigure]) -> tuple[float | None, Source]:
    """Return the figure of the whole board, and where it comes from: its own rail, else the model.

    Args:
        modelled: the model's figure.
        rails: the rails.
    """
    for rail in rails:
        if rail.covers == "board" and rail.value is not None:
            return rail.value, "measured"
    return modelled, "unknown" if modelled is None else "modelled"


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) if len(known) == len(values) else None
