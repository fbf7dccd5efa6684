"""The accuracy floors of an application, and the sub-networks that may serve a request under them.

A request is served by a sub-network that keeps to the floor in force at its arrival. A floor that rises while requests
are served holds at once, also while the new network is still being prepared: until then requests wait. A worker and the
simulator use the same floors.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from scheduler.profile import Profile


class Floors:
    """The floors of one application over time.

    Args:
        segments: (from_s, min_accuracy) of each floor, rising in time; before the first the first one holds. None
            is no floor at all.
        profile: profile of the ladder. Where all of it is below a floor, all of it may serve, as in plans.
    """

    def __init__(self, segments: Sequence[tuple[float, float]], profile: Profile) -> None:
        self._from_s = [from_s for from_s, _ in segments]
        self._allowed = [_allowed(min_accuracy, profile) for _, min_accuracy in segments]
        self._all = all(len(allowed) == len(profile.rungs) for allowed in self._allowed)

    def allow(self, subnet: int, arrival_s: float) -> bool:
        """Return true if the sub-network at that place of the ladder may serve a request that arrived then."""
        if self._all:
            return True
        return subnet in self._allowed[max(0, bisect_right(self._from_s, arrival_s) - 1)]


def _allowed(min_accuracy: float, profile: Profile) -> frozenset[int]:
    above = {rung.subnet for rung in profile.above(min_accuracy).rungs}
    return frozenset(place for place, rung in enumerate(profile.rungs) if rung.subnet in above)
