"""Compiles all inner loops ahead of time (`scheduler.compiled`)."""

from __future__ import annotations

from scheduler import contention, solver


def warm() -> None:
    """Compile the solver and the model of contention, or load them from disk; their first use would do so otherwise."""
    contention.warm()
    solver.warm()
