"""What probing has found: a board, and what its file should say beside the figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from scheduler.board import Board, BoardUnit

STAND_IN_MHZ = 1000.0
"""Clock of a unit that has one clock, where nothing says which. Only ratios of a unit's clocks matter."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Remark:
    """A sentence on what was found.

    Attributes:
        text: the sentence.
        unit: name of the unit that it is about; None for the whole board.
        matters: true if a run differs from what its user may expect.
    """

    text: str
    unit: str | None = None
    matters: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundUnit:
    """One unit of the board.

    Attributes:
        unit: the unit.
        remarks: what is to be said of it.
        sources: source of its figures, by key of the board's file.
    """

    unit: BoardUnit
    remarks: tuple[Remark, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Probed:
    """What a machine was found to be.

    Attributes:
        board: the machine as a board.
        remarks: what its file should say beside the figures.
        sources: source of figures, by key of the board's file.
    """

    board: Board
    remarks: tuple[Remark, ...]
    sources: Mapping[str, str]


def joint_sources(units: Iterable[FoundUnit]) -> dict[str, str]:
    """Return the sources of all units: one for `mhz` that most have, and another for `gpu.mhz` if it differs."""
    found = list(units)
    joint: dict[str, str] = {}
    for key in dict.fromkeys(key for one in found for key in one.sources):
        said = {one.unit.name: one.sources[key] for one in found if key in one.sources}
        joint[key] = most = Counter(said.values()).most_common(1)[0][0]
        joint |= {f"{name}.{key}": text for name, text in said.items() if text != most}
    return joint
