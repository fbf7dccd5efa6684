"""The tasks of networks on pictures, and the sources of a worker's inputs. Knows no torch.

- A *task* turns pictures into inputs and decides if an output is right.
- A *source* turns the number of a request into an input for the active network. Slow work, such as resizing a pool of
  pictures for a new resolution, happens in `inputs`, off the request path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from supernets.artifact import Artifact
from supernets.errors import SupernetError
from supernets.outputs import Output, means
from supernets.pictures import folders, images, plates

Tensor = NDArray[np.float32]
"""Inputs or outputs of networks, float32."""
PLATE_POOL = 32 * len(plates.ALPHABET)
"""Plates that an application uses in turn."""
_CHANNELS = (3, 4)
"""Channels of a colour picture, with or without transparency."""
_NOISE = 4
"""Random inputs that are used in turn."""


class Source(Protocol):
    """The inputs of one application."""

    def inputs(self, artifact: Artifact) -> Callable[[int], Tensor]:
        """Return a function from a request's number to its input, of `artifact.input_shape`."""
        ...

    def score(self, index: int, output: Any) -> bool | None:
        """Return True if the output of request `index` is right; None where there is no label.

        The output is an array, or the `Outputs` of a user's own model.
        """
        ...

    def adapt(self, picture: NDArray[np.generic], artifact: Artifact) -> Tensor:
        """Return a client's own picture as the network takes it.

        Raises:
            SupernetError: for a picture of the wrong shape or type.
        """
        ...


class Task(Protocol):
    """The task of some networks: the pictures that they take and the meaning of their outputs."""

    def adapt(self, pictures: NDArray[np.generic], input_shape: tuple[int, ...]) -> Tensor:
        """Return n pictures as a batch (n, ...) for a network whose inputs have shape `input_shape`, (1, ...)."""
        ...

    def right(self, output: Any, label: object) -> bool:
        """Return True if one output means the label."""
        ...


class PlateTask:
    """The task of reading plates: it takes grey uint8 pictures (n, height, width), and the text must match exactly."""

    def adapt(self, pictures: NDArray[np.generic], input_shape: tuple[int, ...]) -> Tensor:
        """Return the pictures resized and scaled to [-1, 1], (n, 1, height, width) of the network."""
        if pictures.dtype != np.uint8 or pictures.ndim != 3:
            raise SupernetError(
                f"a picture for ofa-plates must be grey, uint8, of shape (height, width); "
                f"got {pictures.dtype} of shape {pictures.shape[1:]}"
            )
        return plates.resize(pictures.astype(np.uint8, copy=False), input_shape[2])

    def right(self, output: Tensor, label: object) -> bool:
        """Return True if all characters match."""
        return plates.read(output)[0] == label


class ClassTask:
    """The task of classifying by a user's own model: it takes inputs of its own; `outputs.means` reads its output."""

    def adapt(self, pictures: NDArray[np.generic], input_shape: tuple[int, ...]) -> Tensor:
        """Return the inputs as float32, of the model's shape.

        - Axes of length 1 may be missing or too many: a model of (1, 1, 48, 64) takes pictures of (48, 64).
        - A frame of a camera, (height, width, 3), gets its channels where the model has them, and the other way round.

        Any other input is refused: as many numbers in another order would mean something else.

        Raises:
            SupernetError: for inputs of another shape, or of no numbers.
        """
        if pictures.dtype.kind not in "biuf":
            raise SupernetError(f"an input for this model must be numbers; got {pictures.dtype}")
        given, wanted = pictures.shape[1:], input_shape[1:]
        numbers = pictures.astype(np.float32, copy=False)
        if _sizes(given) == _sizes(wanted):
            return numbers.reshape(len(pictures), *wanted)
        picture = given[1:] if len(given) == 4 and given[0] == 1 else given
        if len(picture) == len(wanted) == 3:
            numbers = numbers.reshape(len(pictures), *picture)
            if wanted[0] in _CHANNELS and picture == (*wanted[1:], wanted[0]):
                return np.ascontiguousarray(np.moveaxis(numbers, 3, 1))
            if wanted[2] in _CHANNELS and picture == (wanted[2], *wanted[:2]):
                return np.ascontiguousarray(np.moveaxis(numbers, 1, 3))
        raise SupernetError(f"an input for this model must have shape {wanted}; got {given}")

    def right(self, output: Output, label: object) -> bool:
        """Return True if the output means the label."""
        return means(output, label)


def _sizes(shape: tuple[int, ...]) -> list[int]:
    """Return a shape without its axes of length 1."""
    return [size for size in shape if size != 1]


class ImageTask(ClassTask):
    """The task of ImageNet: it takes RGB uint8 pictures (n, height, width, 3) of any size, the largest output wins."""

    def adapt(self, pictures: NDArray[np.generic], input_shape: tuple[int, ...]) -> Tensor:
        """Return the pictures scaled, cropped and normalised by `images`, (n, 3, resolution, resolution)."""
        if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3 or 0 in pictures.shape:
            raise SupernetError(
                f"a picture for an ImageNet network must be RGB, uint8, of shape (height, width, 3); "
                f"got {pictures.dtype} of shape {pictures.shape[1:]}"
            )
        crops = [images.cropped(Image.fromarray(picture), input_shape[2]) for picture in pictures]
        return images.normalised(np.stack(crops))


TASKS: Mapping[str, Task] = {"plates": PlateTask(), "imagenet": ImageTask()}
"""The tasks of the built-in supernets, by name."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A fixed set of pictures that are used in turn.

    Attributes:
        task: the task that they are for.
        pictures: (n, ...), as the task takes them.
        labels: n labels; None where there are none.
        notice: what was left out of the folder that the pictures are of; empty for nothing.
    """

    task: Task
    pictures: NDArray[np.generic]
    labels: Sequence[object] | None
    notice: str = ""

    def inputs(self, artifact: Artifact) -> Callable[[int], Tensor]:
        """Adapt all pictures; return a function from a request's number, modulo their count, to its input."""
        batch = self.task.adapt(self.pictures, artifact.input_shape)
        return lambda index: batch[index % len(batch)][None]

    def score(self, index: int, output: Tensor) -> bool | None:
        """Return True if the output matches the picture's label; None where there are no labels."""
        return None if self.labels is None else self.task.right(output, self.labels[index % len(self.labels)])

    def adapt(self, picture: NDArray[np.generic], artifact: Artifact) -> Tensor:
        """Return a client's own picture as the network takes it."""
        return self.task.adapt(np.asarray(picture)[None], artifact.input_shape)


class Called:
    """A source that calls a user's function for each request.

    The function is called once for each request on the inference thread, so its time counts as the request's.

    Args:
        task: the task that the pictures are for.
        function: the user's function, from a request's number to a picture, or to a picture and its label.
    """

    def __init__(self, task: Task, function: Callable[[int], object]) -> None:
        self._task = task
        self._function = function
        self._latest: tuple[int, object] = (-1, None)  # request and its label

    def inputs(self, artifact: Artifact) -> Callable[[int], Tensor]:
        """Return a function that calls the user's function and adapts the picture that it returns."""

        def call(index: int) -> Tensor:
            result = self._function(index)
            picture, label = result if isinstance(result, tuple) else (result, None)
            self._latest = index, label
            return self.adapt(np.asarray(picture), artifact)

        return call

    def score(self, index: int, output: Tensor) -> bool | None:
        """Return True if the output matches the label of request `index`.

        It is None where the function gave no label, and for any request but the latest.
        """
        latest, label = self._latest
        return None if latest != index or label is None else self._task.right(output, label)

    def adapt(self, picture: NDArray[np.generic], artifact: Artifact) -> Tensor:
        """Return a client's own picture as the network takes it."""
        return self._task.adapt(np.asarray(picture)[None], artifact.input_shape)


@dataclass(frozen=True, slots=True)
class Noise:
    """Random inputs without labels, of each model's own shape, for models that bring no data.

    Attributes:
        seed: seed of the inputs; the same seed gives the same inputs.
        task: the task that adapts a client's own pictures.
    """

    seed: int
    task: Task = field(default_factory=ClassTask)

    def inputs(self, artifact: Artifact) -> Callable[[int], Tensor]:
        """Draw some inputs; return a function from a request's number, modulo their count, to its input."""
        rng = np.random.default_rng(self.seed)
        batch = rng.standard_normal((_NOISE, *artifact.input_shape), dtype=np.float32)
        return lambda index: batch[index % _NOISE]

    def score(self, index: int, output: Tensor) -> bool | None:
        """Return None, since random inputs have no labels."""
        return None

    def adapt(self, picture: NDArray[np.generic], artifact: Artifact) -> Tensor:
        """Return a client's own picture as the network takes it."""
        return self.task.adapt(np.asarray(picture)[None], artifact.input_shape)


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
