"""See how soon `joint` has its targets met again after a slowdown that nobody tells it of, and what it takes meanwhile.

On each unit of three boards, at rates from 1 to 30 Hz, a periodic application alone, with a target of four times what
its smallest network takes there. At 60 s requests begin to take 1.5 times as long, at 160 s no longer. In `beside`, one
of 1 Hz has another of 30 Hz (or the most that the unit can do) beside it. All is simulated.

Learned: the least number of requests, from the first that the slowdown could make late, after which the share on time
of all others until 160 s is the slo. The aim is 5 epochs or 5 requests, whichever is later. Energy: of the units from
5 s after each change on, against a manager that knows, since its board is described as that slow (or not slow).
With `--log` each case is a line in that file as soon as it is measured, and the benchmark goes on where it was stopped.

    python -m benchmarks.bench_learning [--seeds N] [--boards A,B] [--noise N…] [--log FILE] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from actors.stored_profiles import packaged_profile
from benchmarks.figure_log import FigureLog, measure_beside
from scheduler.board import Board, BoardUnit
from workloads import App, Mix, Periodic, at
from workloads.bench.statistics import geometric_mean
from workloads.bench.words import change_of
from workloads.results.requests import first_ends, is_on_time
from workloads.runs.boards import open_board
from workloads.runs.simulated import plan_simulation
from workloads.simulator import Simulated, simulate

BOARDS = ("odroid-xu3", "jetson-xavier-nx", "two-core-host")
RATES_HZ = (1.0, 2.0, 5.0, 10.0, 30.0)
SLOWDOWN = 1.5
_LADDERS = ("ofa-plates", "dynamic-ofa-cpu", "dynamic-ofa-gpu")
_MOST_LOAD = 0.5
"""Highest load of the smallest network at the top clock, so that it is no more than 0.75 when slowed down."""
_SLACK = 4.0
_FROM_S, _TO_S, _END_S = 60.0, 160.0, 260.0
_SETTLED_S = 5.0
_SLO = 0.95
_WITHIN = 5
AIM_ENERGY = 1.03
"""Energy over that of a manager that knows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Learning:
    """How one application learned of the slowdown.

    Attributes:
        board: name of the board.
        unit: name of the unit that was slowed down.
        rate_hz: rate of the application.
        beside: True if another application of a high rate ran on the unit.
        noise: noise of the mix.
        seed: seed of the run.
        requests: requests until those after it were on time as the slo asks.
        aim: most requests that the aim allows.
        on_time_after: share on time of the requests after those that the aim allows.
        slow_energy: units' energy while slowed down, over that of a manager that knows.
        after_energy: the same once the slowdown has ended.
    """

    board: str
    unit: str
    rate_hz: float
    beside: bool
    noise: float
    seed: int
    requests: int
    aim: int
    on_time_after: float
    slow_energy: float
    after_energy: float

    @property
    def met(self) -> bool:
        """True if it learned as soon as it should."""
        return self.requests <= self.aim


def main(argv: list[str] | None = None) -> int:
    """Print the table; return 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="seeds of each case, from 0 on")
    parser.add_argument("--boards", default=",".join(BOARDS))
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 0.1])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--log", type=Path, help="file with a line for each case, to go on with")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    cases = [
        {"board_name": board, "unit_name": unit, "rate_hz": hz, "beside": beside, "noise": noise, "seed": seed}
        for seed in range(options.seeds)
        for board in options.boards.split(",")
        for unit, hz, beside in _cases(open_board(board, "sim"))
        for noise in options.noise
    ]
    figures = measure_beside(cases, _figures, FigureLog(options.log), options.jobs)
    found = [Learning(**one) for one in figures]
    _show(found)
    if options.json:
        options.json.write_text(json.dumps([asdict(one) for one in found], indent=1))
    return 0


def _cases(board: Board) -> Iterator[tuple[str, float, bool]]:
    """Yield (unit, rate, beside) for all that a unit can do while it is slow."""
    for unit in board.units:
        for rate_hz in RATES_HZ:
            if rate_hz * _smallest_ms(board, unit)[1] / 1000 <= _MOST_LOAD:
                yield unit.name, rate_hz, False
        if _smallest_ms(board, unit)[1] <= 1000 * _MOST_LOAD / 4:
            yield unit.name, 1.0, True


def _smallest_ms(board: Board, unit: BoardUnit) -> tuple[str, float]:
    """Return the supernet that runs on a unit, and the service time of its smallest network at the top clock."""
    for name in _LADDERS:
        profile = packaged_profile(name)
        if profile is not None and profile.speed_of == board.speed_of:
            times = [
                time for rung in profile.rungs for time in rung.times if time.kind == unit.kind and time.cores == 1
            ]
            if times:
                return name, min(time.mean_ms for time in times) / unit.pace(unit.mhz[-1])
    raise ValueError(f"board {board.name!r}: no packaged profile has times of one core of {unit.name!r}.")


def _figures(**case: Any) -> dict[str, Any]:
    return asdict(measure(**case))


def measure(board_name: str, unit_name: str, rate_hz: float, beside: bool, noise: float, seed: int) -> Learning:
    """Simulate one case, and the same with a manager that knows."""
    whole = open_board(board_name, "sim")
    unit = whole.unit(unit_name)
    # Only this unit of its kind, so that nobody goes elsewhere.
    board = replace(whole, units=tuple(one for one in whole.units if one is unit or one.kind != unit.kind))
    supernet, service_ms = _smallest_ms(whole, unit)
    target_ms = _SLACK * service_ms
    apps = [App("a", supernet=supernet, arrivals=Periodic(hz=rate_hz), latency_ms=target_ms, slo=_SLO)]
    if beside:
        most_hz = min(30.0, 1000 * _MOST_LOAD / 2 / service_ms)
        apps.append(App("b", supernet=supernet, arrivals=Periodic(hz=most_hz), latency_ms=target_ms, slo=_SLO))
    calm = Mix("learning", apps=apps, duration_s=_END_S, noise=noise)
    events = [at(_FROM_S, unit=unit_name, slowdown=SLOWDOWN), at(_TO_S, unit=unit_name, slowdown=None)]
    hidden = simulate(plan_simulation(replace(calm, events=events), board, seed=seed))
    slow = replace(unit, speed=unit.speed / SLOWDOWN)
    knowing = replace(board, units=tuple(slow if one is unit else one for one in board.units))
    told, quiet = (simulate(plan_simulation(calm, one, seed=seed)) for one in (knowing, board))
    on_time = _on_time(hidden)
    # Five requests, or as many as come within five epochs.
    aim = max(_WITHIN, math.ceil(_WITHIN * 0.1 * rate_hz))
    late_from = (_FROM_S + _SETTLED_S, _TO_S), (_TO_S + _SETTLED_S, _END_S)
    slow_energy, after_energy = (
        _units_j(hidden, *span) / _units_j(other, *span) for span, other in zip(late_from, (told, quiet), strict=True)
    )
    return Learning(
        board=board_name,
        unit=unit_name,
        rate_hz=rate_hz,
        beside=beside,
        noise=noise,
        seed=seed,
        requests=_learned_after(on_time),
        aim=aim,
        on_time_after=float(np.mean(on_time[aim:])),
        slow_energy=slow_energy,
        after_energy=after_energy,
    )


def _on_time(simulated: Simulated) -> list[bool]:
    """Return for each request of `a` that arrived while it was slow whether it was on time."""
    ended: Any = first_ends(simulated.records["a"])
    here = (ended["arrival_s"] >= _FROM_S) & (ended["arrival_s"] < _TO_S)
    return [bool(one) for one in is_on_time(ended[here])]


def _learned_after(on_time: Sequence[bool]) -> int:
    """Return the least number of first requests without which the slo is met; all where it never is."""
    for first in range(len(on_time)):
        if sum(on_time[first:]) >= _SLO * (len(on_time) - first):
            return first
    return len(on_time)


def _units_j(simulated: Simulated, from_s: float, to_s: float) -> float:
    """Return the energy of all units in a span of time, in joules times epochs a second."""
    epochs = (entry for entry in simulated.entries if entry["kind"] == "epoch" and from_s < entry["now_s"] <= to_s)
    return math.fsum(unit["power_w"] or 0.0 for entry in epochs for unit in entry["units"].values())


def _show(found: Sequence[Learning]) -> None:
    table = Table(title=f"a hidden slowdown of {SLOWDOWN:g} (aim: 5 epochs or 5 requests, energy within 3 %)")
    heads = ("board", "unit", "Hz", "noise", "requests, worst", "aim", "met", "on time after, least")
    for head in (*heads, "energy, slow", "energy, after"):
        table.add_column(head, justify="right")
    keys = dict.fromkeys((one.board, one.unit, one.rate_hz, one.beside, one.noise) for one in found)
    for board, unit, rate_hz, beside, noise in keys:
        key = (board, unit, rate_hz, beside, noise)
        runs = [one for one in found if (one.board, one.unit, one.rate_hz, one.beside, one.noise) == key]
        table.add_row(
            board,
            unit,
            f"{rate_hz:g}{' beside' if beside else ''}",
            f"{noise:g}",
            str(max(one.requests for one in runs)),
            str(runs[0].aim),
            f"{sum(one.met for one in runs)} of {len(runs)}",
            f"{min(one.on_time_after for one in runs):.3f}",
            change_of(geometric_mean([one.slow_energy for one in runs])),
            change_of(geometric_mean([one.after_energy for one in runs])),
        )
    table.add_section()
    met = f"{sum(one.met for one in found)} of {len(found)}"
    energies = [
        change_of(geometric_mean([getattr(one, key) for one in found])) for key in ("slow_energy", "after_energy")
    ]
    least = f"{min(one.on_time_after for one in found):.3f}"
    table.add_row("all", "", "", "", str(max(one.requests for one in found)), "", met, least, *energies)
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    slow, after = (sum(getattr(one, key) <= AIM_ENERGY for one in found) for key in ("slow_energy", "after_energy"))
    print(f"Energy is within {AIM_ENERGY - 1:.0%} in {slow} of {len(found)} runs while slow, in {after} after the end.")


if __name__ == "__main__":
    sys.exit(main())
