"""Measure how many times faster than real time the simulator is: eight applications at 30 Hz, on one core.

Boards and profile are packaged ones. Gears and clocks stay as they are under `floor+performance`, and follow the
requests under `joint`. Cases run in turns. The time is the CPU time of this process, so that a machine that stalls has
little effect. Shown are the best and the median of several runs, and the best with the time left out that the policy
took to decide. `python -m benchmarks.bench_simulator [--runs N] [--seconds S] [--json FILE]`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from actors.cluster import packaged_board
from scheduler.board import Board
from scheduler.policies import Policy
from scheduler.views import Plan, Snapshot
from workloads import App, Mix, Periodic, Poisson
from workloads.runs.simulated import plan_simulation
from workloads.simulator import SimulationPlan, simulate

_BOARDS = ("odroid-xu3", "jetson-orin-nx", "two-core-host")
_POLICIES = ("floor+performance", "joint", "joint+schedutil", "schedutil")
_ARRIVALS = {"periodic": Periodic, "poisson": Poisson}


@dataclass
class _Case:
    """One plan, and what came of its runs.

    Attributes:
        names: of its board, its policy and its arrivals.
        plan: the plan.
        took_s: CPU time of each run.
        decided_s: the part of it that the policy took to decide.
        decisions: decisions of a run.
    """

    names: tuple[str, str, str]
    plan: SimulationPlan
    took_s: list[float] = field(default_factory=list)
    decided_s: list[float] = field(default_factory=list)
    decisions: int = 0

    def run(self) -> None:
        """Simulate once more."""
        policy = _Timed(self.plan.make_policy())
        before_s = time.process_time()
        self.decisions = simulate(replace(self.plan, make_policy=lambda: policy), log=False).decisions
        self.took_s.append(time.process_time() - before_s)
        self.decided_s.append(policy.took_s)

    def figures(self) -> dict[str, Any]:
        """Return its figures: times real time, decisions and the CPU time of one."""
        duration_s = self.plan.mix.duration_s
        rest_s = [took - decided for took, decided in zip(self.took_s, self.decided_s, strict=True)]
        return {
            **dict(zip(("board", "policy", "arrivals"), self.names, strict=True)),
            "best": duration_s / min(self.took_s),
            "median": duration_s / median(self.took_s),
            "not deciding": duration_s / min(rest_s),
            "decisions": self.decisions,
            "ms a decision": 1e3 * min(self.decided_s) / self.decisions,
        }


class _Timed:
    """A policy that notes the CPU time which another takes to decide, and is that other otherwise."""

    def __init__(self, policy: Policy) -> None:
        self.took_s = 0.0
        self._policy = policy

    def __getattr__(self, name: str) -> object:
        return getattr(self._policy, name)

    def decide(self, snapshot: Snapshot) -> Plan:
        before_s = time.process_time()
        try:
            return self._policy.decide(snapshot)
        finally:
            self.took_s += time.process_time() - before_s


def main(argv: list[str] | None = None) -> int:
    """Print the table; return 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each mix")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    cases = list(_cases(options.seconds))
    for _ in range(options.runs):
        for case in cases:
            case.run()
    rows = [case.figures() for case in cases]
    table = Table(title=f"8 applications at 30 Hz, {options.seconds:g} s: times real time")
    for head in rows[0]:
        table.add_column(head, justify="right")
    for row in rows:
        table.add_row(*(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row.values()))
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    return 0


def _cases(duration_s: float) -> Iterator[_Case]:
    for names in product(_BOARDS, _POLICIES, _ARRIVALS):
        board, policy, arrivals = names
        apps = [
            App(f"a{number}", "ofa-plates", arrivals=_ARRIVALS[arrivals](hz=30), latency_ms=60, min_accuracy=0.6)
            for number in range(8)
        ]
        mix = Mix("eight", duration_s=duration_s, apps=apps)
        yield _Case(names, plan_simulation(mix, _with_eight_cores(packaged_board(board)), policy=policy))


def _with_eight_cores(board: Board) -> Board:
    """Return a board as it is, and `two-core-host` with four cores in each unit."""
    if board.name != "two-core-host":
        return board
    units = tuple(
        replace(unit, cpus=tuple(range(4 * number, 4 * number + 4))) for number, unit in enumerate(board.units)
    )
    return replace(board, units=units)


if __name__ == "__main__":
    sys.exit(main())
