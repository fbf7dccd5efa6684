"""Results of a bench, made up without running anything: runs of chosen apps and energies."""

from dataclasses import replace
from functools import cache

from helpers.synthetic_run import make_run
from workloads.bench.comparison import Runs
from workloads.bench.results import RunResult
from workloads.bench.tasks import BenchTask, Command
from workloads.results.summary import (
    Accuracy,
    AppSummary,
    EnergySource,
    Latency,
    Segment,
    Summary,
    Tail,
    energy_summary,
)

COMMAND = Command(
    policies=("joint", "schedutil", "floor"),
    against=("schedutil",),
    repeats=2,
    seed=0,
    backend="sim",
    scale=(1,),
    sensitivity=False,
)


def app(
    hits: int = 95, n: int = 100, lost: int = 0, accuracy: float | None = 0.8, floor: float = 0.0, slo: float = 0.9
) -> AppSummary:
    return AppSummary(
        submitted=n,
        completed=n - lost,
        dropped=lost,
        failed=0,
        in_flight=0,
        latency_ms=Latency(p50=1.0, p95=2.0, p99=3.0, max=4.0),
        target_ms=50.0,
        on_time=hits / n,
        slo=slo,
        verdict="met",
        accuracy=Accuracy(value=accuracy, n=n, source="unknown" if accuracy is None else "profiled"),
        min_accuracy=floor,
        subnets={"s": n - lost},
        switches=1,
        switch_ms=Tail(),
        segments=(Segment(from_s=0.0, target_ms=50.0, min_accuracy=floor, on_time=hits / n, accuracy=accuracy, n=n),),
    )


def result(
    policy: str,
    *apps: AppSummary,
    mix: str = "gate",
    board: str = "host",
    seed: int = 0,
    units_j: float | None = 10.0,
    board_j: float | None = None,
    utilisation: float | None = None,
    change: str | None = None,
    parity: str | None = None,
    clones: int = 1,
    lower_bound_j: float | None = None,
    source: EnergySource = "modelled",
) -> RunResult:
    summary = replace(
        _made(),
        mix=mix,
        board=board,
        policy=policy,
        seed=seed,
        apps={f"app-{place}": one for place, one in enumerate(apps or (app(),))},
        energy=energy_summary(units_j, board_j, units_source=source),
        host=None,
    )
    task = BenchTask(mix=mix, board=board, policy=policy, seed=seed, change=change, parity=parity, clones=clones)
    return RunResult(task=task, summary=summary, utilisation=utilisation, lower_bound_j=lower_bound_j)


@cache
def _made() -> Summary:
    return make_run().summary


def runs(*results: RunResult) -> Runs:
    return {(one.task.mix, one.task.board, one.task.seed): one for one in results}
