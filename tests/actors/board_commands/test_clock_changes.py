"""How long a change of clock takes is found from what the kernel shows, in virtual time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from actors.agent.devices.real import RealClock, Seen
from actors.board_commands.clock_changes import ClockChanges, clock_changes
from helpers.virtual_clock import VirtualClock

READ_S = 20e-6


class Obeying(RealClock):
    """A clock that is in force some time after it was asked for; a write and a read take 20 µs each."""

    def __init__(
        self, clock: VirtualClock, up_s: float, down_s: float, shown: Callable[[float, float], float | None]
    ) -> None:
        self.clock = clock
        self.delay_s = {True: up_s, False: down_s}
        self.shown = shown
        self.before = self.mhz = 500.0
        self.from_s = 0.0

    def set_clock(self, mhz: float) -> float:
        self.clock.sleep_until(self.clock.now_s() + READ_S)
        self.before, self.mhz = self.mhz, mhz
        self.from_s = self.clock.now_s() - READ_S + self.delay_s[mhz > self.before]
        return mhz

    def look(self) -> Seen:
        self.clock.sleep_until(self.clock.now_s() + READ_S)
        return Seen(mhz=self.shown(self.clock.now_s(), self.mhz if self.clock.now_s() >= self.from_s else self.before))

    def governors(self) -> tuple[str, ...]:
        return ()

    def govern(self, governor: str, max_mhz: float | None = None) -> None:
        raise AssertionError(governor)

    def keep(self) -> None:
        raise AssertionError


def truly(now_s: float, mhz: float) -> float:
    return mhz


def wavering(now_s: float, mhz: float) -> float:
    """As a processor counts it: up to 3 % beside, and below the highest that was asked for."""
    return min(mhz, 1900.0) * (1 + 0.03 * ((1e6 * now_s) % 7 - 3) / 3)


def found(
    up_s: float, down_s: float, shown: Callable[[float, float], float | None] = truly
) -> tuple[ClockChanges | None, Obeying]:
    clock = VirtualClock()
    knobs = Obeying(clock, up_s, down_s, shown)
    return clock_changes(knobs, 500.0, 2000.0, clock), knobs


@pytest.mark.parametrize("shown", [truly, wavering])
@pytest.mark.parametrize(("up_s", "down_s"), [(100e-6, 140e-6), (300e-6, 5e-3), (40e-3, 1e-3)])
def test_both_ways_are_found_to_what_polling_adds(
    up_s: float, down_s: float, shown: Callable[[float, float], float]
) -> None:
    changes, knobs = found(up_s, down_s, shown)
    assert changes is not None
    assert len(changes.up_us) == len(changes.down_us) == 5
    for us, true_s in ((changes.up_us, up_s), (changes.down_us, down_s)):
        assert all(1e6 * true_s <= one <= 1.15 * 1e6 * true_s + 100 for one in us)
    assert changes.typical_us >= 1e6 * max(up_s, down_s)
    assert knobs.mhz == 500.0


@pytest.mark.parametrize("shown", [lambda now_s, mhz: 500.0, lambda now_s, mhz: None])
def test_a_kernel_that_shows_no_change_tells_nothing(shown: Callable[[float, float], float | None]) -> None:
    changes, knobs = found(100e-6, 100e-6, shown)
    assert changes is None
    assert knobs.mhz == 500.0


def test_a_change_that_comes_later_than_anybody_waits_tells_nothing() -> None:
    assert found(10.0, 10.0)[0] is None


def test_the_times_in_words() -> None:
    changes = ClockChanges(up_us=(120.0, 140.0, 300.0), down_us=(1000.0, 2500.0, 4000.0))
    assert changes.text == "up 140 µs (120 to 300), down 2500 µs (1000 to 4000)"
    assert changes.typical_us == 2500.0
