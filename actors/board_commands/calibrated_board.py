"""A board with the figures that its calibration has found, each with its source, and what is to be said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from types import MappingProxyType

from actors.board_commands.calibrate import Calibration
from actors.board_commands.calibration_fit import RailFit, SpeedFit, fit_rail, fit_speed
from actors.board_commands.calibration_plan import Point, held_out
from actors.board_commands.switching_off import TIMES, SwitchedOff
from scheduler.board import Board, BoardUnit
from scheduler.mode import ClockRange, Mode


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibrated:
    """A board that was calibrated.

    Attributes:
        board: the board, with the figures found.
        speeds: by unit, how fast it is.
        rails: what each rail shows.
        sources: source of its figures, by key of the board's file: of those found, and of those that stay.
        findings: sentences for the user.
    """

    board: Board
    speeds: Mapping[str, SpeedFit]
    rails: tuple[RailFit, ...]
    sources: Mapping[str, str]
    findings: tuple[str, ...]


def calibrated(
    board: Board, calibration: Calibration, when: str, known: Mapping[str, str] = MappingProxyType({})
) -> Calibrated:
    """Return a board with the figures that its calibration has found.

    Args:
        board: the board as it was.
        calibration: the calibration.
        when: words for its date, as in `2026-12-01`.
        known: sources of the board's figures as it was.
    """
    records = calibration.records
    speeds = {unit.name: fit for unit in board.units if (fit := fit_speed(records, unit.name)) is not None}
    unseen = held_out(records)
    fits = [fit_rail(records, one.rail, one.covers, unseen) for one in board.sensors if one.covers != "board"]
    rails = tuple(fit for fit in fits if fit is not None)
    real = {unit.name: _real_clocks(unit, speeds.get(unit.name)) for unit in board.units}
    rail_of = {unit: fit for fit in rails for unit in fit.static_w if {*real[unit]} & {*fit.static_w[unit]}}
    kept = {
        name: tuple(mhz for mhz in clocks if name not in rail_of or mhz in rail_of[name].static_w[name])
        for name, clocks in real.items()
    }
    fitted = [_unit(unit, kept[unit.name], board, speeds, kept, rail_of) for unit in board.units]
    units = [_with_changes(unit, calibration, rail_of.get(unit.name)) for unit in fitted]
    by_calibration = f"measured: gearshift calibrate, {when}"
    on_share = f"fitted: to the same, a + b / clock; gearshift calibrate, {when}"
    by_unit = {
        "speed": dict.fromkeys(speeds, f"{by_calibration}, the product of two matrices in one thread"),
        "memory_share": {name: on_share for name, fit in speeds.items() if fit.memory_share is not None},
        "static_w": {name: f"{by_calibration}; {_on_rest(board, fit)}" for name, fit in rail_of.items()},
        "dynamic_w": dict.fromkeys(rail_of, f"{by_calibration}, cores that multiply matrices"),
        "transition_us": {
            name: f"{by_calibration}, the slower way: {changes.text}"
            for name, changes in calibration.changes.items()
            if changes is not None
        },
        **_on_switching(calibration, rail_of, by_calibration),
    }
    sources = {key: text for name, said in by_unit.items() for key, text in _by_key(board, name, said).items()}
    base_w = _base_w(board, calibration, rail_of)
    if base_w is not None:
        sources["base_w"] = f"{by_calibration}: the board's rail less those of its units, at rest"
    # A board in a mode has lost what the others want to have, so it is written as a board of its own.
    modes = board.modes if board.mode is None else ()
    found = replace(
        board,
        name=board.name.replace(":", "-"),
        mode=None,
        units=tuple(units),
        base_w=board.base_w if base_w is None else base_w,
        power_source=f"{by_calibration}; {'; '.join(_on_fit(fit) for fit in rails)}" if rails else board.power_source,
        modes=tuple(_within(mode, {unit.name: unit for unit in units}) for mode in modes),
    )
    stay = {key: text for key, text in known.items() if key.rpartition(".")[2] not in sources}
    findings = _findings(board, found, calibration, speeds, rails)
    return Calibrated(board=found, speeds=speeds, rails=rails, sources=stay | sources, findings=tuple(findings))


def _by_key(board: Board, name: str, by_unit: Mapping[str, str]) -> dict[str, str]:
    """Return the sources of a figure by the board's key: one if all units have it from the same, else one for each."""
    said = set(by_unit.values())
    if len(said) == 1 and {unit.name for unit in board.units} == set(by_unit):
        return {name: said.pop()}
    return {f"{unit}.{name}": text for unit, text in by_unit.items()}


def _real_clocks(unit: BoardUnit, speed: SpeedFit | None) -> tuple[float, ...]:
    """Return the clocks of a unit at which a step was timed and that are real; all of one that was not timed."""
    if speed is None:
        return unit.mhz
    return tuple(mhz for mhz in unit.mhz if mhz in speed.step_s and mhz not in speed.false_mhz)


def _unit(
    unit: BoardUnit,
    mhz: tuple[float, ...],
    board: Board,
    speeds: Mapping[str, SpeedFit],
    kept: Mapping[str, tuple[float, ...]],
    rail_of: Mapping[str, RailFit],
) -> BoardUnit:
    found = replace(
        unit,
        mhz=mhz,
        static_w=_kept(unit, unit.static_w, mhz),
        dynamic_w=_kept(unit, unit.dynamic_w, mhz),
        # The file that is written states speeds at the top clock that is left.
        shares_at_mhz=None,
    )
    if unit.name in speeds:
        top_s = {name: fit.step_s[kept[name][-1]] for name, fit in speeds.items()}
        fastest = min(top_s, key=lambda name: top_s[name])
        speed = board.unit(fastest).speed * top_s[fastest] / top_s[unit.name]
        share = speeds[unit.name].memory_share
        found = replace(
            found,
            speed=float(f"{speed:.4g}"),
            memory_share=unit.memory_share if share is None else round(share, 4),
        )
    fit = rail_of.get(unit.name)
    if fit is not None:
        rest_w = _rest_share_w(board, fit, unit)
        static_w = tuple(round(rest_w + fit.static_w[unit.name][one], 4) for one in mhz)
        found = replace(
            found,
            static_w=static_w,
            dynamic_w=tuple(round(fit.dynamic_w[unit.name][one], 4) for one in mhz),
            # It was measured with all cores idle, so what idling saves is in it already.
            idle_share=1.0,
            off_w=None if unit.off_w is None or unit.off_w > static_w[0] else unit.off_w,
        )
    return found


def _with_changes(unit: BoardUnit, calibration: Calibration, fit: RailFit | None) -> BoardUnit:
    """Return a unit with the times that changes of its clock take, and with what was found when it was switched off."""
    changes = calibration.changes.get(unit.name)
    if changes is not None:
        unit = replace(unit, transition_us=float(f"{changes.typical_us:.3g}"))
    switched = calibration.switched.get(unit.name)
    if not isinstance(switched, SwitchedOff):
        return unit
    unit = replace(unit, off_ms=float(f"{switched.off_ms:.3g}"), on_ms=float(f"{switched.on_ms:.3g}"))
    if fit is None or fit.rail not in switched.saved_w or unit.static_w is None:
        return unit
    idle_w = unit.static_w[0]
    return replace(unit, off_w=round(min(max(0.0, idle_w - switched.saved_w[fit.rail]), idle_w), 4))


def _on_switching(
    calibration: Calibration, rail_of: Mapping[str, RailFit], by_calibration: str
) -> dict[str, dict[str, str]]:
    """Return the sources of what was found when units were switched off, by key and unit."""
    switched = {name: one for name, one in calibration.switched.items() if isinstance(one, SwitchedOff)}
    times = dict.fromkeys(switched, f"{by_calibration}, the median of {TIMES}")
    saved = {
        name: f"{by_calibration}: static_w at the lowest clock, less the {one.saved_w[fit.rail]:.3f} W that "
        f"{fit.rail} shows less while it is off"
        for name, one in switched.items()
        if (fit := rail_of.get(name)) is not None and fit.rail in one.saved_w
    }
    return {"off_ms": times, "on_ms": times, "off_w": saved}


def _kept(unit: BoardUnit, watts: Sequence[float] | None, mhz: Sequence[float]) -> tuple[float, ...] | None:
    return None if watts is None else tuple(watt for one, watt in zip(unit.mhz, watts, strict=True) if one in mhz)


def _rest_share_w(board: Board, fit: RailFit, unit: BoardUnit) -> float:
    """Return a unit's part of what its rail takes at rest, by its number of cores: the rail can't tell them apart."""
    return fit.rest_w * unit.cores / sum(board.unit(name).cores for name in fit.static_w)


def _on_rest(board: Board, fit: RailFit) -> str:
    names = list(fit.static_w)
    if len(names) == 1:
        return f"{fit.rail} takes {fit.rest_w:.3f} W at rest, which is {names[0]}'s"
    return f"the {fit.rest_w:.3f} W that {fit.rail} takes at rest are attributed to {', '.join(names)} by their cores"


def _on_fit(fit: RailFit) -> str:
    unseen = "" if fit.unseen_error is None else f", by {fit.unseen_error:.1%} (median) at {fit.unseen} points held out"
    return f"rail {fit.rail}: the fit is off by {fit.residual_w:.3f} W (rms) at {fit.fitted} points{unseen}"


def _base_w(board: Board, calibration: Calibration, rail_of: Mapping[str, RailFit]) -> float | None:
    """Return the power of the rest of the board; None where not all units, or not the board, are measured."""
    whole = next((sensor.rail for sensor in board.sensors if sensor.covers == "board"), None)
    covered = {name for sensor in board.sensors if sensor.covers != "board" for name in sensor.covers}
    parts = {fit.rail for fit in rail_of.values()}
    if whole is None or not {unit.name for unit in board.units} <= covered:
        return None
    rests = [
        record.powers_w[whole] - sum(record.powers_w[rail] for rail in parts)
        for record in calibration.records
        if record.point.busy == 0 and {whole, *parts} <= set(record.powers_w)
    ]
    return round(max(0.0, median(rests)), 4) if rests and parts else None


def _within(mode: Mode, units: Mapping[str, BoardUnit]) -> Mode:
    """Return a mode whose limits are clocks that its units still have."""

    def nearest(unit: str, bound: float | None) -> float | None:
        return None if bound is None else min(units[unit].mhz, key=lambda mhz: abs(mhz - bound))

    return replace(
        mode,
        clocks=tuple(
            ClockRange(unit=one.unit, min_mhz=nearest(one.unit, one.min_mhz), max_mhz=nearest(one.unit, one.max_mhz))
            for one in mode.clocks
        ),
    )


def _on_held(unit: str, speed: SpeedFit | None, held: Mapping[Point, str]) -> list[str]:
    """Return what is to be said of the clocks of a unit that the kernel did not grant, or not at all loads."""
    timed = speed.step_s if speed else {}
    never = {point.mhz: why for point, why in held.items() if point.unit == unit and point.mhz not in timed}
    at_times = {point.mhz: why for point, why in held.items() if point.unit == unit and point.mhz in timed}
    outcome = "they are left out" if speed else "nothing of it was measured, and its figures are as they were"
    return [
        f"{unit}: the kernel did not grant {', '.join(f'{mhz:g}' for mhz in sorted(clocks))} MHz{loads} "
        f"({', '.join(dict.fromkeys(clocks.values()))}); {end}"
        for clocks, loads, end in (
            (never, "", outcome),
            (at_times, " at all loads", "what was measured there is of the others"),
        )
        if clocks
    ]


def _on_changes(unit: str, calibration: Calibration) -> list[str]:
    """Return what is to be said of changes of a unit's clock, and of switching it off."""
    said = []
    if unit in calibration.changes:
        changes = calibration.changes[unit]
        said.append(
            f"{unit}: the kernel shows no new clock when one is set, so transition_us is as it was"
            if changes is None
            else f"{unit}: a new clock is in force after {changes.text}"
        )
    switched = calibration.switched.get(unit)
    if isinstance(switched, SwitchedOff):
        said.append(f"{unit}: it goes off in {switched.off_ms:.3g} ms and comes back in {switched.on_ms:.3g} ms")
    elif switched is not None:
        said.append(f"{unit}: it could not be switched off and on ({switched}); off_w, off_ms, on_ms are as they were")
    return said


def _findings(
    board: Board,
    found: Board,
    calibration: Calibration,
    speeds: Mapping[str, SpeedFit],
    rails: Sequence[RailFit],
) -> list[str]:
    said = []
    for name, fit in speeds.items():
        for kept in sorted(set(fit.false_mhz.values())):
            false = [f"{mhz:g}" for mhz, real in fit.false_mhz.items() if real == kept]
            said.append(
                f"{name}: a step takes as long at {', '.join(false)} MHz as at {kept:g} MHz, so these clocks are not "
                f"real; they are left out"
            )
        if fit.memory_share is None and len(fit.step_s) > 1:
            said.append(f"{name}: how much of a step the clock does not stretch can't be told from these clocks")
    for unit in board.units:
        said += _on_held(unit.name, speeds.get(unit.name), calibration.held)
        temps_c = [one.temp_c for one in calibration.records if one.point.unit == unit.name and one.temp_c is not None]
        if temps_c:
            span = dict.fromkeys(f"{temp_c:.0f}" for temp_c in (min(temps_c), max(temps_c)))
            said.append(f"{unit.name}: measured at {' to '.join(span)} °C")
        said += _on_changes(unit.name, calibration)
        if unit.off_w is not None and found.unit(unit.name).off_w is None:
            said.append(f"{unit.name}: off_w, {unit.off_w:g} W, is more than it takes at rest, and is left out")
        if unit.kind == "gpu":
            said.append(f"{unit.name}: a GPU is not calibrated; its figures are as they were")
    said += [f"rail {rail} could not be read at some points: {why}" for rail, why in calibration.unread.items()]
    said += [f"{_on_fit(fit)}, at worst by {fit.worst_w:.3f} W" for fit in rails]
    if not rails:
        said.append("no rail covers a unit and could be read, so power stays as it was")
    elif not found.powered:
        unknown = [unit.name for unit in found.units if not unit.powered]
        said.append(f"the power of {', '.join(unknown)} is not known, so the board's energy is not modelled")
    return said
