"""The sources of pictures: a pool that is used in turn, noise for models that bring no data, plates. Knows no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from supernets.artifact import Artifact
from supernets.errors import SupernetError
from supernets.outputs import Output
from supernets.pictures import folders, images, plates
from supernets.pictures.tasks import ClassTask, PictureTask, PlateTask, Tensor

PLATE_POOL = 32 * len(plates.ALPHABET)
"""Plates that an application uses in turn."""
_NOISE = 4
"""Random inputs that are used in turn."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A fixed set of pictures that are used in turn.

    Attributes:
        task: the task that they are for.
        pictures: (n, ...), as the task takes them.
        labels: n labels; None where there are none.
        notice: what was left out of the folder that the pictures are of; empty for nothing.
    """

    task: PictureTask
    pictures: NDArray[np.generic]
    labels: Sequence[object] | None
    notice: str = ""
    period: ClassVar[None] = None

    def inputs(self, artifact: Artifact) -> Callable[[int], Tensor]:
        """Adapt all pictures; return a function from a request's number, modulo their count, to its input."""
        batch = self.task.adapt(self.pictures, artifact.input_shape)
        return lambda index: batch[index % len(batch)][None]

    def score(self, index: int, output: Output) -> float | None:
        """Return 1.0 if the output matches the picture's label, else 0.0; None where there are no labels."""
        return None if self.labels is None else self.task.credit(output, self.labels[index % len(self.labels)])

    def adapt(self, payload: object, artifact: Artifact) -> Tensor:
        """Return a client's own picture as the network takes it."""
        return self.task.sample(payload, artifact)


@dataclass(frozen=True, slots=True)
class Noise:
    """Random inputs without labels, of each model's own shape, for models that bring no data.

    Attributes:
        seed: seed of the inputs; the same seed gives the same inputs.
        task: the task that adapts a client's own pictures.
        notice: what the user must know of it; nothing for a model that no data would fit.
    """

    seed: int
    task: PictureTask = field(default_factory=ClassTask)
    notice: str = ""
    period: ClassVar[None] = None

    def inputs(self, artifact: Artifact) -> Callable[[int], Tensor]:
        """Draw some inputs; return a function from a request's number, modulo their count, to its input."""
        rng = np.random.default_rng(self.seed)
        batch = rng.standard_normal((_NOISE, *artifact.input_shape), dtype=np.float32)
        return lambda index: batch[index % _NOISE]

    def score(self, index: int, output: Output) -> float | None:
        """Return None, since random inputs have no labels."""
        return None

    def adapt(self, payload: object, artifact: Artifact) -> Tensor:
        """Return a client's own picture as the network takes it."""
        return self.task.sample(payload, artifact)


def plate_stream(seed: int, count: int = PLATE_POOL) -> Pool:
    """Return held-out plates in which every character is equally frequent at every place."""
    drawn = plates.draw(count, seed=seed, held_out=True, stratified=True)
    return Pool(PlateTask(), drawn.pictures, drawn.texts)


def plate_folder(directory: Path) -> Pool:
    """Return the pictures of a folder; they are labelled if each file is named by its plate (`AB12.png`, `AB12_3.png`).

    Files that are no pictures are left out, and the pool's `notice` says so.

    Raises:
        SupernetError: if there is no such folder, no picture in it, or a picture that can't be read.
    """
    if not directory.is_dir():
        raise SupernetError(f"source {str(directory)!r} is not a folder; give one that holds pictures")
    try:
        found = folders.listed(directory)
    except OSError as error:
        raise SupernetError(f"source {str(directory)!r} can't be read: {error.strerror}") from None
    notice = folders.left_out(directory, found.others)
    if not found.pictures:
        rest = f" ({notice})" if notice else ""
        raise SupernetError(
            f"source {str(directory)!r} holds no picture; files count that end in {folders.ENDINGS}{rest}"
        )
    size = (plates.WIDTH, plates.HEIGHT)
    pictures = np.stack([np.asarray(images.read(file).convert("L").resize(size)) for file in found.pictures])
    texts = [file.stem.split("_")[0].upper() for file in found.pictures]
    labelled = all(len(text) == plates.LENGTH and set(text) <= set(plates.ALPHABET) for text in texts)
    return Pool(PlateTask(), pictures, texts if labelled else None, notice)
