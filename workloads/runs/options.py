"""The options that every run has, checked before anything else is done."""

from __future__ import annotations

from actors.policies import check_policy
from scheduler.board import Board
from scheduler.errors import InputError
from workloads.mix.errors import number, whole


def check_options(
    board: Board, *, policy: str, seed: int, epoch_ms: float, time_scale: float = 1.0, simulated: bool = False
) -> None:
    """Check all of a run but its mix.

    Args:
        board: The board that it runs on.
        policy: `NETWORKS[+CLOCKS]`, or `FILE.py:Class`.
        seed: Seed of arrivals, inputs and service times; a whole number of at least 0.
        epoch_ms: Board time between two decisions; at least 1.
        time_scale: Wall time over board time; at least 1, and 1 on a board with real clocks.
        simulated: True for a simulation, which may use policies that know how the run will go.

    Raises:
        InputError: if an option is out of range.
        PolicyError: for a policy that is unknown, or not for this board.
    """
    check_policy(policy, board, simulated=simulated)
    whole("seed", seed, low=0, error=InputError)
    number("epoch_ms", epoch_ms, low=1.0, error=InputError)
    number("time_scale", time_scale, low=1.0, error=InputError)
    if time_scale > 1 and not board.emulated:
        raise InputError(
            f"time_scale {time_scale!r} needs an emulated board, and the clocks of {board.name!r} are real; "
            "leave it at 1."
        )
    if time_scale > 1 and (board.sensors or board.sensor != "none"):
        raise InputError(
            f"time_scale {time_scale!r}: the rails of {board.name!r} are measured on the wall's time; leave it at 1, "
            "or remove power.sensors."
        )
