"""Predicted beside measured power as tables, a figure, rows and one JSON object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workloads.report.outcome import Figure, Outcome, Sheet
from workloads.report.table import UNKNOWN, VERDICT_SIGNS
from workloads.validation.power.errors import AIM, Errors, Group, RowError, groups_of
from workloads.validation.power.plot import plot_power

_SHOWN = 20
"""Rows of the table of the worst; `results.csv` has them all."""


def outcome(errors: Sequence[RowError]) -> Outcome:
    """Return the outcome that `gearshift validate --power` prints and writes.

    Args:
        errors: the errors of all rows, at least one.
    """
    groups = groups_of(errors)
    return Outcome(
        title="Predicted against measured power",
        lead=(
            f"{len(errors)} measured powers, each beside what the board's power figures say for the same clocks, busy "
            "cores and network. The error is predicted over measured, less 1. Fitted rows are those that the figures "
            "were made from; only held-out rows show how good they are."
        ),
        warnings=[],
        sheets=[_groups_sheet(groups), _sources_sheet(groups), _worst_sheet(errors), _rows_sheet(errors)],
        figures=[Figure(title="Predicted and measured power", caption=_caption(), svg=plot_power(errors))],
        rows=[_row(one) for one in errors],
        data={
            "power": {"schema_version": 1, "aim": AIM},
            "boards": [_group(one) for one in groups],
            "rows": [_row(one) for one in errors],
        },
    )


def _caption() -> str:
    return (
        f"Each point is a row; on the line predicted and measured power are the same, and the band reaches {_aim()} to "
        "both sides. Filled: held out. Hollow: the board's figures were made from it."
    )


# ---------------------------------------------------------------- sheets


def _groups_sheet(groups: Sequence[Group]) -> Sheet:
    return Sheet(
        title="Error of predicted power, by board",
        heads=("board", "rows are", "rows", "median error", "bias", "worst", f"median {_aim()} or less"),
        rows=[(one.board, one.role, *_errors(one.errors), _verdict(one)) for one in groups],
        notes=("Median error: without signs. Bias: the median with signs; above 0 too much is predicted.",),
    )


def _sources_sheet(groups: Sequence[Group]) -> Sheet:
    return Sheet(
        title="By source",
        heads=("board", "rows are", "source", "rows", "median error", "bias", "worst"),
        rows=[
            (group.board, group.role, source or UNKNOWN, *_errors(one))
            for group in groups
            for source, one in group.by_source.items()
        ],
    )


def _worst_sheet(errors: Sequence[RowError]) -> Sheet:
    """Return the rows that are furthest off, held-out ones if there are any."""
    judged = [one for one in errors if one.row.role == "held-out"] or errors
    worst = sorted(judged, key=lambda one: abs(one.error), reverse=True)[:_SHOWN]
    rows = f"{judged[0].row.role} rows"
    return Sheet(
        title=f"The {_SHOWN} {rows} that are furthest off" if len(judged) > _SHOWN else f"The {rows}, worst first",
        heads=_HEADS,
        rows=[_cells(one) for one in worst],
        notes=(f"results.csv has all {len(errors)} rows.",) if len(errors) > len(worst) else (),
    )


def _rows_sheet(errors: Sequence[RowError]) -> Sheet:
    return Sheet(
        title="Every row",
        heads=(*_HEADS, "network", "source", "note"),
        rows=[(*_cells(one), one.row.network or "", one.row.source, one.row.note) for one in errors],
        printed=False,
    )


_HEADS = ("row", "board", "rail", "MHz", "busy", "measured", "predicted", "error", "rows are")


def _cells(one: RowError) -> tuple[str, ...]:
    row = one.row
    return (
        row.where,
        row.board.name,
        row.rail,
        _by_unit(row.mhz),
        _by_unit(row.busy),
        _watts(row.power_w),
        _watts(one.predicted_w),
        _signed(one.error),
        row.role,
    )


# ---------------------------------------------------------------- words


def _errors(errors: Errors) -> tuple[str, str, str, str]:
    return str(errors.rows), f"{100 * errors.median:.1f} %", _signed(errors.bias), _signed(errors.worst.error)


def _verdict(group: Group) -> str:
    if group.role == "fitted":
        return "not judged"
    return f"{VERDICT_SIGNS['met' if group.met else 'missed']} {'met' if group.met else 'missed'}"


def _by_unit(figures: Mapping[str, float]) -> str:
    """Return the one figure, or each with its unit: `1000`, or `big 1000, little 400`."""
    if len(figures) == 1:
        return f"{next(iter(figures.values())):g}"
    return ", ".join(f"{unit} {figure:g}" for unit, figure in figures.items())


def _signed(error: float) -> str:
    text = f"{100 * error:+.1f}"
    return f"{'0.0' if text in ('+0.0', '-0.0') else text} %"


def _watts(power_w: float) -> str:
    return f"{power_w:.3g} W"


def _aim() -> str:
    return f"{100 * AIM:g} %"


# ---------------------------------------------------------------- rows and data


def _row(one: RowError) -> dict[str, Any]:
    row = one.row
    return {
        "row": row.where,
        "board": row.board.name,
        "rail": row.rail,
        "mhz": _by_unit(row.mhz),
        "busy": _by_unit(row.busy),
        "network": row.network,
        "measured_w": row.power_w,
        "predicted_w": round(one.predicted_w, 6),
        "error": round(one.error, 6),
        "role": row.role,
        "source": row.source,
        "note": row.note,
    }


def _group(group: Group) -> dict[str, Any]:
    return {
        "board": group.board,
        "role": group.role,
        **_figures(group.errors),
        "met": group.met if group.role == "held-out" else None,
        "by_source": {source: _figures(errors) for source, errors in group.by_source.items()},
    }


def _figures(errors: Errors) -> dict[str, Any]:
    return {
        "rows": errors.rows,
        "median_error": round(errors.median, 6),
        "bias": round(errors.bias, 6),
        "worst_error": round(errors.worst.error, 6),
        "worst_row": errors.worst.row.where,
    }
