"""Reads a board's file: YAML to a checked `Board`, or one sentence on what is wrong in it and how to fix that.

The keys are in `actors.board_schema`, how they fit together is in `actors.board_checks`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from actors.board_checks import check
from actors.board_schema import ENTRIES, BoardEntry, BoardError, Entry, ModeEntry, SensorEntry, UnitEntry
from actors.yaml_text import YamlError, read_yaml
from scheduler.board import Board, BoardUnit
from scheduler.errors import did_you_mean, shown
from scheduler.idle_state import IdleState
from scheduler.mode import ClockRange, Mode
from scheduler.sensor import Sensor
from scheduler.thermal import Thermal


def read_board(file: str, mode: str | None = None) -> Board:
    """Return the board that a file describes.

    Args:
        file: YAML file of the schema in `docs/boards.md`.
        mode: name or number of the mode that the board is in; None for the one that the file says, or else for none.

    Raises:
        BoardError: if the file cannot be read, or a value is wrong; it names file, key, value and fix.
        InputError: if the board has no such mode.
    """
    described, folder = _described(file), Path(file).parent
    whole = Board(
        name=described.name,
        units=tuple(_board_unit(unit) for unit in described.units),
        base_w=described.power.base_w,
        sensor=described.power.sensor,
        sensors=tuple(_sensor(sensor, folder) for sensor in described.power.sensors),
        power_source=described.power.source,
        ambient_c=described.ambient_c,
        speed_of=described.speed_of,
        modes=tuple(_mode(mode) for mode in described.modes),
    )
    if mode is not None:
        return whole.in_mode(mode)
    return whole if described.mode is None else replace(whole.in_mode(described.mode), name=whole.name)


def read_sources(file: str) -> dict[str, str]:
    """Return the sources that a board's file gives for its figures, by key.

    Raises:
        BoardError: if the file cannot be read, or a value is wrong.
    """
    return dict(_described(file).sources)


def _described(file: str) -> BoardEntry:
    content = _content(file)
    try:
        described = BoardEntry.model_validate(content)
        check(described, Path(file).parent)
    except ValidationError as error:
        raise BoardError(f"{file}: {_explained(error)}") from None
    except BoardError as error:
        raise BoardError(f"{file}: {error}") from None
    return described


def _content(file: str) -> dict[Any, Any]:
    """Return the mapping that a YAML file holds."""
    try:
        content = read_yaml(file)
    except YamlError as error:
        raise BoardError(f"{file}: {error}") from None
    if content is None:
        raise BoardError(f"{file}: is empty. A board has the keys {_keys(BoardEntry)}.")
    if not isinstance(content, dict):
        raise BoardError(f"{file}: must be a mapping with the keys {_keys(BoardEntry)}, not {shown(content)}.")
    return content


# The wanted value by pydantic's name of the problem; problems that are not here keep pydantic's words.
_MUST_BE = {
    "string_type": "text",
    "string_too_short": "text with something in it",
    "string_too_long": "of at most {max_length} characters",
    "string_pattern_mismatch": "a name of letters, digits, '_', '.' and '-'",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "greater_than": "above {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than_equal": "at most {le:g}",
    "literal_error": "{expected}",
    "list_type": "a list in [brackets]",
    "too_short": "a list with something in it",
    "model_type": "a mapping",
    "dict_type": "a mapping",
}


def _explained(error: ValidationError) -> str:
    """Return one sentence on what is wrong and how to fix it.

    Of several problems it takes an unknown key first: a misspelt key is often also why another one is missing.
    """
    unknown = ("extra_forbidden", "invalid_key")
    problem = min(error.errors(include_url=False), key=lambda problem: problem["type"] not in unknown)
    location, value, context = problem["loc"], problem["input"], problem.get("ctx", {})
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    if problem["type"] in unknown:
        parents = [part for part in location[:-1] if isinstance(part, str)]
        known = _keys(ENTRIES[parents[-1] if parents else ""])
        fix = did_you_mean(str(location[-1]), known.split(", ")) or f" The keys there are {known}."
        return f"{key} is not a key of a board.{fix}"
    if problem["type"] == "missing":
        return f"{key} is missing. Add it."
    must_be = _MUST_BE.get(problem["type"], problem["msg"]).format(**context)
    fix = did_you_mean(shown(value), re.findall(r"'(\w+)'", must_be)) if problem["type"] == "literal_error" else ""
    return f"{key} must be {must_be}, not {shown(value)}.{fix}"


def _keys(entry: type[Entry]) -> str:
    return ", ".join(entry.model_fields)


def _board_unit(unit: UnitEntry) -> BoardUnit:
    # The file states speed and memory share at the clock where they were found, the board at the unit's top clock;
    # `BoardUnit.with_clocks` says why this is a division by d.
    d = 1.0
    if unit.speed_at_mhz is not None:
        d = unit.memory_share + (1 - unit.memory_share) * unit.speed_at_mhz / unit.mhz[-1]
    return BoardUnit(
        name=unit.name,
        kind=unit.kind,
        cpus=tuple(unit.cpus),
        dvfs=unit.dvfs,
        mhz=tuple(map(float, unit.mhz)),
        static_w=_floats(unit.static_w),
        dynamic_w=_floats(unit.dynamic_w),
        speed=unit.speed / d,
        memory_share=unit.memory_share / d,
        shares_at_mhz=None if unit.speed_at_mhz is None else float(unit.speed_at_mhz),
        host=unit.host,
        domain=unit.domain,
        may_switch_off=unit.may_switch_off,
        may_lock=unit.may_lock,
        transition_us=unit.transition_us,
        idle_states=tuple(IdleState(**state.model_dump()) for state in unit.idle_states),
        idle_share=unit.idle_share,
        off_w=unit.off_w,
        off_ms=unit.off_ms,
        on_ms=unit.on_ms,
        thermal=None if unit.thermal is None else Thermal(**unit.thermal.model_dump()),
    )


def _floats(figures: Iterable[float] | None) -> tuple[float, ...] | None:
    return None if figures is None else tuple(map(float, figures))


def _sensor(sensor: SensorEntry, folder: Path) -> Sensor:
    return Sensor(
        rail=sensor.rail,
        driver=sensor.driver,
        covers="board" if sensor.covers == "board" else tuple(sensor.covers),
        address=sensor.address,
        file=None if sensor.file is None else str(folder / sensor.file),
    )


def _mode(mode: ModeEntry) -> Mode:
    units = dict.fromkeys([*mode.min_mhz, *mode.max_mhz])
    return Mode(
        name=mode.name,
        id=mode.id,
        cpus=None if mode.cpus is None else tuple(mode.cpus),
        clocks=tuple(
            ClockRange(unit=unit, min_mhz=mode.min_mhz.get(unit), max_mhz=mode.max_mhz.get(unit)) for unit in units
        ),
        emc_mhz=mode.emc_mhz,
        emc_w=mode.emc_w,
    )
