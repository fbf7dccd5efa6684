"""Good answers for many demands: local search.

A greedy placement is improved by moves of one demand, and of one unit's clock, until no move helps. The answer is not
proven; the bound is, and takes each demand by itself.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from scheduler.objectives import OBJECTIVES, Quantity
from scheduler.problem import Problem, ProblemError
from scheduler.solver.cap import Cap
from scheduler.solver.tables import (
    NO_CHOICE,
    RESPONSE,
    TICKS,
    Floats,
    Found,
    Ints,
    UnitTable,
    effective_ms,
    lay_out,
    loose_bound,
    overload_ticks,
)

PASSES = 8
"""Most rounds of moves; most problems settle in three or four."""
STRIDES = (-1, 1, -4, 4)
"""Steps by which a unit's clock is moved."""

Key = tuple[float, ...]


def solve_locally(problem: Problem) -> Found:
    """Return a good answer to a problem of any size.

    Raises:
        ProblemError: No choice of one clock per unit leaves every demand a point.
    """
    layout = lay_out(problem)
    search = LocalSearch(problem, layout.tables())
    search.run()
    key, violation = search.key(), search.violation()
    bound = loose_bound(layout, violation)
    goals = OBJECTIVES[problem.objective].goals
    value = -key[-2] / TICKS if goals[0] is Quantity.ACCURACY else key[-1]
    tight = abs(value - bound) <= 1e-6 * abs(bound) and violation == 0.0
    # The bound is on the first goal alone, so a second one stays unproven; and barred sharing is only lessened here.
    proven = tight and len(goals) == 1 and problem.sharing
    return Found(clocks=search.clocks(), rows=search.rows(), proven=proven, bound=bound)


@dataclass(slots=True, eq=False)
class Load:
    """The load of one unit.

    Attributes:
        table: the unit's points.
        clock: its clock, as an index.
        places: by member, the place of its point in the table.
    """

    table: UnitTable
    clock: int
    places: dict[int, int] = field(default_factory=dict)

    def outcomes(self, extra: int | None = None) -> Floats:
        """Evaluate the unit with each point of one more member, or as it is.

        Args:
            extra: index of the demand to add; None for the unit as it is.

        Returns:
            (5, points): cores beyond the unit's, largest term, violation, negative ticks of weight * accuracy, watts.
            The unit as it is has one point; a missing point is infinite throughout.
        """
        table, clock = self.table, self.clock
        members = np.array(list(self.places), dtype=np.intp)
        if extra is None and not len(members):
            return np.array([[0.0], [0.0], [0.0], [0.0], [table.frame.unused_w]])
        places = np.array(list(self.places.values()), dtype=np.intp)

        def total(values: Floats) -> Floats:
            more = np.zeros(1) if extra is None else values[extra, clock]
            return np.asarray(values[members, clock, places].sum() + more)

        def terms_of(demands: Ints, response: Floats) -> Floats:
            alone, longer, short = response
            return table.frame.term(demands, effective_ms(alone, longer, busy_ms, shared), short)

        # The model of `evaluate`: on a shared unit each member waits for the services of all others.
        cores, busy_ms = total(table.cores), total(table.busy_ms)
        shared = cores > table.frame.slots
        terms = terms_of(members, table.grid[RESPONSE, members, clock, places][..., None])
        unit_term = overload_ticks(total(table.load))
        if extra is not None:
            mine = terms_of(np.array([extra]), table.grid[RESPONSE, extra, clock][:, None])
            terms = np.concatenate([terms, mine])
        excess = np.zeros_like(cores) if table.frame.gpu else np.maximum(cores - table.frame.slots, 0.0)
        worst = np.maximum(terms.max(axis=0), unit_term)
        power = total(table.power_w) + table.frame.static_w[clock]
        outcomes = np.stack([excess, worst, terms.sum(axis=0) + unit_term, -total(table.gain), power])
        if extra is not None:
            outcomes[:, ~table.valid[extra, clock]] = np.inf
        return outcomes


class LocalSearch:
    """A placement of all demands that is improved step by step."""

    def __init__(self, problem: Problem, tables: list[UnitTable]) -> None:
        """Place the demands greedily, heaviest first, with the clocks high."""
        self.problem = problem
        self.levels = OBJECTIVES[problem.objective].levels
        self.cap = None if problem.power_cap_w is None else Cap(watts=problem.power_cap_w)
        self.loads = [Load(table, clock) for table, clock in zip(tables, covering_clocks(tables), strict=True)]
        self.now = np.concatenate([load.outcomes() for load in self.loads], axis=1)
        """(5, units): by unit, its column of `Load.outcomes`."""
        lightest = np.min([t.least[:, 2].min(axis=1, initial=np.inf) for t in tables], axis=0)
        self.order = np.argsort(-lightest, kind="stable").tolist()
        for demand in self.order:
            self._place(demand)

    def run(self) -> None:
        """Improve until nothing does, or for `PASSES` rounds."""
        for _ in range(PASSES):
            before = self.key()
            for demand in self.order:
                unit = next(u for u, load in enumerate(self.loads) if demand in load.places)
                del self.loads[unit].places[demand]
                self._refresh(unit)
                self._place(demand)
            for unit in range(len(self.loads)):
                while any(self._shift(unit, stride) for stride in STRIDES):
                    pass
            if not self.key() < before:
                return

    def key(self) -> Key:
        """Return what is lessened, most important first."""
        return self._keys(self.now.sum(axis=1, keepdims=True), self.now[1].max(keepdims=True))[0]

    def violation(self) -> float:
        """Return the whole violation in ticks, the cap's term included."""
        cap_term = 0.0 if self.cap is None else float(self.cap.ticks(self.now[4].sum()))
        return float(self.now[2].sum()) + cap_term

    def clocks(self) -> tuple[int, ...]:
        """Return by unit its clock; an unused unit stands at its lowest."""
        return tuple(load.clock if load.places else 0 for load in self.loads)

    def rows(self) -> tuple[int, ...]:
        """Return by demand the index of its point."""
        rows = {
            demand: int(load.table.row[demand, load.clock, place])
            for load in self.loads
            for demand, place in load.places.items()
        }
        return tuple(rows[demand] for demand in sorted(rows))

    def _keys(self, sums: Floats, worst: Floats) -> list[Key]:
        """Return by column what is lessened, most important first.

        Args:
            sums: (5, columns): the rows of `Load.outcomes`, summed over units.
            worst: (columns,): the largest term of all units.
        """
        excess, _, violation, lack, power_w = sums
        if self.cap is not None:
            cap_term = self.cap.ticks(power_w)
            violation, worst = violation + cap_term, np.maximum(worst, cap_term)
        lessened = {
            Quantity.LARGEST_TERM: worst,
            Quantity.VIOLATION: violation,
            Quantity.ACCURACY: lack,
            Quantity.POWER: power_w,
        }
        rows = [lessened[quantity] for quantity in self.levels]
        if not self.problem.sharing:
            rows.insert(0, excess)
        return list(zip(*(row.tolist() for row in rows), strict=True))

    def _place(self, demand: int) -> None:
        """Put a demand on the unit and point with which the whole comes out best."""
        best: tuple[Key, int, int] | None = None
        for unit, load in enumerate(self.loads):
            for place, key in enumerate(self._keys_with(unit, load.outcomes(demand))):
                if best is None or key < best[0]:
                    best = key, unit, place
        assert best is not None
        self.loads[best[1]].places[demand] = best[2]
        self._refresh(best[1])

    def _keys_with(self, unit: int, outcomes: Floats) -> list[Key]:
        """Return the keys of the whole with each of a unit's outcomes in place of its present one."""
        others = np.delete(self.now, unit, axis=1)
        worst = np.maximum(others[1].max(initial=0.0), outcomes[1])
        return self._keys(others.sum(axis=1, keepdims=True) + outcomes, worst)

    def _refresh(self, unit: int) -> None:
        """Bring a unit's column of `now` up to date."""
        self.now[:, unit] = self.loads[unit].outcomes()[:, 0]

    def _shift(self, unit: int, stride: int) -> bool:
        """Move a unit's clock, choose its members' points anew, and keep that if it is better."""
        # At another clock every point is another one, so the members are placed anew there, one after another.
        load = self.loads[unit]
        clock = load.clock + stride
        if not load.places or not 0 <= clock < len(load.table.frame.static_w):
            return False
        before = self.key()
        moved = Load(load.table, clock)
        for _ in range(2):  # in the second round each member knows the points of all others
            for demand in load.places:
                moved.places.pop(demand, None)
                keys = self._keys_with(unit, moved.outcomes(demand))
                if not keys or not np.isfinite(min(keys)[-1]):
                    return False
                moved.places[demand] = keys.index(min(keys))
        kept, kept_now = load, self.now[:, unit].copy()
        self.loads[unit] = moved
        self._refresh(unit)
        if self.key() < before:
            return True
        self.loads[unit], self.now[:, unit] = kept, kept_now
        return False


def covering_clocks(tables: list[UnitTable]) -> tuple[int, ...]:
    """Return the highest clocks that leave every demand a point; the first units' clocks count first.

    Raises:
        ProblemError: There are none.
    """
    # By unit and clock, the demands that have a point there, as bits. A depth-first search tries high clocks first, and
    # does not enter a state (unit, demands covered) again that has failed once.
    covers = []
    for table in tables:
        served = np.asarray(table.valid.any(axis=2))
        covers.append([sum(1 << i for i in np.flatnonzero(has).tolist()) for has in served.T])
    everyone = (1 << len(tables[0].frame.scale)) - 1
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
