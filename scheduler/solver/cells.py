"""Exact search inside one unit: the best clock and points for a given set of demands placed there.

Breadth first over the members, all clocks at once, a state per clock and partial choice. Each state carries a
lower bound on what any completion costs and is dropped as soon as the bound cannot beat a cutoff. Where few choices
are left they are listed at once. This module does not know about other units; what they cost reaches it in the
cutoff.
"""

from dataclasses import dataclass

import numpy as np

from scheduler.solver import lexi
from scheduler.solver.tables import RESPONSE, SUMMED, Bools, Floats, Ints, UnitTable, effective_ms, overload_ticks

STATES = 200_000
"""States at which a search gives up its proof; some tens of MB."""
AT_ONCE = 256
"""Complete choices that are listed in one go, rather than member by member."""
BEAM = 64
"""States kept by the quick pass that finds a first good completion."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Aim:
    """What to minimise: one or more levels, compared lexicographically, each a weighted sum of totals.

    A level is (ticks of violation, ticks of weight * accuracy, watts), the factors of the sum; the second
    counts against. No level knows the power cap.
    """

    levels: tuple[tuple[float, float, float], ...]

    def values(self, violation: Floats, gain: Floats, power_w: Floats) -> list[Floats]:
        """The levels of given totals."""
        return [_weighted((a, violation), (-g, gain), (p, power_w)) for a, g, p in self.levels]


def _weighted(*pairs: tuple[float, Floats]) -> Floats:
    """Sum of factor * values, leaving out zero factors (which infinite values would turn into NaN)."""
    total: Floats | float = 0.0
    for factor, values in pairs:
        if factor:
            total = total + (values if factor == 1.0 else factor * values)
    return np.asarray(total, dtype=np.float64)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Bar:
    """A test that states must pass: the levels of `aim`, compared lexicographically, below `cutoff`."""

    aim: Aim
    cutoff: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class States:
    """Partial choices for a unit's members, one per entry."""

    clock: Ints
    places: Ints
    """(members so far, states) index into the table's points."""
    response: Floats
    """(3, members so far, states): latency on cores of its own; latency less own service, to which the sum of all
    services is added on a shared unit; ticks of accuracy that is lacking."""
    sums: Floats
    """(5, states): busy ms, cores, load, ticks of accuracy, watts."""
    violation: Floats
    """Ticks; of partial choices a lower bound."""

    def __len__(self) -> int:
        return len(self.clock)

    def take(self, which: Ints | Bools) -> "States":
        """The states picked out by an index or a mask."""
        return States(**{name: getattr(self, name)[..., which] for name in States.__slots__})


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Part:
    """A unit's share of a spread: its clock and, by member, the row of the point taken."""

    clock: int
    rows: tuple[int, ...]
    violation: float
    gain: float
    power_w: float


class Cell:
    """One unit with one set of demands on it."""

    def __init__(self, table: UnitTable, members: Ints, *, exclusive: bool, worst: bool, limit: float) -> None:
        """Set the search up.

        Args:
            table: The unit.
            members: Indices of the demands, ascending.
            exclusive: Whether a CPU unit's cores must not be shared.
            worst: Whether violation is the largest of the terms in place of their sum.
            limit: The most ticks a single term of violation may have.
        """
        self.table = table
        self.members = members
        self.barred = exclusive and not table.frame.gpu
        self.limit = limit
        self.fold = np.maximum if worst else np.add
        self.worst = worst
        self.count = len(members)
        self.points = table.grid[:, members]
        self.row, latency_ms, _, short, *_, self.gain, self.power_w = self.points
        least = table.least[members]
        self.rest = _rest(least)
        """(count + 1, 3, clocks): busy ms, cores and load of the members from m on are at least this."""
        busy_ms, cores, _ = self.rest[0]
        valid = table.valid[members]
        open_clock = valid.any(axis=2).all(axis=0)
        shared = cores > table.frame.slots
        if self.barred:
            open_clock &= ~shared
        self.clocks = np.flatnonzero(open_clock)
        # A member waits at least for the fastest of the others wherever sharing is forced.
        wait = np.where(shared & open_clock, busy_ms, 0.0)
        with np.errstate(invalid="ignore"):
            wait = np.where(wait > 0.0, wait - least[:, 0], 0.0)
        terms = table.frame.term(members, latency_ms + wait[:, :, None], short)
        self.terms = np.where(valid & (terms <= limit), terms, np.inf)
        self.valid = np.isfinite(self.terms)

    def bounds(self, aim: Aim) -> list[Floats]:
        """By level, a lower bound on what the members from m on add: shape (members + 1, clocks)."""
        values = aim.values(self.terms, self.gain, self.power_w)
        least = lexi.least([np.where(self.valid, value, np.inf) for value in values], axis=2)
        return [_rest(value, self.fold) for value in least]

    def search(self, bars: list[Bar], *, only_best: bool) -> tuple[States, bool]:
        """Find the complete choices that pass all bars.

        Args:
            bars: The tests.
            only_best: Whether the one best by the first bar will do; its cutoff is then lowered on the way.

        Returns:
            The choices, and whether none was lost to the allowance of work.
        """
        rests = [self.bounds(bar.aim) for bar in bars]
        states = self._keep(self._start(), 0, bars, rests)
        complete = True
        width = self.valid.shape[2]
        for m in range(self.count):
            if not len(states):
                break
            if len(states) * width ** (self.count - m) <= AT_ONCE:
                return self._keep(self._expand(states, m, self.count), self.count, bars, rests), complete
            if only_best and len(states) > BEAM and m + 1 < self.count:
                first = self._dive(states, m, bars[0], rests[0])
                if first is not None:
                    bars = [Bar(aim=bars[0].aim, cutoff=first), *bars[1:]]
                    states = self._keep(states, m, bars, rests)
            if len(states) * width > STATES:
                complete = False
                best = lexi.order(self.values(states, m, bars[0].aim, rests[0]))
                states = states.take(best[: STATES // width])
            states = self._keep(self._expand(states, m, m + 1), m + 1, bars, rests)
        return states, complete

    def values(self, states: States, m: int, aim: Aim, rest: list[Floats] | None = None) -> list[Floats]:
        """By level, a lower bound on any completion of states of m members; their cost where complete."""
        levels = aim.values(states.violation, *states.sums[-2:])
        if rest is None:
            return levels
        return [self.fold(level, more[m][states.clock]) for level, more in zip(levels, rest, strict=True)]

    def part(self, states: States, index: int) -> Part:
        """A complete choice as a part of a spread."""
        clock = int(states.clock[index])
        rows = self.row[np.arange(self.count), clock, states.places[:, index]]
        gain, power_w = states.sums[-2:, index].tolist()
        return Part(
            clock=clock,
            rows=tuple(int(row) for row in rows),
            violation=float(states.violation[index]),
            gain=gain,
            power_w=power_w,
        )

    def _keep(self, states: States, m: int, bars: list[Bar], rests: list[list[Floats]]) -> States:
        """Drop the states that a bar shows to be hopeless."""
        for bar, rest in zip(bars, rests, strict=True):
            passes = lexi.below(self.values(states, m, bar.aim, rest), bar.cutoff)
            if not passes.all():
                states = states.take(passes)
        return states

    def _dive(self, states: States, m: int, bar: Bar, rest: list[Floats]) -> tuple[float, ...] | None:
        """Complete the most promising states only; return a cutoff that just keeps the best of them."""
        for step in range(m, self.count):
            best = lexi.order(self.values(states, step, bar.aim, rest))[:BEAM]
            states = self._keep(self._expand(states.take(best), step, step + 1), step + 1, [bar], [rest])
        if not len(states):
            return None
        levels = self.values(states, self.count, bar.aim)
        first = lexi.first(levels)
        *above, last = (float(level[first]) for level in levels)
        # Sums in another order may differ in the last place: the cutoff leaves room for that.
        return (*above, last + 1e-12 * abs(last) + 1e-15)

    def _start(self) -> States:
        count = len(self.clocks)
        sums = np.zeros((5, count))
        sums[-1] = self.table.frame.static_w[self.clocks]
        return States(
            clock=self.clocks,
            places=np.zeros((0, count), dtype=np.intp),
            response=np.zeros((3, 0, count)),
            sums=sums,
            violation=overload_ticks(self.rest[0, 2, self.clocks]),
        )

    def _expand(self, states: States, m: int, end: int) -> States:
        """Add to each state each choice of points for the members from m to before `end`."""
        frame, more = self.table.frame, np.arange(m, end)[:, None]
        width = self.valid.shape[2]
        ways = np.indices((width,) * (end - m)).reshape(end - m, -1)
        parent, way = np.nonzero(self.valid[more[..., None], states.clock[:, None], ways[:, None]].all(axis=0))
        clock, places = states.clock[parent], ways[:, way]
        added = self.points[:, more, clock, places]
        response = np.concatenate([states.response[:, :, parent], added[RESPONSE]], axis=1)
        sums = states.sums[:, parent]
        for k in range(end - m):
            sums += added[SUMMED, k]
        # What is already certain: services, cores and loads of the rest are at least their least.
        busy_ms, cores, load = sums[:3] + self.rest[end][:, clock]
        shared = cores > frame.slots
        alone, extra, short = response
        terms = frame.term(self.members[:end], effective_ms(alone, extra, busy_ms, shared), short)
        unit_term = overload_ticks(load)
        worst = np.maximum(terms.max(axis=0), unit_term)
        lost = worst > self.limit
        if self.barred:
            lost |= shared
        grown = States(
            clock=clock,
            places=np.concatenate([states.places[:, parent], places]),
            response=response,
            sums=sums,
            violation=worst if self.worst else terms.sum(axis=0) + unit_term,
        )
        return grown.take(~lost) if lost.any() else grown


def _rest(values: Floats, fold: np.ufunc = np.add) -> Floats:
    """Sums (or other folds) over the rows from m on, for m up to one past the last, where it is zero."""
    total = np.zeros((len(values) + 1, *values.shape[1:]))
    fold.accumulate(values[::-1], axis=0, out=total[-2::-1])
    return total
