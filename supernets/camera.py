"""A camera, a stream or a recording as the pictures of an application. Knows no torch.

Needs OpenCV, which the extra `camera` installs.
"""

from __future__ import annotations

import atexit
import importlib.util
import logging
import threading
import time
import weakref
from contextlib import closing
from os import PathLike
from typing import Any

from supernets.errors import SupernetError
from supernets.pictures.addresses import Address, address_of
from supernets.pictures.captures import Frame, opened
from supernets.pictures.playback import Broken, frames

_SILENCE_S = 10.0
"""Longest time without a frame; after that a live source counts as lost, and so do its old frames."""

_CLOSE_S = 1.0
"""Longest wait for the reading thread to end; one that hangs inside OpenCV is left behind."""

_log = logging.getLogger(__name__)


class Camera:
    """A source that gives each request the newest frame: `App(..., source=Camera(0))`.

    A thread reads frames all the time. So a frame is never older than the camera makes it, and only the first request
    waits for one. A recording is played at its own speed by the wall clock, and starts again when it ends: frames for
    which the board is too slow are skipped, as a camera would. Live sources are not paced.

    A source that breaks is opened again: after 0.5 s, then after waits that grow to 8 s. Until it is back every request
    fails with the reason. A live source that has been silent for 10 s counts as broken (a stream after 5 s), so that no
    request is given an older frame.

    A camera is opened when the first frame is asked for, or as soon as the object arrives in another process (an
    application's worker), so that it is warm when requests come. A copy that is sent away never shares the device.
    Recordings and streams are also tried when the object is made; a camera may be in use, and is left alone until then.

    Args:
        device: a camera's number (0 is /dev/video0) or its path; the path of a video; the pattern of numbered pictures,
            `frames/%04d.jpg`; an address such as `rtsp://HOST/PATH` or `http://HOST/stream.mjpg`; or a GStreamer
            pipeline that ends in `appsink`.
        fps: frame rate at which a recording is played; None is its own. Numbered pictures need one.

    Raises:
        SupernetError: if there is no such camera or file, nothing answers at the address within 10 s, or OpenCV is not
            installed.
    """

    def __init__(self, device: int | str | PathLike[str], *, fps: float | None = None) -> None:
        if importlib.util.find_spec("cv2") is None:
            raise SupernetError("a Camera needs OpenCV; install it with: pip install 'gearshift[camera]'")
        self._address: Address = address_of(device, fps)
        self._set_up()
        if self._address.kind not in ("camera", "pipeline"):
            try:
                self._newest()
            finally:
                self.close()

    def __str__(self) -> str:
        return str(self._address)

    def __call__(self, request: int) -> Frame:
        """Return the newest frame, RGB of shape (height, width, 3).

        Args:
            request: number of the request; the frame does not depend on it.

        Raises:
            SupernetError: if no frame comes within 10 s, or the source is lost; it may come back.
        """
        try:
            return self._newest()
        except SupernetError as error:
            again = f"; it is opened again ({self._tries} times in vain so far)" if self._tries else ""
            raise SupernetError(f"{error}{again}") from None

    def close(self) -> None:
        """Release the device; the next request opens it again."""
        reader = self._reader
        self._closing.set()
        if reader is not None:
            reader.join(_CLOSE_S)
        self._set_up()

    def __getstate__(self) -> dict[str, Any]:
        return {"address": self._address}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._address = state["address"]
        self._set_up()
        self._open()

    def _set_up(self) -> None:
        _cameras.add(self)
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._frame: Frame | None = None
        self._frame_at_s = 0.0
        self._failure = ""
        self._tries = 0
        self._reader: threading.Thread | None = None

    def _open(self) -> None:
        with self._changed:
            if self._reader is None:
                clock = _WallClock(self._closing)
                self._reader = threading.Thread(target=self._read, args=(clock,), name=str(self), daemon=True)
                self._reader.start()

    def _newest(self) -> Frame:
        self._open()
        with self._changed:
            if not self._changed.wait_for(lambda: self._frame is not None or self._failure, _SILENCE_S):
                raise SupernetError(f"{self} gave no frame within {_SILENCE_S:g} s")
            if self._failure:
                raise SupernetError(self._failure)
            assert self._frame is not None
            silence_s = time.monotonic() - self._frame_at_s
            if silence_s > _SILENCE_S and not self._address.recorded:
                raise SupernetError(f"{self} has given no frame for {silence_s:.0f} s")
            return self._frame

    def _read(self, clock: _WallClock) -> None:
        given = False
        with closing(frames(lambda: opened(self._address), clock)) as results:
            for result in results:
                with self._changed:
                    if clock.closing.is_set():
                        return
                    if isinstance(result, Broken):
                        if given and not self._failure:
                            _log.warning("%s is lost; it is opened again in %g s", self, result.again_s)
                        self._failure = result.why or f"{self} gives no frames" + (" any more" if given else "")
                        self._tries += 1
                    else:
                        if given and self._failure:
                            _log.warning("%s gives frames again", self)
                        given = True
                        self._frame, self._frame_at_s = result, time.monotonic()
                        self._failure, self._tries = "", 0
                    self._changed.notify_all()


_cameras: weakref.WeakSet[Camera] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Close what is open: a thread that is in OpenCV when Python ends is torn out of C++, which aborts the process."""
    for camera in list(_cameras):
        camera.close()


class _WallClock:
    """The wall clock, whose waits end when the camera is closed."""

    def __init__(self, closing: threading.Event) -> None:
        self.closing = closing

    def now_s(self) -> float:
        """Return the present."""
        return time.monotonic()

    def wait(self, seconds: float) -> object:
        """Wait for so long, or until the camera is closed."""
        return self.closing.wait(seconds)
