"""The task of a dynamic network: what its inputs are, what its outputs mean, and how good they are. Knows no engine.

- A *task* turns the payload of a request into a sample, says how large that is, and turns an output into what a client
  gets and into a credit. The task of reading plates takes a grey picture, and its credit is 1.0 for all characters.
- A *source* turns the number of a request into a sample for the active network. Slow work, such as resizing a pool of
  pictures for a new resolution, happens in `inputs`, off the request path.

Whoever serves, schedules or sums up knows tasks and sources by these two protocols alone. Each kind of network has its
own: those of pictures are in `supernets.pictures`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

from supernets.artifact import Artifact
from supernets.outputs import Output

Sample: TypeAlias = Any
"""An input as an engine takes it. It means nothing outside `supernets`."""

TEXT = "text"
"""The type of a `Form` that is a text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """The form of what a client gives or gets, for whoever hands it over a network.

    `Form(name="x", dtype="uint8", shape=(-1, -1))` is an array of bytes with two axes of any length.

    Attributes:
        name: its name.
        dtype: NumPy's name of its type, such as `float32`; `TEXT` for a text, which is one string.
        shape: its axes; -1 for any length. None where the number of axes is not known.
    """

    name: str
    dtype: str
    shape: tuple[int, ...] | None


class Task(Protocol):
    """The task of some networks: the payloads that they take and the meaning of their outputs."""

    @property
    def metric(self) -> str:
        """The words for a mean of credits, such as `top-1` or `exact match`."""
        ...

    def sample(self, payload: object, artifact: Artifact) -> Sample:
        """Return a payload as a network takes it.

        Args:
            payload: input of one request, as a client or a user's function gives it.
            artifact: the network.

        Raises:
            SupernetError: for a payload that is none of this task. It costs this request only.
        """
        ...

    def takes(self, artifact: Artifact) -> Form:
        """Return the form of a payload that `sample` takes; it may take others too."""
        ...

    def gives(self, artifact: Artifact) -> tuple[Form, ...]:
        """Return the forms of what `payload` returns, which may be read from the network's file."""
        ...

    def size(self, sample: Sample) -> float:
        """Return the work that a sample is expected to take, known on its arrival; 1.0 where all take the same."""
        ...

    def work(self, output: Output) -> float:
        """Return the work that an output took, in the unit of `size`; 1.0 where all take the same."""
        ...

    def capped(self, output: Output) -> bool:
        """Return True if an output was cut at its cap, so that a part of it is missing."""
        ...

    def payload(self, output: Output) -> object:
        """Return what a client and `on_result` get of an output."""
        ...

    def credit(self, output: Output, label: object) -> float:
        """Return how good an output is, from 0.0 to 1.0 for a right one.

        Raises:
            SupernetError: for a label that no output can be compared with.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusFigure:
    """A figure of how good all answers are together. It is no mean of credits, so no single answer has one.

    Attributes:
        name: its name, such as `corpus BLEU`.
        value: the figure; None where it is not known.
        signature: how it was counted, in the words of those who count it; None where it is not known.
        why_unknown: the reason, and the fix; empty where it is known.
    """

    name: str
    value: float | None
    signature: str | None = None
    why_unknown: str = ""


@runtime_checkable
class CorpusTask(Task, Protocol):
    """A task with figures over all answers, beside their credits."""

    def over_all(self, answers: Sequence[tuple[Output, object]]) -> tuple[CorpusFigure, ...]:
        """Return the figures of some outputs, each with its label."""
        ...


class Source(Protocol):
    """The inputs of one application."""

    @property
    def task(self) -> Task:
        """The task that the inputs are of."""
        ...

    @property
    def notice(self) -> str:
        """A part of a sentence that a user must read before a run, such as on files left out; empty for nothing."""
        ...

    @property
    def period(self) -> int | None:
        """The number of requests after which it begins anew; None where sizes are all 1, or not known beforehand."""
        ...

    def inputs(self, artifact: Artifact) -> Callable[[int], Sample]:
        """Return a function from a request's number to its sample for a network."""
        ...

    def score(self, index: int, output: Output) -> float | None:
        """Return the credit of the output of request `index`; None where there is no label."""
        ...

    def adapt(self, payload: object, artifact: Artifact) -> Sample:
        """Return a client's own payload as the network takes it.

        Raises:
            SupernetError: for a payload that is none of this task.
        """
        ...


class Called:
    """A source that calls a user's function for each request.

    The function is called once for each request on the inference thread, so its time counts as the request's.

    Args:
        task: the task that the payloads are for.
        function: the user's function, from a request's number to a payload, or to a payload and its label.

    Attributes:
        task: as given.
        notice: nothing.
        period: None: what the function will return is not known beforehand.
    """

    notice = ""
    period = None

    def __init__(self, task: Task, function: Callable[[int], object]) -> None:
        self.task = task
        self._function = function
        self._latest: tuple[int, object] = (-1, None)  # request and its label

    def inputs(self, artifact: Artifact) -> Callable[[int], Sample]:
        """Return a function that calls the user's function and adapts the payload that it returns."""

        def call(index: int) -> Sample:
            result = self._function(index)
            payload, label = result if isinstance(result, tuple) else (result, None)
            self._latest = index, label
            return self.adapt(payload, artifact)

        return call

    def score(self, index: int, output: Output) -> float | None:
        """Return the credit of request `index` by the label that came with its payload.

        It is None where the function gave no label, and for any request but the latest.
        """
        latest, label = self._latest
        return None if latest != index or label is None else self.task.credit(output, label)

    def adapt(self, payload: object, artifact: Artifact) -> Sample:
        """Return a payload as the network takes it."""
        return self.task.sample(payload, artifact)
