"""A bench on this machine runs the same tasks as in simulation, each on Ray, and each run keeps its own records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from actors.session import RaySession
from helpers.tiny_networks import network
from workloads.bench.cases import find_cases
from workloads.bench.results import RunResult
from workloads.bench.rows import app_rows
from workloads.bench.runner import run_bench
from workloads.bench.store import Store
from workloads.bench.tasks import Command, usual_baselines

pytestmark = pytest.mark.ray

POLICY = """
class Fails:
    def decide(self, snapshot):
        raise RuntimeError("no idea")
"""
MIX = """
from workloads import App, Family, Mix, Periodic

def mix():
    tiny = Family([({small!r}, 0.6), ({large!r}, 0.9)])
    return Mix("tiny", apps=[App("gate", tiny, Periodic(hz=20), latency_ms=300)], duration_s=1)
"""


@pytest.fixture
def bench(session: RaySession, tmp_path: Path) -> Callable[..., list[RunResult]]:
    """A function that runs a second of a mix of one tiny network under some policies."""
    script = tmp_path / "tiny.py"
    script.write_text(MIX.format(small=network(tmp_path, "small").path, large=network(tmp_path, "large").path))

    def run(*policies: str) -> list[RunResult]:
        asked = Command(
            policies=policies,
            against=usual_baselines(policies),
            repeats=1,
            seed=3,
            backend="ray",
            scale=(1,),
            sensitivity=False,
        )
        cases = find_cases(asked, [script], ["two-core-host"], 0, lambda words: None, lambda *done: None)
        return run_bench(asked, cases, Store(tmp_path / "out", cases.identity), 2, lambda *done: None, session)

    return run


def test_each_policy_runs_here_and_ours_again_at_the_baseline_s_accuracy(bench: Callable[..., list[RunResult]]) -> None:
    results = bench("joint", "schedutil")
    assert [(one.task.policy, one.task.parity, one.error) for one in results] == [
        ("joint", None, None),
        ("schedutil", None, None),
        ("joint", "schedutil", None),
    ]
    for result in results:
        summary = result.summary
        assert summary is not None
        assert (summary.backend, summary.seed, summary.apps["gate"].submitted) == ("ray", 3, 20)
        assert summary.energy.units_j is not None
        assert result.xrbench is not None
        # Only a simulation says where time went, and has a linear program beside it.
        assert (result.by_set, result.lower_bound_j) == (None, None)
    parity = results[2].summary
    assert parity is not None
    assert parity.apps["gate"].min_accuracy == pytest.approx(0.9)
    assert set(parity.apps["gate"].subnets) == {"large"}
    assert [row["policy"] for row in app_rows(results)] == ["joint", "schedutil"]


def test_a_policy_that_raises_here_fails_by_name(bench: Callable[..., list[RunResult]], tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(POLICY)
    (failed,) = bench(f"{file}:Fails")
    assert failed.summary is None
    assert failed.error is not None
    assert f"policy '{file}:Fails' failed at 0.0 s: RuntimeError: no idea" in failed.error
