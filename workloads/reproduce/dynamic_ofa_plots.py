"""The drawing of latency against top-1: every system at each place, in axes of one scale. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from workloads.report.svg import INK, MUTED, STYLE, to_svg
from workloads.reproduce.dynamic_ofa import OURS, RIVAL, Headline, Point


@dataclass(frozen=True, kw_only=True, slots=True)
class _Look:
    """The look of a system in the drawing; readers who see no colours can tell it by its marker alone."""

    colour: str
    marker: str
    line: Literal["-", "--", ""] = "-"
    size: float = 4.2


# People who see few colours can tell these apart, on white as well as on black, as in `workloads.report.plots`. Each
# family has one colour, a full line and round marker for its MobileNet V1, a broken line and square one for its V2.
_LOOKS = {
    OURS: _Look(colour="#0b7fc7", marker="D", size=5.0),
    RIVAL: _Look(colour="#d55e00", marker="X", size=6.0),
    "AutoSlim-MBv1": _Look(colour="#d55e00", marker="o"),
    "AutoSlim-MBv2": _Look(colour="#d55e00", marker="s", line="--"),
    "Slimmable-MBv1": _Look(colour="#2f9e6e", marker="o"),
    "Slimmable-MBv2": _Look(colour="#2f9e6e", marker="s", line="--"),
    "US-MBv1": _Look(colour="#a06cc8", marker="o"),
    "US-MBv2": _Look(colour="#a06cc8", marker="s", line="--"),
    "MutualNet-MBv1": _Look(colour="#b8860b", marker="o"),
    "MutualNet-MBv2": _Look(colour="#b8860b", marker="s", line="--"),
}
_STATIC = _Look(colour=MUTED, marker="*", line="", size=8.0)
_STATIC_MARKERS = ("*", "P", "v")

_WIDTH_IN, _PANEL_IN, _LEFT_IN, _RIGHT_IN, _GAP_IN = 10.0, 3.0, 0.65, 0.25, 0.35
_TITLE_IN, _BELOW_IN, _LEGEND_LINE_IN = 0.35, 0.55, 0.2
_COLUMNS, _LEGEND_COLUMNS = 2, 5
_ROOM = 1.25
"""Factor between the outermost point and the edge of a panel."""


def plot_comparison(panels: Mapping[str, Sequence[Point]], headlines: Sequence[Headline]) -> str:
    """Draw panels side by side, two in a row.

    All have one axis of top-1, and axes of latency that span the same factor, so that slopes can be compared.

    Args:
        panels: the points of each panel, by title.
        headlines: figures to draw in the panel of their place: a ratio as an arrow at equal top-1, a gain as one at
            equal latency.

    Returns:
        An SVG element.
    """
    rows = -(-len(panels) // _COLUMNS)
    looks = _looks(panels)
    legend_in = _LEGEND_LINE_IN * (1 + -(-len(looks) // _LEGEND_COLUMNS))
    height_in = legend_in + rows * (_TITLE_IN + _PANEL_IN + _BELOW_IN)
    width_in = (_WIDTH_IN - _LEFT_IN - _RIGHT_IN - _GAP_IN) / _COLUMNS
    factor = max(_span(points) for points in panels.values()) * _ROOM**2
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(_WIDTH_IN, height_in))
        first: Axes | None = None
        for place, (title, points) in enumerate(panels.items()):
            row, column = divmod(place, _COLUMNS)
            left_in = _LEFT_IN + column * (width_in + _GAP_IN)
            bottom_in = height_in - legend_in - (row + 1) * (_TITLE_IN + _PANEL_IN) - row * _BELOW_IN
            box = (left_in / _WIDTH_IN, bottom_in / height_in, width_in / _WIDTH_IN, _PANEL_IN / height_in)
            axes = figure.add_axes(box, sharey=first)
            first = first or axes
            _draw_panel(axes, title, points, looks, factor)
            for headline in headlines:
                if headline.theirs.place == points[0].place:
                    _draw_headline(axes, headline)
            axes.tick_params(labelleft=column == 0)
            if column == 0:
                axes.set_ylabel("ImageNet top-1, %")
        _draw_legend(figure, looks)
        return to_svg(figure, salt="comparison")


def _looks(panels: Mapping[str, Sequence[Point]]) -> dict[str, _Look]:
    """Return the look of each system of known top-1; systems without one of their own are static networks."""
    drawn = (point for points in panels.values() for point in points if point.top1 is not None)
    systems = list(dict.fromkeys(point.system for point in drawn))
    static = [system for system in systems if system not in _LOOKS]
    looks = {system: look for system, look in _LOOKS.items() if system in systems}
    for place, system in enumerate(static):
        marker = _STATIC_MARKERS[place % len(_STATIC_MARKERS)]
        looks[system] = _Look(colour=_STATIC.colour, marker=marker, line=_STATIC.line, size=_STATIC.size)
    return looks


def _span(points: Sequence[Point]) -> float:
    return max(point.latency_ms for point in points) / min(point.latency_ms for point in points)


def _draw_panel(axes: Axes, title: str, points: Sequence[Point], looks: Mapping[str, _Look], factor: float) -> None:
    for system, look in looks.items():
        own = [(point, 100 * point.top1) for point in points if point.system == system and point.top1 is not None]
        own.sort(key=lambda drawn: drawn[0].latency_ms)
        axes.plot(
            [point.latency_ms for point, _ in own],
            [percent for _, percent in own],
            linestyle=look.line,
            linewidth=1.8 if system == OURS else 1.1,
            marker=look.marker,
            markersize=look.size,
            markeredgewidth=0,
            color=look.colour,
            zorder=4 if system == OURS else 3,
        )
        for point, percent in own:
            if point.p10_ms is not None and point.p90_ms is not None:
                axes.plot((point.p10_ms, point.p90_ms), (percent, percent), color=look.colour, linewidth=0.8, zorder=2)
    middle_ms = (max(point.latency_ms for point in points) * min(point.latency_ms for point in points)) ** 0.5
    axes.set_xscale("log")
    axes.set_xlim(middle_ms / factor**0.5, middle_ms * factor**0.5)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda ms, _: f"{ms:g}"))
    axes.margins(y=0.08)
    axes.grid(axis="both")
    axes.set_title(title)
    axes.set_xlabel("latency of one inference, ms (log)", loc="right")


def _draw_headline(axes: Axes, headline: Headline) -> None:
    theirs = headline.theirs
    if headline.value is None or headline.ours_ms is None or headline.ours_top1 is None or theirs.top1 is None:
        return
    arrow = {"arrowstyle": "<->", "color": INK, "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0}
    if headline.quantity == "latency ratio":
        ends = ((headline.ours_ms, 100 * theirs.top1), (theirs.latency_ms, 100 * theirs.top1))
        words, at, offset, align = f"{headline.value:.2f}×", ends[1], (7, -3), "left"
    else:
        # A gain stands at the rival's latency, also that of two points with slightly different latencies.
        ends = ((theirs.latency_ms, 100 * headline.ours_top1), (theirs.latency_ms, 100 * theirs.top1))
        words, at, offset, align = f"{100 * headline.value:+.2f}", ends[0], (3, 6), "right"
    axes.annotate("", ends[0], ends[1], arrowprops=arrow, zorder=5)
    axes.annotate(words, at, offset, textcoords="offset points", ha=align, fontsize=8.5, color=INK, zorder=6)


def _draw_legend(figure: Figure, looks: Mapping[str, _Look]) -> None:
    handles = [
        Line2D(
            [],
            [],
            color=look.colour,
            linestyle=look.line,
            marker=look.marker,
            markersize=look.size,
            markeredgewidth=0,
            label=system,
        )
        for system, look in looks.items()
    ]
    figure.legend(handles=handles, loc="upper left", ncols=_LEGEND_COLUMNS, frameon=False, bbox_to_anchor=(0.05, 1.0))
