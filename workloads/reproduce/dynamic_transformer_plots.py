"""The drawing of latency against BLEU: the published ranges, and ours. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from workloads.report.svg import MUTED, STYLE, to_svg
from workloads.reproduce.dynamic_transformer import DYNAMIC_HAT, HOST, OURS, Point, Range, ranges

# People who see few colours can tell these apart, on white as well as on black; each place has a marker of its own too.
_OURS: Any = {"color": "#0b7fc7", "marker": "D", "linewidth": 1.8, "markersize": 5.0, "zorder": 4}
_LOOKS = (
    {"color": "#d55e00", "marker": "o"},
    {"color": "#2f9e6e", "marker": "s"},
    {"color": "#a06cc8", "marker": "^"},
    {"color": "#b8860b", "marker": "v"},
)
_TASK_LINES = ("-", "--", "-.", ":")


def plot_ranges(points: Sequence[Point]) -> str:
    """Draw each network's latency and BLEU, and beside it the same over those of the slowest of its range.

    A range without BLEU, as Dynamic-HAT's, is a line at the bottom of the second drawing.

    Returns:
        An SVG element.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10.0, 4.6))
        left = figure.add_axes((0.065, 0.27, 0.42, 0.65))
        right = figure.add_axes((0.565, 0.27, 0.42, 0.65))
        drawn = [one for one in ranges(points) if one.slowest.bleu]
        devices = list(dict.fromkeys(one.fastest.device for one in drawn if one.fastest.system != OURS))
        tasks = list(dict.fromkeys(one.fastest.task for one in drawn if one.fastest.system != OURS))
        for one in drawn:
            first, slowest = one.fastest, one.slowest
            look = _OURS if first.system == OURS else _look(devices.index(first.device), tasks.index(first.task))
            known = [
                (point, point.bleu)
                for point in sorted(points, key=lambda point: point.latency_ms)
                if (point.system, point.task, point.device) == (first.system, first.task, first.device)
                and point.bleu is not None
            ]
            label = f"{first.system}, {first.task}, {first.device}" if first.system != OURS else f"{OURS}, {HOST}"
            left.plot([point.latency_ms for point, _ in known], [bleu for _, bleu in known], label=label, **look)
            over = sorted((_over(point, slowest), 100 * bleu / (slowest.bleu or 1.0)) for point, bleu in known)
            right.plot([latency for latency, _ in over], [kept for _, kept in over], **look)
        for place, one in enumerate(one for one in ranges(points) if one.fastest.system == DYNAMIC_HAT):
            _draw_span(right, one, height=3.0 + 8.0 * place)
        _dress(left, "Latency and BLEU, each on its own corpus", "latency of a sentence, ms (log)", "corpus BLEU")
        _dress(right, "The same, over the slowest network's", "latency over the slowest's (log)", "BLEU kept, %")
        right.set_ylim(0, 105)
        figure.legend(loc="lower left", ncols=3, frameon=False, fontsize=7.5, bbox_to_anchor=(0.04, 0.0))
        return to_svg(figure, salt="ranges")


def _look(device: int, task: int) -> Any:
    """Return the look of a published range: a colour and marker for each device, a line for each task."""
    line = _TASK_LINES[task % len(_TASK_LINES)]
    return {**_LOOKS[device % len(_LOOKS)], "linestyle": line, "linewidth": 1.1, "markersize": 3.6}


def _draw_span(axes: Axes, one: Range, height: float) -> None:
    """Draw a range of which no BLEU is known."""
    first = one.fastest
    end = _over(first, one.slowest)
    axes.plot([end, 1.0], [height, height], color=MUTED, marker="|", linewidth=1.6)
    axes.annotate(
        f"{first.system}, {first.device}",
        (end, height),
        (3, 2),
        textcoords="offset points",
        fontsize=7.5,
        color=MUTED,
    )


def _over(point: Point, slowest: Point) -> float:
    """Return a latency over the slowest's, for one length of sentence where both are known."""
    if point.same_length_ms is None or slowest.same_length_ms is None:
        return point.latency_ms / slowest.latency_ms
    return point.same_length_ms / slowest.same_length_ms


def _dress(axes: Axes, title: str, latency: str, quality: str) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.margins(x=0.08, y=0.08)
    axes.set_ylim(bottom=0)
    axes.grid(axis="both")
    axes.set_title(title)
    axes.set_xlabel(latency, loc="right")
    axes.set_ylabel(quality)
