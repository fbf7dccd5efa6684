"""What a `Camera` is given is sorted by what it is, and what nothing opens is refused in words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from supernets import SupernetError
from supernets.pictures.addresses import address_of, numbered
from supernets.pictures.captures import PictureSequence


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ("rtsp://admin:secret@gate.local:554/1?token=secret", "stream"),
        ("http://gate.local/stream.mjpg", "stream"),
        ("HTTPS://gate.local/a.mp4", "stream"),
        ("udp://@239.0.0.1:1234", "stream"),
        ("/dev/zero", "camera"),  # a character device, as every camera is
        ("v4l2:///dev/zero", "camera"),
        (Path("/dev/zero"), "camera"),
    ],
)
def test_each_thing_is_sorted_by_what_it_is(given: object, kind: str) -> None:
    address = address_of(given)
    assert address.kind == kind
    assert "secret" not in str(address)
    assert not address.recorded


def test_a_file_is_a_file_whatever_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("0", "a ! b", "100 %.avi", "%04d.jpg", "caf\udce9.avi"):
        Path(name).touch()
        for path in (name, Path(name), tmp_path / name, os.fsencode(name).decode(errors="surrogateescape")):
            address = address_of(path)
            assert (address.kind, address.place) == ("video", str(tmp_path / name))  # absolute, for another process
    assert address_of(f"file://{tmp_path}/100%20%25.avi").place == str(tmp_path / "100 %.avi")


def test_a_link_is_followed_only_when_it_is_opened(tmp_path: Path) -> None:
    (tmp_path / "usb-camera").symlink_to("/dev/zero")
    assert address_of(tmp_path / "usb-camera").place == str(tmp_path / "usb-camera")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("foo://gate.local/1", r"stream foo://gate.local/1: addresses of foo:// are not supported; these are: http://"),
        ("csi://0", r"csi:// is not supported; give a pipeline: 'nvarguscamerasrc"),
        ("rtsp:///1", r"names no host"),
        ("videotestsrc ! appsink", r"pipeline videotestsrc ! ...: this OpenCV has no GStreamer"),
        ("0", r"Did you mean camera number 0, without quotes\?"),
        ("", r"a Camera must be given a camera's number, a file, .* not ''"),
        (None, r"not None"),
        (True, r"not True"),
        (1.5, r"not 1.5"),
        (77, r"^camera 77: there is no /dev/video77$"),
        ("/dev/video77", r"^video /dev/video77: there is no /dev/video77$"),
        ("absent/%04d.jpg", r"^pictures /.*/absent/%04d.jpg: there is no file of such a name, such as 0001.jpg$"),
        ("100%/%03d", r"there is no file of such a name, such as 001$"),
        ("nul\0.avi", r"there is no "),
        ("x" * 5000, r"can't be read: File name too long"),
    ],
)
def test_what_nothing_opens_is_refused(given: object, says: str) -> None:
    with pytest.raises(SupernetError, match=says):
        address_of(given)


def test_folders_and_pipes_are_refused_with_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(SupernetError, match=r"is a folder; give the pattern of its pictures' names, such as '.*/%04d"):
        address_of(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SupernetError, match="is neither a file nor a camera"):
        address_of(tmp_path / "pipe")


def test_a_frame_rate_is_for_recordings(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "7.png")
    with pytest.raises(SupernetError, match=r"have no frame rate of their own; give one: Camera\(..., fps=25\)"):
        address_of(tmp_path / "%d.png")
    for fps in (0, -1, float("nan"), float("inf"), "25"):
        with pytest.raises(SupernetError, match="fps must be above 0"):
            address_of(tmp_path / "%d.png", fps)  # type: ignore[arg-type]
    with pytest.raises(SupernetError, match="a camera gives frames at its own rate"):
        address_of("/dev/zero", 25)


@settings(max_examples=25)
@given(numbers=st.sets(st.integers(0, 20_000), max_size=8), width=st.integers(0, 6))
def test_numbered_pictures_are_those_of_the_pattern_by_number(
    numbers: set[int], width: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("frames")
    pattern = directory / (f"shot.%0{width}d.jpg" if width else "shot.%d.jpg")
    for number in numbers:
        (directory / (pattern.name % number)).touch()
    for other in ("shot..jpg", "shot.0000001.jpg", "shot.x.jpg", "shotx1.jpg", "shot.5.jpg.part"):
        (directory / other).touch()
    assert [file.name for file in numbered(pattern)] == [pattern.name % number for number in sorted(numbers)]


def test_numbered_pictures_are_a_recording(tmp_path: Path) -> None:
    for number in (3, 4, 9):
        Image.new("RGB", (2, 1), (number, 0, 0)).save(tmp_path / f"{number:04}.png")
    sequence = PictureSequence(numbered(tmp_path / "%04d.png"), fps=10)
    seen = []
    while sequence.grab():
        seen.append((sequence.at_s, sequence.frame()[0, 0, 0]))
    assert seen == [(0, 3), (0.1, 4), (0.2, 9)]
    sequence.seek(0.1)
    assert sequence.grab()
    assert sequence.frame()[0, 0, 0] == 4
