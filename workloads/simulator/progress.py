"""How far requests get on a simulated unit: the integral of their pace over the clocks in force."""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.board import BoardUnit

MAX_OTHER_LOAD_SIMULATED = 0.999
"""The share of a core that others take at most: a request beside others who want all of it does end."""


class Progress:
    """The progress of all requests whose networks have the unit's memory share, or of one with a share of its own.

    Args:
        by_clock: by clock, the profiled ms that a core gets through in a second if it has the core alone.

    Attributes:
        pace: profiled ms that a core gets through in a second now, beside the load of others and slowed down.
        slowdown: how many times as long requests take as clock and load explain.
        done_ms: profiled time that a core taken since the start would have got through: the integral of the pace.
        hidden_ms: profiled time that it would have got through besides, but for slowdowns.
    """

    __slots__ = ("_by_clock", "done_ms", "hidden_ms", "pace", "slowdown")

    def __init__(self, by_clock: Sequence[float]) -> None:
        self._by_clock = by_clock
        self.pace = by_clock[0]
        self.slowdown = 1.0
        self.done_ms = self.hidden_ms = 0.0

    def set_pace(self, place: int, free: float, slowdown: float) -> None:
        """Go on at the clock of that place, with that share of each core free of the load of others, slowed down."""
        self.pace = self._by_clock[place] * free / slowdown
        self.slowdown = slowdown


class UnitProgress:
    """All progress on one unit.

    Args:
        spec: the unit as `cluster.yaml` describes it.

    Attributes:
        shared: that of requests whose networks have no memory share of their own.
        all: the same, and one for each running request whose network has a share of its own.
    """

    def __init__(self, spec: BoardUnit) -> None:
        self._spec = spec
        self._by_clock: dict[float | None, list[float]] = {}
        self._place, self._free, self._slowdown = 0, 1.0, 1.0
        self.shared = self._new(None)
        self.all = [self.shared]

    def begin(self, memory_share: float | None) -> Progress:
        """Return the progress of a request that begins.

        Args:
            memory_share: its network's own; None for the unit's.
        """
        if memory_share is None:
            return self.shared
        own = self._new(memory_share)
        self.all.append(own)
        return own

    def end(self, progress: Progress) -> None:
        """Forget the progress of a request that has ended, unless others share it."""
        if progress is not self.shared:
            self.all.remove(progress)

    def set_pace(self, place: int, other_load: float) -> None:
        """Have all requests go on at the clock of that place, with that share of each core taken by others."""
        self._place, self._free = place, 1 - min(other_load, MAX_OTHER_LOAD_SIMULATED)
        self._re_pace()

    def slow(self, slowdown: float) -> None:
        """Have all requests take so many times as long from now on."""
        self._slowdown = slowdown
        self._re_pace()

    def pass_time(self, span_s: float) -> None:
        """Count a span in which all paces stayed as they are."""
        for progress in self.all:
            progress.done_ms += span_s * progress.pace
        if self._slowdown != 1:
            for progress in self.all:
                progress.hidden_ms += span_s * progress.pace * (self._slowdown - 1)

    def _re_pace(self) -> None:
        for progress in self.all:
            progress.set_pace(self._place, self._free, self._slowdown)

    def _new(self, memory_share: float | None) -> Progress:
        if memory_share not in self._by_clock:
            self._by_clock[memory_share] = [1e3 * self._spec.pace(mhz, memory_share) for mhz in self._spec.mhz]
        progress = Progress(self._by_clock[memory_share])
        progress.set_pace(self._place, self._free, self._slowdown)
        return progress
