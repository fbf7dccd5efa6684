"""Energy of a run under every set of power figures that a board may have by what is known of it.

Where power is fitted, many sets agree with what is public (`actors.xavier_fit`). Where it was measured, it was for
other tasks than these networks, and on one chip of many (`actors.odroid_power`). Policies believe the packaged figures.
A simulated run is priced again under each set from where its units' time went: the same decisions, on a board that
takes other power. So nothing is simulated twice. A set may also say which share of an inference waits for memory, and
how long a clock of the GPU takes to be in force; those stay as packaged, because they would change the run itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from actors import odroid_power, xavier_fit, xavier_power
from actors.cluster import packaged_board
from scheduler.board import Board
from workloads.simulator.residency import Residency


@dataclass(frozen=True, kw_only=True, slots=True)
class EnergyBySet:
    """The energy of a run under each set of power figures, in the order of the sets.

    Attributes:
        units_j: joules of the managed units.
        board_j: joules of the whole board; empty where what the rest of it takes is unknown.
    """

    units_j: tuple[float, ...]
    board_j: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerSets:
    """The sets of one family of boards.

    Attributes:
        boards: returns a packaged board under each set, always in the same order.
        stated: what the packaged figures are beside the sets, in words.
        what: what the sets are, in words.
    """

    boards: Callable[[Board], tuple[Board, ...]]
    stated: str
    what: str


_XAVIER = PowerSets(
    boards=lambda board: tuple(xavier_power.with_power(board, one) for one in xavier_fit.fit()),
    stated="at the medians of the sets",
    what="sets of figures that fit what is public equally well",
)
_ODROID = PowerSets(
    boards=lambda board: tuple(odroid_power.with_power(board, one) for one in odroid_power.power_sets()),
    stated="at the median of 13 measured workloads and the measured idle power",
    what="sets of figures, each workload's power with the idle power of either of two chips",
)
_SETS: Mapping[str, PowerSets] = {
    xavier_power.STOCK: _XAVIER,
    xavier_power.UNCLAMPED: _XAVIER,
    **dict.fromkeys(odroid_power.BOARDS, _ODROID),
}


def sets_of(board: Board) -> PowerSets | None:
    """Return the sets of a board, in any of its modes; None if it has none.

    A board that differs from the packaged one in any figure has no sets, because it is not known how its figures were
    found.
    """
    name, _, mode = board.name.partition(":")
    return _SETS[name] if name in _SETS and board == packaged_board(name, mode or None) else None


@cache
def set_boards(board: Board) -> tuple[Board, ...]:
    """Return the board under each set, always in the same order; nothing if it has none.

    A set has the same place on every board of a family, so that the energies of several boards may be added set by set.
    """
    sets = sets_of(board)
    return sets.boards(board) if sets is not None else ()


def energy_by_set(boards: Sequence[Board], residency: Mapping[str, Residency], duration_s: float) -> EnergyBySet | None:
    """Price a run under each set.

    Heat is left out: `static_per_c` is unknown for boards whose power is fitted, so it adds nothing to the run either.

    Args:
        boards: the board under each set, with the same change as the run's board.
        residency: where the time of each unit went, by unit.
        duration_s: length of the run in seconds.

    Returns:
        None if there are no sets.
    """
    if not boards:
        return None
    units_j, board_j = [], []
    for board in boards:
        known_j = [joules for unit in board.units if (joules := residency[unit.name].energy_j(unit)) is not None]
        assert len(known_j) == len(board.units)
        units_j.append(math.fsum(known_j))
        whole_j = board.board_j(units_j[-1], duration_s)
        if whole_j is not None:
            board_j.append(whole_j)
    return EnergyBySet(units_j=tuple(units_j), board_j=tuple(board_j))
