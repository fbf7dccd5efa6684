"""The figure of the bench on measured tables: by table, each policy's energy above the optimum. It decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import matplotlib as mpl
from matplotlib.figure import Figure

from workloads.report.svg import GRID, STYLE, to_svg

_COLUMNS, _WIDTH_IN, _ROW_IN, _TITLE_IN, _BELOW_IN = 2, 10.0, 0.22, 0.45, 0.45
_JOINT, _OTHER = "#d55e00", "#0b7fc7"
_LEAST, _MOST = 1e-3, 10.0
"""Ends of the axis: energy above the optimum from 0.1 % to 1000 %, beyond which points stand at its ends."""


class Scored(Protocol):
    """What the figure shows of a score, see `benchmarks.bench_tables.Score`."""

    @property
    def table(self) -> str:
        """Name of the table."""

    @property
    def policy(self) -> str:
        """Name of the policy."""

    @property
    def missed(self) -> float:
        """Share of requests missed."""

    @property
    def regret(self) -> float | None:
        """Energy above the optimum; None if no request was met."""


def plot_regrets(scores: Sequence[Scored], aim: float) -> str:
    """Draw a panel for each table with a row for each policy; hollow where more than 1 % of the requests were missed.

    Args:
        scores: those of all tables.
        aim: energy above the optimum that is aimed at.

    Returns:
        An SVG element.
    """
    names = list(dict.fromkeys(one.table for one in scores))
    most = max(sum(one.table == name for one in scores) for name in names)
    panel_in = _TITLE_IN + most * _ROW_IN + _BELOW_IN
    rows = -(-len(names) // _COLUMNS)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(_WIDTH_IN, rows * panel_in), layout="constrained")
        panels = figure.subplots(rows, _COLUMNS, squeeze=False).flatten()
        for panel in panels[len(names) :]:
            panel.set_axis_off()
        for axes, name in zip(panels, names, strict=False):
            own = [one for one in scores if one.table == name]
            for place, one in enumerate(own):
                if one.regret is not None:
                    axes.plot(
                        min(max(one.regret, _LEAST), _MOST),
                        place,
                        marker="o",
                        markersize=5,
                        color=_JOINT if one.policy.startswith("joint") else _OTHER,
                        fillstyle="none" if one.missed > 0.01 else "full",
                    )
            axes.axvline(aim, color=GRID, linewidth=1)
            axes.set_xscale("log")
            axes.set_xlim(_LEAST / 1.3, _MOST * 1.3)
            axes.set_xticks([0.001, 0.01, 0.1, 1, 10], ["≤ 0.1 %", "1 %", "10 %", "100 %", "≥ 10x"])
            axes.set_yticks(range(len(own)), [f"{one.policy} ({100 * one.missed:.0f} % missed)" for one in own])
            axes.set_ylim(len(own) - 0.5, -0.5)
            axes.set_title(name, loc="left")
        return to_svg(figure, salt="tables")
