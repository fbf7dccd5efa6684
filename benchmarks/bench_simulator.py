"""Measure how many times faster than real time the simulator is: eight applications at 30 Hz, on one core.

Board and profile are packaged ones. Policies run in turns. The time is the CPU time of this process, so that a machine
that stalls has no effect. Shown are the best and the median of several runs.
`python -m benchmarks.bench_simulator [--runs N] [--json FILE]`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from actors.cluster import packaged_board
from scheduler.board import Board
from workloads import App, Mix, Periodic, Poisson
from workloads.runs.simulated import plan_simulation
from workloads.simulator import simulate

_DURATION_S = 60.0
_POLICIES = ("joint", "joint+schedutil", "schedutil")
_CASES = [(policy, arrivals) for policy in _POLICIES for arrivals in (Periodic, Poisson)]


def main(argv: list[str] | None = None) -> int:
    """Print the table; return 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    plans = {
        (policy, arrivals.__name__): plan_simulation(_mix(arrivals), _eight_cores(), policy=policy)
        for policy, arrivals in _CASES
    }
    speeds: dict[tuple[str, str], list[float]] = {case: [] for case in plans}
    decisions = {}
    for _ in range(options.runs):
        for case, plan in plans.items():
            before = time.process_time()
            decisions[case] = simulate(plan, log=False).decisions
            speeds[case].append(_DURATION_S / (time.process_time() - before))
    table = Table(title=f"8 applications at 30 Hz, {_DURATION_S:g} s: times real time")
    for head in ("policy", "arrivals", "best", "median", "decisions"):
        table.add_column(head, justify="right")
    for case, found in speeds.items():
        table.add_row(*case, f"{max(found):.0f}", f"{median(found):.0f}", str(decisions[case]))
    Console().print(table)
    if options.json:
        figures = [{"policy": case[0], "arrivals": case[1], "speeds": found} for case, found in speeds.items()]
        options.json.write_text(json.dumps(figures, indent=1))
    return 0


def _mix(arrivals: type[Periodic] | type[Poisson]) -> Mix:
    apps = [
        App(f"a{number}", supernet="ofa-plates", arrivals=arrivals(hz=30), latency_ms=60, min_accuracy=0.6)
        for number in range(8)
    ]
    return Mix("eight", duration_s=_DURATION_S, apps=apps)


def _eight_cores() -> Board:
    """Return the packaged two-core board with four cores in each unit."""
    board = packaged_board("two-core-host")
    units = tuple(
        replace(unit, cpus=tuple(range(4 * number, 4 * number + 4))) for number, unit in enumerate(board.units)
    )
    return replace(board, units=units)


if __name__ == "__main__":
    sys.exit(main())
