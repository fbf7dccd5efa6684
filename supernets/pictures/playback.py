"""Turns captures into a flow of frames: recordings at their own speed, live sources as they come, broken ones again.

Time is handed in, so that tests play hours in a blink. Knows no OpenCV and no threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Protocol

from supernets.errors import SupernetError
from supernets.pictures.captures import Capture, Frame

FIRST_BACK_OFF_S = 0.5
LONGEST_BACK_OFF_S = 8.0
"""Waits before a source that gives nothing is opened again: 0.5 s at first, each twice as long, up to 8 s."""

_FAR_BEHIND_S = 1.0
"""Lateness at which a recording is not decoded frame by frame any more: it jumps to where it should be."""

_LONGEST_SKIP_S = 0.1
"""Longest time in which late frames are skipped before one is shown all the same."""

_SNAPSHOT_S = 0.1
"""Wait between two pictures of an address that gives one picture a request, as many cameras have."""


class Clock(Protocol):
    """The time by which frames are played."""

    def now_s(self) -> float:
        """Return the present, in seconds from any moment."""
        ...

    def wait(self, seconds: float) -> object:
        """Wait for so long, or until the source is to be closed."""
        ...


@dataclass(frozen=True, slots=True)
class Broken:
    """A source gave no frame: it can't be opened, or was lost.

    Attributes:
        why: the reason; empty where none is known.
        again_s: wait before it is opened again, in seconds.
    """

    why: str
    again_s: float


def frames(opened: Callable[[], Capture | None], clock: Clock) -> Generator[Frame | Broken]:
    """Yield frames for ever, each when it is due, and a `Broken` each time that there are none.

    A recording starts again when it ends. Whatever ends otherwise is opened again after a wait, which grows from 0.5 to
    8 s while it stays broken. Whoever takes the frames ends it by closing the generator.

    Args:
        opened: opens the source; None where that fails.
        clock: the time.
    """
    playback = Playback(clock)
    back_off_s = FIRST_BACK_OFF_S
    while True:
        count, live, why = 0, False, ""
        try:
            capture = opened()
            if capture is not None:
                live = capture.live
                try:
                    for frame in _as_they_come(capture) if live else playback.play(capture):
                        count += 1
                        yield frame
                finally:
                    capture.release()
        except Exception as error:  # whatever a decoder raises, the source is opened again
            count, why = 0, str(error) if isinstance(error, SupernetError) else f"{type(error).__name__}: {error}"
        if count:
            back_off_s = FIRST_BACK_OFF_S
        if count and not live:
            continue
        if count == 1:
            clock.wait(_SNAPSHOT_S)
            continue
        yield Broken(why, back_off_s)
        clock.wait(back_off_s)
        back_off_s = min(2 * back_off_s, LONGEST_BACK_OFF_S)


def _as_they_come(capture: Capture) -> Iterator[Frame]:
    while capture.grab():
        frame = capture.frame()
        if frame is None:
            return
        yield frame


class Playback:
    """Plays a recording by an absolute schedule.

    A frame of 10.0 s is shown 10.0 s after the start, however long decoding takes. Frames that are late by a frame are
    skipped, as a camera would have gone on. Where even decoding is too slow, the recording jumps ahead. So its speed is
    right on every board, and a slow one sees fewer frames.

    Args:
        clock: the time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next_s = -math.inf  # when the next pass is due to begin

    def play(self, capture: Capture) -> Iterator[Frame]:
        """Yield the frames from the start to the end, each when it is due; the next pass goes on in time."""
        clock = self._clock
        began_s = self._next_s
        shown_s = -math.inf
        gap_s, before_s = capture.period_s, -math.inf  # to the frame before; time of that
        sought_s: float | None = None  # halfway to where it was last sent, until a frame is shown
        seeks = True
        while capture.grab():
            at_s = capture.at_s
            now_s = clock.now_s()
            if before_s == -math.inf and not now_s - began_s < _FAR_BEHIND_S:
                began_s = now_s - at_s  # the first pass, or one whose opening took long
            if sought_s is not None and at_s < sought_s:
                seeks = False  # it hardly moved, so it can't: then it has to be slower than it should
            gap_s = at_s - before_s if 0 < at_s - before_s < math.inf else gap_s
            before_s = at_s
            late_s = now_s - began_s - at_s
            if late_s > _FAR_BEHIND_S and sought_s is None:
                if seeks:
                    sought_s = at_s + late_s / 2
                    capture.seek(at_s + late_s)
                    continue
                began_s, late_s = now_s - at_s, 0.0
            if late_s >= gap_s and now_s - shown_s < _LONGEST_SKIP_S:
                continue
            if late_s < 0:
                clock.wait(-late_s)
            frame = capture.frame()
            if frame is None:
                break
            yield frame
            shown_s, sought_s = clock.now_s(), None
        self._next_s = began_s + before_s + gap_s
