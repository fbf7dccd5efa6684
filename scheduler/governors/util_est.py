"""util_est: the estimate of what a task needs, which its tracked utilisation has forgotten while it slept.

Source: `util_est_enqueue`, `util_est_dequeue` and `util_est_update` in `kernel/sched/fair.c`, Linux 5.11 to 6.7.

It knows the tasks of one core by number, and when each of them runs there. A task that moves to another core is another
task here.
"""

from __future__ import annotations

from math import exp2

from scheduler.governors.pelt import HALF_LIFE_US

WEIGHT = 1 / 4
"""Weight of the newest activation in a task's average (`UTIL_EST_WEIGHT_SHIFT`)."""

MARGIN = 10 / 1024
"""Distance of the newest activation below an average up to which the average stays (`UTIL_EST_MARGIN`)."""


class EnqueuedTasks:
    """The estimated utilisation of the tasks that are enqueued on one core: the sum of their estimates.

    At most one task is enqueued: a task that waits for a core sleeps here, as one that waits for a lock does. A task
    that is not known by its number counts for nothing.

    Attributes:
        util: the estimate, 0 to 1, as a share of the board's largest core.
    """

    __slots__ = ("_number", "_running", "_tasks", "util")

    def __init__(self) -> None:
        self.util = 0.0
        self._tasks: dict[int, _TaskEstimate] = {}
        self._number: int | None = None
        self._running: _TaskEstimate | None = None

    def edge(self, tracked_us: float, number: int | None) -> None:
        """Take in the task that runs there from now on; it may be the same as before.

        Args:
            tracked_us: present time by which load on that core is tracked (`CoreLoad.tracked_us`), in µs.
            number: number of the task; None if none runs there, or none that is known.
        """
        if number == self._number:
            return
        if self._running is not None:
            self._running.sleep(tracked_us)
        self._number = number
        if number is None:
            self._running = None
            self.util = 0.0
            return
        running = self._tasks.get(number)
        if running is None:
            running = self._tasks[number] = _TaskEstimate()
        running.wake(tracked_us)
        self._running = running
        self.util = running.estimate


class _TaskEstimate:
    """One task: its tracked utilisation at its last edge, and the average of it at the moments of going to sleep.

    Attributes:
        estimate: that average, 0 to 1; the utilisation that the task is counted with while it is enqueued.
    """

    __slots__ = ("_at_us", "_util", "estimate")

    def __init__(self) -> None:
        self.estimate = 0.0
        self._util = 0.0
        self._at_us = 0.0

    def wake(self, tracked_us: float) -> None:
        """Let the utilisation fade for the time asleep (PELT)."""
        self._util *= exp2((self._at_us - tracked_us) / HALF_LIFE_US)
        self._at_us = tracked_us

    def sleep(self, tracked_us: float) -> None:
        """Let the utilisation rise for the time that the task ran (PELT), and bring the estimate up to date."""
        self._util = 1 - (1 - self._util) * exp2((self._at_us - tracked_us) / HALF_LIFE_US)
        self._at_us = tracked_us
        # The kernel counts a task with the larger of its last utilisation on going to sleep and the average of those.
        # The average rises at once to what is above it (`UTIL_EST_FASTUP`, since 5.5), so it is always the larger.
        fallen = self.estimate - self._util
        if fallen < 0:
            self.estimate = self._util
        elif fallen >= MARGIN:
            self.estimate -= WEIGHT * fallen
