"""The part of a mix that only emulated units play on this machine: noise, slowdowns, and load that is not really there.

A simulation plays it on any board.
"""

from __future__ import annotations

from scheduler.board import Board
from workloads.mix.errors import MixError
from workloads.mix.events import UnitChange
from workloads.mix.mix import Mix


def check_emulated_only(mix: Mix, board: Board) -> None:
    """Refuse what can't be done to units that do real work, which takes as long as it takes.

    Args:
        mix: the mix; `Mix.check_board` has passed it.
        board: the board that it is to run on for real.

    Raises:
        MixError: the mix has noise, and a unit is real; or an event slows a real unit down, or loads it.
    """
    real = [unit.name for unit in board.units if not unit.emulated]
    way_out = "simulate it (--backend sim), or take a board whose units have dvfs: emulated"
    if mix.noise and real:
        raise MixError(
            f"mix {mix.name!r}: noise={mix.noise:g}: requests do real work on {', '.join(real)} of board "
            f"{board.name!r}, and no factor can be put on its time; leave noise out, {way_out}."
        )
    for event in mix.events:
        if not isinstance(event, UnitChange) or event.unit not in real:
            continue
        at_event, of_unit = f"at({event.at_s:g}, unit={event.unit!r}, ", f"{event.unit!r} of board {board.name!r}"
        if "slowdown" in event.changes:
            raise MixError(
                f"{at_event}slowdown={event.changes['slowdown']!r}): requests do real work on {of_unit}, which can't "
                f"be slowed down; leave the event out, {way_out}."
            )
        if event.changes.get("busy"):
            raise MixError(
                f"{at_event}busy={event.changes['busy']!r}): {of_unit} does real work, so load of others must really "
                f"be there; leave the event out, {way_out}."
            )
