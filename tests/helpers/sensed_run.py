"""The made-up run of `synthetic_run` on a board whose rails were read."""

from __future__ import annotations

from dataclasses import replace

from helpers.synthetic_run import Made, make_run
from workloads.results.summary import RailSummary, energy_summary

WHY = "showed nothing for 0.5 s, 71 times its period"


def sensed_run(*, units_j: float | None = 41.2, modelled_j: float | None = 38.0, why_board: str | None = None) -> Made:
    """Return a run whose units were measured together, and the board unless `why_board` says why not.

    Args:
        units_j: what the rail of the units measured; None where it failed.
        modelled_j: what the power table says of the units; None where there is none.
        why_board: reason why the board's rail is not known.
    """
    made = make_run()
    rails = {
        "VDD_CPU_GPU_CV": RailSummary(
            joules=units_j,
            covers=("big", "little"),
            samples=5714,
            longest_gap_s=0.0101 if units_j is not None else 0.5,
            why_unknown=None if units_j is not None else WHY,
        ),
        "VDD_IN": RailSummary(
            joules=None if why_board else 60.0,
            covers="board",
            samples=0 if why_board else 5714,
            longest_gap_s=None if why_board else 0.0101,
            why_unknown=why_board,
        ),
    }
    board = (None, "unknown") if why_board else (60.0, "measured")
    known = units_j if units_j is not None else modelled_j
    source = "measured" if units_j is not None else "unknown" if modelled_j is None else "modelled"
    made.summary = replace(
        made.summary,
        energy=energy_summary(known, board[0], units_source=source, board_source=board[1], rails=rails),
    )
    part_of = "unknown" if modelled_j is None else "modelled" if units_j is None else "attributed"
    part = {"joules": None if modelled_j is None else 20.6, "source": part_of}
    fields = {
        "modelled_units_j": modelled_j,
        "modelled_board_j": None,
        "units": {"big": part, "little": part},
    }
    made.entries.append(("energy", 40.3, fields))
    return made
