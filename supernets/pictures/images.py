"""Reads picture files. Knows no torch.

torchvision resizes pictures by Pillow. The same steps on Pillow itself (`preparing`) give the same floats (tests
compare them) without torch, which no worker imports. So what `gearshift accuracy` measures is what is served, but for
pictures that `read` and `read_as_published` see differently.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from supernets.errors import SupernetError

_ORIENTATION = 0x0112
_TURNS: Mapping[object, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF's tag of orientation, and what makes each of its values upright; Pillow turns anticlockwise."""


def read(file: Path) -> Image.Image:
    """Read a picture file as RGB, as a viewer shows it.

    It is turned as its EXIF data say, and transparent parts are put on white. 16-bit greys are scaled to 8 bits.

    Raises:
        SupernetError: if the file can't be read, is no picture, or its values have no known white.
    """
    return _read(file, viewed=True)


def read_as_published(file: Path) -> Image.Image:
    """Read a picture file as RGB, as torchvision's loader does, by which accuracies on ImageNet are published.

    It is not turned, and transparency is dropped. Only 16-bit greys differ from torchvision: it reads them as white.

    Raises:
        SupernetError: if the file can't be read, is no picture, or its values have no known white.
    """
    return _read(file, viewed=False)


def _read(file: Path, *, viewed: bool) -> Image.Image:
    try:
        with Image.open(file) as opened:
            turn = _TURNS.get(_orientation(opened)) if viewed else None
            picture = _in_8_bits(file, opened)
            if viewed and picture.has_transparency_data:
                picture = picture.convert("RGBA")
                picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
            picture = picture.convert("RGB")
            return picture if turn is None else picture.transpose(turn)
    except SupernetError:
        raise
    except Exception as error:  # Pillow lets through whatever its decoders raise
        raise SupernetError(f"{file} is no picture that can be read: {error}") from None


def _orientation(picture: Image.Image) -> object:
    try:
        return picture.getexif().get(_ORIENTATION)
    except Exception:  # EXIF data that can't be parsed turn nothing
        return None


def _in_8_bits(file: Path, picture: Image.Image) -> Image.Image:
    """Scale a picture whose values Pillow would clip at 255, so that 65535 is white.

    Raises:
        SupernetError: for floats and 32-bit integers, of which nobody knows what is white.
    """
    # Pillow reads 16-bit PGM as 32-bit integers, scaled to 65535.
    if picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format == "PPM"):
        values = np.asarray(picture).astype(np.float32)
        return Image.fromarray(np.rint(values / 257).astype(np.uint8))
    if picture.mode in ("I", "F"):
        what = "floats" if picture.mode == "F" else "32-bit integers"
        raise SupernetError(f"{file} holds {what}, and nothing says which is white; save it with 8 or 16 bits")
    return picture
