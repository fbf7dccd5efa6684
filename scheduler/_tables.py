"""A problem laid out as arrays, one table per unit, for the searches in this package.

Violation and accuracy are kept in whole ticks of about 1e-10 (floats that hold integers), so that sums are exact and
equal violations compare equal in whatever order they were added. Rounding each term keeps order: a term that
grows never rounds to fewer ticks.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scheduler.problem import Problem, Unit

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]

FULL_LOAD = 0.9
"""The load of a unit above which it counts as overloaded."""
TICKS = 7_207_200_000.0
"""Ticks in one unit of violation, or of weight * accuracy: 720720 * 10^4.

Decimals of four places and fractions of small denominators are whole numbers of ticks, so that different sums
that are equal on paper are equal here as well, and the next level decides between them.
"""
NO_CHOICE = "problem: no choice of one clock per unit leaves every demand an operating point."
"""What is said of a problem without an answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """An answer by index, and what is proven of it."""

    clocks: tuple[int, ...]
    """By unit, an index into its clocks."""
    rows: tuple[int, ...]
    """By demand, an index into its points."""
    proven: bool
    bound: float
    """As in `Allocation` where the answer is not proven; NaN where it is."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Frame:
    """What a table of points rests on."""

    gpu: bool
    slots: int
    static_w: Floats
    """(clocks,)"""
    scale: Floats
    """(demands,) ticks of violation per ms of latency above target."""
    slack: Floats
    """(demands,) ticks that the target itself stands for: scale * target."""
    by_accuracy: bool
    """Whether accuracy above the floor counts for anything."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class UnitTable:
    """The points of all demands on one unit: arrays of shape (demands, clocks, points), padded."""

    frame: Frame
    valid: Bools
    row: Ints
    """Index into the demand's points."""
    cores: Floats
    latency_ms: Floats
    busy_ms: Floats
    load: Floats
    """What the point adds to the unit's rho."""
    short: Floats
    """Ticks, not rounded: weight times the relative lack of accuracy."""
    gain: Floats
    """Ticks: weight times accuracy; 0 where accuracy above the floor counts for nothing."""
    power_w: Floats
    """rate * energy: power above static."""
    least_busy_ms: Floats
    """(demands, clocks); infinite where the demand has no point."""
    least_cores: Floats
    least_load: Floats

    def term(self, demand: Ints, latency_ms: Floats, short: Floats) -> Floats:
        """A demand's violation in ticks; `demand` indexes the first axis of the other two."""
        scale, slack = self.frame.scale[demand], self.frame.slack[demand]
        shape = scale.shape + (1,) * (latency_ms.ndim - scale.ndim)
        late = np.maximum(latency_ms * scale.reshape(shape) - slack.reshape(shape), 0.0)
        return np.rint(late + short)

    def within(self, limit: float) -> "UnitTable":
        """The table without points that are of no use.

        Those are the points with which a demand has more than `limit` ticks even alone, and those that another
        point of the same demand and clock equals or betters in every respect.
        """
        everyone = np.arange(len(self.frame.scale))
        fits = self.valid & (self.term(everyone, self.latency_ms, self.short) <= limit)
        bad = np.where(fits, 0.0, np.nan)  # not dominated, and dominating nobody
        keys = [self.cores + bad, self.latency_ms, self.busy_ms, self.power_w, self.short]
        kept = fits & ~_dominated([*keys, -self.gain] if self.frame.by_accuracy else keys)
        names = ("row", "cores", "latency_ms", "busy_ms", "load", "short", "gain", "power_w")
        columns = {name: getattr(self, name)[kept] for name in names}
        group = np.nonzero(kept.reshape(kept.shape[0] * kept.shape[1], -1))[0]
        return _assemble(self.frame, group, columns)


def overload(load: Floats) -> Floats:
    """A unit's violation in ticks at a load rho."""
    return np.rint(np.maximum(load / FULL_LOAD - 1.0, 0.0) * TICKS)


def loose_bound(tables: list[UnitTable], violation: float) -> float:
    """Bound what any choice of at most `violation` ticks comes to, each demand taken by itself.

    Returns:
        A lower bound on power in watts, or where accuracy counts an upper bound on the sum of weight * accuracy.
    """
    limited = [table.within(violation) for table in tables]
    if tables[0].frame.by_accuracy:
        gains = [np.where(t.valid, t.gain, 0.0).max(axis=(1, 2), initial=0.0) for t in limited]
        return float(np.max(gains, axis=0).sum()) / TICKS
    watts = [np.where(t.valid, t.power_w, np.inf).min(axis=(1, 2), initial=np.inf) for t in limited]
    return float(np.min(watts, axis=0).sum() + sum(t.frame.static_w[0] for t in tables))


def tabulate(problem: Problem) -> list[UnitTable]:
    """Lay the problem out, a table per unit in the order of its units."""
    demands = problem.demands
    names = {unit.name: index for index, unit in enumerate(problem.units)}
    tables = [demand.table for demand in demands]
    sizes = [len(table.cores) for table in tables]
    owner = np.repeat(np.arange(len(demands)), sizes)
    row = np.concatenate([np.arange(size) for size in sizes]) if sizes else np.zeros(0, dtype=np.intp)

    def column(name: str) -> Floats:
        return np.concatenate([getattr(table, name) for table in tables]) if tables else np.zeros(0)

    unit = (
        np.concatenate([np.array([names[name] for name in table.units])[table.unit] for table in tables])
        if tables
        else np.zeros(0, dtype=np.intp)
    )
    weight = np.array([demand.weight for demand in demands])
    rate = np.array([demand.rate_hz for demand in demands])[owner]
    target = np.array([demand.latency_ms for demand in demands])
    floor = np.array([demand.min_accuracy for demand in demands])[owner]
    accuracy, busy_ms = column("accuracy"), column("busy_ms")
    lack = np.where(floor > 0.0, np.maximum(0.0, 1.0 - accuracy / np.where(floor > 0.0, floor, 1.0)), 0.0)
    by_accuracy = problem.objective == "accuracy"
    columns = {
        "row": row,
        "cores": column("cores"),
        "mhz": column("mhz"),
        "latency_ms": column("latency_ms"),
        "busy_ms": busy_ms,
        "load": rate * busy_ms / 1000.0,
        "short": TICKS * weight[owner] * lack,
        "gain": np.rint(TICKS * weight[owner] * accuracy) * by_accuracy,
        "power_w": rate * column("energy_mj") / 1000.0,
    }
    result = []
    for index, each in enumerate(problem.units):
        here = np.flatnonzero(unit == index)
        mine = {name: values[here] for name, values in columns.items()}
        result.append(_table(each, owner[here], mine, TICKS * weight / target, TICKS * weight, by_accuracy))
    return result


def _table(
    unit: Unit, owner: Ints, columns: dict[str, Floats], scale: Floats, slack: Floats, by_accuracy: bool
) -> UnitTable:
    """Sort one unit's points into (demands, clocks, points), the dominated left out."""
    clock = np.searchsorted(np.array(unit.mhz, dtype=np.float64), columns.pop("mhz"))
    if unit.kind == "gpu":
        columns["cores"] = np.ones_like(columns["cores"])
    columns["load"] = columns["load"] * columns["cores"] / unit.slots
    group = owner * len(unit.mhz) + clock
    frame = Frame(
        gpu=unit.kind == "gpu",
        slots=unit.slots,
        static_w=np.array(unit.static_w, dtype=np.float64),
        scale=scale,
        slack=slack,
        by_accuracy=by_accuracy,
    )
    return _assemble(frame, group, columns)


def _assemble(frame: Frame, group: Ints, columns: dict[str, Floats]) -> UnitTable:
    """Spread columns, by group (demand * clocks + clock), into a table."""
    valid, grid = _pack(group, columns, (len(frame.scale), len(frame.static_w)))

    def least(values: Floats) -> Floats:
        result: Floats = np.where(valid, values, np.inf).min(axis=2, initial=np.inf)
        return result

    return UnitTable(
        frame=frame,
        valid=valid,
        row=np.where(valid, grid.pop("row"), 0).astype(np.intp),
        least_busy_ms=least(grid["busy_ms"]),
        least_cores=least(grid["cores"]),
        least_load=least(grid["load"]),
        **grid,
    )


def _pack(group: Ints, columns: dict[str, Floats], shape: tuple[int, int]) -> tuple[Bools, dict[str, Floats]]:
    """Spread columns over (demands, clocks, places), keeping their order within each group.

    Unused places hold NaN, which no comparison favours.
    """
    groups = shape[0] * shape[1]
    order = np.argsort(group, kind="stable")
    sorted_group = group[order]
    counts = np.bincount(group, minlength=groups)
    place = np.arange(len(group)) - np.repeat(np.cumsum(counts) - counts, counts)
    width = int(counts.max(initial=0))
    at = sorted_group * width + place
    valid = np.zeros(groups * width, dtype=np.bool_)
    valid[at] = True
    packed = {}
    for name, values in columns.items():
        flat = np.full(groups * width, np.nan)
        flat[at] = values[order]
        packed[name] = flat.reshape(*shape, width)
    return valid.reshape(*shape, width), packed


def _dominated(keys: list[Floats]) -> Bools:
    """Whether another point of the same group is no greater in any key; of equals the first stays."""
    width = keys[0].shape[-1]
    no_greater: Bools = np.ones((*keys[0].shape, width), dtype=np.bool_)  # [..., p, q]: q <= p in all keys
    for key in keys:
        no_greater &= key[..., None, :] <= key[..., :, None]
    # q may drop p unless p would drop q too and comes first.
    mutual = no_greater & np.swapaxes(no_greater, -1, -2)
    later = np.arange(width)[:, None] > np.arange(width)[None, :]
    return np.asarray((no_greater & (~mutual | later)).any(axis=-1))
