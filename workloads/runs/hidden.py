"""The part of a mix that the manager is not told of, checked for a run on this machine: only emulated units play it.

A simulation plays it on any board.
"""

from __future__ import annotations

from scheduler.board import Board
from workloads.mix.errors import MixError
from workloads.mix.events import UnitChange
from workloads.mix.mix import Mix


def check_hidden(mix: Mix, board: Board) -> None:
    """Refuse noise and slowdowns on units that do real work, which takes as long as it takes.

    Args:
        mix: the mix; `Mix.check_board` has passed it.
        board: the board that it is to run on for real.

    Raises:
        MixError: the mix has noise, and a unit is real; or a slowdown is of a real unit.
    """
    real = [unit.name for unit in board.units if not unit.emulated]
    way_out = "simulate it (--backend sim), or take a board whose units have dvfs: emulated"
    if mix.noise and real:
        raise MixError(
            f"mix {mix.name!r}: noise={mix.noise:g}: requests do real work on {', '.join(real)} of board "
            f"{board.name!r}, and no factor can be put on its time; leave noise out, {way_out}."
        )
    for event in mix.events:
        if isinstance(event, UnitChange) and "slowdown" in event.changes and event.unit in real:
            raise MixError(
                f"at({event.at_s:g}, unit={event.unit!r}, slowdown={event.changes['slowdown']!r}): requests do real "
                f"work on {event.unit!r} of board {board.name!r}, which can't be slowed down; leave the event out, "
                f"{way_out}."
            )
