"""The networks that a board's packaged ladders have, and how much power each takes on a unit."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from actors.stored_profiles import PACKAGED, packaged_profile
from scheduler.board import Board, BoardUnit
from scheduler.errors import did_you_mean
from scheduler.profile import ServiceTime
from workloads.validation.power.table import Line


def activity_of(line: Line, board: Board, unit: BoardUnit, busy: float) -> float:
    """Return the activity of a row's network on a unit: 1 where no network is named, or it never runs on such a unit.

    A row may say the activity itself. Of several numbers of cores that a network was profiled on the nearest counts.

    Args:
        line: the row.
        board: its board.
        unit: the unit.
        busy: the mean number of busy cores there.

    Raises:
        PowerTableError: if no packaged ladder of the board has the network, or the row says both.
    """
    named = line.cell("network")
    column = next((name for name in (f"activity:{unit.name}", "activity") if name in line.cells), None)
    if column is not None and named:
        raise line.error(column, "is there beside network, which has its activity; leave one of both empty")
    if not named:
        told = None if column is None else line.number(column)
        return 1.0 if told is None else told
    networks = _networks(board.speed_of)
    if named not in networks:
        shown = ", ".join(sorted({name.partition("/")[0] for name in networks if "/" in name}))
        raise line.error(
            "network",
            f"the packaged ladders of {board.name} have no such network.{did_you_mean(named, networks)} They are "
            f"{shown or 'none'}; write SUPERNET/NETWORK, or leave the cell empty for an activity of 1",
        )
    times = [time for time in networks[named] if time.kind == unit.kind]
    return min(times, key=lambda time: abs(time.cores - max(busy, 1.0))).activity if times else 1.0


@cache
def _networks(speed_of: str) -> Mapping[str, tuple[ServiceTime, ...]]:
    """Return the times of each network that was profiled on a machine, as SUPERNET/NETWORK.

    The network's name alone is there too where one supernet has it.
    """
    found: dict[str, tuple[ServiceTime, ...]] = {}
    alone: dict[str, list[tuple[ServiceTime, ...]]] = {}
    for supernet in PACKAGED:
        profile = packaged_profile(supernet)
        if profile is None or profile.speed_of != speed_of:
            continue
        for rung in profile.rungs:
            found[f"{supernet}/{rung.subnet}"] = rung.times
            alone.setdefault(rung.subnet, []).append(rung.times)
    return found | {name: times[0] for name, times in alone.items() if len(times) == 1}
