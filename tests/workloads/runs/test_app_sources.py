"""What can't be an application's source is refused before anything starts, by the simulator in the board's words."""

from __future__ import annotations

import multiprocessing
import re
import socket
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from helpers.command_line import assert_refused, gearshift
from helpers.small_mixes import app, mix
from supernets.camera import Camera
from supernets.task import Called
from workloads.mix.errors import MixError
from workloads.mix.loader import load_mix
from workloads.runs.app_sources import check_sources, source_of
from workloads.runs.launch import run


def capture() -> Callable[[int], object]:
    held = cv2.VideoCapture()
    return lambda index: held.read()[1]


def writer() -> Callable[..., object]:
    held = cv2.VideoWriter()
    return lambda request, output: held.write(output)


def generator() -> Callable[[int], object]:
    held = (number for number in range(3))
    return lambda index: next(held)


def connection() -> Callable[[int], object]:
    held = socket.socket()
    return lambda index: held.recv(1)


def log(path: Path) -> Callable[..., object]:
    held = path.open("w")
    return lambda request, output: held.write("x")


class Reader:
    """A callable object that keeps a lock."""

    def __init__(self) -> None:
        self.held = threading.RLock()

    def __call__(self, index: int) -> object:
        return self.held

    def read(self, index: int) -> object:
        return self.held


class Hidden:
    """A callable object whose lock no name of its own leads to."""

    def __init__(self) -> None:
        self.parts = [{"lock": threading.Lock()}]

    def __call__(self, index: int) -> object:
        return self.parts


class Deep:
    """A callable object that no pickler gets to the end of."""

    def __init__(self) -> None:
        self.list: list[object] = []
        for _ in range(100_000):
            self.list = [self.list]

    def __call__(self, index: int) -> object:
        return self.list


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (capture, r"it holds 'held', of type cv2\.VideoCapture \("),
        (generator, r"it holds 'held', of type (builtins\.)?generator \("),
        (connection, r"it holds 'held', of type socket\.socket \("),
        (Reader, r"it holds 'held', of type _thread\.RLock \("),
        (lambda: Reader().read, r"it holds 'held', of type _thread\.RLock \("),
        (lambda: partial(lambda lock, index: lock, threading.Lock()), r"it holds an object of type _thread\.lock \("),
        (
            lambda: partial(lambda index, lock: lock, lock=threading.Lock()),
            r"it holds 'lock', of type _thread\.lock \(",
        ),
        (lambda: partial(Reader()), r"it holds 'held', of type _thread\.RLock \("),
        (lambda: multiprocessing.Lock().acquire, r"can't be sent to"),
        (Hidden, r"it holds an object of type _thread\.lock \("),
        (Deep, r"can't be sent to"),
    ],
)
def test_a_source_that_can_not_be_sent_is_refused_by_app_field_and_type(
    source: Callable[[], object], says: str
) -> None:
    gate = app(source=source())
    with pytest.raises(
        MixError, match=r"^app 'gate': its source can't be sent to the application's process, "
    ) as caught:
        source_of(gate, seed=0)
    assert re.search(says, str(caught.value))
    assert "Open or make that on the first call, inside the function; for frames, a Camera does that." in str(
        caught.value
    )
    with pytest.raises(MixError) as simulated:
        check_sources(mix(apps=[gate]), seed=0)
    assert str(simulated.value) == str(caught.value)


def test_an_on_result_that_can_not_be_sent_is_refused_too(tmp_path: Path) -> None:
    for on_result, kind in ((writer(), "cv2.VideoWriter"), (log(tmp_path / "log"), "_io.TextIOWrapper")):
        with pytest.raises(
            MixError, match=rf"^app 'gate': its on_result can't be sent .* 'held', of type {kind} "
        ) as caught:
            check_sources(mix(apps=[app(on_result=on_result)]), seed=0)
        assert "Camera" not in str(caught.value)


def test_what_can_be_sent_is_taken_and_not_called(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "1.png")
    table = np.zeros(3)
    for source in (Camera(tmp_path / "%d.png", fps=5), lambda index: table, partial(int, base=2)):
        gate = app(source=source, on_result=print)
        check_sources(mix(apps=[gate]), seed=0)
        assert isinstance(source_of(gate, seed=0), Called)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("absent", r"source 'absent' is not a folder; give one that holds pictures, or .* source=Camera\('absent'\)"),
        ("rtsp://gate.local/1", r"is not a folder; .* for a camera, a video or an address source=Camera\('rtsp://gate"),
        ("empty", r"source 'empty' holds no picture"),
        ("floats", r"AB12.png holds floats"),
    ],
)
def test_a_bad_folder_is_refused_by_run_simulation_and_bench_in_the_same_words(
    source: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("floats").mkdir()
    Image.new("F", (4, 4)).save("floats/AB12.tif")
    Path("floats/AB12.tif").rename("floats/AB12.png")
    Path("bad.py").write_text(
        "from gearshift import App, Mix, Periodic\n"
        f"gate = App('gate', supernet='ofa-plates', arrivals=Periodic(hz=5), latency_ms=60, source={source!r})\n"
        "def mix(): return Mix('bad', apps=[gate], duration_s=2)\n"
    )
    with pytest.raises(MixError, match=says) as caught:
        source_of(load_mix("bad.py").apps[0], seed=0)
    for command in (("run", "bad.py", "--backend", "sim"), ("bench", "bad.py")):
        assert_refused(gearshift(*command), str(caught.value))
    with pytest.raises(MixError) as simulated:
        run(load_mix("bad.py"), backend="sim")
    assert str(simulated.value) == str(caught.value)


def test_figures_without_a_network_are_simulated_whatever_their_source(tmp_path: Path) -> None:
    check_sources(mix(apps=[app(supernet="mlperf-armnn-pi4", source=tmp_path)]), seed=0)
