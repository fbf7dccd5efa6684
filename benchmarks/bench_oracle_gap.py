"""Split what `joint` takes above `oracle` into the cost of managing and what its decisions cost.

`oracle` is managed for nothing. Here `joint` runs on the same arrivals as usual, and once more managed for nothing: no
CPU time of epochs, decisions, networks made ready and clocks of requests, and no delay. All is simulated, over the
mixes of the suite with objective energy.
`python -m benchmarks.bench_oracle_gap [--seeds N]`.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from workloads.bench.statistics import geometric_mean
from workloads.bench.words import change_of
from workloads.mix.loader import load_mix
from workloads.runs.boards import open_board
from workloads.runs.simulated import plan_simulation
from workloads.simulator import simulate
from workloads.simulator.plan import Costs, SimulationPlan
from workloads.suite import suite_mixes


def main() -> None:
    """Simulate, then print a row for each mix on each board, and the geometric mean over mixes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2, help="seeds of each mix, from 0 on (2)")
    seeds = range(parser.parse_args().seeds)
    table = Table("mix", "board", "joint above oracle", "managed for nothing", title="Units' energy")
    whole: list[float] = []
    free: list[float] = []
    for path in suite_mixes().values():
        mix = load_mix(str(path))
        if mix.objective != "energy":
            continue
        rows = [(board, *_gaps(path.stem, board, seeds)) for board in mix.boards]
        for board, as_usual, for_nothing in rows:
            table.add_row(mix.name, board, change_of(as_usual), change_of(for_nothing))
        whole.append(geometric_mean([row[1] for row in rows]))
        free.append(geometric_mean([row[2] for row in rows]))
    table.add_section()
    table.add_row("all mixes", "", change_of(geometric_mean(whole)), change_of(geometric_mean(free)))
    Console().print(table)


def _gaps(mix_name: str, board_name: str, seeds: range) -> tuple[float, float]:
    """Return the energy of `joint` over that of `oracle`, as usual and managed for nothing."""
    whole, free = [], []
    for seed in seeds:
        joint = _plan(mix_name, board_name, "joint", seed)
        oracle_j = _units_j(_plan(mix_name, board_name, "oracle", seed))
        whole.append(_units_j(joint) / oracle_j)
        free.append(_units_j(replace(joint, costs=Costs.none())) / oracle_j)
    return geometric_mean(whole), geometric_mean(free)


def _plan(mix_name: str, board_name: str, policy: str, seed: int) -> SimulationPlan:
    mix = load_mix(str(suite_mixes()[mix_name]))
    return plan_simulation(mix, open_board(board_name, "sim"), policy=policy, seed=seed)


def _units_j(plan: SimulationPlan) -> float:
    units_j = simulate(plan).summary.energy.units_j
    assert units_j is not None
    return units_j


if __name__ == "__main__":
    main()
