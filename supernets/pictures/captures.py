"""The captures that frames are read from: what OpenCV opens, and numbered pictures. Knows no threads and no time."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from supernets.errors import SupernetError
from supernets.pictures import images
from supernets.pictures.addresses import ALWAYS_LIVE, Address, numbered

Frame = NDArray[np.uint8]
"""RGB, shape (height, width, 3)."""

_OPEN_TIMEOUT_MS = 5_000
_READ_TIMEOUT_MS = 5_000
"""Longest wait of OpenCV for a stream's next data; after that the stream counts as broken."""


class Capture(Protocol):
    """An open source of frames."""

    @property
    def live(self) -> bool:
        """True if frames come when they are made; False for a recording, which must be played."""
        ...

    @property
    def at_s(self) -> float:
        """Time of the frame that was grabbed last, in seconds from the start of the recording."""
        ...

    @property
    def period_s(self) -> float:
        """Time between two frames of a recording, as it says itself, in seconds."""
        ...

    def grab(self) -> bool:
        """Go on to the next frame; False at the end, or where the source is broken."""
        ...

    def frame(self) -> Frame | None:
        """Return the frame that was grabbed; None where it is broken."""
        ...

    def seek(self, at_s: float) -> None:
        """Try to go to a time of a recording, so that the next `grab` gives the frame there."""
        ...

    def release(self) -> None:
        """Let go of the device, the file or the connection."""
        ...


def opened(address: Address) -> Capture | None:
    """Open a source; None where that fails, also for want of an answer within 5 s.

    Raises:
        SupernetError: if a recording does not say its frame rate, or a live source was given one.
    """
    if address.kind == "pictures":
        assert address.fps is not None
        return PictureSequence(numbered(Path(str(address.place))), address.fps)
    capture = _video_capture(address)
    if not capture.isOpened():
        return None
    found = OpenCVCapture(capture, address)
    wrong = ""
    if found.live and address.fps is not None:
        wrong = "has no end, so it gives frames at its own rate. Leave fps out"
    elif not found.live and found.period_s == math.inf:
        wrong = "does not say its frame rate; give it: Camera(..., fps=25)"
    if wrong:
        found.release()
        raise SupernetError(f"{address} {wrong}")
    return found


def _video_capture(address: Address) -> Any:
    import cv2

    place = address.place
    match address.kind:
        case "camera":
            # By name OpenCV would take a device for a video file first.
            return cv2.VideoCapture(place, cv2.CAP_V4L2) if isinstance(place, str) else cv2.VideoCapture(place)
        case "pipeline":
            return cv2.VideoCapture(place, cv2.CAP_GSTREAMER)
        case "stream" if cv2.videoio_registry.hasBackend(cv2.CAP_FFMPEG):
            waits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _OPEN_TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, _READ_TIMEOUT_MS]
            return cv2.VideoCapture(place, cv2.CAP_FFMPEG, waits)
        case _:
            return cv2.VideoCapture(place)


class OpenCVCapture:
    """A `cv2.VideoCapture` that is open.

    Args:
        capture: the open capture.
        address: where it came from.
    """

    def __init__(self, capture: Any, address: Address) -> None:
        import cv2

        self._capture = capture
        self._milliseconds, self._frames = cv2.CAP_PROP_POS_MSEC, cv2.CAP_PROP_POS_FRAMES
        self._fps = address.fps
        self._number = -1
        self._at_s = 0.0
        fps = address.fps or capture.get(cv2.CAP_PROP_FPS)
        self._period_s = 1 / fps if 0 < fps < math.inf else math.inf
        match address.kind:
            case "video":
                self._live = False
            case "stream" if urlsplit(str(address.place)).scheme.lower() not in ALWAYS_LIVE:
                # A file behind an address has an end, and OpenCV knows where; for a stream it says a negative number.
                self._live = not capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0
            case _:
                self._live = True

    @property
    def live(self) -> bool:
        """True for a camera, a pipeline and a stream without an end."""
        return self._live

    @property
    def at_s(self) -> float:
        """Time of the frame by its own time stamp, or by its number where the user gave the rate."""
        return self._at_s

    @property
    def period_s(self) -> float:
        """One over the frame rate; infinite where that is not known."""
        return self._period_s

    def grab(self) -> bool:
        """Go on to the next frame."""
        if not self._capture.grab():
            return False
        self._number += 1
        stamp_s = self._capture.get(self._milliseconds) / 1000
        if self._fps is not None:
            self._at_s = self._number / self._fps
        elif self._number == 0 or stamp_s > self._at_s:
            self._at_s = stamp_s
        else:  # some containers have no time stamps
            self._at_s += self._period_s
        return True

    def frame(self) -> Frame | None:
        """Return the frame that was grabbed."""
        there, frame = self._capture.retrieve()
        return np.asarray(frame, np.uint8)[:, :, ::-1] if there else None  # OpenCV has blue first

    def seek(self, at_s: float) -> None:
        """Go to a time."""
        if self._fps is None:
            self._capture.set(self._milliseconds, at_s * 1000)
            self._at_s = 0.0  # so that an earlier time stamp is believed too
        else:
            self._number = round(at_s * self._fps) - 1
            self._capture.set(self._frames, self._number + 1)

    def release(self) -> None:
        """Let go of the source."""
        self._capture.release()


class PictureSequence:
    """Numbered pictures as a recording.

    Args:
        files: the pictures in order.
        fps: pictures a second.
    """

    live = False

    def __init__(self, files: list[Path], fps: float) -> None:
        self._files = files
        self._fps = fps
        self._number = -1

    @property
    def at_s(self) -> float:
        """Time of the picture."""
        return self._number / self._fps

    @property
    def period_s(self) -> float:
        """Time between two pictures."""
        return 1 / self._fps

    def grab(self) -> bool:
        """Go on to the next picture."""
        self._number += 1
        return self._number < len(self._files)

    def frame(self) -> Frame | None:
        """Read the picture.

        Raises:
            SupernetError: if it can't be read.
        """
        return np.asarray(images.read(self._files[self._number]))

    def seek(self, at_s: float) -> None:
        """Go to a time."""
        self._number = round(at_s * self._fps) - 1

    def release(self) -> None:
        """Do nothing: no picture is kept open."""
