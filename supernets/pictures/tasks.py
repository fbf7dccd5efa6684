"""The tasks of networks on pictures: reading plates, classes of ImageNet, and those of a user's own model.

Pictures all take the same work, and their outputs go to clients as they are. Knows no torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from supernets.artifact import Artifact
from supernets.errors import SupernetError
from supernets.output_forms import output_forms
from supernets.outputs import Output, means
from supernets.pictures import plates
from supernets.pictures.preparing import IMAGENET, Images
from supernets.task import Form

Tensor = NDArray[np.float32]
"""Inputs or outputs of networks, float32."""

_CHANNELS = (3, 4)
"""Channels of a colour picture, with or without transparency."""


class PictureTask(ABC):
    """A task whose samples are arrays of one size, and whose outputs are right or wrong.

    Attributes:
        metric: the words for the share of right outputs.
    """

    metric: ClassVar[str]

    @abstractmethod
    def adapt(self, pictures: NDArray[np.generic], input_shape: tuple[int, ...]) -> Tensor:
        """Return n pictures as a batch (n, ...) for a network whose inputs have shape `input_shape`, (1, ...).

        Raises:
            SupernetError: for pictures of the wrong shape or type.
        """

    @abstractmethod
    def takes(self, artifact: Artifact) -> Form:
        """Return the form of one picture."""

    @abstractmethod
    def right(self, output: Output, label: object) -> bool:
        """Return True if one output means the label."""

    def sample(self, payload: object, artifact: Artifact) -> Tensor:
        """Return a picture, an array or nested lists of numbers, as the network takes it.

        Raises:
            SupernetError: for a picture of the wrong shape or type.
        """
        try:
            picture = np.asarray(payload)
        except ValueError as error:
            raise SupernetError(
                f"an input must be an array of numbers; got a {type(payload).__name__}: {error}"
            ) from None
        return self.adapt(picture[None], artifact.input_shape)

    def gives(self, artifact: Artifact) -> tuple[Form, ...]:
        """Return the forms of the network's outputs, as its file has them."""
        return output_forms(artifact)

    def size(self, sample: Tensor) -> float:
        """Return 1.0: a picture is one piece of work."""
        return 1.0

    def work(self, output: Output) -> float:
        """Return 1.0, as `size`."""
        return 1.0

    def capped(self, output: Output) -> bool:
        """Return False: an output is whole."""
        return False

    def payload(self, output: Output) -> Output:
        """Return the output itself."""
        return output

    def credit(self, output: Output, label: object) -> float:
        """Return 1.0 if the output means the label, else 0.0."""
        return float(self.right(output, label))


class PlateTask(PictureTask):
    """The task of reading plates: it takes grey uint8 pictures (n, height, width), and the text must match exactly."""

    metric = "exact match"

    def takes(self, artifact: Artifact) -> Form:
        """Return the form of a grey picture of any size."""
        return Form(name="x", dtype="uint8", shape=(-1, -1))

    def adapt(self, pictures: NDArray[np.generic], input_shape: tuple[int, ...]) -> Tensor:
        """Return the pictures resized and scaled to [-1, 1], (n, 1, height, width) of the network."""
        if pictures.dtype != np.uint8 or pictures.ndim != 3:
            raise SupernetError(
                f"a picture for ofa-plates must be grey, uint8, of shape (height, width); "
                f"got {pictures.dtype} of shape {pictures.shape[1:]}"
            )
        return plates.resize(pictures.astype(np.uint8, copy=False), input_shape[2])

    def right(self, output: Output, label: object) -> bool:
        """Return True if all characters match."""
        return plates.read(np.asarray(output))[0] == label


class ClassTask(PictureTask):
    """The task of classifying by a user's own model: it takes inputs of its own; `outputs.means` reads its output."""

    metric = "top-1"

    def takes(self, artifact: Artifact) -> Form:
        """Return the form that the model's file asks for, whose numbers may be of any type."""
        return Form(name="x", dtype="float32", shape=artifact.input_shape)

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


@dataclass(frozen=True)
class PreparedTask(ClassTask):
    """The task of classifying by a user's own model that takes pictures, whose `Images` says how.

    Attributes:
        images: how a picture becomes its input.
    """

    images: Images

    def takes(self, artifact: Artifact) -> Form:
        """Return the form of a picture of any size, grey or RGB, whatever order of colours the model takes."""
        return Form(name="x", dtype="uint8", shape=(-1, -1) if self.images.colour == "grey" else (-1, -1, 3))

    def adapt(self, pictures: NDArray[np.generic], input_shape: tuple[int, ...]) -> Tensor:
        """Return pictures of bytes, (height, width) or (height, width, 3), prepared; other arrays as they are.

        An array of floats has been prepared by whoever sends it, and must have the model's own shape.

        Raises:
            SupernetError: as `ClassTask.adapt`.
        """
        is_picture = pictures.ndim == 3 or (pictures.ndim == 4 and pictures.shape[3] in (1, *_CHANNELS))
        if pictures.dtype == np.uint8 and is_picture and 0 not in pictures.shape:
            grey = pictures.ndim == 4 and pictures.shape[3] == 1
            return prepared(pictures[..., 0] if grey else pictures, self.images, input_shape)
        return super().adapt(pictures, input_shape)


def prepared(pictures: NDArray[np.generic], how: Images, input_shape: tuple[int, ...]) -> Tensor:
    """Return n pictures of bytes as a batch for a network."""
    pixels = [how.pixels(Image.fromarray(picture), input_shape) for picture in pictures]
    return how.normalised(np.stack(pixels), input_shape)


class ImageTask(ClassTask):
    """The task of ImageNet: it takes RGB uint8 pictures (n, height, width, 3) of any size, the largest output wins."""

    def takes(self, artifact: Artifact) -> Form:
        """Return the form of an RGB picture of any size."""
        return Form(name="x", dtype="uint8", shape=(-1, -1, 3))

    def adapt(self, pictures: NDArray[np.generic], input_shape: tuple[int, ...]) -> Tensor:
        """Return the pictures scaled, cropped and normalised by `images`, (n, 3, resolution, resolution)."""
        if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3 or 0 in pictures.shape:
            raise SupernetError(
                f"a picture for an ImageNet network must be RGB, uint8, of shape (height, width, 3); "
                f"got {pictures.dtype} of shape {pictures.shape[1:]}"
            )
        return prepared(pictures, IMAGENET, input_shape)
