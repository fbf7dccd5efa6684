"""A supernet as a user handles it: its ladder, any point of its space, and modules with that point's weights.

Torch is imported only where a module is asked for, so that reading a ladder stays cheap.

A weights file is a safetensors file of the supernet's state dict. Beside it, under `calibrated/ID/`, it may hold the
batch-norm statistics of the sub-networks of a ladder, and in its metadata (`ladder`, JSON) what was measured of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from supernets.catalog import SPACES
from supernets.errors import SupernetError, did_you_mean
from supernets.space import Architecture, Space, SubNet

if TYPE_CHECKING:
    import torch

    from supernets.mobilenet import ElasticMobileNetV3, StaticMobileNetV3

_SHIPPED = Path(__file__).parent / "weights"
_CALIBRATED = "calibrated"


def names() -> tuple[str, ...]:
    """The supernets that are built in."""
    return tuple(SPACES)


def load(name: str, weights: str | Path | None = None) -> Supernet:
    """Opens a supernet.

    Args:
        name: one of `names()`.
        weights: a state dict, bare or under `state_dict`, as `.safetensors` or as a `.pth` without code; None takes
            the shipped weights, or random ones where none are shipped (`Supernet.weights_source` says which).

    Raises:
        SupernetError: for an unknown name, or weights that can't be read or don't fit.
    """
    if name not in SPACES:
        raise SupernetError(f"supernet {name!r} is unknown. {did_you_mean(name, SPACES)}")
    if weights is not None:
        return Supernet(SPACES[name], Path(weights), "given")
    shipped = _SHIPPED / f"{name}.safetensors"
    return Supernet(SPACES[name], shipped if shipped.exists() else None, "shipped")


class Supernet:
    """One space with one set of weights.

    Attributes:
        space: what sub-networks there are.
        weights: the file; None for random weights.
        weights_source: `shipped`, `given` or `random`.
    """

    def __init__(self, space: Space, weights: Path | None, source: str) -> None:
        if weights is not None and not weights.is_file():
            raise SupernetError(f"weights {str(weights)!r}: no such file")
        self.space = space
        self.weights = weights
        self.weights_source = source if weights is not None else "random"
        if weights is not None and weights.suffix == ".safetensors":
            self._metadata = _read_metadata(weights)
        else:
            self._metadata = {}

    @property
    def name(self) -> str:
        """Name of the supernet."""
        return self.space.name

    @cached_property
    def weights_hash(self) -> str:
        """SHA-256 of the weights file, and of the space for random weights."""
        data = self.weights.read_bytes() if self.weights else repr(self.space).encode()
        return hashlib.sha256(data).hexdigest()

    def ladder(self) -> tuple[SubNet, ...]:
        """The sub-networks to choose from, smallest first.

        They come with the weights; weights that bring none get the space's two ends, of unknown accuracy.

        Raises:
            SupernetError: if the weights bring a ladder of another space.
        """
        if "ladder" not in self._metadata:
            return (
                self.space.subnet(self.space.smallest, self.space.resolutions[0]),
                self.space.subnet(self.space.largest, self.space.resolutions[-1]),
            )
        try:
            return tuple(
                self.space.subnet(
                    Architecture(kernel=tuple(r["kernel"]), expand=tuple(r["expand"]), depth=tuple(r["depth"])),
                    r["resolution"],
                    r["accuracy"],
                    r["accuracy_source"],
                )
                for r in json.loads(self._metadata["ladder"])
            )
        except (ValueError, KeyError, TypeError) as error:
            raise SupernetError(f"{self.weights} brings a ladder that is none of {self.name}: {error}") from None

    def subnet(self, kernel: Sequence[int], expand: Sequence[int], depth: Sequence[int], resolution: int) -> SubNet:
        """Any point of the space; uncalibrated unless it is on the ladder.

        Raises:
            SupernetError: for a point outside the space.
        """
        architecture = Architecture(kernel=tuple(kernel), expand=tuple(expand), depth=tuple(depth))
        try:
            subnet = self.space.subnet(architecture, resolution)
        except ValueError as error:
            raise SupernetError(str(error)) from None
        point = (subnet.knobs, subnet.resolution)
        return next((rung for rung in self.ladder() if (rung.knobs, rung.resolution) == point), subnet)

    def module(self, subnet: SubNet) -> StaticMobileNetV3:
        """That sub-network as a module of standard layers, in eval mode.

        Its batch-norm statistics are its own where the weights bring them, else the supernet's, sliced.
        """
        module = self.network.extract(subnet.knobs)
        prefix = f"{_CALIBRATED}/{subnet.id}/"
        if self.weights is not None and self._metadata:
            with safe_open(self.weights, framework="pt") as file:
                keys = [key for key in file.keys() if key.startswith(prefix)]  # noqa: SIM118 (it is no mapping)
                own = {key[len(prefix) :]: file.get_tensor(key) for key in keys}
            module.load_state_dict(own, strict=False)
        return module

    @cached_property
    def network(self) -> ElasticMobileNetV3:
        """The whole supernet.

        Raises:
            SupernetError: if the weights don't fit it.
        """
        import torch

        from supernets.mobilenet import ElasticMobileNetV3

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = ElasticMobileNetV3(self.space)
        if self.weights is not None:
            state = _read_state(self.weights)
            expected = network.state_dict()
            for key, tensor in expected.items():
                if key not in state:
                    raise SupernetError(f"{self.weights} lacks {key!r}, so it is no state dict of {self.name}")
                if state[key].shape != tensor.shape:
                    raise SupernetError(
                        f"{self.weights} holds {key!r} of shape {tuple(state[key].shape)}, "
                        f"but {self.name} has {tuple(tensor.shape)}: weights of another supernet"
                    )
            network.load_state_dict({key: state[key] for key in expected})
        return network.eval()


def save(
    path: Path,
    network: ElasticMobileNetV3,
    ladder: Sequence[tuple[SubNet, dict[str, torch.Tensor]]],
    about: dict[str, str],
) -> None:
    """Writes a weights file.

    Args:
        path: to write; its directory is made.
        network: whose state dict to write.
        ladder: sub-networks, smallest first, with their batch-norm statistics.
        about: further metadata, as text.
    """
    from safetensors.torch import save_file

    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    rungs = []
    for subnet, statistics in ladder:
        tensors |= {f"{_CALIBRATED}/{subnet.id}/{name}": tensor for name, tensor in statistics.items()}
        rungs.append(
            {
                "kernel": subnet.knobs.kernel,
                "expand": subnet.knobs.expand,
                "depth": subnet.knobs.depth,
                "resolution": subnet.resolution,
                "accuracy": subnet.accuracy,
                "accuracy_source": subnet.accuracy_source,
            }
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, {**about, "ladder": json.dumps(rungs)})


def _read_metadata(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, framework="np") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from None


def _read_state(path: Path) -> dict[str, torch.Tensor]:
    """The state dict in a file; never runs code that a file brings."""
    import torch

    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a pickle of garbage can raise whatever its opcodes come to
        raise _unreadable(path, error) from None
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise SupernetError(f"{path} holds no state dict (a mapping from names to tensors, bare or under 'state_dict')")
    return state


def _unreadable(path: Path, error: Exception) -> SupernetError:
    code = type(error).__name__ == "UnpicklingError"
    reason = "not an archive of plain tensors" if code else " ".join(str(error).split())[:160]
    return SupernetError(
        f"weights {str(path)!r} can't be read ({reason}); give a .safetensors file, or a .pth that holds tensors only"
    )
