"""Folders of pictures, laid out as ImageNet's validation set: DIR/CLASS/picture. Knows no torch.

For ImageNet's networks the folder of a class is named by its WordNet id (`n01440764`), or by the number of the
network's output (`0` to `999`); classes may be missing. For a user's own model it is named by that number, or by
whatever the class is called: then its number is its place among all names in order, as in torchvision's `ImageFolder`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import ClassVar, TypeVar

import numpy as np

from supernets.artifact import Artifact
from supernets.errors import SupernetError
from supernets.evaluation import EVALUATED_AT_ONCE, one_by_one
from supernets.outputs import Output, says_names
from supernets.pictures import folders, images
from supernets.pictures.preparing import IMAGENET, Images
from supernets.pictures.tasks import ClassTask, ImageTask, PreparedTask, Tensor

IMAGE_POOL = 128
"""Pictures that an application uses in turn: 19 MB at 224 pixels, for each resolution that is kept prepared."""

_IMAGENET_TASK = ImageTask()
_READERS = 4
_READ_AHEAD = 64
_CLASSES = "named by its WordNet id (n01440764), or by the network's output (0 to 999)"

_T = TypeVar("_T")
_R = TypeVar("_R")


class ImageFolder:
    """The pictures of DIR/CLASS/, read from disk as they are asked for.

    Args:
        directory: DIR.
        own: True where its classes are those of a user's own model.

    Raises:
        SupernetError: if there is no such folder, or its layout is another one.

    Attributes:
        task: ImageNet classification.
        directory: DIR.
        notice: what is left out of it, since it is no picture; empty for nothing.
    """

    task = _IMAGENET_TASK

    def __init__(self, directory: Path, *, own: bool = False) -> None:
        self.directory = directory
        self._files: list[str] = []  # relative to the directory, class by class
        self._labels: list[int] = []  # one for each file
        self._sizes: list[int] = []  # number of files of each class
        try:
            labelled, others = _own_class_folders(directory) if own else _class_folders(directory)
            for folder, label in labelled:
                found = folders.listed(folder)
                self._files += [f"{folder.name}/{file.name}" for file in found.pictures]
                self._labels += [label] * len(found.pictures)
                self._sizes.append(len(found.pictures))
                others += found.others
        except OSError as error:
            raise SupernetError(f"{error.filename} can't be read: {error.strerror}") from None
        self.notice = folders.left_out(directory, others)
        if len(self) == 0:
            rest = f" ({self.notice})" if self.notice else ""
            raise SupernetError(
                f"the folders of {directory} hold no picture; files count that end in {folders.ENDINGS}{rest}"
            )

    def __str__(self) -> str:
        return str(self.directory)

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self._files)

    def chosen(self, limit: int | None = None, seed: int = 0) -> Iterator[tuple[Path, int]]:
        """Yield files and labels in an order by seed, in which every beginning has all classes in equal parts.

        Args:
            limit: at most that many; None takes all. The first four of two classes are two of each.
            seed: seed of the order.
        """
        rng = np.random.default_rng(seed)
        # The order goes by rounds: each round takes one picture of every class that has some left.
        rank = np.concatenate([rng.permutation(size) for size in self._sizes])  # each picture's place in its class
        turn = np.repeat(rng.permutation(len(self._sizes)), self._sizes)  # its class's place in each round
        for picture in np.lexsort((turn, rank))[:limit]:
            yield self.directory / self._files[picture], self._labels[picture]

    def samples(self, artifact: Artifact, limit: int | None = None, seed: int = 0) -> Iterator[tuple[Tensor, object]]:
        """Yield the pictures as the network takes them, one by one, with their labels."""
        return one_by_one(self.batches(artifact.input_shape, EVALUATED_AT_ONCE, limit, seed))

    def batches(
        self, input_shape: tuple[int, ...], size: int, limit: int | None = None, seed: int = 0
    ) -> Iterator[tuple[Tensor, Sequence[object]]]:
        """Yield inputs (n, 3, height, width) and n labels in batches of `size`; a few threads read ahead.

        The pictures are read as torchvision's loader reads them, so that accuracies compare with published ones.
        """
        pictures = _ahead(
            lambda item: (IMAGENET.pixels(images.read_as_published(item[0]), input_shape), item[1]),
            self.chosen(limit, seed),
        )
        while batch := list(islice(pictures, size)):
            pixels = np.stack([pixels for pixels, _ in batch])
            yield IMAGENET.normalised(pixels, input_shape), [label for _, label in batch]


@dataclass(frozen=True, slots=True)
class ImagePool:
    """Some pictures of a folder as the inputs of an application, used in turn.

    Only their crops are kept, as bytes. Each request scales its own to floats (0.07 ms at 224 pixels), since floats
    would take four times the memory.

    Attributes:
        files: the picture files.
        labels: the class of each file, by number; None where they have none.
        task: the task that they are for.
        how: how a picture becomes an input.
        notice: what was left out of the folder; empty for nothing.
    """

    files: Sequence[Path]
    labels: Sequence[int] | None
    task: ClassTask = _IMAGENET_TASK
    how: Images = IMAGENET
    notice: str = ""
    period: ClassVar[None] = None

    def inputs(self, artifact: Artifact) -> Callable[[int], Tensor]:
        """Prepare all pictures; return a function from a request's number, modulo their count, to its input."""
        shape = artifact.input_shape
        pixels = np.stack(list(_ahead(lambda file: self.how.pixels(images.read(file), shape), self.files)))
        return lambda index: self.how.normalised(pixels[index % len(pixels)][None], shape)

    def score(self, index: int, output: Output) -> float | None:
        """Return 1.0 if the output means the class of request `index`, else 0.0; None where there are no classes.

        A model that says a class by its name is compared with the name of the picture's folder.
        """
        if self.labels is None:
            return None
        place = index % len(self.files)
        return self.task.credit(output, self.files[place].parent.name if says_names(output) else self.labels[place])

    def adapt(self, payload: object, artifact: Artifact) -> Tensor:
        """Return a client's own picture as the network takes it."""
        return self.task.sample(payload, artifact)


def image_pool(directory: Path, seed: int, count: int = IMAGE_POOL) -> ImagePool:
    """Return pictures of a folder, with its classes in equal parts; each file is read once to check it.

    Args:
        directory: DIR of DIR/CLASS/picture.
        seed: seed of the choice.
        count: at most that many pictures.

    Raises:
        SupernetError: if the folder has another layout, or one of the pictures can't be read.
    """
    folder = ImageFolder(directory.absolute())
    files, labels = zip(*folder.chosen(count, seed), strict=True)
    for _ in _ahead(images.read, files):
        pass
    return ImagePool(files, labels, notice=folder.notice)


def own_pool(directory: Path, seed: int, how: Images, count: int = IMAGE_POOL) -> ImagePool:
    """Return pictures of a folder for a user's own model; each file is read once to check it.

    Args:
        directory: DIR of DIR/CLASS/picture, or of DIR/picture, where nothing says what they show.
        seed: seed of the choice.
        how: how a picture becomes an input.
        count: at most that many pictures.

    Raises:
        SupernetError: if there is no picture, or one of them can't be read.
    """
    directory, task = directory.absolute(), PreparedTask(how)
    flat = folders.listed(directory)
    if flat.pictures:
        chosen = np.random.default_rng(seed).permutation(len(flat.pictures))[:count]
        files: Sequence[Path] = [flat.pictures[number] for number in chosen]
        labels, notice = None, folders.left_out(directory, flat.others)
    else:
        folder = ImageFolder(directory, own=True)
        files, labels = zip(*folder.chosen(count, seed), strict=True)
        notice = folder.notice
    for _ in _ahead(images.read, files):
        pass
    return ImagePool(files, labels, task, how, notice)


def _ahead(function: Callable[[_T], _R], items: Iterable[_T]) -> Iterator[_R]:
    """Yield the function's result for each item, in order; a few threads compute a bounded number ahead."""
    waiting: deque[Future[_R]] = deque()
    pool = ThreadPoolExecutor(_READERS)
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > _READ_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _class_folders(directory: Path) -> tuple[list[tuple[Path, int]], list[tuple[Path, str]]]:
    """Return each folder of a class with its label, and what else lies beside them with the reason to leave it out.

    Raises:
        SupernetError: if the directory does not exist, or a folder that holds pictures is no class.
    """
    if not directory.is_dir():
        kind = "is a file" if directory.exists() else "does not exist"
        raise SupernetError(f"{directory} {kind}; give a folder that holds pictures as CLASS/picture.JPEG")
    beside = folders.listed(directory)
    inside = [path for path, _ in beside.others if path.is_dir() and not path.name.startswith(".")]
    if not inside:
        what = "holds pictures, but not in folders by class" if beside.pictures else "holds no picture"
        raise SupernetError(f"{directory} {what}; sort them into folders, as CLASS/picture.JPEG: {_CLASSES}")
    labelled = []
    for folder in inside:
        label = _label(folder.name)
        if label is not None:
            labelled.append((folder, label))
            continue
        inner = next((f for f in inside if any(_label(path.name) is not None for path in f.iterdir())), None)
        if inner or folders.listed(folder).pictures:
            fix = f"Did you mean {inner}?" if inner else f"A class is {_CLASSES}"
            raise SupernetError(f"{directory}: folder {folder.name!r} is no class of ImageNet. {fix}")
    classes = {folder for folder, _ in labelled}
    loose = [(path, "a picture in no class's folder") for path in beside.pictures]
    return labelled, loose + [other for other in beside.others if other[0] not in classes]


def _own_class_folders(directory: Path) -> tuple[list[tuple[Path, int]], list[tuple[Path, str]]]:
    """Return each folder of a class of a user's own model with its number, and what else lies beside them."""
    beside = folders.listed(directory)
    inside = [path for path, _ in beside.others if path.is_dir() and not path.name.startswith(".")]
    if not inside:
        raise SupernetError(f"{directory} holds no picture, nor folders of classes with pictures, as CLASS/picture.png")
    numbered = [path for path in inside if path.name.isdecimal()]
    if numbered and len(numbered) < len(inside):
        other = next(path for path in inside if path not in numbered)
        raise SupernetError(
            f"{directory}: folder {numbered[0].name!r} is the number of a class, and {other.name!r} is a name; "
            "name all by numbers, or all by names"
        )
    known = [_label(path.name) for path in inside]
    if numbered:
        numbers = [int(path.name) for path in inside]
    else:
        numbers = list(range(len(inside))) if None in known else [number for number in known if number is not None]
    return list(zip(inside, numbers, strict=True)), [other for other in beside.others if other[0] not in inside]


def _label(name: str) -> int | None:
    """Return the index of the network's output for a class folder; None where the name is no class."""
    if name.isdecimal():
        return int(name) if int(name) < len(_synsets()) else None
    return _synsets().get(name)


@cache
def _synsets() -> dict[str, int]:
    lines = (Path(__file__).parent.parent / "published" / "imagenet_synsets.txt").read_text().splitlines()
    return {line: label for label, line in enumerate(line for line in lines if not line.startswith("#"))}
