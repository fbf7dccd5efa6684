"""The rule for starting lost workers again: at once, then later and later, and after too many losses no more.

The first loss is followed by a start at once, each further one within `WITHIN_S` by a pause twice as long, beginning
with `FIRST_PAUSE_S`. An application that has lost `MOST_LOSSES` workers within `WITHIN_S` is *out*: its losses are then
no accident, and each start takes seconds of computing from its neighbours. systemd gives a service up after as many
starts (`StartLimitBurst=5`) within 10 s; a worker takes some seconds to come back, so the span is longer here. For
example, losses at 0, 3, 6, 9 and 12 s are followed by pauses of 0, 0.5, 1 and 2 s, and by the end.

It knows no clock and no process.
"""

from __future__ import annotations

from collections import deque

MOST_LOSSES = 5
WITHIN_S = 60.0
FIRST_PAUSE_S = 0.5


class Restarts:
    """The losses of one application's workers."""

    def __init__(self) -> None:
        self._lost_s: deque[float] = deque()

    def lost(self, now_s: float) -> float | None:
        """Take in that a worker was lost, or did not come back.

        Args:
            now_s: present time, board time; never earlier than in the call before.

        Returns:
            The pause before the next start, in seconds of board time; None if there is to be no other.
        """
        while self._lost_s and self._lost_s[0] <= now_s - WITHIN_S:
            self._lost_s.popleft()
        self._lost_s.append(now_s)
        losses = len(self._lost_s)
        if losses >= MOST_LOSSES:
            return None
        return FIRST_PAUSE_S * 2.0 ** (losses - 2) if losses > 1 else 0.0
