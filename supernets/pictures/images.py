"""The transform of pictures for ImageNet's networks, that of the Once-for-all package's validation. Knows no torch.

`build_valid_transform` of `ofa.imagenet_classification.data_providers.imagenet` is torchvision's Resize, CenterCrop,
ToTensor and Normalize, and torchvision resizes pictures by Pillow. The same steps on Pillow itself give the same
floats (tests compare them) without torch, which no worker imports. So what `gearshift accuracy` measures is what is
served.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from supernets.errors import SupernetError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
"""The endings of picture files' names, in lower case; upper case counts too."""

_CROP_SHARE = 0.875
_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)[:, None, None]
_STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)[:, None, None]


def read(file: Path) -> Image.Image:
    """Read a picture file as RGB, whatever it is stored as.

    Raises:
        SupernetError: if the file can't be read, or is no picture.
    """
    try:
        with Image.open(file) as picture:
            return picture.convert("RGB")
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise SupernetError(f"{file} is no picture that can be read: {error}") from None


def cropped(picture: Image.Image, resolution: int) -> NDArray[np.uint8]:
    """Return the centre of an RGB picture whose shorter side is first scaled to ⌈resolution / 0.875⌉ pixels.

    At resolution 224 a picture of 640 x 480 is scaled to 341 x 256 (bilinear), and its centre of 224 x 224 is cut out.

    Returns:
        uint8, shape (3, resolution, resolution).
    """
    shorter = math.ceil(resolution / _CROP_SHARE)
    width, height = picture.size
    size = (shorter, int(shorter * height / width)) if width <= height else (int(shorter * width / height), shorter)
    if size != picture.size:
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    left, top = (round((side - resolution) / 2) for side in size)
    pixels = np.asarray(picture.crop((left, top, left + resolution, top + resolution)))
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def normalised(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return pixels (..., 3, h, w) as float32: scaled to [0, 1], less ImageNet's mean, over its standard deviation."""
    x = pixels.astype(np.float32)
    x /= np.float32(255)
    x -= _MEAN
    x /= _STD
    return x
