"""Weights files: state dicts that are read without running code, with an optional ladder and its statistics.

gearshift's own files are safetensors. Beside a state dict they may hold a ladder: the batch-norm statistics of its
sub-networks under `calibrated/ID/`, and their knobs and accuracies in the metadata (`ladder`, JSON). A *ladder file*
has a ladder but no state dict, and names the weights that it was made with.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from supernets.errors import SupernetError, extra
from supernets.subnet import SubNet

if TYPE_CHECKING:
    import torch

T = TypeVar("T", "torch.Tensor", NDArray[Any])
Arrays = dict[str, NDArray[Any]]
"""Weights by name."""

_CALIBRATED = "calibrated"
_TYPES = frozenset(("F64", "F32", "F16", "I64", "I32", "I16", "I8", "U8", "BOOL"))
"""The types of safetensors that NumPy has too; bfloat16, for one, it has not."""


def read_metadata(path: Path) -> dict[str, str]:
    """Return a file's metadata; empty for a file that is not safetensors.

    Raises:
        SupernetError: if the file can't be read.
    """
    if not path.is_file():
        raise SupernetError(f"weights {str(path)!r}: no such file")
    if path.suffix != ".safetensors":
        return {}
    try:
        with safe_open(path, framework="np") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from None


def read_arrays(path: Path) -> dict[str, NDArray[np.float32]]:
    """Return the state dict in a file as arrays of float32, without the statistics of sub-networks.

    Files of safetensors are read without torch, unless they have a type that NumPy lacks.

    Raises:
        SupernetError: if the file can't be read, or holds anything but tensors.
        MissingExtraError: if torch is needed to read it, and is not installed.
    """
    arrays = _known_to_numpy(path) if path.suffix == ".safetensors" else None
    if arrays is not None:
        return {name: array.astype(np.float32, copy=False) for name, array in arrays.items()}
    state = read_state(path)
    try:
        return {name: tensor.float().numpy() for name, tensor in state.items()}
    except Exception as error:  # torch has kinds of tensors that are no arrays, such as sparse ones
        raise _unreadable(path, error) from None


def _known_to_numpy(path: Path) -> Arrays | None:
    """Return the state dict in a file of safetensors; None where it has a type that NumPy lacks."""
    try:
        with safe_open(path, framework="np") as file:
            names = _state_names(file)
            if any(file.get_slice(name).get_dtype() not in _TYPES for name in names):
                return None
            return {name: file.get_tensor(name) for name in names}
    except Exception as error:  # as in `read_state`
        raise _unreadable(path, error) from None


def _state_names(file: Any) -> list[str]:
    return [key for key in file.keys() if not key.startswith(f"{_CALIBRATED}/")]  # noqa: SIM118 (it is no mapping)


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Return the state dict in a file, without the statistics of sub-networks. Code in the file is never run.

    Raises:
        SupernetError: if the file can't be read, or holds anything but tensors.
        MissingExtraError: if torch is not installed.
    """
    with extra("train", f"reading the weights {str(path)!r}"):
        import torch

    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {key: file.get_tensor(key) for key in _state_names(file)}
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a pickle of garbage can raise whatever its opcodes come to
        raise _unreadable(path, error) from None
    for wrapper in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise SupernetError(
            f"{path} holds no state dict (a mapping from names to tensors, bare or under 'state_dict' or 'model')"
        )
    return state


def fitted(
    state: Mapping[str, T],
    expected: Mapping[str, tuple[int, ...]],
    path: Path,
    name: str,
    our_name: Callable[[str], str | None] = lambda key: key,
) -> dict[str, T]:
    """Return the tensors of a file that a network expects, by the network's own names.

    Args:
        state: the file's tensors or arrays, by the file's names.
        expected: the right shapes, by the network's names.
        path: path of the file, for messages.
        name: name of the supernet, for messages.
        our_name: translates a name of the file into the network's; None for a name that the network does not know.

    Raises:
        SupernetError: naming the first tensor that is missing, or that has another shape, with both shapes.
    """
    file_keys = {our_name(key) or key: key for key in state}
    for key, shape in expected.items():
        if key not in file_keys:
            raise SupernetError(f"{path} lacks {key!r}, so it is no state dict of {name}")
        held = tuple(state[file_keys[key]].shape)
        if held != shape:
            raise SupernetError(
                f"{path} holds {file_keys[key]!r} of shape {held}, but {name} has {shape}: weights of another supernet"
            )
    return {key: state[file_keys[key]] for key in expected}


def shapes_of(state: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a state dict by name, as `fitted` expects them."""
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def read_statistics(path: Path, subnet: SubNet) -> Arrays:
    """Return the batch-norm statistics of a sub-network by name; empty where the file has none."""
    if path.suffix != ".safetensors":
        return {}
    prefix = f"{_CALIBRATED}/{subnet.id}/"
    with safe_open(path, framework="np") as file:
        keys = [key for key in file.keys() if key.startswith(prefix)]  # noqa: SIM118 (it is no mapping)
        return {key[len(prefix) :]: file.get_tensor(key) for key in keys}


def save(
    path: Path,
    state: Mapping[str, torch.Tensor],
    ladder: Iterable[tuple[SubNet, Mapping[str, torch.Tensor]]],
    about: Mapping[str, str],
) -> None:
    """Write a weights file; with an empty state, a ladder file.

    Args:
        path: file to write; its directory is made.
        state: the supernet's state dict; empty for a ladder file.
        ladder: sub-networks, smallest first, each with its batch-norm statistics.
        about: further metadata, as text.
    """
    from safetensors.torch import save_file

    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    rungs = []
    for subnet, statistics in ladder:
        tensors |= {f"{_CALIBRATED}/{subnet.id}/{name}": tensor.contiguous() for name, tensor in statistics.items()}
        rungs.append(_stored(subnet))
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    save_file(tensors, fresh, {**about, "ladder": json.dumps(rungs)} if rungs else dict(about))
    fresh.replace(path)


def _stored(subnet: SubNet) -> dict[str, Any]:
    knobs = {name: getattr(subnet.knobs, name) for name in subnet.knobs.__dataclass_fields__}
    return {
        **knobs,
        "resolution": subnet.resolution,
        "accuracy": subnet.accuracy,
        "accuracy_source": subnet.accuracy_source,
        "precision": subnet.precision,
    }


def file_hash(paths: Sequence[Path]) -> str:
    """Return the SHA-256 of files, read one after another."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _unreadable(path: Path, error: Exception) -> SupernetError:
    code = type(error).__name__ == "UnpicklingError"
    reason = "not an archive of plain tensors" if code else " ".join(str(error).split())[:160]
    return SupernetError(
        f"weights {str(path)!r} can't be read ({reason}); give a .safetensors file, or a .pth that holds tensors only"
    )
