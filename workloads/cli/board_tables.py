"""The tables that `gearshift doctor` prints."""

from __future__ import annotations

from collections.abc import Mapping

from rich.markup import escape
from rich.table import Table

from actors.board_commands.doctor import Check, Examination


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


def _word(can: bool | None, check: Check) -> str:
    if can is None:
        return ""
    if can:
        return "[green]yes[/]"
    return "[red]no[/]" if check.wanted else "no"
