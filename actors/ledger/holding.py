"""The bound on how long a request may hold its cores, as a watch that others keep.

A holder that is stopped (SIGSTOP, a debugger) is overdue after `STOPPED_WALL_S`: it gets no further, whatever its
request takes. Any other is overdue once it has held its cores for `LEAST_WALL_S`, and its unit has meanwhile gone
through `MULTIPLE` times the work of the slowest inference that its profile has. Progress is work at the clocks and
beside the load in force, so a low clock, a load and a time scale make the bound longer by themselves. For example, the
slowest of 600 ms at the top clock may hold its cores for 2.4 s there, and for 4.8 s at half of it.

- The multiple is 2 · 2: an inference may take twice the slowest of those that were measured undisturbed, since a
  profile has some tens of samples; and twice as long again beside neighbours that use the same caches and memory.
- `LEAST_WALL_S` is more than twice the longest gap in which a virtual machine was seen to stand still (0.8 s): nobody
  can tell a holder on a core that the hypervisor has taken away from one that hangs.
- Only time that the watcher itself saw pass counts, a little at each look. So if all the machine stands still, or
  everything is stopped and goes on, nobody is overdue for it.

It knows no processes and no shared memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

STOPPED_WALL_S = 0.1
LEAST_WALL_S = 2.0
MULTIPLE = 4.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """A request that holds cores, as it is seen at one moment.

    Attributes:
        ticket: number of its lease.
        stopped: True if its process is stopped.
        progress_ms: profiled ms that its unit has got through since it got its cores.
        most_ms: the slowest inference of its profile; infinite for one that may hold its cores for ever.
    """

    ticket: float
    stopped: bool
    progress_ms: float
    most_ms: float

    @property
    def most_progress_ms(self) -> float:
        """The progress above which it is overdue."""
        return MULTIPLE * self.most_ms


@dataclass(slots=True)
class _Seen:
    at_s: float
    held_s: float = 0.0
    stopped: bool = False
    stopped_s: float = 0.0


class HoldingWatch:
    """Watches the holders of one unit's cores from one process.

    Args:
        longest_look_s: most time that counts between two looks, in seconds on the wall.
    """

    def __init__(self, longest_look_s: float) -> None:
        self._longest_look_s = longest_look_s
        self._seen: dict[float, _Seen] = {}

    def overdue(self, held: Sequence[Held], wall_s: float) -> list[Held]:
        """Take in who holds cores now, and return those of them that are overdue.

        Args:
            held: all requests that hold cores of the unit; a lease that is missing has ended.
            wall_s: the present on the wall, in seconds.
        """
        before, self._seen = self._seen, {}
        for one in held:
            seen = before.get(one.ticket) or _Seen(at_s=wall_s)
            passed_s = min(max(0.0, wall_s - seen.at_s), self._longest_look_s)
            seen.held_s += passed_s
            # Stopped at both ends of the time between two looks counts as stopped all of it.
            seen.stopped_s = seen.stopped_s + passed_s if one.stopped and seen.stopped else 0.0
            seen.at_s, seen.stopped = wall_s, one.stopped
            self._seen[one.ticket] = seen
        return [one for one in held if self._is_overdue(one)]

    def _is_overdue(self, one: Held) -> bool:
        seen = self._seen[one.ticket]
        if seen.stopped_s >= STOPPED_WALL_S:
            return True
        return seen.held_s >= LEAST_WALL_S and one.progress_ms >= one.most_progress_ms and one.most_ms < math.inf
