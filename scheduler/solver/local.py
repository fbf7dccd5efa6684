"""A choice for every demand, and the best place for one demand beside the others: what local search is made of.

What is compared is the objective itself, the power cap included. This module does not know which moves are tried
(`moves`).
"""

from typing import NamedTuple

import numpy as np

from scheduler.compiled import compiled
from scheduler.solver.costs import SPENT, Aim
from scheduler.solver.cpus import Crowd, gather, most_loaded, moves_of
from scheduler.solver.grid import (
    BUSY,
    BY_CPU,
    CORES,
    GAIN,
    LOAD,
    OWN_LOAD,
    POWER,
    SLOTS,
    STRICT,
    UNUSED,
    Floats,
    Grid,
    Ints,
    overload_ticks,
    term,
)
from scheduler.solver.keys import Key, add, key_of, less


class State(NamedTuple):
    """A choice for every demand; arrays that the search changes in place.

    Attributes:
        unit: (demands,): by demand its unit, -1 where it has none yet.
        point: (demands,): by demand its point.
        cpus: (demands,): by demand its CPUs as bits (`cpus`); 0 where its unit is one server.
        clock: (units,): by unit its clock, counted through all units.
        size: (units,): by unit how many demands it has.
        members: (units, demands): by unit its demands; those up to `size` count.
        figures: (units, 5): by unit what `figures_of` returns.
        crowd: what is reckoned of the demands on the unit that is looked at.
    """

    unit: Ints
    point: Ints
    cpus: Ints
    clock: Ints
    size: Ints
    members: Ints
    figures: Floats
    crowd: Crowd


class Extra(NamedTuple):
    """A demand that is looked at beside those on a unit: itself, its point and its CPUs; -1 stands for nobody."""

    demand: int
    point: int
    cpus: int


@compiled
def gathered(grid: Grid, unit: int, members: Ints, point: Ints, cpus: Ints, without: int, crowd: Crowd) -> None:
    """Fill in the crowd of a unit where waiting goes CPU by CPU, ahead of `figures_of`."""
    if grid.unit[unit, BY_CPU] > 0.0:
        gather(grid, int(grid.unit[unit, SLOTS]), members, point, cpus, without, crowd)


@compiled
def figures_of(
    grid: Grid,
    unit: int,
    clock: int,
    members: Ints,
    point: Ints,
    cpus: Ints,
    crowd: Crowd,
    without: int,
    extra: Extra,
) -> Key:
    """Return what a unit comes to with its members, less one of them, and with one demand more; -1 stands for nobody.

    Where waiting goes CPU by CPU, `crowd` holds the members less that one (`gathered`).

    Returns:
        Cores beyond the unit's, the largest term, violation, negative gain (all in ticks but the first), watts.
    """
    busy, cores, load, gain = 0.0, 0.0, 0.0, 0.0
    power_w = grid.static_w[clock]
    nobody = True
    for i in members:
        if i != without:
            p = point[i]
            nobody = False
            busy += grid.points[p, BUSY]
            cores += grid.points[p, CORES]
            load += grid.points[p, LOAD]
            gain += grid.points[p, GAIN]
            power_w += grid.points[p, POWER]
    if extra.demand >= 0:
        p = extra.point
        nobody = False
        busy += grid.points[p, BUSY]
        cores += grid.points[p, CORES]
        load += grid.points[p, LOAD]
        gain += grid.points[p, GAIN]
        power_w += grid.points[p, POWER]
    if nobody:
        return 0.0, 0.0, 0.0, 0.0, grid.unit[unit, UNUSED]
    by_cpu = grid.unit[unit, BY_CPU] > 0.0
    crowded = cores > grid.unit[unit, SLOTS]
    if by_cpu:
        more = grid.points[extra.point, OWN_LOAD] if extra.demand >= 0 else 0.0
        load = most_loaded(crowd, int(grid.unit[unit, SLOTS]), extra.cpus, more)
    over = overload_ticks(load)
    worst, violation = over, over
    mine = 0.0
    for i in members:
        if i != without:
            wait_ms = busy - grid.points[point[i], BUSY] if crowded else 0.0
            if by_cpu:
                wait_ms = crowd.waits[i]
                if cpus[i] & extra.cpus:
                    wait_ms += grid.points[extra.point, BUSY]
                    mine += grid.points[point[i], BUSY]
            ticks = term(grid, i, point[i], wait_ms)
            worst, violation = max(worst, ticks), violation + ticks
    if extra.demand >= 0:
        if not by_cpu:
            mine = busy - grid.points[extra.point, BUSY] if crowded else 0.0
        ticks = term(grid, extra.demand, extra.point, mine)
        worst, violation = max(worst, ticks), violation + ticks
    excess = cores - grid.unit[unit, SLOTS] if crowded and grid.unit[unit, STRICT] > 0.0 else 0.0
    return excess, worst, violation, -gain, power_w


@compiled
def others(figures: Floats, one: int, other: int) -> Key:
    """Return what all units but two come to together."""
    total = (0.0, 0.0, 0.0, 0.0, 0.0)
    for u in range(len(figures)):
        if u not in (one, other):
            row = figures[u]
            total = add(total, (row[0], row[1], row[2], row[3], row[4]))
    return total


@compiled
def remove(grid: Grid, state: State, demand: int) -> None:
    """Take a demand from its unit."""
    u = state.unit[demand]
    left = 0
    for at in range(state.size[u]):
        if state.members[u, at] != demand:
            state.members[u, left] = state.members[u, at]
            left += 1
    state.size[u] = left
    state.unit[demand] = -1
    refresh(grid, state, u)


@compiled
def insert(grid: Grid, state: State, unit: int, extra: Extra) -> None:
    """Give a demand a unit, a point and CPUs."""
    state.members[unit, state.size[unit]] = extra.demand
    state.size[unit] += 1
    state.unit[extra.demand] = unit
    state.point[extra.demand], state.cpus[extra.demand] = extra.point, extra.cpus
    refresh(grid, state, unit)


@compiled
def figures_at(grid: Grid, state: State, unit: int, clock: int) -> Key:
    """Return what a unit comes to at a clock, with its members as they are."""
    members = state.members[unit, : state.size[unit]]
    nobody = Extra(-1, -1, 0)
    gathered(grid, unit, members, state.point, state.cpus, nobody.demand, state.crowd)
    return figures_of(grid, unit, clock, members, state.point, state.cpus, state.crowd, nobody.demand, nobody)


@compiled
def refresh(grid: Grid, state: State, unit: int) -> None:
    """Bring a unit's figures up to date."""
    figures = figures_at(grid, state, unit, state.clock[unit])
    for at in range(5):
        state.figures[unit, at] = figures[at]


@compiled
def seats_at(grid: Grid, state: State, unit: int, point: int) -> int:
    """List in `state.crowd` the CPUs to try for a point beside the unit's crowd; return how many choices there are."""
    if grid.unit[unit, BY_CPU] > 0.0:
        return moves_of(state.crowd, int(grid.unit[unit, SLOTS]), int(grid.points[point, CORES]))
    state.crowd.seats[0] = 0
    return 1


@compiled
def best_at(
    grid: Grid,
    state: State,
    unit: int,
    clock: int,
    without: int,
    demand: int,
    rest: Key,
    best: Key,
    cap_w: float,
    fair: bool,
) -> tuple[Key, Extra]:
    """Return the best point and CPUs for a demand on a unit without another one, and what is lessened with it.

    Nobody is returned where nothing is less than what is known.

    Args:
        grid: the grid.
        state: the state; its crowd is that of the unit without that one.
        unit: the unit.
        clock: the unit's clock.
        without: who leaves the unit; -1 for nobody.
        demand: who is looked at.
        rest: what all other units come to.
        best: what is known.
        cap_w: the power cap.
        fair: True if the largest term counts.
    """
    members = state.members[unit, : state.size[unit]]
    nobody = Extra(-1, -1, 0)
    chosen = nobody
    cores, count = 0.0, 0
    beside = len(members) > (1 if without >= 0 else 0)
    there = figures_of(grid, unit, clock, members, state.point, state.cpus, state.crowd, without, nobody)
    for p in range(grid.spans[clock, demand, 0], grid.spans[clock, demand, 1]):
        if beside:  # a point is no better that would not be even if nobody waited on its account
            ticks = term(grid, demand, p, 0.0)
            alone = (0.0, ticks, ticks, -grid.points[p, GAIN], grid.points[p, POWER])
            if not less(key_of(add(rest, add(there, alone)), cap_w, fair), best):
                continue
        if grid.points[p, CORES] != cores:
            cores = grid.points[p, CORES]
            count = seats_at(grid, state, unit, p)
        for at in range(count):
            extra = Extra(demand, p, state.crowd.seats[at])
            figures = figures_of(grid, unit, clock, members, state.point, state.cpus, state.crowd, without, extra)
            key = key_of(add(rest, figures), cap_w, fair)
            if less(key, best):
                best, chosen = key, extra
    return best, chosen


@compiled
def place(grid: Grid, state: State, demand: int, cap_w: float, fair: bool, work: Ints) -> bool:
    """Put a demand without a unit where the whole comes out best; a unit without demands may take any clock for it.

    Return False, with nothing done, if it has no point at the clock of any unit.
    """
    nobody = Extra(-1, -1, 0)
    best, chosen = (np.inf, np.inf, np.inf, np.inf, np.inf), nobody
    best_unit = best_clock = nobody.demand
    for u in range(len(state.size)):
        members = state.members[u, : state.size[u]]
        rest = others(state.figures, u, u)
        low, high = state.clock[u], state.clock[u] + 1
        if not state.size[u]:
            low, high = grid.first[u], grid.first[u + 1]
        gathered(grid, u, members, state.point, state.cpus, nobody.demand, state.crowd)
        for c in range(low, high):
            key, extra = best_at(grid, state, u, c, nobody.demand, demand, rest, best, cap_w, fair)
            work[SPENT] += (grid.spans[c, demand, 1] - grid.spans[c, demand, 0]) * (1 + len(members) // 4)
            if extra.demand >= 0:
                best, chosen, best_unit, best_clock = key, extra, u, c
    if best_unit < 0:
        return False
    state.clock[best_unit] = best_clock
    insert(grid, state, best_unit, chosen)
    return True


@compiled
def key_now(state: State, cap_w: float, fair: bool) -> Key:
    """Return what is lessened, as it is."""
    nobody = len(state.figures)
    return key_of(others(state.figures, nobody, nobody), cap_w, fair)


@compiled
def cost_of(aim: Aim, figures: Floats) -> float:
    """Return what a unit's figures cost."""
    return float(aim.violation * figures[2] + aim.gain * figures[3] + aim.power * figures[4])
