"""The table of objectives has every name, and one more row is all that the solver needs for a new objective."""

from typing import get_args

import numpy as np
import pytest

from helpers.oracle_solve import choices, draw
from scheduler.objectives import OBJECTIVES, Objective, ObjectiveName, Quantity
from scheduler.solver import Evaluation, evaluate, solve

FAIR_AND_ACCURATE = Objective((Quantity.LARGEST_TERM, Quantity.VIOLATION, Quantity.ACCURACY, Quantity.POWER))


def lessened(objective: Objective, outcome: Evaluation) -> tuple[float, ...]:
    return tuple(
        -outcome.of(quantity) if quantity is Quantity.ACCURACY else outcome.of(quantity)
        for quantity in objective.levels
    )


def test_every_name_has_a_row() -> None:
    assert tuple(OBJECTIVES) == get_args(ObjectiveName)


def test_what_is_sought_beyond_the_violation() -> None:
    goals = {name: objective.goals for name, objective in OBJECTIVES.items()}
    assert goals == {
        "energy": (Quantity.POWER,),
        "accuracy": (Quantity.ACCURACY, Quantity.POWER),
        "fair": (Quantity.POWER,),
    }
    assert [name for name, one in OBJECTIVES.items() if one.seeks_accuracy] == ["accuracy"]
    assert [name for name, one in OBJECTIVES.items() if one.largest_term_first] == ["fair"]


@pytest.mark.parametrize("block", range(6))
def test_a_new_objective_is_one_row(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OBJECTIVES, "fair and accurate", FAIR_AND_ACCURATE)  # type: ignore[arg-type]
    for seed in range(25 * block, 25 * block + 25):
        rng = np.random.default_rng(seed)
        problem = draw(
            rng,
            demands=int(rng.integers(1, 4)),
            cpus=tuple(rng.integers(1, 4, rng.integers(1, 3)).tolist()),
            pressure=float(rng.choice([0.5, 1.0, 2.0, 4.0])),
            objective="fair and accurate",  # type: ignore[arg-type]
            cap=float(rng.uniform(0.05, 0.6)) if rng.integers(4) else None,
        )
        answer = solve(problem)
        found = evaluate(problem, answer.choice, answer.mhz)
        assert answer.optimal
        assert answer.bound == found.accuracy
        best = min(
            choices(problem),
            key=lambda outcome: tuple(round(level, 8) for level in lessened(FAIR_AND_ACCURATE, outcome)),
        )
        assert lessened(FAIR_AND_ACCURATE, found) == pytest.approx(
            lessened(FAIR_AND_ACCURATE, best), rel=1e-6, abs=1e-7
        )
