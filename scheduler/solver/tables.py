"""A problem laid out as arrays, one table for each unit, for the searches in this package.

Violation and accuracy are kept in whole ticks of about 1e-10 (floats that hold integers). So sums are exact, and equal
violations compare equal in whatever order they were added. Rounding keeps the order: a term that grows never rounds to
fewer ticks. This module does not search.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scheduler.objectives import OBJECTIVES
from scheduler.problem import FULL_LOAD, Problem

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]

TICKS = 7_207_200_000.0
"""Ticks in one unit of violation, or of weight * accuracy: 720720 * 10^4.

Decimals of four places and fractions of small denominators are whole numbers of ticks, so that different sums
that are equal on paper are equal here as well, and the next level decides between them.
"""
NO_CHOICE = "problem: no choice of one clock per unit leaves every demand an operating point."
"""The message about a problem without an answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """An answer by index, and what is proven of it.

    Attributes:
        clocks: by unit, an index into its clocks.
        rows: by demand, an index into its points.
        proven: True if the answer is proven to be the best.
        bound: a proven bound, as in `Allocation`, where the answer is not proven; NaN where it is.
    """

    clocks: tuple[int, ...]
    rows: tuple[int, ...]
    proven: bool
    bound: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Frame:
    """The facts about one unit, and about all demands, that a table of points rests on.

    Attributes:
        gpu: True for a GPU.
        slots: how many cores requests can hold at once; 1 for a GPU.
        static_w: (clocks,): power of the unit without load.
        unused_w: its power while nobody uses it, at most `static_w` at the lowest clock.
        scale: (demands,): ticks of violation per ms of latency above the target.
        slack: (demands,): ticks that the target itself stands for, scale * target.
        by_accuracy: True if accuracy above the floor counts.
    """

    gpu: bool
    slots: int
    static_w: Floats
    unused_w: float
    scale: Floats
    slack: Floats
    by_accuracy: bool

    def term(self, demand: Ints | slice, latency_ms: Floats, short: Floats) -> Floats:
        """Return the terms of demands in ticks.

        Args:
            demand: indices of the demands along the first axis of the other two.
            latency_ms: effective latencies.
            short: ticks of accuracy that is lacking, not rounded.
        """
        scale, slack = self.scale[demand], self.slack[demand]
        shape = scale.shape + (1,) * (latency_ms.ndim - scale.ndim)
        ticks = latency_ms * scale.reshape(shape)
        ticks -= slack.reshape(shape)
        np.maximum(ticks, 0.0, out=ticks)
        ticks += short
        return np.rint(ticks, out=ticks)


FIELDS = ("row", "latency_ms", "extra_ms", "short", "busy_ms", "cores", "load", "gain", "power_w")
"""The fields of a point, in the order of the first axis of `Layout.columns` and `UnitTable.grid`."""
ROW, LATENCY, _, SHORT, BUSY, CORES, LOAD, GAIN, POWER = range(len(FIELDS))
RESPONSE = slice(LATENCY, BUSY)
"""The fields that a demand's own term rests on: `latency_ms`, `extra_ms` and `short`."""
SUMMED = slice(BUSY, len(FIELDS))
"""The fields that add up over the demands on a unit; the first three of them are what the unit has little of."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class UnitTable:
    """The points of all demands on one unit: arrays of shape (demands, clocks, points), padded with NaN.

    Attributes:
        frame: facts about the unit and the demands.
        grid: (fields, demands, clocks, points): the arrays from `row` to `power_w`, in the order of `FIELDS`.
        row: index into the demand's points.
        latency_ms: latency on cores of its own, over the demand's `wait_share`.
        extra_ms: that latency less the own service; the sum of all services is added to it on a shared unit.
        short: weight times the relative lack of accuracy, in ticks, not rounded.
        busy_ms: service time.
        cores: cores that a request holds; 1 on a GPU.
        load: the part that the point adds to the unit's load.
        gain: weight times accuracy, in ticks; 0 where accuracy above the floor does not count.
        power_w: rate * energy, which is power above static power.
        valid: False where there is no point.
        least: (demands, 3, clocks): the least service time, cores and load; infinite where the demand has no point.
    """

    frame: Frame
    grid: Floats
    row: Floats
    latency_ms: Floats
    extra_ms: Floats
    short: Floats
    busy_ms: Floats
    cores: Floats
    load: Floats
    gain: Floats
    power_w: Floats
    valid: Bools
    least: Floats


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Layout:
    """The points of all demands on all units, one after another.

    Attributes:
        frames: by unit, its facts.
        group: (points,): demand * clocks + clock, ascending; the clocks of all units are counted through.
        columns: (fields, points): the fields of each point.
    """

    frames: tuple[Frame, ...]
    group: Ints
    columns: Floats

    def tables(self) -> list[UnitTable]:
        """Return all points, as a table for each unit."""
        grid, _ = self._spread(self.columns)
        valid = ~np.isnan(grid[ROW])
        least = np.where(valid, grid[BUSY : LOAD + 1], np.inf).min(axis=-1, initial=np.inf)
        tables, start = [], 0
        for frame in self.frames:
            mine = slice(start, start + len(frame.static_w))
            start = mine.stop
            width = int(valid[:, mine].any(axis=(0, 1)).sum())
            fields = grid[:, :, mine, :width]
            tables.append(
                UnitTable(
                    frame=frame,
                    grid=fields,
                    valid=valid[:, mine, :width],
                    least=np.swapaxes(least[:, :, mine], 0, 1),
                    **dict(zip(FIELDS, fields, strict=True)),
                )
            )
        return tables

    def within(self, limit: float) -> list[UnitTable]:
        """Return the tables without useless points.

        A point is useless if its demand has more than `limit` ticks with it even alone, or if another point of the same
        demand and clock equals or betters it in every respect.
        """
        demand = self.group // self._clocks
        fit = self._picked(self.frames[0].term(demand, self.columns[LATENCY], self.columns[SHORT]) <= limit)
        keys = fit.columns[[CORES, LATENCY, BUSY, POWER, SHORT, GAIN]]
        keys[-1] *= -1.0
        grid, at = fit._spread(keys)
        return fit._picked(~_dominated(grid).reshape(-1)[at]).tables()

    @property
    def _clocks(self) -> int:
        return sum(len(frame.static_w) for frame in self.frames)

    def _picked(self, kept: Bools) -> "Layout":
        return Layout(frames=self.frames, group=self.group[kept], columns=self.columns[:, kept])

    def _spread(self, columns: Floats) -> tuple[Floats, Ints]:
        """Spread columns over (demands, clocks, places), and keep their order within each group.

        Returns:
            The grid, with the columns' first axis in front; unused places hold NaN, which no comparison favours. And
            by point its place in the grid of one column, counted from the first.
        """
        demands, clocks = len(self.frames[0].scale), self._clocks
        counts = np.bincount(self.group, minlength=demands * clocks)
        width = int(counts.max())
        before = np.cumsum(counts) - counts
        at = np.arange(len(self.group)) + np.repeat(np.arange(len(counts)) * width - before, counts)
        grid = np.full((len(columns), len(counts) * width), np.nan)
        grid[:, at] = columns
        return grid.reshape(len(columns), demands, clocks, width), at


def effective_ms(alone_ms: Floats, extra_ms: Floats, busy_ms: Floats, shared: Bools) -> Floats:
    """Return effective latencies by the model of `scheduler.solver.evaluation`.

    Args:
        alone_ms: latency on cores of its own.
        extra_ms: that latency less the demand's own service.
        busy_ms: the services of all demands on the unit together, the demand's own among them.
        shared: where the unit's cores are shared.
    """
    return np.where(shared, extra_ms + busy_ms, alone_ms)


def overload_ticks(load: Floats) -> Floats:
    """Return a unit's overload term in ticks at a load."""
    return np.rint(np.maximum(load / FULL_LOAD - 1.0, 0.0) * TICKS)


def loose_bound(layout: Layout, violation: float) -> float:
    """Return a bound on any choice of at most `violation` ticks, from each demand taken by itself.

    Returns:
        A lower bound on power in watts, or where accuracy counts an upper bound on the sum of weight * accuracy.
    """
    limited = layout.within(violation)
    if layout.frames[0].by_accuracy:
        gains = [np.where(t.valid, t.gain, 0.0).max(axis=(1, 2), initial=0.0) for t in limited]
        return float(np.max(gains, axis=0).sum()) / TICKS
    watts = [np.where(t.valid, t.power_w, np.inf).min(axis=(1, 2), initial=np.inf) for t in limited]
    return float(np.min(watts, axis=0).sum() + sum(t.frame.unused_w for t in limited))


def lay_out(problem: Problem) -> Layout:
    """Return a problem of at least one demand as arrays."""
    demands = problem.demands
    names = {unit.name: index for index, unit in enumerate(problem.units)}
    # The points of all demands one after another: whose they are, which of its points, and on which unit.
    tables = [demand.table for demand in demands]
    sizes = [len(table.unit) for table in tables]
    owner = np.repeat(np.arange(len(demands)), sizes)
    row = np.concatenate([np.arange(size) for size in sizes])
    on_unit = np.concatenate([np.array([names[name] for name in table.units])[table.unit] for table in tables])
    cores, mhz, latency_ms, busy_ms, energy_mj, accuracy = np.concatenate([t.columns for t in tables], axis=1)
    cores = np.where(np.array([unit.kind == "gpu" for unit in problem.units])[on_unit], 1.0, cores)
    slots = np.array([unit.slots for unit in problem.units])[on_unit]
    weight = np.array([demand.weight for demand in demands])
    rate = np.array([demand.rate_hz for demand in demands])[owner]
    # latency + share * waits <= target is the same as latency / share + waits <= target / share, and the ratios of both
    # sides are equal too. So waits need no factor in the searches.
    wait_share = np.array([demand.wait_share for demand in demands])
    latency_ms = latency_ms / wait_share[owner]
    target = np.array([demand.target_ms for demand in demands]) / wait_share
    floor = np.array([demand.min_accuracy for demand in demands])[owner]
    lack = np.where(floor > 0.0, np.maximum(0.0, 1.0 - accuracy / np.where(floor > 0.0, floor, 1.0)), 0.0)
    by_accuracy = OBJECTIVES[problem.objective].seeks_accuracy
    columns = np.array(
        [
            row,
            latency_ms,
            latency_ms - busy_ms,
            TICKS * weight[owner] * lack,
            busy_ms,
            cores,
            rate * busy_ms / 1000.0 * cores / slots,
            np.rint(TICKS * weight[owner] * accuracy) * by_accuracy,
            rate * energy_mj / 1000.0,
        ]
    )
    frames = tuple(
        Frame(
            gpu=unit.kind == "gpu",
            slots=unit.slots,
            static_w=np.array(unit.static_w, dtype=np.float64),
            unused_w=unit.unused_w,
            scale=TICKS * weight / target,
            slack=TICKS * weight,
            by_accuracy=by_accuracy,
        )
        for unit in problem.units
    )
    # Sort by demand and clock, with the clocks of all units counted through.
    clock = np.zeros_like(owner)
    clocks = 0
    for index, unit in enumerate(problem.units):
        here = on_unit == index
        clock[here] = clocks + np.searchsorted(unit.mhz, mhz[here])
        clocks += len(unit.mhz)
    group = owner * clocks + clock
    order = np.argsort(group, kind="stable")
    return Layout(frames=frames, group=group[order], columns=columns[:, order])


def _dominated(keys: Floats) -> Bools:
    """Return a mask of the points that another one of their group equals or betters; of equals the first stays.

    Args:
        keys: (keys, demands, clocks, points); less is better.
    """
    # Points come first, (points q, points p, demands, clocks): short last axes would be slow.
    keys = np.ascontiguousarray(np.moveaxis(keys, -1, 1))
    place = np.arange(keys.shape[1])
    no_greater: Bools = np.ones((len(place), *keys.shape[1:]), dtype=np.bool_)  # q <= p in all keys
    for key in keys:
        no_greater &= key[:, None] <= key[None, :]
    # q may drop p unless p would drop q too and comes first.
    earlier = (place[:, None] < place[None, :])[:, :, None, None]
    drops = no_greater & (earlier | ~np.swapaxes(no_greater, 0, 1))
    return np.moveaxis(np.asarray(drops.any(axis=0)), 0, -1)
