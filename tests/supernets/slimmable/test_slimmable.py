"""Slimmable networks: outputs, shared weights, switched batch norms, official files, ladders, export."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from helpers.tiny_space import off_by
from supernets import engines, published
from supernets.catalog import load
from supernets.errors import SupernetError
from supernets.exporting import export, fold
from supernets.slimmable.networks import cut, expected_state, random_state
from supernets.slimmable.space import SPACES, SlimmableSpace, Width
from supernets.slimmable.supernet import SlimmableSupernet
from supernets.subnet import Fixed, SubNet
from supernets.weights_file import save

SWITCHES = [(name, number) for name, space in SPACES.items() for number in range(len(space.switches))]
# Strides: MobileNet (arXiv 1704.04861) table 1, MobileNetV2 (1801.04381) table 2; MnasNet as the official repository
# has it (models/autoslim_mnasnet.py).
STRIDES = {
    "mbv1": (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1),
    "mbv2": (1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1),
    "mnasnet": (1, 2, 1, 1, 2, 1, 1, 2, 1, 1, 1, 1, 2, 1, 1, 1, 1),
}


def lived_in(space: SlimmableSpace, seed: int = 0) -> dict[str, Tensor]:
    """Return weights that differ from initial ones everywhere; `used(space)` have statistics of real activations."""
    generator = torch.Generator().manual_seed(seed)
    state = random_state(space)
    for name, tensor in state.items():
        if tensor.ndim == 1:
            tensor.copy_(torch.rand(tensor.shape, generator=generator))
            tensor += 0.5 if name.endswith(("weight", "running_var")) else -0.5
    for switch in used(space):
        network = cut(space, space.switches[switch][0], state).train()
        for norm in network.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.momentum = 1.0
        with torch.no_grad():
            network(torch.randn(8, 3, 64, 64, generator=generator))
        for name, tensor in network.state_dict().items():
            module, _, leaf = name.rpartition(".")
            if leaf in ("running_mean", "running_var"):
                state[name if name in state else f"{module}.bn.{switch}.{leaf}"] = tensor
    return state


def used(space: SlimmableSpace) -> tuple[int, int, int]:
    """Return the switches that tests look at."""
    last = len(space.switches) - 1
    return 0, last // 2, last


def given_file(directory: Path, name: str, state: Mapping[str, Tensor]) -> Path:
    """Write a file like those of the official repository."""
    path = directory / f"{name}.pt"
    torch.save({"model": {f"module.{key}": tensor for key, tensor in state.items()}}, path)
    return path


Opened = Callable[[str], SlimmableSupernet]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """A supernet by name, from a file of lived-in weights."""
    directory = tmp_path_factory.mktemp("weights")

    @cache
    def open_by(name: str) -> SlimmableSupernet:
        net = load(name, given_file(directory, name, lived_in(SPACES[name])))
        assert isinstance(net, SlimmableSupernet)
        return net

    return open_by


def pictures(seed: int = 1, size: int = 64) -> Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(seed))


def logits(net: SlimmableSupernet, switch: int, x: Tensor) -> Tensor:
    with torch.no_grad():
        output: Tensor = net.module(rung(net, switch))(x)
    return output


def rung(net: SlimmableSupernet, switch: int) -> SubNet:
    knobs, channels = net.space.switches[switch]
    return SubNet(
        id=f"switch{switch}",
        knobs=knobs,
        resolution=224,
        macs_m=net.space.macs(channels) / 1e6,
        accuracy=None,
        accuracy_source="unknown",
    )


# ---------------------------------------------------------------- outputs


def reference(state: Mapping[str, Tensor], name: str, switch: int, x: Tensor) -> Tensor:
    """Compute the network straight from the official state dict, slicing it layer by layer."""

    def normalised(x: Tensor, norm: str) -> Tensor:
        own = f"{norm}.bn.{switch}" if f"{norm}.bn.0.running_mean" in state else norm
        affine = norm if f"{norm}.weight" in state else own
        c = x.shape[1]
        mean, var = state[f"{own}.running_mean"], state[f"{own}.running_var"]
        return F.batch_norm(x, mean, var, state[f"{affine}.weight"][:c], state[f"{affine}.bias"][:c])

    def layer(x: Tensor, convolution: str, norm: str, stride: int) -> Tensor:
        weight = state[f"{convolution}.weight"]
        own = f"{norm}.bn.{switch}.running_mean"
        out = len(state[own]) if own in state else weight.shape[0]
        depthwise = weight.shape[1] == 1
        weight = weight[:out] if depthwise else weight[:out, : x.shape[1]]
        x = F.conv2d(x, weight, None, stride, weight.shape[2] // 2, groups=out if depthwise else 1)
        return normalised(x, norm)

    def widths(norm: str) -> list[int]:
        return [len(state[key]) for key in sorted(state) if re.fullmatch(rf"{norm}\.bn\.\d+\.running_mean", key)]

    kind = name.rpartition("-")[2]
    before = "features.0.1"
    x = F.relu6(layer(x, "features.0.0", "features.0.1", 2))
    for block, stride in enumerate(STRIDES[kind], start=1):
        body = f"features.{block}.body"
        places = sorted({int(key.split(".")[3]) for key in state if key.startswith(f"{body}.")})
        y = x
        for convolution, norm in zip(places[::2], places[1::2], strict=True):
            depthwise = state[f"{body}.{convolution}.weight"].shape[1] == 1
            y = layer(y, f"{body}.{convolution}", f"{body}.{norm}", stride if depthwise else 1)
            if norm != places[-1] or kind == "mbv1":
                y = F.relu6(y)
        after = f"{body}.{places[-1]}"
        residual = kind != "mbv1" and stride == 1 and widths(before) == widths(after)
        x, before = x + y if residual else y, after
    if kind != "mbv1":
        tail = f"features.{len(STRIDES[kind]) + 1}"
        x = F.relu6(layer(x, f"{tail}.0", f"{tail}.1", 1))
    x = x.mean((2, 3))
    return F.linear(x, state["classifier.0.weight"][:, : x.shape[1]], state["classifier.0.bias"])


@pytest.mark.parametrize("name", SPACES)
def test_a_network_computes_what_the_official_weights_mean(name: str, opened: Opened) -> None:
    net = opened(name)
    x = pictures()
    for switch in used(net.space):
        expected = reference(net.state, name, switch, x)
        assert off_by(logits(net, switch, x), expected) < 1e-5
        assert off_by(logits(net, switch, pictures(seed=2)), expected) > 1e-2  # another input
        other = next(number for number in used(net.space) if number != switch)
        assert off_by(logits(net, other, x), expected) > 1e-2  # another network


@pytest.mark.parametrize(
    ("name", "key", "shape"),
    [
        ("slimmable-mbv1", "features.0.0.weight", (32, 3, 3, 3)),
        ("slimmable-mbv1", "features.13.body.0.weight", (1024, 1, 3, 3)),
        ("slimmable-mbv1", "features.13.body.4.bn.0.running_mean", (256,)),
        ("slimmable-mbv1", "classifier.0.weight", (1000, 1024)),
        ("slimmable-mbv2", "features.2.body.1.bn.1.weight", (48,)),
        ("slimmable-mbv2", "features.18.1.running_mean", (1280,)),
        ("us-mbv1", "features.13.body.4.weight", (1024,)),
        ("us-mbv1", "features.13.body.4.bn.30.running_var", (1024,)),
        ("us-mbv2", "features.2.body.1.bn.0.running_mean", (48,)),
        ("us-mbv2", "features.18.1.weight", (1280,)),
        ("autoslim-mnasnet", "features.2.body.0.weight", (64, 8, 1, 1)),
        ("autoslim-mnasnet", "features.5.body.3.weight", (104, 1, 5, 5)),
        ("autoslim-mnasnet", "features.18.1.bn.0.bias", (1280,)),
        ("autoslim-mbv2", "features.18.1.bn.0.bias", (1920,)),
        ("autoslim-mbv1", "features.1.body.3.weight", (64, 24, 1, 1)),
    ],
)
def test_the_weights_have_the_names_and_shapes_of_the_official_files(
    name: str, key: str, shape: tuple[int, ...]
) -> None:
    assert expected_state(SPACES[name])[key].shape == shape


# ---------------------------------------------------------------- what networks share, and what not


def test_all_widths_are_views_of_the_same_weights(opened: Opened) -> None:
    net = opened("slimmable-mbv2")
    narrow, wide = (net.module(rung(net, switch)).state_dict() for switch in (0, 3))
    for key in ("features.3.body.0.weight", "features.3.body.3.weight", "classifier.0.weight"):
        ours = net.state[key]
        small = narrow[key]
        assert torch.equal(small, wide[key][tuple(slice(size) for size in small.shape)])
        assert small.untyped_storage().data_ptr() == wide[key].untyped_storage().data_ptr() == ours.data_ptr()
    assert narrow["features.3.body.0.weight"].shape == (48, 8, 1, 1)
    assert wide["features.3.body.0.weight"].shape == (144, 24, 1, 1)


@pytest.mark.parametrize("name", ["slimmable-mbv1", "us-mbv2", "autoslim-mnasnet"])
def test_statistics_are_of_one_network_only(name: str, opened: Opened) -> None:
    net, x = opened(name), pictures()
    last = len(net.space.switches) - 1
    own, other = logits(net, last, x), logits(net, 0, x)
    mean = net.state[f"features.1.body.1.bn.{last}.running_mean"]
    mean += 1
    try:
        assert off_by(logits(net, last, x), own) > 1e-2
        assert torch.equal(logits(net, 0, x), other)
    finally:
        mean -= 1


def test_universally_slimmable_networks_share_scales_and_shifts(opened: Opened) -> None:
    net = opened("us-mbv1")
    narrow, wide = (net.module(rung(net, switch)).state_dict() for switch in (0, 30))
    for key in ("features.2.body.1.weight", "features.2.body.1.bias"):
        assert torch.equal(narrow[key], wide[key][: len(narrow[key])])
        assert narrow[key].untyped_storage().data_ptr() == wide[key].untyped_storage().data_ptr()


def test_between_two_published_widths_statistics_are_the_wider_ones(opened: Opened) -> None:
    net = opened("us-mbv1")
    subnet = net.subnet(0.51)
    assert (subnet.accuracy, subnet.accuracy_source) == (None, "unknown")
    assert not net.calibrated(subnet)
    module = net.module(subnet)
    wider = net.state["features.2.body.4.bn.11.running_mean"]  # switch 11 is 0.525
    own = module.get_buffer("features.2.body.4.running_mean")
    assert torch.equal(own, wider[: len(own)])
    assert net.calibrated(net.subnet(0.525))


# ---------------------------------------------------------------- ladders


@pytest.mark.parametrize("name", SPACES)
def test_a_ladder_is_of_published_networks_smallest_first(name: str) -> None:
    net = load(name)
    ladder = net.ladder()
    points = [p for p in published.width_points() if p.family == SPACES[name].family]
    assert len({rung.id for rung in ladder}) == len(ladder) >= 3
    assert [rung.macs_m for rung in ladder] == sorted(rung.macs_m for rung in ladder)
    for rung in ladder:
        assert rung.accuracy_source == "published"
        assert rung.accuracy is not None
        assert any(p.top1 == rung.accuracy and abs(p.macs_m - rung.macs_m) < 1 for p in points)
        assert net.input_shape(rung) == (1, 3, 224, 224)
        assert net.rung(rung.id) == rung
    accuracies = [rung.accuracy or 0 for rung in ladder]
    assert accuracies == sorted(accuracies)


def test_universally_slimmable_ladders_are_few_of_many() -> None:
    net = load("us-mbv1")
    assert isinstance(net, SlimmableSupernet)
    assert len(net.ladder()) == 7
    assert len(net.space.switches) == 31
    other = net.subnet(0.275)  # published, but not on the ladder
    assert other not in net.ladder()
    assert (other.accuracy, other.accuracy_source) == (0.558, "published")
    assert net.subnet(1) == net.ladder()[-1]


@pytest.mark.parametrize(
    ("name", "width", "message"),
    [
        ("slimmable-mbv1", 0.3, r"width 0.3 is not in slimmable-mbv1; take one of width 0.25, width 0.5"),
        ("us-mbv2", 0.3, r"width 0.3 is not in us-mbv2; take any from width 0.35 to width 1.0"),
        ("us-mbv1", math.nan, r"width nan is not in us-mbv1"),
        ("autoslim-mnasnet", 0.5, r"width 0.5 is not in autoslim-mnasnet; take one of 217m, 315m, 532m"),
    ],
)
def test_a_width_outside_the_space_is_refused(name: str, width: float, message: str) -> None:
    net = load(name)
    assert isinstance(net, SlimmableSupernet)
    with pytest.raises(SupernetError, match=message):
        net.subnet(width)


@pytest.mark.parametrize("name", ["us-mbv1", "autoslim-mbv1"])
def test_a_ladder_file_brings_measured_accuracies_and_statistics(name: str, opened: Opened, tmp_path: Path) -> None:
    net = opened(name)
    knobs = Width(0.51) if name == "us-mbv1" else Fixed("325m")
    subnet = net.subnet(0.51) if isinstance(knobs, Width) else net.rung(knobs.network)
    measured = replace(subnet, accuracy=0.125, accuracy_source="measured")
    module = net.module(subnet)
    own = {n: t + 0.25 for n, t in module.state_dict().items() if n.endswith(("running_mean", "running_var"))}
    path = tmp_path / "ladder.safetensors"
    save(path, {}, [(measured, own)], {"supernet": name, "weights_hash": net.base_hash})
    with_ladder = load(name, net.weights, path)
    assert with_ladder.ladder() == (measured,)
    assert with_ladder.calibrated(measured)
    assert isinstance(with_ladder, SlimmableSupernet)
    state = with_ladder.module(measured).state_dict()
    assert all(torch.equal(tensor, with_ladder.state[key]) for key, tensor in net.state.items())  # left alone
    assert all(torch.equal(state[key], tensor) for key, tensor in own.items())
    x = pictures()
    with torch.no_grad():
        assert off_by(with_ladder.module(measured)(x), module(x)) > 1e-2
    if isinstance(knobs, Width):
        assert with_ladder.subnet(0.51) == measured


@pytest.mark.parametrize("stored", [{"multiplier": 0.1}, {"kernel": [3]}, {"network": "zebra"}])
def test_a_ladder_of_another_space_is_refused(stored: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"a": torch.zeros(1)}, path, {"ladder": json.dumps([stored])})
    with pytest.raises(SupernetError, match="brings a ladder that is none of us-mbv1"):
        load("us-mbv1", path).ladder()


# ---------------------------------------------------------------- weights


def test_random_weights_are_said_to_be_random_and_are_always_the_same() -> None:
    one, other = (load("slimmable-mbv1") for _ in range(2))
    assert isinstance(one, SlimmableSupernet)
    assert isinstance(other, SlimmableSupernet)
    assert one.notice is not None
    assert "random weights" in one.notice
    assert one.weights_hash == other.weights_hash != load("slimmable-mbv2").weights_hash
    assert all(torch.equal(tensor, other.state[name]) for name, tensor in one.state.items())
    x = pictures()
    assert off_by(logits(one, 0, x), logits(one, 3, x)) > 1e-2


@pytest.mark.parametrize(
    ("of", "into", "message"),
    [
        (
            "slimmable-mbv1",
            "slimmable-mbv2",
            "holds 'module.features.0.1.bn.0.weight' of shape (8,), but slimmable-mbv2 has (16,)",
        ),
        ("slimmable-mbv1", "us-mbv1", "lacks 'features.0.1.weight', so it is no state dict of us-mbv1"),
        ("autoslim-mbv2", "autoslim-mnasnet", "autoslim-mnasnet has (16, 3, 3, 3)"),
    ],
)
def test_weights_of_another_family_are_refused(of: str, into: str, message: str, tmp_path: Path) -> None:
    net = load(into, given_file(tmp_path, of, lived_in(SPACES[of])))
    with pytest.raises(SupernetError) as caught:
        net.module(net.ladder()[0])
    assert message in str(caught.value)
    assert f"{of}.pt" in str(caught.value)


# ---------------------------------------------------------------- export


@pytest.mark.parametrize("name", SPACES)
def test_folding_leaves_no_batch_norm(name: str, opened: Opened) -> None:
    net = opened(name)
    module, x = net.module(net.ladder()[0]), pictures()
    with torch.no_grad():
        folded = fold(module)
        assert off_by(folded(x), module(x)) < 1e-4
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())


@pytest.mark.parametrize("name", ["us-mbv1", "autoslim-mnasnet"])
def test_an_exported_network_computes_what_the_module_does(name: str, opened: Opened, tmp_path: Path) -> None:
    net = opened(name)
    subnet = net.ladder()[0]
    artifact = export(net, subnet, tmp_path)
    x = pictures(size=224)[:1]
    with torch.no_grad():
        expected = net.module(subnet)(x)
    actual = engines.prepare(artifact)(x.numpy().astype(np.float32))
    assert off_by(torch.from_numpy(actual), expected) < 1e-4
    operators = {node.op_type for node in onnx.load(artifact.path).graph.node}
    assert "Conv" in operators
    assert "BatchNormalization" not in operators
