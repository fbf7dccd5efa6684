"""Weights files: reading a state dict without running code, and the ladder and statistics that may come with it.

A file of gearshift's own is safetensors. Beside a state dict it may hold, under `calibrated/ID/`, the batch-norm
statistics of the sub-networks of a ladder, and in its metadata (`ladder`, JSON) what is known of them. A *ladder file*
is the same without the state dict, and names the weights that it was made with.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from supernets.errors import SupernetError
from supernets.subnet import SubNet

if TYPE_CHECKING:
    import torch

_CALIBRATED = "calibrated"


def read_metadata(path: Path) -> dict[str, str]:
    """What a file says of itself; nothing for one that is no safetensors file.

    Raises:
        SupernetError: if it can't be read.
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


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """The state dict in a file, without statistics of sub-networks; never runs code that a file brings.

    Raises:
        SupernetError: if it can't be read, or holds anything but tensors.
    """
    import torch

    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                names = [key for key in file.keys() if not key.startswith(f"{_CALIBRATED}/")]  # noqa: SIM118
                return {key: file.get_tensor(key) for key in names}
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
    state: Mapping[str, torch.Tensor],
    expected: Mapping[str, torch.Tensor],
    path: Path,
    name: str,
    our_name: Callable[[str], str | None] = lambda key: key,
) -> dict[str, torch.Tensor]:
    """What a network expects, out of a state dict.

    Args:
        state: from the name that a file gives it to a parameter.
        expected: from parameter's name to a tensor of the shape it must have.
        path: of the file, for the message.
        name: of the supernet, for the message.
        our_name: what the network calls a parameter of the file; None for one that it does not know.

    Raises:
        SupernetError: naming the first that is missing, or of another shape with both shapes.
    """
    file_keys = {our_name(key) or key: key for key in state}
    for key, tensor in expected.items():
        if key not in file_keys:
            raise SupernetError(f"{path} lacks {key!r}, so it is no state dict of {name}")
        held = state[file_keys[key]]
        if held.shape != tensor.shape:
            raise SupernetError(
                f"{path} holds {file_keys[key]!r} of shape {tuple(held.shape)}, "
                f"but {name} has {tuple(tensor.shape)}: weights of another supernet"
            )
    return {key: state[file_keys[key]] for key in expected}


def read_statistics(path: Path, subnet: SubNet) -> dict[str, torch.Tensor]:
    """The batch-norm statistics of a sub-network by name; empty where the file brings none of it."""
    if path.suffix != ".safetensors":
        return {}
    prefix = f"{_CALIBRATED}/{subnet.id}/"
    with safe_open(path, framework="pt") as file:
        keys = [key for key in file.keys() if key.startswith(prefix)]  # noqa: SIM118 (it is no mapping)
        return {key[len(prefix) :]: file.get_tensor(key) for key in keys}


def save(
    path: Path,
    state: Mapping[str, torch.Tensor],
    ladder: Iterable[tuple[SubNet, Mapping[str, torch.Tensor]]],
    about: Mapping[str, str],
) -> None:
    """Writes a weights file, or without a state a ladder file.

    Args:
        path: to write; its directory is made.
        state: the supernet's state dict, or nothing.
        ladder: sub-networks, smallest first, with their batch-norm statistics.
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
    """SHA-256 of files, one after another."""
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
