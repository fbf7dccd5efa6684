"""Who gave what in a run: the answers to apps that joined, and what plans foresaw each app to miss."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from workloads.report.page import table
from workloads.report.table import share
from workloads.results.admission_words import admission_words, per_cent
from workloads.results.concessions import Concession
from workloads.results.run_dir import StoredRun


def who_gave(run: StoredRun) -> str | None:
    """Return what was foreseen to be missed, as HTML; None where the log does not say."""
    if run.given is None:
        return None
    answers = [[f"{one.now_s:.2f}", escape(admission_words(one))] for one in run.admissions]
    parts = [table(["at, s", "what was foreseen"], answers)] if answers else []
    gave = [one for one in run.given if one.gave]
    if gave:
        parts.append("<h3>By app</h3>" + _by_app(run, gave) + _EXPLAINED)
    else:
        parts.append("<p>At every moment the plan in force foresaw every target and floor to be met.</p>")
    return "".join(parts)


_EXPLAINED = (
    "<p>Shares of time are of the time for which an app was there. What was foreseen is for the share of requests that "
    "plans are made for; where nothing fits, plans miss as little as they can, by weight.</p>"
)


def _by_app(run: StoredRun, gave: Sequence[Concession]) -> str:
    columns = {
        "app": [escape(one.app) for one in gave],
        "weight": [f"{one.weight:g}" for one in gave],
        "foreseen late": [_side(one.late.for_s, one.late.mean, one.late.most, one) for one in gave],
        "foreseen below its floor": [_side(one.short.for_s, one.short.mean, one.short.most, one) for one in gave],
        "on overloaded cores": [_of_time(one.crowded_s, one) for one in gave],
        "without a unit": [_of_time(one.waited_s, one) for one in gave],
        "in fact on time": [share(run.summary.apps[one.app].on_time) for one in gave],
        "got nothing": [escape("; ".join(one.starved)) for one in gave],
    }
    shown = {head: cells for head, cells in columns.items() if any(cells)}
    return table(list(shown), list(zip(*shown.values(), strict=True)))


def _side(for_s: float, mean: float, most: float, one: Concession) -> str:
    if not for_s:
        return ""
    at_most = f", at most {per_cent(most)}" if most > 1.005 * mean else ""
    return f"{_of_time(for_s, one)} <small>by {per_cent(mean)}{at_most}</small>"


def _of_time(for_s: float, one: Concession) -> str:
    return f"{100 * for_s / one.present_s:.0f} % of the time" if for_s else ""
