"""A validation as tables, a figure, rows and one JSON object; each says what is modelled, emulated and measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from scheduler.views import Gear
from workloads.report.outcome import Figure, Outcome, Sheet
from workloads.report.table import UNKNOWN, VERDICT_SIGNS, fraction, host_words, joules, milliseconds, share
from workloads.results.run_dir import StoredRun
from workloads.validation.plots import plot_validation
from workloads.validation.validate import AIM, METRICS, Metric, MetricComparison, Pair, Validation, app_figures, compare

_NAMES: dict[Metric, str] = {
    "p50_ms": "p50, ms",
    "p95_ms": "p95, ms",
    "on_time": "on time",
    "gears": "gears",
    "accuracy": "accuracy",
}


def outcome(validation: Validation) -> Outcome:
    """Return the outcome that `gearshift validate` prints and writes."""
    first = validation.pairs[0].real
    summary = first.summary
    where = f"{summary.mix} on {summary.board} under {summary.policy}"
    return Outcome(
        title=f"The simulator against the board: {where}",
        lead=_lead(validation),
        warnings=_warnings(validation),
        sheets=[
            _figures_sheet(validation, where),
            _unseen_sheet(validation),
            _gears_sheet(validation),
            _energy_sheet(validation),
            _runs_sheet(validation),
        ],
        figures=[Figure(title="Latencies", caption=_caption(), svg=plot_validation(validation))],
        rows=[_row(pair, one) for pair in validation.pairs for one in _of_pair(pair)],
        data=_data(validation),
    )


def _lead(validation: Validation) -> str:
    first = validation.pairs[0].real
    how = "emulated clocks" if first.header.emulated else "its own clocks"
    scale = first.summary.time_scale
    slowly = f", {scale:g} times slower than the wall" if scale != 1 else ""
    return (
        f"{_times(len(validation.pairs), 'run')} on the board ({how}{slowly}), each beside a simulation with the same "
        "profile, arrivals, seed and policy. Profiles are measured alone, at the top clock."
    )


def _caption() -> str:
    return (
        f"Share of the completed requests within a latency. The bars at 50 and 95 % reach {100 * AIM:g} % to both "
        "sides of the board's own percentile: there the simulated line is to pass."
    )


def _warnings(validation: Validation) -> list[str]:
    void = [pair for pair in validation.pairs if not pair.undisturbed]
    if not void:
        return []
    if not validation.undisturbed:
        return ["The host disturbed every run on the board, so no difference is judged; repeat it on a quiet machine."]
    return [f"The host disturbed {len(void)} of {len(validation.pairs)} runs on the board; they are left out."]


# ---------------------------------------------------------------- sheets


def _figures_sheet(validation: Validation, where: str) -> Sheet:
    seeds = ", ".join(str(pair.real.summary.seed) for pair in validation.judged)
    return Sheet(
        title=f"{where}: on the board and simulated, seed {seeds}",
        heads=("app", "figure", "board", "simulated", "difference", f"aim ±{100 * AIM:g} %"),
        rows=[
            (
                one.app if one.metric == METRICS[0] else "",
                _NAMES[one.metric],
                *_values(one),
                _difference(one),
                f"{VERDICT_SIGNS[one.verdict]} {one.verdict}",
            )
            for one in validation.comparisons
        ],
        notes=(
            "Differences are relative to the board's figure; of gears it is the share of requests that another gear "
            "(sub-network, unit, cores) served.",
            "On the board accuracy is that of labelled inputs where there are any; a simulation weighs the "
            "sub-networks' profiled accuracies, so their difference is that of a sample.",
        ),
    )


def _unseen_sheet(validation: Validation) -> Sheet:
    return Sheet(
        title="Requests under conditions that the profile has not seen, on the board",
        heads=("app", "completed", "beside another app's\non its unit", "below the unit's\ntop clock", "either"),
        rows=[
            (app, str(one.completed), *(_part(n, one.completed) for n in (one.co_located, one.below_top, one.either)))
            for app, one in validation.unseen.items()
        ],
        notes=("Clocks are those seen at the end of the epoch in which a request began.",),
    )


def _gears_sheet(validation: Validation) -> Sheet:
    rows = []
    for app, real in validation.real.items():
        simulated = validation.simulated[app].gears
        for gear in dict.fromkeys([*real.gears, *simulated]):
            rows.append((app, _gear(gear), share(real.gears.get(gear, 0.0)), share(simulated.get(gear, 0.0))))
    return Sheet(
        title="Completed requests by gear",
        heads=("app", "gear", "board", "simulated"),
        rows=rows,
        printed=False,
    )


def _energy_sheet(validation: Validation) -> Sheet:
    summaries = [(pair.real.summary, pair.simulated.summary) for pair in validation.judged]
    real_j = _sum([real.energy.units_j for real, _ in summaries])
    simulated_j = _sum([simulated.energy.units_j for _, simulated in summaries])
    source = " or ".join(sorted({real.energy.units_source for real, _ in summaries}))
    rows = [(f"units, board {source}", joules(real_j), joules(simulated_j), _relative(real_j, simulated_j))]
    measured = source == "measured"
    if all(real.energy.board_source == "measured" for real, _ in summaries):
        real_j = _sum([real.energy.board_j for real, _ in summaries])
        simulated_j = _sum([simulated.energy.board_j for _, simulated in summaries])
        rows.append(("whole board, by its sensor", joules(real_j), joules(simulated_j), _relative(real_j, simulated_j)))
    for unit in summaries[0][0].units:
        for name, digits in (("busy", 3), ("mean_mhz", 0)):
            ours = _mean([getattr(real.units[unit], name) for real, _ in summaries])
            theirs = _mean([getattr(simulated.units[unit], name) for _, simulated in summaries])
            words = f"{unit}: {'busy share' if name == 'busy' else 'mean clock, MHz'}"
            rows.append((words, f"{ours:.{digits}f}", f"{theirs:.{digits}f}", _relative(ours, theirs)))
    return Sheet(
        title="Energy and load of the units",
        heads=("", "board", "simulated", "difference"),
        rows=rows,
        notes=(
            "The simulated joules are the board file's power figures over simulated time; beside them is what the "
            "board's sensor measured, so their difference is also that of the power figures."
            if measured
            else "Modelled joules come from the same power figures in both, so they agree where clocks and busy times "
            "do, and say nothing of the figures: those need a board with a sensor.",
            "The manager's own CPU time is in neither: on an emulated board it is not the board's."
            if validation.pairs[0].real.header.emulated
            else "The simulation charges the manager's CPU time to the board, which it is a part of.",
        ),
    )


def _runs_sheet(validation: Validation) -> Sheet:
    return Sheet(
        title="Every run",
        heads=("seed", "host", "stalled", "units, board", "units, simulated", "worst of p50 and p95"),
        rows=[
            (
                str(pair.real.summary.seed),
                "undisturbed" if pair.undisturbed else host_words(pair.real.summary) or "not watched",
                share(pair.real.summary.host.stalled_share if pair.real.summary.host else None),
                joules(pair.real.summary.energy.units_j),
                joules(pair.simulated.summary.energy.units_j),
                _worst(pair),
            )
            for pair in validation.pairs
        ],
        printed=len(validation.pairs) > 1,
    )


def _worst(pair: Pair) -> str:
    percentiles = [one for one in _of_pair(pair) if one.metric in ("p50_ms", "p95_ms") and one.difference is not None]
    worst = max(percentiles, key=lambda one: abs(one.difference or 0.0), default=None)
    return UNKNOWN if worst is None else f"{worst.app}, {_NAMES[worst.metric]}: {_difference(worst)}"


def _of_pair(pair: Pair) -> list[MetricComparison]:
    """Return the comparisons of one pair alone."""
    return [
        one
        for app in pair.real.summary.apps
        for one in compare(app, app_figures([pair.real], app), app_figures([pair.simulated], app), pair.undisturbed)
    ]


# ---------------------------------------------------------------- words


def _values(one: MetricComparison) -> tuple[str, str]:
    if one.metric == "gears":
        return "", ""
    words = {"p50_ms": milliseconds, "p95_ms": milliseconds, "on_time": share, "accuracy": fraction}[one.metric]
    return words(one.real), words(one.simulated)


def _difference(one: MetricComparison) -> str:
    if one.difference is None:
        return UNKNOWN
    return f"{100 * one.difference:.1f} %" if one.metric == "gears" else f"{100 * one.difference:+.1f} %"


def _relative(real: float | None, simulated: float | None) -> str:
    return f"{100 * (simulated / real - 1):+.1f} %" if real and simulated is not None else UNKNOWN


def _part(n: int, of: int) -> str:
    return share(n / of if of else None)


def _gear(gear: Gear) -> str:
    return f"{gear.subnet} on {gear.cores} x {gear.unit}"


def _times(n: int, what: str) -> str:
    return f"One {what}" if n == 1 else f"{n} {what}s"


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


# ---------------------------------------------------------------- rows and data


def _row(pair: Pair, one: MetricComparison) -> dict[str, Any]:
    summary = pair.real.summary
    return {
        "mix": summary.mix,
        "board": summary.board,
        "policy": summary.policy,
        "seed": summary.seed,
        "undisturbed": pair.undisturbed,
        **asdict(one),
    }


def _data(validation: Validation) -> dict[str, Any]:
    summary = validation.pairs[0].real.summary
    return {
        "validation": {
            "mix": summary.mix,
            "board": summary.board,
            "policy": summary.policy,
            "time_scale": summary.time_scale,
            "emulated": validation.pairs[0].real.header.emulated,
            "aim": AIM,
            "undisturbed": validation.undisturbed,
            "seeds": [pair.real.summary.seed for pair in validation.pairs],
            "seeds_judged": [pair.real.summary.seed for pair in validation.judged],
        },
        "comparisons": [asdict(one) for one in validation.comparisons],
        "gears": {
            app: {
                "board": {_gear(gear): part for gear, part in real.gears.items()},
                "simulated": {_gear(gear): part for gear, part in validation.simulated[app].gears.items()},
            }
            for app, real in validation.real.items()
        },
        "unseen": {app: asdict(one) for app, one in validation.unseen.items()},
        "runs": [_run_data(pair.real) | {"simulated": _run_data(pair.simulated)} for pair in validation.pairs],
    }


def _run_data(run: StoredRun) -> dict[str, Any]:
    summary = run.summary
    return {
        "seed": summary.seed,
        "units_j": summary.energy.units_j,
        "board_j": summary.energy.board_j,
        "energy_source": summary.energy.source,
        "units": {name: asdict(unit) for name, unit in summary.units.items()},
        "host": None if summary.host is None else asdict(summary.host),
    }
