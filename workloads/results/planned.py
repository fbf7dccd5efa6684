"""The part of a plan that real and simulated runs have in common, and that their results name."""

from __future__ import annotations

from typing import Protocol

from scheduler.board import Board
from workloads.mix.mix import Mix


class Planned(Protocol):
    """One run of a mix on a board under a policy, real or simulated."""

    @property
    def mix(self) -> Mix:
        """The mix that runs."""

    @property
    def board(self) -> Board:
        """The board that it runs on."""

    @property
    def policy(self) -> str:
        """Name of the policy."""

    @property
    def seed(self) -> int:
        """Seed of the arrivals and the service times."""

    @property
    def epoch_s(self) -> float:
        """Board time between two decisions, in seconds."""
