"""Workers whose process was seen to end, until it is known why.

A worker that keeps cores past its bound, or is stopped while it holds some, is fenced off: it is killed at once, and
the board's next report says why. So an end that was just seen is told once the board has begun a report after it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from actors.clock import Clock

_REASON_WALL_S = 2.0
"""Longest wait on the wall for such a report: the time in which Ray itself tells of a process that has ended."""


@dataclass(frozen=True, slots=True)
class _End:
    """A worker's end.

    Attributes:
        reason: what is known of it.
        seen_s: board time when it was seen.
    """

    reason: str
    seen_s: float


class Ends:
    """The ends that nobody was told of yet.

    Args:
        clock: board time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ends: dict[str, _End] = {}

    def seen(self, app: str, reason: str) -> None:
        """Note that an application's worker has ended; the first reason counts."""
        self._ends.setdefault(app, _End(reason, self._clock.now_s()))

    def forget(self, app: str) -> None:
        """Forget an application's end: the manager knows of it, or the application has left."""
        self._ends.pop(app, None)

    def due(self, board_at_s: float | None) -> dict[str, str]:
        """Return the reasons of the ends that are to be told now, by application.

        An end that was seen at 0.5 s is due with a report that was begun at 0.59 s, and not with one of 0.49 s.

        Args:
            board_at_s: board time when the board's latest report was begun; None if there is no new one.
        """
        now_s = self._clock.now_s()
        reported_s = -math.inf if board_at_s is None else board_at_s
        return {
            app: end.reason
            for app, end in self._ends.items()
            if end.seen_s < reported_s or self._clock.wall_s(now_s - end.seen_s) > _REASON_WALL_S
        }
