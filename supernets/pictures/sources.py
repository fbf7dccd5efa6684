"""Where a worker's inputs come from, and whether an output is right. Knows no torch.

A source turns the number of a request into an input for whatever network is active. All that takes long (resizing
a pool of pictures for a new resolution) happens in `inputs`, off the request path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from supernets.artifact import Artifact
from supernets.errors import SupernetError
from supernets.pictures import images, plates

Tensor = NDArray[np.float32]
PLATE_POOL = 32 * len(plates.ALPHABET)
_NOISE = 4


class Source(Protocol):
    """Inputs of one application."""

    def inputs(self, artifact: Artifact) -> Callable[[int], Tensor]:
        """A function from a request's number to its input, of `artifact.input_shape`."""
        ...

    def score(self, index: int, output: Tensor) -> bool | None:
        """Whether that output of request `index` is right; None where there is no label."""
        ...

    def adapt(self, picture: NDArray[np.generic], artifact: Artifact) -> Tensor:
        """A client's own picture as the network takes it.

        Raises:
            SupernetError: for a picture of the wrong shape or type.
        """
        ...


class Task(Protocol):
    """What a family of networks does: the input it takes and the output it gives."""

    def adapt(self, pictures: NDArray[np.generic], input_shape: tuple[int, ...]) -> Tensor:
        """Pictures as a batch that a network of that input shape takes."""
        ...

    def right(self, output: Tensor, label: object) -> bool:
        """Whether one output means the label."""
        ...


class PlateTask:
    """Reading plates: grey uint8 pictures (n, height, width) in, the text must match exactly."""

    def adapt(self, pictures: NDArray[np.generic], input_shape: tuple[int, ...]) -> Tensor:
        """Resized and scaled, (n, 1, height, width) of the network."""
        if pictures.dtype != np.uint8 or pictures.ndim != 3:
            raise SupernetError(
                f"a picture for ofa-plates must be grey, uint8, of shape (height, width); "
                f"got {pictures.dtype} of shape {pictures.shape[1:]}"
            )
        return plates.resize(pictures.astype(np.uint8, copy=False), input_shape[2])

    def right(self, output: Tensor, label: object) -> bool:
        """Exact match of all characters."""
        return plates.read(output)[0] == label


class ClassTask:
    """Classification by a user's own model: float32 inputs as the model takes them, the largest output wins."""

    def adapt(self, pictures: NDArray[np.generic], input_shape: tuple[int, ...]) -> Tensor:
        """The same inputs as float32, each of the model's shape with or without its leading 1."""
        try:
            return pictures.astype(np.float32).reshape(len(pictures), *input_shape[1:])
        except ValueError:
            raise SupernetError(
                f"an input for this model must have shape {input_shape[1:]}; got {pictures.shape[1:]}"
            ) from None

    def right(self, output: Tensor, label: object) -> bool:
        """Top-1."""
        return int(output.reshape(-1).argmax()) == label


class ImageTask(ClassTask):
    """ImageNet classification: RGB uint8 pictures (n, height, width, 3) of any size in, the largest output wins."""

    def adapt(self, pictures: NDArray[np.generic], input_shape: tuple[int, ...]) -> Tensor:
        """Scaled, cropped and normalised as `images` does it, (n, 3, resolution, resolution)."""
        if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3 or 0 in pictures.shape:
            raise SupernetError(
                f"a picture for an ImageNet network must be RGB, uint8, of shape (height, width, 3); "
                f"got {pictures.dtype} of shape {pictures.shape[1:]}"
            )
        crops = [images.cropped(Image.fromarray(picture), input_shape[2]) for picture in pictures]
        return images.normalised(np.stack(crops))


TASKS: Mapping[str, Task] = {"plates": PlateTask(), "imagenet": ImageTask()}
"""What the built-in supernets do, by name."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A fixed set of pictures, taken in turn.

    Attributes:
        task: what they are for.
        pictures: (n, ...), as the task takes them.
        labels: one each, or None where there are none.
    """

    task: Task
    pictures: NDArray[np.generic]
    labels: Sequence[object] | None

    def inputs(self, artifact: Artifact) -> Callable[[int], Tensor]:
        """All pictures at the network's resolution; a request's is the one of its number, modulo their count."""
        batch = self.task.adapt(self.pictures, artifact.input_shape)
        return lambda index: batch[index % len(batch)][None]

    def score(self, index: int, output: Tensor) -> bool | None:
        """Compared with the picture's label."""
        return None if self.labels is None else self.task.right(output, self.labels[index % len(self.labels)])

    def adapt(self, picture: NDArray[np.generic], artifact: Artifact) -> Tensor:
        """As the task does it."""
        return self.task.adapt(np.asarray(picture)[None], artifact.input_shape)


class Called:
    """A user's function from a request's number to a picture, or to a picture and its label.

    It is called once for each request, on the inference thread, so its time counts as the request's.

    Args:
        task: what the pictures are for.
        function: the user's.
    """

    def __init__(self, task: Task, function: Callable[[int], object]) -> None:
        self._task = task
        self._function = function
        self._latest: tuple[int, object] = (-1, None)  # request and its label

    def inputs(self, artifact: Artifact) -> Callable[[int], Tensor]:
        """Calls the function and adapts what it returns."""

        def call(index: int) -> Tensor:
            result = self._function(index)
            picture, label = result if isinstance(result, tuple) else (result, None)
            self._latest = index, label
            return self.adapt(np.asarray(picture), artifact)

        return call

    def score(self, index: int, output: Tensor) -> bool | None:
        """Compared with the label of the latest input; None where the function gave none, or for another request."""
        latest, label = self._latest
        return None if latest != index or label is None else self._task.right(output, label)

    def adapt(self, picture: NDArray[np.generic], artifact: Artifact) -> Tensor:
        """As the task does it."""
        return self._task.adapt(np.asarray(picture)[None], artifact.input_shape)


@dataclass(frozen=True, slots=True)
class Noise:
    """Random inputs without labels, of each model's own shape, for models that bring no data.

    Attributes:
        seed: the same one gives the same inputs.
        task: what a client's own pictures are for.
    """

    seed: int
    task: Task = field(default_factory=ClassTask)

    def inputs(self, artifact: Artifact) -> Callable[[int], Tensor]:
        """Some inputs, taken in turn."""
        rng = np.random.default_rng(self.seed)
        batch = rng.standard_normal((_NOISE, *artifact.input_shape), dtype=np.float32)
        return lambda index: batch[index % _NOISE]

    def score(self, index: int, output: Tensor) -> bool | None:
        """Nobody knows."""
        return None

    def adapt(self, picture: NDArray[np.generic], artifact: Artifact) -> Tensor:
        """As the task does it."""
        return self.task.adapt(np.asarray(picture)[None], artifact.input_shape)


def plate_stream(seed: int, count: int = PLATE_POOL) -> Pool:
    """Held-out plates in which every character stands equally often at every place."""
    drawn = plates.draw(count, seed=seed, held_out=True, stratified=True)
    return Pool(PlateTask(), drawn.pictures, drawn.texts)


def plate_folder(directory: Path) -> Pool:
    """The pictures of a folder; a file named by its plate (`AB12.png`, `AB12_3.png`) is labelled by it.

    Raises:
        SupernetError: if there is no such folder, no picture in it, or a picture that can't be read.
    """
    if not directory.is_dir():
        raise SupernetError(f"source {str(directory)!r} is not a folder; give one that holds pictures")
    files = sorted(f for f in directory.iterdir() if f.suffix.lower() in images.SUFFIXES)
    if not files:
        raise SupernetError(f"source {str(directory)!r} holds no picture; .png, .jpg and .bmp files count")
    try:
        pictures = np.stack(
            [np.asarray(Image.open(f).convert("L").resize((plates.WIDTH, plates.HEIGHT))) for f in files]
        )
    except (OSError, UnidentifiedImageError) as error:
        raise SupernetError(f"source {str(directory)!r} holds a file that is no picture: {error}") from error
    texts = [f.stem.split("_")[0].upper() for f in files]
    labelled = all(len(text) == plates.LENGTH and set(text) <= set(plates.ALPHABET) for text in texts)
    return Pool(PlateTask(), pictures, texts if labelled else None)
