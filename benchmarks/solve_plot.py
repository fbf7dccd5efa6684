"""The figure of `benchmarks.bench_solve`: time of a decision over the number of applications. It measures nothing."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from benchmarks.solve_tables import Row
from workloads.report.svg import INK, MUTED, STYLE, standalone, to_svg

_COLOURS = {"light": "#2f9e6e", "busy": "#0b7fc7", "too much": "#d55e00"}
"""As in `workloads.bench.plots`: people who see few colours can tell them apart."""
_MARKS = {"HiGHS": "x", "CP-SAT": "+"}
EPOCH_MS = 100.0
_WIDTH_IN, _HEIGHT_IN = 10.0, 3.6


def plot_times(rows: Sequence[Row], peers: Sequence[Row], limit_s: float) -> str:
    """Draw a panel for each board, both axes logarithmic: p50 (solid) and p99 (dotted) of `plan`, and the peers.

    Args:
        rows: what `benchmarks.solve_tables.rows_of` returns; those of objective energy without a cap are drawn.
        peers: samples of HiGHS and CP-SAT; one that ran out of time is an arrow upwards.
        limit_s: their time limit for each level, for the legend.

    Returns:
        An SVG file.
    """
    plain = [row for row in rows if row["objective"] == "energy" and row["cap"] is None]
    boards = list(dict.fromkeys(row["board"] for row in plain))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(_WIDTH_IN, _HEIGHT_IN), layout="constrained")
        panels = figure.subplots(1, len(boards), squeeze=False, sharey=True)[0]
        for axes, board in zip(panels, boards, strict=True):
            _draw(axes, [row for row in plain if row["board"] == board], [p for p in peers if p["board"] == board])
            axes.set_title(board)
        panels[0].set_ylabel("CPU time, ms")
        handles = {label: one for axes in panels for one, label in zip(*axes.get_legend_handles_labels(), strict=True)}
        titles = {name: f"{name}, solve alone (↑: not within {limit_s:g} s a level)" for name in _MARKS}
        labels = [titles.get(label, label) for label in handles]
        figure.legend(list(handles.values()), labels, loc="outside lower center", ncols=len(handles), frameon=False)
        return standalone(to_svg(figure, salt="decision times"))


def _draw(axes: Axes, rows: Sequence[Row], peers: Sequence[Row]) -> None:
    for load, colour in _COLOURS.items():
        own = sorted((row for row in rows if row["load"] == load), key=lambda row: row["apps"])
        apps = [row["apps"] for row in own]
        if own:
            axes.plot(apps, [row["plan_p50"] for row in own], "o-", color=colour, markersize=3.5, label=load)
            axes.plot(apps, [row["plan_p99"] for row in own], ":", color=colour, linewidth=1.2)
        for peer, mark in _MARKS.items():
            for one in (one for one in peers if (one["peer"], one["load"]) == (peer, load)):
                at = one["apps"], one["ms"]["solve"][0]
                axes.plot(*at, mark, color=colour, markersize=6)
                if not one["ended"]:
                    axes.annotate("↑", at, (0, 3), textcoords="offset points", ha="center", color=colour)
    for peer, mark in _MARKS.items():
        if any(one["peer"] == peer for one in peers):
            axes.plot([], [], mark, color=MUTED, markersize=6, linestyle="none", label=peer)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    counts = sorted({row["apps"] for row in rows})
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda ms, _: f"{ms:g}"))
    axes.grid(axis="y")
    axes.set_xlabel("applications", loc="right")
    axes.axhline(EPOCH_MS, color=INK, linewidth=0.7)
    axes.annotate("an epoch", (counts[-1], EPOCH_MS), (0, 2), textcoords="offset points", ha="right", color=MUTED)
