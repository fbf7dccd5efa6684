"""The sources of accuracies for a search: a published predictor, the user's own table, or labelled pictures.

Imports torch only where a file is read or a network is made.
"""

from __future__ import annotations

import csv
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from supernets import engines, weights_file
from supernets.errors import BROKEN, SupernetError, shown
from supernets.evaluation import BatchedData, LabelledData, accuracy
from supernets.ofa.elastic import ElasticSupernet
from supernets.ofa.space import Architecture, Space
from supernets.search.evolution import Candidates, Encoding, EvolutionPlan, Genes, Scoring, evolve
from supernets.subnet import SubNet

if TYPE_CHECKING:
    import torch
    from torch import nn

TUTORIAL_RESOLUTIONS = tuple(range(112, 225, 16))
"""Resolutions of the predictor in Once-for-all's tutorial, which has them in its code
(`ofa.tutorial.accuracy_predictor`)."""

_TABLE_SOURCES = ("published", "measured", "predicted")
"""Allowed sources of a table's accuracies; the first is the default."""
_BATCH = 64
"""Pictures that are calibrated on at once."""


class AccuracySource(ABC):
    """The accuracies of the sub-networks that a search may choose from.

    Attributes:
        encoding: the encoding of those sub-networks.
    """

    encoding: Encoding

    def extremes(self) -> Genes:
        """Return sub-networks (n, genes) that include the fastest and the slowest."""
        return self.encoding.ends()

    def choose(
        self,
        latency_ms: Scoring,
        limits_ms: Sequence[float],
        plan: EvolutionPlan,
        on_generation: Callable[[int, int], None],
    ) -> Candidates:
        """Search the most accurate sub-network under each limit.

        Args:
            latency_ms: gives latencies in milliseconds.
            limits_ms: latencies to stay within.
            plan: the extent of the search.
            on_generation: called with the number of generations that are done, and of all.

        Returns:
            One sub-network for each limit, in the order of the limits.

        Raises:
            SupernetError: if nothing is within a limit.
        """
        return evolve(self.encoding, latency_ms, self.scores, limits_ms, plan, on_generation)

    @abstractmethod
    def scores(self, genes: Genes) -> NDArray[np.float64]:
        """Return the accuracies (n,) of sub-networks (n, genes), as fractions."""

    @abstractmethod
    def final(self, subnet: SubNet) -> SubNet:
        """Return a chosen sub-network with its accuracy and the accuracy's source."""


class Predictor(AccuracySource):
    """Once-for-all's accuracy predictor (arXiv 1908.09791): a multi-layer perceptron on the one-hot encoded knobs.

    Two forms of its state dict are public. They differ in names and in the order of the inputs: the tutorial's
    (`0.weight`, …; kernels, expansions, resolution) and that of `ofa.nas.accuracy_predictor` (`layers.0.0.weight`, …,
    `base_acc`; resolution, kernels, expansions). The file gives the number of layers and their widths.

    Args:
        path: file of the state dict, `.safetensors` or a `.pth` without code.
        space: the space of the sub-networks that it predicts.
        resolutions: resolutions to choose from; None for all that it knows. Where the file does not say which
            resolutions it was made for, these are them, in this order.

    Raises:
        SupernetError: if the file can't be read, is no predictor for that space, or gives no fractions.
    """

    def __init__(self, path: Path, space: Space, resolutions: Sequence[int] | None = None) -> None:
        state = weights_file.read_state(path)
        self._resolution_first = "base_acc" in state
        self._base = _values(state.pop("base_acc")) if self._resolution_first else np.zeros(1, np.float32)
        self._layers = _layers(path, state)
        self._known = self._made_for(path, space, resolutions)
        chosen = [r for r in (resolutions or self._known) if r in self._known and r in space.resolutions]
        if not chosen:
            raise SupernetError(f"predictor {str(path)!r} knows the resolutions {self._known}; take some of those")
        self.encoding = Encoding(space, sorted(chosen))
        scores = self.scores(self.encoding.ends())
        wrong = scores[~((scores > 0) & (scores <= 1))]
        if wrong.size:
            raise SupernetError(
                f"predictor {str(path)!r} gives {space.name} an accuracy of {wrong[0]:.4g}; it must be between 0 and 1"
            )

    def _made_for(self, path: Path, space: Space, resolutions: Sequence[int] | None) -> tuple[int, ...]:
        """Return the resolutions that the predictor was made for, in the order of its inputs."""
        # Every knob's options are one input each, so what is left of the inputs are its resolutions.
        inputs = self._layers[0][0].shape[1]
        count = inputs - space.blocks * (len(space.kernels) + len(space.expands))
        if count < 1:
            raise SupernetError(
                f"predictor {str(path)!r} takes {inputs} features; the knobs of {space.name} alone are "
                f"{inputs - count}, and its resolutions come on top: it was made for another space"
            )
        for known in (None if self._resolution_first else TUTORIAL_RESOLUTIONS, space.resolutions, resolutions):
            if known is not None and len(known) == count:
                return tuple(known)
        raise SupernetError(
            f"predictor {str(path)!r} was made for {count} resolutions, and does not say which; "
            f"name them: --resolutions with {count} numbers"
        )

    def scores(self, genes: Genes) -> NDArray[np.float64]:
        """Return the predicted accuracies (n,) of sub-networks (n, genes)."""
        encoding = self.encoding
        # The input: a one-hot code of every block's kernel and expansion, all zero for unused blocks, and one of the
        # resolution among those that the predictor was made for.
        active = encoding.active(genes)[:, :, None]
        kernels = np.eye(len(encoding.space.kernels), dtype=np.float32)[genes[:, encoding.kernel]] * active
        expands = np.eye(len(encoding.space.expands), dtype=np.float32)[genes[:, encoding.expand]] * active
        place = np.array([self._known.index(resolution) for resolution in encoding.resolutions])
        resolution = np.eye(len(self._known), dtype=np.float32)[place[genes[:, -1]]]
        blocks = [kernels.reshape(len(genes), -1), expands.reshape(len(genes), -1)]
        x = np.concatenate([resolution, *blocks] if self._resolution_first else [*blocks, resolution], axis=1)
        for number, (weight, bias) in enumerate(self._layers):
            x = (np.maximum(x, 0) if number else x) @ weight.T + bias
        return (x[:, 0] + self._base).astype(np.float64)

    def final(self, subnet: SubNet) -> SubNet:
        """Return a chosen sub-network with its predicted accuracy."""
        predicted = self.scores(self.encoding.encoded(*_point(subnet))[None])[0]
        return replace(subnet, accuracy=round(float(predicted), 4), accuracy_source="predicted")


def _layers(path: Path, state: dict[str, torch.Tensor]) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Return the weight (out, in) and the bias (out,) of each layer, from input to output."""
    names = sorted(
        {key.rpartition(".")[0] for key in state},
        key=lambda name: [int(part) for part in name.split(".") if part.isdecimal()],
    )
    layers: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
    for name in names:
        if f"{name}.weight" not in state or state[f"{name}.weight"].ndim != 2:
            raise SupernetError(f"{path} is no accuracy predictor: {name!r} is no linear layer of it")
        weight = _values(state[f"{name}.weight"])
        bias = _values(state[f"{name}.bias"]) if f"{name}.bias" in state else np.zeros(len(weight), np.float32)
        inputs = layers[-1][0].shape[0] if layers else weight.shape[1]
        if weight.shape[1] != inputs or bias.shape != weight.shape[:1]:
            raise SupernetError(
                f"{path} is no accuracy predictor: {name}.weight has shape {weight.shape} and its bias {bias.shape}, "
                f"but the layer before has {inputs} outputs"
            )
        layers.append((weight, bias))
    if not layers or len(layers[-1][0]) != 1:
        outputs = len(layers[-1][0]) if layers else 0
        raise SupernetError(f"{path} is no accuracy predictor: it has {outputs} outputs, not 1")
    return layers


def _values(tensor: torch.Tensor) -> NDArray[np.float32]:
    values: NDArray[np.float32] = tensor.float().numpy()
    return values


class AccuracyTable(AccuracySource):
    """A table of sub-networks with known accuracies. Only these can be chosen, so nothing evolves.

    Args:
        path: JSON, a list of objects; or CSV with a heading, where knobs are numbers with blanks between them. Fields:
            `kernel`, `expand`, `depth`, `resolution`, `accuracy` (a fraction), and optionally `source`: `published`
            (the default), `measured` or `predicted`.
        space: the space of the sub-networks.

    Raises:
        SupernetError: naming the file, the row and the error in it.
    """

    def __init__(self, path: Path, space: Space) -> None:
        listed = _read_table(path, space)
        self.encoding = Encoding(space)
        self._listed = {subnet.id: subnet for subnet in listed}
        self._genes = np.array([self.encoding.encoded(*_point(subnet)) for subnet in self._listed.values()])

    def extremes(self) -> Genes:
        """Return all sub-networks of the table."""
        return self._genes

    def choose(
        self,
        latency_ms: Scoring,
        limits_ms: Sequence[float],
        plan: EvolutionPlan,
        on_generation: Callable[[int, int], None],
    ) -> Candidates:
        """Return the most accurate sub-network of the table under each limit.

        Raises:
            SupernetError: if nothing is within a limit.
        """
        pool = Candidates(genes=self._genes, latency_ms=latency_ms(self._genes), accuracy=self.scores(self._genes))
        return pool.under(limits_ms)

    def scores(self, genes: Genes) -> NDArray[np.float64]:
        """Return the table's accuracies (n,) of sub-networks (n, genes)."""
        subnets = (self.encoding.space.subnet(*self.encoding.decoded(row)) for row in genes)
        return np.array([self._listed[subnet.id].accuracy for subnet in subnets], dtype=np.float64)

    def final(self, subnet: SubNet) -> SubNet:
        """Return a chosen sub-network as the table has it."""
        return self._listed[subnet.id]


def _point(subnet: SubNet) -> tuple[Architecture, int]:
    assert isinstance(subnet.knobs, Architecture)
    assert subnet.resolution is not None
    return subnet.knobs, subnet.resolution


def _read_table(path: Path, space: Space) -> list[SubNet]:
    try:
        text = path.read_text(encoding="utf-8")
        rows = json.loads(text) if path.suffix == ".json" else list(csv.DictReader(text.splitlines()))
    except OSError as error:
        raise SupernetError(f"table {str(path)!r} can't be read: {error.strerror}") from None
    except BROKEN as error:
        raise SupernetError(f"table {str(path)!r} is neither CSV nor JSON: {error!s:.200}") from None
    if not isinstance(rows, list) or not rows:
        raise SupernetError(f"table {str(path)!r} lists no sub-network")
    found = []
    for number, row in enumerate(rows, start=1):
        try:
            found.append(_sub_network(space, row))
        except KeyError as error:
            raise SupernetError(f"{path}, sub-network {number}: {error.args[0]!r} is missing") from None
        except BROKEN as error:
            raise SupernetError(f"{path}, sub-network {number}: {error!s:.200}") from None
    return found


def _sub_network(space: Space, row: dict[str, Any]) -> SubNet:
    def whole(name: str) -> tuple[int, ...]:
        value = row[name]
        return tuple(int(part) for part in (value.split() if isinstance(value, str) else value))

    accuracy = float(row["accuracy"])
    if not 0 <= accuracy <= 1:
        raise ValueError(f"accuracy must be a fraction, not {accuracy!r}")
    source = row.get("source") or _TABLE_SOURCES[0]
    if source not in _TABLE_SOURCES:
        raise ValueError(f"source must be one of {', '.join(_TABLE_SOURCES)}, not {shown(source)}")
    knobs = Architecture(kernel=whole("kernel"), expand=whole("expand"), depth=whole("depth"))
    return space.subnet(knobs, int(row["resolution"]), accuracy, source)


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """Training pictures that a sub-network's batch-norm statistics are averaged over.

    Attributes:
        data: the labelled data to choose from.
        pictures: at most that many pictures.
        seed: seed of the choice.
    """

    data: BatchedData
    pictures: int
    seed: int

    def module(self, net: ElasticSupernet, subnet: SubNet) -> nn.Module:
        """Return the module of a sub-network with statistics of its own."""
        from supernets.calibration import calibrate

        module = net.module(subnet)
        calibrate(module, self._inputs(net.input_shape(subnet)))
        return module

    def _inputs(self, shape: tuple[int, ...]) -> Iterator[torch.Tensor]:
        import torch

        for x, _ in self.data.batches(shape, _BATCH, self.pictures, self.seed):
            yield torch.from_numpy(x)


class MeasuredAccuracy(AccuracySource):
    """Accuracies measured on labelled pictures in the serving engine, each sub-network with its own statistics.

    The search uses few pictures. The chosen sub-networks are measured again on more, since the best of many on few
    pictures owes some of its accuracy to luck.

    Args:
        net: the supernet.
        data: the labelled pictures.
        calibration: pictures that each sub-network's batch-norm statistics are averaged over.
        pictures: number of pictures that the search uses.
        test_pictures: number of pictures for the chosen, drawn with another seed; None takes all.
        seed: seed of the pictures.
        engine: one of `engines.names()`, or `auto`.
        threads: threads that compute, the caller's among them.
        known: earlier measurements, by sub-network, number of pictures and seed; new ones are added.
        on_measured: called with how many of a round's sub-networks are done, and of how many.
        resolutions: resolutions to choose from; None takes all of the space.
    """

    def __init__(
        self,
        net: ElasticSupernet,
        data: LabelledData,
        calibration: Calibration,
        *,
        pictures: int,
        test_pictures: int | None,
        seed: int,
        engine: str,
        threads: int,
        known: MutableMapping[str, float],
        on_measured: Callable[[int, int], None] = lambda done, total: None,
        resolutions: Sequence[int] | None = None,
    ) -> None:
        self.encoding = Encoding(net.space, resolutions)
        self._net, self._data, self._calibration = net, data, calibration
        self._pictures, self._test_pictures, self._seed = pictures, test_pictures, seed
        self._engine, self._threads = engine, threads
        self._known = known
        self._on_measured = on_measured

    def scores(self, genes: Genes) -> NDArray[np.float64]:
        """Measure sub-networks (n, genes) on the search's pictures; return their accuracies (n,)."""
        found = []
        for done, row in enumerate(genes):
            subnet = self._net.space.subnet(*self.encoding.decoded(row))
            found.append(self._accuracy(subnet, self._pictures, self._seed))
            self._on_measured(done + 1, len(genes))
        return np.array(found, dtype=np.float64)

    def final(self, subnet: SubNet) -> SubNet:
        """Measure a chosen sub-network on `test_pictures` of another seed, or on all pictures.

        Another seed gives other pictures where pictures are drawn.
        """
        found = self._accuracy(subnet, self._test_pictures, self._seed + 1)
        return replace(subnet, accuracy=round(found, 4), accuracy_source="measured")

    def _accuracy(self, subnet: SubNet, pictures: int | None, seed: int) -> float:
        key = f"{subnet.id} on {'all' if pictures is None else pictures} of seed {seed}"
        if key not in self._known:
            from supernets.exporting import export_module

            shape = self._net.input_shape(subnet)
            module = self._calibration.module(self._net, subnet)
            with TemporaryDirectory() as directory:
                artifact = export_module(module, subnet, shape, Path(directory) / "candidate.onnx")
                run = engines.prepare(artifact, self._engine, self._threads)
                self._known[key] = accuracy(run, self._data, artifact, pictures, seed).accuracy
        return self._known[key]
