"""An exported network, with its batch norms folded in, computes what the torch module does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from helpers.tiny_space import TINY, lived_in, off_by, pictures
from supernets import engines
from supernets.errors import SupernetError
from supernets.exporting import export, export_module, fold
from supernets.ofa.elastic import ElasticSupernet
from supernets.ofa.mobilenet import ElasticMobileNetV3
from supernets.ofa.space import Architecture, Space
from supernets.ofa.spaces import OFA_PLATES
from supernets.subnet import SubNet
from supernets.weights_file import save

UNEVEN = Architecture(kernel=(5, 3, 7, 3, 7, 5), expand=(2, 4, 1, 4, 1, 2), depth=(2, 3))


@pytest.fixture(scope="module")
def tiny() -> ElasticMobileNetV3:
    return lived_in(TINY)


@pytest.fixture(scope="module")
def tiny_supernet(tiny: ElasticMobileNetV3, tmp_path_factory: pytest.TempPathFactory) -> ElasticSupernet:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save(path, tiny.state_dict(), [], {})
    return ElasticSupernet(TINY, path, "given")


def served(network: ElasticMobileNetV3, subnet: SubNet, directory: Path, x: torch.Tensor) -> torch.Tensor:
    artifact = export_module(
        network.extract(subnet.knobs),
        subnet,
        network.space.input_shape(subnet.resolution),
        directory / f"{subnet.id}.onnx",
    )
    prepared = engines.prepare(artifact)
    return torch.from_numpy(np.concatenate([prepared(picture[None].numpy()) for picture in x]))


@pytest.mark.parametrize(
    ("space", "architecture", "resolution"),
    [(TINY, UNEVEN, 16), (OFA_PLATES, OFA_PLATES.random(np.random.default_rng(3)), 40)],
    ids=["tiny", "ofa-plates"],
)
def test_the_exported_network_computes_what_the_module_does(
    space: Space, architecture: Architecture, resolution: int, tmp_path: Path
) -> None:
    network = lived_in(space)
    x = pictures(space, 3, resolution, seed=2)
    with torch.no_grad():
        expected = network.extract(architecture)(x)
    assert off_by(served(network, space.subnet(architecture, resolution), tmp_path, x), expected) < 1e-4


def test_a_wrong_kernel_size_would_be_noticed(tiny: ElasticMobileNetV3, tmp_path: Path) -> None:
    """The tolerance above tells apart networks that differ in only one kernel size."""
    wrong = Architecture(kernel=(5, 3, 7, 3, 7, 3), expand=UNEVEN.expand, depth=UNEVEN.depth)
    x = pictures(TINY, 3, 16, seed=2)
    with torch.no_grad():
        expected = tiny.extract(UNEVEN)(x)
    assert off_by(served(tiny, TINY.subnet(wrong, 16), tmp_path, x), expected) > 0.01


def test_folding_leaves_no_batch_norm_and_the_module_as_it_was(tiny: ElasticMobileNetV3) -> None:
    module = tiny.extract(UNEVEN)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    x = pictures(TINY, 3, 16)
    with torch.no_grad():
        folded = fold(module)
        assert off_by(folded(x), module(x)) < 1e-5
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_the_file_is_one_float32_graph_of_a_fixed_shape_without_batch_norm(
    tiny_supernet: ElasticSupernet, tmp_path: Path
) -> None:
    artifact = export(tiny_supernet, TINY.subnet(TINY.smallest, 24), tmp_path / "made" / "on demand")
    assert artifact.input_shape == (1, 1, 24, 72)
    assert artifact.weights_hash == tiny_supernet.weights_hash
    assert list(Path(artifact.path).parent.iterdir()) == [Path(artifact.path)]  # nothing half-written is left
    graph = onnx.load(artifact.path).graph
    (x,), (y,) = graph.input, graph.output
    assert [size.dim_value for size in x.type.tensor_type.shape.dim] == [1, 1, 24, 72]
    assert [size.dim_value for size in y.type.tensor_type.shape.dim] == [1, TINY.classes]
    assert x.type.tensor_type.elem_type == y.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert "BatchNormalization" not in {node.op_type for node in graph.node}


def test_the_torch_program_is_made_where_it_is_asked_for(tiny_supernet: ElasticSupernet, tmp_path: Path) -> None:
    subnet = TINY.subnet(UNEVEN, 16)
    without = export(tiny_supernet, subnet, tmp_path)
    with pytest.raises(SupernetError, match="has no torch program"):
        engines.prepare(without, "torch")
    stamp = Path(without.path).stat().st_mtime_ns
    asked = export(tiny_supernet, subnet, tmp_path, program=True)
    assert asked == without
    assert {file.suffix for file in tmp_path.iterdir()} == {".onnx", ".pt2"}
    assert Path(asked.path).stat().st_mtime_ns == stamp
    x = pictures(TINY, 1, 16).numpy()
    ours, theirs = (torch.from_numpy(engines.prepare(asked, engine)(x)) for engine in ("onnxruntime", "torch"))
    assert off_by(ours, theirs) < 1e-4


def test_the_same_weights_are_exported_once_and_others_anew(
    tiny_supernet: ElasticSupernet, tiny: ElasticMobileNetV3, tmp_path: Path
) -> None:
    subnet = TINY.subnet(TINY.smallest, 16)
    first = Path(export(tiny_supernet, subnet, tmp_path).path)
    stamp = first.stat().st_mtime_ns
    assert export(ElasticSupernet(TINY, tiny_supernet.weights, "given"), subnet, tmp_path).path == str(first)
    assert first.stat().st_mtime_ns == stamp
    other_weights = tmp_path / "other.safetensors"
    save(other_weights, lived_in(TINY, seed=1).state_dict(), [], {})
    second = export(ElasticSupernet(TINY, other_weights, "given"), subnet, tmp_path)
    assert second.path != str(first)
    x = pictures(TINY, 1, 16).numpy()
    old = engines.prepare(export(tiny_supernet, subnet, tmp_path))(x)
    assert np.abs(engines.prepare(second)(x) - old).max() > 0.01 * np.abs(old).max()
