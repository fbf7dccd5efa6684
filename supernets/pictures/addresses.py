"""What a `Camera` is given: a camera, a video, a stream by its address, a pipeline or numbered pictures.

It is sorted and checked here as far as that goes without opening it; `captures` opens it.
"""

from __future__ import annotations

import math
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from supernets.errors import SupernetError

Kind = Literal["camera", "video", "stream", "pipeline", "pictures"]

ALWAYS_LIVE = ("rtsp", "rtsps", "rtmp", "rtmps", "rtp", "udp", "tcp", "srt")
"""Schemes of addresses that never lead to a file."""

_SCHEMES = ("http", "https", *ALWAYS_LIVE)
_NUMBER = re.compile(r"%0?\d*d")
_MADE_OF = "a camera's number, a file, numbered pictures (frames/%04d.jpg), an address or a GStreamer pipeline"


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where frames come from.

    Attributes:
        kind: what it is.
        place: what OpenCV opens: a number, a path, an address or a pipeline.
        fps: frame rate at which the user wants a recording played; None is its own.
    """

    kind: Kind
    place: int | str
    fps: float | None = None

    @property
    def recorded(self) -> bool:
        """True for files, which can be tried beforehand and give frames at any time."""
        return self.kind in ("video", "pictures")

    def __str__(self) -> str:
        """Name it without passwords: an address lacks its user and query, a pipeline all but its first element."""
        match self.kind:
            case "stream":
                parts = urlsplit(str(self.place))
                return f"stream {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
            case "pipeline":
                return f"pipeline {str(self.place).split()[0]} ! ..."
            case _:
                return f"{self.kind} {self.place}"


def address_of(device: object, fps: float | None = None) -> Address:
    """Sort what a user gave, and check it as far as that goes without opening it.

    `address_of("rtsp://gate.local/1")` is a stream, `address_of("/dev/video0")` a camera, `address_of("road.mp4")` a
    video, and `address_of("frames/%04d.jpg", fps=10)` are pictures. An existing file is never taken for anything else.

    Args:
        device: number of a camera, path or text.
        fps: frame rate at which a recording is played; None is its own.

    Raises:
        SupernetError: if there is no such camera or file, or nothing here opens such a thing.
    """
    address = _sorted(device, fps)
    if fps is not None and not (isinstance(fps, int | float) and 0 < fps < math.inf):
        raise SupernetError(f"{address}: fps must be above 0, such as fps=25, not {fps!r}")
    if fps is not None and address.kind in ("camera", "pipeline"):
        raise SupernetError(f"{address}: fps is for recordings; a camera gives frames at its own rate. Leave fps out")
    if address.kind == "pictures" and fps is None:
        raise SupernetError(f"{address} have no frame rate of their own; give one: Camera(..., fps=25)")
    return address


def _sorted(device: object, fps: float | None) -> Address:
    if isinstance(device, int) and not isinstance(device, bool):
        if not Path(f"/dev/video{device}").exists():
            raise SupernetError(f"camera {device}: there is no /dev/video{device}")
        return Address(kind="camera", place=device)
    if not isinstance(device, str | os.PathLike) or not os.fspath(device):
        raise SupernetError(f"a Camera must be given {_MADE_OF}, not {device!r}")
    text = os.fspath(device)
    if isinstance(text, bytes):
        text = os.fsdecode(text)
    if isinstance(device, str) and not os.path.lexists(text):
        scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", text)
        if scheme and scheme[1].lower() in ("file", "v4l2"):
            return _path(unquote(text[scheme.end() :]), fps)
        if scheme:
            return _stream(text, scheme[1].lower(), fps)
        if " ! " in text:
            return _pipeline(text)
        if text.isdecimal():
            raise SupernetError(
                f"video {text!r}: there is no such file. Did you mean camera number {text}, without quotes?"
            )
    return _path(text, fps)


def _stream(text: str, scheme: str, fps: float | None) -> Address:
    address = Address(kind="stream", place=text, fps=fps)
    if scheme == "csi":
        raise SupernetError(f"{address}: csi:// is not supported; give a pipeline: 'nvarguscamerasrc ! ... ! appsink'")
    if scheme not in _SCHEMES:
        known = ", ".join(f"{name}://" for name in (*_SCHEMES, "file", "v4l2"))
        raise SupernetError(f"{address}: addresses of {scheme}:// are not supported; these are: {known}")
    if not urlsplit(text).netloc:
        raise SupernetError(f"{address} names no host; write it as {scheme}://HOST/PATH")
    return address


def _pipeline(text: str) -> Address:
    import cv2

    address = Address(kind="pipeline", place=text)
    if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        raise SupernetError(
            f"{address}: this OpenCV has no GStreamer, and none from pip has; take a build that has it, such as "
            "JetPack's or Debian's python3-opencv"
        )
    if "appsink" not in text:
        raise SupernetError(f"{address} must end in appsink, where frames are taken: '... ! videoconvert ! appsink'")
    return address


def _path(text: str, fps: float | None) -> Address:
    # Not resolved: /dev/v4l/by-id/... leads to another number after the camera was plugged in again.
    path = Path(text).absolute()
    video = Address(kind="video", place=str(path), fps=fps)
    mode = _mode(path, video)
    if mode is not None and stat.S_ISCHR(mode):
        return Address(kind="camera", place=str(path), fps=fps)
    if mode is None and _NUMBER.search(path.name):
        pictures = Address(kind="pictures", place=str(path), fps=fps)
        if not numbered(path):
            first = _NUMBER.sub(lambda number: number[0] % 1, path.name, count=1)
            raise SupernetError(f"{pictures}: there is no file of such a name, such as {first}")
        return pictures
    if mode is None:
        raise SupernetError(f"{video}: there is no {path}")
    if stat.S_ISDIR(mode):
        raise SupernetError(
            f"{video} is a folder; give the pattern of its pictures' names, such as '{text}/%04d.jpg', or the folder "
            "itself as the source"
        )
    if not stat.S_ISREG(mode):
        raise SupernetError(f"{video} is neither a file nor a camera")
    return video


def _mode(path: Path, shown: Address) -> int | None:
    """Return the mode of a file; None where there is none."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        raise SupernetError(f"{shown} can't be read: {error.strerror}") from None


def numbered(pattern: Path) -> list[Path]:
    """Return the files whose names a pattern such as `%04d.jpg` makes, by number; numbers may lack."""
    before, after = (re.escape(part) for part in _NUMBER.split(pattern.name, maxsplit=1))
    found = {}
    for name in os.listdir(pattern.parent) if pattern.parent.is_dir() else ():
        match = re.fullmatch(rf"{before}(\d+){after}", name)
        if match and _NUMBER.search(pattern.name)[0] % int(match[1]) == match[1]:  # type: ignore[index]  # it has one
            found[int(match[1])] = pattern.with_name(name)
    return [found[number] for number in sorted(found)]
