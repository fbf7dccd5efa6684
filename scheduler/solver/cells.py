"""Exact search inside one unit: the best clock and points for a given set of demands placed there, its members.

It is a branch and bound, breadth first over the members, with all clocks at once and one state for each clock and
partial choice. Each state carries a lower bound on what any completion costs, and is dropped as soon as the bound
cannot beat a cutoff. A quick beam search finds a first good completion, which lowers the cutoff. Where few choices are
left they are listed at once. This module does not know about other units; what they cost reaches it in the cutoff.
"""

from dataclasses import dataclass

import numpy as np

from scheduler.solver import lexi
from scheduler.solver.tables import RESPONSE, SUMMED, Bools, Floats, Ints, UnitTable, effective_ms, overload_ticks

STATES = 200_000
"""Number of states at which a search gives up its proof; they take some tens of MB."""
AT_ONCE = 256
"""Most complete choices that are listed in one go, rather than member by member."""
BEAM = 64
"""States that the beam search for a first good completion keeps after each member."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Aim:
    """The cost to minimise: one or more levels, compared lexicographically, each a weighted sum of totals.

    No level knows the power cap.

    Attributes:
        levels: by level, the factors on (ticks of violation, ticks of weight * accuracy, watts). The second total is
            subtracted, since more accuracy is better. ((1, 0, 0), (0, 0, 1)) is least violation, then least power.
    """

    levels: tuple[tuple[float, float, float], ...]

    def values(self, violation: Floats, gain: Floats, power_w: Floats) -> list[Floats]:
        """Return the levels of given totals."""
        return [_weighted((a, violation), (-g, gain), (p, power_w)) for a, g, p in self.levels]


def _weighted(*pairs: tuple[float, Floats]) -> Floats:
    """Return the sum of factor * values, without the zero factors (which infinite values would turn into NaN)."""
    total: Floats | float = 0.0
    for factor, values in pairs:
        if factor:
            total = total + (values if factor == 1.0 else factor * values)
    return np.asarray(total, dtype=np.float64)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Bar:
    """A test that states must pass: the levels of `aim` are lexicographically below `cutoff`."""

    aim: Aim
    cutoff: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class States:
    """Partial choices for a unit's members, one per entry.

    Attributes:
        clock: the unit's clock, as an index.
        places: (members so far, states): index into the table's points.
        response: (3, members so far, states), the fields `RESPONSE` of the table: latency on cores of its own in ms,
            that latency less the own service, ticks of accuracy that is lacking.
        sums: (5, states), the fields `SUMMED` of the table, static power included: busy ms, cores, load, ticks of
            weight * accuracy, watts.
        violation: ticks; a lower bound for a partial choice.
    """

    clock: Ints
    places: Ints
    response: Floats
    sums: Floats
    violation: Floats

    def __len__(self) -> int:
        return len(self.clock)

    def take(self, which: Ints | Bools) -> "States":
        """Return the states picked out by an index or a mask."""
        return States(
            clock=self.clock[which],
            places=self.places[:, which],
            response=self.response[:, :, which],
            sums=self.sums[:, which],
            violation=self.violation[which],
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Part:
    """A unit's share of a spread.

    Attributes:
        clock: the unit's clock, as an index.
        rows: by member, the index of the point taken into its demand's points.
        violation: ticks, without the power cap's term.
        gain: ticks of weight * accuracy.
        power_w: power of the unit, static power included.
    """

    clock: int
    rows: tuple[int, ...]
    violation: float
    gain: float
    power_w: float


class Cell:
    """The search on one unit with one set of demands on it."""

    def __init__(self, table: UnitTable, members: Ints, *, exclusive: bool, worst: bool, limit: float) -> None:
        """Set the search up.

        Args:
            table: the unit's points.
            members: indices of the demands, ascending.
            exclusive: True if a CPU unit's cores must not be shared.
            worst: True if violation is the largest of the terms in place of their sum.
            limit: the most ticks that a single term of violation may have.
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
        # Sharing is forced where even the fewest cores of all members exceed the unit's. There a member waits at least
        # for the fastest service of each of the others.
        wait = np.where(shared & open_clock, busy_ms, 0.0)
        with np.errstate(invalid="ignore"):
            wait = np.where(wait > 0.0, wait - least[:, 0], 0.0)
        terms = table.frame.term(members, latency_ms + wait[:, :, None], short)
        self.terms = np.where(valid & (terms <= limit), terms, np.inf)
        self.valid = np.isfinite(self.terms)

    def bounds(self, aim: Aim) -> list[Floats]:
        """Return by level a lower bound on what the members from m on add: shape (members + 1, clocks)."""
        values = aim.values(self.terms, self.gain, self.power_w)
        least = lexi.least([np.where(self.valid, value, np.inf) for value in values], axis=2)
        return [_rest(value, self.fold) for value in least]

    def search(self, bars: list[Bar], *, only_best: bool) -> tuple[States, bool]:
        """Find the complete choices that pass all bars.

        Args:
            bars: the tests.
            only_best: True if the one best by the first bar is enough; its cutoff is then lowered on the way.

        Returns:
            The choices, and True if none was lost to the allowance of work.
        """
        rests = [self.bounds(bar.aim) for bar in bars]
        states = self._keep(self._start(), 0, bars, rests)
        complete = True
        width = self.valid.shape[2]
        for m in range(self.count):
            if not len(states):
                break
            # Few choices are left: list them all.
            if len(states) * width ** (self.count - m) <= AT_ONCE:
                return self._keep(self._expand(states, m, self.count), self.count, bars, rests), complete
            # Many states: complete the most promising ones first, to lower the cutoff.
            if only_best and len(states) > BEAM and m + 1 < self.count:
                first = self._dive(states, m, bars[0], rests[0])
                if first is not None:
                    bars = [Bar(aim=bars[0].aim, cutoff=first), *bars[1:]]
                    states = self._keep(states, m, bars, rests)
            # Too many states: keep those of the best bounds, and give up the proof.
            if len(states) * width > STATES:
                complete = False
                best = lexi.order(self.values(states, m, bars[0].aim, rests[0]))
                states = states.take(best[: STATES // width])
            states = self._keep(self._expand(states, m, m + 1), m + 1, bars, rests)
        return states, complete

    def values(self, states: States, m: int, aim: Aim, rest: list[Floats] | None = None) -> list[Floats]:
        """Return by level a lower bound on any completion of states of m members; their own cost without `rest`."""
        levels = aim.values(states.violation, *states.sums[-2:])
        if rest is None:
            return levels
        return [self.fold(level, more[m][states.clock]) for level, more in zip(levels, rest, strict=True)]

    def part(self, states: States, index: int) -> Part:
        """Return a complete choice as a part of a spread."""
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
        """Drop the states whose lower bound fails a bar."""
        for bar, rest in zip(bars, rests, strict=True):
            passes = lexi.below(self.values(states, m, bar.aim, rest), bar.cutoff)
            if not passes.all():
                states = states.take(passes)
        return states

    def _dive(self, states: States, m: int, bar: Bar, rest: list[Floats]) -> tuple[float, ...] | None:
        """Complete the most promising states only (beam search), and return a cutoff that just keeps the best one.

        None is returned if none of them can be completed below the bar.
        """
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
        """Return one state without members for each clock that the members can have."""
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
        # All pairs of a state and a way: a way is one point for each of the members to add.
        width = self.valid.shape[2]
        ways = np.indices((width,) * (end - m)).reshape(end - m, -1)
        parent, way = np.nonzero(self.valid[more[..., None], states.clock[:, None], ways[:, None]].all(axis=0))
        clock, places = states.clock[parent], ways[:, way]
        added = self.points[:, more, clock, places]
        response = np.concatenate([states.response[:, :, parent], added[RESPONSE]], axis=1)
        sums = states.sums[:, parent]
        # One member after another, so that the order of the sums does not depend on how many are added at once.
        for k in range(end - m):
            sums += added[SUMMED, k]
        # A lower bound on the violation: what the members still to come take is at least their least.
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
    """Return the sum (or another fold) of the rows from m on, for every m up to one past the last, where it is 0."""
    total = np.zeros((len(values) + 1, *values.shape[1:]))
    fold.accumulate(values[::-1], axis=0, out=total[-2::-1])
    return total
