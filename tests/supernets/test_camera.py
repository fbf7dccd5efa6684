"""A video as an app's source, in the place of a camera."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from supernets import SupernetError
from supernets.artifact import Artifact
from supernets.camera import Camera
from supernets.pictures.sources import Called, ImageTask

SHADES = (20, 120, 220)
"""Values of red, one for each frame; green and blue stay dark."""


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "road.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 50.0, (64, 48))
    for shade in SHADES:
        frame = np.zeros((48, 64, 3), dtype=np.uint8)
        frame[:, :, 2] = shade  # OpenCV has blue first
        writer.write(frame)
    writer.release()
    return path


@pytest.fixture
def opened() -> Iterator[Callable[[Camera], Camera]]:
    cameras: list[Camera] = []

    def remember(camera: Camera) -> Camera:
        cameras.append(camera)
        return camera

    yield remember
    for camera in cameras:
        camera.close()


def shade(frame: np.ndarray) -> int:
    """Return the one of `SHADES` that a frame shows."""
    red = frame[:, :, 0].mean()
    return min(SHADES, key=lambda shade: abs(shade - red))


def readers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("video")]


def test_frames_are_rgb_and_come_one_after_another_again_and_again(video: Path, opened) -> None:
    camera = opened(Camera(video))
    frame = camera(0)
    assert (frame.shape, frame.dtype) == ((48, 64, 3), np.uint8)
    assert frame[:, :, 1:].mean() < 30
    seen = [shade(frame)]
    while len(seen) < 3 * len(SHADES):  # a video that stopped at its end would never get there
        now = shade(camera(1))
        if now != seen[-1]:
            seen.append(now)
    assert set(seen) == set(SHADES)


def test_a_request_gets_the_newest_frame_and_does_not_wait_for_the_next(video: Path, opened) -> None:
    camera = opened(Camera(video))
    frames = [camera(number) for number in range(2000)]  # at 50 a second they would take 40 s
    assert len({id(frame) for frame in frames}) < 1000


def test_a_copy_in_another_process_opens_the_device_for_itself(video: Path, opened) -> None:
    before = readers()
    camera = Camera(video)
    assert readers() == before  # it was tried, and let go of
    sent = pickle.dumps(camera)
    assert readers() == before
    copy = opened(pickle.loads(sent))
    assert len(readers()) == len(before) + 1  # warm before the first request
    assert shade(copy(0)) in SHADES


def test_a_closed_camera_opens_again(video: Path, opened) -> None:
    before = readers()
    camera = opened(Camera(video))
    camera(0)
    camera.close()
    assert readers() == before
    assert shade(camera(1)) in SHADES


def test_a_camera_is_a_source_of_photos(video: Path, opened) -> None:
    artifact = Artifact(subnet="classifier", path="", input_shape=(1, 3, 128, 128), weights_hash="")
    source = Called(ImageTask(), opened(Camera(video)))
    x = source.inputs(artifact)(0)
    assert (x.shape, x.dtype) == (artifact.input_shape, np.float32)
    assert source.score(0, np.zeros((1, 1000), dtype=np.float32)) is None


def test_what_can_not_be_a_camera_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SupernetError, match=r"camera 77: there is no /dev/video77"):
        Camera(77)
    with pytest.raises(SupernetError, match=r"video .*absent.avi: there is no"):
        Camera(tmp_path / "absent.avi")
    (tmp_path / "notes.avi").write_text("no video")
    with pytest.raises(SupernetError, match=r"video .*notes.avi gives no frames$"):
        Camera(tmp_path / "notes.avi")
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(SupernetError, match=r"needs OpenCV; install it with: pip install 'gearshift\[camera\]'"):
        Camera(0)
