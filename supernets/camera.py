"""A camera or a video as the pictures of an application. Knows no torch.

Needs OpenCV, which the extra `camera` installs.
"""

from __future__ import annotations

import importlib.util
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from supernets.errors import SupernetError

_FIRST_FRAME_S = 10.0
_USUAL_FPS = 30.0
"""Frame rate of a video that does not say its own."""


class Camera:
    """A source that gives each request the newest frame: `App(..., source=Camera(0))`.

    A thread reads frames all the time. So a frame is never older than the camera makes it, and only the first request
    waits for one. A video is played at its own frame rate by the wall clock, and starts again when it ends.

    A camera is opened when the first frame is asked for, or as soon as the object arrives in another process (an
    application's worker), so that it is warm when requests come. A copy that is sent away never shares the device.

    Args:
        device: number of a camera (0 is /dev/video0), or the path of a video.

    Raises:
        SupernetError: if there is no such camera or file, or OpenCV is not installed.
    """

    def __init__(self, device: int | str | Path) -> None:
        self.device = device if isinstance(device, int) else str(Path(device).resolve())
        if importlib.util.find_spec("cv2") is None:
            raise SupernetError(f"{self} needs OpenCV; install it with: pip install 'gearshift[camera]'")
        file = Path(f"/dev/video{device}" if isinstance(device, int) else device)
        if not file.exists():
            raise SupernetError(f"{self}: there is no {file}")
        self._set_up()
        if isinstance(self.device, str):
            # A video can be tried beforehand; a camera may be in use, and is left alone until it is needed.
            self(0)
            self.close()

    def __str__(self) -> str:
        return f"camera {self.device}" if isinstance(self.device, int) else f"video {self.device}"

    def __call__(self, request: int) -> NDArray[np.uint8]:
        """Return the newest frame, RGB of shape (height, width, 3).

        Args:
            request: number of the request; the frame does not depend on it.

        Raises:
            SupernetError: if no frame comes within 10 s, or the camera was lost.
        """
        self._open()
        with self._changed:
            if not self._changed.wait_for(lambda: self._frame is not None or self._failure, _FIRST_FRAME_S):
                raise SupernetError(f"{self} gave no frame within {_FIRST_FRAME_S:g} s")
            if self._failure:
                raise SupernetError(self._failure)
            assert self._frame is not None
            return self._frame

    def close(self) -> None:
        """Release the device; the next request opens it again."""
        reader = self._reader
        self._closing.set()
        if reader is not None:
            reader.join()
        self._set_up()

    def __getstate__(self) -> dict[str, Any]:
        return {"device": self.device}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.device = state["device"]
        self._set_up()
        self._open()

    def _set_up(self) -> None:
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._frame: NDArray[np.uint8] | None = None
        self._failure = ""
        self._reader: threading.Thread | None = None

    def _open(self) -> None:
        with self._changed:
            if self._reader is None:
                self._reader = threading.Thread(target=self._read, name=str(self), daemon=True)
                self._reader.start()

    def _read(self) -> None:
        import cv2

        capture = cv2.VideoCapture(self.device)
        pause_s = 0.0  # a camera waits for its next frame by itself
        if isinstance(self.device, str):
            pause_s = 1 / (capture.get(cv2.CAP_PROP_FPS) or _USUAL_FPS)
        try:
            while not self._closing.wait(pause_s):
                there, frame = capture.read()
                if not there and isinstance(self.device, str):
                    capture.open(self.device)
                    there, frame = capture.read()
                with self._changed:
                    if there:
                        self._frame = np.asarray(frame, np.uint8)[:, :, ::-1]  # OpenCV has blue first
                    else:
                        self._failure = f"{self} gives no frames" + (" any more" if self._frame is not None else "")
                    self._changed.notify_all()
                if not there:
                    return
        finally:
            capture.release()
