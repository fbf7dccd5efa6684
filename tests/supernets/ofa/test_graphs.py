"""The ONNX model that is written without torch computes what the module does, by the nodes of torch's own export."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import supernets
from helpers.tiny_space import TINY, architectures, lived_in, off_by, pictures
from supernets import onnx_graph
from supernets.engines import open_model
from supernets.exporting import export_module
from supernets.ofa import graphs
from supernets.ofa.cut import cut
from supernets.ofa.elastic import ElasticSupernet
from supernets.ofa.mobilenet import ElasticMobileNetV3
from supernets.ofa.space import Architecture, Space
from supernets.ofa.spaces import OFA_MBV3_W10, OFA_PLATES

UNEVEN = Architecture(kernel=(5, 3, 7, 3, 7, 5), expand=(2, 4, 1, 4, 1, 2), depth=(2, 3))
NETWORK = lived_in(TINY)


def served(network: ElasticMobileNetV3, architecture: Architecture, x: torch.Tensor, file: Path) -> torch.Tensor:
    state = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    space = network.space
    onnx_graph.save(graphs.model(space, architecture, x.shape[2], cut(space, architecture, state)), file)
    session = open_model(str(file))
    return torch.from_numpy(np.concatenate([session.run(["y"], {"x": picture[None].numpy()})[0] for picture in x]))


@given(architecture=architectures(TINY), resolution=st.sampled_from(TINY.resolutions))
@settings(max_examples=20)
def test_it_computes_what_the_module_does(
    architecture: Architecture, resolution: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    x = pictures(TINY, 2, resolution, seed=2)
    with torch.no_grad():
        expected = NETWORK.extract(architecture)(x)
    made = served(NETWORK, architecture, x, tmp_path_factory.mktemp("graph") / "net.onnx")
    assert off_by(made, expected) < 1e-4


def test_a_network_of_one_cell_computes_what_the_module_does(tmp_path: Path) -> None:
    """The networks of ImageNet average all columns into one."""
    network, x = lived_in(OFA_MBV3_W10), pictures(OFA_MBV3_W10, 1, 128, seed=2)
    smallest = OFA_MBV3_W10.smallest
    with torch.no_grad():
        expected = network.extract(smallest)(x)
    assert off_by(served(network, smallest, x, tmp_path / "net.onnx"), expected) < 1e-4


def test_a_wrong_kernel_size_would_be_noticed(tmp_path: Path) -> None:
    """The tolerance above tells apart networks that differ in only one kernel size."""
    wrong = Architecture(kernel=(5, 3, 7, 3, 7, 3), expand=UNEVEN.expand, depth=UNEVEN.depth)
    x = pictures(TINY, 3, 16, seed=2)
    with torch.no_grad():
        expected = NETWORK.extract(UNEVEN)(x)
    assert off_by(served(NETWORK, wrong, x, tmp_path / "net.onnx"), expected) > 0.01


@pytest.mark.parametrize(
    ("space", "architecture"), [(TINY, UNEVEN), (OFA_PLATES, OFA_PLATES.smallest)], ids=["tiny", "ofa-plates"]
)
def test_it_has_the_nodes_of_torchs_own_export(space: Space, architecture: Architecture, tmp_path: Path) -> None:
    """Engines recognise patterns of nodes; the times of networks must not depend on who wrote the file."""
    network = lived_in(space)
    subnet = space.subnet(architecture, space.resolutions[0])
    shape = space.input_shape(space.resolutions[0])
    theirs = onnx.load(export_module(network.extract(architecture), subnet, shape, tmp_path / "torch.onnx").path)
    state = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    ours = graphs.model(space, architecture, space.resolutions[0], cut(space, architecture, state))
    kinds = [Counter(node.op_type for node in model.graph.node) for model in (ours, theirs)]
    assert kinds[0] == kinds[1]
    assert {entry.version for entry in ours.opset_import} == {entry.version for entry in theirs.opset_import}


def test_each_rung_of_the_shipped_ladder_computes_what_its_module_does(tmp_path: Path) -> None:
    """Its weights have statistics of each rung's own, which count."""
    net = supernets.load("ofa-plates")
    assert isinstance(net, ElasticSupernet)
    for rung in net.ladder():
        session = open_model(supernets.export(net, rung, tmp_path).path)
        x = pictures(OFA_PLATES, 2, rung.resolution, seed=3)
        with torch.no_grad():
            expected = net.module(rung)(x)
        made = [session.run(["y"], {"x": picture[None].numpy()})[0] for picture in x]
        assert off_by(torch.from_numpy(np.concatenate(made)), expected) < 1e-4
    assert len(list(tmp_path.glob("*.onnx"))) == len(net.ladder())
    assert not list(tmp_path.glob("*.pt2"))
