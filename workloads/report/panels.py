"""A figure of panels side by side, two to a row, with one legend above them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_WIDTH_IN, _TITLE_IN, _BELOW_IN, _LEGEND_IN = 10.0, 0.4, 0.5, 0.3
_LEFT_IN, _RIGHT_IN, _GAP_IN = 0.7, 0.25, 0.7
_COLUMNS = 2


@dataclass(frozen=True, slots=True)
class Panels:
    """A figure and its panels.

    Attributes:
        figure: the figure.
        axes: the axes of each panel, row by row.
    """

    figure: Figure
    axes: tuple[Axes, ...]


def make_panels(count: int, height_in: float, legend: Sequence[Artist]) -> Panels:
    """Make a figure with empty panels.

    Args:
        count: how many.
        height_in: height of the axes of one panel, in inches.
        legend: an artist with a label for each entry of the legend.
    """
    row_in = _TITLE_IN + height_in + _BELOW_IN
    whole_in = _LEGEND_IN + -(-count // _COLUMNS) * row_in
    width_in = (_WIDTH_IN - _LEFT_IN - _RIGHT_IN - (_COLUMNS - 1) * _GAP_IN) / _COLUMNS
    figure = Figure(figsize=(_WIDTH_IN, whole_in))
    axes = []
    for place in range(count):
        row, column = divmod(place, _COLUMNS)
        left_in = _LEFT_IN + column * (width_in + _GAP_IN)
        bottom_in = whole_in - _LEGEND_IN - row * row_in - _TITLE_IN - height_in
        box = (left_in / _WIDTH_IN, bottom_in / whole_in, width_in / _WIDTH_IN, height_in / whole_in)
        axes.append(figure.add_axes(box))
    figure.legend(handles=list(legend), loc="upper left", ncols=len(legend), frameon=False, bbox_to_anchor=(0.04, 1.0))
    return Panels(figure, tuple(axes))
