"""Whole answers, and good ones for any number of demands: where the local search begins and what it comes to."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from scheduler.objectives import OBJECTIVES
from scheduler.problem import Allocation, Problem, ProblemError
from scheduler.solver.costs import Aim
from scheduler.solver.cpus import least_loaded, new_crowd
from scheduler.solver.grid import BY_CPU, CORES, LOAD, NO_CHOICE, POWER, ROW, SLOTS, TICKS, UNUSED, Grid, Ints
from scheduler.solver.keys import less
from scheduler.solver.local import Extra, State, figures_of, gathered, insert
from scheduler.solver.moves import improve


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A whole answer.

    Attributes:
        clocks: by unit an index into its clocks; 0 where nobody uses it.
        units: by demand the index of its unit.
        rows: by demand an index into its points.
        cpus: by demand its CPUs on its unit as bits (`cpus`); 0 where the unit is one server.
        excess: cores beyond a unit's own where they must not be shared.
        worst: the largest term in ticks, the cap's left out.
        violation: all terms in ticks, the cap's left out.
        gain: ticks of weight * accuracy.
        power_w: power of all units.
    """

    clocks: tuple[int, ...]
    units: tuple[int, ...]
    rows: tuple[int, ...]
    cpus: tuple[int, ...]
    excess: float
    worst: float
    violation: float
    gain: float
    power_w: float

    @property
    def masks(self) -> Ints:
        """By unit the demands that it serves, as bits; for at most 62 demands."""
        masks = np.zeros(len(self.clocks), dtype=np.int64)
        for i, u in enumerate(self.units):
            masks[u] |= 1 << i
        return masks


def answer_of(grid: Grid, unit: Ints, clock: Ints, point: Ints, cpus: Ints) -> Answer:
    """Return the answer with these units, points and CPUs by demand, and clocks by unit that are counted through."""
    crowd = new_crowd(len(unit))
    totals, used = np.zeros(5), np.zeros(len(clock), dtype=np.int64)
    for u in range(len(clock)):
        members = np.flatnonzero(unit == u)
        gathered(grid, u, members, point, cpus, -1, crowd)
        row = np.array(figures_of(grid, u, clock[u], members, point, cpus, crowd, -1, Extra(-1, -1, 0)))
        worst = max(totals[1], row[1])
        totals += row
        totals[1] = worst
        used[u] = clock[u] - grid.first[u] if len(members) else 0
    excess, worst, violation, lack, power_w = totals.tolist()
    rows = grid.points[point, ROW].astype(np.int64)
    return Answer(
        clocks=tuple(used.tolist()),
        units=tuple(unit.tolist()),
        rows=tuple(rows.tolist()),
        cpus=tuple(cpus.tolist()),
        excess=excess,
        worst=worst,
        violation=violation,
        gain=-lack,
        power_w=power_w,
    )


def solve_locally(
    problem: Problem, grid: Grid, work: Ints, start: Allocation | None, *, afresh: bool = True, shifts: bool = True
) -> Answer:
    """Return a good answer to a problem of at least one demand.

    Args:
        problem: the problem.
        grid: its points.
        work: nodes spent and allowed.
        start: an answer to begin with.
        afresh: False if that suffices, where there is one; else a search begins with nothing besides.
        shifts: True to try moves after which both units change their clocks, too (`moves.shift`).

    Raises:
        ProblemError: No choice of one clock per unit leaves every demand a point.
    """
    cap_w = np.inf if problem.power_cap_w is None else problem.power_cap_w
    fair = OBJECTIVES[problem.objective].largest_term_first
    # Within a unit a whole unit of violation counts a million times as much as all that it can save, and accuracy a
    # thousand times as much as power; the moves compare the objective itself.
    most_w = float(grid.static_w.max() + grid.points[:, POWER].max())
    gain = 1e3 * most_w / TICKS if OBJECTIVES[problem.objective].seeks_accuracy else 0.0
    aim = Aim(1e6 * (most_w / TICKS + gain), gain, 1.0, False)
    clocks = covering_clocks(grid)
    states = [empty_state(grid, clocks)] if afresh or start is None else []
    if start is not None:
        states.append(begun_state(problem, grid, clocks, start))
    order = heaviest_first(grid)
    keys = [improve(grid, aim, state, order, cap_w, fair, shifts, work) for state in states]
    if np.isinf(keys).all():
        states.append(covering_state(grid, clocks, order))
        keys.append(improve(grid, aim, states[-1], order, cap_w, fair, shifts, work))
    best = states[-1] if less(keys[-1], keys[0]) else states[0]
    return answer_of(grid, best.unit, best.clock, best.point, best.cpus)


def empty_state(grid: Grid, clocks: tuple[int, ...]) -> State:
    """Return a state in which no demand has a unit.

    Args:
        grid: the grid.
        clocks: by unit, its clock, counted from its own first.
    """
    units, demands = len(grid.unit), len(grid.wait)
    figures = np.zeros((units, 5))
    figures[:, 4] = grid.unit[:, UNUSED]
    return State(
        unit=np.full(demands, -1, dtype=np.int64),
        point=np.full(demands, -1, dtype=np.int64),
        cpus=np.zeros(demands, dtype=np.int64),
        clock=grid.first[:-1] + np.array(clocks, dtype=np.int64),
        size=np.zeros(units, dtype=np.int64),
        members=np.zeros((units, demands), dtype=np.int64),
        figures=figures,
        crowd=new_crowd(demands),
    )


def covering_state(grid: Grid, clocks: tuple[int, ...], order: Ints) -> State:
    """Return a state in which each demand has its lightest point at clocks that leave everybody one.

    Placed one by one where it is best, a demand may take a clock at which a later one has no point: with two demands
    that run on one unit alone, of which one can be served at 1 and 2 GHz, the other at 2 GHz.

    Args:
        grid: the grid.
        clocks: such clocks, counted from each unit's own first.
        order: the demands.
    """
    state = empty_state(grid, clocks)
    loads = np.zeros(len(clocks))
    for i in order.tolist():
        spans = [(u, *grid.spans[state.clock[u], i].tolist()) for u in range(len(clocks))]
        lightest = [(u, first + int(grid.points[first:end, LOAD].argmin())) for u, first, end in spans if first < end]
        u, p = min(lightest, key=lambda at: loads[at[0]] + grid.points[at[1], LOAD])
        loads[u] += grid.points[p, LOAD]
        insert(grid, state, u, Extra(i, p, held_cpus(grid, state, u, p, ())))
    return state


def begun_state(problem: Problem, grid: Grid, clocks: tuple[int, ...], start: Allocation) -> State:
    """Return a state in which demands have what an earlier answer gave them, as far as they still can.

    Args:
        problem: the problem.
        grid: its points.
        clocks: clocks with which every demand can be placed.
        start: the earlier answer.
    """
    state = empty_state(grid, clocks)
    for u, unit in enumerate(problem.units):
        served = [i for i, d in enumerate(problem.demands) if d.app in start.choice]
        served = [i for i in served if start.choice[problem.demands[i].app].unit == unit.name]
        if not served or start.mhz.get(unit.name) not in unit.mhz:
            continue
        clock = int(grid.first[u]) + unit.mhz.index(start.mhz[unit.name])
        for i in served:
            demand = problem.demands[i]
            was = start.choice[demand.app]
            first, end = grid.spans[clock, i].tolist()
            for p in range(first, end):
                now = demand.points[int(grid.points[p, ROW])]
                if (now.subnet, now.cores) == (was.subnet, was.cores):
                    state.clock[u] = clock
                    insert(grid, state, u, Extra(i, p, held_cpus(grid, state, u, p, start.cpus.get(demand.app, ()))))
    return state


def held_cpus(grid: Grid, state: State, unit: int, point: int, held: tuple[int, ...]) -> int:
    """Return as bits the CPUs that a demand held, or where they no longer suit its point the least loaded ones."""
    if not grid.unit[unit, BY_CPU]:
        return 0
    slots, cores = int(grid.unit[unit, SLOTS]), int(grid.points[point, CORES])
    if len(held) == cores and all(cpu < slots for cpu in held):
        return sum(1 << cpu for cpu in held)
    members = state.members[unit, : state.size[unit]]
    gathered(grid, unit, members, state.point, state.cpus, -1, state.crowd)
    return int(least_loaded(state.crowd.loads, slots, cores))


def heaviest_first(grid: Grid) -> Ints:
    """Return the demands by the least load that they can be, the heaviest first."""
    return np.argsort(-grid.least[:, :, LOAD].min(axis=0), kind="stable")


def covering_clocks(grid: Grid) -> tuple[int, ...]:
    """Return the highest clocks that leave every demand a point, each counted from its unit's own first.

    Raises:
        ProblemError: There are none.
    """
    # By unit and clock, the demands that have a point there, as bits. A depth-first search tries high clocks first, and
    # does not enter a state (unit, demands covered) again that has failed once.
    packed = np.packbits(grid.spans[:, :, 0] < grid.spans[:, :, 1], axis=1, bitorder="little")
    bits = [int.from_bytes(row.tobytes(), "little") for row in packed]
    covers = [bits[low:high] for low, high in zip(grid.first[:-1], grid.first[1:], strict=True)]
    everyone = (1 << len(grid.wait)) - 1
    hopeless: set[tuple[int, int]] = set()

    def search(unit: int, covered: int) -> Iterator[tuple[int, ...]]:
        if unit == len(covers):
            if covered == everyone:
                yield ()
            return
        if (unit, covered) in hopeless:
            return
        for clock in reversed(range(len(covers[unit]))):
            for rest in search(unit + 1, covered | covers[unit][clock]):
                yield (clock, *rest)
        hopeless.add((unit, covered))

    with suppress(StopIteration):
        return next(search(0, 0))
    raise ProblemError(NO_CHOICE)
