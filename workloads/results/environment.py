"""The environment that a recorded run had, as events of a simulation: limits of units, and load that is not ours.

`gearshift run --trace` plays it: a mix is simulated beside the load, limits and heat that an earlier run saw. These are
pure functions on a `BoardTrace`; they know no files and no simulator.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from scheduler.board import Board, BoardUnit
from scheduler.errors import did_you_mean
from scheduler.messages import Event, Happening, UnitLimited
from workloads.results.trace import BoardTrace, TraceError, UnitSample

_LOAD_STEP = 0.1
"""Ticks of 10 ms in an epoch of 100 ms."""


def with_environment(
    events: Iterable[tuple[float, Happening]], trace: BoardTrace, board: Board
) -> tuple[tuple[float, Happening], ...]:
    """Merge the environment of a trace into the events of a simulation.

    Where both limit a unit, the stricter limit holds: a mix that caps `big` at 1,400 MHz, beside a trace in which it
    was held to 1,000 MHz, leaves it at most 1,000 MHz. So a mix in the environment of its own trace runs as it did,
    except that a limit is lifted only at the next sample.

    Args:
        events: (time in seconds, event) of the mix, in order of time.
        trace: the trace whose environment is added.
        board: the board of the simulation.

    Returns:
        All events in order of time.

    Raises:
        TraceError: if the trace has a unit that the board lacks.
    """
    check_units(trace, board)
    ours: dict[str, UnitLimited] = {}
    theirs: dict[str, UnitLimited] = {}
    recorded = [(at_s, event, theirs) for at_s, event in environment(trace)]
    merged: list[tuple[float, Happening]] = []
    of_mix = [(at_s, event, ours) for at_s, event in events]
    for at_s, event, known in sorted([*of_mix, *recorded], key=lambda one: one[0]):
        change = event.change
        if isinstance(change, UnitLimited):
            known[change.unit] = change
            both = [limits[change.unit] for limits in (ours, theirs) if change.unit in limits]
            merged.append((at_s, Event(change=_strictest(both), text=event.text)))
        else:
            merged.append((at_s, event))
    return tuple(merged)


def environment(trace: BoardTrace) -> tuple[tuple[float, Event], ...]:
    """Return the limits and the foreign load of a trace as (time in seconds, event), one where those of a unit change.

    A limit that heat or a person set is taken as it was seen, at the first sample that has it. Measured load of others
    counts as changed only from a tenth of the unit on: the kernel counts in ticks, and every change is a decision.
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


def check_units(trace: BoardTrace, board: Board) -> None:
    """Check that a board has every unit that a trace has samples of.

    Raises:
        TraceError: if it lacks one; the message names the first.
    """
    names = [unit.name for unit in board.units]
    for name in dict.fromkeys(name for sample in trace.samples for name in sample.units):
        if name not in names:
            hint = did_you_mean(name, names) or f" It has {', '.join(names)}."
            raise TraceError(
                f"the trace of board {trace.board.name!r} has unit {name!r}, which board {board.name!r} has not.{hint}"
            )


def _limits(name: str, spec: BoardUnit, seen: UnitSample | None) -> UnitLimited:
    if seen is None:
        return UnitLimited(unit=name, max_mhz=None, cpus_online=spec.all_cpus, other_load=0.0)
    online = spec.all_cpus if seen.cpus_online is None else seen.cpus_online
    return UnitLimited(unit=name, max_mhz=seen.max_mhz, cpus_online=online, other_load=seen.other_load)


def _strictest(limits: Sequence[UnitLimited]) -> UnitLimited:
    return UnitLimited(
        unit=limits[0].unit,
        max_mhz=min((one.max_mhz for one in limits if one.max_mhz is not None), default=None),
        cpus_online=tuple(sorted(set.intersection(*(set(one.cpus_online) for one in limits)))),
        other_load=max(one.other_load for one in limits),
    )


def _words(limits: UnitLimited) -> str:
    top = "no limit" if limits.max_mhz is None else f"at most {limits.max_mhz:g} MHz"
    count = len(limits.cpus_online)
    cores = "1 core" if count == 1 else f"{count} cores"
    return f"{top}, {cores}, {100 * limits.other_load:g} % used by others (as recorded)"
