"""How long a unit takes to change its clock: from asking for it until the kernel shows it in force, both ways.

What is asked goes through the journal and the knobs as in a run, so what they take is in it. Where a clock is set by
limits the kernel may obey some milliseconds after the write has returned, and the clock that it shows may be an average
over some more. The unit's cores are busy meanwhile, since many kernels show no new clock of an idle core.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from actors.agent.devices.real import RealClock
from actors.clock import Clock
from scheduler.board import SAME_CLOCK

_CHANGES = 5
"""Changes of clock each way."""
_FIRST_POLL_S = 50e-6
_POLL_GROWS = 1.15
_WITHIN_S = 0.1
"""The clock is looked at after 50 µs, then after spans that grow by 15 %, so what is found is at most that much too
long; after 0.1 s it is taken to be what it stays."""
_THERE = 0.9
"""A clock is in force once it has gone this share of the way: what a processor measures wavers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClockChanges:
    """Times that changes of a unit's clock took.

    Attributes:
        up_us: those from the lowest clock to the highest, in µs, rising.
        down_us: those back.
    """

    up_us: tuple[float, ...]
    down_us: tuple[float, ...]

    @property
    def typical_us(self) -> float:
        """The median of the slower way."""
        return max(median(self.up_us), median(self.down_us))

    @property
    def text(self) -> str:
        """The times in words, such as `up 140 µs (120 to 300), down 150 µs (130 to 160)`."""
        ways = (("up", self.up_us), ("down", self.down_us))
        return ", ".join(f"{way} {_short(median(us))} µs ({_short(us[0])} to {_short(us[-1])})" for way, us in ways)


def _short(figure: float) -> str:
    return f"{float(f'{figure:.3g}'):g}"


def clock_changes(knobs: RealClock, low_mhz: float, top_mhz: float, clock: Clock) -> ClockChanges | None:
    """Measure how long changes between two clocks take; None where the kernel shows none, or not at each change.

    Args:
        knobs: the knobs of the unit's clock, which are left at the lower one.
        low_mhz: the lower clock.
        top_mhz: the higher one.
        clock: board time.

    Raises:
        DeviceError: if a clock can't be set.
    """
    # The first only brings it there, and lets what the kernel shows settle.
    _change_s(knobs, low_mhz, clock)
    times: dict[float, list[float]] = {top_mhz: [], low_mhz: []}
    for _ in range(_CHANGES):
        for mhz, found_us in times.items():
            change_s = _change_s(knobs, mhz, clock)
            if change_s is None:
                knobs.set_clock(low_mhz)
                return None
            found_us.append(1e6 * change_s)
    return ClockChanges(up_us=tuple(sorted(times[top_mhz])), down_us=tuple(sorted(times[low_mhz])))


def _change_s(knobs: RealClock, mhz: float, clock: Clock) -> float | None:
    """Return how long one change takes; None where no change of clock shows."""
    before_mhz = _shown_mhz(knobs)
    begin_s = clock.now_s()
    knobs.set_clock(mhz)
    seen: list[tuple[float, float]] = []
    pause_s = _FIRST_POLL_S
    while not seen or seen[-1][0] < _WITHIN_S:
        now_mhz = _shown_mhz(knobs)
        after_s = clock.now_s() - begin_s
        if now_mhz is not None:
            seen.append((after_s, now_mhz))
        elif after_s > _WITHIN_S:
            return None
        clock.sleep_until(clock.now_s() + pause_s)
        pause_s *= _POLL_GROWS
    stays_mhz = seen[-1][1]
    if before_mhz is None or abs(stays_mhz - before_mhz) <= SAME_CLOCK * before_mhz:
        return None
    in_force = _there(before_mhz, stays_mhz)
    return next(after_s for after_s, now_mhz in seen if in_force(now_mhz))


def _there(before_mhz: float, stays_mhz: float) -> Callable[[float], bool]:
    return lambda mhz: (mhz - before_mhz) / (stays_mhz - before_mhz) >= _THERE


def _shown_mhz(knobs: RealClock) -> float | None:
    return knobs.look().mhz
