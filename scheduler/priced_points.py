"""The operating points that were priced lately, so that they are not priced again for the same inputs.

A unit that heat holds down goes to and fro between two limits, and applications of the same network often have the
same inputs: pricing hundreds of points takes milliseconds each time. This module does not know what points depend on.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from scheduler.problem import OperatingPoint
from scheduler.profile import Profile

_KEPT = 64
"""How many tables are kept: eight for each of eight applications, of about 100 kB each for 300 points."""


class PricedPoints:
    """The tables priced last, those of all applications together."""

    def __init__(self) -> None:
        # By profile's identity, since its value is large. The profile is kept too, so that no other one gets its id.
        self._tables: dict[tuple[int, Hashable], tuple[Profile, Sequence[OperatingPoint]]] = {}

    def table(
        self, profile: Profile, inputs: Hashable, price: Callable[[], Sequence[OperatingPoint]]
    ) -> Sequence[OperatingPoint]:
        """Return the points of a profile for inputs, priced now if they are not kept.

        Args:
            profile: the profile.
            inputs: all else that the points depend on.
            price: prices them.

        Raises:
            PointsError: if `price` does; nothing is kept then.
        """
        key = id(profile), inputs
        kept = self._tables.pop(key, None) or (profile, price())
        self._tables[key] = kept  # the last again
        if len(self._tables) > _KEPT:
            del self._tables[next(iter(self._tables))]
        return kept[1]
