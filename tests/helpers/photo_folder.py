"""Small labelled photos in folders like ImageNet's: each class has its own colour, with noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

TENCH, TABBY, TISSUE = "n01440764", "n02123045", "n15075141"
OUTPUTS = {TENCH: 0, TABBY: 281, TISSUE: 999}
COLOURS = {TENCH: (200, 60, 60), TABBY: (60, 200, 60), TISSUE: (60, 60, 200)}


def write_photos(directory: Path, counts: dict[str, int], seed: int = 0) -> Path:
    """Write so many JPEGs of each class into DIRECTORY/CLASS, of various sizes, and return the directory."""
    rng = np.random.default_rng(seed)
    for name, count in counts.items():
        (directory / name).mkdir(parents=True)
        for number in range(count):
            height, width = (int(side) for side in rng.integers(40, 120, 2))
            photo = rng.integers(0, 80, (height, width, 3)) + np.array(COLOURS.get(name, (90, 90, 90))) - 40
            picture = Image.fromarray(photo.clip(0, 255).astype(np.uint8))
            picture.save(directory / name / f"ILSVRC2012_val_{number:08}.JPEG")
    return directory
