"""Energy of a run under every set of power figures that fits a board equally well.

There are such sets for boards whose power is fitted and not measured. The packaged board has their medians
(`actors.xavier_power`), and policies believe them. A simulated run is priced again under each set from where its units'
time went: the same decisions, on a board that takes other power. So nothing is simulated twice. A set also says which
share of an inference waits for memory; that share stays at its median, because it would change the run itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from actors.cluster import packaged_board
from actors.xavier_power import STOCK, UNCLAMPED, fit, with_power
from scheduler.board import Board
from workloads.simulator.residency import Residency


@dataclass(frozen=True, kw_only=True, slots=True)
class EnergyBySet:
    """The energy of a run under each set of power figures, in the order of the sets.

    Attributes:
        units_j: joules of the managed units.
        board_j: joules of the whole board.
    """

    units_j: tuple[float, ...]
    board_j: tuple[float, ...]


@cache
def set_boards(board: Board) -> tuple[Board, ...]:
    """Return the board under each set, always in the same order; nothing if its power is not fitted.

    A set has the same place on every board, so that the energies of several boards may be added set by set. A board
    that differs from the packaged one in any figure has no sets, because it is not known how its figures were found.
    """
    name, _, mode = board.name.partition(":")
    if name not in (STOCK, UNCLAMPED) or board != packaged_board(name, mode or None):
        return ()
    return tuple(with_power(board, one) for one in fit())


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
        assert whole_j is not None
        board_j.append(whole_j)
    return EnergyBySet(units_j=tuple(units_j), board_j=tuple(board_j))
