"""Count how often `joint` changes gear while nothing changes, without noise and with two kinds of it.

Ten virtual minutes of generated mixes without their events, on three boards, simulated:

- `none`: as profiled.
- `independent`: `Mix(noise=0.1)`, a factor of its own on each request.
- `drifting`: each unit is slower or faster by a factor that wanders, 10 % of standard deviation, forgotten within 30 s.

A change is one of sub-network, unit or cores. The first 5 s do not count: there the manager still learns.

With `--log` each run is a line in that file as soon as it has ended, and the benchmark goes on where it was stopped.

    python -m benchmarks.bench_stability [--seconds S] [--mixes N] [--first SEED] [--boards A,B]
        [--log FILE] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.figure_log import FigureLog, measure_beside
from scheduler.board import Board
from scheduler.messages import Happening, HiddenEvent, UnitSlowed
from workloads.bench.statistics import geometric_mean
from workloads.bench.words import change_of
from workloads.runs.boards import open_board
from workloads.runs.simulated import plan_simulation
from workloads.simulator import Simulated, simulate
from workloads.suite.generated import generated_mix

BOARDS = ("odroid-xu3", "jetson-xavier-nx", "two-core-host")
NOISES = ("none", "independent", "drifting")
_NOISE = 0.1
_FORGOTTEN_S = 30.0
"""Time in which a drifting factor forgets where it was, but for 1/e."""
_DRIFT_STEP_S = 0.5
_LEARNING_S = 5.0
AIM = 1.0
"""Changes of gear for each application and minute."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Steadiness:
    """How steady one run was.

    Attributes:
        board: name of the board.
        mix: name of the mix.
        noise: kind of noise.
        app_minutes: applications times minutes that count.
        changes: changes of gear in that time.
        worst: the most changes a minute of one application.
        decisions: decisions of the whole run.
        on_time: share of all requests on time.
        below: applications below their slo.
        units_j: energy of the units.
    """

    board: str
    mix: str
    noise: str
    app_minutes: float
    changes: int
    worst: float
    decisions: int
    on_time: float
    below: int
    units_j: float

    @property
    def rate(self) -> float:
        """Changes for each application and minute."""
        return self.changes / self.app_minutes


def main(argv: list[str] | None = None) -> int:
    """Print the table; return 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0, help="length of each run, above 5")
    parser.add_argument("--mixes", type=int, default=6, help="mixes on each board")
    parser.add_argument("--first", type=int, default=0, help="seed of the first mix")
    parser.add_argument("--boards", default=",".join(BOARDS))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--log", type=Path, help="file with a line for each run, to go on with")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    # Mix by mix, so that a run that was stopped has as many of each board and noise.
    cases = [
        {"board_name": board, "seed": seed, "noise": noise, "seconds": options.seconds}
        for seed in range(options.first, options.first + options.mixes)
        for board in options.boards.split(",")
        for noise in NOISES
    ]
    figures = measure_beside(cases, _figures, FigureLog(options.log), options.jobs)
    found = [Steadiness(**one) for one in figures]
    _show(found)
    if options.json:
        options.json.write_text(json.dumps([asdict(one) for one in found], indent=1))
    return 0


def _figures(**case: Any) -> dict[str, Any]:
    return asdict(measure(**case))


def measure(board_name: str, seed: int, noise: str, seconds: float) -> Steadiness:
    """Simulate one mix with one kind of noise."""
    board = open_board(board_name, "sim")
    made = generated_mix(seed, board, duration_s=seconds).mix
    mix = replace(made, events=(), noise=_NOISE if noise == "independent" else 0.0)
    plan = plan_simulation(mix, board, seed=seed)
    if noise == "drifting":
        plan = replace(plan, events=drift(board, seconds, seed))
    simulated = simulate(plan)
    apps = simulated.summary.apps.values()
    units_j = simulated.summary.energy.units_j
    assert units_j is not None
    minutes = (seconds - _LEARNING_S) / 60
    changes = [_changes(simulated, name) for name in simulated.summary.apps]
    submitted = sum(app.submitted for app in apps)
    return Steadiness(
        board=board_name,
        mix=mix.name,
        noise=noise,
        app_minutes=len(changes) * minutes,
        changes=sum(changes),
        worst=max(changes) / minutes,
        decisions=simulated.decisions,
        on_time=math.fsum((app.on_time or 0.0) * app.submitted for app in apps) / submitted,
        below=sum(app.on_time is not None and app.on_time < app.slo for app in apps),
        units_j=units_j,
    )


def drift(board: Board, seconds: float, seed: int) -> tuple[tuple[float, Happening], ...]:
    """Return the steps of a factor on each unit's service times that wanders about 1, as hidden events.

    Its logarithm is an Ornstein-Uhlenbeck process, exactly sampled: x' = x · a + s · sqrt(1 - a²) · z, a = exp(-dt/T).
    """
    rng = np.random.default_rng(seed)
    sigma, decay = math.sqrt(math.log1p(_NOISE**2)), math.exp(-_DRIFT_STEP_S / _FORGOTTEN_S)
    steps: list[tuple[float, Happening]] = []
    for unit in board.units:
        x = 0.0  # as profiled at first, while the manager starts
        for step in range(1, int(seconds / _DRIFT_STEP_S)):
            x = x * decay + sigma * math.sqrt(1 - decay**2) * float(rng.standard_normal())
            change = UnitSlowed(unit=unit.name, slowdown=math.exp(x - sigma**2 / 2))
            steps.append((step * _DRIFT_STEP_S, HiddenEvent(change=change, text=f"{unit.name} drifts")))
    return tuple(sorted(steps, key=lambda step: step[0]))


def _changes(simulated: Simulated, app: str) -> int:
    gears = (entry for entry in simulated.entries if entry["kind"] == "gear" and entry["app"] == app)
    return sum(entry["now_s"] > _LEARNING_S and entry["from"] != entry["to"] for entry in gears)


def _show(found: Sequence[Steadiness]) -> None:
    table = Table(title="changes of gear while nothing changes (aim: at most 1 for each application and minute)")
    heads = ("board", "noise", "changes/app/min", "worst app", "runs above 1", "decisions/min", "on time", "late apps")
    for head in (*heads, "energy against none"):
        table.add_column(head, justify="right")
    for board in dict.fromkeys(one.board for one in found):
        quiet = {one.mix: one.units_j for one in found if (one.board, one.noise) == (board, "none")}
        for noise in NOISES:
            runs = [one for one in found if (one.board, one.noise) == (board, noise)]
            minutes = math.fsum(one.app_minutes for one in runs)
            table.add_row(
                board,
                noise,
                f"{sum(one.changes for one in runs) / minutes:.2f}",
                f"{max(one.worst for one in runs):.1f}",
                f"{sum(one.rate > AIM for one in runs)} of {len(runs)}",
                f"{sum(one.decisions for one in runs) / minutes:.1f}",
                f"{sum(one.on_time for one in runs) / len(runs):.4f}",
                str(sum(one.below for one in runs)),
                change_of(geometric_mean([one.units_j / quiet[one.mix] for one in runs])),
            )
    Console(width=None if sys.stdout.isatty() else 160).print(table)


if __name__ == "__main__":
    sys.exit(main())
