"""Recordings play at their own speed on fast and slow boards, and broken sources are opened again; in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernets import SupernetError
from supernets.pictures.playback import FIRST_BACK_OFF_S, LONGEST_BACK_OFF_S, Broken, Frame, frames


class Time:
    """A clock on which only waits and a fake capture's work take time."""

    def __init__(self) -> None:
        self.at_s = 1000.0

    def now_s(self) -> float:
        return self.at_s

    def wait(self, seconds: float) -> None:
        assert seconds >= 0
        self.at_s += seconds


class Fake:
    """A capture of numbered frames whose decoding takes a set time."""

    def __init__(
        self,
        time: Time,
        count: int,
        *,
        fps: float = 30.0,
        live: bool = False,
        grab_s: float = 0.0,
        frame_s: float = 0.0,
        open_s: float = 0.0,
        stamps_s: list[float] | None = None,
        seeks: bool = True,
    ) -> None:
        self._time, self._count = time, count
        self._grab_s, self._frame_s, self._seeks = grab_s, frame_s, seeks
        self._stamps_s = stamps_s or [number / fps for number in range(count)]
        self.live, self.period_s = live, 1 / fps
        self.number = -1
        self.released = False
        time.wait(open_s)

    @property
    def at_s(self) -> float:
        return self._stamps_s[self.number]

    def grab(self) -> bool:
        assert not self.released
        self._time.wait(self._grab_s)
        self.number += 1
        return self.number < self._count

    def frame(self) -> Frame:
        self._time.wait(self._frame_s)
        return np.full((1, 1, 3), self.number % 256, np.uint8)

    def seek(self, at_s: float) -> None:
        if self._seeks:
            self.number = sum(stamp_s < at_s for stamp_s in self._stamps_s) - 1

    def release(self) -> None:
        self.released = True


def shown(time: Time, opened: Callable[[], Fake | None], count: int) -> list[tuple[float, int | str]]:
    """Return so many results: when each came, from the first on, and the number of the frame, or why there was none."""
    results: list[tuple[float, int | str]] = []
    for result in islice(frames(opened, time), count):
        results.append((time.at_s, result.why if isinstance(result, Broken) else int(result[0, 0, 0])))
    return [(at_s - results[0][0], what) for at_s, what in results]


def test_a_recording_plays_at_its_own_speed_again_and_again_however_long_decoding_takes() -> None:
    time = Time()
    # A third of each frame's time goes into decoding, and each opening takes 20 ms.
    came = shown(time, lambda: Fake(time, 10, fps=25, grab_s=0.01, frame_s=0.004, open_s=0.02), 100)
    for place, (at_s, number) in enumerate(came):
        assert number == place % 10
        assert at_s == pytest.approx(place / 25, abs=0.04)  # an opening delays, and its delay does not add up
    assert came[99][0] == pytest.approx(99 / 25, abs=1e-6)


@given(grab_ms=st.floats(0, 300), frame_ms=st.floats(0, 300), fps=st.sampled_from([5.0, 30.0, 120.0]))
def test_speed_is_right_on_the_slowest_board_too_and_frames_go_on_coming(
    grab_ms: float, frame_ms: float, fps: float
) -> None:
    time = Time()
    came = shown(time, lambda: Fake(time, 250, fps=fps, grab_s=grab_ms / 1000, frame_s=frame_ms / 1000), 20)
    work_s = (grab_ms + frame_ms) / 1000
    previous_s = 0.0
    for at_s, number in came:
        assert isinstance(number, int)
        behind_s = (at_s - number / fps) % (250 / fps)
        # A second until it jumps, the jump itself and what is decoded after it.
        assert min(behind_s, 250 / fps - behind_s) <= 1.0 + 3 * work_s + 2 / fps
        assert at_s - previous_s <= 0.1 + 3 * work_s + 2 / fps
        previous_s = at_s


def test_a_board_that_nearly_keeps_up_skips_single_frames() -> None:
    time = Time()
    came = shown(time, lambda: Fake(time, 250, fps=30, grab_s=0.02, frame_s=0.02), 60)  # 40 ms of work in 33 ms
    numbers = [number for _, number in came]
    assert numbers == sorted(numbers)
    assert {b - a for a, b in pairwise(numbers)} == {1, 2}  # type: ignore[operator]
    assert all(abs(at_s - number / 30) < 0.1 for at_s, number in came)  # type: ignore[operator]


def test_frames_of_uneven_rate_come_by_their_time_stamps() -> None:
    time = Time()
    stamps_s = [0.0, 0.1, 0.15, 0.9, 1.0]
    came = shown(time, lambda: Fake(time, 5, fps=1000, stamps_s=stamps_s, grab_s=0.01), 10)
    assert [at_s for at_s, _ in came] == pytest.approx([*stamps_s, *(1.1 + stamp_s for stamp_s in stamps_s)], abs=0.011)


def test_a_recording_that_can_not_jump_is_played_as_fast_as_the_board_can() -> None:
    time = Time()
    came = shown(time, lambda: Fake(time, 100, fps=30, grab_s=0.2, seeks=False), 50)
    # All but the one at which it tried to jump.
    assert {b - a for a, b in pairwise(number for _, number in came)} == {1, 2}  # type: ignore[operator]
    assert came[-1][1] in (49, 50)


def test_a_live_source_is_not_paced() -> None:
    time = Time()
    came = shown(time, lambda: Fake(time, 100, live=True, grab_s=0.001), 100)
    assert [at_s for at_s, _ in came] == pytest.approx([0.001 * place for place in range(100)])


def test_what_breaks_is_opened_again_with_growing_waits_and_comes_back() -> None:
    time = Time()
    captures = [Fake(time, 3, live=True), *[None] * 6, Fake(time, 2, live=True), None]
    kept = [capture for capture in captures if capture]
    came = shown(time, lambda: captures.pop(0), 3 + 7 + 2 + 2)
    waits_s = [FIRST_BACK_OFF_S, 1.0, 2.0, 4.0, LONGEST_BACK_OFF_S, LONGEST_BACK_OFF_S, LONGEST_BACK_OFF_S]
    broken_at_s = [sum(waits_s[:place]) for place in range(7)]
    assert came[:3] == [(0.0, 0), (0.0, 1), (0.0, 2)]
    assert came[3:10] == [(pytest.approx(at_s), "") for at_s in broken_at_s]
    back_s = sum(waits_s)
    assert came[10:] == [(back_s, 0), (back_s, 1), (back_s, ""), (back_s + FIRST_BACK_OFF_S, "")]
    assert all(capture.released for capture in kept)


def test_an_address_that_gives_one_picture_a_request_is_asked_ten_times_a_second() -> None:
    time = Time()
    came = shown(time, lambda: Fake(time, 1, live=True), 20)
    assert came == [(pytest.approx(place / 10), 0) for place in range(20)]


def test_whatever_a_decoder_raises_is_said_and_the_source_is_opened_again() -> None:
    time = Time()
    wrong = [SupernetError("says no frame rate"), RuntimeError("decoder")]

    def opened() -> Fake:
        if wrong:
            raise wrong.pop(0)
        return Fake(time, 5)

    came = shown(time, opened, 3)
    assert [what for _, what in came] == ["says no frame rate", "RuntimeError: decoder", 0]


def test_a_source_is_let_go_of_when_nobody_takes_its_frames_any_more() -> None:
    time = Time()
    capture = Fake(time, 5)
    flow = frames(lambda: capture, time)
    next(flow)
    flow.close()
    assert capture.released
