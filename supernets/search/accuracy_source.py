"""How accurate a search believes a sub-network to be: a published predictor, the user's own table, or pictures.

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
from supernets.errors import SupernetError
from supernets.ofa.elastic import ElasticSupernet
from supernets.ofa.space import Architecture, Space
from supernets.pictures.evaluation import LabelledData, accuracy
from supernets.search.evolution import Candidates, Encoding, EvolutionPlan, Genes, Scoring, evolve
from supernets.subnet import SubNet

if TYPE_CHECKING:
    import torch
    from torch import nn

TUTORIAL_RESOLUTIONS = tuple(range(112, 225, 16))
"""Of the predictor in Once-for-all's tutorial, which writes them into its code (`ofa.tutorial.accuracy_predictor`)."""

_TABLE_SOURCES = ("published", "measured", "predicted")


_BATCH = 64


class AccuracySource(ABC):
    """Accuracies of the sub-networks that a search may choose from.

    Attributes:
        encoding: of those sub-networks.
    """

    encoding: Encoding

    def extremes(self) -> Genes:
        """Sub-networks among which the fastest and the slowest are."""
        return self.encoding.ends()

    def choose(
        self,
        latency_ms: Scoring,
        limits_ms: Sequence[float],
        plan: EvolutionPlan,
        on_generation: Callable[[int, int], None],
    ) -> Candidates:
        """The most accurate sub-network found under each limit; as `evolve`."""
        return evolve(self.encoding, latency_ms, self.scores, limits_ms, plan, on_generation)

    @abstractmethod
    def scores(self, genes: Genes) -> NDArray[np.float64]:
        """Accuracies (n,) of sub-networks (n, genes)."""

    @abstractmethod
    def final(self, subnet: SubNet) -> SubNet:
        """A chosen sub-network with its accuracy and where that comes from."""


class Predictor(AccuracySource):
    """Once-for-all's accuracy predictor: a perceptron on the one-hot encoded knobs.

    Two forms of its state dict are public: the tutorial's (`0.weight`, …; kernels, expansions, resolution) and that of
    `ofa.nas.accuracy_predictor` (`layers.0.0.weight`, …, `base_acc`; resolution, kernels, expansions). How many layers
    it has and how wide they are is read off the file.

    Args:
        path: state dict, `.safetensors` or a `.pth` without code.
        space: whose sub-networks it knows.
        resolutions: to choose from, and in this order those that it was made for where the file does not tell; None
            for all that it knows.

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
        """Predicted accuracies (n,) of sub-networks (n, genes)."""
        encoding = self.encoding
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
        """As predicted, and said to be."""
        predicted = self.scores(self.encoding.encoded(_architecture(subnet), subnet.resolution)[None])[0]
        return replace(subnet, accuracy=round(float(predicted), 4), accuracy_source="predicted")


def _layers(path: Path, state: dict[str, torch.Tensor]) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Weight (out, in) and bias (out,) of each layer, from input to output."""
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
    """Sub-networks with known accuracies, the only ones that can then be chosen: there is nothing to evolve.

    Args:
        path: JSON, a list of objects; or CSV with a heading, where knobs are numbers with blanks between them. Fields:
            `kernel`, `expand`, `depth`, `resolution`, `accuracy` (a fraction), and optionally `source`: `published`
            (if it is not given), `measured` or `predicted`.
        space: whose sub-networks they are.

    Raises:
        SupernetError: naming the file, the row, and what is wrong with it.
    """

    def __init__(self, path: Path, space: Space) -> None:
        listed = _read_table(path, space)
        self.encoding = Encoding(space)
        self._listed = {subnet.id: subnet for subnet in listed}
        self._genes = np.array([self.encoding.encoded(_architecture(s), s.resolution) for s in self._listed.values()])

    def extremes(self) -> Genes:
        """All that are listed."""
        return self._genes

    def choose(
        self,
        latency_ms: Scoring,
        limits_ms: Sequence[float],
        plan: EvolutionPlan,
        on_generation: Callable[[int, int], None],
    ) -> Candidates:
        """The most accurate of the listed under each limit.

        Raises:
            SupernetError: if nothing is within a limit.
        """
        pool = Candidates(genes=self._genes, latency_ms=latency_ms(self._genes), accuracy=self.scores(self._genes))
        return pool.under(limits_ms)

    def scores(self, genes: Genes) -> NDArray[np.float64]:
        """As listed."""
        subnets = (self.encoding.space.subnet(*self.encoding.decoded(row)) for row in genes)
        return np.array([self._listed[subnet.id].accuracy for subnet in subnets], dtype=np.float64)

    def final(self, subnet: SubNet) -> SubNet:
        """As listed."""
        return self._listed[subnet.id]


def _architecture(subnet: SubNet) -> Architecture:
    assert isinstance(subnet.knobs, Architecture)
    return subnet.knobs


def _read_table(path: Path, space: Space) -> list[SubNet]:
    try:
        text = path.read_text(encoding="utf-8")
        rows = json.loads(text) if path.suffix == ".json" else list(csv.DictReader(text.splitlines()))
    except OSError as error:
        raise SupernetError(f"table {str(path)!r} can't be read: {error.strerror}") from None
    except ValueError as error:
        raise SupernetError(f"table {str(path)!r} is neither CSV nor JSON: {error}") from None
    if not isinstance(rows, list) or not rows:
        raise SupernetError(f"table {str(path)!r} lists no sub-network")
    found = []
    for number, row in enumerate(rows, start=1):
        try:
            found.append(_sub_network(space, row))
        except KeyError as error:
            raise SupernetError(f"{path}, sub-network {number}: {error.args[0]!r} is missing") from None
        except (ValueError, TypeError, AttributeError) as error:
            raise SupernetError(f"{path}, sub-network {number}: {error}") from None
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
        raise ValueError(f"source must be one of {', '.join(_TABLE_SOURCES)}, not {source!r}")
    knobs = Architecture(kernel=whole("kernel"), expand=whole("expand"), depth=whole("depth"))
    return space.subnet(knobs, int(row["resolution"]), accuracy, source)


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """Training pictures to average a sub-network's batch-norm statistics over.

    Attributes:
        data: the pictures.
        pictures: at most that many.
        seed: of which.
    """

    data: LabelledData
    pictures: int
    seed: int

    def module(self, net: ElasticSupernet, subnet: SubNet) -> nn.Module:
        """The sub-network with statistics of its own."""
        from supernets.calibration import calibrate

        module = net.module(subnet)
        calibrate(module, self._inputs(net.input_shape(subnet)))
        return module

    def _inputs(self, shape: tuple[int, ...]) -> Iterator[torch.Tensor]:
        import torch

        for x, _ in self.data.batches(shape, _BATCH, self.pictures, self.seed):
            yield torch.from_numpy(x)


class MeasuredAccuracy(AccuracySource):
    """Measured on labelled pictures, each sub-network with batch-norm statistics of its own, in the serving engine.

    What the search goes by is measured on some pictures; the chosen are measured again on more, since the best of many
    on few pictures is flattered.

    Args:
        net: whose sub-networks.
        data: labelled pictures.
        calibration: what each sub-network is calibrated on.
        pictures: that the search goes by.
        test_pictures: for the chosen, of another seed; None takes all.
        seed: of the pictures.
        engine: that runs them.
        threads: of it.
        known: what was measured before, by what it depends on; this adds to it.
        on_measured: called with how many of a round's sub-networks are done, and of how many.
        resolutions: to choose from; None takes all of the space.
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
        """Measured on the search's pictures."""
        found = []
        for done, row in enumerate(genes):
            subnet = self._net.space.subnet(*self.encoding.decoded(row))
            found.append(self._accuracy(subnet, self._pictures, self._seed))
            self._on_measured(done + 1, len(genes))
        return np.array(found, dtype=np.float64)

    def final(self, subnet: SubNet) -> SubNet:
        """Measured on pictures of another seed, which are others where pictures are drawn, or on all there are."""
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
                self._known[key] = accuracy(run, self._data, shape, pictures, seed).accuracy
        return self._known[key]
