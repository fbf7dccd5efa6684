"""Judge `joint` by the project's own aims: `python -m benchmarks.aims DIR`, where DIR is the `--out` of a bench.

For each aim it prints whether the aim is met, by how much it is missed on average, and in which mixes. The bench itself
knows nothing of these aims. An aim is met or missed only if the whole interval says so, and on boards whose power is
fitted the whole range over the sets of power figures too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table

from scheduler.errors import InputError
from workloads.bench.comparison import compare, ratios_by_place, select
from workloads.bench.results import Group, RunResult
from workloads.bench.sensitivity import CHANGES
from workloads.bench.statistics import ConfidenceInterval
from workloads.bench.store import read_results
from workloads.bench.words import change_of, change_words, points, shown_range

OURS = "joint"

AIMS: Mapping[str, float | None] = {
    "schedutil": 0.70,
    "floor+schedutil": 0.835,
    "joint+schedutil": 0.835,
    "joint+schedutil-uclamp": None,
    "floor+lavd": None,
    "best": 1.02,
    "oracle": 1.03,
}
"""The greatest ratio of the units' energies that `joint` aims at, by baseline: 30 % less than the paper's baseline,
16.5 % less (the paper's figure) than the two that share our networks or our floors, no more than 2 % above `best` where
nothing changes, and 3 % above an oracle. For those without an aim the table says what the ratio is."""

HEADS = ("against", "aim", "units' energy", "verdict", "mean above the aim", "mixes above", "where, worst first")

_MOST_NAMED = 6
"""Mixes that one line names; of two hundred nobody reads them all."""


def aim_verdict(interval: ConfidenceInterval | None, most: float) -> Literal["met", "missed", "not shown"]:
    """Return `met` or `missed` if the whole interval of a ratio lies at most at an aim, or above it."""
    low, high = shown_range(interval)
    if high <= most:
        return "met"
    return "missed" if low > most else "not shown"


def aim_rows(results: Sequence[RunResult], group: Group, *, change: str | None = None) -> list[tuple[str, ...]]:
    """Return a row of `HEADS` for each aim whose baseline was run.

    Args:
        results: all of a bench.
        group: the group of mixes.
        change: the change of the boards, one of `CHANGES`; None for the boards as they are.
    """
    ours = select(results, OURS, group=group, change=change)
    rows = []
    for rival, aim in AIMS.items():
        base = select(results, rival, group=group, change=change)
        units = compare(ours, base).units
        if units is None:
            continue
        by_place = ratios_by_place(ours, base)
        most = 1.0 if aim is None else aim
        above = sorted((place for place in by_place if by_place[place] > most), key=by_place.__getitem__, reverse=True)
        where = [f"{mix} on {board} ({change_of(by_place[mix, board])})" for mix, board in above[:_MOST_NAMED]]
        where += [f"{len(above) - len(where)} more"] if len(above) > len(where) else []
        rows.append(
            (
                rival,
                "none" if aim is None else change_of(aim),
                change_words(units),
                "no aim" if aim is None else aim_verdict(units, aim),
                f"{points(units.value - most)} points" if units.value > most else "none",
                f"{len(above)} of {len(by_place)}",
                ", ".join(where) or "nowhere",
            )
        )
    return rows


def main(argv: list[str] | None = None) -> int:
    """Print a table for the written mixes, for the generated ones, and for each change of the boards; return 0.

    Returns 2 if the directory holds no bench.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, metavar="DIR", help="directory of `gearshift bench --out DIR`")
    options = parser.parse_args(argv)
    try:
        results = read_results(options.directory)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    # The aims are of energy, so mixes with objective accuracy have none.
    groups: dict[str, tuple[Group, str | None]] = {
        "written mixes": ("written", None),
        "generated mixes": ("generated", None),
    }
    groups |= {f"written mixes, {change}": ("written", change) for change in CHANGES}
    for name, (group, change) in groups.items():
        rows = aim_rows(results, group, change=change)
        if rows:
            table = Table(*HEADS, box=box.SIMPLE_HEAD, title=f"Aims of {OURS}, {name}", title_justify="left")
            for row in rows:
                table.add_row(*row)
            Console(width=None if sys.stdout.isatty() else 200).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
