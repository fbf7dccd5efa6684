"""One application of a mix: its dynamic network, its requests and the targets that they are to meet.

An app is checked when it is made. Nothing here knows about the other apps, about time, or which supernets exist.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY, InitVar, dataclass, field
from functools import partial
from math import ceil
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

from actors.requests.queue import DROP_RULES, DropRule
from scheduler.errors import shown
from workloads.mix.arrivals import Arrivals
from workloads.mix.errors import MixError, choice, file_name, listed, number, whole

if TYPE_CHECKING:
    from supernets import Images

Checks: TypeAlias = Mapping[str, Callable[[str, object], float]]
"""The check of each field's value; called with the field as the user knows it, and the value."""

MOST_WAITING = 10_000_000
"""Bound of a queue that is found to have none: as many requests as an app may send."""

TARGET_CHECKS: Checks = {
    "latency_ms": partial(number, above=0),
    "min_accuracy": partial(number, low=0, high=1),
    "weight": partial(number, above=0),
    "slo": partial(number, above=0, high=1),
}
"""The fields of an `App` that an event may change."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rung:
    """One static model of a `Family`.

    Attributes:
        id: The file's name without its ending.
        path: The ONNX file, absolute.
        accuracy: Held-out accuracy as a fraction, or None where it is not known.
    """

    id: str
    path: Path
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class Family:
    """A user's own static ONNX models as a ladder.

    `Family([("small.onnx", 0.37), ("large.onnx", 0.45)])` has two rungs, `small` with a held-out accuracy of 0.37 and
    `large` with 0.45. The accuracy may be None where it is not known.

    A relative path is looked up from the current directory; every file must exist.

    Attributes:
        inputs: How what a source or a client gives becomes the models' input; None where that comes ready.
        output: Name of the output that `on_result`, labels and clients get, such as `"scores"`; None for all. All of
            several come as `supernets.outputs.Outputs`.
        rungs: The models in the order given.
    """

    models: InitVar[Iterable[tuple[str | PathLike[str], float | None]]]
    _: KW_ONLY
    inputs: "Images | None" = None
    output: str | None = None
    rungs: tuple[Rung, ...] = field(init=False)

    def __post_init__(self, models: Iterable[tuple[str | PathLike[str], float | None]]) -> None:
        if self.inputs is not None:
            self._check_inputs()
        if self.output is not None and (not isinstance(self.output, str) or not self.output):
            raise MixError(f"Family: output must be the name of one output, such as 'scores', not {self.output!r}.")
        rungs: dict[str, Rung] = {}
        for model in listed("Family", models):
            rung = _rung(model)
            if rung.id in rungs:
                raise MixError(
                    f"Family: two models are called {rung.id!r}, {str(rungs[rung.id].path)!r} "
                    f"and {str(rung.path)!r}; rename one file."
                )
            rungs[rung.id] = rung
        if not rungs:
            raise MixError('Family([]) has no model; give at least one: Family([("model.onnx", 0.75)]).')
        object.__setattr__(self, "rungs", tuple(rungs.values()))

    def _check_inputs(self) -> None:
        from supernets import Images  # only here: to load it takes half a second, which most mixes can do without

        if not isinstance(self.inputs, Images):
            raise MixError(f"Family: inputs must be Images(...) or None, not {shown(self.inputs)}.")


@dataclass(frozen=True, slots=True)
class App:
    """One application: a dynamic network, the requests for it and the targets that they are to meet.

    `App("entrance", supernet="ofa-plates", arrivals=Periodic(hz=15), latency_ms=60, min_accuracy=0.80)` sends 15
    requests a second to `ofa-plates`. 95 % of them must have a result within 60 ms of their scheduled arrival, and only
    sub-networks with an accuracy of at least 0.80 may serve them.

    Attributes:
        name: Lower-case letters, digits, `_` and `-`; unique in the mix.
        supernet: A supernet's name, or a `Family`.
        arrivals: The kind of arrivals, such as `Periodic(hz=15)`.
        latency_ms: Latency target, from the scheduled arrival to the result; above 0.
        min_accuracy: Accuracy floor: every sub-network used has at least this held-out accuracy, 0 to 1.
        weight: Importance: a violation counts this many times in the objective; above 0.
        slo: Share of the requests that must meet the latency target, above 0 and at most 1.
        queue: Most requests that may wait, at least 1; None leaves it to `queue_bound`.
        drop: The request that goes: the one at the head if it is `late`, its deadline passed or, as far as the profile
            knows, too close for its size; the `oldest`; or the `newest`.
        source: The inputs: a folder or a callable; None is the supernet's own labelled stream.
        on_result: Called with (request, result) after each request; with all outputs of a `Family` that has several.
    """

    name: str
    supernet: str | Family
    arrivals: Arrivals
    latency_ms: float
    _: KW_ONLY
    min_accuracy: float = 0.0
    weight: float = 1.0
    slo: float = 0.95
    queue: int | None = None
    drop: DropRule = "late"
    source: str | PathLike[str] | Callable[..., Any] | None = None
    on_result: Callable[[Any, Any], object] | None = None

    def __post_init__(self) -> None:
        _check_name(self.name)
        where = f"app {self.name!r}"
        if not isinstance(self.supernet, str | Family) or not self.supernet:
            raise MixError(f"{where}: supernet must be a supernet's name or a Family, not {shown(self.supernet)}.")
        if not isinstance(self.arrivals, Arrivals):
            kinds = ", ".join(kind.__name__ for kind in get_args(Arrivals))
            raise MixError(
                f"{where}: arrivals must be one of {kinds}, such as Periodic(hz=5), not {shown(self.arrivals)}."
            )
        for key, check in TARGET_CHECKS.items():
            object.__setattr__(self, key, check(f"{where}: {key}", getattr(self, key)))
        if self.queue is not None:
            object.__setattr__(self, "queue", whole(f"{where}: queue", self.queue, low=1))
        choice(f"{where}: drop", self.drop, DROP_RULES)
        if not (self.source is None or isinstance(self.source, str | PathLike) or callable(self.source)):
            raise MixError(f"{where}: source must be a folder, a callable or None, not {shown(self.source)}.")
        if not (self.on_result is None or callable(self.on_result)):
            raise MixError(f"{where}: on_result must be a callable or None, not {shown(self.on_result)}.")

    def queue_bound(self, present_s: float) -> int:
        """Return how many requests may wait.

        Without a `queue` of its own, an app at 50 Hz with a target of 100 ms may have 5 waiting.

        Args:
            present_s: How long the app is in the mix; what a `Trace` holds beyond that has no part in its rate.

        Returns:
            `queue` where it is given, else as many requests as arrive within the first target, and at least 2. A rate
            that is not known beforehand counts as 0.
        """
        if self.queue is not None:
            return self.queue
        waiting = (self.arrivals.rate_hz(present_s) or 0.0) * self.latency_ms / 1000
        return max(2, ceil(min(waiting, MOST_WAITING)))


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not re.fullmatch("[a-z0-9_-]+", name):
        slug = re.sub("[^a-z0-9_-]+", "-", name[:40].lower()).strip("-") if isinstance(name, str) else ""
        hint = f" Did you mean {slug!r}?" if slug else ""
        raise MixError(f"app: name must be lower-case letters, digits, '_' and '-', not {shown(name)}.{hint}")
    file_name("app: name", name)


def _rung(model: object) -> Rung:
    match model:
        case (str() | PathLike() as file, accuracy):
            path = Path(file).absolute()
        case _:
            raise MixError(f"Family: each model is a pair of file and accuracy, not {shown(model)}.")
    if path.is_dir():
        raise MixError(f"Family: {str(file)!r} is a directory; give the .onnx file in it.")
    if not path.is_file():
        raise MixError(f"Family: there is no file {str(file)!r} (looked for {str(path)!r}).")
    if accuracy is not None:
        accuracy = number(f"Family: accuracy of {str(file)!r}", accuracy, low=0, high=1)
    return Rung(id=path.stem, path=path, accuracy=accuracy)
