"""Where a simulation's profiles come from: those that come with gearshift, or measured on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from actors.profiling import profile_ladder
from actors.stored_profiles import is_executable, packaged_profile
from scheduler.board import Board
from scheduler.profile import Profile
from workloads.app import Family
from workloads.ladders import Progress, base_name, ladders_of, supernet_label
from workloads.mix import Mix


def profiles_for(
    mix: Mix,
    board: Board,
    *,
    weights: Mapping[str, Path] | None = None,
    measured: bool = False,
    on_progress: Progress = lambda what, done, total: None,
) -> dict[str | Family, Profile]:
    """The profile of each supernet and family in a mix.

    Args:
        mix: what is to be simulated.
        board: where; it says how many cores a network may get.
        weights: own weights by supernet's name; such a supernet is always measured here.
        measured: measure on this machine even what comes with a profile, where it can run here.
        on_progress: told about exports and measurements.

    Raises:
        MixError: for an unknown supernet, or weights that no app uses.
        supernets.SupernetError: for a file that can't be used.
    """
    supernets = dict.fromkeys(presence.app.supernet for presence in mix.all_apps())
    weights = weights or {}
    profiles: dict[str | Family, Profile] = {}
    for supernet in supernets:
        if isinstance(supernet, str) and base_name(supernet) not in weights:
            packaged = packaged_profile(supernet)
            if packaged is not None and not (measured and is_executable(supernet)):
                profiles[supernet] = packaged
    if len(profiles) < len(supernets) or weights:
        for supernet, ladder in ladders_of(mix, weights, on_progress, without=profiles).items():
            what = f"profile {supernet_label(supernet)}"
            profiles[supernet] = profile_ladder(
                supernet_label(supernet), ladder, _cpus_by_cores(board), on_sample=partial(on_progress, what)
            )
    return profiles


def _cpus_by_cores(board: Board) -> dict[int, tuple[int, ...]]:
    """CPUs of this machine for each number of cores that a unit of the board offers, as far as there are so many."""
    here = sorted(os.sched_getaffinity(0))
    most = max((unit.cores for unit in board.units if unit.kind == "cpu"), default=1)
    return {cores: tuple(here[:cores]) for cores in range(1, min(most, len(here)) + 1)}
