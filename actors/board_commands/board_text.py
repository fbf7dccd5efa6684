"""The text of a board's file: `load_board` reads back the very board that it was made of."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields

from scheduler.board import Board, BoardUnit
from scheduler.mode import Mode
from scheduler.sensor import Sensor

_WIDTH = 120
_FIRST_LINE = "# Describes the board that gearshift manages; it is not a file of Ray's cluster launcher."

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
"""Text that YAML reads as text without quotes, but for a few words."""
_WORDS = {"yes", "no", "on", "off", "true", "false", "null", "y", "n"}


def board_text(
    board: Board,
    *,
    header: Sequence[str] = (),
    remarks: Mapping[str | None, Sequence[str]] | None = None,
    sources: Mapping[str, str] | None = None,
) -> str:
    """Return the file of a board.

    Args:
        board: the board.
        header: sentences for the top of the file, as comments.
        remarks: by name of a unit, sentences that stand above it; those of None stand above all units.
        sources: source of figures, by key.
    """
    remarks = remarks or {}
    lines = [_FIRST_LINE, *_comments([*header, *remarks.get(None, ())]), f"name: {_text(board.name)}"]
    if board.ambient_c != Board.__dataclass_fields__["ambient_c"].default:
        lines.append(f"ambient_c: {_number(board.ambient_c)}")
    if board.speed_of != "host":
        lines.append(f"speed_of: {_text(board.speed_of)}")
    lines.append("units:")
    for unit in board.units:
        lines += _comments(remarks.get(unit.name, ()), "  ")
        lines += _item(_unit_keys(unit))
    if board.modes:
        lines.append("modes:")
        for mode in board.modes:
            lines += _item(_mode_keys(mode))
    lines.append("power:")
    if board.sensors:
        lines.append("  sensors:")
        lines += [f"    - {_sensor(sensor)}" for sensor in board.sensors]
    else:
        lines.append(f"  sensor: {_text(board.sensor)}")
    lines.append(f"  base_w: {'null' if board.base_w is None else _number(board.base_w)}")
    lines.append(f"  source: {_quoted(board.power_source)}")
    if sources:
        lines.append("sources:")
        lines += [f"  {key}: {_quoted(text)}" for key, text in sources.items()]
    return "\n".join(lines) + "\n"


def _unit_keys(unit: BoardUnit) -> dict[str, str]:
    """Return the keys of a unit that say something, each with its YAML."""
    keys: dict[str, str] = {"name": _text(unit.name), "kind": unit.kind}
    if unit.cpus:
        keys["cpus"] = f"[{', '.join(map(str, unit.cpus))}]"
    keys["dvfs"] = unit.dvfs
    if unit.host is not None:
        keys["host"] = _text(unit.host)
    if unit.domain is not None:
        keys["domain"] = _text(unit.domain)
    keys |= {field.name: "true" for field in fields(unit) if getattr(unit, field.name) is True}
    keys["speed"] = _number(unit.speed)
    if unit.memory_share:
        keys["memory_share"] = _number(unit.memory_share)
    rows = {"mhz": unit.mhz, "static_w": unit.static_w, "dynamic_w": unit.dynamic_w}
    keys |= _rows({name: figures for name, figures in rows.items() if figures is not None})
    if unit.transition_us:
        keys["transition_us"] = _number(unit.transition_us)
    if unit.idle_states:
        keys["idle_states"] = f"[{', '.join(_mapping(state) for state in unit.idle_states)}]"
    if unit.idle_share != 1:
        keys["idle_share"] = _number(unit.idle_share)
    if unit.off_w is not None:
        keys["off_w"] = _number(unit.off_w)
    keys |= {name: _number(ms) for name, ms in (("off_ms", unit.off_ms), ("on_ms", unit.on_ms)) if ms}
    if unit.thermal is not None:
        keys["thermal"] = _mapping(unit.thermal)
    return keys


def _rows(rows: Mapping[str, Sequence[float]]) -> dict[str, str]:
    """Return lists that stand under each other column by column, broken where the page ends."""
    cells = {name: [_number(figure) for figure in figures] for name, figures in rows.items()}
    wide = max(len(cell) for row in cells.values() for cell in row)
    indent = 4 + max(len(name) for name in cells) + 3
    per_line = max(1, (_WIDTH - indent) // (wide + 2))
    texts = {}
    for name, row in cells.items():
        lines = [
            ", ".join(
                cell.rjust(wide if len(rows) > 1 or len(row) > per_line else 0)
                for cell in row[start : start + per_line]
            )
            for start in range(0, len(row), per_line)
        ]
        pad = " " * (max(len(other) for other in cells) - len(name))
        texts[name] = f"{pad}[{(',' + chr(10) + ' ' * indent).join(lines)}]"
    return texts


def _item(keys: Mapping[str, str]) -> list[str]:
    return [f"{'  - ' if place == 0 else '    '}{key}: {value}" for place, (key, value) in enumerate(keys.items())]


def _sensor(sensor: Sensor) -> str:
    covers = sensor.covers if sensor.covers == "board" else f"[{', '.join(map(_text, sensor.covers))}]"
    keys = {"rail": _text(sensor.rail), "driver": sensor.driver, "covers": covers}
    if sensor.address is not None:
        keys["address"] = _quoted(sensor.address)
    if sensor.file is not None:
        keys["file"] = _quoted(sensor.file)
    return f"{{{', '.join(f'{key}: {value}' for key, value in keys.items())}}}"


def _mode_keys(mode: Mode) -> dict[str, str]:
    keys = {"id": str(mode.id), "name": _text(mode.name)}
    if mode.cpus is not None:
        keys["cpus"] = f"[{', '.join(map(str, mode.cpus))}]"
    for key in ("min_mhz", "max_mhz"):
        limits = [(clocks.unit, mhz) for clocks in mode.clocks if (mhz := getattr(clocks, key)) is not None]
        if limits:
            keys[key] = f"{{{', '.join(f'{_text(unit)}: {_number(mhz)}' for unit, mhz in limits)}}}"
    if mode.emc_mhz is not None:
        keys["emc_mhz"] = _number(mode.emc_mhz)
    if mode.emc_w is not None:
        keys["emc_w"] = _number(mode.emc_w)
    return keys


def _mapping(entry: object) -> str:
    names: Iterable[str] = entry.__dataclass_fields__  # type: ignore[attr-defined]
    return f"{{{', '.join(f'{name}: {_number(getattr(entry, name))}' for name in names)}}}"


def _comments(sentences: Iterable[str], indent: str = "") -> list[str]:
    """Return sentences as comments; a line that goes on is indented."""
    fold: Callable[[str], list[str]] = textwrap.TextWrapper(
        width=_WIDTH,
        initial_indent=f"{indent}# ",
        subsequent_indent=f"{indent}#   ",
        break_long_words=False,
        break_on_hyphens=False,
    ).wrap
    # A label is what some firmware says; nothing in it may end the comment.
    return [line for sentence in sentences for line in fold("".join(c if c.isprintable() else " " for c in sentence))]


def _number(figure: float) -> str:
    """Return a figure as YAML reads it back to the bit; a whole one without a point."""
    if float(figure).is_integer():
        return str(int(figure))
    # YAML takes 1e-06 for text, and 1.0e-06 for a number.
    mantissa, exponent, power = repr(float(figure)).partition("e")
    return f"{mantissa if '.' in mantissa or not exponent else f'{mantissa}.0'}{exponent}{power}"


def _text(text: str) -> str:
    return text if _PLAIN.fullmatch(text) and text.lower() not in _WORDS else _quoted(text)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(one if one.isprintable() else f"\\U{ord(one):08x}" for one in escaped) + '"'
