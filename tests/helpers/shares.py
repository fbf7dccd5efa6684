"""Profiles of networks that have memory shares of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scheduler.profile import Profile


def with_shares(profile: Profile, shares: Sequence[float | None]) -> Profile:
    """Return a profile whose rungs have these memory shares in turn; None for the unit's."""
    rungs = [
        replace(rung, times=tuple(replace(time, memory_share=shares[place % len(shares)]) for time in rung.times))
        for place, rung in enumerate(profile.rungs)
    ]
    return replace(profile, rungs=tuple(rungs))
