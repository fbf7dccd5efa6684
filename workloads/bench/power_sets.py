"""Energy under every set of power figures that fits a board equally well, where its power is fitted and not measured.

The packaged board has the medians of those sets (`actors.xavier_power`), and policies believe them. A run that was
simulated so is priced again under each set, from where its units' time went: the same decisions, on a board that takes
other power. So nothing is simulated twice. What else a set says, the share of an inference that memory takes, stays at
its median: it would change the run itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from actors.cluster import packaged_board
from actors.xavier_power import STOCK, UNCLAMPED, fit, with_power
from scheduler.board import Board
from workloads.simulator.board import Residency


@dataclass(frozen=True, kw_only=True, slots=True)
class EnergyBySet:
    """What a run took under each set of power figures, in the order of the sets.

    Attributes:
        units_j: of the managed units.
        board_j: of the whole board.
    """

    units_j: tuple[float, ...]
    board_j: tuple[float, ...]


@cache
def set_boards(board: Board) -> tuple[Board, ...]:
    """The board under each set, always in the same order; empty where its power is not fitted.

    The set of a number is that of the same device on every board, so that boards may be counted together. A board that
    differs from the packaged one, be it in a single figure, is its owner's: nothing is known of how that was found.
    """
    if board.name not in (STOCK, UNCLAMPED) or board != packaged_board(board.name):
        return ()
    return tuple(with_power(board, one) for one in fit())


def energy_by_set(boards: Sequence[Board], residency: Mapping[str, Residency], duration_s: float) -> EnergyBySet | None:
    """Prices a run under each set.

    Heat is left out: `static_per_c` is unknown for boards whose power is fitted, so it adds nothing to the run either.

    Args:
        boards: of `set_boards`, with whatever change the run's board had.
        residency: where each unit's time went.
        duration_s: of the run.

    Returns:
        None where there are no sets.
    """
    if not boards:
        return None
    units_j, board_j = [], []
    for board in boards:
        known_j = [joules for unit in board.units if (joules := residency[unit.name].energy_j(unit)) is not None]
        assert len(known_j) == len(board.units)
        units_j.append(math.fsum(known_j))
        whole_j = board.board_j(units_j[-1], duration_s)
        assert whole_j is not None
        board_j.append(whole_j)
    return EnergyBySet(units_j=tuple(units_j), board_j=tuple(board_j))
