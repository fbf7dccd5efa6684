"""What a soak has found: a table of every process with a verdict, and a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from soak.growth import MOST_PERCENT, growth
from soak.sampling import Figures, Sample

_FEWEST = 10
"""A process of which there are fewer samples since the warm-up than this says nothing."""


def table(samples: Sequence[Sample], warm_up_s: float, summary: Mapping[str, Any] | None) -> tuple[str, bool]:
    """Return the table of a soak as Markdown, and True if it has passed.

    Args:
        samples: what was seen, in order of time.
        warm_up_s: board time from which on samples count.
        summary: summary of the run; None if there is none.
    """
    counted = [sample for sample in samples if sample.at_s >= warm_up_s]
    if len(counted) < _FEWEST:
        return f"only {len(counted)} samples since the warm-up of {warm_up_s:g} s", False
    rows = [
        f"{counted[0].at_s:.0f} s to {counted[-1].at_s:.0f} s, {len(counted)} samples",
        "",
        "| process | memory, MB | growth | MB/h | descriptors | threads | CPU | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    passed = True
    for name in counted[-1].processes:
        row, good = _row(name, counted)
        rows.append(row)
        passed = passed and good
    rows += ["", "| written | kB at first | kB at last | kB/s |", "|---|---|---|---|"]
    first, last = counted[0], counted[-1]
    for name, at_last_kb in last.sizes_kb.items():
        rate = (at_last_kb - first.sizes_kb.get(name, 0.0)) / (last.at_s - first.at_s)
        rows.append(f"| {name} | {first.sizes_kb.get(name, 0.0):,.0f} | {at_last_kb:,.0f} | {rate:+.3f} |")
    if summary is None:
        return "\n".join([*rows, "", "The run left no summary."]), False
    counts = [
        f"{name} {app['submitted']:,} requests: {app['completed']:,} completed, {app['dropped']:,} dropped, "
        f"{app['failed']:,} failed, {app['in_flight']:,} in flight, {100 * app['on_time']:.1f} % on time, "
        f"{app['switches']:,} switches"
        for name, app in summary["apps"].items()
    ]
    return "\n".join([*rows, "", *counts]), passed


def _row(name: str, counted: Sequence[Sample]) -> tuple[str, bool]:
    """Return a process's row, and True if it has passed; one that another took the place of has not."""
    pid = counted[-1].processes[name].pid
    seen = [(sample.at_s, found) for sample in counted if (found := sample.processes.get(name)) and found.pid == pid]
    if len(seen) < _FEWEST:
        return f"| {name} | {_text(seen[-1][1])} | | | | | | **too short-lived** |", False
    at_s, figures = [at for at, _ in seen], [found for _, found in seen]
    memory = growth(at_s, [one.memory_mb for one in figures])
    others = [growth(at_s, [getattr(one, field) for one in figures]) for field in ("descriptors", "threads")]
    cpu = (figures[-1].cpu_s - figures[0].cpu_s) / (at_s[-1] - at_s[0])
    passed = len(seen) > 0.9 * len(counted) and all(one.passed for one in (memory, *others))
    verdict = f"< {MOST_PERCENT:g} %" if passed else "**grows**" if len(seen) > 0.9 * len(counted) else "**replaced**"
    counts = " | ".join(f"{one.start:.0f} → {one.end:.0f}" for one in others)
    return (
        f"| {name} | {memory.start:.2f} → {memory.end:.2f} | {memory.percent:+.2f} % | {memory.per_hour:+.2f} "
        f"| {counts} | {100 * cpu:.1f} % | {verdict} |"
    ), passed


def _text(figures: Figures) -> str:
    return f"{figures.memory_mb:.2f}"


def draw(samples: Sequence[Sample], warm_up_s: float, path: Path) -> None:
    """Draw the memory of every process over time, as a share of what it was after the warm-up."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(10, 6), layout="constrained")
    for name in samples[-1].processes:
        seen = [(sample.at_s, sample.processes[name].memory_mb) for sample in samples if name in sample.processes]
        base = next((memory_mb for at_s, memory_mb in seen if at_s >= warm_up_s), seen[-1][1])
        axes.plot([at_s for at_s, _ in seen], [100 * mb / base - 100 for _, mb in seen], label=name, linewidth=1)
    axes.axhspan(-MOST_PERCENT, MOST_PERCENT, color="0.93")
    axes.axvline(warm_up_s, color="0.6", linewidth=1)
    axes.set(xlabel="board time in s", ylabel="growth of memory since the warm-up in %", ylim=(-5, 5))
    axes.legend(fontsize="small", ncols=2)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
