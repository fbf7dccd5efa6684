"""Sweep the constants of `joint` on mixes of their own, which no result is reported on.

Each constant takes a few other values, one at a time, on generated mixes whose seeds are `TUNING_SEEDS`. The bench
draws its generated mixes from seed 0 on, and the suite has none of them. For each value the table says what changes
against the value in force: the units' energy, the share on time, the applications below their slo, and the changes of
gear. All runs are simulated, so the load of the machine changes nothing but the time that it takes. The values of all
constants take turns on each mix.
`python -m benchmarks.sweep_constants [--boards A,B] [--mixes N] [--only NAME] [--json FILE]`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from scheduler import app_knowledge, manager, points, slowdown
from scheduler.estimators import RateEstimator
from scheduler.feedback import Caution, Foresight
from scheduler.policies import solving
from workloads.bench.comparison import Runs, both_meeting, compare, missed_apps
from workloads.bench.ratios import key_of
from workloads.bench.results import RunResult
from workloads.bench.tasks import BenchTask
from workloads.bench.words import change_words
from workloads.bench.words import points as in_points
from workloads.ladder.profiles import profiles_for
from workloads.runs.boards import open_board
from workloads.runs.simulated import plan_simulation
from workloads.simulator import simulate
from workloads.suite.generated import generated_mix

TUNING_SEEDS = range(1000, 1020)
"""Seeds of the generated mixes that constants may be chosen on. No result is reported on them."""

BOARDS = ("odroid-xu3", "two-core-host", "jetson-xavier-nx")


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant of `joint`, and other values for it.

    Attributes:
        name: its name in the tables.
        owner: the module, the class or the mapping of default arguments that has it.
        key: its name there.
        others: the values to try beside the one in force.
    """

    name: str
    owner: Any
    key: str
    others: tuple[Any, ...]

    @property
    def value(self) -> Any:
        """The value in force."""
        return self.owner[self.key] if isinstance(self.owner, dict) else getattr(self.owner, self.key)

    @contextmanager
    def at(self, value: Any) -> Iterator[None]:
        """Put another value in force until the end of the context, in this process."""
        before = self.value
        self._set(value)
        try:
            yield
        finally:
            self._set(before)

    def _set(self, value: Any) -> None:
        if isinstance(self.owner, dict):
            self.owner[self.key] = value
        else:
            setattr(self.owner, self.key, value)


CONSTANTS = (
    Constant("MISSES_PLANNED", points, "MISSES_PLANNED", (0.25, 0.75, 0.9)),
    Constant("MARGIN", app_knowledge, "MARGIN", (0.0, 0.025, 0.1)),
    Constant("RATE_CHANGE", app_knowledge, "RATE_CHANGE", (0.1, 0.4)),
    Constant("RATIO_CHANGE", slowdown, "RATIO_CHANGE", (0.025, 0.1)),
    Constant("GRACE_S", manager, "GRACE_S", (0.5, 2.0)),
    Constant("HYSTERESIS", solving.Joint.__init__.__kwdefaults__, "hysteresis", (0.0, 0.05, 0.1)),
    Constant("HORIZON_S", solving, "HORIZON_S", (3.0, 30.0, 100.0)),
    Constant("FIRST_SHARES", solving, "FIRST_SHARES", ((0.5,), (1.0, 0.1), (0.5, 0.25, 0.1))),
    Constant("ROUNDS", solving, "ROUNDS", (1, 2, 5)),
    Constant("Caution.CERTAIN", Caution, "CERTAIN", (math.log(30), math.log(300))),
    Constant("Caution.WINDOW", Caution, "WINDOW", (100, 400)),
    Constant("Caution.STEP", Caution, "STEP", (0.025, 0.1)),
    Constant("Caution.MOST", Caution, "MOST", (0.25, 1.0)),
    Constant("Caution.LEAST_PERMITTED", Caution, "LEAST_PERMITTED", (0.005, 0.02)),
    Constant("Foresight.NEAR", Foresight, "NEAR", (0.8, 0.95)),
    Constant("Foresight.WORTH", Foresight, "WORTH", (0.95, 0.99)),
    Constant("Foresight.LEAST_OWN", Foresight, "LEAST_OWN", (0.125, 0.5)),
    Constant("Foresight.LEAST_WAIT", Foresight, "LEAST_WAIT", (0.025, 0.1)),
    Constant("Foresight.STEP_BACK", Foresight, "STEP_BACK", (0.125, 0.5)),
    Constant("Foresight.PATIENCE", Foresight, "PATIENCE", (2, 8)),
    Constant("RateEstimator._FASTER", RateEstimator, "_FASTER", (2.5, 10.0)),
    Constant("RateEstimator._CERTAIN", RateEstimator, "_CERTAIN", (4.0, 7.0)),
    Constant("RateEstimator: time_constant_s", RateEstimator.__init__.__kwdefaults__, "time_constant_s", (2.5, 10.0)),
    Constant("RateEstimator: deviations", RateEstimator.differs_from.__kwdefaults__, "deviations", (3.0, 6.0)),
    Constant("CERTAIN", slowdown, "CERTAIN", (2.0, 4.0)),
    Constant("ALARM", slowdown, "ALARM", (3.9, 7.0)),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The difference that a value makes against the one in force, over all mixes.

    Attributes:
        constant: name of the constant.
        value: the value, in words.
        energy: change of the units' energy, with its 95 % interval.
        like: the same where every application of both meets its slo.
        ratio: ratio of the units' energies; None if unknown.
        on_time: difference of the shares on time, in points.
        missed: how many more applications are below their slo.
        switches: how many more changes of gear there are.
        differing: number of the mixes in which it makes any difference.
    """

    constant: str
    value: str
    energy: str
    like: str
    ratio: float | None
    on_time: str
    missed: int
    switches: int
    differing: int


def values_of(only: str | None = None) -> list[tuple[Constant, Any]]:
    """Return all constants with each of their other values, or those of one constant."""
    return [(one, value) for one in CONSTANTS for value in one.others if only is None or one.name == only]


def run_mix(board_name: str, seed: int, only: str | None = None) -> list[RunResult]:
    """Simulate one mix with all constants in force, then with each other value of each; return the results in order."""
    board = open_board(board_name, "sim")
    made = generated_mix(seed, board)
    profiles = profiles_for(made.mix, board)

    def run() -> RunResult:
        plan = plan_simulation(made.mix, board, policy="joint", seed=seed, profiles=profiles)
        return RunResult(
            task=BenchTask(mix=made.mix.name, board=board.name, policy="joint", seed=seed),
            utilisation=made.utilisation,
            summary=simulate(plan, log=False).summary,
            power_table=board.power_source,
        )

    results = [run()]
    for constant, value in values_of(only):
        with constant.at(value):
            results.append(run())
    return results


def outcomes(found: Sequence[Sequence[RunResult]], only: str | None = None) -> list[Outcome]:
    """Return what each value changes.

    Args:
        found: by mix, what `run_mix` returned.
        only: as given to `run_mix`.
    """
    base = _runs(found, 0)
    rows = []
    for place, (constant, value) in enumerate(values_of(only), start=1):
        runs = _runs(found, place)
        whole, like = compare(runs, base), compare(*both_meeting(runs, base))
        rows.append(
            Outcome(
                constant=constant.name,
                value=_words(value),
                energy=change_words(whole.units),
                like=change_words(like.units),
                ratio=None if whole.units is None else whole.units.value,
                on_time=in_points(whole.difference.on_time if whole.difference else None),
                missed=_missed(runs) - _missed(base),
                switches=_switches(runs) - _switches(base),
                differing=sum(runs[key].summary != base[key].summary for key in base),
            )
        )
    return rows


def main(argv: list[str] | None = None) -> int:
    """Print the table; return 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boards", default=",".join(BOARDS))
    parser.add_argument("--mixes", type=int, default=5, help="mixes on each board", choices=range(1, 21), metavar="N")
    parser.add_argument("--only", choices=[one.name for one in CONSTANTS], help="sweep one constant")
    parser.add_argument("--json", type=Path, default=Path("build/bench/sweep_constants.json"))
    options = parser.parse_args(argv)
    boards, seeds = options.boards.split(","), TUNING_SEEDS[: options.mixes]
    begun_s = time.monotonic()
    pairs = [(board, seed) for seed in seeds for board in boards]
    options.json.parent.mkdir(parents=True, exist_ok=True)
    found: list[list[RunResult]] = []
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=get_context("spawn")) as pool:
        # What a sweep that is stopped has found so far is in the file.
        for results in pool.map(run_mix, *zip(*pairs, strict=True), [options.only] * len(pairs)):
            found.append(results)
            rows, base = outcomes(found, options.only), _runs(found, 0)
            title = (
                f"{len(found)} of {len(pairs)} mixes, seeds {seeds[0]} to {seeds[-1]} on {', '.join(boards)}; "
                f"in force: {_missed(base)} applications below their slo, {_switches(base)} changes of gear; "
                f"{time.monotonic() - begun_s:.0f} s"
            )
            options.json.write_text(json.dumps({"what": title, "rows": [asdict(row) for row in rows]}, indent=1))
            print(title, file=sys.stderr)
    _print(rows, title)
    return 0


def _print(rows: Sequence[Outcome], title: str) -> None:
    in_force: Mapping[str, str] = {one.name: _words(one.value) for one in CONSTANTS}
    heads = (
        "constant",
        "in force",
        "value",
        "units' energy",
        "where both meet",
        "on time",
        "missed",
        "changes",
        "mixes",
    )
    table = Table(*heads, title=title, title_justify="left")
    for row in rows:
        counts = (f"{row.missed:+d}", f"{row.switches:+d}", str(row.differing))
        table.add_row(row.constant, in_force[row.constant], row.value, row.energy, row.like, row.on_time, *counts)
    Console(width=None if sys.stdout.isatty() else 180).print(table)


def _runs(found: Sequence[Sequence[RunResult]], place: int) -> Runs:
    return {key_of(own[place]): own[place] for own in found}


def _missed(runs: Runs) -> int:
    return sum(len(missed_apps([result])) for result in runs.values())


def _switches(runs: Runs) -> int:
    summaries = (result.summary for result in runs.values())
    return sum(app.switches for one in summaries if one is not None for app in one.apps.values())


def _words(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
