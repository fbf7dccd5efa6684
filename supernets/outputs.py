"""The outputs of a network: one array, or several by name, and the class that they mean. Knows no engine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, SupportsIndex, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from supernets.errors import SupernetError


class Outputs(tuple[Any, ...]):
    """The outputs of a model that has several, in its order: `outputs["scores"]` and `outputs[1]` are the same.

    Each is an array as the model gives it, a list for a sequence, a dictionary for a map.

    Args:
        names: names of the outputs.
        values: the outputs.

    Attributes:
        names: names of the outputs.
    """

    names: tuple[str, ...]

    def __new__(cls, names: Iterable[str], values: Iterable[Any]) -> Outputs:
        """Return the outputs, in the order of their names."""
        made = super().__new__(cls, values)
        made.names = tuple(names)
        return made

    def __getnewargs__(self) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        """Return what a pickle needs."""
        return self.names, tuple(self)

    @overload
    def __getitem__(self, which: str | SupportsIndex) -> Any: ...

    @overload
    def __getitem__(self, which: slice) -> tuple[Any, ...]: ...

    def __getitem__(self, which: str | SupportsIndex | slice) -> Any:
        """Return an output by its name or its place.

        Raises:
            KeyError: for a name that no output has.
            IndexError: for a place where there is none.
        """
        if not isinstance(which, str):
            return super().__getitem__(which)
        if which not in self.names:
            raise KeyError(f"there is no output {which!r}, only {', '.join(self.names)}")
        return super().__getitem__(self.names.index(which))


Output: TypeAlias = NDArray[Any] | Outputs
"""The output of a network, or the several of a user's own model."""


def means(output: Output, label: object) -> bool:
    """Return True if an output means a label, the number of a class or its name.

    - One number that is no fraction, or one text, is the class itself: `[3]` means label 3.
    - Several scores in a row mean the place of the largest: `[[0.1, 0.7, 0.2]]` means label 1.

    Of several outputs the one that is the class itself counts, or else the one of scores.

    Raises:
        SupernetError: if no output, or more than one, can be compared with a label; or if no class has this label.
    """
    name, one = _answer(output)
    expected = np.asarray(label).item() if isinstance(label, np.ndarray | np.generic) and np.size(label) == 1 else label
    if isinstance(expected, bool) or not isinstance(expected, int | str):
        raise SupernetError(f"a label must be the number of a class, such as 3, or its name, not {label!r}")
    if _is_class(one):
        (said,) = one.reshape(-1).tolist()
        said = said.decode() if isinstance(said, bytes) else said
        if isinstance(said, str) != isinstance(expected, str):
            raise SupernetError(f"label {label!r} can't be compared with the class {said!r} of {name}: give its kind")
        return bool(said == expected)
    if not isinstance(expected, int) or not 0 <= expected < one.size:
        raise SupernetError(f"label {label!r} is none of {name}, which has {one.size} scores: 0 to {one.size - 1}")
    return int(one.reshape(-1).argmax()) == expected


def says_names(output: Output) -> bool:
    """Return True if an output is the name of a class, so that labels must be names too.

    Raises:
        SupernetError: if no output, or more than one, can be compared with a label.
    """
    _, one = _answer(output)
    return one.dtype.kind in "OUS"


def _answer(output: Output) -> tuple[str, NDArray[Any]]:
    """Return the output that is to be compared with a label, with its name in words."""
    if not isinstance(output, Outputs):
        if _is_class(output) or _is_scores(output):
            return "the output", output
        raise SupernetError(
            f"an output of {output.dtype} and shape {output.shape} means no class, so no label can be compared with "
            "it; let the source give no label, and judge in on_result"
        )
    named = list(zip(output.names, output, strict=True))
    for kind in (_is_class, _is_scores):
        fit = [(name, one) for name, one in named if kind(one)]
        if len(fit) == 1:
            return f"output {fit[0][0]!r}", fit[0][1]
        if fit:
            break
    raise SupernetError(
        f"none of the outputs {', '.join(output.names)} alone is a class or scores of classes, so no label can be "
        f"compared with them; name one: Family([...], output={(fit[0][0] if fit else output.names[0])!r})"
    )


def _is_class(one: object) -> bool:
    return isinstance(one, np.ndarray) and one.size == 1 and one.dtype.kind in "iubOUS"


def _is_scores(one: object) -> bool:
    """Return True for scores of classes: fractions, or the bytes of a quantized model, along one axis.

    Other whole numbers may be anything: `[[207, 5, 3]]` are the three likeliest classes in some models.
    """
    if not isinstance(one, np.ndarray) or one.size < 2 or max(one.shape) != one.size:
        return False
    return one.dtype.kind == "f" or (one.dtype.kind in "iu" and one.dtype.itemsize == 1)
