"""Where networks have memory shares of their own the best clocks are others, and the solver finds them."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.hindsight_mixes import board, profile, unit
from helpers.oracle_solve import brute_force
from helpers.shares import with_shares
from scheduler.board import Board
from scheduler.points import ArrivalModel, operating_points
from scheduler.policies import unit_of
from scheduler.problem import Demand, Problem
from scheduler.profile import Profile
from scheduler.solver import evaluate, solve

MHZ = (500.0, 1000.0, 2000.0)
UNIT = unit(cores=2, mhz=MHZ, static_w=(0.1, 0.3, 0.9), dynamic_w=(0.2, 0.6, 2.0), memory_share=0.3)


def problem(on: Board, targets_ms: dict[str, float], **ladders: Profile) -> Problem:
    arrivals = ArrivalModel(kind="periodic", rate_hz=5.0)
    return Problem(
        units=tuple(unit_of(one) for one in on.units),
        demands=tuple(
            Demand(
                app=app,
                rate_hz=5.0,
                target_ms=targets_ms[app],
                min_accuracy=0.0,
                weight=1.0,
                points=operating_points(on, ladder, app=app, arrivals=arrivals, slo=0.95),
            )
            for app, ladder in ladders.items()
        ),
    )


@pytest.mark.parametrize(("share", "mhz"), [(None, 2000.0), (0.0, 2000.0), (0.6, 1000.0), (0.95, 500.0)])
def test_the_less_a_network_follows_the_clock_the_lower_a_clock_it_gets(share: float | None, mhz: float) -> None:
    # 20 ms in a target of 30: 28 ms at half the clock for a share of 0.6, 23 ms at a quarter for one of 0.95.
    answer = solve(problem(board(UNIT), {"a": 30.0}, a=with_shares(profile(("net", 0.9, (20.0,))), [share])))
    assert answer.mhz == {"cpu": mhz}
    assert answer.latency_ms["a"] <= 30.0


@pytest.mark.parametrize("seed", range(12))
def test_the_optimum_is_that_of_all_choices(seed: int) -> None:
    rng = np.random.default_rng(seed)
    other = unit("other", first_cpu=2, mhz=MHZ[:2], static_w=(0.05, 0.1), dynamic_w=(0.1, 0.3), speed=0.5)
    ladders = {
        app: with_shares(
            profile(*((f"s{k}", 0.6 + 0.1 * k, (float(rng.uniform(5, 40)),)) for k in range(2))),
            [None if rng.random() < 0.3 else float(rng.uniform()) for _ in range(2)],
        )
        for app in "ab"
    }
    targets_ms = {app: float(rng.uniform(20, 120)) for app in ladders}
    asked = problem(board(UNIT, other), targets_ms, **ladders)
    answer = solve(asked)
    found, best = evaluate(asked, answer.choice, answer.mhz), brute_force(asked)
    assert answer.optimal
    assert found.violation == pytest.approx(best.violation, abs=1e-7)
    assert found.power_w == pytest.approx(best.power_w, rel=1e-6)
