"""The page of a bench: each policy's figures, comparisons with the baselines, failures, and how figures are made.

It puts tables and drawings together. It computes no figure and prefers no policy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import get_args

from scheduler.board import Board
from workloads.bench.comparison import compare, select
from workloads.bench.curves import scale_lines, utilisation_curve
from workloads.bench.plots import LESS_ON_TIME, plot_energy, plot_scale, plot_utilisation
from workloads.bench.policy_sheets import mix_sheets, policy_sheet
from workloads.bench.power_sets import sets_of
from workloads.bench.results import Group, RunResult
from workloads.bench.sheets import (
    boards_sheet,
    energy_sheet,
    failure_sheet,
    floors_sheet,
    matrix_sheet,
    power_sets,
    sensitivity_sheet,
    shortfall_sheet,
    unpowered,
)
from workloads.bench.statistics import BOOTSTRAP_SAMPLES
from workloads.bench.tasks import Command
from workloads.bench.words import OVER_SETS
from workloads.report import page
from workloads.report.outcome import Sheet
from workloads.report.table import UNKNOWN, share

REPORT_FILE = "report.html"

_MEANS = (
    "<p><small>Per run: means over mixes, each counting alike, with 95 % bootstrap intervals over mixes and seeds. "
    "Where policies differ in the number of runs, some runs failed, and the means are over other mixes.</small></p>"
)

_COMPARISONS = (
    "<p><small>Energy: geometric mean of paired ratios, each mix counting alike, and its 95 % bootstrap interval over "
    f"mixes and seeds. {OVER_SETS.capitalize()}: where the mean lies under 95 % of the sets of power figures that fit "
    "equally well, on boards whose power is fitted; 'less' and 'more' need both. Board's energy: of boards whose base "
    "power is known. On time, accuracy and lost: difference in percentage points, mean over mixes. Worst case: the mix "
    "with the greatest ratio. An energy figure is worth no more than the differences beside it.</small></p>"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """A bench that is done.

    Attributes:
        command: its options.
        boards: the boards that it ran on, by name.
        results: the results of all its tasks.
        left_out: one sentence for each mix that does not fit a board.
    """

    command: Command
    boards: Mapping[str, Board]
    results: Sequence[RunResult]
    left_out: Sequence[str] = ()

    @property
    def groups(self) -> list[Group]:
        """The groups of its mixes. Sections about one group show the first."""
        there = {result.group for result in self.results}
        return [group for group in get_args(Group) if group in there]


def policy_sheets(bench: Bench) -> list[Sheet]:
    """Return the tables of each policy's own figures, one for each group of mixes."""
    return [policy_sheet(bench.results, bench.command, group) for group in bench.groups]


def energy_sheets(bench: Bench) -> list[Sheet]:
    """Return the tables of energy against each baseline, for each group of mixes."""
    sheets = [
        energy_sheet(bench.results, bench.command, baseline, group)
        for group in bench.groups
        for baseline in bench.command.against
    ]
    return [sheet for sheet in sheets if sheet.rows]


def to_html(bench: Bench) -> str:
    """Return the whole page."""
    command, results = bench.command, bench.results
    group = bench.groups[0]
    matrix = matrix_sheet(results, command, group)
    sensitivity, failures = sensitivity_sheet(results, command), failure_sheet(results)
    body = [
        _header(bench),
        *map(_section, policy_sheets(bench)),
        _MEANS,
        *(_energy_figure(bench, baseline) for baseline in command.against),
        *map(_section, energy_sheets(bench)),
        _COMPARISONS if command.against else "",
        _section(matrix) if matrix is not None else "",
        _section(boards_sheet(results, command, bench.boards, group)),
        _section(shortfall_sheet(results, command)),
        _section(floors_sheet(results, command)),
        _utilisation_section(bench),
        _scale_section(bench),
        _section(sensitivity) if sensitivity is not None else "",
        _section(failures) if failures is not None else "",
        _mixes_section(mix_sheets(results, command)),
        _method_section(bench),
    ]
    return page.page("gearshift bench", body)


# ---------------------------------------------------------------- at the top


def _header(bench: Bench) -> str:
    command = bench.command
    mixes = len({result.task.mix for result in bench.results})
    how = "simulated" if command.backend == "sim" else "run on this machine"
    tags = (
        _counted(mixes, "mix", "mixes"),
        f"{_counted(len(bench.boards), 'board', 'boards')}: {', '.join(bench.boards)}",
        f"{_counted(command.repeats, 'seed', 'seeds')} from {command.seed}",
        how,
    )
    void = sum(1 for one in bench.results if one.summary is not None and one.summary.host and one.summary.host.void)
    warnings = [f"{void} runs are void: the host was disturbed, or another run used its CPUs."] if void else []
    warnings += [*unpowered(bench.boards.values()), *(f"left out: {words}" for words in bench.left_out)]
    return (
        f"<header><h1>gearshift bench</h1><p>{escape(', '.join(command.policies))}: "
        f"{len(bench.results)} runs, paired by mix, board and seed.</p>"
        f'<p class="tags">{"".join(f"<span>{escape(tag)}</span>" for tag in tags)}</p></header>'
        + "".join(f'<p class="void">{escape(warning)}</p>' for warning in warnings)
    )


def _counted(n: int, one: str, more: str) -> str:
    return f"{n} {one if n == 1 else more}"


def _energy_figure(bench: Bench, baseline: str) -> str:
    """Return the drawing of all other policies against a baseline; empty if no energy is known."""
    results, group = bench.results, bench.groups[0]
    base = select(results, baseline, group=group)
    comparisons = {
        policy: compare(select(results, policy, group=group), base)
        for policy in bench.command.policies
        if policy != baseline
    }
    if all(one.units is None for one in comparisons.values()):
        return ""
    return page.plot(plot_energy(comparisons, baseline))


# ---------------------------------------------------------------- over utilisation, over the number of apps


def _utilisation_section(bench: Bench) -> str:
    results, command = bench.results, bench.command
    studied = select(results, command.studied, group="generated")
    curves = {name: utilisation_curve(studied, select(results, name, group="generated")) for name in command.baselines}
    curves = {name: curve for name, curve in curves.items() if curve.points}
    if not curves:
        return ""
    nothing = [
        f"against {name} at " + ", ".join(f"{low:.2f} to {high:.2f}" for low, high in curve.without_saving)
        for name, curve in curves.items()
        if curve.without_saving
    ]
    said = f"No saving is shown {'; '.join(nothing)}." if nothing else "A saving is shown wherever there is a line."
    return page.section(
        f"Savings of {command.studied} over utilisation",
        page.plot(plot_utilisation(curves)),
        f"<p>Units' energy of each generated mix. Hollow: one of both misses an slo, so that the energies "
        f"don't buy the same; red: more than {-100 * LESS_ON_TIME:g} points less on time. Lines: means where "
        f"both meet every slo, geometric, with 95 % intervals. {escape(said)}</p>",
    )


def _scale_section(bench: Bench) -> str:
    lines = scale_lines(bench.results, bench.command)
    if not lines:
        return ""
    rows = [
        (
            escape(policy),
            str(point.clones),
            share(point.on_time),
            UNKNOWN if point.ratio is None else f"{point.ratio:.2f}",
        )
        for policy, own in lines.items()
        for point in own
    ]
    heads = ("policy", "times the apps", "on time", f"units' energy over {bench.command.studied}'s with the apps once")
    return page.section(
        "More apps",
        page.plot(plot_scale(lines)),
        f"<details><summary>the figures</summary>{page.table(heads, rows)}</details>",
        "<p>Each app of a mix several times, each with its own arrivals; means over mixes, one seed.</p>",
    )


# ---------------------------------------------------------------- the rest


def _section(sheet: Sheet) -> str:
    return page.section(sheet.title, _table(sheet))


def _table(sheet: Sheet) -> str:
    rows = [[_name(row[0]), *map(_cell, row[1:])] for row in sheet.rows]
    table = page.table(sheet.heads, rows) if rows else ""
    return table + "".join(f"<p><small>{escape(note)}</small></p>" for note in sheet.notes)


def _name(text: str) -> str:
    """Return the name of a row, which may break: a whole sentence on one line would take the room of the figures."""
    return f'<span style="white-space: normal">{escape(text)}</span>'


def _cell(text: str) -> str:
    """Return a cell. Text in brackets after a figure becomes small lines below it, so that tables stay narrow."""
    figure = re.fullmatch(r"([−+×.\d]+(?: [%J])?) \((.*)\)", text)
    if figure is None:
        return escape(text)
    bounds = escape(figure[2]).replace("; ", "<br>").replace(f"{OVER_SETS} ", f"{OVER_SETS}<br>")
    # Names of mixes and boards are long, and the page would not break them.
    wraps = ' style="white-space: normal"' if " on " in figure[2] and "%" not in figure[2] else ""
    return f"{escape(figure[1])}<br><small{wraps}>{bounds}</small>"


def _mixes_section(sheets: Sequence[Sheet]) -> str:
    if not sheets:
        return ""
    parts = [f"<details><summary>{escape(sheet.title)}</summary>{_table(sheet)}</details>" for sheet in sheets]
    return page.section("Each mix", "<p>Means over seeds, with 95 % bootstrap intervals.</p>", *parts)


def _method_section(bench: Bench) -> str:
    items = [_power_item(board, bench.results) for board in bench.boards.values()]
    items += [
        "Simulated energy is modelled from those figures: it says which policy takes less on such a board, not what a "
        "meter on one would show.",
        "The same mix and seed has the same arrivals and draws the same quantiles of service times under every policy; "
        "runs are compared in such pairs.",
        f"Intervals are 95 % by a bootstrap of {BOOTSTRAP_SAMPLES} draws over mixes, then over seeds within a mix. "
        "They say how far other mixes of this kind may differ, not how right the power figures are.",
        "At the accuracy of a baseline: each app's floor is what the baseline delivered in that run, between any two "
        "changes of its targets.",
        "Tail / target: latency over target at the app's slo, the largest over apps, as MLPerf's early-stopping "
        "percentile (c = 0.99); unknown with too few requests, or too many lost.",
        "XRBench: 100 · mean over apps of (Σ rt · en / frames · (1 − share lost)); its accuracy term is left out.",
        "Mixes with objective accuracy have tables of their own and no part in the means of the others: less energy is "
        "not what they ask for.",
        "Boards whose power figures have the same source count as one board in each mean: of runs of one mix and seed "
        "on them the mean is taken first.",
        "Generated mixes are run with one seed each, without policies that need hindsight.",
    ]
    return page.section("How the figures are made", f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>")


def _power_item(board: Board, results: Sequence[RunResult]) -> str:
    """Return where a board's power figures come from, and what that means for its energies."""
    words = f"Power of {board.name}: {board.power_source}."
    if board.emulated:
        words += " Its clocks are emulated."
    sets, number = sets_of(board), power_sets(board, results)
    if sets is not None and number:
        words += (
            f" Energies are {sets.stated}, which policies believe. '{OVER_SETS.capitalize()}' is where they lie under "
            f"95 % of {number} {sets.what}: each run priced again under each set, with the same decisions and the same "
            "times. The lower bound is at the stated figures alone."
        )
    return words
