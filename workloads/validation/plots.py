"""The figure of a validation: the share of an app's requests within each latency, on the board and simulated.

This module draws; it decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from actors.requests.records import Status
from workloads.report.panels import make_panels
from workloads.report.svg import INK, MUTED, STYLE, to_svg
from workloads.results.requests import first_ends, latencies_ms
from workloads.results.run_dir import StoredRun
from workloads.validation.validate import AIM, Validation

_REAL, _SIMULATED = "#0b7fc7", "#d55e00"
"""People who see few colours can tell these apart, on white as well as on black; the simulated line is broken too."""

_PANEL_IN = 2.3
"""Height of a panel."""


def plot_validation(validation: Validation) -> str:
    """Draw one panel for each app, over the pairs judged.

    Returns:
        An SVG element.
    """
    legend = [
        Line2D([], [], color=_REAL, linestyle="-", label="on the board"),
        Line2D([], [], color=_SIMULATED, linestyle="--", label="simulated"),
    ]
    with mpl.rc_context(STYLE):
        panels = make_panels(len(validation.real), _PANEL_IN, legend)
        for app, axes in zip(validation.real, panels.axes, strict=True):
            _draw_app(axes, validation, app)
        return to_svg(panels.figure, salt="validation")


def _draw_app(axes: Axes, validation: Validation, app: str) -> None:
    real_ms = _latencies_ms([pair.real for pair in validation.judged], app)
    simulated_ms = _latencies_ms([pair.simulated for pair in validation.judged], app)
    _draw_shares(axes, real_ms, _REAL, "-")
    _draw_shares(axes, simulated_ms, _SIMULATED, "--")
    for share in (50, 95):
        axes.axhline(share, color=MUTED, linewidth=0.6, zorder=1)
        if real_ms.size:
            # The simulated line is to pass here: the board's percentile, and the aim on both sides of it.
            at_ms = float(np.percentile(real_ms, share))
            axes.plot(((1 - AIM) * at_ms, (1 + AIM) * at_ms), (share, share), color=INK, linewidth=3, alpha=0.35)
    ends_ms = [float(np.percentile(one, 99.5)) for one in (real_ms, simulated_ms) if one.size]
    axes.set_xlim(0, 1.1 * max(ends_ms, default=1.0))
    axes.set_ylim(0, 102)
    axes.set_yticks([0, 50, 95])
    axes.grid(axis="x")
    axes.set_title(f"{app}: requests within a latency, %")
    axes.set_xlabel("latency, ms (board time)", loc="right")


def _draw_shares(axes: Axes, values_ms: NDArray[np.float64], colour: str, style: Literal["-", "--"]) -> None:
    percent = 100 * np.arange(1, values_ms.size + 1) / max(1, values_ms.size)
    axes.step(values_ms, percent, where="post", color=colour, linestyle=style, linewidth=1.4)


def _latencies_ms(runs: Sequence[StoredRun], app: str) -> NDArray[np.float64]:
    ended = [first_ends(run.records[app]) for run in runs]
    return np.sort(np.concatenate([latencies_ms(one[one["status"] == Status.COMPLETED]) for one in ended]))
