"""One application's part of a transition knows when it has arrived."""

from __future__ import annotations

from dataclasses import replace

import pytest

from helpers.fake_world import gear
from scheduler.app_transition import AppGoal, AppTransition

ARRIVED = AppTransition(
    app="a",
    gear=gear("m", "big", 2),
    plan=1,
    cpus=(0, 1),
    claim=frozenset({0, 1}),
    goal=AppGoal(gear=gear("m", "big", 2), cpus=(0, 1), plan=1, why="start"),
)


def test_it_is_settled_in_the_gear_of_its_goal_on_the_cpus_of_its_goal_alone() -> None:
    assert ARRIVED.settled


@pytest.mark.parametrize(
    "changes",
    [
        {"goal": None},
        {"gear": gear("s", "big", 2)},
        {"cpus": (2, 3)},
        {"claim": frozenset({0, 1, 2})},  # its threads may still be where they were
        {"claim": frozenset({0})},
    ],
)
def test_it_is_not_settled_before(changes: dict[str, object]) -> None:
    assert not replace(ARRIVED, **changes).settled  # type: ignore[arg-type]
