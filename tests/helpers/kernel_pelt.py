"""An oracle for load tracking and util_est, in the kernel's own arithmetic; the models use closed forms.

1024 ns count as a microsecond, a period is 1024 of those, and decay goes by 32 factors of 32 bits. Averages of tasks
are whole 1024ths and change when a period is full, as in the kernel; `KernelCore.util` is exact between periods too.
"""

from __future__ import annotations

PERIOD_US = 1024 * 1.024
_MAX = 47742
_FACTORS = tuple(int(0.5 ** (n / 32) * 2**32) - (n == 0) for n in range(32))


class KernelEntity:
    """A tracked utilisation, of a run queue or of one task."""

    def __init__(self) -> None:
        self.sum = self.average = 0
        self._contrib = self._updated_ns = 0

    def update(self, tracked_ns: int, running: bool) -> None:
        """Track that it was running or not until now, in the core's tracked time."""
        delta = (tracked_ns - self._updated_ns) >> 10
        self._updated_ns += delta << 10
        start, delta = self._contrib, delta + self._contrib
        periods, self._contrib = divmod(delta, 1024)
        part = self._contrib - start
        if periods:
            self.sum = _decayed(self.sum, periods)
            part = _decayed(1024 - start, periods) + _MAX - _decayed(_MAX, periods) - 1024
            part += self._contrib
        self.sum += (part << 10) * running
        if periods:
            self.average = self.sum // (_MAX - 1024 + self._contrib)

    @property
    def util(self) -> float:
        return self.sum / (_MAX - 1024 + self._contrib) / 1024

    @property
    def full(self) -> bool:
        return self.sum >= ((_MAX - 1024) << 10) - _MAX


def _decayed(value: int, periods: int) -> int:
    return (value >> (periods // 32)) * _FACTORS[periods % 32] >> 32 if periods <= 32 * 63 else 0


class KernelTask(KernelEntity):
    """A task, with the utilisation that is remembered while it sleeps."""

    def __init__(self) -> None:
        super().__init__()
        self.enqueued = self.ewma = 0

    @property
    def estimate(self) -> int:
        return max(self.ewma, self.enqueued)

    def learn(self) -> None:
        """Learn from the run that ended when the task went to sleep."""
        last, self.enqueued = self.enqueued, self.average
        if self.ewma < self.enqueued:
            self.ewma = self.enqueued
        elif self.ewma - self.enqueued >= 1024 // 100:
            self.ewma = (4 * self.ewma + self.enqueued - self.ewma) // 4
        elif abs(last - self.enqueued) < 1024 // 100:
            self.enqueued = last


class KernelCore:
    """A core's run queue, its tasks, and the clock by which they are tracked."""

    def __init__(self) -> None:
        self.queue = KernelEntity()
        self.tasks: dict[int, KernelTask] = {}
        self.estimate = 0
        self._tracked_ns = self._now_ns = 0

    @property
    def util(self) -> float:
        return self.queue.util

    def live(self, busy: bool, us: float, pace: float, task: int | None = None) -> None:
        """Let time pass in which the core is busy or idle, with that task if busy."""
        ns = round(us * 1000)
        self._now_ns += ns
        if busy:
            self._tracked_ns += ns * round(pace * 1024) >> 10
        else:
            if self.queue.full:  # what it is behind is lost, not idle
                self._now_ns = self._tracked_ns + ns
            self._tracked_ns = self._now_ns
        self.queue.update(self._tracked_ns, busy)
        if task is not None:
            self.tasks[task].update(self._tracked_ns, busy)

    def wake(self, number: int) -> None:
        """Enqueue a task."""
        task = self.tasks.setdefault(number, KernelTask())
        task.update(self._tracked_ns, False)
        self.estimate += task.estimate

    def sleep(self, number: int) -> None:
        """Dequeue a task."""
        task = self.tasks[number]
        self.estimate -= task.estimate
        task.learn()
