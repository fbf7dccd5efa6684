"""Energies of a run, from what the board agent counted: for its summary, and for its log."""

from __future__ import annotations

from typing import Any

from actors.agent.sensors import RailTotals
from actors.agent.totals import BoardTotals
from workloads.results.summary import EnergySummary, RailSummary, energy_summary


def energy_of(totals: BoardTotals) -> EnergySummary:
    """Return the energies of a run for its summary."""
    return energy_summary(
        totals.units_j,
        totals.board_j,
        units_source=totals.units_source,
        board_source=totals.board_source,
        rails={rail.name: _rail_summary(rail) for rail in totals.rails},
    )


def _rail_summary(rail: RailTotals) -> RailSummary:
    return RailSummary(
        joules=rail.joules,
        covers=rail.covers,
        samples=rail.samples,
        longest_gap_s=rail.longest_gap_s,
        why_unknown=rail.why_unknown,
    )


def energy_entry(now_s: float, totals: BoardTotals) -> dict[str, Any]:
    """Return the log's entry on a run whose rails were read: what the summary has no place for."""
    return {
        "kind": "energy",
        "now_s": now_s,
        "modelled_units_j": totals.modelled_units_j,
        "modelled_board_j": totals.modelled_board_j,
        "units": {unit.name: {"joules": unit.energy_j, "source": unit.energy_source} for unit in totals.units},
    }
