"""The inputs of each task on pictures: plates, ImageNet's classes, and users' own models. Knows no torch."""

from __future__ import annotations

from pathlib import Path

from supernets.errors import SupernetError
from supernets.evaluation import LabelledData
from supernets.pictures.evaluation import PlateData
from supernets.pictures.image_folder import ImageFolder, image_pool, own_pool
from supernets.pictures.preparing import Images
from supernets.pictures.sources import Noise, Pool, plate_folder, plate_stream
from supernets.pictures.tasks import ClassTask, ImageTask, PlateTask, PreparedTask
from supernets.task import Source
from supernets.task_inputs import DRAWN, LabelledInputs, TaskInputs

_NO_DATA = (
    "it has no source, so it gets noise, and its accuracy is not measured; give a folder of pictures, a Camera or a "
    "function as its source"
)


def _plates_in(folder: str, seed: int) -> Pool:
    """Return the pictures of a folder; all of them, so the seed chooses nothing."""
    return plate_folder(_checked(folder))


def _images_in(folder: str, seed: int) -> Source:
    return image_pool(_checked(folder), seed)


def _no_folder(folder: str, seed: int) -> Source:
    raise SupernetError(
        f"source {str(_checked(folder))!r} is a folder, and nothing says how its pictures become inputs; say it with "
        "Family([...], inputs=Images(size=224)), or give a function that returns inputs"
    )


def own_inputs(images: Images | None) -> TaskInputs:
    """Return the inputs of a user's own models.

    Args:
        images: how pictures become their inputs; None where their inputs are given ready, by a function or a client.
    """
    if images is None:
        return TaskInputs(task=ClassTask(), stream=Noise, stored=_no_folder)
    task = PreparedTask(images)
    return TaskInputs(
        task=task,
        stream=lambda seed: Noise(seed, task),
        stored=lambda folder, seed: own_pool(_checked(folder), seed, images),
    )


def _checked(folder: str) -> Path:
    if not Path(folder).is_dir():
        raise SupernetError(
            f"source {folder!r} is not a folder; give one that holds pictures, or for a camera, a video or an address "
            f"source=Camera({folder!r})"
        )
    return Path(folder)


def _labelled_plates(given: str | None, option: str, *, held_out: bool) -> LabelledData:
    if given is not None and given != DRAWN:
        raise SupernetError(f"{option} {given!r}: plates are drawn by seed; take {option} {DRAWN}")
    return PlateData(held_out=held_out)


def _labelled_images(given: str | None, option: str, *, held_out: bool) -> LabelledData:
    if given is None or given == DRAWN:
        raise SupernetError(
            f"{option} must be a folder of ImageNet pictures as CLASS/picture.JPEG, where CLASS is a WordNet id: "
            f"{option} DIR"
        )
    return ImageFolder(Path(given))


PLATES = LabelledInputs(
    task=PlateTask(), stream=plate_stream, stored=_plates_in, labelled=_labelled_plates, has_own=True
)
"""The inputs of the task of reading plates, which are drawn where the user gives none."""

IMAGENET = LabelledInputs(
    task=ImageTask(),
    stream=lambda seed: Noise(seed, ImageTask(), _NO_DATA),
    stored=_images_in,
    labelled=_labelled_images,
    has_own=False,
)
"""The inputs of the task of ImageNet: the user's pictures, or noise."""
