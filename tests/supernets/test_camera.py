"""A video serves as an application's source, in the place of a camera."""

from __future__ import annotations

import http.server
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from supernets import SupernetError
from supernets.artifact import Artifact
from supernets.camera import Camera
from supernets.pictures.tasks import ImageTask
from supernets.task import Called

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


def test_a_program_may_end_while_a_camera_reads(video: Path) -> None:
    code = "import sys; from supernets.camera import Camera; camera = Camera(sys.argv[1]); camera(0)"
    end = "; import atexit; atexit._run_exitfuncs(); import threading; print(threading.active_count())"
    ended = subprocess.run([sys.executable, "-c", code + end, str(video)], capture_output=True, text=True, check=False)
    # The reader is gone before Python takes itself down, so nothing is torn out of OpenCV.
    assert (ended.returncode, ended.stdout.strip()) == (0, "1"), ended.stderr


def test_a_camera_is_a_source_of_photos(video: Path, opened) -> None:
    artifact = Artifact(subnet="classifier", path="", input_shape=(1, 3, 128, 128), weights_hash="")
    source = Called(ImageTask(), opened(Camera(video)))
    x = source.inputs(artifact)(0)
    assert (x.shape, x.dtype) == (artifact.input_shape, np.float32)
    assert source.score(0, np.zeros((1, 1000), dtype=np.float32)) is None


class Stream(http.server.BaseHTTPRequestHandler):
    """Serves one frame again and again as MJPEG, until `cut` is set; then it refuses until it is cleared."""

    jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), (0, 0, SHADES[2]), np.uint8))[1].tobytes()
    cut = threading.Event()

    def do_GET(self) -> None:
        if self.cut.is_set():
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(self.jpeg)}\r\n\r\n".encode()
        try:
            while not self.cut.wait(0.01):
                self.wfile.write(head + self.jpeg + b"\r\n")
        except OSError:
            pass

    def log_message(self, *arguments: object) -> None:
        pass


def failures(camera: Camera, *, until: bool) -> str:
    """Ask until requests fail, or until they don't, and return what the last failure said."""
    said = ""
    while True:
        try:
            camera(1)
            failed = False
        except SupernetError as error:
            failed, said = True, str(error)
        if failed is until:
            return said
        threading.Event().wait(0.01)


def test_a_stream_that_breaks_fails_requests_with_a_reason_until_it_is_back(opened, caplog) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        camera = opened(Camera(f"http://admin:secret@127.0.0.1:{server.server_port}/1.mjpg"))
        assert shade(camera(0)) == SHADES[2]
        Stream.cut.set()
        assert " gives no frames any more; it is opened again (" in failures(camera, until=True)
        Stream.cut.clear()
        failures(camera, until=False)
        assert shade(camera(2)) == SHADES[2]
        camera.close()
    finally:
        Stream.cut.set()
        server.shutdown()
        server.server_close()
        Stream.cut.clear()
    said = [record.getMessage() for record in caplog.records]
    assert [line.rpartition("1.mjpg ")[2] for line in said] == [
        "is lost; it is opened again in 0.5 s",
        "gives frames again",
    ]


def test_an_address_that_does_not_answer_is_refused_and_nobody_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supernets.pictures.captures._OPEN_TIMEOUT_MS", 200)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        for address in (
            f"http://127.0.0.1:{silent.getsockname()[1]}/1",
            f"rtsp://127.0.0.1:{silent.getsockname()[1]}/1",
        ):
            with pytest.raises(SupernetError, match=rf"stream {address} gives no frames$"):
                Camera(address)
    monkeypatch.setattr("supernets.camera._SILENCE_S", 0.05)
    monkeypatch.setattr("supernets.camera._CLOSE_S", 0.0)
    monkeypatch.setattr("supernets.camera.opened", lambda address: threading.Event().wait(1))  # as DNS may hang
    with pytest.raises(SupernetError, match=r"stream rtsp://gate.local/1 gave no frame within 0.05 s"):
        Camera("rtsp://gate.local/1")


def test_numbered_pictures_play_at_the_rate_that_is_given(tmp_path: Path, opened) -> None:
    for number, red in enumerate(SHADES):
        frame = np.zeros((48, 64, 3), np.uint8)
        frame[:, :, 2] = red
        cv2.imwrite(str(tmp_path / f"{number:04}.png"), frame)
    camera = opened(pickle.loads(pickle.dumps(Camera(tmp_path / "%04d.png", fps=100))))
    seen: list[int] = []
    while len(seen) < 2 * len(SHADES):
        now = shade(camera(0))
        seen += [now] if seen[-1:] != [now] else []
    assert set(seen) == set(SHADES)


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
