"""A recorded trace played again: to a governor's model, to the board's power figures, and to a simulation.

- `governor_clocks`: which clock a governor's model would have chosen at each moment, beside the one recorded. The
  model sees the load that was recorded, at the clock at which it was: so a kernel's governor is compared with its
  model step by step, and no error of one step is carried into the next. It does not say how the load would have
  been at other clocks; that is a simulation's matter.
- `unit_energies`: what the board's power figures make of the recorded clocks and busy shares, as bounds; beside the
  rails, where there are any.
- `with_environment`: limits and load that is not ours, as events of a simulation.

Pure functions on a `BoardTrace`; knows no files.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from scheduler.board import Board, BoardUnit
from scheduler.errors import did_you_mean
from scheduler.governors import Governor, governor_of
from scheduler.messages import Event, UnitLimited
from workloads.results.trace import BoardTrace, TraceError, UnitSample

BOARD_RAIL = "board"
"""A rail of this name is of the whole board, one with a unit's name of that unit; others have nothing to compare."""


_LOAD_STEP = 0.1
"""Ticks of 10 ms in an epoch of 100 ms."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GovernorClocks:
    """A governor's model beside what one unit did; the lists are of the samples but the first.

    Attributes:
        unit: its name.
        at_s: time of each sample.
        recorded_mhz: the clock then.
        chosen_mhz: the model's last choice by then.
        cores_known: whether each core's load was recorded; else the mean is taken for all, and a governor that goes
            by the busiest core is shown too little.
    """

    unit: str
    at_s: tuple[float, ...]
    recorded_mhz: tuple[float, ...]
    chosen_mhz: tuple[float, ...]
    cores_known: bool

    @property
    def agreement(self) -> float:
        """Share of the samples in which both are the same clock."""
        same = [recorded == chosen for recorded, chosen in zip(self.recorded_mhz, self.chosen_mhz, strict=True)]
        return sum(same) / len(same)


@dataclass(frozen=True, kw_only=True, slots=True)
class EnergyRange:
    """Energy of a unit, or of several, at the board's power figures.

    It is within the bounds where power rises with the clock, the clock between two samples was never outside the two
    that they have, and heat adds nothing to the stated power. Governors step more often than most traces are sampled:
    beneath one the bounds are an estimate's.

    Attributes:
        low_j: at the lower of the two clocks of each span.
        high_j: at the higher.
    """

    low_j: float
    high_j: float

    @property
    def middle_j(self) -> float:
        """Half way between the bounds."""
        return (self.low_j + self.high_j) / 2


@dataclass(frozen=True, kw_only=True, slots=True)
class RailEnergy:
    """A measured rail beside the board's power figures.

    Attributes:
        rail: its name.
        measured_j: by the sensor.
        modelled: by the figures; None where the rail is no unit's and not the board's, or figures are unknown.
    """

    rail: str
    measured_j: float
    modelled: EnergyRange | None

    @property
    def difference(self) -> float | None:
        """By how much the figures are above what was measured, relative to that; None where one is unknown."""
        if self.modelled is None or self.measured_j <= 0:
            return None
        return self.modelled.middle_j / self.measured_j - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Replay:
    """All that a trace can be played to at once.

    Attributes:
        governors: by unit of several clocks, the model beside what was recorded; empty where no governor was asked.
        energies: by unit, at the board's power figures; None where those are unknown.
        rails: measured power beside the figures.
    """

    governors: dict[str, GovernorClocks]
    energies: dict[str, EnergyRange | None]
    rails: tuple[RailEnergy, ...]


def replay(trace: BoardTrace, board: Board, *, governor: str | None = None) -> Replay:
    """Plays a trace to a governor's model and to a board's power figures.

    Args:
        trace: the trace.
        board: whose clocks may be chosen, and whose figures price them.
        governor: a model's name, as a policy gives it; None for none.

    Raises:
        TraceError: if the trace has a unit that the board has not, or fewer than two samples of a unit.
        GovernorError: for an unknown governor.
    """
    seen = {name for sample in trace.samples for name in sample.units}
    units = [unit.name for unit in board.units if len(unit.mhz) > 1 and unit.name in seen]
    return Replay(
        governors={name: governor_clocks(trace, board, name, governor) for name in units} if governor else {},
        energies=unit_energies(trace, board),
        rails=rail_energies(trace, board),
    )


def check_units(trace: BoardTrace, board: Board) -> None:
    """Checks that a board has all units that a trace has samples of.

    Raises:
        TraceError: if not, naming the first.
    """
    names = [unit.name for unit in board.units]
    for name in dict.fromkeys(name for sample in trace.samples for name in sample.units):
        if name not in names:
            mend = did_you_mean(name, names) or f" It has {', '.join(names)}."
            raise TraceError(
                f"the trace of board {trace.board.name!r} has unit {name!r}, which board {board.name!r} has not.{mend}"
            )


# ---------------------------------------------------------------- governors


def governor_clocks(trace: BoardTrace, board: Board, unit: str, governor: str) -> GovernorClocks:
    """Steps a governor's model through what was recorded of one unit.

    The model is stepped at its own period. Within a span busy time is spread evenly and the clock is the one at its
    beginning, so a trace that is sampled more seldom than the governor looks shows it averages.

    Args:
        trace: with at least two samples of the unit.
        board: that has the unit; its clocks are what may be chosen.
        unit: its name.
        governor: name of the model; where it is none of a GPU's, a GPU has podgov.

    Raises:
        TraceError: if the board has no such unit, or the trace fewer than two samples of it.
        GovernorError: for an unknown governor.
    """
    check_units(trace, board)
    seen = [(sample.at_s, sample.units[unit]) for sample in trace.samples if unit in sample.units]
    if len(seen) < 2:
        raise TraceError(f"the trace has {len(seen)} samples of unit {unit!r}; replaying a governor takes two.")
    spec = board.unit(unit)
    model = governor_of(board, unit, governor)
    chosen_mhz = _follow(model, spec, seen)
    return GovernorClocks(
        unit=unit,
        at_s=tuple(at_s for at_s, _ in seen[1:]),
        recorded_mhz=tuple(sample.mhz for _, sample in seen[1:]),
        chosen_mhz=tuple(chosen_mhz),
        cores_known=spec.cores == 1 or all(sample.cores_busy is not None for _, sample in seen[1:]),
    )


def _follow(model: Governor, spec: BoardUnit, seen: Sequence[tuple[float, UnitSample]]) -> list[float]:
    """The model's last choice by the end of each span."""
    from_s, before = seen[0]
    busy_us = (0.0,) * spec.cores
    choice = model.step(1e6 * from_s, busy_us, before.mhz, _allowed(spec, before))
    steps, chosen = 1, []
    for (start_s, before), (end_s, after) in pairwise(seen):
        shares = _core_shares(spec, after)
        # By multiplication, so that a hundred steps of 10 ms end at 1 s; rounded, as the sums of a sample's time are.
        while (at_s := from_s + 1e-6 * model.period_us * steps) <= end_s + 1e-9:
            now_us = tuple(us + 1e6 * share * (at_s - start_s) for us, share in zip(busy_us, shares, strict=True))
            choice = model.step(1e6 * at_s, now_us, before.mhz, _allowed(spec, before))
            steps += 1
        busy_us = tuple(us + 1e6 * share * (end_s - start_s) for us, share in zip(busy_us, shares, strict=True))
        chosen.append(choice)
    return chosen


def _core_shares(spec: BoardUnit, sample: UnitSample) -> tuple[float, ...]:
    if sample.cores_busy is not None:
        return sample.cores_busy
    online = spec.cores if sample.cores_online is None else sample.cores_online
    return tuple(sample.busy if core < online else 0.0 for core in range(spec.cores))


def _allowed(spec: BoardUnit, sample: UnitSample) -> tuple[float, ...]:
    top_mhz = math.inf if sample.max_mhz is None else sample.max_mhz
    return tuple(mhz for mhz in spec.mhz if mhz <= top_mhz) or spec.mhz[:1]


# ---------------------------------------------------------------- energy


def unit_energies(
    trace: BoardTrace, board: Board, *, from_s: float = -math.inf, to_s: float = math.inf
) -> dict[str, EnergyRange | None]:
    """What the power figures make of a trace.

    Static power at the unit's clock, times `idle_share` while no core is busy, and dynamic power of each core's busy
    time. Where only the mean load of several cores is known, how long all were idle at once is known within bounds.

    Args:
        trace: the trace.
        board: whose figures.
        from_s: where the window begins; of a span that lies partly outside a part counts.
        to_s: where it ends.

    Returns:
        By unit; None where its power is unknown.

    Raises:
        TraceError: if the trace has a unit that the board has not.
    """
    check_units(trace, board)
    return {unit.name: _unit_energy(trace, unit, from_s, to_s) for unit in board.units}


def rail_energies(trace: BoardTrace, board: Board) -> tuple[RailEnergy, ...]:
    """Every rail that a sensor measured, beside the power figures of what it feeds; none where there is no sensor.

    Raises:
        TraceError: if the trace has a unit that the board has not.
    """
    units = unit_energies(trace, board)
    modelled = dict(units)
    known = [one for one in units.values() if one is not None]
    if board.base_w is not None and len(known) == len(units):
        base_j = board.base_w * (trace.samples[-1].at_s - trace.samples[0].at_s)
        modelled[BOARD_RAIL] = EnergyRange(
            low_j=base_j + math.fsum(one.low_j for one in known), high_j=base_j + math.fsum(one.high_j for one in known)
        )
    return tuple(
        RailEnergy(
            rail=rail,
            measured_j=math.fsum((after.at_s - before.at_s) * after.rails[rail] for before, after in trace.spans),
            modelled=modelled.get(rail),
        )
        for rail in trace.samples[0].rails
    )


def _unit_energy(trace: BoardTrace, spec: BoardUnit, from_s: float, to_s: float) -> EnergyRange | None:
    if spec.static_w is None or spec.dynamic_w is None:
        return None
    low_j: list[float] = []
    high_j: list[float] = []
    for before, after in trace.spans:
        span_s = min(after.at_s, to_s) - max(before.at_s, from_s)
        if span_s <= 0 or spec.name not in before.units or spec.name not in after.units:
            continue
        sample = after.units[spec.name]
        shares = _core_shares(spec, sample)
        busy = math.fsum(shares)
        places = sorted(_place(spec, unit.mhz) for unit in (before.units[spec.name], sample))
        # All idle at once: at most while the busiest core is, at least what no two cores' busy times can cover.
        longest, shortest = 1 - max(shares), max(0.0, 1 - busy)
        for place, idle_share, joules in ((places[0], longest, low_j), (places[1], shortest, high_j)):
            static_w = spec.static_w[place] * (1 - (1 - spec.idle_share) * idle_share)
            joules.append(span_s * (static_w + spec.dynamic_w[place] * busy))
    return EnergyRange(low_j=math.fsum(low_j), high_j=math.fsum(high_j))


def _place(spec: BoardUnit, mhz: float) -> int:
    """The nearest of the unit's clocks: what a sensor reads need not be in the table."""
    return min(range(len(spec.mhz)), key=lambda place: abs(spec.mhz[place] - mhz))


# ---------------------------------------------------------------- simulations


def environment(trace: BoardTrace) -> tuple[tuple[float, Event], ...]:
    """What a trace says of limits and load that is not ours, as events: one where a unit's changes.

    A limit that heat or a person had set is in them as it was seen, at the first sample that has it. Measured load of
    others counts as changed from a tenth of the unit on: the kernel counts in ticks, and every change is a decision.
    """
    least = _LOAD_STEP if trace.source == "measured" else 0.0
    events = []
    known = {unit.name: _limits(unit.name, unit, None) for unit in trace.board.units}
    for sample in trace.samples:
        for name, seen in sample.units.items():
            limits = _limits(name, trace.board.unit(name), seen)
            if abs(limits.other_load - known[name].other_load) < least:
                limits = replace(limits, other_load=known[name].other_load)
            if limits != known[name]:
                known[name] = limits
                events.append((max(0.0, sample.at_s), Event(change=limits, text=f"{name}: {_words(limits)}")))
    return tuple(events)


def with_environment(
    events: Iterable[tuple[float, Event]], trace: BoardTrace, board: Board
) -> tuple[tuple[float, Event], ...]:
    """The events of a simulation, and a trace's environment among them.

    Where both limit a unit, the stricter holds; so a mix played in the environment of its own trace is as it was,
    but that a limit is lifted at the next sample.

    Args:
        events: of the mix, rising in time.
        trace: whose environment.
        board: of the simulation.

    Raises:
        TraceError: if the trace has a unit that the board has not.
    """
    check_units(trace, board)
    ours: dict[str, UnitLimited] = {}
    theirs: dict[str, UnitLimited] = {}
    recorded = [(at_s, event, theirs) for at_s, event in environment(trace)]
    merged = []
    for at_s, event, known in sorted(
        [(at_s, event, ours) for at_s, event in events] + recorded, key=lambda one: one[0]
    ):
        change = event.change
        if isinstance(change, UnitLimited):
            known[change.unit] = change
            both = [limits[change.unit] for limits in (ours, theirs) if change.unit in limits]
            merged.append((at_s, Event(change=_strictest(both), text=event.text)))
        else:
            merged.append((at_s, event))
    return tuple(merged)


def _limits(name: str, spec: BoardUnit, seen: UnitSample | None) -> UnitLimited:
    cores = spec.cores
    if seen is None:
        return UnitLimited(unit=name, max_mhz=None, cores_online=cores, other_load=0.0)
    online = cores if seen.cores_online is None else seen.cores_online
    return UnitLimited(unit=name, max_mhz=seen.max_mhz, cores_online=online, other_load=seen.other_load)


def _strictest(limits: Sequence[UnitLimited]) -> UnitLimited:
    return UnitLimited(
        unit=limits[0].unit,
        max_mhz=min((one.max_mhz for one in limits if one.max_mhz is not None), default=None),
        cores_online=min(one.cores_online for one in limits),
        other_load=max(one.other_load for one in limits),
    )


def _words(limits: UnitLimited) -> str:
    top = "no limit" if limits.max_mhz is None else f"at most {limits.max_mhz:g} MHz"
    cores = "1 core" if limits.cores_online == 1 else f"{limits.cores_online} cores"
    return f"{top}, {cores}, {100 * limits.other_load:g} % used by others (as recorded)"
