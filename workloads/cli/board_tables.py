"""The tables that `gearshift doctor` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from actors.board_commands.doctor import Check, Examination

if TYPE_CHECKING:  # only `gearshift calibrate` needs it
    from actors.board_commands.calibrated_board import Calibrated


def facts_table(about: Mapping[str, str]) -> Table:
    """Return what a machine is and what is installed, as a table without a head."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, text in about.items():
        table.add_row(escape(name), escape(text))
    return table


def checks_table(found: Examination) -> Table:
    """Return the knobs and sensors with what can be done with them."""
    table = Table()
    table.add_column("knob or sensor", overflow="fold")
    table.add_column("read")
    table.add_column("write")
    table.add_column("why not", overflow="fold")
    table.add_column("what helps")
    for check in found.checks:
        helps = escape(check.mend) if check.mend else ""
        table.add_row(
            escape(check.name), _word(check.read, check), _word(check.write, check), escape(check.why_not or ""), helps
        )
    return table


def calibration_table(found: Calibrated, unit: str) -> Table:
    """Return what was found of a unit, clock by clock."""
    speed, after = found.speeds[unit], found.board.unit(unit)
    share = "unknown" if speed.memory_share is None else f"{speed.memory_share:.3f} ± {speed.memory_error:.3f}"
    table = Table(title=f"{escape(unit)}: speed {after.speed:g}, memory share {share}", title_justify="left")
    headings = ["MHz", "a step, ms", "of the top clock's speed"]
    headings += ["at rest, W", "a busy core, W"] if after.powered else []
    for heading in headings:
        table.add_column(heading, justify="right")
    if speed.false_mhz:
        table.add_column()
    for mhz, step_s in speed.step_s.items():
        place = after.mhz.index(mhz) if mhz in after.mhz else None
        watts = [
            "" if place is None else f"{figures[place]:.3f}"
            for figures in (after.static_w, after.dynamic_w)
            if figures is not None
        ]
        real = [f"in truth {speed.false_mhz[mhz]:g}" if mhz in speed.false_mhz else ""] if speed.false_mhz else []
        table.add_row(f"{mhz:g}", f"{1e3 * step_s:.3f}", f"{speed.top_s / step_s:.1%}", *watts, *real)
    return table


def _word(can: bool | None, check: Check) -> str:
    if can is None:
        return ""
    if can:
        return "[green]yes[/]"
    return "[red]no[/]" if check.wanted else "no"
