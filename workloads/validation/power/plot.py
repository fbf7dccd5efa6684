"""The figure of a power table: predicted against measured power, a panel for each board. It decides nothing."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from workloads.report.panels import make_panels
from workloads.report.svg import GRID, INK, STYLE, to_svg
from workloads.validation.power.errors import AIM, RowError

_HELD_OUT, _FITTED = "#d55e00", "#0b7fc7"
"""People who see few colours can tell these apart, on white as well as on black; fitted points are hollow too."""

_PANEL_IN = 3.6
"""Height of a panel."""

_WIDE = 20.0
"""Ratio of the largest to the smallest power from which on fewer ticks fit."""

_CLOSE_TICKS, _TICKS, _MOST_TICKS = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0), (1.0, 2.0, 5.0), 20


def plot_power(errors: Sequence[RowError]) -> str:
    """Draw predicted against measured power, one panel for each board.

    Returns:
        An SVG element.
    """
    by_board: dict[str, list[RowError]] = {}
    for one in errors:
        by_board.setdefault(one.row.board.name.partition(":")[0], []).append(one)
    legend = [
        Line2D([], [], color=_HELD_OUT, linestyle="", marker="o", markersize=4, label="held out"),
        Line2D([], [], color=_FITTED, linestyle="", marker="o", markersize=4, fillstyle="none", label="fitted"),
    ]
    with mpl.rc_context(STYLE):
        panels = make_panels(len(by_board), _PANEL_IN, legend)
        for (board, own), axes in zip(by_board.items(), panels.axes, strict=True):
            _draw_board(axes, board, own)
        return to_svg(panels.figure, salt="power")


def _draw_board(axes: Axes, board: str, errors: Sequence[RowError]) -> None:
    powers_w = [watts for one in errors for watts in (one.row.power_w, one.predicted_w) if watts > 0]
    low, high = min(powers_w) / 1.3, max(powers_w) * 1.3
    axes.fill_between(
        (low, high), [(1 - AIM) * x for x in (low, high)], [(1 + AIM) * x for x in (low, high)], color=GRID
    )
    axes.plot((low, high), (low, high), color=INK, linewidth=0.8)
    for role, colour, fill in (("fitted", _FITTED, "none"), ("held-out", _HELD_OUT, _HELD_OUT)):
        own = [one for one in errors if one.row.role == role]
        axes.plot(
            [one.row.power_w for one in own],
            [one.predicted_w for one in own],
            "o",
            color=colour,
            markerfacecolor=fill,
            markersize=3.2,
            markeredgewidth=0.7,
            alpha=0.8,
        )
    for scale, axis in ((axes.set_xscale, axes.xaxis), (axes.set_yscale, axes.yaxis)):
        scale("log")
        axis.set_major_locator(LogLocator(subs=_CLOSE_TICKS if high < _WIDE * low else _TICKS, numticks=_MOST_TICKS))
        axis.set_major_formatter(FuncFormatter(lambda watts, _: f"{watts:g}"))
        axis.set_minor_locator(NullLocator())
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.grid()
    axes.set_title(f"{board}: predicted, W")
    axes.set_xlabel("measured, W", loc="right")
